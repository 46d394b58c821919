"""Arrays and tensors of a Python session as a dataset: kept by their content, so the same arrays are the same dataset.

The name of such a dataset is `arrays:NAME@` and sixteen hex digits of that content. Images keep their positions: the
index that a run chooses is the index into what was given.
"""

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from rambo.collection.readers.array_labels import Labels, Part, read_labels
from rambo.collection.readers.arrays import Arrays
from rambo.datasets import archive, arguments, prepared
from rambo.datasets.arguments import Pair
from rambo.datasets.prepared import LABELED, POOL, TEST, UNLABELED, VALIDATION, Prepared
from rambo.errors import DataError, shorten
from rambo.storage.files import RefusedError
from rambo.text import count

PREFIX = "arrays:"
RECIPE = 1  # part of every origin: raise it when the same arrays are read otherwise

_NAMED = re.compile(rf"{PREFIX}[a-z0-9-]{{1,40}}@(?P<digest>[0-9a-f]{{16}})")
_SOME = 20  # labels; fewer may well be one a class
_ROLES = {"validation": VALIDATION, "test": TEST}
_PARTS = ("images", "validation", "test")  # arguments, and what they are called in a split


def keep(
    images: Any,
    labels: Any,
    workspace: Path,
    *,
    known: Any = None,
    validation: Pair | None = None,
    test: Pair | None = None,
    classes: Sequence[str] | None = None,
    name: str = "images",
) -> tuple[str, Prepared]:
    """Return the name and the dataset of arrays, stored below `workspace`.

    Args:
        images: `N x H x W`, `N x H x W x C` or `N x C x H x W`, bytes or floats in [0, 1]; numpy or a tensor.
        labels: `N` whole numbers or texts; -1, None, NaN, an empty text or a mask where nobody knows.
        workspace: folder of all runs.
        known: `N` bool, False where the label shall count as unknown; True only where there is one.
        validation: images and labels of S_val; drawn from the labels where not given.
        test: images and labels of the test set; drawn where not given and every label is known.
        classes: names of the classes 0, 1, ...
        name: what to call them.

    Raises:
        DataError: an argument is of the wrong form; the error names it.
        StoreError: the workspace cannot be written.
    """
    pixels, columns = [], []
    for argument, value in zip(_PARTS, ((images, labels), validation, test), strict=True):
        if value is None:
            continue
        some = arguments.pair_of(argument, value)
        pixels.append(arguments.pixels_of(argument, some[0]))
        whose = "labels" if argument == "images" else argument
        columns.append(arguments.column_of(whose, some[1], len(pixels[-1])))
    mask = None if known is None else arguments.mask_of(known, len(pixels[0]))
    if mask is not None:
        columns[0] = arguments.hide(columns[0], ~mask)
    arguments.check_one_kind(_names(validation, test), columns)
    names = [part for part, value in zip(_PARTS[1:], (validation, test), strict=True) if value]
    for part, more in zip(names, pixels[1:], strict=True):
        if more.shape[1:] != pixels[0].shape[1:]:
            sizes = [" x ".join(map(str, shape[1:])) for shape in (more.shape, pixels[0].shape)]
            raise DataError(
                f"has images of {sizes[0]} beside those of {sizes[1]}",
                field=part,
                hint="make all images one size",
            )
    columns_with_sizes = [(column, len(part)) for column, part in zip(columns, pixels, strict=True)]
    read = _read(
        ["labels", *names],
        columns_with_sizes,
        None if classes is None else tuple(map(str, classes)),
    )
    unlabeled = read.labels == UNLABELED
    if unlabeled.all():
        raise DataError(
            "every label is unknown", field="labels", hint="label a few images of every class first"
        )
    if mask is not None:
        arguments.check_mask(mask, unlabeled[: len(pixels[0])])
    if names == ["validation"] and not unlabeled.any():
        raise DataError(
            "none is given beside validation, and every label is known, so nothing is left to judge a choice by",
            field="test",
            hint="give test=(images, labels), or leave validation out and both are drawn",
        )
    roles = [""] * sum(map(len, pixels))
    if names:
        parts = ["train", *names]
        roles = [role for role, part in zip(parts, pixels, strict=True) for _ in range(len(part))]
    arrays = Arrays(
        tuple(pixels), read.labels, read.classes, read.declared, tuple(roles), None, None, ()
    )
    digest = _digest(arrays)
    own = f"{PREFIX}{_slug(name)}@{digest}"
    folder = prepared.find(workspace, f"arrays/{RECIPE}/{digest}")
    if folder is not None:
        return own, prepared.open_prepared(folder)
    try:
        data = archive.keep(
            arrays,
            workspace,
            name=shorten(name, 80),
            source="arrays given in Python",
            licence="your own images",
            origin=f"arrays/{RECIPE}/{digest}",
        )
    except RefusedError as error:
        about_labels = any(word in error.problem for word in ("label", "class"))
        field = "labels" if about_labels else "images"
        raise arguments.refusal(field, error) from None
    return own, data


