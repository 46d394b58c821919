"""A study worked through on tiny images: to the end, stopped, failed in a cell, killed, and resumed."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import TINY, merged

from rambo.config import build
from rambo.datasets import catalog
from rambo.errors import DivergedError, RunLockedError
from rambo.events import Event, Noticed, StageFinished, StageStarted
from rambo.runs.workspace import Run, Workspace, environment, summary
from rambo.studies import study
from rambo.worker import run_worker, study_worker

ROOT = Path(__file__).parents[2]
SETTINGS: dict[str, Any] = {
    "dataset": {"validation_size": 60},
    "strategies": ["margin", "random"],
    "budget": 10,
    "classifier": {"max_epochs": 1},
}
LABELS = ["B = 10", "B = 14", "B = 18", "B = 20"]


def queue(tiny_archive: Path, root: Path, name: str = "budgets", **changes: Any) -> Run:
    """Return a queued study in a workspace of its own."""
    settings = merged(merged(TINY, SETTINGS), {"dataset": {"name": str(tiny_archive)}})
    data = catalog.prepare(str(tiny_archive), root)
    return study.create(name, merged(settings, changes), data, Workspace(root), "cpu")


def results(study_run: Run) -> dict[str, list[dict[str, Any]]]:
    """Return the results of every cell, less times and what depends on what was found."""
    varying = ("seconds", "trainings", "cached_trainings")
    return {
        label: [
            {name: value for name, value in result.public().items() if name not in varying}
            for result in summary(run).results
        ]
        for label, run in study.runs(study_run).items()
    }


def statuses(study_run: Run) -> dict[str, str]:
    return {cell.label: cell.status for cell in study.table(study_run).cells}


@pytest.fixture(scope="module")
def whole(tiny_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, list[Event]]:
    """An unbroken study, and what it told."""
    study_run, emitted = queue(tiny_archive, tmp_path_factory.mktemp("whole")), list[Event]()
    assert study_worker.work(study_run, emitted.append) == "done"
    return study_run, emitted


def test_a_study_works_through_all_its_cells(whole: tuple[Run, list[Event]]) -> None:
    study_run, emitted = whole
    assert study_run.status == "done"
    assert statuses(study_run) == dict.fromkeys(LABELS, "done")
    study_table = study.table(study_run)
    assert [(cell.done, cell.total) for cell in study_table.cells] == [(2, 2)] * 4
    assert [(row.place["B"], row.strategy, row.trials) for row in study_table.rows] == [
        (size, name, 1) for size in (10, 14, 18, 20) for name in ("margin", "random")
    ]
    assert isinstance(emitted[0], StageStarted)
    assert (emitted[0].stage, emitted[0].total) == ("cells", 4)
    assert isinstance(emitted[-1], StageFinished)
    steps = [e.event.step for e in study_run.events() if e.event.kind == "StageAdvanced"]
    assert steps == [1, 2, 3, 4]
    workspace = Workspace(study_run.folder.parent.parent)
    assert {run.id for run in workspace.runs()} == {cell.run for cell in study_table.cells}
    assert all(run.config["budget"] in (10, 14, 18, 20) for run in workspace.runs())
    assert all(build(run.config).strategies == ("margin", "random") for run in workspace.runs())


def test_cells_share_what_they_have_in_common(whole: tuple[Run, list[Event]]) -> None:
    """f on S_0 is trained by the first cell alone."""
    study_run, _ = whole
    for label, run in study.runs(study_run).items():
        fits = [e for e in run.events() if e.event.kind == "ClassifierTrained"]
        again = [e.event.cached for e in fits if e.event.role == "labeled"]
        assert again[0] == (label != "B = 10")
        assert sum(not cached for cached in again) == (label == "B = 10")
        assert sum(e.event.role == "evaluation" for e in fits) == 2


def test_a_done_study_is_left_as_it_is(whole: tuple[Run, list[Event]]) -> None:
    study_run, _ = whole
    emitted: list[Event] = []
    assert study_worker.work(study_run, emitted.append) == "done"
    assert emitted == []


@pytest.mark.parametrize("point", [1, 25])
def test_a_stopped_study_goes_on_to_the_same_results(
    whole: tuple[Run, list[Event]], tiny_archive: Path, tmp_path: Path, point: int
) -> None:
    study_run, emitted = queue(tiny_archive, tmp_path), list[Event]()

    def listen(event: Event) -> None:
        emitted.append(event)
        if len(emitted) == point:
            Run(study_run.folder).request_stop()  # as a page does: another object

    assert study_worker.work(study_run, listen) == "stopped"
    assert len(emitted) <= point + 1, "at the next safe point"
    assert study_run.status == "stopped"
    assert "resume" in study_run.describe().message
    before = statuses(study_run)
    assert "waiting" in before.values()
    assert all(status in ("done", "stopped", "waiting", "queued") for status in before.values())
    begun = {label: run.id for label, run in study.runs(study_run).items()}
    assert study_worker.work(study_run) == "done"
    assert results(study_run) == results(whole[0])
    assert begun.items() <= {label: run.id for label, run in study.runs(study_run).items()}.items()
    assert len(Workspace(tmp_path).runs()) == 4, "no cell was begun twice"


def test_an_interrupt_stops_a_study(tiny_archive: Path, tmp_path: Path) -> None:
    study_run, emitted = queue(tiny_archive, tmp_path), list[Event]()

    def listen(event: Event) -> None:
        emitted.append(event)
        if len(emitted) == 5:
            raise KeyboardInterrupt

    assert study_worker.work(study_run, listen) == "stopped"
    assert study_run.status == "stopped"


def fail_at(budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the run of one cell diverge."""
    real = run_worker._work_through

    def work_through(run: Run, listener: Callable[[Event], None], *, recording: bool) -> None:
        if run.config["budget"] == budget:
            raise DivergedError("the classifier's loss is not finite")
        real(run, listener, recording=recording)

    monkeypatch.setattr(run_worker, "_work_through", work_through)


