"""The page Batch: which strategy and trial, one sentence of what was chosen, and a tab for each question."""

from collections.abc import Hashable, Sequence
from typing import Any, TypeVar

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from rambo import lineup
from rambo.datasets import catalog
from rambo.figures import maps, theme
from rambo.figures.theme import strategy_word
from rambo.runs import atlas as atlases
from rambo.runs import jobs
from rambo.runs.atlas import UNLABELED_POOL
from rambo.runs.workspace import Run
from rambo.text import count, literal, percent
from rambo.ui import controls, frame, pace, readers, state
from rambo.ui.batch import (
    batch_data,
    chips,
    edited,
    exports,
    gate_view,
    images_view,
    map_view,
    steps_view,
    what_if_view,
    why_view,
)
from rambo.ui.batch.batch_data import Batch
from rambo.ui.components import PreparedFigure, plot

T = TypeVar("T")

_TABS = ("Images", "Why", "Steps", "What if", "Balance", "Gate", "Export")
_OF_RAMBO = ("Steps", "What if")  # other strategies have no u_hat, and but for RAMBO+ no candidates


def show(run: Run) -> None:
    """Draw the page for one run."""
    with st.container(
        horizontal=True, vertical_alignment="center", gap="small", key="batch-choice"
    ):
        strategy, trial = pick_choice(run)
    batch = batch_data.load(run, trial, strategy)
    if batch is None or not batch.complete:
        show_unfinished(run, trial, strategy, batch)
        return
    head = st.container(key="batch-words")
    with st.container(key="batch-oracle"):
        oracle = pick_oracle(batch)
    with head:
        show_sentence(batch, oracle)
        for trouble in batch.troubles:
            st.warning(literal(trouble, 400), icon=":material/info:")
        if batch.troubles and readers.status(run)[0] == "done":
            controls.repair_button(run, key="batch")
        with frame.guard():
            edited.show(batch)
    show_tabs(batch, oracle)
    pace.await_news(lambda: edited.is_stale(batch))
    if run.config["dataset"]["name"] in catalog.CATALOG and not batch_data.exclusions_of(batch):
        st.caption(
            ":material/content_copy: Near duplicates are looked for in your own images; in a benchmark they are not, "
            "as in the paper."
        )


def address_choice(run: Run) -> tuple[str, int]:
    """Return the strategy and the trial of the address, or the first ones."""
    names, trials = batch_data.strategies(run), batch_data.trials(run)
    strategy = _from_address("strategy", names, batch_data.first_strategy(run))
    return strategy, _from_address("trial", trials, 0)


def filters() -> dict[str, str | None]:
    """Return what the address says of the choice that is shown."""
    return {name: st.query_params.get(name) for name in ("strategy", "trial")}


def pick_choice(run: Run) -> tuple[str, int]:
    """Return the strategy and the trial a person wants to see; both stand in the address."""
    names, trials = batch_data.strategies(run), batch_data.trials(run)
    strategy, trial = address_choice(run)
    if len(names) > 1:
        strategy = st.segmented_control(
            "Chosen by",
            names,
            default=strategy,
            required=True,
            format_func=strategy_word,
            help="\n\n".join(
                f"**{literal(strategy_word(name))}**: {literal(lineup.of(name).help, 300)}"
                for name in names
            ),
            key=f"strategy-{run.id}",
            on_change=_to_address,
            args=("strategy", run),
        )
    if len(trials) > 1:
        seed = readers.config(run).seed
        trial = st.selectbox(
            "Trial",
            trials,
            index=trial,
            format_func=lambda number: f"Trial {number + 1} (seed {seed + number})",
            label_visibility="collapsed",
            width=180,
            key=f"trial-{run.id}",
            on_change=_to_address,
            args=("trial", run),
        )
    return strategy, trial


def _from_address(name: str, options: Sequence[T], default: T) -> T:
    """Return the option that the address names, else the default."""
    typed = st.query_params.get(name)
    return next((option for option in options if str(option) == typed), default)


