"""What was read of some files, kept for all who ask in this process until one of the files changes."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")
Stamp = tuple[int, ...]
_SETTLED_NS = 50_000_000  # a file system's clock may stand still for some milliseconds


def stamp(*files: Path) -> Stamp:
    """Return numbers, two a file, that change when one of the files does; zeros for a missing one."""
    numbers: list[int] = []
    for path in files:
        try:
            facts = path.stat()
            numbers += [facts.st_mtime_ns, facts.st_size]
        except OSError:
            numbers += [0, 0]
    return tuple(numbers)


class Unchanged(Generic[T]):
    """The newest readings of so many sets of files."""

    def __init__(self, entries: int) -> None:
        """Keep at most so many readings: the least asked for goes first."""
        self._entries = entries
        self._guard = threading.Lock()
        self._readings: OrderedDict[tuple[Path, ...], tuple[Stamp, T]] = OrderedDict()

    def get(self, files: tuple[Path, ...], read: Callable[[], T]) -> T:
        """Return what `read` returned for these files, which is called again only when one of them changed.

        What was read within a moment of a change is not kept: the next change might have the same time.
        """
        now, current = time.time_ns(), stamp(*files)
        with self._guard:
            before = self._readings.get(files)
            if before is not None and before[0] == current:
                self._readings.move_to_end(files)
                return before[1]
        value = read()
        if any(current) and max(current[::2]) < now - _SETTLED_NS:
            with self._guard:
                self._readings[files] = current, value
                self._readings.move_to_end(files)
                while len(self._readings) > self._entries:
                    self._readings.popitem(last=False)
        return value
