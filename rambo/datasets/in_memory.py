"""Arrays and tensors of a Python session as a dataset: kept by their content, so the same arrays are the same dataset.

The name of such a dataset is `arrays:NAME@` and sixteen hex digits of that content. Images keep their positions: the
index that a run chooses is the index into what was given.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from rambo.collection.readers.array_labels import read_labels
from rambo.collection.readers.arrays import Arrays, as_pixels
from rambo.datasets import archive, prepared
from rambo.datasets.prepared import UNLABELED, Prepared
from rambo.errors import DataError, RamboError, shorten
from rambo.storage.files import RefusedError
from rambo.text import count

PREFIX = "arrays:"
RECIPE = 1  # part of every origin: raise it when the same arrays are read otherwise
Pair = tuple[Any, Any]  # images and their labels

_NAMED = re.compile(rf"{PREFIX}[a-z0-9-]{{1,40}}@(?P<digest>[0-9a-f]{{16}})")
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
        some = _pair(argument, value)
        pixels.append(pixels_of(argument, some[0]))
        whose = "labels" if argument == "images" else argument
        columns.append(_column(whose, some[1], len(pixels[-1])))
    for argument, column in zip(_named(validation, test), columns, strict=True):
        _check_signs(argument, column)
    columns[0] = _masked(columns[0], known, len(pixels[0]))
    names = [part for part, value in zip(_PARTS[1:], (validation, test), strict=True) if value]
    for part, more in zip(names, pixels[1:], strict=True):
        if more.shape[1:] != pixels[0].shape[1:]:
            sizes = [" x ".join(map(str, shape[1:])) for shape in (more.shape, pixels[0].shape)]
            raise DataError(
                f"has images of {sizes[0]} beside those of {sizes[1]}",
                field=part,
                hint="make all images one size",
            )
    try:
        read = read_labels(
            [(column, len(part)) for column, part in zip(columns, pixels, strict=True)],
            None if classes is None else tuple(map(str, classes)),
        )
    except RefusedError as error:
        raise _refused("labels", error) from None
    unlabeled = read.labels == UNLABELED
    if unlabeled.all():
        raise DataError(
            "every label is unknown", field="labels", hint="label a few images of every class first"
        )
    if known is not None:
        _check_flags(as_array(known), unlabeled[: len(pixels[0])])
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
        raise _refused(field, error) from None
    return own, data


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


def contradictions(data: Prepared) -> list[tuple[int, int]]:
    """Return pairs of equal images with different labels, the first one of each picture beside every other."""
    labels = np.asarray(data.labels)
    first: dict[bytes, int] = {}
    pairs = []
    for index in np.flatnonzero(labels != UNLABELED).tolist():
        content = hashlib.blake2b(np.ascontiguousarray(data.images[index]).data, digest_size=16)
        other = first.setdefault(content.digest(), index)
        if labels[other] != labels[index]:
            pairs.append((other, index))
    return pairs


def _named(validation: Pair | None, test: Pair | None) -> list[str]:
    """Return the arguments that bring labels, in order."""
    return ["labels"] + [
        n for n, v in (("validation", validation), ("test", test)) if v is not None
    ]


def _check_signs(argument: str, column: np.ndarray) -> None:
    """Refuse negative numbers but -1 as labels, and validation or test images without any label.

    Raises:
        DataError: there are some.
    """
    if column.ndim > 1 or column.dtype.kind not in "if":
        return
    if len(column) and (least := column.min()) < UNLABELED:
        raise DataError(
            f"run down to {least:g}",
            field=argument,
            hint="count classes from 0, and use -1 where nobody knows",
        )
    if argument != "labels" and len(column) and (column == UNLABELED).all():
        raise DataError(
            "every label is unknown",
            field=argument,
            hint=f"give {argument} images whose labels are known, or leave {argument} out",
        )


def as_array(values: Any) -> np.ndarray:
    """Return a tensor, a list, a pandas column or an array as an array; masks stay."""
    if isinstance(values, np.ndarray):
        return values
    if hasattr(values, "detach"):  # a tensor, of which torch need not be imported to know
        return np.asarray(values.detach().cpu().numpy())
    return np.asarray(values.to_numpy() if hasattr(values, "to_numpy") else values)


def _pair(argument: str, value: Any) -> Pair:
    """Return images and labels, or refuse what is no pair."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise DataError(
            f"{type(value).__name__} is no pair",
            field=argument,
            hint=f"give {argument}=(images, labels)",
        )
    return value[0], value[1]


