"""What the page Label works on: a run, the collection it chose from, and what it asked to be labeled."""

import dataclasses
import io

import numpy as np
import streamlit as st
from PIL import Image

from rambo.collection import Collection, Snapshot, find
from rambo.collection.images import picture_within
from rambo.collection.intake import BatchRequest
from rambo.errors import DataError, StoreError
from rambo.export import evidence, returns
from rambo.export.evidence import Evidence
from rambo.runs import paths
from rambo.runs.workspace import Run
from rambo.storage.files import RefusedError
from rambo.ui import readers, state
from rambo.ui.components import media
from rambo.ui.components.labeler import Picture

_SIDE = 640  # pixels of a picture that is labeled


@dataclasses.dataclass(frozen=True, eq=False)
class Round:
    """One batch that waits for labels.

    Attributes:
        run: that chose it.
        collection: whose images.
        strategy: that chose.
        trial: in which it chose, from 0.
        request: the images, in order.
        guesses: what f says of each; empty texts where it says nothing.
        notices: what could not be read, and what that leaves empty.
    """

    run: Run
    collection: Collection
    strategy: str
    request: BatchRequest
    guesses: tuple[str, ...]
    notices: tuple[str, ...] = ()
    trial: int = 0


def asks(run: Run) -> bool:
    """Return whether a run chose from a collection, so that its images may wait for labels."""
    return readers.config(run).dataset.name.startswith("collection:")


def load(run: Run, strategy: str, trial: int) -> Round | None:
    """Return what a run asked to be labeled, or None: its images are of no collection.

    Raises:
        StoreError: it has chosen nothing yet, or its images are gone.
    """
    origin = returns.collection_of(run)
    if origin is None:
        return None
    collection = find(state.workspace().root, origin[0])
    edit = readers.stamp(paths.edited_batch(run.folder, trial, strategy))
    request, contents = _request(str(run.folder), strategy, trial, edit, _collection=collection)
    guesses = tuple(row.predicted_label or "" for row in contents.rows)
    return Round(run, collection, strategy, request, guesses, contents.notices, trial)


@st.cache_resource(show_spinner=False, max_entries=16)
def _request(
    folder: str, strategy: str, trial: int, edit: readers.Stamp, *, _collection: Collection
) -> tuple[BatchRequest, Evidence]:
    """Return what was asked, and what is known of each image; `edit` changes with the person's own batch."""
    run = readers.run_in(folder)
    seed = readers.config(run).seed + trial
    request = returns.request_of(run, _collection, strategy, seed)
    return request, evidence.gather(run, strategy, seed)


def snapshot(collection: Collection) -> Snapshot:
    """Return the newest snapshot; read once a version."""
    return snapshot_at(collection, collection.latest())


def snapshot_at(collection: Collection, version: int) -> Snapshot:
    """Return what was known at a version; read once."""
    return _snapshot(str(collection.folder), version)


@st.cache_resource(show_spinner=False, max_entries=8)
def _snapshot(folder: str, version: int) -> Snapshot:
    """Return the snapshot of a version."""
    name = folder.replace("\\", "/").rpartition("/")[2]
    return find(state.workspace().root, name).snapshot(version)


@st.cache_resource(show_spinner=False, max_entries=1000)
def picture(folder: str, number: int) -> Picture:
    """Return an image of a collection at a size to look at: of its original, else of the working size."""
    name = folder.replace("\\", "/").rpartition("/")[2]
    collection = find(state.workspace().root, name)
    try:
        thumbnail = picture_within(collection.original(number)[1], _SIDE)
    except (DataError, StoreError, OSError, RefusedError):
        (pixels,) = collection.pictures([number])
        thumbnail = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    buffer = io.BytesIO()
    small = max(thumbnail.size) < 100
    thumbnail.save(buffer, "PNG" if small else "JPEG", **({} if small else {"quality": 88}))
    data = buffer.getvalue()
    return Picture(data, "image/png" if small else "image/jpeg", media.digest_of(data))
