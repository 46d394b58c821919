"""What Learn reads: the shipped images and the small tables in `data/learn`. No run, no workspace, no network."""

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from rambo import places
from rambo.datasets import catalog
from rambo.errors import DataError
from rambo.ui.components import Sprites, make_sprites

FOLDER = places.shipped_data() / "learn"
_SHIPPED = catalog.CATALOG["fashion-mnist-mini"]
CLASSES = _SHIPPED.classes

Table = dict[str, Any]  # one of `data/learn`: each step of Learn knows the fields of its own
Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


@cache
def table(name: str) -> Table:
    """Return a table by its name.

    Raises:
        DataError: it is not there, or no table; the message says how to make it again.
    """
    path = FOLDER / f"{name}.json"
    try:
        loaded: Table = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        raise DataError(
            f"table {name}: {path.name} is missing or damaged; make it again with "
            f"python -m benchmarks.learn_tables {name}"
        ) from None
    return loaded


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
    return _sheet(tuple(int(i) for i in ids))


@st.cache_resource(show_spinner=False, max_entries=64)
def _sheet(ids: tuple[int, ...]) -> Sprites:
    """Return the thumbnails."""
    return make_sprites(dataset()[0][list(ids)], ids)


def captions(ids: Iterable[int]) -> dict[int, str]:
    """Return the class name of each image, for images whose labels are known."""
    labels = dataset()[1]
    return {int(i): f"{CLASSES[labels[i]]}, image {i}" for i in ids}
