"""Read collections for the pages: each version once for all viewers, pictures only where they are seen."""

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import streamlit as st
from PIL import Image

from rambo.collection import collection as own
from rambo.collection import health, snapshots
from rambo.collection.collection import Collection
from rambo.collection.images import look_at_file
from rambo.collection.records import CollectionCard, Frame, HealthLine, Snapshot, Version
from rambo.errors import RamboError
from rambo.figures.sprites import Sprites, make_sprites
from rambo.runs import imports
from rambo.storage.files import RefusedError
from rambo.ui import readers, state

_GREY = 128
_LARGE = 640  # longest side of an image that is shown alone
_CARDS = 200  # collections in a list


@dataclasses.dataclass(frozen=True)
class OpenCollection:
    """A collection as a page shows it.

    Attributes:
        collection: itself.
        name: what its owner calls it.
        versions: the oldest first.
        live: numbers of the versions that count, the others were taken back.
        now: what is known at the newest version.
        health: the report of that.
        share: of the labels that serve as S_val.
    """

    collection: Collection
    name: str
    versions: tuple[Version, ...]
    live: frozenset[int]
    now: Snapshot
    health: tuple[HealthLine, ...]
    share: float


def open_newest(collection: Collection) -> OpenCollection:
    """Return a collection at its newest version, read once.

    Raises:
        DataError: no import has come to its end.
        StoreError: the record is damaged.
    """
    folder = collection.folder
    stamp = readers.stamp(folder / "collection.sqlite", folder / "collection.sqlite-wal")
    return _opened(str(folder), stamp)


@st.cache_resource(show_spinner="Opening the collection", max_entries=4)
def _opened(folder: str, stamp: readers.Stamp) -> OpenCollection:
    """Return what `open_newest` gives; the arguments are the key of the cache."""
    collection = Collection(Path(folder))
    versions = tuple(collection.versions())
    now = collection.snapshot()
    return OpenCollection(
        collection,
        collection.name,
        versions,
        collection.live_versions(),
        now,
        health.report(now),
        collection.validation_share,
    )


def names() -> dict[str, str]:
    """Return what each collection is called, by its slug, sorted by that; one that cannot be read by its slug."""
    return {card.slug: card.name for card in cards()}


def label(dataset: str) -> str:
    """Return what to call a dataset: a collection by its name, a file by its own, any other as it is."""
    named = own.parse(dataset)
    if named is None and dataset.lower().endswith(".npz"):
        return re.split(r"[/\\]", dataset)[-1]
    if named is None or named[0] not in own.slugs(state.workspace().root):
        return dataset
    called = names()
    twice = list(called.values()).count(called[named[0]]) > 1
    parts = [f"my images {named[0]}" if twice else "my images"]
    parts += [] if named[1] is None else [f"version {named[1]}"]
    return f"{called[named[0]]} ({', '.join(parts)})"


def cards() -> list[CollectionCard]:
    """Return a line for each collection, sorted by name; what has not changed is not read again."""
    root = state.workspace().root
    summaries = []
    for slug in own.slugs(root)[:_CARDS]:
        folder = own.home(root) / slug
        stamp = readers.stamp(folder / "collection.sqlite", folder / "collection.sqlite-wal")
        summaries.append(_card(str(folder), stamp))
    return sorted(summaries, key=lambda card: snapshots.natural(card.name))


@st.cache_resource(show_spinner=False, max_entries=_CARDS)
def _card(folder: str, stamp: readers.Stamp) -> CollectionCard:
    """Return the line of one collection; the arguments are the key of the cache."""
    return Collection(Path(folder)).card()


def waiting() -> dict[str, str]:
    """Return the collections whose first import has made nothing yet: slug and name."""
    root = state.workspace().root
    requests = {slug: imports.request_of(root, slug) for slug in imports.pending(root)}
    return {slug: request.name for slug, request in requests.items() if request is not None}


def sheet(opened: OpenCollection, rows: Iterable[int]) -> Sprites:
    """Return the thumbnails of some rows of the newest version, and reads no others.

    Args:
        opened: the collection.
        rows: of the snapshot, distinct, at most some thousands.
    """
    places = np.fromiter(rows, np.int64)
    numbers = opened.now.numbers[places]
    return _sheet(str(opened.collection.folder), numbers.tobytes(), places.tobytes())


@st.cache_resource(show_spinner=False, max_entries=48)
def _sheet(folder: str, numbers: bytes, rows: bytes) -> Sprites:
    """Return what `sheet` gives; pictures of a number never change."""
    collection = Collection(Path(folder))
    order: list[int] = np.frombuffer(numbers, np.int64).tolist()
    frame = collection.frame
    try:
        pictures = list(collection.pictures(order))
    except RamboError:  # one is damaged and its original gone: that one is grey
        pictures = [_picture(collection, number, frame) for number in order]
    shape = (0, 3, frame.height, frame.width)
    images = np.stack(pictures) if pictures else np.zeros(shape, np.uint8)
    return make_sprites(images, np.frombuffer(rows, np.int64).tolist())


def _picture(collection: Collection, number: int, frame: Frame) -> np.ndarray:
    """Return one picture, grey where it is damaged and its original gone."""
    try:
        return next(iter(collection.pictures([number])))
    except RamboError:
        return np.full((3, frame.height, frame.width), _GREY, np.uint8)


def original(opened: OpenCollection, row: int) -> Image.Image:
    """Return the original of an image, at most 640 pixels large.

    Raises:
        DataError: its file is gone or was changed; names the file.
    """
    now = opened.now
    width, height = int(now.widths[row]), int(now.heights[row])
    scale = min(1.0, _LARGE / max(width, height, 1))
    frame = Frame(max(1, round(height * scale)), max(1, round(width * scale)))
    _, data = opened.collection.original(int(now.numbers[row]))
    try:
        pixels = look_at_file(data, frame).pixels
    except RefusedError:  # a frame may be too thin for it; the working size never is
        pixels = look_at_file(data, now.frame).pixels
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
