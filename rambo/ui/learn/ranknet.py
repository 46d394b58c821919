"""RankNet: what the loss of a pair asks of two scores, and why a rank and not a number."""

import dataclasses
import math

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from rambo.figures import lessons
from rambo.figures.prepared import Figure
from rambo.text import percent
from rambo.ui.components import plot
from rambo.ui.learn import parts, tables, which


@dataclasses.dataclass(frozen=True)
class RankPair:
    """What Definition 2 says of one pair.

    Attributes:
        probability: P_12 that the first set is the better one.
        target: 1, 0 or 0.5, by the sign of the utilities alone.
        loss: cross-entropy, nats.
        gradient: of the loss by s_1 - s_2.
    """

    probability: float
    target: float
    loss: float
    gradient: float


def rank_pair(gap: float, truth: float) -> RankPair:
    """Return probability, target, loss and gradient of a pair.

    Args:
        gap: s_1 - s_2, difference of the predicted utilities.
        truth: u_1 - u_2, difference of the utilities; only its sign counts.
    """
    probability = 1 / (1 + math.exp(-gap))
    target = (float(np.sign(truth)) + 1) / 2
    loss = float(np.logaddexp(0.0, gap)) - target * gap
    return RankPair(probability, target, loss, probability - target)


def show() -> None:
    """Draw the step."""
    left, right = st.columns(2, gap="large")
    with left:
        gap = st.slider(
            "Gap of the scores, s_1 - s_2",
            -6.0,
            6.0,
            1.0,
            0.1,
            key="gap",
            bind="query-params",
            help="What u_hat says: the predicted utility of the first set less that of the second.",
        )
        truth = st.slider(
            "Gap of the true utilities, u_1 - u_2, in points of accuracy",
            -10.0,
            10.0,
            3.0,
            0.5,
            key="truth",
            bind="query-params",
            help="What training says: the accuracy of the first set less that of the second.",
        )
        now = rank_pair(gap, truth)
        parts.numbers(
            {
                "Probability P_12": (
                    f"{now.probability:.3f}",
                    "How sure u_hat is that the first set is the better one.",
                ),
                "Loss": (f"{now.loss:.3f}", "Cross-entropy of the pair. A coin pays 0.693."),
                "Gradient": (
                    f"{now.gradient:+.3f}",
                    "Slope of the loss by the gap. Descent moves the gap against it.",
                ),
            }
        )
        plot(
            curve(gap, truth),
            key="learn-ranknet",
            height=330,
            alt="Loss of a pair over the gap of the scores, with the point and the way descent goes.",
        )
    with right:
        st.markdown("**Why a rank and not a number?**")
        first, second, sizes = _retrained()
        share = which.agreement(np.stack([first, second], axis=1))
        st.markdown(
            f"The same {len(first)} pairs, trained twice. The second training moved the gap by "
            f"**{np.abs(first - second).mean() * 100:.1f} points** on average, and the gap itself is "
            f"{np.abs(first).mean() * 100:.1f}: the number hardly repeats. The better set was the same in "
            f"**{percent(share, 0)}** of the pairs, and that is all a rank asks for."
        )
        plot(
            lessons.retrained(first, second, sizes),
            key="learn-jitter",
            height=430,
            alt="Gap of the utilities in the second training over the gap in the first, one point a pair.",
        )


def curve(gap: float, truth: float) -> Figure:
    """Return the loss over the gap of the scores, the point where it is, and the step of descent."""
    places = np.linspace(-6, 6, 97).tolist()
    pairs = [rank_pair(place, truth) for place in places]
    now = rank_pair(gap, truth)
    ahead = gap - 3 * now.gradient
    return lessons.pair_loss(
        places,
        [pair.loss for pair in pairs],
        [pair.probability for pair in pairs],
        (gap, now.loss),
        (ahead, rank_pair(ahead, truth).loss) if abs(now.gradient) > 0.02 else None,
    )


def _retrained() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return the gaps of the first and the second trainings of the shipped pairs, and the sizes."""
    rows = tables.read(tables.Pairs).pairs
    utilities = np.array([row.utilities for row in rows])  # pair x set x training
    gaps = utilities[:, 0] - utilities[:, 1]
    return gaps[:, 0], gaps[:, 1], np.array([len(row.sets[0]) for row in rows])