def pixels_of(argument: str, values: Any) -> np.ndarray:
    """Return images as `N x H x W` or `N x H x W x 3` uint8.

    Raises:
        DataError: they are none; the error names the argument.
    """
    try:
        images = as_array(values)
        if images.size == 0 or images.ndim == 0:
            raise TypeError(values)
    except (ValueError, TypeError) as error:
        raise DataError(
            "no array of images of one size, or one without any",
            field=argument,
            hint="give N x H x W or N x H x W x 3, such as numpy.stack(images), or the name of a dataset",
        ) from error
    try:
        return as_pixels(images)[0]
    except RefusedError as error:
        raise _refused(argument, error) from None


def _column(argument: str, values: Any, count: int) -> np.ndarray:
    """Return labels as whole numbers or texts, unknown ones as -1 or the empty text."""
    if values is None:
        return np.full(count, UNLABELED, np.int64)
    try:
        flat = isinstance(values, list | tuple) and not any(
            isinstance(value, list | tuple | np.ndarray) for value in values
        )
        array = np.array(values, dtype=object) if flat else as_array(values)  # a 1 stays no text
    except (ValueError, TypeError) as error:
        raise DataError("no column of labels", field=argument, hint="give one an image") from error
    hidden = np.ma.getmaskarray(array) if isinstance(array, np.ma.MaskedArray) else None
    array = np.ma.getdata(array)
    if array.ndim == 0 or len(array) != count:
        have = 1 if array.ndim == 0 else len(array)
        raise DataError(
            f"{have:,} labels beside {count:,} images",
            field=argument,
            hint="give one an image, and -1 or None where nobody knows it",
        )
    if array.dtype.kind == "O":
        array = _plain(argument, array)
    if hidden is None:
        return array
    return _hide(array, np.asarray(hidden.reshape(len(array), -1).any(axis=1)))


def _plain(argument: str, array: np.ndarray) -> np.ndarray:
    """Return a column of Python objects as whole numbers or texts."""
    values = array.tolist()
    unknown = [value is None or value != value or str(value) == "<NA>" for value in values]
    kinds = {isinstance(v, str) for v, absent in zip(values, unknown, strict=True) if not absent}
    if len(kinds) > 1:
        raise DataError(
            "numbers and texts are mixed", field=argument, hint="use one or the other for all"
        )
    if kinds == {True}:
        texts = ["" if absent else v for v, absent in zip(values, unknown, strict=True)]
        return np.array(texts, dtype=str)
    try:
        numbers = [UNLABELED if absent else v for v, absent in zip(values, unknown, strict=True)]
        return np.asarray(numbers, dtype=np.float64)
    except (TypeError, ValueError) as error:
        kind = type(
            next(v for v, absent in zip(values, unknown, strict=True) if not absent)
        ).__name__
        raise DataError(
            f"holds {kind}", field=argument, hint="give whole numbers or texts, one an image"
        ) from error


def _masked(column: np.ndarray, flags: Any, count: int) -> np.ndarray:
    """Return labels with those that shall not be known hidden."""
    if flags is None:
        return column
    mask = as_array(flags)
    if mask.dtype.kind != "b" or mask.shape != (count,):
        raise DataError(
            f"{mask.dtype} of shape {mask.shape}",
            field="known",
            hint=f"give {count:,} of True and False, True where the label is known",
        )
    return _hide(column, ~mask)


def _check_flags(flags: np.ndarray, unlabeled: np.ndarray) -> None:
    """Refuse to call a label known that is missing.

    Raises:
        DataError: there is such an image.
    """
    if len(empty := np.flatnonzero(flags & unlabeled)):
        raise DataError(
            f"is True for {count(len(empty), 'image')} without a label, the first one image {empty[0]}",
            field="known",
            hint="give the label, or say False there",
        )


def _hide(column: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Return labels with some made unknown."""
    if column.ndim > 1:  # one-hot rows: a row of zeros is unknown
        return np.where(hidden[:, None], 0, column)
    if column.dtype.kind in "US":
        return np.where(hidden, "", column.astype(str))
    return np.where(
        hidden, UNLABELED, column.astype(np.int64 if column.dtype.kind != "f" else float)
    )


def _refused(argument: str, error: RefusedError) -> RamboError:
    """Return what a reader of files complains of, as it is said of an argument."""
    problem, hint = error.problem, error.hint
    start, _, rest = problem.partition(" ")
    if start == argument:
        problem = rest
    hint = (hint or "").removeprefix("save them as ").removeprefix("save ").strip()
    advice = (
        hint if hint.partition(" ")[0] in ("label", "use", "resize", "make") else f"give {hint}"
    )
    return DataError(problem, field=argument, hint=advice)


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
