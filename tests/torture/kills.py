"""kill -9 at any moment of a run, an import, an export, a study, labels; five in a row; then the same once more."""

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import store
from common import Tally, apart, scratch
from tiny import TINY, merged, write_tiny

from rambo import __main__ as command_line
from rambo import collection as own
from rambo.config import build, describe
from rambo.datasets import catalog
from rambo.runs.run import Run
from rambo.runs.workspace import Workspace, environment
from rambo.studies import study
from rambo.worker import run_worker, study_worker  # noqa: F401 - torch, once for all forks

SMALL = merged(
    TINY,
    {
        "strategies": ["rambo", "margin"],
        "trials": 1,
        "classifier": {"max_epochs": 2},
        "rambo": {"offline": {"pairs": 5, "ceiling_pairs": 2}},
    },
)
VARYING = ("seconds", "trainings", "cached_trainings")


def run(limit: int, seed: int) -> list[Tally]:
    """Return what came of so many kills, spread over five kinds of work, and of chains of five."""
    draw = random.Random(seed)
    shares = {"run": 0.4, "import": 0.2, "label": 0.15, "export": 0.15, "study": 0.1}
    tallies = []
    with scratch() as folder:
        for kind, share in shares.items():
            tally = Tally(
                f"kill -9 at a random moment of: {kind}",
                "the same command once more ends as if never killed, with the same bytes",
            )
            work = WORKS[kind](folder / kind)
            for number in range(max(1, round(limit * share))):
                tally.check(f"{kind} {number}", _kill, work, draw, 1)
            tallies.append(tally)
        chains = Tally("five kills of a run in a row", "the same")
        work = WORKS["run"](folder / "chains")
        for number in range(max(1, limit // 12)):
            chains.check(f"chain {number}", _kill, work, draw, 5)
    return [*tallies, chains]


class Work:
    """Something to do in a workspace, and what it gives when nobody disturbs it."""

    def __init__(
        self, folder: Path, ready: Callable[[Path], list[str]], read: Callable[[Path], Any]
    ):
        self.start, self.read = folder / "start", read
        self.start.mkdir(parents=True)
        self.words = ready(self.start)
        self.place = folder / "now"
        begun = time.monotonic()
        self._fresh()
        assert self.spawn(None) == 0
        self.seconds = time.monotonic() - begun
        self.right = read(self.place)

    def _fresh(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.start, self.place)

    def spawn(self, seconds: float | None) -> int:
        """Return how a process ended that was killed after so long; None: never."""
        words = [word.replace("PLACE", str(self.place)) for word in self.words]
        child = os.fork()
        if child == 0:
            code = 70
            try:
                os.setsid()
                null = os.open(os.devnull, os.O_RDWR)
                for descriptor in (0, 1, 2):
                    os.dup2(null, descriptor)
                os.environ["RAMBO_HOME"] = str(self.place / "runs")
                code = command_line.main(words)
            finally:
                os._exit(code)
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child, signal.SIGKILL)
                return os.waitstatus_to_exitcode(status)
            if end is not None and time.monotonic() >= end:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child, signal.SIGKILL)
            time.sleep(0.002)


def _kill(work: Work, draw: random.Random, times: int) -> str | None:
    """Return what is wrong after some kills and one undisturbed end."""
    work._fresh()
    for _ in range(times):
        work.spawn(draw.uniform(0, work.seconds))
    code = work.spawn(None)
    if code:
        return f"once more ends with {code}"
    return None if work.read(work.place) == work.right else "other bytes"


def _results(run: Run) -> list[Any]:
    return [
        {name: value for name, value in vars_of(result).items() if name not in VARYING}
        for result in run.results()
    ]


def vars_of(result: Any) -> dict[str, Any]:
    """Return the fields of a result."""
    return dict(result.model_dump() if hasattr(result, "model_dump") else vars(result))


def _run_ready(place: Path) -> list[str]:
    data = write_tiny(place / "runs")
    created = Workspace(place / "runs").create(describe(build(SMALL)), environment(data, "cpu"))
    return ["work", f"PLACE/runs/{created.id}"]


def _run_read(place: Path) -> Any:
    (run,) = Workspace(place / "runs").runs()
    folder = run.folder / "artifacts"
    digests = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return run.status, repr(_results(run)), digests


def _import_ready(place: Path) -> list[str]:
    store.prepare(place)
    return ["import", "PLACE/pets", "--name", "pets", "--jobs", "1"]


def _collection(place: Path) -> Any:
    chosen = own.find(place / "runs", "pets")
    now = chosen.snapshot()
    pixels = hashlib.sha256()
    for picture in chosen.pictures(now.numbers.tolist()):
        pixels.update(picture.tobytes())
    return now.files, now.labels.tolist(), now.roles.tolist(), now.classes, pixels.hexdigest()


def _label_ready(place: Path) -> list[str]:
    root = store.prepare(place)
    apart(store.STEPS["import"], root)
    (place / "labels.csv").write_bytes(store.LABELS)
    return ["label", "pets", "PLACE/labels.csv"]


def _done(place: Path) -> Run:
    root = place / "runs"
    data = write_tiny(root)
    created = Workspace(root).create(describe(build(SMALL)), environment(data, "cpu"))
    pid = os.fork()
    if pid == 0:
        os._exit(0 if run_worker.work(created) == "done" else 1)
    assert os.waitpid(pid, 0)[1] == 0
    return created


def _export_ready(place: Path) -> list[str]:
    run = _done(place)
    return ["export", run.id, "--format", "zip", "--out", "PLACE/batch.zip"]


def _export_read(place: Path) -> Any:
    leftovers = [path.name for path in place.iterdir() if path.name not in ("runs", "batch.zip")]
    return (place / "batch.zip").read_bytes(), leftovers


def _study_ready(place: Path) -> list[str]:
    data = write_tiny(place / "scratch")
    archive = place / "tiny.npz"
    np.savez(archive, images=np.asarray(data.images)[:, 0], labels=np.asarray(data.labels))
    shutil.rmtree(place / "scratch")
    root = place / "runs"
    prepared = catalog.prepare(str(archive), root)
    settings = merged(
        SMALL, {"dataset": {"name": str(archive)}, "strategies": ["margin", "random"]}
    )
    created = study.create("budgets", settings, prepared, Workspace(root), "cpu")
    return ["work", str(created.folder).replace(str(place), "PLACE")]


def _study_read(place: Path) -> Any:
    root = Workspace(place / "runs")
    (created,) = study.workspace_of(root).runs()
    cells = study.runs(created)
    return created.status, json.dumps(
        {label: repr(_results(run)) for label, run in sorted(cells.items())}
    )


WORKS: dict[str, Callable[[Path], Work]] = {
    "run": lambda folder: Work(folder, _run_ready, _run_read),
    "import": lambda folder: Work(folder, _import_ready, _collection),
    "label": lambda folder: Work(folder, _label_ready, _collection),
    "export": lambda folder: Work(folder, _export_ready, _export_read),
    "study": lambda folder: Work(folder, _study_ready, _study_read),
}
