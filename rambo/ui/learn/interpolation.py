"""Interpolated utilities: what Equation 4 says of a set between S_i and S_{i+1}, beside its true utility."""

import dataclasses
from functools import cache

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from rambo.figures import lesson_curves
from rambo.figures.prepared import Figure
from rambo.text import percent
from rambo.ui.components import gallery, plot
from rambo.ui.learn import parts, tables
from rambo.ui.learn.which import right_share

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Sets:
    """The sets of a pretraining round, `s` of them, two to a pair.

    Attributes:
        members: image indices of each.
        distances: `s x 2`, d_i and d_{i+1}, between embeddings by u_hat.
        utilities: `s x 2`, true ones, of two trainings.
        accuracies: acc_i and acc_{i+1}.
        sizes: of S_i and S_{i+1}.
    """

    members: list[list[int]]
    distances: Array
    utilities: Array
    accuracies: tuple[float, float]
    sizes: tuple[int, int]


@cache
def shipped() -> Sets:
    """Return the shipped sets."""
    data = tables.read(tables.Interpolation)
    rows = data.sets
    return Sets(
        [row.members for row in rows],
        np.array([row.distances for row in rows]),
        np.array([row.utilities for row in rows]),
        (data.accuracies[0], data.accuracies[1]),
        (data.sizes[0], data.sizes[1]),
    )


def interpolate(distances: Array, accuracies: tuple[float, float]) -> tuple[Array, Array]:
    """Return alpha and the interpolated utility of each set (Equation 4): the nearer labeled pool weighs more.

    Args:
        distances: `... x 2`, d_i and d_{i+1}.
        accuracies: acc_i and acc_{i+1}.
    """
    total = distances.sum(-1)
    alpha = np.where(total > 0, distances[..., 1] / np.where(total > 0, total, 1), 0.5)
    return alpha, alpha * accuracies[0] + (1 - alpha) * accuracies[1]


def show() -> None:
    """Draw the step."""
    sets = shipped()
    left, right = st.columns([2, 3], gap="large")
    with left:
        number = st.slider(
            "Set of the last pretraining round",
            1,
            len(sets.members),
            1,
            key="set",
            bind="query-params",
            help="Random subsets of S_i, each trained here for once, so that the truth is known.",
        )
        own = st.toggle("Move the distances yourself", key="own", bind="query-params")
        near = st.slider(
            "d_i: distance to S_i",
            0.0,
            1.0,
            0.4,
            0.05,
            key="near",
            bind="query-params",
            disabled=not own,
        )
        far = st.slider(
            "d_{i+1}: distance to S_{i+1}".replace("{", "").replace("}", ""),
            0.0,
            1.0,
            0.6,
            0.05,
            key="far",
            bind="query-params",
            disabled=not own,
        )
        at = number - 1
        distances = np.array([near, far]) if own else sets.distances[at]
        alpha, value = interpolate(distances, sets.accuracies)
        parts.numbers(
            {
                "alpha": (f"{float(alpha):.3f}", "Weight of acc_i: d_{i+1} / (d_i + d_{i+1})."),
                "Interpolated utility": (
                    percent(float(value)),
                    "alpha acc_i + (1 - alpha) acc_{i+1}.",
                ),
                **(
                    {}
                    if own
                    else {
                        "True utility": (
                            percent(float(sets.utilities[at].mean())),
                            "Validation accuracy of f trained on this set alone, mean of two trainings.",
                        )
                    }
                ),
            }
        )
        if not own:
            members = sets.members[at]
            st.caption(f"The set: {len(members)} images")
            gallery(
                tables.sheet(_universe()),
                members,
                key="learn-interpolation-set",
                size=24,
                readonly=True,
                max_height=170,
                captions=tables.captions(members),
                label="The set",
            )
    with right:
        plot(
            figure(sets, None if own else at, (float(alpha), float(value))),
            key="learn-interpolation",
            height=430,
            alt="Interpolated utilities on the line between both accuracies, and the true utilities of the same sets.",
        )
        truth = sets.utilities.reshape(-1, 2, 2)
        _, values = interpolate(sets.distances, sets.accuracies)
        share = right_share(
            values.reshape(-1, 2) @ np.array([1.0, -1.0]), truth[:, 0, 0] - truth[:, 1, 0]
        )
        st.markdown(
            f"Of these {len(truth)} pairs, Equation 4 names the truly better set in **{percent(share, 0)}**; a coin "
            "would in 50 %."
        )


@cache
def _universe() -> tuple[int, ...]:
    """Return all images of all sets."""
    return tuple(sorted({image for members in shipped().members for image in members}))


def figure(sets: Sets, at: int | None, now: tuple[float, float]) -> Figure:
    """Return the line of Equation 4, the sets on it, and their true utilities.

    Args:
        sets: of a round.
        at: the set at hand, or None where its distances are made up.
        now: alpha and the interpolated utility.
    """
    alpha, values = interpolate(sets.distances, sets.accuracies)
    first, second = zip(sets.accuracies, sets.sizes, strict=True)
    return lesson_curves.equation_4(
        1 - alpha,
        values,
        sets.utilities,
        [len(members) for members in sets.members],
        (first, second),
        (1 - now[0], now[1]),
        at,
    )
