"""A user's `.npz` file as a dataset: the same reader as for collections, checked before anything is kept."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rambo.collection import limited, splits
from rambo.collection.looks import Limits, limits_from_environment
from rambo.collection.readers import arrays as arrays_
from rambo.collection.readers.arrays import Arrays
from rambo.datasets import prepared
from rambo.datasets.disk import refusing
from rambo.datasets.prepared import (
    LABELED,
    POOL,
    TEST,
    UNLABELED,
    VALIDATION,
    Images,
    Labels,
    Names,
    Prepared,
    Roles,
)
from rambo.datasets.splits import stratified_roles
from rambo.errors import shorten
from rambo.events import Emit, Noticed, ignore
from rambo.storage.files import RefusedError
from rambo.text import count

RECIPE = 5  # part of every archive's origin: raise it when the reader starts to give other arrays
MAX_CLASSES, MIN_IMAGES, MIN_SIDE, MAX_SIDE = 1000, 10, 8, 512
_ROLES = {"train": POOL, "validation": VALIDATION, "test": TEST}


def prepare_archive(path: Path, workspace: Path, origin: str, *, emit: Emit = ignore) -> Prepared:
    """Return the dataset in an `.npz` file, stored below `workspace`.

    Choice: a file without a split of its own gets the fixed one, a tenth each (at most 1,000) for
    validation and test. Where labels are missing, the labeled images are S_0 and the others U_0, and
    a fifth of the labels is S_val; there is no test set unless the file has one. Groups, and near
    duplicates where there are none, stay on one side. The sorted label values name the classes, unless the
    file names them. A notice says how its numbers were read, and which arrays were not used.

    Raises:
        DataError: it is not such a file, or its arrays are not a dataset.
        StoreError: the workspace cannot be written.
    """
    limits = limits_from_environment(Limits())
    with (
        limited.scratch(workspace) as scratch,
        refusing("file", path, "save it again with numpy.savez"),
    ):
        stored = limited.call(arrays_.store, path, limits, scratch)
        data = keep(
            stored.opened(),
            workspace,
            name=archive_name(path),
            source="an .npz file of your own",
            licence="not stated in the file",
            origin=origin,
        )
        for (
            remark
        ) in stored.rest.remarks:  # of a file that is refused, the refusal says what matters
            emit(Noticed(f"{path.name}: {remark}"))
        return data


def keep(
    arrays: Arrays, workspace: Path, *, name: str, source: str, licence: str, origin: str
) -> Prepared:
    """Return arrays as a dataset, stored below `workspace`, split as `prepare_archive` says.

    Raises:
        RefusedError: they are no dataset.
        StoreError: the workspace cannot be written.
    """
    images = _checked_images(arrays)
    labels = arrays.labels
    _check_labels(arrays)
    groups = _groups(arrays)
    clusters = _clusters(images)
    roles = _roles(arrays, labels, groups, clusters)
    mean, std = _statistics(images, roles)
    return prepared.write(
        workspace,
        name=name,
        images=images,
        labels=labels,
        roles=roles,
        classes=arrays.classes,
        mean=mean,
        std=std,
        source=source,
        licence=licence,
        origin=origin,
        groups=groups,
        clusters=clusters,
        names=_names(arrays),
    )


def archive_name(path: Path) -> str:
    """Return what to call the dataset in a file."""
    return shorten(path.stem, 80)


def _checked_images(arrays: Arrays) -> Images:
    """Return the images of all splits as `N x C x H x W`, or refuse them."""
    shapes = {images.shape[1:] for images in arrays.images}
    if len(shapes) > 1:
        raise RefusedError("train and test images differ in size", "make them equal")
    images = np.concatenate(arrays.images) if len(arrays.images) > 1 else arrays.images[0]
    height, width = images.shape[1:3]
    if not MIN_SIDE <= min(height, width) <= max(height, width) <= MAX_SIDE:
        raise RefusedError(
            f"images are {height} x {width} pixels",
            f"resize them to sides of {MIN_SIDE} to {MAX_SIDE}",
        )
    return images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)


def _check_labels(arrays: Arrays) -> None:
    """Refuse what no classifier can be trained on."""
    labels, classes = arrays.labels, arrays.classes
    if (labels == UNLABELED).all():
        raise RefusedError(
            "holds no labels: every label is unknown",
            "label a few images first, or import it together with "
            "a file that has labels: python -m rambo import labeled.npz this.npz",
        )
    if not 2 <= len(classes) <= MAX_CLASSES or len(labels) < MIN_IMAGES:
        raise RefusedError(
            f"{count(len(labels), 'image')} of {count(len(classes), 'class', 'classes')}",
            f"use at least {MIN_IMAGES} images and 2 to {MAX_CLASSES} classes",
        )


def _groups(arrays: Arrays) -> Labels | None:
    """Return the group of each image as a number, or None."""
    if arrays.groups is None:
        return None
    _, groups = np.unique(np.array(arrays.groups), return_inverse=True)
    return groups.reshape(-1).astype(np.int64)


def _roles(arrays: Arrays, labels: Labels, groups: Labels | None, clusters: Labels | None) -> Roles:
    """Return the role of each image.

    Choice: where whole clusters leave no test or no validation image, as a class of one picture has none to give,
    they are cut through after all, and the catalog says so.
    """
    keys = _keys(groups, clusters, len(labels))
    labeled = labels != UNLABELED
    own = np.array([_ROLES.get(role, POOL) for role in arrays.roles], dtype=np.uint8)
    own[~labeled] = POOL  # without a label nothing can be measured on it
    if labeled.all() and arrays.has_split:
        return own
    if labeled.all():
        size = min(1000, len(labels) // 10)
        if keys is not None:
            whole = _grouped(labels, keys, size)
            if groups is not None or np.isin((VALIDATION, TEST), whole).all():
                return whole
        return stratified_roles(labels, size)
    own[labeled & (own == POOL)] = LABELED
    if not (own == VALIDATION).any():
        alone = [f"row {row}" for row in range(len(labels))]
        rows = splits.choose(
            labels,
            own == LABELED,
            np.zeros(len(labels), bool),
            alone if keys is None else keys,
            splits.DEFAULT_SHARE,
        )
        own[rows] = VALIDATION
    return own


def _grouped(labels: Labels, keys: Sequence[str], size: int) -> Roles:
    """Return the fixed split with all images of a key on one side."""
    roles = np.full(len(labels), POOL, dtype=np.uint8)
    none = np.zeros(len(labels), dtype=bool)
    for role in (TEST, VALIDATION):
        free = roles == POOL
        roles[splits.choose(labels, free, none, keys, size / max(1, int(free.sum())))] = role
    return roles


def _keys(groups: Labels | None, clusters: Labels | None, count: int) -> Sequence[str] | None:
    """Return what moves as one: a group, else a cluster of near duplicates; None where all images stand alone."""
    if groups is not None:
        return [f"group {groups[row]}" for row in range(count)]
    return None if clusters is None else [f"cluster {clusters[row]}" for row in range(count)]


def _clusters(images: Images) -> Labels | None:
    """Return the clusters of near duplicates as numbers from 0, or None where no two images are alike."""
    from rambo.collection import duplicates  # scipy: only where it is needed

    leaders = duplicates.clusters(duplicates.small_pictures(images))
    values, compact = np.unique(leaders, return_inverse=True)
    return compact.reshape(-1).astype(np.int64) if len(values) < len(leaders) else None


def _names(arrays: Arrays) -> Names | None:
    """Return what the images and groups are called, or None."""
    if arrays.files is None and arrays.groups is None:
        return None
    groups = () if arrays.groups is None else tuple(np.unique(np.array(arrays.groups)).tolist())
    return Names(files=arrays.files or (), groups=groups)


def _statistics(images: Images, roles: Roles) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of images / 255 for each channel, exactly.

    Choice: from histograms of the pool alone, so neither rounding nor a test image has a say.
    """
    means, deviations = [], []
    values = np.arange(256) / 255
    for channel in range(images.shape[1]):
        histogram = np.zeros(256, dtype=np.int64)
        for start in range(0, len(images), 1024):  # bincount widens bytes to 8 bytes each
            rows = slice(start, start + 1024)
            pixels = images[rows, channel][np.isin(roles[rows], (POOL, LABELED))]
            histogram += np.bincount(pixels.ravel(), minlength=256)
        share = histogram / histogram.sum()
        mean = float(share @ values)
        means.append(mean)
        deviations.append(max(1e-3, float(share @ (values - mean) ** 2) ** 0.5))
    return means, deviations
