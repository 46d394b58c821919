"""Runs that work in this very process: begun, gone on with, and stopped by an interrupt."""

import contextlib

from rambo import checks, lineup
from rambo.api.bar import Bar
from rambo.api.door import in_words_of_python, interruptible, note
from rambo.config import Config, Settings, describe
from rambo.datasets import foreign
from rambo.datasets.prepared import Prepared
from rambo.errors import Interrupted, RunLockedError, StoreError
from rambo.runs import jobs, repair
from rambo.runs.run import Run
from rambo.runs.workspace import Workspace
from rambo.storage import files
from rambo.worker import run_worker


def run_of(config: Config, workspace: Workspace, *, progress: bool, fresh: bool) -> Run:
    """Return the finished run of a config: gone on with where there is one of the same content, else new.

    Args:
        config: what to do.
        workspace: where it lies.
        progress: draw a bar.
        fresh: start anew, whatever is there.

    Raises:
        Interrupted: the kernel was interrupted; the same call goes on.
        RamboError: what went wrong.
    """
    bar = Bar(progress)
    try:
        with interruptible(), in_words_of_python():
            data = foreign.prepare(config.dataset, workspace.root, emit=bar)
            checks.check(config, data)
            with contextlib.ExitStack() as stack:
                with contextlib.suppress(OSError):  # what the disk refuses, the start tells
                    # two kernels that ask the same at once share one run
                    stack.enter_context(files.gate(workspace.root / jobs.START, exclusive=True))
                run = None if fresh else _same(checks.fit(config, data), data, workspace)
                run = run or run_worker.start(config, workspace, bar)
    finally:
        bar.close()
    return finish(run, progress=progress)


def finish(run: Run, *, progress: bool = True) -> Run:
    """Return a run once it is done, working on what is left of it.

    Raises:
        Interrupted: the kernel was interrupted; doing this again goes on.
        RunLockedError: another kernel, or the app, is at it.
        RamboError: what went wrong.
    """
    taken = RunLockedError(
        "is being worked on by another kernel or by the app",
        field="run",
        value=run.id,
        hint=f"wait for it, and look at it with rambo.open({run.id!r})",
    )
    if run.locked():
        raise taken
    bar, place = Bar(progress), Workspace(run.folder.parent)
    try:
        with interruptible():
            if run.status != "done" or repair.broken(run):  # else nothing is started
                note(place, "start", run.id)
            status = run_worker.work(run, bar)
    except RunLockedError:  # taken since the look above
        raise taken from None
    finally:
        bar.close()
    if status == "stopped":
        note(place, "stop", run.id)
        raise Interrupted(f"stopped; run this cell again, and run {run.id} goes on where it is")
    return run


def _same(config: Config, data: Prepared, workspace: Workspace) -> Run | None:
    """Return the newest run of the same content, finished or not, or None.

    Choice: where a strategy is not ours, its code may have changed since it chose, so a run in which it has chosen is
    not taken again; whatever was trained is found anyhow.
    """
    settings: Settings = describe(config)
    foreigners = set(config.strategies) - set(lineup.OURS)
    mixed = foreign.with_foreign(data, config.dataset.corruption, workspace.root)
    for run in workspace.runs():
        with contextlib.suppress(StoreError):
            if run.config != settings:
                continue
            if run.environment.dataset.fingerprint != mixed.fingerprint:
                continue
            if not foreigners & {result.strategy for result in run.results()}:
                return run
    return None
