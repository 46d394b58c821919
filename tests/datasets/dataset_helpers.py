"""What the tests of datasets share: refusals, small IDX files, a hostile pickle, a failing disk."""

import gzip
import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from rambo.datasets import catalog, idx
from rambo.datasets.prepared import POOL, TEST, VALIDATION
from rambo.errors import DataError

FILES = idx.TRAIN + idx.TEST


def refused(name, workspace, root, *words):
    """Prepare, expect one line of refusal with all `words`, and return it."""
    with pytest.raises(DataError) as caught:
        catalog.prepare(name, workspace, data_root=root)
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text
    return text


def roles_of(dataset):
    return [int((dataset.roles == role).sum()) for role in (POOL, VALIDATION, TEST)]


def idx_bytes(array, packed=True):
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    data = header + array.tobytes()
    return gzip.compress(data, mtime=0) if packed else data


def idx_arrays():
    draw = np.random.default_rng(0)
    for count in (30, 20):
        yield draw.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        yield (np.arange(count) % 10).astype(np.uint8)


class Bomb:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


def break_disk(patch, step, number):
    """Let every `step` of writing a file fail with the error `number`."""

    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    class Full(io.BytesIO):
        write = fail

    whole = Path.open

    def open_new(path, mode="r", *args, **kwargs):
        if "x" not in mode:
            return whole(path, mode, *args, **kwargs)
        if step == "open":
            fail()
        whole(path, mode, *args, **kwargs).close()  # the file is there, but takes nothing
        return Full()

    if step in ("open", "write"):
        patch.setattr(Path, "open", open_new)
    else:
        patch.setattr(os if step == "fsync" else Path, step, fail)
