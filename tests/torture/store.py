"""A small life of a workspace in steps, each one call of the store, and what can be seen of it at any moment."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from collection_helpers import photos

from rambo import collection as own
from rambo.collection import intake
from rambo.collection.importing import ImportOptions, import_images
from rambo.collection.readers import tables
from rambo.config import build, describe
from rambo.events import StageAdvanced
from rambo.runs import audit, edits
from rambo.runs.edits import EditedBatch
from rambo.runs.environment import Environment
from rambo.runs.run import Run
from rambo.runs.workspace import Workspace

CONFIG = describe(build({"strategies": ["margin"], "trials": 1, "k": 20, "budget": 10}))
KEY = "ab" * 32
LABELS = b"file,label\nunlabeled/u0.png,cat\nunlabeled/u1.png,dog\n"


def _run(root: Path) -> Run:
    return Workspace(root).runs()[0]


def _create(root: Path) -> None:
    Workspace(root).create(CONFIG, Environment())


def _attempt(root: Path) -> None:
    run = _run(root)
    with run.lock():
        run.begin_attempt()
        run.set_status("running")


def _events(root: Path) -> None:
    run = _run(root)
    for step in range(20):
        run.append(StageAdvanced("pretraining", step, 20), trial=0, strategy="margin")
    run.flush()


def _arrays(root: Path) -> None:
    _run(root).save_arrays("trial-0/atlas", {"x": np.arange(2000, dtype=np.float32)})


def _table(root: Path) -> None:
    _run(root).save_table("trial-0/margin/selection", pd.DataFrame({"dataset_index": range(200)}))


def _edit(root: Path) -> None:
    edits.save(_run(root), 0, "margin", EditedBatch().limited([1, 2], [1, 2, 3], [0, 0, 0]))


def _memo(root: Path) -> None:
    Workspace(root).memo().put(KEY, {"accuracy": 0.5}, {"p": np.ones((50, 4), np.float32)})


def _note(root: Path) -> None:
    audit.note(root, "start", "run-1")


def _done(root: Path) -> None:
    _run(root).set_status("done")


def _stop(root: Path) -> None:
    _run(root).request_stop()


def _import(root: Path) -> None:
    import_images(root, [root.parent / "pets"], ImportOptions(jobs=1, name="pets"))


def _label(root: Path) -> None:
    chosen = own.find(root, "pets")
    intake.take(chosen, intake.preview(chosen, tables.parse(LABELS, "labels.csv")))


def _undo(root: Path) -> None:
    intake.undo(own.find(root, "pets"))


STEPS: dict[str, Callable[[Path], None]] = {
    "create": _create,
    "attempt": _attempt,
    "events": _events,
    "arrays": _arrays,
    "table": _table,
    "edit": _edit,
    "memo": _memo,
    "audit": _note,
    "stop": _stop,
    "done": _done,
    "import": _import,
    "label": _label,
    "undo": _undo,
}


def prepare(folder: Path) -> Path:
    """Write the pictures that are imported, and return where the workspace will be."""
    photos(folder / "pets", per_class=2, unlabeled=2)
    return folder / "runs"


def look(root: Path) -> dict[str, Any]:
    """Return all that can be seen, a part for each thing that a step changes; raises where something does not open."""
    states: dict[str, Any] = {}
    runs = Workspace(root).runs()
    states["runs"] = len(runs)
    for run in runs[:1]:
        description = run.describe()
        states["status"] = description.status
        if description.status == "unreadable" and not run.folder.is_dir():
            break  # deleted by the other session in this moment
        if description.status == "unreadable":
            raise AssertionError(f"unreadable: {description.message}")
        states["stop"] = run.stop_requested()
        states["events"] = len(run.events())
        for name in ("trial-0/atlas", "trial-0/margin/selection"):
            states[name] = None
            if run.has_artifact(name):
                read = run.load_arrays if name.endswith("atlas") else run.load_table
                states[name] = (
                    sum(len(part) for part in read(name).values())
                    if name.endswith("atlas")
                    else len(read(name))
                )
        edit = edits.load(run, 0, "margin")
        states["edit"] = None if edit is None else edit.model_dump_json()
    row = Workspace(root).memo().get(KEY) if root.is_dir() else None
    states["memo"] = None if row is None else row[0]["accuracy"]
    acts, wrong = audit.read(root)
    states["acts"] = len(acts)
    states["collection"] = None
    if "pets" in own.slugs(root):
        chosen = own.find(root, "pets")
        versions = len(chosen.versions())
        states["collection"] = versions
        if versions:
            now = chosen.snapshot()
            states["labels"] = int((now.labels >= 0).sum())
            for pixels in chosen.pictures(now.numbers.tolist()):
                assert pixels is not None
    return states


def is_third(part: str, old: dict[str, Any], now: dict[str, Any], new: dict[str, Any]) -> bool:
    """Return whether a part is neither as before a step nor as after it; of events and acts there may be some.

    An act that was noted although its sync was refused, on a disk that refuses to take it back too, was done.
    """
    before, current, after = old.get(part), now[part], new.get(part)
    if part in ("events", "acts") and before is not None and after is not None:
        return not before <= current <= after
    return current not in (before, after, None)