def test_a_cell_that_fails_leaves_the_others_done(
    whole: tuple[Run, list[Event]],
    tiny_archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study_run, emitted = queue(tiny_archive, tmp_path), list[Event]()
    with monkeypatch.context() as patch:
        fail_at(14, patch)
        assert study_worker.work(study_run, emitted.append) == "failed"
    assert study_run.status == "failed"
    assert study_run.describe().message == (
        "1 cell failed; the first, B = 14: the classifier's loss is not finite"
    )
    assert statuses(study_run) == dict.fromkeys(LABELS, "done") | {"B = 14": "failed"}
    notices = [event.message for event in emitted if isinstance(event, Noticed)]
    assert "B = 14 failed: the classifier's loss is not finite" in notices
    assert study_worker.work(study_run) == "done"  # that cell is tried again
    assert results(study_run) == results(whole[0])
    assert study_run.describe().message == ""


def test_a_cell_that_cannot_be_begun_leaves_the_others_done(
    tiny_archive: Path, tmp_path: Path
) -> None:
    """As where the data have changed since: 76 unlabeled images, of which the last cell wants 80."""
    small = queue(tiny_archive, tmp_path)
    config = small.config | {"budget": 40}
    data = catalog.prepare(str(tiny_archive), tmp_path)
    study_run = study.workspace_of(Workspace(tmp_path)).create(config, environment(data, "cpu"))
    assert study_worker.work(study_run) == "failed"
    message = study_run.describe().message
    assert message.startswith(
        "1 cell failed; the first, B = 80: budget 80 exceeds the 76 unlabeled"
    )
    assert statuses(study_run) == {
        "B = 40": "done",
        "B = 56": "done",
        "B = 72": "done",
        "B = 80": "waiting",
    }


def test_a_deleted_cell_is_made_again(
    whole: tuple[Run, list[Event]], tiny_archive: Path, tmp_path: Path
) -> None:
    study_run, emitted = queue(tiny_archive, tmp_path), list[Event]()

    def listen(event: Event) -> None:
        emitted.append(event)
        if len(study.runs(study_run)) == 2:
            Run(study_run.folder).request_stop()

    assert study_worker.work(study_run, listen) == "stopped"
    first = study.runs(study_run)["B = 10"]
    Workspace(tmp_path).delete(first)
    assert statuses(study_run)["B = 10"] == "waiting"
    assert study_worker.work(study_run) == "done"
    assert study.runs(study_run)["B = 10"].id != first.id
    assert results(study_run) == results(whole[0])


def test_a_study_has_one_worker(tiny_archive: Path, tmp_path: Path) -> None:
    study_run = queue(tiny_archive, tmp_path)
    with Run(study_run.folder).lock(), pytest.raises(RunLockedError):
        study_worker.work(study_run)
    assert study_run.status == "queued"


def test_an_unforeseen_error_is_told_and_the_study_can_be_resumed(
    tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study_run = queue(tiny_archive, tmp_path)

    def broken(*arguments: Any) -> str:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(run_worker, "work", broken)
        with pytest.raises(ZeroDivisionError):
            study_worker.work(study_run)
    assert study_run.status == "failed"
    assert "unforeseen ZeroDivisionError" in study_run.describe().message
    assert not study_run.locked()


def test_a_killed_study_is_interrupted_and_goes_on(
    whole: tuple[Run, list[Event]], tiny_archive: Path, tmp_path: Path
) -> None:
    study_run = queue(tiny_archive, tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-m", "rambo", "work", str(study_run.folder)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    limit = time.monotonic() + 120
    while not (study_run.status == "running" and study.runs(study_run)):
        assert time.monotonic() < limit, "it took too long"
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert study_run.status == "interrupted"
    assert study.table(study_run).status == "interrupted"
    assert study_worker.work(study_run) == "done"
    assert results(study_run) == results(whole[0])
    assert len(Workspace(tmp_path).runs()) <= 5  # killed between making a run and noting it
