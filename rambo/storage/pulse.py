"""How far the classifiers at work have come inside their training: one small file, written at most once a second.

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
from typing import Literal, NamedTuple, get_args

Unit = Literal["epoch", "iteration"]

_PAUSE = 1.0  # seconds between two beats
_last = 0.0
_target: Path | None = None


class Beat(NamedTuple):
    """Where a training stands: at `step` of at most `total` units, the furthest of those trained together."""

    step: int
    total: int
    age_seconds: float
    unit: Unit = "epoch"
    together: int = 1


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


def beat(step: int, total: int, unit: Unit = "epoch", together: int = 1) -> None:
    """Say that a training is at `step` of at most `total`, if anybody listens and the last beat was a second ago.

    Args:
        step: from 1; of several classifiers that of the furthest.
        total: at most so many.
        unit: what is counted.
        together: how many classifiers are trained at once.
    """
    global _last
    now = time.monotonic()
    if _target is None or now - _last < _PAUSE:
        return
    _last = now
    # Never made here: a training that outlives its block would leave the file behind.
    with suppress(OSError), _target.open("r+") as file:
        file.write(json.dumps([step, total, unit, together]))
        file.truncate()


def read(path: Path) -> Beat | None:
    """Return the newest beat, or None where there is none."""
    with suppress(OSError, ValueError, TypeError):
        age = max(0.0, time.time() - path.stat().st_mtime)
        step, total, *more = json.loads(path.read_text())
        unit, together = more or ("epoch", 1)  # an older worker says no more
        units: tuple[Unit, ...] = get_args(Unit)
        return Beat(int(step), int(total), age, units[units.index(unit)], int(together))
    return None
