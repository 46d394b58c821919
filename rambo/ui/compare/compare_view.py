"""The page Compare: the strategies of a run side by side, honest about what one can and cannot say."""

import dataclasses
from collections.abc import Hashable, Sequence

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from rambo import checks, lineup
from rambo import config as configs
from rambo.datasets.prepared import TEST
from rambo.errors import DataError, RamboError
from rambo.figures import maps, rivals, theme
from rambo.runs import atlas as atlases
from rambo.runs import report
from rambo.runs.atlas import UNLABELED_POOL, Indices
from rambo.runs.results import Result
from rambo.runs.workspace import Run
from rambo.text import count, literal, percent
from rambo.ui import controls, finished, frame, readers, state, visitor
from rambo.ui.batch import batch_data
from rambo.ui.batch.batch_data import Batch
from rambo.ui.compare import runs_view
from rambo.ui.components import PreparedFigure, gallery, plot

_THUMBNAILS = 600  # thumbnails of one gallery
_BOTH = "#b8860b"
_MANY, _FEW = (
    6,
    4,
)  # strategies that fit into one figure; those that are picked at first where more chose
_COLUMNS = {
    "trials": st.column_config.NumberColumn(width="small"),
    "trained": st.column_config.NumberColumn(
        width="small", help="Classifiers trained, for all trials together"
    ),
    "reused": st.column_config.NumberColumn(
        width="small",
        help="Classifiers that were trained before and found again: the strategies share f on the k labels",
    ),
}


def show(run: Run) -> None:
    """Draw the page for a run."""
    results = readers.summary(run).results
    _offer_controls(run)
    if not results:
        st.info(
            "No strategy has chosen yet. This page fills as they do.",
            icon=":material/hourglass_top:",
        )
        state.link("pages/train.py", run.id, "Watch it learn")
        return
    _show_accuracies(run, results)
    _show_labels(run)
    trial = _pick_trial(run)
    ready = batch_data.ready(run, trial)
    if len(ready) < 2:
        st.info("The choices can be laid side by side when two strategies have chosen.")
    else:
        batches = {name: batch for name in ready if (batch := batch_data.load(run, trial, name))}
        _show_overlap(_pick_few(run, batches))
        _show_pair(run, trial, batches)
    runs_view.show(run)


def filters(run: Run) -> dict[str, str | None]:
    """Return the trial and the two strategies that a person picked, as the address has them."""
    session = st.session_state
    trial, a = session.get(f"compare-trial-{run.id}"), session.get(f"compare-a-{run.id}")
    b = session.get(f"compare-b-{run.id}-{a}")
    return {"trial": None if trial is None else str(trial), "a": a, "b": b}


def test_images(run: Run) -> int | None:
    """Return on how many images a test accuracy was measured, or None where the dataset is not there."""
    try:
        return int(np.sum(readers.dataset(run).roles == TEST))
    except RamboError:
        return None


def _offer_controls(run: Run) -> None:
    """Say which of the rivals a run goes without, and offer a run that has them."""
    missing = rivals.missing_controls(readers.config(run).strategies)
    if not missing:
        return
    names = ", ".join(theme.strategy_word(name) for name in missing)
    st.warning(
        f"This run goes without {names}, so it cannot show whether RAMBO is worth its price.",
        icon=":material/balance:",
    )
    if st.button(
        "Run the same with all rivals",
        icon=":material/add:",
        key="add-rivals",
        disabled=not visitor.may_edit(),
    ):
        _start_with_rivals(run)
    st.caption("What was trained before is found again, so this is quick.")
    chosen = readers.config(run).strategies
    if absent := [literal(name) for name in chosen if name not in lineup.names()]:
        st.caption(f"It goes without {', '.join(absent)}, whose plugin is not here.")


def _start_with_rivals(run: Run) -> None:
    """Start a run of the same settings with the strategies it lacks."""
    config = readers.config(run)
    names = {"rambo", *config.strategies, *lineup.CONTROLS}
    strategies = [name for name in lineup.names() if name in names]
    config = configs.restore(configs.describe(config) | {"strategies": strategies})
    state.go("pages/train.py", controls.start(config, readers.dataset(run)).id)