def _to_address(name: str, run: Run) -> None:
    """Put the choice of a widget into the address.

    `bind="query-params"` would write the words on the page there, and a link would have to know them.
    """
    st.query_params[name] = str(st.session_state[f"{name}-{run.id}"])


def pick_oracle(batch: Batch) -> bool:
    """Return whether true labels may be shown; off unless a person asks, and where nobody knows them."""
    if batch.data is not None and batch.data.partly_labeled:
        st.caption(
            ":material/new_label: Waiting for labels: nobody knows them yet.", width="content"
        )
        return False
    return st.toggle(
        "Show the oracle's answers",
        key="oracle",
        disabled=batch.data is None,
        width="content",
        help="In real labeling you would not know them: these images have no label until somebody gives one.",
    )


def sentence(batch: Batch, strong: str = "") -> str:
    """Return what was chosen, in one sentence.

    Args:
        batch: the choice.
        strong: stands on both sides of what matters most.
    """
    steps = len(np.unique(batch.steps))
    words = f"{strong}{strategy_word(batch.strategy)}{strong} chose {strong}{count(batch.count, 'image')}{strong}"
    if batch.atlas is not None:
        pool = batch_data.pool_margins(batch.atlas)
        words += f" of {len(pool):,} unlabeled ones"
    if steps > 1:
        words += f" in {steps} greedy steps of up to {np.bincount(batch.steps).max()}"
    margins = batch.margins[np.isfinite(batch.margins)]
    if batch.atlas is not None and len(margins):
        words += (
            f"; their median margin is {np.median(margins):.3f}, in the pool {np.median(pool):.3f}"
        )
    return words + "."


def show_sentence(batch: Batch, oracle: bool) -> None:
    """Say what was chosen, in one sentence; with the oracle also how often f is right."""
    st.markdown(sentence(batch, "**"))
    if repeats := batch_data.exclusions_of(batch):
        st.caption(f":material/content_copy: {repeats.sentence[0].upper()}{repeats.sentence[1:]}.")
    labels = batch.labels(batch.indices) if oracle else None
    if labels is not None:
        right = np.mean(
            [
                batch.class_name(guess) == label
                for guess, label in zip(batch.guesses.tolist(), labels, strict=True)
            ]
        )
        st.markdown(
            f":material/visibility: The oracle: f guesses **{percent(float(right))}** of these images right. "
            "In real labeling you would not know this."
        )


def show_tabs(batch: Batch, oracle: bool) -> None:
    """Draw the open tab; the others cost nothing."""
    chips.keep(batch)
    names = [name for name in _TABS if batch.strategy == "rambo" or name not in _OF_RAMBO]
    if batch.strategy == "rambo-plus" and batch.decisions:
        names.insert(_TABS.index("Steps"), "Steps")
    if not gate_view.is_there(batch.run, batch.trial):
        names.remove("Gate")
    tabs = st.tabs(names, key="view", on_change="rerun", bind="query-params")
    for name, tab in zip(names, tabs, strict=True):
        if not tab.open:
            continue
        with tab:
            if name == "Images":
                images_view.show(batch, oracle)
                continue
            chips.show(batch)
            if name == "Why":
                why_view.show(batch)
            elif name == "Steps":
                steps_view.show(batch)
            elif name == "What if":
                what_if_view.show(batch, oracle)
            elif name == "Balance":
                show_balance(batch)
            elif name == "Gate":
                gate_view.show(batch.run, batch.trial, batch.data)
            else:
                show_export(batch, oracle)


def show_balance(batch: Batch) -> None:
    """Draw class guesses and margins of the chosen images beside those of the pool."""
    if batch.atlas is None:
        st.info("Without the map of the images there is no pool to compare with.")
        return
    classes, margins = balance(batch)
    st.caption("f's guesses, not labels: nobody has bought those of the unlabeled pool.")
    left, right = st.columns(2)
    with left:
        st.markdown("**Which classes does f guess?**")
        plot(
            classes,
            key="balance-classes",
            height=360,
            alt="Class guesses of chosen images and of the pool",
        )
    with right:
        st.markdown("**How unsure is f?**")
        plot(
            margins,
            key="balance-margins",
            height=360,
            alt="Margins of chosen images and of the pool",
        )


