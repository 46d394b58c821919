"""Files that are whole or absent, checked arrays, and plain words for what a disk refuses.

A big file is written beside its target, synced, renamed, and its folder synced: after a power cut
the target is the old file or the new one, never a third.
"""

import errno
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import filelock
import numpy as np
import safetensors.numpy

PRIVATE = 0o600  # of a file that others may neither read nor lock


class RefusedError(ValueError):
    """A value or a file that may not pass: what is wrong with it, the way out, and the bound where it breaks one."""

    def __init__(self, problem: str, hint: str | None = None, limit: float | None = None) -> None:
        """Keep them."""
        super().__init__(problem, hint, limit)
        self.problem, self.hint, self.limit = problem, hint, limit

    def __str__(self) -> str:
        """Return problem and way out as one line."""
        return "; ".join(part for part in (self.problem, self.hint) if part)


class Reason(NamedTuple):
    """What went wrong, and the way out."""

    problem: str
    hint: str | None = None


_FULL = "the disk is full", "free some space and {again}"
_READ_ONLY = "the folder is read-only", "make it writable and {again}"
_DENIED = "access is denied", "give this user the right to the folder and {again}"
_FAILING = "the disk reports an error", "check it and {again}"
_BUSY = "another process kept it busy for 30 s", "wait for that one and {again}"
_MISSING = "a file is missing", "restore the folder from a copy or delete it"
_DAMAGED = "the record is damaged", "restore the folder from a copy or delete it"

_WORDS = {
    "ENOSPC": _FULL,
    "EDQUOT": _FULL,
    "SQLITE_FULL": _FULL,
    "SQLITE_IOERR_SHMSIZE": _FULL,  # the shared-memory file could not grow
    "EROFS": _READ_ONLY,
    "SQLITE_READONLY": _READ_ONLY,
    "SQLITE_CANTOPEN": _READ_ONLY,  # of the WAL: a missing file is found before
    "EACCES": _DENIED,
    "EPERM": _DENIED,
    "SQLITE_PERM": _DENIED,
    "EIO": _FAILING,
    "SQLITE_IOERR": _FAILING,
    "SQLITE_BUSY": _BUSY,
    "SQLITE_LOCKED": _BUSY,
    "ENOENT": _MISSING,
    "ENOTDIR": _MISSING,
}


def reason(error: BaseException, again: str) -> Reason:
    """Return what went wrong and the way out, without any path.

    Args:
        error: from the file system, from SQLite or from this module.
        again: what to do once the cause is gone, such as "resume the run".
    """
    if isinstance(error, RefusedError):
        return Reason(error.problem, error.hint)
    problem, hint = _DAMAGED
    if isinstance(error, TimeoutError):  # of a file lock
        problem, hint = _BUSY
    elif names := [name for name in _names(error) if name in _WORDS]:
        problem, hint = _WORDS[names[0]]
    elif isinstance(error, OSError) and error.strerror:
        problem, hint = error.strerror.lower(), "put that right and {again}"
    return Reason(problem, hint.format(again=again))


def explain(error: BaseException, again: str) -> str:
    """Return `reason` as one line."""
    return "; ".join(part for part in reason(error, again) if part)


def is_full(error: BaseException | None) -> bool:
    """Return whether `error` says that the disk is full."""
    return error is not None and any(_WORDS.get(name) is _FULL for name in _names(error))


def _names(error: BaseException) -> list[str]:
    """Return the symbolic names of an error, the most exact first."""
    exact = getattr(error, "sqlite_errorname", None)
    if isinstance(exact, str):
        kind = "_".join(exact.split("_")[:2])  # SQLITE_IOERR_FSYNC is a kind of SQLITE_IOERR
        return [exact, kind]
    number = (error.errno if isinstance(error, OSError) else None) or 0
    return [errno.errorcode[number]] if number in errno.errorcode else []


def write_bytes(target: Path, data: bytes, inside: Path | None = None) -> None:
    """Make `target` hold `data`, whole or not at all, its folders included.

    Args:
        target: the file.
        data: what it shall hold.
        inside: a folder above it that is not made again where it is gone.

    Raises:
        OSError: whatever the disk refuses; the target is untouched and nothing is left beside it.
    """
    make_folder(target.parent, inside)
    with whole(target) as file:
        file.write(data)


@contextmanager
def whole(target: Path) -> Iterator[BinaryIO]:
    """Give a file to write, which takes the place of `target` when the block ends, whole or not at all.

    Raises:
        OSError: whatever the disk refuses; the target is untouched and nothing is left beside it.
    """
    beside = target.with_name(f"{_beside(target)}{secrets.token_hex(8)}.part")
    try:
        with beside.open("x+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # tells `sweep_beside` that somebody is at it
            yield file
            file.flush()
            os.fsync(file.fileno())
            beside.replace(target)
        sync_folder(target.parent)
    except BaseException:
        with suppress(OSError):  # the first error is the one to tell
            beside.unlink(missing_ok=True)
        raise


def sweep(folder: Path) -> None:
    """Remove what writers killed in the middle of `write_bytes` left below `folder`."""
    for leftover in folder.glob("**/.*.part"):
        leftover.unlink(missing_ok=True)


def sweep_beside(target: Path) -> None:
    """Remove what writers of `target` left that were killed in the middle of `write_bytes`, and no others."""
    for leftover in target.parent.glob(f"{_beside(target)}*.part"):
        with suppress(OSError), leftover.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            leftover.unlink(missing_ok=True)


def _beside(target: Path) -> str:
    """Return how the names begin under which `target` is written before it is whole."""
    return f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:8]}-"