def _read(whose: Sequence[str], parts: Sequence[Part], classes: tuple[str, ...] | None) -> Labels:
    """Return the labels of all parts, or an error that names the argument whose labels are refused."""
    try:
        return read_labels(parts, classes)
    except RefusedError as error:
        joint = error
    for argument, part in zip(whose, parts, strict=True):
        try:
            read_labels([part], classes)
        except RefusedError as error:
            raise arguments.refusal(argument, error) from None
    # Each is right alone: the one at fault is the first that does not fit those before it.
    for place, argument in enumerate(whose[1:], start=2):
        try:
            read_labels(parts[:place], classes)
        except RefusedError as error:
            together = f"taken together with those before, {error.problem}"
            raise arguments.refusal(argument, RefusedError(together, error.hint)) from None
    raise arguments.refusal("labels", joint)


def origin_of(name: str) -> str | None:
    """Return the key by which `prepared.find` knows the arrays of this name, or None: it is no such name."""
    named = _NAMED.fullmatch(name)
    return named and f"arrays/{RECIPE}/{named['digest']}"


def raise_absent(name: str) -> NoReturn:
    """Refuse the name of arrays that are not in the workspace.

    Raises:
        DataError: always.
    """
    raise DataError(
        "these arrays are not in this workspace",
        field="dataset",
        value=name,
        hint="give them to rambo.choose again",
    )


def _contradictions(data: Prepared, contents: Mapping[int, bytes]) -> list[tuple[int, int]]:
    """Return pairs of equal images with different labels, the first one of each picture beside every other."""
    labels = np.asarray(data.labels)
    first: dict[bytes, int] = {}
    pairs = []
    for index in np.flatnonzero(labels != UNLABELED).tolist():
        other = first.setdefault(contents[index], index)
        if labels[other] != labels[index]:
            pairs.append((other, index))
    return pairs


def doubts(data: Prepared, parts: Sequence[str] = ()) -> list[str]:
    """Return what is odd about arrays and their labels, a sentence each with the argument's name in front.

    Args:
        data: the arrays as a dataset.
        parts: which of `validation` and `test` were given beside the images.
    """
    sentences = []
    labels, own = np.asarray(data.labels), np.isin(data.roles, (POOL, LABELED))
    indices = np.flatnonzero((labels != UNLABELED) | bool(parts)).tolist()
    contents = {index: _content(data, index) for index in indices}
    if pairs := _contradictions(data, contents):
        first, second = pairs[0]
        sentences.append(
            f"labels: images {first} and {second} are the same picture and have different labels "
            f"({len(pairs):,} such images); correct them, or leave one out"
        )
    usual = labels[own & (labels != UNLABELED)]
    if len(usual) > _SOME and len(np.unique(usual)) == len(usual):
        sentences.append(
            f"labels: all {len(usual):,} that are known differ, so no class has two images; give classes, not numbers "
            "of images"
        )
    pictures = {contents[index] for index in np.flatnonzero(own).tolist()} if parts else set()
    for part in parts:
        places = np.flatnonzero(data.roles == _ROLES[part])
        if double := sum(contents[index] in pictures for index in places.tolist()):
            sentences.append(
                f"{part}: {count(double, 'picture')} of its {len(places):,} stand among images too, so it judges what "
                "was learned by heart; leave them out of one"
            )
        if strange := sorted(set(labels[places].tolist()) - set(usual.tolist()) - {UNLABELED}):
            sentences.append(
                f"{part}: class {data.classes[strange[0]]} stands in no label beside images ({len(strange)} such "
                "classes); label one of each"
            )
    return sentences


def _content(data: Prepared, index: int) -> bytes:
    """Return what tells pictures apart."""
    pixels = np.ascontiguousarray(data.images[index])
    return hashlib.blake2b(pixels.data, digest_size=16).digest()


def _names(validation: Pair | None, test: Pair | None) -> list[str]:
    """Return the arguments that bring labels, in order."""
    return ["labels"] + [
        n for n, v in (("validation", validation), ("test", test)) if v is not None
    ]


def _digest(arrays: Arrays) -> str:
    """Return sixteen hex digits of all that was given."""
    sha = hashlib.sha256()
    for part in (*arrays.images, arrays.labels):
        plain = np.ascontiguousarray(part)
        sha.update(f"{plain.dtype.str}{plain.shape}".encode())
        sha.update(plain.reshape(-1).data)
    sha.update(repr((arrays.classes, arrays.roles)).encode("utf-8", "backslashreplace"))
    return sha.hexdigest()[:16]


def _slug(name: str) -> str:
    """Return a name as it may stand in a dataset's name."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-") or "images"
