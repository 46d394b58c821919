"""Reading images in several processes: bounded, in order, and none of them can take the import down.

A worker process has a limit on memory; one that dies is replaced, and the image that killed it is
named as unreadable.
"""

import concurrent.futures
import dataclasses
import multiprocessing
import os
import resource
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress

import numpy as np

from rambo.collection.images import look_at_array, look_at_file, to_png
from rambo.collection.looks import Limits, Look
from rambo.collection.readers.items import Item, Loader, Payload
from rambo.collection.records import Frame
from rambo.storage.files import RefusedError

CHUNK = 32  # images a task
_FEW = 64  # images below which starting processes takes longer than reading
_MUCH = 200_000_000  # bytes of arrays, likewise
_MEMORY = 2_000_000_000  # address space of a worker beyond what it starts with
_AHEAD = 3  # tasks waiting for each worker


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """What reading one item gave.

    Attributes:
        look: what it shows, or None.
        reason: why there is no look, in words.
        original: the bytes to store, or None where the original stays where it is.
    """

    look: Look | None
    reason: str = ""
    original: bytes | None = None


@dataclasses.dataclass(frozen=True)
class Work:
    """What all tasks share."""

    loader: Loader
    frame: Frame
    limits: Limits
    store: bool


def results(
    items: Sequence[Item], work: Work, jobs: int
) -> Iterator[tuple[Sequence[Item], list[Result]]]:
    """Yield chunks of items with what reading them gave, in their order.

    Args:
        items: to be read.
        work: how.
        jobs: processes.
    """
    chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
    if jobs < 2 or len(items) < _FEW or not (work.loader.remote or _is_much(items, work)):
        for chunk in chunks:
            yield chunk, _read(_payloads(chunk, work), work)
        return
    pool = _pool(jobs)
    waiting: deque[tuple[Sequence[Item], concurrent.futures.Future[list[Result]]]] = deque()
    try:
        position = 0
        while True:
            while len(waiting) < jobs * _AHEAD and position < len(chunks):
                waiting.append((chunks[position], _submit(pool, chunks[position], work)))
                position += 1
            if not waiting:
                return
            chunk, future = waiting.popleft()
            try:
                yield chunk, future.result()
            except BrokenProcessPool:
                pool.shutdown(wait=False, cancel_futures=True)
                yield chunk, _one_by_one(chunk, work)
                pool = _pool(jobs)
                waiting = deque((again, _submit(pool, again, work)) for again, _ in waiting)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _is_much(items: Sequence[Item], work: Work) -> bool:
    """Return whether rows of arrays hold so many pixels that sending them elsewhere pays."""
    (first,) = work.loader.load([items[0].key])
    return isinstance(first, np.ndarray) and first.size * len(items) > _MUCH


def _pool(jobs: int) -> concurrent.futures.ProcessPoolExecutor:
    """Return new processes that share nothing with this one."""
    return concurrent.futures.ProcessPoolExecutor(
        jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_begin
    )


def _begin() -> None:
    """Limit a worker's memory, let others go first, and end with the process that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that started us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(OSError, ValueError):
        with open("/proc/self/statm") as file:  # noqa: PTH123
            size = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + _MEMORY, size + _MEMORY))
    with suppress(OSError):
        os.nice(5)


def _end_with_parent() -> None:
    """Wait until the process that started this one is gone, then end."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _submit(
    pool: concurrent.futures.ProcessPoolExecutor, chunk: Sequence[Item], work: Work
) -> "concurrent.futures.Future[list[Result]]":
    """Send a chunk: its keys where the worker can read them itself, else what lies under them."""
    if work.loader.remote:
        return pool.submit(_fetch_and_read, [item.key for item in chunk], work)
    bare = dataclasses.replace(work, loader=_Nothing())
    return pool.submit(_read, _payloads(chunk, work), bare)


@dataclasses.dataclass(frozen=True)
class _Nothing:
    """Stands for a loader that stayed at home."""

    remote = False

    def load(self, keys: Sequence[object]) -> list[Payload | Exception]:
        """Return nothing."""
        return []


def _one_by_one(chunk: Sequence[Item], work: Work) -> list[Result]:
    """Read a chunk that killed its worker image by image, in a process that is replaced when it dies."""
    outcomes = []
    pool = _pool(1)
    for item in chunk:
        try:
            outcomes += _submit(pool, [item], work).result()
        except BrokenProcessPool:
            outcomes.append(Result(None, "reading it crashed the decoder; save it again as PNG"))
            pool.shutdown(wait=False)
            pool = _pool(1)
    pool.shutdown(wait=False)
    return outcomes


def _payloads(chunk: Sequence[Item], work: Work) -> list[Payload | Exception]:
    """Return what lies under the keys of a chunk."""
    return work.loader.load([item.key for item in chunk])


def _fetch_and_read(keys: list[object], work: Work) -> list[Result]:
    """Fetch and read in one process."""
    return _read(work.loader.load(keys), work)


def _read(payloads: Sequence[Payload | Exception], work: Work) -> list[Result]:
    """Return what each payload shows."""
    return [_read_one(payload, work) for payload in payloads]


def _read_one(payload: Payload | Exception, work: Work) -> Result:
    """Return what one payload shows, or why it shows nothing."""
    if isinstance(payload, RefusedError):
        return Result(None, str(payload))
    if isinstance(payload, OSError):
        return Result(None, f"it cannot be read ({payload.strerror}); check its rights")
    if isinstance(payload, Exception):
        return Result(None, "it cannot be read")
    try:
        if isinstance(payload, np.ndarray):
            original = to_png(payload) if work.store else None
            return Result(look_at_array(payload, work.frame), "", original)
        look = look_at_file(payload, work.frame, work.limits)
        return Result(look, "", payload if work.store else None)
    except RefusedError as error:
        return Result(None, str(error))
    except MemoryError:
        return Result(None, "it needs more memory than one image may have; save it smaller")