def _show_accuracies(run: Run, results: Sequence[Result]) -> None:
    """Draw the accuracies and the verdict."""
    st.header("Accuracy after buying the labels")
    if readers.waits(run):
        st.info(
            "Waiting for labels: nobody knows those of the chosen images yet, so no accuracy can be compared. What "
            "the strategies chose stands below. A rehearsal on your labeled images tells which of them wins there.",
            icon=":material/new_label:",
        )
        return
    if sentence := readers.rehearsal_verdict(run):
        st.info(literal(sentence, 500), icon=":material/theater_comedy:")
    if all(result.test_accuracy is None for result in results):
        st.info("The labels are not revealed yet: accuracies come with the last stage.")
        return
    left, right = _wide("accuracy").columns([3, 2], gap="large")
    with left:
        images = test_images(run)
        figure = rivals.accuracy_figure(results, images)
        plot(
            figure,
            key=f"accuracy-{run.id}",
            height=max(250, 60 + 28 * len(rivals.evaluated(results))),
            alt="Test accuracy of every strategy with its standard error.",
            file_name="rambo-accuracy",
        )
    with right:
        st.markdown(f"**{literal(verdict(results), 300)}**")
        st.caption(
            f"{_judges(run)} trained on the k labels and the B bought ones. The test images serve this figure "
            "alone; bars are one standard error over the trials, rings are single trials."
            + (
                f" The pale band is what chance does on {count(images, 'test image')}."
                if images
                else ""
            )
        )
        if proxy := report.proxy_words(readers.summary(run).config):
            st.caption(f":material/info: {proxy[0].upper()}{proxy[1:]}.")
    table = rivals.accuracy_table(results)
    st.dataframe(table, hide_index=True, width="stretch", height="content", column_config=_COLUMNS)
    _show_classes(run, results)
    if by_strategy := report.figure_words(results):
        with st.expander("What the strategies say of their choices"):
            for name, words in by_strategy.items():
                st.markdown(f"**{literal(theme.strategy_word(name))}**: {literal(words, 400)}")


def _show_labels(run: Run) -> None:
    """Draw accuracy against labels where it was measured: for the run that comes along."""
    curve = finished.curve()
    if curve is None or curve.run != run.id:
        return
    st.header("Accuracy against labels")
    finished.show_curve(curve, key=f"labels-{run.id}")


def _judges(run: Run) -> str:
    """Return what is trained on each choice, as the beginning of a sentence."""
    repeats = readers.config(run).evaluation.repeats
    if repeats == 1:
        return "A fresh classifier f is"
    return f"The mean counts of {repeats} fresh classifiers f"


def _show_classes(run: Run, results: Sequence[Result]) -> None:
    """Draw the test accuracy of every class, for those who care about rare ones."""
    try:
        data = readers.dataset(run)
    except DataError:
        return  # its images are gone; the accuracies above are in the record
    for words in checks.judging_words(data):
        st.caption(f":material/info: {literal(words[0].upper() + words[1:], 300)}.")
    table = rivals.class_table(results, data.classes)
    if table.empty:
        return
    with st.expander("Accuracy of each class"):
        columns = {
            name: st.column_config.NumberColumn(format="%.1f", width="small")
            for name in table.columns[1:]
        }
        st.dataframe(table, hide_index=True, width="stretch", column_config=columns)
        st.caption(
            "Percent of the test images of a class that f gets right, means over the trials. Balanced, in the table "
            "above, is their mean: every class counts the same, however few images it has."
        )


def verdict(results: Sequence[Result]) -> str:
    """Return what the figures say of u_hat, in plain words, also where they say nothing or the wrong thing."""
    sentence = rivals.verdict(results)
    if sentence is None:
        return (
            "RAMBO and its control Filter only are not both evaluated, so u_hat cannot be judged."
        )
    pair = f"{theme.strategy_word('rambo')} minus {theme.strategy_word('filter-only')}"
    return f"{sentence}.".replace("rambo minus filter-only", pair)


def _wide(name: str) -> DeltaGenerator:
    """Return the place of columns that stand below each other in a narrow window; `pages/compare.py` has the style."""
    return st.container(key=f"compare-wide-{name}")


