"""Prepared datasets: a folder of plain arrays, written once, memory-mapped by everyone.

`<workspace>/datasets/<fingerprint>/` holds `images.npy`, `labels.npy`, `roles.npy` and `meta.json`.
A folder appears whole or not at all: it is filled under another name, flushed to the disk and then
renamed. `meta.json` carries the hash of every array and a seal over its own fields, so no flipped
bit passes `open_prepared(folder, verify=True)`. Nothing here imports torch.
"""

import dataclasses
import errno
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pydantic
from pydantic import Field

from rambo.config import shorten
from rambo.errors import DataError, StoreError

POOL, VALIDATION, TEST = 0, 1, 2  # values of `roles`
ARRAYS = ("images", "labels", "roles")
_DAY_SECONDS = 86_400

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Roles = npt.NDArray[np.uint8]
_Arrays = dict[str, np.ndarray]  # by the names in `ARRAYS`


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """A dataset ready for use; its arrays are memory maps, so all processes share the pages.

    Attributes:
        folder: where the arrays lie; other files that belong to the dataset may join them.
        fingerprint: 32 hex digits that stand for everything a result can depend on.
        name: what to call the dataset on a page.
        classes: the `c` class names; label `i` is `classes[i]`.
        mean: `C` channel means of images / 255.
        std: `C` channel standard deviations of images / 255.
        images: `N x C x H x W` uint8.
        labels: `N` int64 in 0..c-1.
        roles: `N` uint8, each `POOL`, `VALIDATION` or `TEST`.
        source: where the images come from, in words.
        licence: what their owner allows, in words.
    """

    folder: Path
    fingerprint: str
    name: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    images: Images
    labels: Labels
    roles: Roles
    source: str
    licence: str

    @property
    def num_classes(self) -> int:
        """The number of classes `c`."""
        return len(self.classes)


