"""What the page Compare presents: who was ahead, what the choices share, and two of them side by side."""

import functools
from collections.abc import Sequence

import streamlit as st

from rambo.figures import rivals
from rambo.figures.theme import strategy_word
from rambo.runs.workspace import Run
from rambo.text import count
from rambo.ui import present, readers
from rambo.ui.batch import batch_data
from rambo.ui.batch.batch_data import Batch
from rambo.ui.compare.compare_view import balance, few, owners_map, test_images, verdict
from rambo.ui.components import ImageRow, rows
from rambo.ui.present import Slide

_THUMBNAILS = 60  # images of a row
_SIDE = 44  # pixels; two tens lie beside each other in 1280 pixels, so all three rows are in sight


def slides(run: Run) -> Sequence[Slide]:
    """Return what there is to say of the strategies of a run."""
    results = readers.summary(run).results
    result = []
    if rivals.evaluated(results):
        alt = "Test accuracy of every strategy with its standard error."
        images = test_images(run)
        words = f"{verdict(results)} Bars are one standard error over the trials, rings are single trials"
        words += f"; {rivals.band_words(images)}." if images else "."
        figure = rivals.accuracy_figure(results, images)
        draw = functools.partial(present.chart, figure, key="accuracy", alt=alt)
        result.append(Slide("accuracy", "Accuracy after buying the labels", words, draw))
    return [*result, *_choices(run)]


def _choices(run: Run) -> list[Slide]:
    """Return what the choices of one trial share, and what they do not."""
    typed, trials = st.query_params.get("trial", ""), batch_data.trials(run)
    trial = next((number for number in trials if str(number) == typed), 0)
    ready = batch_data.ready(run, trial)
    batches = {name: batch for name in ready if (batch := batch_data.load(run, trial, name))}
    if len(batches) < 2:
        return []
    some = few(batches)
    result = [
        Slide(
            "overlap",
            "How much do the choices share?",
            "Images that both chose over images that either chose: 1 is the same batch, 0 none of the {B} in common.",
            functools.partial(
                present.chart,
                rivals.overlap_figure({name: batch.indices for name, batch in some.items()}),
                key="overlap",
                alt="Share of images that two strategies have in common, for every two of them.",
            ),
        )
    ]
    if next(iter(batches.values())).atlas is not None:
        alt = "Shares of the classes that f guesses, for each strategy and the unlabeled pool."
        draw = functools.partial(present.chart, balance(some), key="balance", alt=alt)
        words = "Classes as {f}, trained on the {k} labels of {S_0}, guesses them. Grey is the unlabeled pool {U_0}."
        result.append(Slide("balance", "Which classes do they favour?", words, draw))
    first = _named(batches, "a", next(iter(batches)))
    second = _named(batches, "b", next(name for name in batches if name != first))
    return result + (_pair(batches[first], batches[second]) if first != second else [])


def _named(batches: dict[str, Batch], part: str, default: str) -> str:
    """Return the strategy that a part of the address names."""
    typed = st.query_params.get(part, "")
    return typed if typed in batches else default


def _pair(a: Batch, b: Batch) -> list[Slide]:
    """Return two choices side by side."""
    split = rivals.owners(a.indices, b.indices)
    first, second = strategy_word(a.strategy), strategy_word(b.strategy)
    lines = {f"only {first}": split.first, "both": split.both, f"only {second}": split.second}
    sizes = [len(ids) for ids in lines.values()]
    words = (
        f"Only {first} chose {count(sizes[0], 'image')}, both {sizes[1]}, only {second} {sizes[2]}."
    )
    if max(sizes) > _THUMBNAILS:
        words += f" Shown: the first {_THUMBNAILS} of each."
    title = f"{first} and {second}"

    def draw() -> None:
        """Draw a row of images for each owner."""
        visible = {name: ids[:_THUMBNAILS].tolist() for name, ids in lines.items()}
        everyone = [image for ids in visible.values() for image in ids]
        with st.container(key="present-scroll-pair"):
            rows(
                batch_data.sheet(a, everyone),
                [ImageRow(ids, name) for name, ids in visible.items()],
                key="present-pair",
                size=_SIDE,
                captions=batch_data.captions(a, everyone),
            )

    pair = [Slide("pair", title, words, draw)]
    if a.atlas is not None:
        owners = owners_map(a, b, split)
        draw_map = functools.partial(present.chart, owners.figure, key="owners", alt=owners.caption)
        pair.append(Slide("owners", f"{title} on the map", owners.caption, draw_map))
    return pair
