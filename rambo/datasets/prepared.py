"""Prepared datasets: a folder of plain arrays, written once, memory-mapped by everyone.

`<workspace>/datasets/<fingerprint>/` holds `images.npy`, `labels.npy`, `roles.npy` and `meta.json`.
A folder appears whole or not at all: it is filled under another name, flushed to the disk and then
renamed. `meta.json` carries the hash of every array and a seal over its own fields. Opening reads every
byte but the images'; `Prepared.pixels` holds each block of them against its hash in `blocks.npy`, so no
flipped bit is shown or exported, and 200 images cost as good as nothing. Nothing here imports torch.

A dataset in which labels are missing has -1 there: its images are `LABELED`, `POOL` (nobody knows
the label), `VALIDATION` or `TEST`. One without such roles is fully labeled: of its `POOL` the run
draws S_0 itself. Groups, clusters of near duplicates, folds and file names may lie beside the arrays.
"""

import contextlib
import dataclasses
import errno
import hashlib
import json
import math
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pydantic
from pydantic import Field

from rambo.collection.records import LABELED, POOL, TEST, VALIDATION
from rambo.datasets.disk import (
    file_hash,
    map_array,
    refusing_prepared,
    sweep,
    unwritable,
    write_array,
)
from rambo.errors import DataError, StoreError
from rambo.storage import files

