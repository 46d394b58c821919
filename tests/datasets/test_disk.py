import hashlib
import os
import time

import numpy as np
import pytest

from rambo.datasets import disk
from rambo.errors import DataError, StoreError
from rambo.storage.files import RefusedError


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("two\nlines"), "file here: two lines; go there"),
        (OSError(5, "Input/output error", "/secret"), "file here: Input/output error; go there"),
        (MemoryError(), "file here: MemoryError; go there"),
        (RefusedError("bad", "mend it"), "file here: bad; mend it"),
        (DataError("told already"), "told already"),
    ],
)
def test_whatever_a_reader_raises_is_one_line_with_a_way_out(error, message):
    with pytest.raises(DataError) as caught, disk.refusing("file", "here", "go there"):
        raise error
    assert str(caught.value) == message


def test_other_errors_of_ours_pass_unchanged():
    with pytest.raises(StoreError), disk.refusing("file", "here", "go there"):
        raise StoreError("full")


def test_a_written_array_is_what_numpy_would_save(tmp_path):
    array = np.arange(24, dtype=np.int64).reshape(2, 3, 4)
    chunks = (row.tobytes() for row in array)
    sha256 = disk.write_array(tmp_path / "ours.npy", array.dtype, array.shape, chunks)
    np.save(tmp_path / "numpys.npy", array)
    data = (tmp_path / "ours.npy").read_bytes()
    assert data == (tmp_path / "numpys.npy").read_bytes()
    assert sha256 == hashlib.sha256(data).hexdigest()
    assert np.array_equal(disk.map_array(tmp_path / "ours.npy", sha256), array)
    with pytest.raises(DataError, match=r"ours\.npy: .*do not match"):
        disk.map_array(tmp_path / "ours.npy", "0" * 64)


def test_only_old_leftovers_of_the_pattern_are_swept(tmp_path):
    for name in (".old", ".new", "old"):
        (tmp_path / name).write_text("x")
        if name != ".new":
            os.utime(tmp_path / name, (time.time() - 100_000,) * 2)
    disk.sweep(tmp_path, ".*")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".new", "old"]
