"""The line at a device: one run works at a time, the others wait in the order they came.

    <workspace>/line/<device>/<number>-<run id>    a ticket, locked for life by the worker that drew it

The lowest ticket that is still held works. The kernel frees a ticket when its worker dies, so a kill -9 holds up
nobody, and nothing has to be cleaned up by hand.
"""

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock

from rambo.storage import files

_TICKET = re.compile(r"(\d{12})-([a-z0-9-]{1,64})")
_POLL_SECONDS = 0.3


@contextlib.contextmanager
def wait_in_line(
    root: Path, device: str, run_id: str, waiting: Callable[[int], None]
) -> Iterator[None]:
    """Run the block when every earlier run at the device has ended.

    Args:
        root: folder of all runs.
        device: `cpu`, `cuda` or `mps`.
        run_id: who waits.
        waiting: called with the number of runs ahead while there are any; may raise to leave the line.
    """
    folder = root / "line" / device
    files.make_folder(folder, inside=root)
    ticket = _draw(folder, run_id)
    try:
        while ahead := _ahead(folder, Path(ticket.lock_file).name):
            waiting(len(ahead))
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        Path(ticket.lock_file).unlink(missing_ok=True)
        ticket.release()


def standing(root: Path) -> dict[str, list[str]]:
    """Return the run ids at each device: the first works, the others wait, in this order."""
    folders = sorted((root / "line").glob("*/")) if (root / "line").is_dir() else []
    lines = {folder.name: [_run_of(name) for name in _live(folder)] for folder in folders}
    return {device: runs for device, runs in lines.items() if runs}


def _draw(folder: Path, run_id: str) -> filelock.BaseFileLock:
    """Return a held ticket with a higher number than any other; dead ones are swept."""
    with files.lock_of(folder / ".draw").acquire(timeout=30):
        names = sorted(path.name for path in folder.iterdir() if _TICKET.fullmatch(path.name))
        number = int(names[-1].partition("-")[0]) + 1 if names else 1
        for name in names:
            if not files.is_locked(folder / name):
                (folder / name).unlink(missing_ok=True)
        ticket = files.lock_of(folder / f"{number:012d}-{run_id}")
        ticket.acquire(timeout=30)
    return ticket


def _ahead(folder: Path, name: str) -> list[str]:
    """Return the held tickets before `name`."""
    return [other for other in _live(folder) if other < name]


def _live(folder: Path) -> list[str]:
    """Return the names of all held tickets, lowest first."""
    names = sorted(path.name for path in folder.iterdir() if _TICKET.fullmatch(path.name))
    return [name for name in names if files.is_locked(folder / name)]


def _run_of(name: str) -> str:
    """Return the run id of a ticket."""
    return name.partition("-")[2]
