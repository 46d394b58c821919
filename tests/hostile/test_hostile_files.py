"""Every hostile file is refused, or named in the report, in words; nothing leaves its place, and memory is bounded."""

import shutil
import time
from pathlib import Path

import hostile_files
import numpy as np
import pytest

from rambo.collection import limited
from rambo.collection.importing import ImportOptions, import_images
from rambo.collection.looks import LIMITS
from rambo.collection.readers.sources import read_source
from rambo.errors import DataError, RamboError
from rambo.storage.files import RefusedError

SEED = 20_260
MEMORY = 64_000_000  # that refusing a bomb may take
SECONDS = 1.0  # of the processor


def attempt(path, scratch):
    """Return in the child: what was said of a file, its images, the seconds and the bytes it took."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before, started = _status("VmRSS"), time.process_time()
    items, refused, problem = 0, [], ""
    try:
        source = read_source(path, LIMITS, scratch)
        items, refused = len(source.items), [bad.file for bad in source.refused]
    except RamboError as error:
        problem = str(error)
    return problem, items, refused, time.process_time() - started, _status("VmHWM") - before


def _status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def imported(workspace, path):
    """Return the snapshot of an import of one source."""
    return import_images(workspace, path, ImportOptions(jobs=1, size=16)).collection


def outside(folder):
    """Return everything beside the workspace and the source."""
    return sorted(str(path) for path in folder.rglob("*") if "/ws" not in str(path))


FAMILIES = ("archives", "arrays", "tables")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Every file that is a source by itself, by its family."""
    folder = tmp_path_factory.mktemp("hostile")
    return {name: getattr(hostile_files, name)(folder / name) for name in FAMILIES}


def test_there_are_150_cases_and_more(files, tmp_path):
    first, second = hostile_files.images(SEED), hostile_files.images(SEED)
    assert [data for _, data, _ in first] == [data for _, data, _ in second]
    count = len(first) + len(hostile_files.members()) + sum(map(len, files.values()))
    count += len(hostile_files.odd_members(tmp_path / "odd.zip"))
    assert count >= 220


def test_image_files_are_shown_as_written_down_or_named(tmp_path):
    cases = hostile_files.images(SEED)
    (tmp_path / "set").mkdir()
    for name, data, _ in cases:
        (tmp_path / "set" / name).write_bytes(data)
    collection = imported(tmp_path / "ws", tmp_path / "set")
    now = collection.snapshot()
    assert {bad.file for bad in now.unreadable} == {name for name, _, colour in cases if not colour}
    assert all(";" in bad.reason or bad.reason == "the file is empty" for bad in now.unreadable)
    numbers = dict(zip(now.files, now.numbers.tolist(), strict=True)) | dict(now.copies)
    for name, _, colour in cases:
        if colour is not None:
            (picture,) = collection.pictures([numbers[name]])
            middle = picture[:, 2, 2] if name == "form-4000-to-1.png" else picture[:, 8, 8]
            assert np.abs(middle.astype(int) - colour).max() <= 3, name


def test_names_of_members_lead_nowhere_and_merge_never(tmp_path):
    names = hostile_files.members()
    parts = [
        (name, hostile_files.packed(hostile_files.noisy(n))) for n, (name, _) in enumerate(names)
    ]
    hostile_files.zipped(tmp_path / "x.zip", [*parts, ("cat/good.png", parts[0][1][:-1] + b"!")])
    before = outside(tmp_path)
    now = imported(tmp_path / "ws", tmp_path / "x.zip").snapshot()
    assert outside(tmp_path) == before
    out = {name for name, where in names if where == "leads out" and not name.endswith("/")}
    assert len(now.unreadable) == len(out)
    assert {bad.reason for bad in now.unreadable} == {
        "its name leads out of the archive; pack it again without paths"
    }
    files = [*now.files, *(name for name, _ in now.copies)]
    assert len(files) == len(set(files))
    hidden = [name for name, _ in names if name.startswith("..../") or "/.../" in name]
    assert len(files) == 1 + sum(where == "inside" for _, where in names) - len(hidden)
    assert f"{len(hidden)} hidden or system files were passed over" in " ".join(now.remarks)
    assert all(name.isprintable() for name in files)


def test_members_that_are_no_plain_files_are_named(tmp_path):
    names = hostile_files.odd_members(tmp_path / "odd.zip")
    now = imported(tmp_path / "ws", tmp_path / "odd.zip").snapshot()
    assert now.files == ("cat/good.png",)
    assert sorted(bad.file for bad in now.unreadable) == sorted(names)


@pytest.mark.parametrize("family", FAMILIES)
def test_bombs_lies_and_ruins_are_refused_within_a_second_and_64_mb(
    files, tmp_path, family, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    paths = files[family]
    (tmp_path / "scratch").mkdir()
    read_whole = []
    limited.call(attempt, paths[0], tmp_path / "scratch")  # what it imports counts for nobody
    for path in paths:
        problem, items, refused, seconds, memory = limited.call(attempt, path, tmp_path / "scratch")
        assert problem or items or refused, path.name
        assert "Traceback" not in problem
        assert len(problem.splitlines()) <= 1
        if problem:
            assert path.name in problem, problem
            assert seconds < SECONDS, path.name
            assert memory < MEMORY, (path.name, memory)
        elif items:
            read_whole.append(path)
        shutil.rmtree(tmp_path / "scratch")
        (tmp_path / "scratch").mkdir()
    assert not (tmp_path / "owned").exists()
    for path in read_whole:  # what the reader takes is refused image by image, or harmless
        try:
            now = imported(tmp_path / "ws" / path.stem, path).snapshot()
        except DataError as error:
            assert len(str(error).splitlines()) == 1
        else:
            assert len(now) <= 4, path.name


def test_a_child_is_limited_and_the_next_task_finds_a_whole_one():
    with pytest.raises(RefusedError, match="more than 1 GB of memory"):
        limited.call(bytes, 3 * 10**9)
    with pytest.raises(RefusedError, match="crashed, or took over 1 s"):
        limited.call(_spin, seconds=1)
    assert limited.call(len, [1, 2]) == 2


def _spin():
    while True:
        pass
