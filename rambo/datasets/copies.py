"""Near copies, put among those to choose from: a pool in which some scenes were filmed, and not photographed once.

The copies join a prepared copy of the dataset, so that every worker maps one file. They are in no pool until a trial
draws some of them into U_0; S_0, S_val and the test set never hold one.
"""

from pathlib import Path

import numpy as np

from rambo.datasets import prepared
from rambo.datasets.prepared import COPY, POOL, Images, Labels, Prepared

FRAMES = 20  # Choice: images of a scene, its own among them
_LIGHT = 0.03  # Choice: what a still camera changes between frames: a share of all grey levels,
_GRAIN = 4  # and so many levels of each pixel
_RECIPE = 1  # part of every origin: raise it when other images are made
_SEED = 20_230_803  # of the images made; must never change: results are tied to them


def with_copies(data: Prepared, share: float, workspace: Path) -> Prepared:
    """Return the dataset with near copies beside it, or as it is where none are asked for or they are there.

    Choice: as many as the pool has images, whatever the share, so runs that differ in it have one dataset in common.
    Which images are near copies of which is then found by the same rule as in a person's own collection.

    Args:
        data: the prepared dataset.
        share: of U_0 that trials will draw.
        workspace: folder of all runs.

    Raises:
        StoreError: the workspace cannot be written.
    """
    if not share or (data.roles == COPY).any():
        return data
    from rambo.collection import duplicates  # needs scipy, which small commands never load

    origin = f"copies/{_RECIPE}/{data.fingerprint}"
    folder = prepared.find(workspace, origin)
    if folder is not None:
        return prepared.open_prepared(folder)
    rows = _copied(data)
    images = np.concatenate([data.images, _frames(data.images[rows])])
    return prepared.write(
        workspace,
        name=f"{data.name} with near copies",
        images=images,
        labels=np.concatenate([data.labels, data.labels[rows]]),
        roles=np.concatenate([data.roles, np.full(len(rows), COPY, np.uint8)]),
        clusters=duplicates.clusters(duplicates.small_pictures(images)),
        classes=data.classes,
        mean=data.mean,
        std=data.std,
        source=f"{data.source}; near copies of its own images",
        licence=data.licence,
        origin=origin,
    )


def scenes(data: Prepared) -> Labels | None:
    """Return the image whose scene each of the `N` shows: a copy's is its original, every other image's itself.

    None where there are no copies.
    """
    copies = np.flatnonzero(data.roles == COPY)
    if not len(copies):
        return None
    originals = np.arange(len(data.roles), dtype=np.int64)
    originals[copies] = _copied(data)
    return originals


def _copied(data: Prepared) -> Labels:
    """Return the original of each copy in order: all frames of a scene after each other."""
    pool = np.flatnonzero(data.roles == POOL)
    order = np.random.default_rng(_SEED).permutation(pool)
    return np.repeat(order, FRAMES - 1)[: len(pool)]


def _frames(images: Images) -> Images:
    """Return each image as a still camera would see it once more."""
    rng = np.random.default_rng([_SEED, 1])
    light = rng.uniform(1 - _LIGHT, 1 + _LIGHT, (len(images), 1, 1, 1)).astype(np.float32)
    frames = np.empty_like(images)
    for start in range(0, len(images), 4096):
        part = slice(start, start + 4096)
        grain = rng.integers(-_GRAIN, _GRAIN + 1, images[part].shape)
        frames[part] = np.clip(np.rint(images[part] * light[part] + grain), 0, 255)
    return frames
