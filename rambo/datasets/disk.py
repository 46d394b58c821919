"""What the modules here share about files: distrust of what is read, care for what is written."""

import contextlib
import hashlib
import io
import itertools
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from rambo.errors import DataError, RamboError, StoreError, shorten
from rambo.storage import files

_DAY_SECONDS = 86_400


@contextlib.contextmanager
def refusing(what: str, value: Path | str, way_out: str, failing: str = "") -> Iterator[None]:
    """Turn whatever a reader of foreign bytes raises inside the block into a `DataError`.

    Args:
        what: kind of thing that is read, to name it.
        value: the file or folder, or the name of the dataset.
        way_out: told after the reason; a `RefusedError` has its own.
        failing: told before the reason.
    """
    try:
        yield
    except RamboError:
        raise
    except files.RefusedError as error:
        raise DataError(
            f"{failing}{error.problem}", field=what, value=value, hint=error.hint
        ) from error
    except Exception as error:  # zip, gzip, pickle and network code raise over a dozen kinds
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        reason = shorten(" ".join(str(reason).split()), 240)
        raise DataError(f"{failing}{reason}", field=what, value=value, hint=way_out) from error


def refusing_prepared(path: Path) -> contextlib.AbstractContextManager[None]:
    """Return `refusing` for a file of a prepared dataset."""
    return refusing("prepared dataset", path, "prepare the dataset again")


def is_file(path: Path) -> bool:
    """Return whether `path` is a file; no for what may not be seen or cannot be a path."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def file_hash(path: Path, algorithm: str = "sha256") -> str:
    """Return the hash of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def map_array(path: Path, sha256: str | None = None) -> np.ndarray:
    """Return a `.npy` file that this package wrote as a private, copy-on-write memory map.

    Args:
        path: as `write_array` made it.
        sha256: of the file; None leaves the bytes unread.

    Raises:
        DataError: it is missing, is not a whole `.npy` file of plain numbers, or has another hash.
    """
    with refusing_prepared(path):
        if sha256 is not None and file_hash(path) != sha256:
            raise ValueError("its bytes do not match their hash")
        # open_memmap is what np.load(mmap_mode="c") calls, less its detours into zip and pickle.
        # torch.from_numpy warns of read-only arrays, hence "c": writable, but never on the disk.
        return np.lib.format.open_memmap(path, mode="c")


def write_array(
    path: Path, dtype: np.dtype, shape: tuple[int, ...], chunks: Iterable[bytes | memoryview]
) -> str:
    """Return the sha256 of the new `.npy` file at `path`, once it has reached the disk.

    Choice: the hash is of the bytes in memory, so a disk that stores something else is found out
    later. Plain writes and no memory map, because on a full disk a map kills the process (SIGBUS).

    Args:
        path: nothing may be there yet.
        dtype: of the array.
        shape: of the array.
        chunks: its bytes in C order.

    Raises:
        OSError: the disk refuses; what was written is left to the caller.
    """
    header = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(dtype)
    form = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, form)
    sha256 = hashlib.sha256()
    with path.open("xb") as file:
        for chunk in itertools.chain([header.getvalue()], chunks):
            sha256.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return sha256.hexdigest()


def sweep(folder: Path, pattern: str) -> None:
    """Remove what killed writers left in `folder` more than a day ago under hidden names."""
    for leftover in folder.glob(pattern):
        try:
            old = time.time() - leftover.stat().st_mtime > _DAY_SECONDS
        except OSError:
            continue
        if old and leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        elif old:
            leftover.unlink(missing_ok=True)


def unwritable(folder: Path, size: int, error: OSError) -> StoreError:
    """Return the error for `size` bytes that could not be stored below `folder`."""
    reason = error.strerror or type(error).__name__
    need = f"{max(1, round(size / 1e6)):,} MB"
    way_out = "use a folder that may be written"
    if files.is_full(error):
        way_out = "free that much, or use a folder on a disk that has it"
    problem = f"cannot store {need} ({reason})"
    return StoreError(problem, field="folder", value=folder, hint=way_out)