def make_folder(folder: Path, inside: Path | None = None, *, durable: bool = True) -> None:
    """Make `folder` and its parents; each new name is synced, so that it outlives a power cut.

    Choice: what we make is this user's alone, for other people's labels may lie in it.

    Args:
        folder: to be made.
        inside: the folder itself or one above it, which is not made again where it is gone.
        durable: False for scratch that joins the rest, if at all, by `sync_tree`.

    Raises:
        FileNotFoundError: `inside` is gone.
    """
    if folder.is_dir():
        return
    if folder == inside:
        raise FileNotFoundError(errno.ENOENT, "the folder is gone")
    make_folder(folder.parent, inside, durable=durable)
    folder.mkdir(mode=0o700, exist_ok=True)
    if durable:
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Make all that lies below `folder` durable: the bytes of its files, and their names."""
    for place, _, names in os.walk(folder):
        for name in names:
            with Path(place, name).open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(place))


def appending(path: Path) -> BinaryIO:
    """Return a file to add to, which is this user's alone, also where an earlier version made it for all to read.

    Raises:
        OSError: the disk refuses.
    """
    file = os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, PRIVATE), "ab")
    with suppress(OSError):  # another user's
        os.fchmod(file.fileno(), PRIVATE)
    return file


def lock_of(lock_file: Path) -> filelock.BaseFileLock:
    """Return an exclusive lock, not yet taken, whose file is this user's alone: who may open it could hold it."""
    # Earlier versions let all read it. There may be none yet, or another user's.
    with suppress(OSError):
        lock_file.chmod(PRIVATE)
    return filelock.FileLock(lock_file, mode=PRIVATE)


def is_locked(lock_file: Path) -> bool:
    """Return whether a process holds the exclusive lock on `lock_file`, without taking it.

    A shared lock is asked for and dropped at once: viewers do not disturb each other, and a worker
    that starts in that very moment tries again.
    """
    try:
        with lock_file.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextmanager
def exclusive(lock_file: Path, seconds: float) -> Iterator[None]:
    """Hold a lock in a folder that is there; one that goes away meanwhile is not made again.

    Raises:
        FileNotFoundError: the folder is gone.
        filelock.Timeout: another holds the lock for longer than `seconds`.
    """
    folder = os.open(lock_file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        lock = lock_of(lock_file)
        lock.acquire(timeout=seconds, poll_interval=0.01)
        try:
            # The library makes the folder of a lock where there is none.
            if not os.path.samestat(os.fstat(folder), lock_file.parent.stat()):
                with suppress(OSError):
                    lock_file.unlink()
                    lock_file.parent.rmdir()
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), lock_file)
            yield
        finally:
            lock.release()
    finally:
        os.close(folder)


@contextmanager
def gate(lock_file: Path, *, exclusive: bool) -> Iterator[None]:
    """Let many through together, or one alone; the kernel opens it again at death.

    Raises:
        FileNotFoundError: the folder of the lock is gone; it is not made again.
    """
    with appending(lock_file) as file:
        fcntl.flock(file, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield


def pack_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return `arrays` as safetensors with their digest inside.

    Raises:
        RefusedError: an array holds a number that is not finite, or no numbers at all.
    """
    solid = {
        name: np.ascontiguousarray(array).reshape(np.shape(array)) for name, array in arrays.items()
    }
    for name, array in solid.items():
        if array.dtype.kind not in "biuf":
            raise RefusedError(f"array {name} is of type {array.dtype}", "only numbers are stored")
        if not np.isfinite(array).all():
            raise RefusedError(
                f"array {name} holds a number that is not finite", "only finite numbers are stored"
            )
    return safetensors.numpy.save(solid, metadata={"sha256": _digest(solid)})


def unpack_arrays(data: bytes) -> dict[str, np.ndarray]:
    """Return the arrays of `pack_arrays`.

    Raises:
        RefusedError: the bytes are not what was packed.
    """
    try:
        arrays = safetensors.numpy.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        digest = header["__metadata__"]["sha256"]
    except Exception as error:  # a damaged header fails in many ways, and all mean the same
        raise RefusedError("it is damaged", "resume the run to make it again") from error
    if digest != _digest(arrays):
        raise RefusedError("it is damaged", "resume the run to make it again")
    return arrays


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of names, types, shapes and numbers."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(repr((name, array.dtype.str, array.shape)).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