def _pick_trial(run: Run) -> int:
    """Return the trial whose choices are laid side by side."""
    trials = batch_data.trials(run)
    if len(trials) == 1:
        return 0
    seed = readers.config(run).seed
    picked = st.segmented_control(
        "Trial",
        trials[:50],
        default=trials[0],
        format_func=lambda trial: f"{trial + 1} (seed {seed + trial})",
        key=f"compare-trial-{run.id}",
        help="Accuracies above are over all trials; the images below are those of one.",
    )
    return picked or 0


def few(batches: dict[str, Batch]) -> dict[str, Batch]:
    """Return as many choices as one figure holds, the first ones."""
    return batches if len(batches) <= _MANY else dict(list(batches.items())[:_FEW])


def _pick_few(run: Run, batches: dict[str, Batch]) -> dict[str, Batch]:
    """Return the choices to lay side by side; where there are many, those that a person picks."""
    if len(batches) <= _MANY:
        return batches
    picked = st.pills(
        "Strategies in the two figures below",
        list(batches),
        default=list(few(batches)),
        selection_mode="multi",
        format_func=theme.strategy_word,
        key=f"compare-few-{run.id}",
    )
    return {name: batches[name] for name in batches if name in picked} or batches


def _show_overlap(batches: dict[str, Batch]) -> None:
    """Draw how much the choices share, and which classes they favour."""
    left, right = _wide("overlap").columns(2, gap="large")
    with left:
        st.header("Overlap")
        chosen = {name: batch.indices for name, batch in batches.items()}
        plot(
            rivals.overlap_figure(chosen),
            key=f"overlap-{len(chosen)}",
            height=120 + 44 * len(chosen),
            alt="Jaccard index between the choices of every two strategies; the table below has the numbers.",
            file_name="rambo-overlap",
        )
        table = rivals.jaccard(chosen)
        columns = {
            name: st.column_config.NumberColumn(name, format="%.2f", width="small")
            for name in table.columns
        }
        named = table.rename_axis("Strategy")  # a header without words is none for a screen reader
        with st.expander("The numbers as a table"):
            st.dataframe(named, column_config=columns, width="stretch", height="content")
        st.caption(
            "Jaccard index: images that both chose over images that either chose. 1 is the same batch."
        )
    with right:
        st.header("Class balance")
        first = next(iter(batches.values()))
        if first.atlas is None:
            st.info("This run has no predictions of f to count classes by.")
            return
        plot(
            balance(batches),
            key=f"balance-{first.run.id}-{first.trial}",
            height=340,
            alt="Shares of the classes that f guesses, for each strategy and the unlabeled pool.",
            file_name="rambo-class-balance",
        )
        st.caption(
            "Classes as f, trained on the k labels, guesses them. Grey is the unlabeled pool."
        )


def balance(batches: dict[str, Batch]) -> PreparedFigure:
    """Return the class shares of every choice beside those of the pool."""
    first = next(iter(batches.values()))
    atlas = first.atlas
    assert atlas is not None
    pool = atlases.class_shares(atlas, atlas.members(UNLABELED_POOL))
    parts = {"unlabeled pool": (pool, theme.POOL_COLOURS["unlabeled"])}
    for name, batch in batches.items():
        shares = atlases.class_shares(atlas, batch.indices)
        parts[theme.strategy_word(name)] = (shares, lineup.of(name).colour)
    return maps.class_balance(parts, first.classes)


def _show_pair(run: Run, trial: int, batches: dict[str, Batch]) -> None:
    """Let a person pick two strategies and see who owns which image."""
    st.header("Two choices side by side")
    names = list(batches)
    a = _pick(names, names[0], f"compare-a-{run.id}", "First")
    others = [name for name in names if name != a]
    b = _pick(others, others[0], f"compare-b-{run.id}-{a}", "Second")
    _show_two(run, trial, batches[a], batches[b])


def _pick(names: Sequence[str], default: str, key: str, label: str) -> str:
    """Return one strategy."""
    picked = st.segmented_control(
        label,
        names,
        default=default,
        format_func=theme.strategy_word,
        key=key,
    )
    return picked or default


