"""Background work: one process per run, which outlives whoever started it. Imports no torch.

A worker is `python -m rambo work RUN_DIR` in a process group of its own. Pages start, stop, resume and delete runs
here; the run directory, and who holds which lock, is all they know of a worker.
"""

import dataclasses
import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress

import joblib

from rambo import errors
from rambo.config import Config, Settings, describe
from rambo.datasets.prepared import Prepared
from rambo.errors import RamboError, RunLockedError, StoreError, shorten
from rambo.runs import line, paths, repair
from rambo.runs.run import LAUNCH_SECONDS
from rambo.runs.workspace import Run, Workspace, create_run
from rambo.storage import files, places
from rambo.text import count

STOP_SECONDS = 4.0  # for the end of the unit in flight; then SIGTERM
TERM_SECONDS = 3.0  # for SIGTERM; then SIGKILL
POLITENESS = 5  # niceness of a worker: the pages in front of a person come first
START = ".start.lock"  # below the workspace, while a run is looked for and made where there is none
LIVE = ("queued", "running")  # states of a run that is worked on or waits for it
_LOG_BYTES = 16_000
_TRACE = re.compile(r"\(most recent call (last|first)\):$")
_QUOTED_FOLDERS = re.compile(r"(?<=[\"'])/[^\"'\n]*/(?=[^\"'\n]*[\"'])")
_FOLDERS = re.compile(r"(?<![\w./])/(?:[^\s/\"']+/)+")


def start(config: Config, data: Prepared, workspace: Workspace, device: str) -> tuple[Run, bool]:
    """Return a run of `config` that is being worked on, and whether it is a new one.

    Two clicks, or two tabs, start one run: while a run of the same settings is queued or running, it is returned.

    Raises:
        RamboError: as `create_run`.
    """
    return _start_once(
        describe(config),
        workspace,
        live_runs,
        lambda: create_run(config, data, workspace, device),
    )


def start_study(
    config: Settings, workspace: Workspace, make: Callable[[], Run]
) -> tuple[Run, bool]:
    """Return a study that is being worked on, and whether it is a new one; two clicks start one, as in `start`.

    Args:
        config: its whole config, as the record would hold it.
        workspace: of the studies.
        make: makes it, queued.

    Raises:
        RamboError: as `make`.
    """
    return _start_once(config, workspace, _live_studies, make)


def _start_once(
    config: Settings,
    workspace: Workspace,
    live: Callable[[Workspace], list[Run]],
    make: Callable[[], Run],
) -> tuple[Run, bool]:
    """Return the live run of these settings, or else a new one that was launched, and whether it is new."""
    files.make_folder(workspace.root)
    with files.lock_of(workspace.root / START).acquire(timeout=30):
        for run in live(workspace):
            if run.config == config:
                return run, False
        run = make()
        try:
            launch(run)
        except (StoreError, OSError) as error:  # such as a disk that is full since a moment
            with suppress(RamboError):
                workspace.delete(run)  # or it would wait for a worker for ever
            cause = error.__cause__ if isinstance(error, StoreError) else error
            problem, hint = files.reason(cause or error, "start the run again")
            problem = f"could not be started: {problem}"
            raise StoreError(problem, field="worker", hint=hint) from error
        return run, True


def _live_studies(workspace: Workspace) -> list[Run]:
    """Return the studies that are worked on; they stand in no line, but there are only a few."""
    return [run for run in workspace.runs() if run.describe().status in LIVE]


def live_runs(workspace: Workspace) -> list[Run]:
    """Return the runs that stand in a line, and those that were made or launched within the last minute.

    Looks at no other run, of which there may be thousands.
    """
    waiting = {run_id for ids in line.standing(workspace.root).values() for run_id in ids}
    runs = [Run(workspace.root / run_id) for run_id in workspace.ids()]
    near = [run for run in runs if run.id in waiting or _touched(run) < 2 * LAUNCH_SECONDS]
    return [run for run in near if run.describe().status in LIVE]


def _touched(run: Run) -> float:
    """Return the seconds since a run's record changed; 0 where that cannot be told."""
    try:
        changed = max(path.stat().st_mtime for path in run.folder.glob(f"{paths.RECORD}*"))
    except (OSError, ValueError):
        return 0.0
    return time.time() - changed


def launch(run: Run) -> None:
    """Start a worker process for a run that has none; with one already there, nothing happens.

    Of processes that were launched before one of them is up, the newest works, and the others end.
    """
    try:
        with run.lock():  # or a worker that comes up in this moment would look like one in line
            moment = run.set_launched()
    except RunLockedError:
        return
    with paths.log(run.folder).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "rambo", "work", str(run.folder), "--launch", repr(moment)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment(),
            start_new_session=True,
        )
    with suppress(OSError):
        os.setpriority(os.PRIO_PGRP, process.pid, POLITENESS)
    # Someone has to wait for a child, or it stays in the process table.
    threading.Thread(target=process.wait, daemon=True).start()


def stop(run: Run) -> None:
    """Ask a run to stop; within ten seconds it has, by the next unit, by SIGTERM or by SIGKILL.

    Returns at once; a thread of this process sees to it that the worker obeys.
    """
    launched, own = run.worker.launched, Run(run.folder)
    threading.Thread(target=_see_to_it, args=(own, launched), daemon=True).start()
    run.request_stop()  # last: a worker that hangs in the midst of a commit keeps this waiting until it is killed