_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Meta(pydantic.BaseModel):
    """What `meta.json` says."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    fingerprint: str
    name: str
    classes: tuple[str, ...]
    mean: tuple[_Finite, ...]
    std: tuple[_Positive, ...]
    source: str
    licence: str
    origin: str
    sha256: dict[str, str] = {}
    seal: str = ""

    def sealed(self) -> "_Meta":
        """Return this meta with the hash of all its other fields as its seal."""
        fields = self.model_dump(mode="json", exclude={"seal"})
        seal = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
        return self.model_copy(update={"seal": seal})


class HashedFile:
    """A new file that hashes what passes through it and reaches the disk before it closes.

    The hash is of the bytes in memory: a disk that stores something else is found out later.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")
        self._sha = hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Append `data`."""
        self._sha.update(data)
        return self._file.write(data)

    def hexdigest(self) -> str:
        """Return the sha256 of everything written so far."""
        return self._sha.hexdigest()

    def __enter__(self) -> "HashedFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._file:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())


def write(
    workspace: Path,
    *,
    name: str,
    images: Images,
    labels: Labels,
    roles: Roles,
    classes: Sequence[str],
    mean: Sequence[float],
    std: Sequence[float],
    source: str,
    licence: str,
    origin: str,
) -> Prepared:
    """Return the dataset, stored below `workspace` unless an equal one is there already.

    Args:
        workspace: folder of all runs.
        name: what to call the dataset.
        images: `N x C x H x W` uint8.
        labels: `N` int64 in 0..c-1.
        roles: `N` uint8: `POOL`, `VALIDATION` or `TEST`.
        classes: `c` names.
        mean: `C` channel means of images / 255.
        std: `C` channel standard deviations of images / 255.
        source: where the images come from.
        licence: what their owner allows.
        origin: the key by which `find` knows the dataset again.

    Raises:
        DataError: the arrays do not fit each other.
        StoreError: the workspace has no room or cannot be written.
    """
    given: _Arrays = {"images": images, "labels": labels, "roles": roles}
    arrays = {key: np.ascontiguousarray(array) for key, array in given.items()}
    try:
        "".join((name, *classes, source, licence, origin)).encode()  # lone surrogates end here
        meta = _Meta(
            fingerprint=_fingerprint(arrays, classes, mean, std),
            name=name,
            classes=tuple(classes),
            mean=tuple(mean),
            std=tuple(std),
            source=source,
            licence=licence,
            origin=origin,
        )
    except (pydantic.ValidationError, UnicodeError) as error:
        reason = f"{type(error).__name__}: a name is not text or a number is not finite"
        raise DataError(f"dataset {shorten(name)}: {reason}; correct its description") from error
    _check(f"dataset {shorten(name)}", arrays, meta)
    folder = workspace / "datasets" / meta.fingerprint
    if not _usable(folder):
        try:
            _store(folder, arrays, meta)
        except OSError as error:
            raise unwritable(workspace, sum(a.nbytes for a in arrays.values()), error) from error
    return open_prepared(folder)


def open_prepared(folder: Path, *, verify: bool = False) -> Prepared:
    """Return the prepared dataset in `folder`.

    Args:
        folder: as `write` made it.
        verify: also read every byte and compare the hashes; half a second for 200 MB.

    Raises:
        DataError: a file is missing or damaged; the message names it.
    """
    meta = _read_meta(folder)
    arrays: _Arrays = {}
    for key in ARRAYS:
        path = folder / f"{key}.npy"
        if verify and sha256_of(path) != meta.sha256.get(key):
            raise damaged(path, "its bytes do not match their hash")
        arrays[key] = map_array(path)
    _check(f"prepared dataset {shorten(folder, 200)}", arrays, meta)
    return Prepared(
        folder=folder,
        fingerprint=meta.fingerprint,
        name=meta.name,
        classes=meta.classes,
        mean=meta.mean,
        std=meta.std,
        source=meta.source,
        licence=meta.licence,
        images=arrays["images"],
        labels=arrays["labels"],
        roles=arrays["roles"],
    )


def find(workspace: Path, origin: str) -> Path | None:
    """Return the folder of the dataset that was written with this `origin`, or None.

    A folder that cannot be read is passed over: the dataset is then simply made again.
    """
    try:
        folders = sorted((workspace / "datasets").iterdir())
    except OSError:
        return None
    for folder in folders:
        try:
            if not folder.name.startswith(".") and _read_meta(folder).origin == origin:
                return folder
        except DataError:
            continue
    return None


def discard(folder: Path) -> None:
    """Delete a prepared dataset; nobody sees it half deleted.

    Raises:
        StoreError: the folder may not be removed.
    """
    aside = folder.with_name(f".{folder.name}-{secrets.token_hex(4)}")
    try:
        folder.rename(aside)
    except FileNotFoundError:
        return  # another process was faster
    except OSError as error:
        reason = f"cannot be removed ({error.strerror})"
        raise StoreError(f"folder {shorten(folder, 200)}: {reason}; delete it") from error
    shutil.rmtree(aside, ignore_errors=True)


def sweep(folder: Path, pattern: str) -> None:
    """Remove what killed writers left in `folder` more than a day ago under hidden names."""
    for left in folder.glob(pattern):
        try:
            old = time.time() - left.stat().st_mtime > _DAY_SECONDS
        except OSError:
            continue
        if old and left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        elif old:
            left.unlink(missing_ok=True)


def map_array(path: Path) -> np.ndarray:
    """Return the `.npy` file as a private, copy-on-write memory map.

    Raises:
        DataError: it is missing, or is not a whole `.npy` file of plain numbers.
    """
    # open_memmap is what np.load(mmap_mode="c") calls, less its detours into zip and pickle.
    # torch.from_numpy warns of read-only arrays, hence "c": writable, but never on the disk.
    try:
        return np.lib.format.open_memmap(path, mode="c")
    except OSError as error:
        raise damaged(path, error.strerror or "it cannot be read") from error
    except Exception as error:  # numpy answers a garbled header with half a dozen kinds
        raise damaged(path, shorten(error)) from error


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise damaged(path, error.strerror or "it cannot be read") from error


def sync_folder(folder: Path) -> None:
    """Wait until renames inside `folder` have reached the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def damaged(path: Path, reason: str) -> DataError:
    """Return the error for a file of a prepared dataset that cannot be trusted."""
    where = f"{path.name} in {shorten(path.parent, 200)}"
    return DataError(f"prepared dataset: {where}: {reason}; prepare the dataset again")


