"""IDX files: MNIST and FashionMNIST as their makers publish them, checked against their hashes."""

import gzip
import hashlib
import math
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rambo.datasets.disk import is_file, refusing
from rambo.datasets.prepared import Images
from rambo.datasets.splits import Arrays, Pair, joined, stratified_roles
from rambo.errors import DataError

TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
SHA256 = {  # of the unpacked files, so that .gz and plain files are checked alike
    "MNIST": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    "FashionMNIST": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
}
REPLACE = "put the official file there, or delete it if it was downloaded and start again"
MAX_BYTES = 100_000_000  # of one unpacked file: twice the largest official one


def read_shipped(folder: Path) -> Arrays:
    """Return the FashionMNIST test set that comes with the project, in its fixed split."""
    images, labels = _read_pair(folder, TEST, SHA256["FashionMNIST"][2:])
    return images, labels, stratified_roles(labels, 1000)


def read_train_and_test(folder: Path, sha256: Sequence[str]) -> Arrays:
    """Return the four files in `folder`, whose hashes are `sha256`, as one dataset."""
    train = _read_pair(folder, TRAIN, sha256[:2])
    return joined(train, _read_pair(folder, TEST, sha256[2:]))


def is_complete(folder: Path) -> bool:
    """Return whether the four files of a dataset are in `folder`."""
    return all(is_file(_stored(folder, file)) for file in TRAIN + TEST)


def _stored(folder: Path, file: str) -> Path:
    """Return the plain file where only that is there, else the `.gz`."""
    plain, packed = folder / file, folder / f"{file}.gz"
    return plain if is_file(plain) and not is_file(packed) else packed


def _read_pair(folder: Path, files: Sequence[str], sha256: Sequence[str]) -> Pair:
    """Return images, `N x 1 x 28 x 28`, and their `N` labels in 0..9."""
    images = read_idx(_stored(folder, files[0]), 3, sha256[0])
    labels = read_idx(_stored(folder, files[1]), 1, sha256[1])
    if images.shape != (len(labels), 28, 28) or labels.max() > 9:
        raise DataError(
            f"{files[0]} and {files[1]} do not belong together",
            field="folder",
            value=folder,
            hint=REPLACE,
        )
    return images[:, None], labels.astype(np.int64)


def read_idx(path: Path, dimensions: int, sha256: str | None = None) -> Images:
    """Return the array of an IDX file of unsigned bytes, plain or gzipped.

    Args:
        path: a name that ends in `.gz` is unpacked.
        dimensions: how many the file must have.
        sha256: of the unpacked file; None trusts it.

    Raises:
        DataError: the file is missing, is not such an IDX file, or has another hash.
    """
    with refusing("file", path, REPLACE):
        with path.open("rb") as file:
            stream = gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file
            header = stream.read(4 + 4 * dimensions)
            if len(header) < 4 + 4 * dimensions or header[:4] != bytes((0, 0, 8, dimensions)):
                raise ValueError(f"it is not an IDX file of bytes with {dimensions} dimensions")
            shape = struct.unpack(f">{dimensions}I", header[4:])
            size = math.prod(shape)
            if not 0 < size <= MAX_BYTES:
                raise ValueError(f"its header asks for {size} bytes")
            payload = stream.read(size)
            if len(payload) < size or stream.read(1):  # reading to the end checks gzip's CRC
                raise ValueError(f"it does not hold the {size} bytes its header promises")
        digest = hashlib.sha256(header + payload).hexdigest()
        if sha256 not in (None, digest):
            raise ValueError(f"its unpacked bytes have sha256 {digest}, not {sha256}")
    return np.frombuffer(payload, dtype=np.uint8).reshape(shape)
