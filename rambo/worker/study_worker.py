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


def work(told: Run, listener: Emit = ignore) -> str:
    """Work on a study until it is done, stopped or failed, and return that status.

    A cell that fails does not keep the others from being done; the study has then failed, and resuming it tries
    that cell again.

    Args:
        told: a queued, stopped, failed or interrupted study.
        listener: hears every event beside the study's own record.

    Raises:
        RunLockedError: another worker holds the study.
        RamboError: what went wrong; the status says it too.
    """
    with told.lock(), plugins.using(told.environment.plugins):
        if told.status == "done":
            return "done"
        told.clear_stop()
        told.begin_attempt()
        told.set_status("running")
        try:
            failed = _work_through(told, listener)
        except (RunCancelled, KeyboardInterrupt):
            told.set_status("stopped", "stopped on request; resume it to go on")
            return "stopped"
        except RamboError as error:
            told.set_status("failed", str(error))
            raise
        except Exception as error:
            told.set_status(
                "failed", f"an unforeseen {type(error).__name__}; the log has the details"
            )
            raise
        if failed:
            first, reason = next(iter(failed.items()))
            number = "1 cell" if len(failed) == 1 else f"{len(failed)} cells"
            told.set_status("failed", f"{number} failed; the first, {first}: {reason}")
            return "failed"
        told.set_status("done")
        return "done"


def _work_through(told: Run, listener: Emit) -> dict[str, str]:
    """Do every cell; return the reasons of those that failed, by label."""
    workspace = Workspace(told.folder.parent.parent)
    passing = _Passing(told, listener)
    cells = study.planned(told)
    failed: dict[str, str] = {}
    with stage("cells", len(cells), passing.record) as advance:
        for place, (cell, config) in enumerate(cells):
            try:
                run = _run_of(place, cell, config, told, workspace, passing)
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
    place: int, cell: Cell, config: Config, told: Run, workspace: Workspace, passing: "_Passing"
) -> Run:
    """Return the run of a cell, made now where there is none or where it was deleted."""
    if (begun := told.cells().get(cell.label)) is not None:
        with contextlib.suppress(RunNotFoundError):
            return workspace.find(begun)
    data = catalog.prepare(config.dataset.name, workspace.root, emit=passing)
    if data.fingerprint != told.environment.dataset.fingerprint:
        raise DataError(
            f"{data.name} has changed since this study was made", hint="start a new study"
        )
    run = run_worker.start(config, workspace, passing)
    told.save_cell(place, cell.label, run.id)
    return run


@dataclasses.dataclass(frozen=True)
class _Passing:
    """Passes the events of a cell on, and stops it where a stop of the study was asked for."""

    told: Run
    listener: Emit

    def __call__(self, event: Event) -> None:
        """Pass an event of a cell on."""
        self.listener(event)
        if self.told.stop_requested():
            raise RunCancelled

    def record(self, event: Event) -> None:
        """Keep an event of the study itself, and pass it on."""
        self.told.append(event, trial=None, strategy=None)
        self.told.flush()
        if not isinstance(event, StageAdvanced):
            self.listener(event)
        if self.told.stop_requested():
            raise RunCancelled