def balance(batch: Batch) -> tuple[PreparedFigure, PreparedFigure]:
    """Return the class guesses and the margins of a batch beside those of the pool.

    Args:
        batch: with an atlas.
    """
    return _balance(batch.stamp, _batch=batch)


@st.cache_resource(show_spinner=False, max_entries=32)
def _balance(stamp: Hashable, *, _batch: Batch) -> tuple[PreparedFigure, PreparedFigure]:
    """Return both histograms of a batch; the stamp alone is the key of the cache."""
    atlas = _batch.atlas
    assert atlas is not None
    pool = atlas.members(UNLABELED_POOL)
    colours = theme.POOL_COLOURS
    shares = {
        "chosen": (atlases.class_shares(atlas, _batch.indices), colours["chosen"]),
        "unlabeled pool": (atlases.class_shares(atlas, pool), colours["unlabeled"]),
    }
    margins: dict[str, tuple[NDArray[np.floating[Any]], str]] = {
        "chosen": (_batch.margins, colours["chosen"]),
        "unlabeled pool": (batch_data.pool_margins(atlas), colours["unlabeled"]),
    }
    return maps.class_balance(shares, _batch.classes), maps.margin_histogram(margins)


@st.fragment
def show_export(batch: Batch, oracle: bool) -> None:
    """Draw the hand-over."""
    with frame.guard():
        left, right = st.columns([3, 2])
        with left:
            exports.show(batch, oracle=oracle)
        with right:
            st.markdown("**Figures**")
            if batch.atlas is None:
                st.caption("There is no map of the images to save.")
                return
            classes, margins = balance(batch)
            embedded = map_view.map_of(batch)
            figures = {
                "Map of the images": embedded.figure,
                "Class guesses": classes,
                "Margins": margins,
            }
            exports.figures_button(figures, f"{batch.run.id}-{batch.strategy}-figures")
            st.caption("The camera in the bar above each figure saves it as a PNG.")


def show_unfinished(run: Run, trial: int, strategy: str, batch: Batch | None) -> None:
    """Say how far the choice is, and show the picks so far."""
    status, message = readers.status(run)
    if status in jobs.LIVE:
        _live(run, trial, strategy)
        return
    ended = theme.STATES[status][0]
    why = f" ({literal(message, 200)})" if message else ""
    st.info(
        f"{strategy_word(strategy)} has not spent its budget in this trial: the run is {ended}{why}. "
        "Resume it on Train."
    )
    _ways_out(run, trial)
    _show_so_far(batch)
    pace.await_news(lambda: readers.status(run))


@st.fragment(run_every=2)
def _live(run: Run, trial: int, strategy: str) -> None:
    """Show the picks as they come; draw the whole page when the choice is complete."""
    with frame.guard():
        batch = batch_data.load(run, trial, strategy)
        if (batch is not None and batch.complete) or readers.status(run)[0] not in jobs.LIVE:
            st.rerun()
        word = strategy_word(strategy)
        if batch is None:
            st.info(
                f"{word} has chosen nothing yet; its images appear here as soon as it does. Watch the run on Train.",
                icon=":material/hourglass_top:",
            )
        else:
            of = readers.config(run).budget
            st.info(f"{word} is choosing: {batch.count:,} of {of:,} images so far.")
        _ways_out(run, trial)
        _show_so_far(batch)


def _ways_out(run: Run, trial: int) -> None:
    """Link to the page where the run can be watched, and name strategies that are ready."""
    state.link("pages/train.py", run.id, "Open Train")
    ready = [strategy_word(name) for name in batch_data.ready(run, trial)]
    if ready:
        st.caption(f"Ready in this trial: {', '.join(ready)}.")


def _show_so_far(batch: Batch | None) -> None:
    """Show the picks of the steps made so far."""
    if batch is not None and batch.count:
        images_view.show_plain(batch)