@st.fragment
def _show_two(run: Run, trial: int, a: Batch, b: Batch) -> None:
    """Draw the galleries and the map of two choices."""
    with frame.guard():
        split = rivals.owners(a.indices, b.indices)
        first, second = (theme.strategy_word(batch.strategy) for batch in (a, b))
        parts = {f"{first} alone": split.first, "Both": split.both, f"{second} alone": split.second}
        oracle = st.toggle(
            "Show the oracle's answers",
            key=f"compare-oracle-{run.id}",
            help="True labels. In real labeling you would not know them before paying.",
        )
        for column, (name, ids) in zip(st.columns(3, gap="medium"), parts.items(), strict=True):
            with column:
                _show_part(run, a if name != f"{second} alone" else b, name, ids, oracle=oracle)
        _show_map(a, b, split, (first, second))


def _show_part(run: Run, batch: Batch, name: str, ids: Indices, *, oracle: bool) -> None:
    """Draw one gallery."""
    st.markdown(f"**{name}** · {count(len(ids), 'image')}")
    visible = ids[:_THUMBNAILS]
    captions = batch_data.captions(batch, visible.tolist(), oracle=oracle)
    gallery(
        batch_data.sheet(batch, visible.tolist()),
        visible.tolist(),
        key=f"part-{run.id}-{batch.trial}-{batch.strategy}-{name}",
        size=44,
        readonly=True,
        captions=captions,
        empty="None.",
        label=name,
        max_height=420,
    )
    facts = _facts(batch, ids, oracle=oracle)
    if facts:
        st.caption(facts)


def _facts(batch: Batch, ids: Indices, *, oracle: bool) -> str:
    """Return mean margin and, behind the switch, how often f is right."""
    places = [place for index in ids.tolist() if (place := batch.at(index)) is not None]
    margins = batch.margins[places]
    parts = []
    if len(margins) and np.isfinite(margins).any():
        parts.append(f"mean margin {np.nanmean(margins):.3f}")
    if oracle and batch.data is not None and len(places):
        right = np.asarray(batch.data.labels[ids.tolist()]) == batch.guesses[places]
        parts.append(f"f guesses {percent(float(right.mean()), 0)} of them right")
    return ", ".join(parts)


def _show_map(a: Batch, b: Batch, split: rivals.Owners, names: tuple[str, str]) -> None:
    """Draw the embedding map coloured by owner."""
    if a.atlas is None:
        for trouble in a.troubles:
            st.info(literal(trouble, 300))
        return
    owners = owners_map(a, b, split)
    # Not across the page: stretched, near and far would mislead.
    with st.container(key="wide-owners"):
        left, right = st.columns([3, 2], gap="large")
    with left:
        plot(
            owners.figure,
            key=f"owners-{a.run.id}-{a.trial}-{a.strategy}-{b.strategy}",
            height=600,
            alt=f"Map of all images; those that only {names[0]}, only {names[1]} or both chose are marked.",
            file_name="rambo-owners",
        )
    right.caption(owners.caption)


def owners_map(a: Batch, b: Batch, split: rivals.Owners) -> maps.EmbeddingMap:
    """Return the map of two strategies' choices, made once.

    Args:
        a: with an atlas.
        b: of the same trial.
        split: who owns which image.
    """
    return _map(a.stamp, b.stamp, _batches=(a, b), _split=split)


@st.cache_resource(show_spinner=False, max_entries=16)
def _map(
    first: Hashable, second: Hashable, *, _batches: tuple[Batch, Batch], _split: rivals.Owners
) -> maps.EmbeddingMap:
    """Return the map of two strategies' choices; the two stamps alone are the key of the cache."""
    atlas = _batches[0].atlas
    assert atlas is not None
    groups = []
    for batch, own in zip(_batches, (_split.first, _split.second), strict=True):
        name = batch.strategy
        look = lineup.of(name).colour, lineup.of(name).symbol, 9
        groups.append(maps.Group(f"only {theme.strategy_word(name)}", own, *look))
    groups.append(maps.Group("both", _split.both, _BOTH, "star", 11))
    placed = [
        dataclasses.replace(group, ids=group.ids[np.isin(group.ids, atlas.indices)])
        for group in groups
    ]
    return maps.embedding_map(atlas, maps.pools(atlas, placed), _batches[0].classes)
