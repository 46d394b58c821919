"""A workspace is its owner's alone, whatever the umask and whatever folder it lies in."""

import ast
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny import TINY, merged

from rambo.collection.importing import ImportOptions, import_images
from rambo.datasets import catalog
from rambo.runs import audit, imports, jobs, models, notes
from rambo.runs.imports import ImportRequest
from rambo.runs.notes import ImageNote
from rambo.runs.workspace import Run, Workspace
from rambo.storage import files
from rambo.studies import study
from rambo.ui import frame
from rambo.worker import model_worker, study_worker

CODE = Path(__file__).parents[2] / "rambo"
SETTINGS = {
    "dataset": {"validation_size": 60},
    "strategies": ["random"],
    "budget": 10,
    "classifier": {"max_epochs": 1},
}


@pytest.fixture
def open_umask() -> Iterator[None]:
    """The umask of most machines, under which new folders are open to all."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def others(path: Path) -> int:
    """Return what those may do who do not own it."""
    return stat.S_IMODE(path.stat().st_mode) & 0o077


def import_some(root: Path, folder: Path) -> None:
    """Import 40 images of two classes."""
    images = np.random.default_rng(0).integers(0, 255, (40, 28, 28), dtype=np.uint8)
    np.savez(folder / "own.npz", images=images, labels=np.arange(40) % 2)
    import_images(root, folder / "own.npz", ImportOptions(jobs=1))


def train_model(root: Path) -> None:
    """Train a final model of them."""
    data = catalog.prepare("collection:own", root)
    settings = models.settings(data, device="cpu")
    settings["classifier"]["max_epochs"] = 1
    assert model_worker.work(models.create(settings, data, Workspace(root), "cpu")) == "done"


def work_study(root: Path, archive: Path) -> Run:
    """Work through a study and return the run of a cell."""
    settings = merged(merged(TINY, SETTINGS), {"dataset": {"name": str(archive)}})
    data = catalog.prepare(str(archive), root)
    run = study.create("budgets", settings, data, Workspace(root), "cpu")
    assert study_worker.work(run) == "done"
    return next(iter(study.runs(run).values()))


def test_no_folder_of_a_workspace_and_no_lock_in_it_is_open_to_others(
    open_umask: None, tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "runs"
    root.mkdir()
    assert others(root) == 0o055, "the folder was there before, and open"
    monkeypatch.setenv("RAMBO_HOME", str(root))
    import_some(root, tmp_path)
    train_model(root)
    run = work_study(root, tiny_archive)
    monkeypatch.setattr(jobs, "launch", lambda run: None)
    jobs._start_once(run.config, Workspace(root), lambda workspace: [], lambda: run)
    idle = [sys.executable, "-c", ""]
    monkeypatch.setattr(imports, "_launch", lambda *rest: subprocess.Popen(idle))
    imports.begin(root, ImportRequest(name="later", sources=("nowhere",)))
    notes.save(run, 0, ImageNote(), ImageNote(("odd",), ""))
    audit.note(root, "start", run.id)
    frame._log(ValueError("a trace"))
    folders = [path for path in root.rglob("*") if path.is_dir()]
    assert [str(path.relative_to(root)) for path in folders if others(path)] == []
    assert len(folders) > 15
    locks = [path for path in root.rglob("*") if path.name.endswith("lock") and path.is_file()]
    locks += [root / jobs.START, root / "errors.log", root / audit.NAME]
    assert [str(path.relative_to(root)) for path in locks if others(path)] == []
    assert {"worker.lock", "write.lock", "notes.lock", "errors.log"} <= {p.name for p in locks}


def test_a_folder_of_the_root_that_an_error_log_makes_is_private(
    open_umask: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAMBO_HOME", str(tmp_path / "runs"))
    frame._log(ValueError("a trace \ud800"))
    assert others(tmp_path / "runs") == 0
    assert "a trace" in (tmp_path / "runs/errors.log").read_text()


@pytest.mark.parametrize("way", ["gate", "lock"])
def test_a_lock_of_an_earlier_version_is_closed_to_others(way: str, tmp_path: Path) -> None:
    lock = tmp_path / "some.lock"
    lock.touch(0o644)
    lock.chmod(0o644)
    with files.gate(lock, exclusive=True) if way == "gate" else files.exclusive(lock, 1):
        assert others(lock) == 0


def test_one_function_makes_the_folders() -> None:
    """`mkdir` elsewhere would go by the umask; the cache of torch, which is not ours, does."""
    makers = {
        path.relative_to(CODE).as_posix()
        for path in CODE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in {"mkdir", "makedirs"}
    }
    assert makers == {"storage/files.py", "datasets/features.py"}
