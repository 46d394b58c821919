"""Images that belong to no class, put among those to choose from: pools as people have them.

The images come from another dataset and join a prepared copy of this one, so that every worker maps one file. They
are in no pool until a trial draws some of them into U_0; S_0, S_val and the test set never hold one.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from rambo.config import CorruptionConfig, DatasetConfig
from rambo.datasets import catalog, copies, prepared
from rambo.datasets.prepared import FOREIGN, POOL, UNLABELED, Images, Prepared
from rambo.errors import DataError
from rambo.events import Emit, ignore

_CLOTHES = "fashion-mnist"
_RECIPE = 1  # part of every origin: raise it when other images are taken
_SEED = 20_230_802  # of the images taken; must never change: results are tied to them


def prepare(
    settings: DatasetConfig, workspace: Path, *, data_root: Path | None = None, emit: Emit = ignore
) -> Prepared:
    """Return the dataset a run reads: the named one, with foreign images or near copies beside it where asked for.

    Raises:
        DataError: a dataset cannot be had.
        StoreError: the workspace cannot be written.
    """
    data = catalog.prepare(settings.name, workspace, data_root=data_root, emit=emit)
    return with_foreign(data, settings.corruption, workspace, data_root=data_root, emit=emit)


def with_foreign(
    data: Prepared,
    corruption: CorruptionConfig,
    workspace: Path,
    *,
    data_root: Path | None = None,
    emit: Emit = ignore,
) -> Prepared:
    """Return the dataset with foreign images or near copies beside it, or as it is where it has what is asked for.

    Choice: as many foreign images as the pool has images, or all there are, whatever the share; so runs that differ
    in their share have one dataset in common.

    Args:
        data: the prepared dataset.
        corruption: the share of foreign images, and where they come from; the share of near copies.
        workspace: folder of all runs.
        data_root: where official files lie.
        emit: hears of what is prepared.

    Raises:
        DataError: the foreign dataset cannot be had, or it is this very one.
    """
    data = copies.with_copies(data, corruption.copies, workspace)
    if not corruption.foreign or (data.roles == FOREIGN).any():
        return data
    source = corruption.foreign_source or default_source(data.name)
    origin = f"foreign/{_RECIPE}/{data.fingerprint}/{source}"
    folder = prepared.find(workspace, origin)
    if folder is not None:
        return prepared.open_prepared(folder)
    others = catalog.prepare(source, workspace, data_root=data_root, emit=emit)
    if others.fingerprint == data.fingerprint:
        raise DataError(
            f"these are the images of {data.name} itself",
            field="dataset.corruption.foreign_source",
            value=source,
            hint="name another dataset",
        )
    picks = np.random.default_rng(_SEED).permutation(len(others.images))
    picks = np.sort(picks[: int((data.roles == POOL).sum())])
    images = resized(others.images[picks], data.images.shape[1:])
    count = len(images)
    return prepared.write(
        workspace,
        name=f"{data.name} with {others.name}",
        images=np.concatenate([data.images, images]),
        labels=np.concatenate([data.labels, np.full(count, UNLABELED, np.int64)]),
        roles=np.concatenate([data.roles, np.full(count, FOREIGN, np.uint8)]),
        classes=data.classes,
        mean=data.mean,
        std=data.std,
        source=f"{data.source}; foreign images: {others.source}",
        licence=f"{data.licence}; foreign images: {others.licence}",
        origin=origin,
    )


def default_source(name: str) -> str:
    """Return the dataset whose images are foreign to the one of this name."""
    return "mnist" if name.startswith(_CLOTHES) else f"{_CLOTHES}-mini"


def resized(images: Images, shape: tuple[int, ...]) -> Images:
    """Return images in another shape: averaged to grey or repeated to colour, then resized.

    Args:
        images: `m x C x H x W`.
        shape: the `C x H x W` wanted.
    """
    channels, height, width = shape
    if images.shape[1] != channels:
        grey = images.mean(1, keepdims=True).round().astype(np.uint8)
        images = np.repeat(grey, channels, axis=1)
    if images.shape[2:] == (height, width):
        return images
    planes = images.reshape(-1, *images.shape[2:])
    resized = [
        np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BILINEAR))
        for plane in planes
    ]
    return np.stack(resized).reshape(len(images), *shape)
