"""What the page Train presents: what u_hat learns, a chart at a time."""

import functools
import time
from collections.abc import Sequence

import streamlit as st

from rambo.figures.charts import CHARTS, Chart
from rambo.runs.workspace import Run
from rambo.text import percent
from rambo.ui import present, readers
from rambo.ui.present import Slide
from rambo.ui.train.feed import Feed, feed
from rambo.ui.train.sentences import remaining


def slides(run: Run) -> Sequence[Slide]:
    """Return the charts that a run has, or will have."""
    config = readers.config(run)
    if "rambo" not in config.strategies:
        return []
    events, status = feed(run), readers.status(run)[0]
    view = events.look(status, time.time())
    typed = st.query_params.get("trial", "")
    trial = int(typed) if typed in {str(number) for number in range(view.trials)} else view.trial
    going = ""
    if status == "running":
        rest = f", {remaining(view.remaining)}" if view.remaining else ""
        going = f" Now: {view.sentence} {percent(view.progress, 0)}{rest}."
    return [
        Slide(
            chart.name,
            chart.title,
            chart.caption + going,
            functools.partial(_draw, events, chart, trial),
        )
        for chart in CHARTS
        if not chart.missing(config)
    ]


def _draw(events: Feed, chart: Chart, trial: int) -> None:
    """Draw a chart."""
    figure = events.figure(chart, trial, chart.draw)
    present.chart(figure, key=chart.name, alt=chart.alt, waits=chart.waits)
