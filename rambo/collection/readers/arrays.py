"""The arrays of an `.npz` file, in the forms that people have: what is certain is taken, what is not is refused.

Read member by member, never unpickled; shape, size and ratio are compared before a byte is read. What is large goes
through files, so that memory does not grow with it: `store` is for a limited child, `Stored.opened` for who asked it.
"""

import dataclasses
import math
import secrets
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from rambo.collection.looks import Limits, Pixels
from rambo.collection.readers import archives
from rambo.collection.readers.array_labels import Labels, read_labels
from rambo.collection.readers.columns import group_hint, plain
from rambo.collection.readers.items import display, listing
from rambo.collection.readers.layout import split_of
from rambo.storage.files import RefusedError

_SPLITS = {
    **dict.fromkeys(("train", "training", "labeled", "labelled", "seed"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("unlabeled", "unlabelled", "pool"), "unlabeled"),
}
_LABELED = ("labeled", "labelled", "is_labeled", "is_labelled", "has_label", "known")
_ROWS = tuple(
    f"{end}label{mark}ed_{what}"
    for end in ("", "un")
    for mark in ("", "l")
    for what in ("idx", "indices")
)
_MASKS = ("mask", "masks", "label_mask", "labels_mask")
_IMAGES = (
    "images",
    "image",
    "x",
    "data",
    "imgs",
    "img",
    "pixels",
    "pictures",
    "xs",
    "inputs",
    "arr_0",
)
_LABELS = ("labels", "label", "y", "targets", "target", "lbl", "lbls", "ys", "arr_1")
_CLASSES = (
    "classes",
    "class_names",
    "classnames",
    "label_names",
    "labels_names",
    "categories",
    "target_names",
)
_FILES = ("files", "file_names", "filenames", "file_name", "paths")
_GROUPS = ("groups", "group", "group_ids")
_SPLIT = ("split", "splits", "subset", "partition")
_BLOCK_BYTES = 8_000_000  # converted at once
_SPOOLED = 16_000_000  # bytes from which an array is kept in a file
_PIECE = 1_000_000  # bytes unpacked at once
Allocate = Callable[[tuple[int, ...]], Pixels]
_WHITE = 255


@dataclasses.dataclass(frozen=True, eq=False)
class Arrays:
    """What an `.npz` file holds, in one form.

    Attributes:
        images: `N x H x W` or `N x H x W x 3` uint8; several arrays where splits differ in size.
        labels: `N` int64 into `classes`, -1 where nobody knows.
        classes: the class names.
        declared: whether the file itself names the classes.
        roles: `N` of `train`, `validation`, `test`, or empty text where the file has no split.
        files: `N` names, or None.
        groups: `N` names, or None.
        remarks: what was done and what was not used.
    """

    images: tuple[Pixels, ...]
    labels: np.ndarray
    classes: tuple[str, ...]
    declared: bool
    roles: tuple[str, ...]
    files: tuple[str, ...] | None
    groups: tuple[str, ...] | None
    remarks: tuple[str, ...]

    @property
    def has_split(self) -> bool:
        """Whether the file has a split of its own."""
        return any(self.roles)


@dataclasses.dataclass(frozen=True)
class Mapped:
    """Pixels in a file: `shape` bytes of uint8 from its start."""

    path: str
    shape: tuple[int, ...]

    def opened(self) -> Pixels:
        """Return the pixels, read from the disk as they are used."""
        return np.memmap(self.path, np.uint8, "r", shape=self.shape)


@dataclasses.dataclass(frozen=True, eq=False)
class Stored:
    """What an `.npz` file holds, its images in files: small enough to travel.

    Attributes:
        rest: everything but the images.
        images: where they are.
    """

    rest: Arrays
    images: tuple[Mapped, ...]

    def opened(self) -> Arrays:
        """Return the arrays, the images mapped."""
        return dataclasses.replace(self.rest, images=tuple(part.opened() for part in self.images))


def store(path: Path, limits: Limits, scratch: Path, group: str | None = None) -> Stored:
    """Return the arrays of an `.npz` file, the images as files in a folder.

    Args:
        path: of the file.
        limits: what it may ask for.
        scratch: the folder.
        group: the array that names groups; by default one that is called so.

    Raises:
        RefusedError: it is none, breaks the limits, or holds what could mean several things; the
            message has the line of numpy that mends it.
        Exception: of zipfile and numpy, where the file is damaged.
    """
    with archives.open_zip(path, limits) as archive:
        members = {
            member.filename.removesuffix(".npy"): member
            for member in archive.infolist()
            if member.filename.endswith(".npy")
        }
        splits = _find_splits(list(members))
        if not splits:
            names = listing([display(name) for name in members], 8)
            raise RefusedError(
                f"holds no images, labels{(f' (only {names})' if names else '')}",
                "save it as numpy.savez(file, images=..., labels=...)",
            )
        reader = _ArchiveReader(archive, members, limits, scratch)
        content = _assemble(reader, splits, group)
        return Stored(
            dataclasses.replace(content, images=()),
            tuple(_in_a_file(images, scratch) for images in content.images),
        )


def _in_a_file(images: Pixels, scratch: Path) -> Mapped:
    """Return images as a file; those that are one already stay where they are."""
    if isinstance(images, np.memmap) and images.flags.c_contiguous:
        path = Path(str(images.filename))
        if path.stat().st_size == images.nbytes:
            return Mapped(str(path), images.shape)
    path = scratch / f"{secrets.token_hex(8)}.bin"
    with path.open("xb") as file:
        for block in _blocks(images):
            file.write(np.ascontiguousarray(images[block]).data)
    return Mapped(str(path), images.shape)


def _blocks(images: np.ndarray) -> list[slice]:
    """Return slices of a few megabytes of images."""
    size = max(1, _BLOCK_BYTES * len(images) // max(1, images.nbytes))
    return [slice(start, start + size) for start in range(0, len(images), size)]


@dataclasses.dataclass
class _ArchiveReader:
    """Reads members and remembers which."""

    archive: zipfile.ZipFile
    members: dict[str, zipfile.ZipInfo]
    limits: Limits
    scratch: Path
    used: list[str] = dataclasses.field(default_factory=list)

    def read(self, name: str) -> np.ndarray:
        """Return one array; never more bytes than its own header and the zip directory agree on."""
        self.used.append(name)
        member = self.members[name]
        reason = archives.check_member(member, self.limits)
        if reason is not None:
            problem = f"{display(member.filename)}: {reason.problem}"
            raise RefusedError(problem, reason.hint, reason.limit)
        with self.archive.open(member) as stream:
            version = np.lib.format.read_magic(stream)
            if version == (1, 0):
                header = np.lib.format.read_array_header_1_0(stream)
            else:
                header = np.lib.format.read_array_header_2_0(stream)
            shape, fortran_order, dtype = header
            if dtype.hasobject:
                raise RefusedError(
                    f"{display(member.filename)} holds Python objects, which could run code when read",
                    f"save {display(name)}.astype(str) if they are texts; save images as uint8, "
                    "or images of several sizes as a folder of PNG files",
                )
            size = math.prod(shape) * dtype.itemsize
            if (
                size > member.file_size
                or size > self.limits.total_bytes
                or min(shape, default=0) < 0
            ):
                raise ValueError(
                    f"{display(member.filename)} does not hold what its header promises"
                )
            order: Literal["F", "C"] = "F" if fortran_order else "C"
            if size > _SPOOLED:
                path = self.scratch / f"{secrets.token_hex(8)}.bin"
                with path.open("xb") as file:
                    shutil.copyfileobj(stream, file, _PIECE)  # to the end, where the CRC is checked
                    length = file.tell()
            else:
                data = stream.read()
                length = len(data)
        if length != size:
            raise ValueError(f"{display(member.filename)} does not hold what its header promises")
        if size > _SPOOLED:
            return np.memmap(path, dtype, "r", shape=shape, order=order)
        return np.frombuffer(data, dtype=dtype).reshape(shape, order=order)

    def allocate(self, shape: tuple[int, ...]) -> Pixels:
        """Return room for pixels, in a file where they are many."""
        if math.prod(shape) <= _SPOOLED:
            return np.empty(shape, np.uint8)
        path = self.scratch / f"{secrets.token_hex(8)}.bin"
        return np.memmap(path, np.uint8, "w+", shape=shape)

    def optional(self, meanings: Sequence[str], split: str) -> np.ndarray | None:
        """Return the first member of these meanings, of a split or of the whole file, or None."""
        for name in self.members:
            if split in _spellings(plain(name), meanings):
                return self.read(name)
        return None


def _spellings(name: str, meanings: Sequence[str]) -> set[str]:
    """Return the splits for which `name` has one of the meanings; the empty text is the whole file."""
    prefixes = set()
    if name in meanings:
        prefixes.add("")
    for spelling, split in _SPLITS.items():
        for meaning in meanings:
            if name in (f"{spelling}_{meaning}", f"{meaning}_{spelling}"):
                prefixes.add(split)
    return prefixes


def _find_splits(names: Sequence[str]) -> list[str]:
    """Return the splits that the file has images for; one empty text for a file without."""
    splits = {split for name in names for split in _spellings(plain(name), _IMAGES)}
    labeled = {split for name in names for split in _spellings(plain(name), _LABELS)}
    order = ["train", "validation", "test", "unlabeled"]
    if splits - {""}:
        absent = [split for split in order if split in labeled and split not in splits]
        if absent:
            name = {"validation": "val"}.get(absent[0], absent[0])
            raise RefusedError(f"holds no {name}_images beside {name}_labels", "add them")
        return [split for split in order if split in splits]
    return [""] if "" in splits else []


def _assemble(reader: _ArchiveReader, splits: Sequence[str], group: str | None) -> Arrays:
    """Return all splits as one."""
    images, labels, roles, files, groups = [], [], [], [], []
    remarks: list[str] = []
    named = reader.optional(_CLASSES, "")
    for split in splits:
        raw = reader.optional(_IMAGES, split)
        assert raw is not None
        answers = reader.optional(_LABELS, split)
        _check_order(raw, answers)
        pixels, how = as_pixels(raw, reader.allocate)
        images.append(pixels)
        count = len(pixels)
        remarks += [line for line in how if line not in remarks]
        labels.append((answers, count))
        roles += [split] * count
        files.append(_texts(reader.optional(_FILES, split), count, "files"))
        own = reader.optional((plain(group),) if group else _GROUPS, split)
        if group and own is None:
            raise RefusedError(
                f"no array {display(group)} for groups",
                f"it has {listing([display(name) for name in reader.members], 8)}",
            )
        groups.append(_texts(own, count, "groups"))
    part = read_labels(labels, None if named is None else _names(named))
    remarks += part.remarks
    part = _hidden(reader, splits, part, remarks)
    if splits == [""]:
        roles = _own_split(reader, len(roles)) or roles
    unused = [display(name) for name in reader.members if name not in reader.used]
    if unused:
        remarks.append(f"not used: {listing(unused, 8)}{group_hint(unused)}")
    if any(roles):
        remarks.append(f"its own split is kept: {', '.join(dict.fromkeys(roles))}")
    return Arrays(
        images=tuple(images),
        labels=part.labels,
        classes=part.classes,
        declared=part.declared,
        roles=tuple(roles),
        files=_whole(files),
        groups=_whole(groups),
        remarks=tuple(remarks),
    )


def _check_order(images: np.ndarray, labels: np.ndarray | None) -> None:
    """Refuse images that stand behind each other in the last place: their number is that of the labels."""
    if labels is None or images.ndim not in (3, 4) or len(labels.shape) == 0:
        return
    if len(labels) == images.shape[-1] != images.shape[0]:
        raise RefusedError(
            f"images of {' x '.join(map(str, images.shape))} beside {len(labels)} labels have their number last",
            "save numpy.moveaxis(images, -1, 0)",
        )


def _own_split(reader: _ArchiveReader, count: int) -> list[str] | None:
    """Return the split of each image as an array names it, or None; one that means something else stays unused."""
    array = reader.optional(_SPLIT, "")
    if array is None:
        return None
    if array.dtype.kind in "US" and array.shape == (count,):
        roles = [split_of(as_text(value)) for value in array.tolist()]
        if all(roles):
            return [role or "" for role in roles]
    reader.used.pop()
    return None


def _hidden(
    reader: _ArchiveReader, splits: Sequence[str], labels: Labels, remarks: list[str]
) -> Labels:
    """Return the labels without those that the file itself calls unknown: by true and false, or by rows."""
    for name in (*_LABELED, *_MASKS, *_ROWS) if splits == [""] else ():
        array = reader.optional((name,), "")
        if array is None:
            continue
        mask = _mask(array, name, len(labels.labels))
        if mask is None:
            reader.used.pop()
            continue  # it means something else
        if name in _MASKS:
            raise RefusedError(
                f"{name} of true and false may mean that a label is known, or that it is hidden",
                f"save labels=numpy.where({name}, labels, -1) if true means known",
            )
        remarks.append(f"{int((~mask).sum()):,} labels count as unknown, as {name} says")
        return dataclasses.replace(labels, labels=np.where(mask, labels.labels, -1))
    return labels


def _mask(array: np.ndarray, name: str, count: int) -> np.ndarray | None:
    """Return for each image whether its label is known, or None where the array says no such thing."""
    if name in _ROWS:
        if array.dtype.kind not in "iu" or array.ndim != 1:
            return None
        if len(array) and not 0 <= int(array.min()) <= int(array.max()) < count:
            return None
        mask = np.zeros(count, dtype=bool)
        mask[array] = True
        return ~mask if name.startswith("un") else mask
    if array.shape != (count,) or (array.dtype.kind != "b" and name in _MASKS):
        return None
    if array.dtype.kind == "b" or (array.dtype.kind in "iu" and np.isin(array, (0, 1)).all()):
        return array.astype(bool)
    return None


def _whole(parts: Sequence[tuple[str, ...] | None]) -> tuple[str, ...] | None:
    """Return the names of all splits, or None where one has none."""
    if any(part is None for part in parts):
        return None
    return tuple(text for part in parts if part is not None for text in part)


def _texts(array: np.ndarray | None, count: int, what: str) -> tuple[str, ...] | None:
    """Return an array of numbers or texts as texts, one an image."""
    if array is None:
        return None
    if array.size != count or array.dtype.kind not in "USiubf":
        raise RefusedError(
            f"{what} of shape {array.shape} beside {count} images",
            "save one name or number an image",
        )
    return tuple(as_text(value) for value in array.reshape(-1))


def _names(array: np.ndarray) -> tuple[str, ...]:
    """Return class names."""
    if array.dtype.kind not in "USiu" or array.ndim != 1:
        raise RefusedError("classes are no list of names", "save numpy.array(['cat', 'dog'])")
    names = tuple(as_text(value) for value in array)
    twice = (
        next((name for name in names if names.count(name) > 1), None) if len(names) < 2000 else None
    )
    if twice is not None:
        raise RefusedError(f"two classes are called {twice}", "give each class a name of its own")
    return names


def as_text(value: object) -> str:
    """Return a name in an array as text."""
    return display(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))


def _allocate(shape: tuple[int, ...]) -> Pixels:
    """Return room for pixels in memory."""
    return np.empty(shape, np.uint8)


def as_pixels(images: np.ndarray, allocate: Allocate = _allocate) -> tuple[Pixels, list[str]]:
    """Return images as `N x H x W` or `N x H x W x 3` uint8, with remarks on what was done.

    Args:
        images: as a person has them.
        allocate: gives room for the result where the numbers have to be changed.

    Raises:
        RefusedError: the numbers or the shape could mean several things.
    """
    shape = " x ".join(map(str, images.shape))
    if images.ndim not in (3, 4) or images.size == 0:
        side = math.isqrt(images.shape[1]) if images.ndim == 2 else 0
        square = side > 0 and side**2 == images.shape[1]
        hint = f"; for square ones, images.reshape(-1, {side}, {side})" if square else ""
        raise RefusedError(
            f"images are {images.dtype} {images.shape}",
            f"save them as uint8 of N x H x W or N x H x W x 3{hint}",
        )
    if images.dtype.kind not in "uifb":
        raise RefusedError(
            f"images are {images.dtype}", "save images as uint8, images.astype('uint8')"
        )
    ordered, remarks = _channels_last(images, shape)
    scale, how = _scale(images)
    remarks += how
    if scale is None:
        pixels = ordered
    else:
        pixels = allocate(ordered.shape)
        for block in _blocks(ordered):
            values = ordered[block].astype(np.float32) * np.float32(scale)
            pixels[block] = np.round(values).astype(np.uint8)
    if pixels.ndim == 4 and pixels.shape[3] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim == 4 and pixels.shape[3] == 4:
        remarks.append("what is transparent stands on white")
        pixels = _on_white(pixels, allocate)
    return pixels, remarks


def _channels_last(images: np.ndarray, shape: str) -> tuple[np.ndarray, list[str]]:
    """Return images with their channels in the last place."""
    if images.ndim == 3:
        return images, []
    first, last = images.shape[1] in (1, 3, 4), images.shape[3] in (1, 3, 4)
    if first and last:
        raise RefusedError(
            f"images of {shape} may have their channels first or last",
            "save images.transpose(0, 2, 3, 1) if they come first, or images larger than 4 pixels",
        )
    if last:
        return images, []
    if first:
        return images.transpose(0, 2, 3, 1), ["channels first were put last"]
    raise RefusedError(
        f"images are {images.dtype} {images.shape}",
        "save them as uint8 of N x H x W or N x H x W x 3",
    )


def _scale(images: np.ndarray) -> tuple[float | None, list[str]]:
    """Return the factor that brings the numbers to 0..255, or None for bytes as they are."""
    if images.dtype == np.uint8:
        return None, []
    if images.dtype.kind == "b":
        return 255.0, ["true and false became white and black"]
    low, high = float(images.min()), float(images.max())
    scale = f"images run from {low:g} to {high:g}"
    if not math.isfinite(low) or not math.isfinite(high):
        raise RefusedError(
            "images hold numbers that are not finite", "save numpy.nan_to_num(images)"
        )
    if images.dtype.kind == "f":
        if low >= 0 and high <= 1:
            return 255.0, ["floats in [0, 1] were multiplied by 255"]
        if low >= 0 and 8 < high <= 255:  # below, rounding would leave a handful of greys
            return 1.0, ["floats up to 255 were rounded"]
        raise RefusedError(
            f"{scale}, which is {images.dtype} without a clear scale",
            "save ((images - images.min()) / numpy.ptp(images) * 255).astype('uint8')",
        )
    if low < 0:
        raise RefusedError(scale, "save (images - images.min()).astype('uint8') if that is meant")
    if high <= 255:
        return 1.0, []
    if images.dtype.itemsize == 2:
        full = next(limit for limit in (1023, 4095, 65535) if high <= limit)
        return 255 / full, [f"16-bit numbers up to {full:,} were brought to 8 bits"]
    raise RefusedError(
        f"{scale}, which is {images.dtype}", "save (images / images.max() * 255).astype('uint8')"
    )


def _on_white(pixels: Pixels, allocate: Allocate) -> Pixels:
    """Return images with transparency as they look on white."""
    result = allocate((*pixels.shape[:3], 3))
    for block in _blocks(pixels):
        values = pixels[block].astype(np.float32)
        alpha = values[..., 3:] / 255
        result[block] = np.round(values[..., :3] * alpha + _WHITE * (1 - alpha))
    return result
