"""Arrays and tables in the folder of a run."""

import errno
import math
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from store_helpers import CLASSES, CONFIG, names, refusal

from rambo.errors import StoreError
from rambo.runs.environment import Environment
from rambo.runs.run import Run
from rambo.runs.workspace import Workspace
from rambo.storage import files


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Workspace(tmp_path / "ru ns?#%41").create(CONFIG, Environment(classes=tuple(CLASSES)))


def test_arrays_and_tables_come_back(run: Run) -> None:
    arrays = {"w": np.arange(6.0).reshape(2, 3).T, "n": np.array([1, 2], np.int64)}
    run.save_arrays("trial-0/rambo/u_hat", arrays)
    read = run.load_arrays("trial-0/rambo/u_hat")
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array, strict=True)
    frame = pd.DataFrame(
        {
            "order": [1, 2],
            "margin": np.array([0.1, 0.25], np.float32),
            "predicted_utility": [math.nan, 0.5],
            "label": ["=1+1", "日本"],
            "nothing": [None, None],
        }
    )
    run.save_table("trial-0/rambo/selection", frame)
    pd.testing.assert_frame_equal(run.load_table("trial-0/rambo/selection"), frame)
    assert run.has_artifact("trial-0/rambo/selection")
    assert not run.has_artifact("trial-1/rambo/selection")
    assert "is not there yet" in refusal(lambda: run.load_table("trial-1/rambo/selection"))
    assert "is not there yet" in refusal(lambda: run.load_arrays("trial-0/rambo/selection"))
    there = names(run.folder / "artifacts" / "trial-0" / "rambo")
    assert there == ["selection.parquet", "u_hat.safetensors"]


@pytest.mark.parametrize(
    "name",
    ["", "/", "/etc/x", "a/", "/a", "a//b", "..", "../x", "a/../b", "a.b", ".", "A", "a b", "a\\b",
     "a\n", "a\0", "ä", "%2e%2e", "C:x", "a" * 5000],
)  # fmt: skip
def test_an_artifact_name_stays_in_its_place(run: Run, name: str) -> None:
    for action in (
        lambda: run.save_arrays(name, {"w": np.ones(1)}),
        lambda: run.load_arrays(name),
        lambda: run.save_table(name, pd.DataFrame({"a": [1]})),
        lambda: run.load_table(name),
    ):
        refusal(action)
    assert set(names(run.folder)) <= {
        "artifacts",
        "ballast",
        *("run.sqlite", "run.sqlite-wal", "run.sqlite-shm"),
    }
    assert not list(run.folder.glob("artifacts/**/*.*"))


def test_numbers_that_are_not_finite_stay_out_of_artifacts(run: Run) -> None:
    words = refusal(lambda: run.save_arrays("a", {"w": np.array([math.nan])}))
    assert "artifact a: array w holds a number that is not finite" in words
    words = refusal(lambda: run.save_table("a", pd.DataFrame({"x": [1.0], "margin": [math.inf]})))
    assert "artifact a: column margin holds infinity" in words
    refusal(lambda: run.save_table("a", pd.DataFrame({"x": [object()]})))
    assert not run.has_artifact("a")


def test_a_damaged_table_is_refused(run: Run) -> None:
    frame = pd.DataFrame({"order": range(200), "margin": np.linspace(0, 1, 200)})
    run.save_table("t", frame)
    path = run.folder / "artifacts" / "t.parquet"
    data = path.read_bytes()
    draw = random.Random(3)
    refused = 0
    for _ in range(150):
        place = draw.randrange(len(data))
        flipped = data[:place] + bytes([data[place] ^ 1 << draw.randrange(8)]) + data[place + 1 :]
        path.write_bytes(flipped if draw.random() < 0.8 else data[:place])
        try:
            read = run.load_table("t")
        except StoreError as error:
            refused += "is damaged" in str(error)
        else:
            values = [read[column].to_numpy() for column in read.columns[:2]]
            np.testing.assert_array_equal(values, frame.to_numpy().T)
    assert refused > 75


def test_a_pickle_in_place_of_an_artifact_runs_nothing(run: Run, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    attack = b"cposix\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR."
    for suffix in ("safetensors", "parquet"):
        files.write_bytes(run.folder / "artifacts" / f"a.{suffix}", attack)
    refusal(lambda: run.load_arrays("a"))
    refusal(lambda: run.load_table("a"))
    assert not marker.exists()


def test_a_new_attempt_sweeps_what_a_killed_one_left(run: Run) -> None:
    run.save_arrays("trial-0/a", {"w": np.ones(1)})
    (run.folder / "artifacts" / "trial-0" / ".00ff.part").write_bytes(b"half")
    run.begin_attempt()
    assert [path.name for path in (run.folder / "artifacts" / "trial-0").iterdir()] == [
        "a.safetensors"
    ]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full; free some space and `python -m rambo resume"),
        (errno.EROFS, "the folder is read-only; make it writable and `python -m rambo resume"),
        (errno.EACCES, "access is denied"),
        (errno.EIO, "the disk reports an error"),
    ],
)
@pytest.mark.parametrize("call", ["fsync", "open"])
def test_a_disk_that_refuses_an_artifact_leaves_the_old_one(run, monkeypatch, number, words, call):
    run.save_arrays("trial-0/u_hat", {"w": np.ones(3)})
    run.save_table("trial-0/selection", pd.DataFrame({"order": [1]}))
    listing = sorted(path for path in run.folder.rglob("*") if path.suffix in (".part", ".parquet"))

    def refuse(*arguments: Any, **named: Any) -> None:
        raise OSError(number, os.strerror(number), "/tmp/private")

    with monkeypatch.context() as patched:
        patched.setattr(*((os, "fsync") if call == "fsync" else (Path, "open")), refuse)
        complaint = refusal(lambda: run.save_arrays("trial-0/u_hat", {"w": np.zeros(3)}))
        assert complaint.startswith(f"run {run.id}: artifact trial-0/u_hat: {words}")
        refusal(lambda: run.save_table("trial-0/selection", pd.DataFrame({"order": [2]})))
        refusal(lambda: run.save_arrays("new", {"w": np.zeros(3)}))
    np.testing.assert_array_equal(run.load_arrays("trial-0/u_hat")["w"], np.ones(3))
    assert run.load_table("trial-0/selection")["order"].tolist() == [1]
    assert not run.has_artifact("new")
    after = sorted(path for path in run.folder.rglob("*") if path.suffix in (".part", ".parquet"))
    assert after == listing