# roles beside those of a collection, in no pool until a trial draws them: of no class, and what repeats a pool image
FOREIGN, COPY = 4, 5
FOLDER = "datasets"  # of a workspace
UNLABELED = -1  # in `labels`: nobody knows, or there is none to know; never a class
ARRAYS = ("images", "labels", "roles")
OPTIONAL = ("groups", "clusters", "folds")  # arrays that a dataset may have beside them
__all__ = [
    "COPY",
    "FOREIGN",
    "LABELED",
    "POOL",
    "TEST",
    "UNLABELED",
    "VALIDATION",
    "Prepared",
    "write",
]

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Roles = npt.NDArray[np.uint8]
_Arrays = dict[str, np.ndarray]  # by the names in `ARRAYS`
_BLOCK_BYTES = (
    2**16
)  # of images that are hashed as one; must never change: old blocks are read with it
_FLIPPED = "its bytes do not match their hash"


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
        labels: `N` int64 in 0..c-1; `UNLABELED` in the pool where nobody knows, and where the role is `FOREIGN`.
        roles: `N` uint8, each `POOL`, `VALIDATION`, `TEST`, `LABELED`, `FOREIGN` or `COPY`.
        source: where the images come from, in words.
        licence: what their owner allows, in words.
        groups: `N` int64, images of one group (a patient, a video) share a number, -1 for none; or None.
        clusters: `N` int64, near duplicates share a number; or None where no two images are alike.
        folds: `N` int64, which images judge together where the test set changes from trial to trial; -1 for those that
            never do; or None where the test set is fixed.
        collection: the collection and version it was made of, such as `pets@3`; else empty.
        named: whether `names` has something to say.
        blocks: `m x 16` uint8, a hash of each block of images; None where an older version prepared them.
        trusted: numbers of the blocks that were looked at; -1 stands for all.
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
    groups: Labels | None = None
    clusters: Labels | None = None
    folds: Labels | None = None
    collection: str = ""
    named: bool = False
    blocks: npt.NDArray[np.uint8] | None = None
    trusted: set[int] = dataclasses.field(default_factory=set, repr=False)

    def pixels(self, indices: npt.ArrayLike) -> Images:
        """Return images `a x C x H x W` as they were prepared, for a person to see or to take away.

        Raises:
            DataError: they are damaged.
        """
        rows = np.asarray(indices, np.int64).reshape(-1)
        path = self.folder / "images.npy"
        with refusing_prepared(path):
            if self.blocks is None and not self.trusted:  # of an older version: once, as a whole
                if file_hash(path) != _read_meta(self.folder).sha256.get("images"):
                    raise ValueError(_FLIPPED)
                self.trusted.add(-1)
            size = _block_rows(self.images)
            blocks = self.blocks if self.blocks is not None else ()
            for number in set((rows // size).tolist()) - self.trusted if len(blocks) else ():
                block = self.images[number * size : (number + 1) * size]
                if _block_hash(block) != blocks[number].tobytes():
                    raise ValueError(_FLIPPED)
                self.trusted.add(number)
            chosen: Images = np.asarray(self.images[rows])
        return chosen

    @property
    def num_classes(self) -> int:
        """The number of classes `c`."""
        return len(self.classes)

    def class_of(self, index: int) -> str:
        """Return the name of an image's class, `none of these` for a foreign image, `unknown` where nobody knows."""
        label = int(self.labels[index])
        if label == UNLABELED:
            return "none of these" if self.roles[index] == FOREIGN else "unknown"
        return self.classes[label]

    @property
    def partly_labeled(self) -> bool:
        """Whether there are images whose label nobody knows, so that no oracle can answer."""
        unlabeled = (self.labels == UNLABELED) & (self.roles != FOREIGN)
        return bool(unlabeled.any()) or bool((self.roles == LABELED).any())

    def judges(self, trial: int) -> npt.NDArray[np.bool_]:
        """Return which images judge in a trial, `N` bool: the test set, or one fold after another."""
        if self.folds is None:
            return np.asarray(self.roles == TEST)
        folds = np.asarray(self.folds)
        return folds == trial % (int(folds.max()) + 1)

    def names(self) -> "Names | None":
        """Return what the images are called where they come from, or None; reads a file.

        Raises:
            DataError: the file is missing or damaged.
        """
        return _read_names(self.folder) if self.named else None


class Names(pydantic.BaseModel):
    """What the images of a prepared dataset are called; all have `N` entries or none.

    Attributes:
        files: the files they came from.
        ids: their content hashes in the collection.
        numbers: their numbers in the collection.
        groups: the names of the groups; `Prepared.groups` holds places in it.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    files: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    groups: tuple[str, ...] = ()


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
    collection: str = ""
    sha256: dict[str, str] = {}
    seal: str = ""

    def sealed(self) -> "_Meta":
        """Return this meta with the hash of all its other fields as its seal."""
        unused = set() if self.collection else {"collection"}  # older files do not know it
        fields = self.model_dump(mode="json", exclude={"seal"} | unused)
        seal = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
        return self.model_copy(update={"seal": seal})


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
    groups: Labels | None = None,
    clusters: Labels | None = None,
    folds: Labels | None = None,
    names: Names | None = None,
    collection: str = "",
) -> Prepared:
    """Return the dataset, stored below `workspace` unless an equal one is there already.

    The fields are those of `Prepared`; `origin` is the key by which `find` knows the dataset again.

    Raises:
        DataError: the arrays do not fit each other.
        StoreError: the workspace has no room or cannot be written.
    """
    columns = {"images": images, "labels": labels, "roles": roles}
    columns |= {
        key: array
        for key, array in (("groups", groups), ("clusters", clusters), ("folds", folds))
        if array is not None
    }
    arrays: _Arrays = {key: np.ascontiguousarray(array) for key, array in columns.items()}
    try:
        "".join((name, *classes, source, licence, origin)).encode()  # lone surrogates end here
        meta = _Meta(
            fingerprint=_fingerprint(arrays, classes, mean, std, collection),
            name=name,
            classes=tuple(classes),
            mean=tuple(mean),
            std=tuple(std),
            source=source,
            licence=licence,
            origin=origin,
            collection=collection,
        )
    except (pydantic.ValidationError, UnicodeError) as error:
        reason = "a name is not text or a number is not finite"
        raise DataError(
            reason, field="dataset", value=name, hint="correct its description"
        ) from error
    _check("dataset", name, arrays, meta)
    folder = folder_of(workspace, meta.fingerprint)
    try:
        if _usable(folder):
            _adopt(folder, origin, name)
        else:
            _store(folder, arrays, meta, names)
    except OSError as error:
        raise unwritable(workspace, sum(a.nbytes for a in arrays.values()), error) from error
    return open_prepared(folder)


def folder_of(workspace: Path, fingerprint: str) -> Path:
    """Return where a prepared dataset of a workspace lies."""
    return workspace / FOLDER / fingerprint


def open_prepared(folder: Path, *, verify: bool = False) -> Prepared:
    """Return the prepared dataset in `folder`.

    Args:
        folder: as `write` made it.
        verify: also read the images and compare their hash; half a second for 200 MB.

    Raises:
        DataError: a file is missing or damaged; the message names it.
    """
    meta = _read_meta(folder)
    small = [key for key in ("labels", "roles", *OPTIONAL) if key in meta.sha256 or key in ARRAYS]
    arrays = {
        key: map_array(folder / f"{key}.npy", meta.sha256.get(key, ""))
        for key in [*small, *(["blocks"] if "blocks" in meta.sha256 else [])]
    }
    images = map_array(folder / "images.npy", meta.sha256.get("images", "") if verify else None)
    arrays = {"images": images} | arrays
    _check("prepared dataset", folder, arrays, meta)
    named = "names" in meta.sha256
    if verify and named:
        _read_names(folder)
    fields = meta.model_dump(exclude={"origin", "sha256", "seal"})
    return Prepared(folder=folder, named=named, **fields | arrays)


def find(workspace: Path, origin: str) -> Path | None:
    """Return the folder of the dataset that was written with this `origin`, or None.

    A folder that cannot be read is passed over: the dataset is then simply made again.
    """
    try:
        folders = sorted((workspace / FOLDER).iterdir())
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
        raise StoreError(reason, field="folder", value=folder, hint="delete it") from error
    shutil.rmtree(aside, ignore_errors=True)


def _store(folder: Path, arrays: _Arrays, meta: _Meta, names: Names | None) -> None:
    """Write the dataset under a hidden name, flush it, and rename it to `folder`."""
    parent = folder.parent
    files.make_folder(parent)
    sweep(parent, f".{'[0-9a-f]' * 32}-*")
    hidden = parent / f".{folder.name}-{secrets.token_hex(4)}"
    try:
        files.make_folder(hidden)
        sha256 = {
            key: write_array(hidden / f"{key}.npy", array.dtype, array.shape, [array.data])
            for key, array in arrays.items()
        }
        if names is not None:
            text = names.model_dump_json().encode("utf-8", "backslashreplace")
            sha256["names"] = hashlib.sha256(text).hexdigest()
            files.write_bytes(hidden / "names.json", text)
        blocks = _hash_blocks(arrays["images"])
        sha256["blocks"] = write_array(
            hidden / "blocks.npy", blocks.dtype, blocks.shape, [blocks.data]
        )
        sealed = meta.model_copy(update={"sha256": sha256}).sealed()
        files.write_bytes(hidden / "meta.json", sealed.model_dump_json(indent=1).encode())
        _publish(hidden, folder)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def renamed(data: Prepared, name: str) -> Prepared:
    """Return the same dataset under the name it was asked for just now, which it keeps where that can be written."""
    if data.name == name:
        return data
    with contextlib.suppress(OSError):
        _adopt(data.folder, _read_meta(data.folder).origin, name)
    return dataclasses.replace(data, name=name)


def _adopt(folder: Path, origin: str, name: str) -> None:
    """Let an equal dataset of an older origin or another name be found by the new one."""
    meta = _read_meta(folder)
    if (meta.origin, meta.name) != (origin, name):
        sealed = meta.model_copy(update={"origin": origin, "name": name}).sealed()
        files.write_bytes(folder / "meta.json", sealed.model_dump_json(indent=1).encode(), folder)


def _block_rows(images: Images) -> int:
    """Return how many images are hashed as one."""
    return max(1, _BLOCK_BYTES // math.prod(images.shape[1:]))


def _block_hash(block: Images) -> bytes:
    """Return 16 bytes that stand for a block of images."""
    return hashlib.blake2b(np.ascontiguousarray(block).data, digest_size=16).digest()


def _hash_blocks(images: Images) -> npt.NDArray[np.uint8]:
    """Return the hash of each block of images, `m x 16`."""
    size = _block_rows(images)
    hashes = [_block_hash(images[at : at + size]) for at in range(0, len(images), size)]
    return np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 16)


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
    files.sync_folder(folder.parent)


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
    collection: str,
) -> str:
    """Return 32 hex digits over the arrays and what else decides a result or its reading.

    Names and normalisation belong to it: otherwise two files with equal pixels would share one
    folder, and the first one there would decide how both are normalised and labelled.
    """
    sha = hashlib.sha256()
    for key, array in arrays.items():
        sha.update(f"{key}{array.dtype.str}{array.shape}".encode())
        sha.update(array.reshape(-1).data)
    sha.update(json.dumps([list(classes), list(mean), list(std)]).encode())
    if collection:  # two versions with equal arrays differ in names
        sha.update(collection.encode())
    return sha.hexdigest()[:32]


def _read_meta(folder: Path) -> _Meta:
    """Return the description in `folder`; a `DataError` if it is missing or was altered."""
    path = folder / "meta.json"
    with refusing_prepared(path):
        try:
            meta = _Meta.model_validate_json(path.read_bytes())
        except pydantic.ValidationError as error:
            raise ValueError("it is not a dataset's description") from error
        if meta != meta.sealed():
            raise ValueError(_FLIPPED)
    return meta


def _read_names(folder: Path) -> Names:
    """Return the names in `folder`; a `DataError` if they are missing or were altered."""
    path, meta = folder / "names.json", _read_meta(folder)
    with refusing_prepared(path):
        text = path.read_bytes()
        if hashlib.sha256(text).hexdigest() != meta.sha256.get("names"):
            raise ValueError(_FLIPPED)
        return Names.model_validate_json(text)


def _check(what: str, value: Path | str, arrays: _Arrays, meta: _Meta) -> None:
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
    elif labels.min() < UNLABELED or labels.max() >= len(meta.classes):
        problem = f"a label lies outside 0 to {len(meta.classes) - 1}"
    elif roles.max() > COPY:
        problem = f"a role is above {COPY}"
    elif ((labels == UNLABELED) & ~np.isin(roles, (POOL, FOREIGN))).any():
        problem = "an image outside the pool has no label"
    elif (labels[roles == FOREIGN] != UNLABELED).any():
        problem = f"an image of role {FOREIGN}, which is foreign, has a label"
    else:
        blocks = arrays.get("blocks")
        count = -(-len(images) // _block_rows(images))
        if blocks is not None and (blocks.dtype != np.uint8 or blocks.shape != (count, 16)):
            problem = f"blocks are {blocks.dtype} {blocks.shape}, not uint8 of ({count}, 16)"
        for key in OPTIONAL:
            array = arrays.get(key)
            if array is not None and (array.dtype != np.int64 or array.shape != labels.shape):
                problem = f"{key} are {array.dtype} {array.shape}, not int64 of ({len(images)},)"
    if problem is not None:
        raise DataError(
            problem,
            field=what,
            value=value,
            hint="correct the files it comes from and prepare it again",
        )
