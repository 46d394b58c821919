"""A user's `.npz` file: read member by member, never unpickled, checked before anything is kept."""

import math
import zipfile
from pathlib import Path

import numpy as np

from rambo.config import shorten
from rambo.datasets import prepared
from rambo.datasets.disk import refusing
from rambo.datasets.prepared import POOL, Images, Labels, Prepared, Roles
from rambo.datasets.splits import Pair, joined, stratified_roles
from rambo.storage.files import RefusedError

PLAIN_KEYS = ("images", "labels")
SPLIT_KEYS = ("train_images", "train_labels", "test_images", "test_labels")
MAX_BYTES = 8_000_000_000  # unpacked
MAX_CLASSES, MIN_IMAGES, MIN_SIDE, MAX_SIDE = 1000, 10, 8, 512


def prepare_archive(path: Path, workspace: Path, origin: str) -> Prepared:
    """Return the dataset in an `.npz` file, stored below `workspace`.

    Choice: a file without a split of its own gets the fixed one, a tenth each (at most 1,000) for
    validation and test. The sorted label values name the classes.

    Raises:
        DataError: it is not such a file, or its arrays are not a dataset.
        StoreError: the workspace cannot be written.
    """
    with refusing(f"file {shorten(path, 200)}", "save it again with numpy.savez"):
        pairs = _read_pairs(path)
        values, labels = np.unique(np.concatenate([p[1] for p in pairs]), return_inverse=True)
        if not 2 <= len(values) <= MAX_CLASSES or len(labels) < MIN_IMAGES:
            raise RefusedError(
                f"{len(labels)} images of {len(values)} classes; "
                f"use at least {MIN_IMAGES} images and 2 to {MAX_CLASSES} classes"
            )
        if len(pairs) == 2:
            images, _, roles = joined(*pairs)
        else:
            images, roles = pairs[0][0], stratified_roles(labels, min(1000, len(labels) // 10))
        mean, std = _statistics(images, roles)
    return prepared.write(
        workspace,
        name=shorten(path.stem, 80),
        images=images,
        labels=labels.astype(np.int64),
        roles=roles,
        classes=[str(value) for value in values],
        mean=mean,
        std=std,
        source="an .npz file of your own",
        licence="not stated in the file",
        origin=origin,
    )


def _read_pairs(path: Path) -> list[Pair]:
    """Return train and test images with their labels, or one pair where there is no split."""
    arrays = _read_arrays(path)
    pairs = [
        (_checked_images(images), _checked_labels(labels, len(images)))
        for images, labels in zip(arrays[::2], arrays[1::2], strict=True)
    ]
    if pairs[0][0].shape[1:] != pairs[-1][0].shape[1:]:
        raise RefusedError("train and test images differ in size; make them equal")
    return pairs


def _read_arrays(path: Path) -> list[np.ndarray]:
    """Return the arrays named in `SPLIT_KEYS` if there, else those in `PLAIN_KEYS`."""
    with zipfile.ZipFile(path) as archive:
        members = {member.filename: member for member in archive.infolist()}
        size = sum(member.file_size for member in archive.infolist())
        if size > MAX_BYTES:
            limit = f"the limit is {MAX_BYTES / 1e9:.0f} GB"
            raise RefusedError(f"{size / 1e9:.1f} GB unpacked; {limit}, use fewer images")
        keys = SPLIT_KEYS if f"{SPLIT_KEYS[0]}.npy" in members else PLAIN_KEYS
        missing = [key for key in keys if f"{key}.npy" not in members]
        if missing:
            raise RefusedError(
                f"holds no {', '.join(missing)}; it needs {', '.join(PLAIN_KEYS)}, "
                f"or {', '.join(SPLIT_KEYS)}"
            )
        return [_read_member(archive, members[f"{key}.npy"]) for key in keys]


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """Return one array of whole numbers; never more bytes than the zip directory announced."""
    with archive.open(member) as stream:
        if np.lib.format.read_magic(stream) == (1, 0):
            header = np.lib.format.read_array_header_1_0(stream)
        else:
            header = np.lib.format.read_array_header_2_0(stream)
        shape, fortran_order, dtype = header
        if dtype.hasobject or dtype.kind not in "iu":
            raise RefusedError(
                f"{member.filename} holds {shorten(dtype)}; "
                "save images as uint8 and labels as whole numbers"
            )
        data = stream.read()  # to the end, where the CRC is checked
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{member.filename} does not hold what its header promises")
    return np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if fortran_order else "C")


def _checked_images(images: np.ndarray) -> Images:
    """Return the images as `N x C x H x W`, or refuse them."""
    grey, colour = images.ndim == 3, images.ndim == 4 and images.shape[3] == 3
    if images.dtype != np.uint8 or not (grey or colour) or len(images) == 0:
        raise RefusedError(
            f"images are {images.dtype} {images.shape}; "
            "save them as uint8 of N x H x W or N x H x W x 3"
        )
    height, width = images.shape[1:3]
    if not MIN_SIDE <= min(height, width) <= max(height, width) <= MAX_SIDE:
        raise RefusedError(
            f"images are {height} x {width} pixels; resize them to sides of {MIN_SIDE} to {MAX_SIDE}"
        )
    return images[:, None] if grey else images.transpose(0, 3, 1, 2)


def _checked_labels(labels: np.ndarray, count: int) -> Labels:
    """Return the labels as int64, or refuse them."""
    if labels.shape != (count,):
        raise RefusedError(
            f"labels of shape {labels.shape} beside {count} images; save one whole number an image"
        )
    converted = labels.astype(np.int64)
    if labels.dtype.kind == "u" and converted.min() < 0:
        raise RefusedError(f"a label is {labels.max()}; use numbers below 2**63")
    return converted


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
            pixels = images[rows, channel][roles[rows] == POOL]
            histogram += np.bincount(pixels.ravel(), minlength=256)
        share = histogram / histogram.sum()
        mean = float(share @ values)
        means.append(mean)
        deviations.append(max(1e-3, float(share @ (values - mean) ** 2) ** 0.5))
    return means, deviations
