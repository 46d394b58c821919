"""How far the classifier at work has come inside its training: one small file, written at most once a second.

    with pulse.into(path): ...     # trainings of this process beat into that file
    pulse.aim(path)                # those of another process too, which is handed `pulse.target()`
    pulse.beat(3, 100)             # in a training; costs a look at the clock
    pulse.read(path)               # on a page

Whoever trains never waits for it and never fails by it: it is no record, only a sign of life.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

_PAUSE = 1.0  # seconds between two beats
_last = 0.0
_target: Path | None = None


class Beat(NamedTuple):
    """Where a training stands."""

    step: int
    total: int
    age_seconds: float


@contextmanager
def into(path: Path) -> Iterator[None]:
    """Let trainings beat into the file `path` while the block runs."""
    before = target()
    with suppress(OSError):
        path.touch()
    aim(path)
    try:
        yield
    finally:
        aim(before)
        with suppress(OSError):
            path.unlink(missing_ok=True)


def target() -> Path | None:
    """Return the file into which trainings of this process beat, or None."""
    return _target


def aim(path: Path | None) -> None:
    """Let trainings of this process beat into a file that somebody else made, or into none."""
    global _target
    _target = path


def beat(step: int, total: int) -> None:
    """Say that `step` of at most `total` steps are done, if anybody listens and the last beat was a second ago."""
    global _last
    now = time.monotonic()
    if _target is None or now - _last < _PAUSE:
        return
    _last = now
    # Never made here: a training that outlives its block would leave the file behind.
    with suppress(OSError), _target.open("r+") as file:
        file.write(json.dumps([step, total]))
        file.truncate()


def read(path: Path) -> Beat | None:
    """Return the newest beat, or None where there is none."""
    with suppress(OSError, ValueError, TypeError):
        age = max(0.0, time.time() - path.stat().st_mtime)
        step, total = json.loads(path.read_text())
        return Beat(int(step), int(total), age)
    return None
