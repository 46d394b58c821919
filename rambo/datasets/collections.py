"""A version of a collection as a prepared dataset, so that everything that reads one reads own images too."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rambo.collection import collection as collections
from rambo.collection.collection import Collection
from rambo.collection.looks import Pixels
from rambo.collection.records import LABELED, POOL, Frame, Snapshot
from rambo.datasets import prepared
from rambo.datasets.disk import unwritable
from rambo.datasets.prepared import Names, Prepared
from rambo.errors import DataError, StoreError
from rambo.events import Emit, ignore, stage

RECIPE = 1  # part of every origin
STAGE = "pictures"


def origin_of(name: str, workspace: Path) -> str | None:
    """Return the key by which `prepared.find` knows a version of a collection, or None: there is none.

    Args:
        name: such as `collection:pets`, the newest version, or `collection:pets@3`.
        workspace: folder of all runs.
    """
    named = collections.parse(name)
    if named is None:
        return None
    try:
        collection = collections.find(workspace, named[0])
        version = collection.latest() if named[1] is None else named[1]
        numbers = {version.number for version in collection.versions()}
        return origin(collection, version, collection.frame) if version in numbers else None
    except (DataError, StoreError):
        return None


def origin(collection: Collection, version: int, frame: Frame) -> str:
    """Return the key of one version at one working size."""
    size = f"{frame.width}x{frame.height}-{frame.fit}"
    return f"collection/{RECIPE}/{collection.slug}@{version}/{size}"


def prepare(
    collection: Collection,
    workspace: Path,
    version: int | None = None,
    *,
    frame: Frame | None = None,
    emit: Emit = ignore,
) -> Prepared:
    """Return a version of a collection as a prepared dataset.

    Labels nobody knows are -1 and never a class. Grey collections have one channel, others three.

    Args:
        collection: whose images.
        workspace: folder of all runs.
        version: the newest by default.
        frame: another working size than the collection's own: every original is read again.
        emit: hears how far it is.

    Raises:
        DataError: there is no image or no class, or an original is needed and gone.
        StoreError: the workspace has no room.
    """
    now = collection.snapshot(version)
    if len(now) == 0:
        raise DataError(
            f"version {now.version} holds no image",
            field="collection",
            value=now.slug,
            hint="import some",
        )
    if not now.classes:
        raise DataError(
            "no class is known",
            field="collection",
            value=now.slug,
            hint="label a few images, or name the classes in a table with file name and label",
        )
    size = now.frame if frame is None else frame
    channels = 1 if now.grey.all() else 3
    part = collection.folder / f".{secrets.token_hex(8)}.part"
    shape = (len(now), channels, size.height, size.width)
    try:
        with part.open("xb") as file, stage(STAGE, len(now), emit) as advance:
            for picture in _pictures(collection, now, size):
                file.write(picture[:channels].tobytes())
                advance()
        images = np.memmap(part, dtype=np.uint8, mode="r", shape=shape)
        usable = np.isin(now.roles, (POOL, LABELED))
        mean, std = collections.statistics(
            (image for image, use in zip(images, usable, strict=True) if use), channels
        )
        return prepared.write(
            workspace,
            name=collection.name,
            images=images,
            labels=now.labels,
            roles=now.roles,
            classes=now.classes,
            mean=mean,
            std=std,
            source="a collection of your own",
            licence="your own images",
            origin=origin(collection, now.version, size),
            groups=now.groups if len(now.group_names) else None,
            clusters=_compact(now),
            names=Names(
                files=now.files,
                ids=now.ids,
                numbers=tuple(now.numbers.tolist()),
                groups=now.group_names,
            ),
            collection=f"{now.slug}@{now.version}",
        )
    except OSError as error:
        raise unwritable(workspace, int(np.prod(shape)), error) from error
    finally:
        part.unlink(missing_ok=True)


def _pictures(collection: Collection, now: Snapshot, frame: Frame) -> Iterator[Pixels]:
    """Yield the picture of each row in the frame."""
    if frame == now.frame:
        yield from collection.pictures(now.numbers.tolist())
        return
    from rambo.collection.images import look_at_file  # Pillow: only where it is needed

    for number in now.numbers.tolist():
        yield look_at_file(collection.original(number)[1], frame).pixels


def _compact(now: Snapshot) -> np.ndarray | None:
    """Return the clusters as numbers from 0, or None where no two images are alike."""
    values, compact = np.unique(now.clusters, return_inverse=True)
    return compact.reshape(-1).astype(np.int64) if len(values) < len(now) else None