def resume(run: Run) -> None:
    """Start a worker again for a run that stopped, failed or lost its worker, or whose files are lost or damaged.

    Raises:
        RunLockedError: a worker is at it.
        StoreError: the run is done and whole, or cannot be written.
    """
    if run.locked():
        raise RunLockedError(
            "is being worked on", field="run", value=run.id, hint="there is nothing to resume"
        )
    if run.status == "done" and not repair.broken(run):
        raise StoreError("is done", field="run", value=run.id, hint="there is nothing to resume")
    launch(run)


def log_tail(run: Run, lines: int = 30) -> list[str]:
    """Return the last lines of the worker's log, fit for a page; none where there is no log.

    Python's traces are left out, and of an absolute path only its last part is left.
    """
    try:
        with paths.log(run.folder).open("rb") as log:
            skipped = max(0, log.seek(0, os.SEEK_END) - _LOG_BYTES)
            log.seek(skipped)
            text = log.read().decode("utf-8", "replace")
    except OSError:
        return []
    parts = text.splitlines()[1 if skipped else 0 :]  # the first one may be half a line
    tail = list(_without_traces(parts, inside=skipped > 0))[-lines:]
    return [without_folders(words) for words in tail]


def without_folders(text: str) -> str:
    """Return text with only the last part of every absolute path: the rest is this machine's business."""
    return _FOLDERS.sub("", _QUOTED_FOLDERS.sub("", text))


def place_in_line(run: Run) -> tuple[str, int] | None:
    """Return the device a run stands at and how many are ahead of it, or None."""
    for device, ids in line.standing(run.folder.parent).items():
        if run.id in ids:
            return device, ids.index(run.id)
    return None


@dataclasses.dataclass(frozen=True)
class Devices:
    """What of a machine can train.

    Attributes:
        auto: the kind of device that `auto` stands for.
        names: what people call each device, by its kind.
        cores: of the CPU.
    """

    auto: str
    names: Mapping[str, str]
    cores: int


def only_cpu() -> Devices:
    """Return the devices of a machine on which torch sees none but the CPU."""
    cores = joblib.cpu_count()
    return Devices("cpu", {"cpu": f"CPU, {count(cores, 'core')}"}, cores)


def probe_devices(timeout: float = 60) -> Devices:
    """Return the devices that another process sees.

    It imports torch, which takes seconds and memory that a web server should not spend. A torch built for CPUs alone
    sees nothing else, so nobody needs to ask it.

    Raises:
        StoreError: the process failed.
    """
    if importlib.metadata.version("torch").endswith("+cpu"):
        return only_cpu()
    command = [sys.executable, "-m", "rambo", "devices", "--json"]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=timeout, env=environment(), check=True
        )
        return Devices(**json.loads(done.stdout))
    except (OSError, ValueError, TypeError, subprocess.SubprocessError) as error:
        raise StoreError(
            "cannot be told",
            field="the devices of this machine",
            hint="try `python -m rambo devices`",
        ) from error


def spawn(arguments: list[str], stdin: str = "") -> subprocess.Popen[str]:
    """Return a running `python -m rambo ARGUMENTS`, whose standard output is JSON for the caller to read.

    Args:
        arguments: the command and its options.
        stdin: written to its standard input.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "rambo", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.write(stdin)
        process.stdin.close()
    process.stdin = None  # or `communicate` flushes a closed file, and raises
    return process


def failure(out: str) -> RamboError:
    """Return why a process of `spawn` failed, from what it printed: with `--json` an error is JSON."""
    try:
        return errors.from_json(json.loads(out)["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return RamboError(
            "ended without a word", field="process", hint="look at the terminal of the app"
        )


def worded(error: RamboError, limit: int) -> str:
    """Return an error as one line for a page."""
    return shorten(without_folders(str(error)), limit)


def _without_traces(lines: Iterable[str], *, inside: bool) -> Iterator[str]:
    """Yield the lines outside traces: a trace is its headline and the indented lines below it.

    Args:
        lines: of a log.
        inside: whether the first lines may be the rest of a trace.
    """
    for text in lines:
        if _TRACE.search(text.rstrip()):
            inside = True
        elif not (inside and text[:1].isspace()):
            inside = False
            yield text


def environment() -> dict[str, str]:
    """Return the environment of a worker: this one, and a checkout on the module path."""
    checkout = "" if places.installed() else str(places.IMPORT_FOLDER)
    folders = [checkout, os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders))}


def _see_to_it(run: Run, launched: float | None) -> None:
    """Wait for a worker to obey, and end it by force where it does not; one launched later is left alone."""
    if not _ends(run, launched, STOP_SECONDS):
        _signal(run, signal.SIGTERM)
        if not _ends(run, launched, TERM_SECONDS):
            _signal(run, signal.SIGKILL)
            _ends(run, launched, 1.0)
    with suppress(StoreError):
        obeyed = run.status in ("done", "failed", "stopped") or run.worker.launched != launched
        if not obeyed and not run.locked():
            run.set_status("stopped", "stopped on request; resume it to go on")


def _ends(run: Run, launched: float | None, seconds: float) -> bool:
    """Return whether the worker of that launch let go of its run within `seconds`."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        with suppress(StoreError):
            # A worker that was launched just now may not hold the run yet.
            if run.worker.launched != launched or not (run.locked() or run.status in LIVE):
                return True
        time.sleep(0.1)
    return False


def _signal(run: Run, number: signal.Signals) -> None:
    """Send a signal to the process that holds the run, and to its group where it leads one."""
    with suppress(StoreError, OSError):
        pid = run.worker.pid
        if pid is None or not run.locked():  # the lock proves that the process lives
            return
        if os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
