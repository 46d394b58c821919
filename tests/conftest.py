"""What all tests share: one thread a process, and the fixtures over `tests/tiny.py`."""

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"  # before numpy and torch start their pools
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
import torch
from tiny import MemoryMemo, write_tiny

from rambo.datasets.prepared import Prepared

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The tiny dataset, 28 x 28 grey."""
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def memo() -> MemoryMemo:
    """An empty memo."""
    return MemoryMemo()
