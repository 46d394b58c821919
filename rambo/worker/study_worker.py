"""The process that works through a study, cell by cell: each an ordinary run, made when its turn comes."""

import contextlib
import dataclasses

from rambo import plugins
from rambo.config import Config
from rambo.datasets import catalog
from rambo.errors import DataError, RamboError, RunCancelled, RunNotFoundError
from rambo.events import Emit, Event, Noticed, StageAdvanced, ignore, stage
from rambo.runs.workspace import Run, Workspace
from rambo.studies import study
from rambo.studies.grid import Cell
from rambo.worker import run_worker
from rambo.worker.attempts import conclude


def work(study_run: Run, listener: Emit = ignore, *, launch: float | None = None) -> str:
    """Work on a study until it is done, stopped or failed, and return that status.

    A cell that fails does not keep the others from being done; the study has then failed, and resuming it tries
    that cell again.

    Args:
        study_run: a queued, stopped, failed or interrupted study.
        listener: hears every event beside the study's own record.
        launch: see `Run.take_up`.

    Raises:
        RunLockedError: another worker holds the study, or was meant.
        RamboError: what went wrong; the status says it too.
    """
    with study_run.lock(), plugins.using(study_run.environment.plugins):
        if study_run.status == "done":
            return "done"
        study_run.take_up(launch)
        return conclude(study_run, lambda: _work_through_all(study_run, listener))


def _work_through_all(study_run: Run, listener: Emit) -> str:
    """Do every cell, and say how the study ended."""
    study_run.heed_stop()
    study_run.begin_attempt()
    study_run.set_status("running")
    failed = _work_through(study_run, listener)
    if failed:
        first, reason = next(iter(failed.items()))
        number = "1 cell" if len(failed) == 1 else f"{len(failed)} cells"
        study_run.set_status("failed", f"{number} failed; the first, {first}: {reason}")
        return "failed"
    study_run.set_status("done")
    return "done"


def _work_through(study_run: Run, listener: Emit) -> dict[str, str]:
    """Do every cell; return the reasons of those that failed, by label."""
    workspace = Workspace(study_run.folder.parent.parent)
    passing = _Passing(study_run, listener)
    cells = study.planned(study_run)
    failed: dict[str, str] = {}
    with stage("cells", len(cells), passing.record) as advance:
        for place, (cell, config) in enumerate(cells):
            try:
                run = _run_of(place, cell, config, study_run, workspace, passing)
                if run_worker.work(run, passing) == "stopped":
                    raise RunCancelled
            except RunCancelled:
                raise
            except RamboError as error:
                failed[cell.label] = str(error)
                passing.record(Noticed(f"{cell.label} failed: {error}"))
            advance()
    return failed


def _run_of(
    place: int,
    cell: Cell,
    config: Config,
    study_run: Run,
    workspace: Workspace,
    passing: "_Passing",
) -> Run:
    """Return the run of a cell, made now where there is none or where it was deleted."""
    if (begun := study_run.cells().get(cell.label)) is not None:
        with contextlib.suppress(RunNotFoundError):
            return workspace.find(begun)
    data = catalog.prepare(config.dataset.name, workspace.root, emit=passing)
    if data.fingerprint != study_run.environment.dataset.fingerprint:
        raise DataError(
            "has changed since this study was made",
            field="dataset",
            value=data.name,
            hint="start a new study",
        )
    run = run_worker.start(config, workspace, passing)
    study_run.save_cell(place, cell.label, run.id)
    return run


@dataclasses.dataclass(frozen=True)
class _Passing:
    """Passes the events of a cell on, and stops it where a stop of the study was asked for."""

    study_run: Run
    listener: Emit

    def __call__(self, event: Event) -> None:
        """Pass an event of a cell on."""
        self.listener(event)
        self.study_run.heed_stop()

    def record(self, event: Event) -> None:
        """Keep an event of the study itself, and pass it on."""
        self.study_run.append(event, trial=None, strategy=None)
        self.study_run.flush()
        if not isinstance(event, StageAdvanced):
            self.listener(event)
        self.study_run.heed_stop()
