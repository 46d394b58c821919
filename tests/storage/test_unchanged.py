"""What was read is read again as soon as a file of it changes, and never before."""

import os
import time
from pathlib import Path

import pytest

from rambo.storage.unchanged import Unchanged


def age(path: Path, seconds: float) -> None:
    moment = time.time() - seconds
    os.utime(path, (moment, moment))


def test_files_are_read_once_until_one_of_them_changes(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("a")
    age(one, 10)
    cache, readings = Unchanged[str](4), []

    def read() -> str:
        readings.append(1)
        return one.read_text() + (two.read_text() if two.exists() else "")

    assert [cache.get((one, two), read) for _ in range(3)] == ["a"] * 3
    assert len(readings) == 1
    two.write_text("b")
    assert cache.get((one, two), read) == "ab"
    two.unlink()
    one.write_text("c")
    age(one, 5)
    assert [cache.get((one, two), read) for _ in range(3)] == ["c"] * 3
    assert len(readings) == 3


def test_what_was_read_right_after_a_change_is_not_kept(tmp_path: Path) -> None:
    """A second change in the same moment would leave time and size as they are."""
    path = tmp_path / "one"
    path.write_text("a")
    cache = Unchanged[str](4)
    assert cache.get((path,), path.read_text) == "a"
    facts = path.stat()
    path.write_text("b")
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert cache.get((path,), path.read_text) == "b"


def test_a_file_that_is_absent_is_not_remembered(tmp_path: Path) -> None:
    path = tmp_path / "one"
    path.write_text("a")
    age(path, 10)
    cache = Unchanged[str](4)
    assert cache.get((path,), path.read_text) == "a"
    path.unlink()
    with pytest.raises(FileNotFoundError):
        cache.get((path,), path.read_text)


def test_only_so_many_readings_are_kept(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "abc"]
    cache, readings = Unchanged[str](2), []
    for path in paths:
        path.write_text(path.name)
        age(path, 10)

    def look(path: Path) -> None:
        def read() -> str:
            readings.append(path.name)
            return path.name

        assert cache.get((path,), read) == path.name

    for name in "abacab":
        look(tmp_path / name)
    assert readings == ["a", "b", "c", "b"]
