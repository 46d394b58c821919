"""Runs in every state for the page tests, made once by real training on tiny images, and what to ask of a page."""

import re
import shutil
import sqlite3
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest
from tiny import merged, tiny_config, write_tiny

from rambo.config import Config
from rambo.runs.workspace import Run, Workspace
from rambo.worker import run_worker

ROOT = Path(__file__).resolve().parents[2]
STRATEGIES = ["rambo", "filter-only", "margin", "random"]
SETTINGS: dict[str, Any] = {
    "strategies": STRATEGIES,
    "classifier": {"max_epochs": 2},
    "rambo": {"offline": {"pairs": 5, "repeated_pairs": 2}},
}


def page_config(**changes: Any) -> Config:
    """Return the tiny config with all four strategies."""
    return tiny_config(**merged(SETTINGS, changes))


def make_done(root: Path, **changes: Any) -> Run:
    """Return a finished run."""
    run = make_queued(root, **changes)
    assert run_worker.work(run) == "done"
    return run


def make_queued(root: Path, **changes: Any) -> Run:
    """Return a run that no worker has taken."""
    data = write_tiny(root)
    return run_worker.create_run(page_config(**changes), data, Workspace(root), "cpu")


def make_failed(root: Path) -> Run:
    """Return a run that says it failed."""
    run = make_queued(root, seed=5)
    run.begin_attempt()
    run.set_status("failed", "the loss is not finite; lower the learning rate")
    return run


def make_interrupted(root: Path) -> Run:
    """Return a run that says it is running while no worker holds it."""
    run = make_queued(root, seed=6)
    run.begin_attempt()
    run.set_status("running")
    return run


def make_damaged(root: Path) -> Run:
    """Return a run whose record is no database any more."""
    run = make_queued(root, seed=7)
    for name in ("run.sqlite-wal", "run.sqlite-shm"):
        (run.folder / name).unlink(missing_ok=True)
    (run.folder / "run.sqlite").write_bytes(b"not a database at all" * 300)
    return run


def forget_choice(run: Run, trial: int, strategy: str) -> None:
    """Make a run one in which a strategy has picked its images, and has not come to write them down."""
    name = f"trial-{trial}/{strategy}/selection"
    (run.folder / "artifacts" / f"{name}.parquet").unlink()
    run.forget_artifacts([name])
    with sqlite3.connect(run.folder / "run.sqlite", isolation_level=None) as db:
        db.execute("DELETE FROM results WHERE trial = ? AND strategy = ?", (trial, strategy))
    run.set_status(run.status)  # the record counts its rows again


def copy_of(done: Path, target: Path) -> Path:
    """Return a copy of a workspace, for a test that changes it."""
    return Path(shutil.copytree(done, target))


def open_page(script: str, run: str | None = None, **params: str) -> AppTest:
    """Return a page after its first run, opened directly with this address."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    if script != "app.py":
        app.switch_page(script)  # before the first run: app.py itself never runs
    if run is not None:
        app.query_params["run"] = run
    for name, value in params.items():
        app.query_params[name] = value
    return app.run()


def words(app: AppTest) -> str:
    """Return all text a page shows, in one string."""
    kinds = ("title", "header", "subheader", "markdown", "caption", "text", "code", "info")
    kinds += ("warning", "error", "success")
    values = [element.value for kind in kinds for element in getattr(app, kind)]
    values += [str(part) for metric in app.metric for part in (metric.label, metric.value)]
    values += [button.label for button in app.button]
    return "\n".join(str(text) for text in values)


def unescaped(text: str) -> str:
    """Return text without the backslashes and joiners of `rambo.text.literal`."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text).replace("\u2060", "")


def assert_calm(app: AppTest) -> None:
    """Assert that the page met no unforeseen error and shows no trace."""
    assert not app.exception, [exception.value for exception in app.exception]
    text = words(app)
    assert "Traceback" not in text
    assert "errors.log" not in text
