"""The greedy steps of RAMBO: which candidate batches there were, and by how much the chosen one won."""

from collections.abc import Mapping

import streamlit as st

from rambo.events import BatchChosen
from rambo.figures import maps, theme
from rambo.runs.results import BATCHES_TAKEN, LEAD_CHOOSING, LEAD_JUDGING
from rambo.text import count, literal
from rambo.ui import frame, readers
from rambo.ui.batch import batch_data
from rambo.ui.batch.batch_data import Batch
from rambo.ui.components import ImageRow, plot, rows

_THUMBNAILS = 40  # images of a candidate


@st.fragment
def show(batch: Batch) -> None:
    """Draw the candidates of one step."""
    with frame.guard():
        if not batch.decisions:
            st.info("The greedy steps of this run were not recorded; run it again to see them.")
            return
        decision = pick_step(batch, key="candidates-step")
        word = ranker(batch)
        show_result(decision, word)
        for sentence in choice_sentences(batch):
            st.markdown(sentence)
        st.markdown("**All candidates of this step**")
        figure = maps.candidate_strip(decision.utilities, decision.utility, word=word)
        alt = f"Predicted utilities of {len(decision.utilities)} candidate batches"
        plot(figure, key="candidates-strip", height=172, alt=alt)
        st.markdown(f"**The best {len(decision.candidates)}, best first**")
        show_candidates(batch, decision)


def pick_step(batch: Batch, *, key: str) -> BatchChosen:
    """Return the greedy step a person wants to see."""
    if len(batch.decisions) == 1:
        return batch.decisions[0]
    place = st.select_slider(
        "Greedy step",
        options=list(range(len(batch.decisions))),
        format_func=lambda place: str(batch.decisions[place].step + 1),
        key=f"{key}-{batch.key}",
        width=420,
        help="Each step adds one batch to S_j, the labeled images and all that was chosen before.",
    )
    return batch.decisions[place]


def ranker(batch: Batch) -> str:
    """Return what ranked the candidates: u_hat, or in RAMBO+ a fit in closed form, which is another."""
    return "u_hat" if batch.strategy == "rambo" else "Utility"


def show_result(decision: BatchChosen, word: str) -> None:
    """Say in numbers how the step was decided.

    Args:
        decision: the step.
        word: for what ranked the candidates.
    """
    with st.container(horizontal=True):
        st.metric("Candidates", f"{len(decision.utilities):,}", help="Batches of the filter")
        st.metric(
            f"{word} of the chosen batch",
            f"{decision.utility:.3f}",
            help="Of S_j with that batch; a number for ranking, without unit: only differences count.",
        )
        gap = decision.gap
        st.metric("Ahead of the runner-up", "-" if gap is None else f"{gap:+.3f}")
        if decision.candidate_margins:
            st.metric(
                "Its mean margin",
                f"{decision.candidate_margins[0]:.3f}",
                help="0: f hesitates between two classes; 1: f is sure.",
            )


def choice_sentences(batch: Batch) -> list[str]:
    """Return what RAMBO+ reports of all its steps: whose batches it took, and how much of their lead was chance."""
    for result in readers.summary(batch.run).results:
        if (result.strategy, result.trial) == (batch.strategy, batch.trial):
            return figure_sentences(result.figures)
    return []


def figure_sentences(figures: Mapping[str, float | int | str]) -> list[str]:
    """Return the figures of a choice that are about its steps, as sentences."""
    sentences = []
    if BATCHES_TAKEN in figures:
        sentences.append(
            "Each candidate is what another strategy would take next. Over all steps it took the batches of "
            f"**{literal(str(figures[BATCHES_TAKEN]))}**."
        )
    choosing, judging = figures.get(LEAD_CHOOSING), figures.get(LEAD_JUDGING)
    if isinstance(choosing, float) and isinstance(judging, float):
        sentences.append(
            "Half of the validation images chose. Judged by them, what was taken lay "
            f"**{choosing:.1f}** spreads of the candidates above their mean, as a mean over the steps; judged by the "
            f"other half, **{judging:.1f}**. The difference was the chance of the half that chose."
        )
    return sentences


def show_candidates(batch: Batch, decision: BatchChosen) -> None:
    """Draw the best candidates as rows of images."""
    best = decision.candidate_utilities[0] if decision.candidate_utilities else 0.0
    lines = []
    pairs = list(zip(decision.candidates, decision.candidate_utilities, strict=True))
    for place, (members, utility) in enumerate(pairs):
        margin = decision.candidate_margins[place]
        behind = "" if place == 0 else f" ({utility - best:+.3f})"
        whose = decision.candidate_strategies[place : place + 1]
        owner = "".join(f"{theme.strategy_word(name)}: " for name in whose)
        more = f", first {_THUMBNAILS} of {len(members)}" if len(members) > _THUMBNAILS else ""
        lines.append(
            ImageRow(
                members[:_THUMBNAILS],
                f"{owner}{ranker(batch)} {utility:.3f}{behind}, mean margin {margin:.3f}{more}",
                "chosen" if set(members) == set(decision.chosen) else None,
            )
        )
    ids = list(dict.fromkeys(item for line in lines for item in line.ids))
    rows(
        batch_data.sheet(batch, ids),
        lines,
        key="candidates-rows",
        size=36,
        captions=batch_data.captions(batch, ids),
    )
    st.caption(
        f"Each row is one candidate of {count(len(decision.chosen), 'image')}; hover an image for its guess."
    )
