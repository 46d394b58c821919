"""Which set teaches more? Guess, and stand beside a coin, u_hat, and a second training of the same sets."""

import dataclasses
from functools import cache

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from rambo.figures import lessons
from rambo.runs.results import perfect_shares
from rambo.text import count, percent
from rambo.ui.components import gallery, plot
from rambo.ui.learn import tables

SIDES = ("A", "B")


@dataclasses.dataclass(frozen=True, eq=False)
class PairScores:
    """The shipped pairs.

    Attributes:
        sets: `p` pairs of lists of image indices.
        utilities: `p x 2 x 2`, set by training.
        scores: `p x 2`, predicted utilities of a u_hat that never saw the pair.
    """

    sets: list[tuple[list[int], list[int]]]
    utilities: NDArray[np.float64]
    scores: NDArray[np.float64]


@cache
def shipped() -> PairScores:
    """Return the shipped pairs."""
    rows = tables.read(tables.Pairs).pairs
    return PairScores(
        [row.sets for row in rows],
        np.array([row.utilities for row in rows]),
        np.array([row.scores for row in rows]),
    )


def right_share(guess: NDArray[np.float64], truth: NDArray[np.float64]) -> float | None:
    """Return how often a guess names the better set, in [0, 1]; pairs of equal utility have no better one.

    Args:
        guess: `p` differences, first set less second; 0 counts one half.
        truth: `p` differences of the utilities.
    """
    ordered = np.sign(truth) != 0
    if not ordered.any():
        return None
    return float((np.sign(guess) * np.sign(truth) + 1)[ordered].mean() / 2)


def show() -> None:
    """Draw the step."""
    pairs = shipped()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        number = st.slider(
            "Pair",
            1,
            len(pairs.sets),
            1,
            key="pair",
            bind="query-params",
            help="Each pair has two sets of one size, drawn at random from 200 labeled images.",
        )
        st.button(
            "Next pair", key="learn-pair-next", icon=":material/arrow_forward:", on_click=_next
        )
    at = number - 1
    guesses: dict[int, int] = st.session_state.setdefault("learn-guesses", {})
    for side, column in enumerate(st.columns(2, gap="large")):
        with column:
            _set(side, pairs.sets[at][side])
            st.button(
                f"Set {SIDES[side]} teaches more",
                key=f"learn-guess-{SIDES[side]}",
                type="secondary" if at in guesses else "primary",
                disabled=at in guesses,
                on_click=_guess,
                args=(at, side),
                width="stretch",
            )
    if at not in guesses:
        st.caption("Guess first: then you see what training said.")
        return
    _reveal(pairs, at, guesses)


def _set(side: int, members: list[int]) -> None:
    """Draw a set, its images in the order of their classes."""
    labels = tables.dataset()[1]
    ordered = sorted(members, key=lambda image: (labels[image], image))
    classes = len(np.unique(labels[members]))
    st.markdown(f"**Set {SIDES[side]}**: {len(members)} images of {classes} classes")
    gallery(
        tables.sheet(sorted(tables.read(tables.Pairs).labeled)),
        ordered,
        key=f"learn-pair-{SIDES[side]}",
        size=34 if len(members) <= 60 else 24,
        readonly=True,
        captions=tables.captions(ordered),
        max_height=330,
        label=f"Set {SIDES[side]}",
    )


def _next() -> None:
    """Go to the next pair, after the last to the first."""
    st.session_state["pair"] = st.session_state.get("pair", 1) % len(shipped().sets) + 1


def _guess(at: int, side: int) -> None:
    """Keep the guess; the first one counts."""
    st.session_state["learn-guesses"].setdefault(at, side)


def _reveal(pairs: PairScores, at: int, guesses: dict[int, int]) -> None:
    """Draw what training said of this pair, and the shares."""
    first, second = pairs.utilities[at][:, 0], pairs.utilities[at][:, 1]
    u_hat = "A" if pairs.scores[at][0] > pairs.scores[at][1] else "B"
    better = "neither" if first[0] == first[1] else SIDES[int(first.argmax())]
    again = "neither" if second[0] == second[1] else SIDES[int(second.argmax())]
    guess = SIDES[guesses[at]]
    icon = ":material/check_circle:" if guess == better else ":material/cancel:"
    (st.success if guess == better else st.warning)(
        f"You said **{guess}**. Trained once, A reaches {percent(first[0])} and B {percent(first[1])}: "
        f"**{better}**. Trained again, A {percent(second[0])} and B {percent(second[1])}: **{again}**. "
        f"u_hat said **{u_hat}**.",
        icon=icon,
    )
    gaps = pairs.utilities[:, 0] - pairs.utilities[:, 1]
    tried = np.array(sorted(guesses))
    yours = right_share(np.array([1.0 - 2 * guesses[i] for i in tried]), gaps[tried, 0])
    model = right_share(pairs.scores[:, 0] - pairs.scores[:, 1], gaps[:, 0])
    alike = agreement(gaps)
    low, high = perfect_shares(alike)
    st.markdown(
        f"Right so far: **you {percent(yours, 0)}** of {count(len(tried), 'pair')}, u_hat {percent(model, 0)} of "
        f"{len(gaps)}, a coin 50 %. Two trainings agree in {percent(alike, 0)}; that is no ceiling: a perfect model "
        f"would be right in {percent(low, 0)} to {percent(high, 0)}."
    )
    plot(
        lessons.shares(yours, model, (low, high)),
        key="learn-which-figure",
        height=230,
        alt="Your share right beside a coin, u_hat and what a perfect model would reach.",
    )


def agreement(gaps: NDArray[np.float64]) -> float:
    """Return how often two trainings agree, ties counted as `right_share` counts them, each the truth in turn.

    Args:
        gaps: `p x 2` differences of utility, pair by training.
    """
    first, second = gaps[:, 0], gaps[:, 1]
    shares = [right_share(first, second), right_share(second, first)]
    return float(np.mean([share for share in shares if share is not None]))
