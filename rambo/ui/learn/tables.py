"""What Learn reads: the shipped images and the small tables in `data/learn`. No run, no workspace, no network."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import pydantic
import streamlit as st
from numpy.typing import NDArray

from rambo.datasets import catalog
from rambo.errors import DataError
from rambo.storage import places
from rambo.ui.components import Sprites, make_sprites

FOLDER = places.shipped_data() / "learn"
_SHIPPED = catalog.CATALOG["fashion-mnist-mini"]
CLASSES = _SHIPPED.classes

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


class Record(pydantic.BaseModel, frozen=True):
    """What stands in a table; fields that no step reads are left out."""


class Pair(Record):
    """Two sets of image indices; of each the utility of two trainings, and the predicted one."""

    sets: tuple[list[int], list[int]]
    utilities: tuple[tuple[float, float], tuple[float, float]]
    scores: tuple[float, float]


class Pairs(Record):
    """Pairs of sets from one labeled pool."""

    labeled: list[int]
    pairs: list[Pair]


class Subset(Record):
    """A set with its distances to S_i and S_{i+1}, trained and interpolated utility."""

    members: list[int]
    distances: tuple[float, float]
    utilities: tuple[float, float]
    interpolated: float


class Interpolation(Record):
    """Sets between two labeled pools, with the accuracies and sizes of these."""

    sets: list[Subset]
    accuracies: tuple[float, float]
    sizes: tuple[int, int]


class Filter(Record):
    """What was chosen with one filter size, the margins at that time, and how good it was."""

    filter_size: int
    chosen: list[int]
    margins: list[float]
    test_accuracies: list[float]


class Filters(Record):
    """One choice for each filter size, by u_hat of a run that comes along and chose with `own` itself."""

    run: str
    own: int
    budget: int
    batch_size: int
    filters: list[Filter]


class Transport(Record):
    """Costs between labeled and validation images, and where all of them lie in the plane."""

    labeled: list[int]
    validation: list[int]
    points: list[tuple[float, float]]
    feature_cost: list[list[float]]
    label_cost: list[list[float]]


class Purse(Record):
    """What was spent: labels held, bought, and how often all was repeated."""

    k: int
    budget: int
    seeds: int


class Rounds(Record):
    """Test accuracies by strategy, seed and number of rounds, and those before the first."""

    settings: Purse
    rounds: list[int]
    start: list[float]
    accuracies: dict[str, list[list[float]]]


class Board(Record):
    """A pool, what each strategy chose of it, and test accuracies: of these, without a choice (``), of luck."""

    labeled: list[int]
    unlabeled: list[int]
    choices: dict[str, list[int]]
    accuracies: dict[str, float]
    luck: list[float]


class Boards(Record):
    """Boards to play on."""

    boards: list[Board]


KINDS: tuple[type[Record], ...] = (Boards, Pairs, Transport, Interpolation, Filters, Rounds)
Kind = TypeVar("Kind", bound=Record)


def read(kind: type[Kind]) -> Kind:
    """Return the table of that kind, which lies under the kind's name.

    Raises:
        DataError: it is not there, or no such table; the message says how to make it again.
    """
    record = _read(kind)
    assert isinstance(record, kind)
    return record


@cache
def _read(kind: type[Record]) -> Record:
    """Return what `read` does."""
    name = kind.__name__.lower()
    path = FOLDER / f"{name}.json"
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        raise DataError(
            "is missing or damaged",
            field="table",
            value=path.name,
            hint=f"make it again with python -m benchmarks.learn_tables {name}",
        ) from None


@cache
def dataset() -> tuple[Images, Labels, NDArray[np.uint8]]:
    """Return the shipped images `N x 1 x 28 x 28`, their class ids and their roles."""
    images, labels, roles = _SHIPPED.read(Path(_SHIPPED.folder))
    return images, labels, roles


@cache
def pixels() -> NDArray[np.float32]:
    """Return what f and the transport cost read of each image: pixels in [0, 1], `N x 784`."""
    images = dataset()[0]
    return (images.reshape(len(images), -1) / np.float32(255)).astype(np.float32)


def sheet(ids: Iterable[int]) -> Sprites:
    """Return the thumbnails of some images; the same ids in the same order give the same object."""
    return _sheet(np.fromiter(ids, np.int64).tobytes())


@st.cache_resource(show_spinner=False, max_entries=64)
def _sheet(indices: bytes) -> Sprites:
    """Return the thumbnails; indices as bytes, which Streamlit hashes at once and a thousand numbers one by one."""
    ids: list[int] = np.frombuffer(indices, np.int64).tolist()
    return make_sprites(dataset()[0][ids], ids)


def captions(ids: Iterable[int]) -> dict[int, str]:
    """Return the class name of each image, for images whose labels are known."""
    labels = dataset()[1]
    return {int(i): f"{CLASSES[labels[i]]}, image {i}" for i in ids}
