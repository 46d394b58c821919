"""How far the classifier at work has come inside its training: one small file, written at most once a second.

    with pulse.into(path): ...     # processes that are started inside write there too
    pulse.beat(3, 100)             # in a training; costs a look at the clock
    pulse.read(path)               # on a page

Whoever trains never waits for it and never fails by it: it is no record, only a sign of life.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

_VARIABLE = "RAMBO_PULSE"  # processes of the backend inherit it
_PAUSE = 1.0  # seconds between two beats
_last = 0.0


class Beat(NamedTuple):
    """Where a training stands."""

    step: int
    total: int
    age_seconds: float


@contextmanager
def into(path: Path) -> Iterator[None]:
    """Let trainings of this process, and of those it starts, beat into the file `path` while the block runs."""
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = str(path)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = before
        with suppress(OSError):
            path.unlink(missing_ok=True)


def beat(step: int, total: int) -> None:
    """Say that `step` of at most `total` steps are done, if anybody listens and the last beat was a second ago."""
    global _last
    now = time.monotonic()
    if now - _last < _PAUSE or not (path := os.environ.get(_VARIABLE)):
        return
    _last = now
    with suppress(OSError):
        Path(path).write_text(json.dumps([step, total]))


def read(path: Path) -> Beat | None:
    """Return the newest beat, or None where there is none."""
    with suppress(OSError, ValueError, TypeError):
        age = max(0.0, time.time() - path.stat().st_mtime)
        step, total = json.loads(path.read_text())
        return Beat(int(step), int(total), age)
    return None
