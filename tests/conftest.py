"""What all tests share: one thread a process, and the fixtures over `tests/tiny.py`."""

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"  # before numpy and torch start their pools
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import MemoryMemo, tiny_config, write_tiny

from rambo.datasets.prepared import TEST, Prepared
from rambo.method.pools import Problem

torch.set_num_threads(1)

# A minute and more each, most of it waiting for workers and a browser.
_LONG = ("test_own_images.py", "test_story.py", "test_train.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest ways through the app, or one process would still walk them when all others are done."""
    items.sort(key=lambda item: item.path.parent.name != "e2e" or item.path.name not in _LONG)


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """Leave the main module as it was: AppTest puts its script there, and new processes would then run it."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The tiny dataset, 28 x 28 grey."""
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny images as a person's own file: 160 to train on, 40 to test."""
    data = write_tiny(tmp_path_factory.mktemp("images"))
    test = np.array(data.roles) == TEST
    path = tmp_path_factory.mktemp("archive") / "tiny.npz"
    images, labels = np.array(data.images)[:, 0], np.array(data.labels)
    np.savez(
        path,
        train_images=images[~test],
        train_labels=labels[~test],
        test_images=images[test],
        test_labels=labels[test],
    )
    return path


@pytest.fixture
def memo() -> MemoryMemo:
    """An empty memo."""
    return MemoryMemo()


@pytest.fixture(scope="module")
def shared_memo() -> MemoryMemo:
    """Finished units of a module: what one test trained, the next one finds."""
    return MemoryMemo()


@pytest.fixture(scope="module")
def problem(tiny: Prepared) -> Problem:
    """The tiny dataset as a trial splits it."""
    from rambo.worker import trial

    return trial.split(tiny_config(), tiny, 0, None).problem
