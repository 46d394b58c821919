"""Background work: one process per run, which outlives whoever started it. Imports no torch.

A worker is `python -m rambo work RUN_DIR` in a process group of its own. Pages start, stop, resume and delete runs
here; the run directory, and who holds which lock, is all they know of a worker.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import filelock

from rambo import files, line
from rambo.config import Config, describe
from rambo.datasets.prepared import Prepared
from rambo.errors import RunLockedError, StoreError
from rambo.starting import create_run
from rambo.store import Run, Workspace

STOP_SECONDS = 6.0  # for the end of the unit in flight; then SIGTERM
TERM_SECONDS = 2.5  # for SIGTERM; then SIGKILL
LOG = "worker.log"
_LOG_BYTES = 16_000
_PROJECT = Path(__file__).resolve().parents[1]
_LIVE = ("queued", "running")


def start(config: Config, data: Prepared, workspace: Workspace, device: str) -> tuple[Run, bool]:
    """Return a run of `config` that is being worked on, and whether it is a new one.

    Two clicks, or two tabs, start one run: while a run of the same settings is queued or running, it is returned.

    Raises:
        RamboError: as `create_run`.
    """
    wanted = describe(config)
    files.make_folder(workspace.root)
    with filelock.FileLock(workspace.root / ".start.lock", timeout=30):
        for run in live_runs(workspace):
            if run.config == wanted:
                return run, False
        run = create_run(config, data, workspace, device)
        launch(run)
        return run, True


def live_runs(workspace: Workspace) -> list[Run]:
    """Return the runs that are queued or running, the newest first; damaged ones are passed over."""
    runs = {run.id: run for run in workspace.runs()}
    return [run for run in runs.values() if run.describe()["status"] in _LIVE]


def launch(run: Run) -> None:
    """Start a worker process for a run that has none; with one already there, nothing happens."""
    if run.locked():
        return
    run.set_launched()
    with (run.folder / LOG).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "rambo", "work", str(run.folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=run.folder,
            env=_environment(),
            start_new_session=True,
        )
    # Someone has to wait for a child, or it stays in the process table.
    threading.Thread(target=process.wait, daemon=True).start()


def stop(run: Run) -> None:
    """Ask a run to stop; within ten seconds it has, by the next unit, by SIGTERM or by SIGKILL.

    Returns at once; a thread of this process sees to it that the worker obeys.
    """
    run.request_stop()
    threading.Thread(target=_see_to_it, args=(run,), daemon=True).start()


def resume(run: Run) -> None:
    """Start a worker again for a run that stopped, failed or lost its worker.

    Raises:
        RunLockedError: a worker is at it.
        StoreError: the run is done or cannot be written.
    """
    if run.locked():
        raise RunLockedError(f"run {run.id} is being worked on; there is nothing to resume")
    if run.status == "done":
        raise StoreError(f"run {run.id} is done; there is nothing to resume")
    launch(run)


def log_tail(run: Run, lines: int = 30) -> list[str]:
    """Return the last lines of the worker's log; none where there is no log."""
    try:
        with (run.folder / LOG).open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - _LOG_BYTES))
            text = log.read().decode("utf-8", "replace")
    except OSError:
        return []
    return text.splitlines()[-lines:]


def place_in_line(run: Run) -> tuple[str, int] | None:
    """Return the device a run stands at and how many are ahead of it, or None."""
    for device, ids in line.standing(run.folder.parent).items():
        if run.id in ids:
            return device, ids.index(run.id)
    return None


def probe_devices(timeout: float = 60) -> dict[str, Any]:
    """Return what another process finds: `auto` (device kind), `names` by kind, `cores`.

    It imports torch, which takes seconds and memory that a web server should not spend.

    Raises:
        StoreError: the process failed.
    """
    command = [sys.executable, "-m", "rambo", "devices", "--json"]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=timeout, env=_environment(), check=True
        )
        found: dict[str, Any] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise StoreError(
            "the devices of this machine cannot be told; try `python -m rambo devices`"
        ) from error
    return found


def spawn(arguments: list[str], given: str = "") -> subprocess.Popen[str]:
    """Return a running `python -m rambo ARGUMENTS`, whose standard output is JSON for the caller to read.

    Args:
        arguments: the command and its options.
        given: written to its standard input.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "rambo", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(),
    )
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.write(given)
        process.stdin.close()
    process.stdin = None  # or `communicate` flushes a closed file, and raises
    return process


def _environment() -> dict[str, str]:
    """Return the environment of a worker: this one, and the project on the module path."""
    paths = [str(_PROJECT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _see_to_it(run: Run) -> None:
    """Wait for a worker to obey, and end it by force where it does not."""
    if not _ends(run, STOP_SECONDS):
        _signal(run, signal.SIGTERM)
        if not _ends(run, TERM_SECONDS):
            _signal(run, signal.SIGKILL)
            _ends(run, 1.0)
    with suppress(StoreError):
        if not run.locked() and run.status not in ("done", "failed", "stopped"):
            run.set_status("stopped", "stopped on request; resume it to go on")


def _ends(run: Run, seconds: float) -> bool:
    """Return whether the run's worker let go of it within `seconds`."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        with suppress(StoreError):
            if not run.locked() and _settled(run):
                return True
        time.sleep(0.1)
    return False


def _settled(run: Run) -> bool:
    """Return whether no worker is about to take the run: a launched one may not hold it yet."""
    return run.status not in _LIVE


def _signal(run: Run, number: signal.Signals) -> None:
    """Send a signal to the process that holds the run, and to its group where it leads one."""
    with suppress(StoreError, OSError):
        pid = run.worker["pid"]
        if pid is None or not run.locked():  # the lock proves that the process lives
            return
        if os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
