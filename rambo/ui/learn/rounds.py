"""One round against many: the same number of labels, asked for at once or a few at a time."""

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from rambo.figures import lesson_curves
from rambo.figures.prepared import Figure
from rambo.text import percent
from rambo.ui.components import plot
from rambo.ui.learn import parts, tables

Array = NDArray[np.float64]
CHOOSERS = ("margin", "entropy", "badge")


def accuracies(name: str) -> Array:
    """Return the final test accuracy by seed and number of rounds; a random choice has one column."""
    values: Array = np.array(tables.read(tables.Rounds).accuracies[name])
    return values


def mean_and_error(values: Array) -> tuple[float, float]:
    """Return the mean over the seeds and its standard error."""
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def show() -> None:
    """Draw the step."""
    data = tables.read(tables.Rounds)
    budget, options = data.settings.budget, data.rounds
    left, right = st.columns([2, 3], gap="large")
    with left:
        count = st.select_slider(
            "Rounds",
            options,
            value=1,
            key="rounds",
            bind="query-params",
            help="After each round the labels arrive, and f is trained again before it chooses the next ones.",
        )
        name = st.segmented_control(
            "Strategy",
            CHOOSERS,
            default=CHOOSERS[0],
            required=True,
            key="strategy",
            bind="query-params",
            help="Each works with f as it is at that moment.",
        )
        assert name is not None  # required
        table = accuracies(name)
        at = options.index(count)
        mean, error = mean_and_error(table[:, at])
        gain, spread = mean_and_error(table[:, at] - table[:, 0])
        random, _ = mean_and_error(accuracies("random")[:, 0])
        parts.numbers(
            {
                "Test accuracy": (
                    f"{100 * mean:.1f} ± {100 * error:.1f} %",
                    f"Mean and standard error over {len(table)} splits.",
                ),
                "Against one round": (
                    f"{100 * gain:+.1f} ± {100 * spread:.1f}",
                    "Points, split by split: what asking once costs, or saves.",
                ),
                "Against random": (
                    f"{100 * (mean - random):+.1f}",
                    "Points above random images, which need no f and no rounds.",
                ),
                "Labels a round": (
                    f"{budget // count}",
                    "People wait for f between the rounds; with one round nobody waits.",
                ),
            }
        )
        st.caption(
            f"{budget} labels in all on top of {data.settings.k}; f is a logistic head on pixels. It starts at "
            f"{percent(float(np.mean(data.start)))}."
        )
    with right:
        plot(
            figure(name, count),
            key="learn-rounds",
            height=430,
            alt="Test accuracy over the number of rounds for each strategy, with random choice as a line.",
        )


def figure(name: str, count: int) -> Figure:
    """Return the accuracy over the rounds for each strategy, this one in full colour."""
    return lesson_curves.rounds(
        tables.read(tables.Rounds).rounds,
        {other: [mean_and_error(column) for column in accuracies(other).T] for other in CHOOSERS},
        mean_and_error(accuracies("random")[:, 0])[0],
        name,
        count,
    )
