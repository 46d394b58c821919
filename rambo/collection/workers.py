"""Reading images in limited children: in order, a few tasks ahead, and none of them can take the import down.

A child that dies is replaced, and the image that killed it is named as unreadable.
"""

import concurrent.futures
import dataclasses
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool

import numpy as np

from rambo.collection import limited
from rambo.collection.images import header_size, look_at_array, look_at_file, to_png
from rambo.collection.looks import Limits, Look
from rambo.collection.readers.items import Item, Loader, Payload
from rambo.collection.records import Frame
from rambo.storage.files import RefusedError

CHUNK = 32  # images a task
_STORED = (
    8  # images a task, and tasks in flight for each child, where the originals come back with it
)
_FEW = 64  # images below which one child is enough
_HUNGRY = "it needs more memory than one image may have; save it smaller"
_AHEAD = 3  # tasks waiting for each child


@dataclasses.dataclass(frozen=True, eq=False)
class ReadResult:
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
    """What all tasks share.

    Attributes:
        loader: the way to the bytes.
        frame: the working size.
        limits: what a file may ask for.
        store: whether the originals are kept.
        seconds: of the processor, for one image.
    """

    loader: Loader
    frame: Frame
    limits: Limits
    store: bool
    seconds: int = 30


def results(
    items: Sequence[Item], work: Work, jobs: int
) -> Iterator[tuple[Sequence[Item], list[ReadResult]]]:
    """Yield chunks of items with what reading them gave, in their order.

    Args:
        items: to be read.
        work: how.
        jobs: children.
    """
    size, ahead = (_STORED, 1) if work.store else (CHUNK, _AHEAD)
    jobs = max(1, jobs if len(items) >= _FEW else 1)
    chunks = [items[start : start + size] for start in range(0, len(items), size)]
    waiting: deque[tuple[Sequence[Item], concurrent.futures.Future[list[ReadResult]]]] = deque()
    try:
        position = 0
        while True:
            while len(waiting) < jobs * ahead + 1 and position < len(chunks):
                waiting.append((chunks[position], _submit(jobs, chunks[position], work)))
                position += 1
            if not waiting:
                return
            chunk, future = waiting.popleft()
            try:
                yield chunk, future.result()
            except BrokenProcessPool:
                yield chunk, _one_by_one(chunk, work)
                waiting = deque((again, _submit(jobs, again, work)) for again, _ in waiting)
    finally:
        for _, future in waiting:
            future.cancel()


def sizes(items: Sequence[Item], loader: Loader, limits: Limits) -> list[tuple[int, int]]:
    """Return width and height of the images whose header can be read; read in a limited child."""
    return limited.call(_sizes, [item.key for item in items], loader, limits)


def _sizes(keys: list[object], loader: Loader, limits: Limits) -> list[tuple[int, int]]:
    """Return width and height of images, in the child."""
    outcomes = []
    for payload in loader.load(keys):
        if isinstance(payload, np.ndarray):
            outcomes.append((payload.shape[1], payload.shape[0]))
        elif isinstance(payload, bytes) and (size := header_size(payload, limits)):
            outcomes.append(size)
    return outcomes


def _submit(
    jobs: int, chunk: Sequence[Item], work: Work
) -> "concurrent.futures.Future[list[ReadResult]]":
    """Send the keys of a chunk; the child reads what lies under them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of loky, about a child that it replaces
        return limited.pool(jobs).submit(_fetch_and_read, [item.key for item in chunk], work)


def _one_by_one(chunk: Sequence[Item], work: Work) -> list[ReadResult]:
    """Read a chunk that killed its child image by image; a child that dies is replaced."""
    outcomes = []
    for item in chunk:
        try:
            outcomes += _submit(1, [item], work).result()
        except BrokenProcessPool:
            reason = f"reading it crashed, or took over {work.seconds} s; save it again as PNG"
            outcomes.append(ReadResult(None, reason))
    return outcomes


def _fetch_and_read(keys: list[object], work: Work) -> list[ReadResult]:
    """Return what lies under keys, and what it shows; in the child."""
    outcomes = []
    for key in keys:
        limited.spend(work.seconds)
        try:
            (payload,) = work.loader.load([key])
        except MemoryError as error:
            payload = error
        outcomes.append(_read_one(payload, work))
    return outcomes


def _read_one(payload: Payload | Exception, work: Work) -> ReadResult:
    """Return what one payload shows, or why it shows nothing."""
    if isinstance(payload, RefusedError):
        return ReadResult(None, str(payload))
    if isinstance(payload, OSError):
        return ReadResult(None, f"it cannot be read ({payload.strerror}); check its rights")
    if isinstance(payload, MemoryError):
        return ReadResult(None, _HUNGRY)
    if isinstance(payload, Exception):
        return ReadResult(None, "it cannot be read")
    try:
        if isinstance(payload, np.ndarray):
            original = to_png(payload) if work.store else None
            return ReadResult(look_at_array(payload, work.frame), "", original)
        look = look_at_file(payload, work.frame, work.limits)
        return ReadResult(look, "", payload if work.store else None)
    except RefusedError as error:
        return ReadResult(None, str(error))
    except MemoryError:
        return ReadResult(None, _HUNGRY)
