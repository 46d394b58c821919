"""From margin to u_hat: the chosen images for every filter size M."""

from functools import cache

import numpy as np
import streamlit as st

from rambo.figures import lesson_curves
from rambo.figures.prepared import Figure
from rambo.text import percent
from rambo.ui import finished
from rambo.ui.components import gallery, plot
from rambo.ui.learn import parts, tables

_START = 200


@cache
def shipped() -> dict[int, tables.Filter]:
    """Return what was chosen by filter size."""
    return {row.filter_size: row for row in tables.read(tables.Filters).filters}


def sizes() -> list[int]:
    """Return the filter sizes in order."""
    return sorted(shipped())


@cache
def _universe() -> tuple[int, ...]:
    """Return every image that any filter size chose: one sheet for all of them."""
    return tuple(sorted({image for row in shipped().values() for image in row.chosen}))


def show() -> None:
    """Draw the step."""
    data = tables.read(tables.Filters)
    left, right = st.columns([2, 3], gap="large")
    with left:
        size = st.select_slider(
            "M: how many of the smallest margins a step looks at",
            sizes(),
            value=_START,
            key="M",
            bind="query-params",
            help=f"b = {data.batch_size} is margin sampling; the whole pool is u_hat alone.",
        )
        st.caption(
            f"u_hat and margins of the finished run that comes along, first trial. With M = {data.own} this is what "
            "RAMBO chose there."
        )
        finished.offer_finished(key="learn-filter-run")
        row, margin = shipped()[size], shipped()[sizes()[0]]
        shared = len(set(row.chosen) & set(margin.chosen))
        accuracies = np.array(row.test_accuracies)
        parts.numbers(
            {
                "Test accuracy": (
                    percent(float(accuracies.mean())),
                    f"Mean of {len(accuracies)} trainings of f on S_0 and the choice: "
                    + ", ".join(percent(float(a)) for a in accuracies),
                ),
                "Mean margin": (
                    f"{np.mean(row.margins):.3f}",
                    "Of the chosen images; small means f hesitates.",
                ),
                "As margin chooses": (
                    f"{shared} of {data.budget}",
                    "How many of them margin sampling (M = b) takes too.",
                ),
            }
        )
        plot(
            figure(size),
            key="learn-filter",
            height=360,
            alt="Test accuracy and mean margin of the choice over the filter size M.",
        )
    with right:
        st.markdown(f"**The {data.budget} chosen images**, in the order of choice")
        by_margin = set(margin.chosen)
        gallery(
            tables.sheet(_universe()),
            row.chosen,
            key="learn-filter-chosen",
            size=32,
            readonly=True,
            max_height=520,
            groups={
                image: "margin takes it too" if image in by_margin else "only with this M"
                for image in row.chosen
            },
            captions={
                image: f"step {i // data.batch_size + 1}, margin {m:.3f}"
                for i, (image, m) in enumerate(zip(row.chosen, row.margins, strict=True))
            },
            label="The chosen images",
        )


def figure(size: int) -> Figure:
    """Return test accuracy and mean margin over M."""
    rows = [shipped()[m] for m in sizes()]
    return lesson_curves.filters(
        sizes(),
        [row.test_accuracies for row in rows],
        [float(np.mean(row.margins)) for row in rows],
        size,
    )
