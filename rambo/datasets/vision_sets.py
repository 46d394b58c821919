"""torchvision, and the datasets that it downloads; it also reads CIFAR-10 and SVHN, once their hashes are right.

torch and torchvision are imported only inside these functions: torch takes seconds, and the pages
do without. The readers raise whatever torchvision raises; the catalog turns that into a `DataError`.
"""

import contextlib
import functools
import importlib
import socket
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rambo.datasets import idx
from rambo.datasets.disk import file_hash, is_file, refusing
from rambo.datasets.splits import Arrays, joined

TIMEOUT_SECONDS = 30.0
_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_DECLARED: list[Any] = []  # declarations live as long as these objects


@functools.cache
def load(name: str = "torchvision") -> types.ModuleType:
    """Return the module `name` of torchvision, or of a library built on it (such as timm).

    A torchvision built for CUDA beside a CPU build of torch fails at import, because it registers shapes for operators
    (`nms`, `qnms`) that its compiled library did not define. Nothing here uses them, so they are declared first.
    """
    try:
        return importlib.import_module(name)
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _OPERATORS:
        library.define(schema)
    _DECLARED.append(library)
    return importlib.import_module(name)


def read_mnist(folder: Path) -> Arrays:
    """Return MNIST or FashionMNIST; torchvision only downloads what is missing.

    Args:
        folder: `raw` in a folder that is called like torchvision's class for the dataset.
    """
    kind = folder.parent.name
    if not idx.is_complete(folder):
        getattr(_torchvision(), kind)(folder.parents[1], download=True)
    return idx.read_train_and_test(folder, idx.SHA256[kind])


def read_cifar10(folder: Path) -> Arrays:
    """Return CIFAR-10, which torchvision unpickles after an md5 check."""
    reader = _torchvision().CIFAR10
    md5 = dict([*reader.train_list, *reader.test_list])
    download = _incomplete(folder, md5 | {reader.meta["filename"]: reader.meta["md5"]})
    parts = [reader(folder.parent, train=train, download=download) for train in (True, False)]
    train, test = (
        (part.data.transpose(0, 3, 1, 2), np.asarray(part.targets, np.int64)) for part in parts
    )
    return joined(train, test)


def read_svhn(folder: Path) -> Arrays:
    """Return SVHN's cropped digits."""
    reader = _torchvision().SVHN
    splits = ("train", "test")
    md5 = {reader.split_list[split][1]: reader.split_list[split][2] for split in splits}
    download = _incomplete(folder, md5)
    parts = [reader(folder, split=split, download=download) for split in splits]
    train, test = ((part.data, part.labels) for part in parts)
    return joined(train, test)


def _incomplete(folder: Path, md5: Mapping[str, str]) -> bool:
    """Return whether a file is missing; a `DataError` names one that is there but damaged."""
    if not all(is_file(folder / file) for file in md5):
        return True
    for file, expected in md5.items():
        with refusing("file", folder / file, idx.REPLACE):
            digest = file_hash(folder / file, "md5")
            if digest != expected:
                raise ValueError(f"damaged (md5 {digest}, not {expected})")
    return False


def _torchvision() -> types.ModuleType:
    """Return torchvision.datasets."""
    return load("torchvision.datasets")


@contextlib.contextmanager
def network_timeout() -> Iterator[None]:
    """Give up on a silent server after `TIMEOUT_SECONDS` inside the block."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
