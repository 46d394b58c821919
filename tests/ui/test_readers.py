"""What the pages read is read once, and again when a file of it changes or goes."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from tiny import tiny_config, write_tiny

from rambo.datasets.prepared import ARRAYS, Prepared
from rambo.errors import DataError
from rambo.events import BatchChosen, Noticed
from rambo.runs import record
from rambo.runs.workspace import Run, Workspace, create_run
from rambo.ui import readers


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Prepared]:
    """A dataset in a workspace of its own."""
    monkeypatch.setenv("RAMBO_HOME", str(tmp_path / "runs"))
    st.cache_resource.clear()
    yield write_tiny(tmp_path / "runs")
    st.cache_resource.clear()


def test_a_dataset_is_opened_once(data: Prepared) -> None:
    first = readers.open_dataset(data.fingerprint)
    assert readers.open_dataset(data.fingerprint) is first
    assert first.name == data.name


@pytest.mark.parametrize("name", ["meta.json", *(f"{name}.npy" for name in ARRAYS)])
def test_a_dataset_without_one_of_its_files_is_absent(data: Prepared, name: str) -> None:
    readers.open_dataset(data.fingerprint)
    path = data.folder / name
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(DataError):
        readers.open_dataset(data.fingerprint)
    path.write_bytes(content)
    assert readers.open_dataset(data.fingerprint).name == data.name


def test_a_stamp_changes_with_its_files(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert readers.stamp(one, two) == (0, 0, 0, 0)
    two.write_bytes(b"x")
    there = readers.stamp(one, two)
    assert there[:2] == (0, 0)
    assert there[3] == 1
    two.rename(one)
    assert readers.stamp(one, two) not in (there, (0, 0, 0, 0))


def greedy_step(step: int) -> BatchChosen:
    """A step with a single candidate."""
    return BatchChosen(step, 3, [step], 0.5, None, [0.5], [[step]], [0.5], [0.1])


def test_a_newer_attempt_takes_the_place_of_the_events_before(data: Prepared) -> None:
    """Read in one go or bit by bit, what counts is the same, and the greedy steps are those of it."""
    run = create_run(tiny_config(), data, Workspace(data.folder.parents[1]), "cpu")
    bit_by_bit = readers.EventReader(run)
    for attempt, steps in enumerate([2, 1, 0], start=1):
        with run.lock():
            run.begin_attempt()
            for step in range(steps):
                run.append(greedy_step(step), trial=0, strategy="rambo")
                run.append(Noticed(f"{attempt}"), trial=None, strategy=None)
                run.flush()
                bit_by_bit.latest()
            run.append(Noticed("begun"), trial=0, strategy="margin")
        newest = [e.attempt for e in run.latest_events() if isinstance(e.event, BatchChosen)]
        for reader in (bit_by_bit, readers.EventReader(run)):
            assert reader.latest() == run.latest_events()
            assert [entry.attempt for entry in reader.choices(0, "rambo")] == newest
            assert reader.choices(0, "margin") == []


def test_a_record_that_did_not_change_is_read_once_for_all_viewers(
    data: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(data.folder.parents[1])
    run = create_run(tiny_config(), data, workspace, "cpu")
    assert run.status == "queued"  # the first reader puts files of SQLite beside it
    for path in run.folder.glob("run.sqlite*"):
        os.utime(path, (1, 1))
    readings, read = [], record.read_facts
    monkeypatch.setattr(record, "read_facts", lambda db: (readings.append(1), read(db))[1])
    for viewer in (workspace.find(run.id), Run(run.folder)):
        assert readers.status(viewer) == ("queued", "")
        assert not viewer.stop_requested()
        assert not viewer.has_artifact("trial-0/atlas")
    assert len(readings) == 1
    run.config["strategies"].clear()
    assert run.config["strategies"], "what is shared cannot be changed from outside"
    run.request_stop()
    assert workspace.find(run.id).stop_requested()
