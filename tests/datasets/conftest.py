"""Fixtures of several files here: a tiny MNIST, and no network."""

import hashlib
import socket
import urllib.error

import pytest
from dataset_helpers import FILES, idx_arrays, idx_bytes

from rambo.datasets import idx, vision_sets


@pytest.fixture
def mnist(tmp_path, monkeypatch):
    """A data root with a tiny MNIST of .gz files whose hashes are the expected ones."""
    root = tmp_path / "root"
    (root / "MNIST" / "raw").mkdir(parents=True)
    for file, array in zip(FILES, idx_arrays(), strict=True):
        (root / "MNIST" / "raw" / f"{file}.gz").write_bytes(idx_bytes(array))
    sums = tuple(hashlib.sha256(idx_bytes(a, packed=False)).hexdigest() for a in idx_arrays())
    monkeypatch.setitem(idx.SHA256, "MNIST", sums)
    return root


@pytest.fixture
def offline(monkeypatch):
    """No download of torchvision's succeeds; returns the socket timeouts it ran under."""
    timeouts = []

    def fail(*args, **kwargs):
        timeouts.append(socket.getdefaulttimeout())
        raise urllib.error.URLError("no route\nto host")

    utils = vision_sets.load("torchvision.datasets.utils")
    for module in (
        vision_sets.load("torchvision.datasets.mnist"),
        vision_sets.load("torchvision.datasets.cifar"),
    ):
        monkeypatch.setattr(module, "download_and_extract_archive", fail)
    monkeypatch.setattr(vision_sets.load("torchvision.datasets.svhn"), "download_url", fail)
    monkeypatch.setattr(utils, "_urlretrieve", fail)
    return timeouts
