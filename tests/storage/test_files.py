"""Files that are whole or absent, checked arrays, words of errors."""

import errno
import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pytest

from rambo import export
from rambo.storage import files

REFUSALS = [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES]


def test_a_written_file_is_read_back_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "c.bin"
    files.write_bytes(target, b"old")
    files.write_bytes(target, b"new" * 1000)
    assert target.read_bytes() == b"new" * 1000
    assert [path.name for path in target.parent.iterdir()] == ["c.bin"]


@pytest.mark.parametrize("number", REFUSALS)
@pytest.mark.parametrize("where", ["open", "fsync", "replace"])
def test_a_refused_write_leaves_the_old_file(tmp_path, monkeypatch, number, where) -> None:
    target = tmp_path / "c.bin"
    files.write_bytes(target, b"old")

    def refuse(*args, **kwargs):
        raise OSError(number, os.strerror(number), str(target))

    with monkeypatch.context() as patched:
        if where == "fsync":
            patched.setattr(os, "fsync", refuse)
        else:
            patched.setattr(Path, where, refuse)
        with pytest.raises(OSError, match=os.strerror(number)):
            files.write_bytes(target, b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("c.bin", b"old")]


def test_sweep_removes_only_what_killed_writers_left(tmp_path: Path) -> None:
    files.write_bytes(tmp_path / "sub" / "kept.part", b"x")
    (tmp_path / "sub" / ".0123.part").write_bytes(b"half")
    (tmp_path / ".4567.part").write_bytes(b"half")
    files.sweep(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["sub", "kept.part"]


def test_what_a_killed_writer_left_beside_a_file_goes_with_the_next_one(tmp_path: Path) -> None:
    """And only that: what is being written just now, or beside another file, stays."""
    target, other = tmp_path / "batch.zip", tmp_path / "batch2.zip"
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from rambo.storage import files\n"
        "with files.whole(Path(sys.argv[1])) as file:\n"
        "    file.write(b'half')\n"
        "    file.flush()\n"
        "    print('here', flush=True)\n"
        "    time.sleep(60)\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE)
        for path in (target, target, other)
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"here\n"
        for writer in (writers[0], writers[2]):
            writer.kill()
            writer.wait()
        assert len(list(tmp_path.iterdir())) == 3
        files.sweep_beside(target)
        assert len(list(tmp_path.iterdir())) == 2
        writers[1].kill()
        writers[1].wait()
        export.put(target, b"whole")
        assert target.read_bytes() == b"whole"
        assert len(list(tmp_path.iterdir())) == 2  # with what belongs beside the other one
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()


def test_arrays_come_back_as_they_were() -> None:
    grid = np.arange(24, dtype=np.float32).reshape(4, 6)
    arrays = {
        "plain": grid,
        "transposed": grid.T,
        "strided": grid[::2, ::3],
        "reversed": grid[:, ::-1],
        "scalar": np.array(3.5),
        "empty": np.zeros((0, 5), np.int64),
        "flags": np.array([True, False]),
        "bytes": np.arange(256, dtype=np.uint8),
        "half": np.array([1.5], np.float16),
    }
    read = files.unpack_arrays(files.pack_arrays(arrays))
    assert sorted(read) == sorted(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array, strict=True)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_arrays_that_are_not_finite_are_refused_by_name(bad: float) -> None:
    with pytest.raises(files.RefusedError, match="array w holds a number that is not finite"):
        files.pack_arrays({"fine": np.ones(2), "w": np.array([1.0, bad])})


@pytest.mark.parametrize("array", [np.array([object()]), np.array(["a"]), np.array([1j])])
def test_arrays_without_numbers_are_refused(array: np.ndarray) -> None:
    with pytest.raises(files.RefusedError, match="only numbers"):
        files.pack_arrays({"w": array})


def test_no_flipped_or_missing_byte_passes_as_another_number() -> None:
    arrays = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([7, 8])}
    packed = files.pack_arrays(arrays)
    refused = 0
    for place in range(len(packed)):
        for damaged in (
            packed[:place],
            packed[:place] + bytes([packed[place] ^ 4]) + packed[place + 1 :],
        ):
            try:
                read = files.unpack_arrays(damaged)
            except files.RefusedError:
                refused += 1
                continue
            for name, array in arrays.items():
                np.testing.assert_array_equal(read[name], array, strict=True)
    assert refused > 1.9 * len(packed)  # a few bytes carry no meaning


def test_a_look_at_a_lock_is_shared_and_takes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "worker.lock"
    assert not files.is_locked(path)
    assert not path.exists()
    path.touch()
    assert not files.is_locked(path)
    with path.open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)  # another viewer in the same moment
        assert not files.is_locked(path)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert files.is_locked(path)
        assert files.is_locked(path)
    assert not files.is_locked(path)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full; free some space and go on"),
        (errno.EROFS, "the folder is read-only; make it writable and go on"),
        (errno.EACCES, "access is denied"),
        (errno.EIO, "the disk reports an error"),
        (errno.ENOENT, "a file is missing"),
        (errno.ENAMETOOLONG, "file name too long; put that right and go on"),
    ],
)
def test_words_of_an_error_name_cause_and_way_out_but_no_path(number: int, words: str) -> None:
    message = files.explain(OSError(number, os.strerror(number), "/home/ann/secret"), "go on")
    assert message.startswith(words)
    assert "/" not in message
    assert "\n" not in message
    assert files.is_full(OSError(number, "")) == (number == errno.ENOSPC)


def test_words_of_sqlite_errors(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"no database at all" * 100)
    with pytest.raises(sqlite3.DatabaseError) as damage:
        sqlite3.connect(tmp_path / "x").execute("SELECT * FROM sqlite_master")
    assert files.explain(damage.value, "go on").startswith("the record is damaged")
    assert files.explain(TimeoutError(), "go on").startswith("another process")
    assert files.explain(files.RefusedError("as it is"), "go on") == "as it is"
    assert not files.is_full(None)


@pytest.mark.parametrize("another", [False, True])
def test_a_lock_makes_no_folder_again_that_goes_away_while_it_is_taken(
    another: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    acquire = filelock.FileLock.acquire

    def late(lock: filelock.FileLock, **arguments: Any) -> Any:
        shutil.rmtree(folder)
        if another:  # of the same name, which the lock was not meant for
            folder.mkdir()
            (folder / "record").touch()
        return acquire(lock, **arguments)

    monkeypatch.setattr(filelock.FileLock, "acquire", late)
    with pytest.raises(FileNotFoundError), files.exclusive(folder / "lock", 1):
        pytest.fail("the lock was held")
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "record"] * another


def test_a_lock_is_held_by_one_and_free_afterwards(tmp_path: Path) -> None:
    lock_file = tmp_path / "lock"
    with files.exclusive(lock_file, 1):
        assert files.is_locked(lock_file)
        with pytest.raises(filelock.Timeout), files.exclusive(lock_file, 0.05):
            pytest.fail("two held the lock")
    assert not files.is_locked(lock_file)
    with pytest.raises(FileNotFoundError), files.exclusive(tmp_path / "gone" / "lock", 1):
        pytest.fail("there was no folder")
    assert not (tmp_path / "gone").exists()
