"""What the page Batch presents: the chosen images, where they lie, and how they differ from the pool."""

import functools
from collections.abc import Sequence

import streamlit as st

from rambo.figures.charts import CHARTS
from rambo.figures.theme import strategy_word
from rambo.runs.workspace import Run
from rambo.text import count
from rambo.ui import present
from rambo.ui.batch import batch_data, map_view
from rambo.ui.batch.batch_data import Batch
from rambo.ui.batch.batch_view import address_choice, balance, sentence
from rambo.ui.components import PreparedFigure, gallery
from rambo.ui.present import Slide
from rambo.ui.train.feed import feed

_THUMBNAILS = 200  # images that a room can look at


def slides(run: Run) -> Sequence[Slide]:
    """Return what there is to say of the choice that the address names."""
    strategy, trial = address_choice(run)
    batch = batch_data.load(run, trial, strategy)
    if batch is None or not batch.count:
        return []
    word = strategy_word(strategy)
    of = f" of {batch.count:,}" if batch.count > _THUMBNAILS else ""
    result = count(min(batch.count, _THUMBNAILS), "image")
    images = Slide(
        "images",
        f"The images that {word} chose",
        f"{sentence(batch)} Shown: {result}{of}, in the order of choice.",
        functools.partial(_images, batch),
    )
    return [images, *_charts(batch)]


def _charts(batch: Batch) -> list[Slide]:
    """Return the figures that a choice has."""
    visible = []
    if batch.atlas is not None:
        embedded = map_view.map_of(batch)
        visible.append(
            _slide(
                "map",
                "Where the chosen images lie",
                embedded.caption
                + " Stars are chosen; the labeled ones are {S_0}, the others {U_0} and {S_val}.",
                embedded.figure,
                embedded.caption,
            )
        )
    if batch.decisions:
        steps = next(chart for chart in CHARTS if chart.name == "batches")
        figure = feed(batch.run).figure(steps, batch.trial, steps.draw)
        visible.append(_slide("steps", steps.title, steps.caption, figure, steps.alt))
    if batch.atlas is not None and batch.complete:
        classes, margins = balance(batch)
        visible.append(
            _slide(
                "classes",
                "Which classes does f guess?",
                "Guesses of {f}, trained on the {k} labels of {S_0}: no label of the pool has been bought.",
                classes,
                "Class guesses of chosen images and of the pool",
            )
        )
        visible.append(
            _slide(
                "margins",
                "How unsure is f?",
                "A small {margin} means that {f} hesitates between two classes. The filter looks only at the "
                "{M} smallest margins.",
                margins,
                "Margins of chosen images and of the pool",
            )
        )
    return visible


def _slide(name: str, title: str, words: str, figure: PreparedFigure | None, alt: str) -> Slide:
    """Return a slide with a chart."""
    draw = functools.partial(present.chart, figure, key=f"batch-{name}", alt=alt)
    return Slide(name, title, words, draw)


def _images(batch: Batch) -> None:
    """Draw the images."""
    ids = batch.indices[:_THUMBNAILS].tolist()
    with st.container(key="present-scroll-images"):
        gallery(
            batch_data.sheet(batch, ids),
            ids,
            key="present-images",
            size=72,
            readonly=True,
            captions=batch_data.captions(batch, ids),
            label="Chosen images",
            max_height=600,
        )