def unwritable(folder: Path, size: int, error: OSError) -> StoreError:
    """Return the error for `size` bytes that could not be stored below `folder`."""
    reason = error.strerror or type(error).__name__
    need = f"{max(1, round(size / 1e6)):,} MB"
    way_out = "use a folder that may be written"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        way_out = "free that much, or use a folder on a disk that has it"
    return StoreError(f"folder {shorten(folder, 200)}: cannot store {need} ({reason}); {way_out}")


def _store(folder: Path, arrays: _Arrays, meta: _Meta) -> None:
    """Write the dataset under a hidden name, flush it, and rename it to `folder`."""
    parent = folder.parent
    parent.mkdir(parents=True, exist_ok=True)
    sweep(parent, f".{'[0-9a-f]' * 32}-*")
    hidden = parent / f".{folder.name}-{secrets.token_hex(4)}"
    hidden.mkdir()
    try:
        sha256 = {}
        for key, array in arrays.items():
            with HashedFile(hidden / f"{key}.npy") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
            sha256[key] = file.hexdigest()
        with HashedFile(hidden / "meta.json") as file:
            sealed = meta.model_copy(update={"sha256": sha256}).sealed()
            fields = sealed.model_dump(mode="json")
            file.write(json.dumps(fields, indent=1, ensure_ascii=False).encode())
        sync_folder(hidden)
        _publish(hidden, folder)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _publish(hidden: Path, folder: Path) -> None:
    """Rename `hidden` to `folder`, unless an equal dataset appeared there in the meantime."""
    try:
        hidden.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if _usable(folder):
            return
        discard(folder)
        hidden.rename(folder)
    sync_folder(folder.parent)


def _usable(folder: Path) -> bool:
    """Whether `folder` holds a dataset with every byte as it was written."""
    try:
        open_prepared(folder, verify=True)
    except DataError:
        return False
    return True


def _fingerprint(
    arrays: _Arrays,
    classes: Sequence[str],
    mean: Sequence[float],
    std: Sequence[float],
) -> str:
    """Return 32 hex digits over the arrays and what else decides a result or its reading.

    Names and normalisation belong to it: otherwise two files with equal pixels would share one
    folder, and the first one there would decide how both are normalised and labelled.
    """
    sha = hashlib.sha256()
    for key in ARRAYS:
        array = arrays[key]
        sha.update(f"{key}{array.dtype.str}{array.shape}".encode())
        sha.update(array.reshape(-1).data)
    sha.update(json.dumps([list(classes), list(mean), list(std)]).encode())
    return sha.hexdigest()[:32]


def _read_meta(folder: Path) -> _Meta:
    """Return the description in `folder`; a `DataError` if it is missing or was altered."""
    path = folder / "meta.json"
    try:
        meta = _Meta.model_validate_json(path.read_bytes())
    except OSError as error:
        raise damaged(path, error.strerror or "it cannot be read") from error
    except pydantic.ValidationError as error:
        raise damaged(path, "it is not a dataset's description") from error
    if meta != meta.sealed():
        raise damaged(path, "its bytes do not match their hash")
    return meta


def _check(where: str, arrays: _Arrays, meta: _Meta) -> None:
    """Refuse arrays that do not fit each other or their description."""
    images, labels, roles = (arrays[key] for key in ARRAYS)
    problem = None
    if images.dtype != np.uint8 or images.ndim != 4 or images.size == 0:
        problem = f"images are {images.dtype} {images.shape}, not uint8 of N x C x H x W"
    elif labels.dtype != np.int64 or labels.shape != images.shape[:1]:
        problem = f"labels are {labels.dtype} {labels.shape}, not int64 of ({len(images)},)"
    elif roles.dtype != np.uint8 or roles.shape != images.shape[:1]:
        problem = f"roles are {roles.dtype} {roles.shape}, not uint8 of ({len(images)},)"
    elif not len(meta.mean) == len(meta.std) == images.shape[1]:
        problem = f"mean and std do not have {images.shape[1]} channels"
    elif labels.min() < 0 or labels.max() >= len(meta.classes):
        problem = f"a label lies outside 0 to {len(meta.classes) - 1}"
    elif roles.max() > TEST:
        problem = f"a role is above {TEST}"
    if problem is not None:
        raise DataError(f"{where}: {problem}; correct the files it comes from and prepare it again")
