"""Labels as arrays hold them: numbers, text, columns, one-hot rows, and the many signs for "not labeled"."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from rambo.collection.readers.items import class_name
from rambo.collection.readers.tables import is_unknown
from rambo.collection.snapshots import natural
from rambo.storage.files import RefusedError

Part = tuple[np.ndarray | None, int]  # the labels of a split, and how many images it has
_FILLS = {np.dtype("u1"): 255, np.dtype("u2"): 65535}
# What losses ignore, what statistics programs write, and what a missing number becomes as a whole one.
_NEGATIVE_FILLS = {-100, -99, -999, -9999, -(2**31), -(2**63)}
_ROOM = 100  # below a fill value by so much, all other labels say that it is none of them


@dataclasses.dataclass(frozen=True, eq=False)
class Labels:
    """Labels of all splits in one form.

    Attributes:
        labels: `N` int64 into `classes`, -1 where nobody knows.
        classes: the class names.
        declared: whether the file itself names them.
        remarks: what was done.
    """

    labels: np.ndarray
    classes: tuple[str, ...]
    declared: bool
    remarks: tuple[str, ...]


def read_labels(parts: Sequence[Part], names: tuple[str, ...] | None) -> Labels:
    """Return the labels of all splits.

    Args:
        parts: labels and number of images of each split; None for a split without labels.
        names: class names that the file declares, or None.

    Raises:
        RefusedError: they do not fit the images, or could mean several things.
    """
    remarks: list[str] = []
    columns = _settled([_column(array, count, remarks) for array, count in parts], names)
    kinds = {column.dtype.kind for column in columns if column is not None}
    if not kinds:
        total = sum(count for _, count in parts)
        return Labels(
            np.full(total, -1, np.int64),
            names or (),
            names is not None,
            ("no labels: all are unknown",),
        )
    if "U" in kinds:
        values, valid = _texts(columns, parts)
        # A word such as `none`, where the file declares a class of that name, is the class.
        valid |= np.isin(values, [class_name(name) for name in names or ()])
    else:
        values, valid = _numbers(columns, parts, remarks)
        if names is None:
            _check_signs(values)
    unknown = int((~valid).sum())
    if unknown:
        remarks.append(f"{unknown:,} of {len(valid):,} labels are unknown and are no class")
    labels = np.full(len(valid), -1, dtype=np.int64)
    if names is None:
        distinct = np.unique(values[valid])
        if "U" in kinds:
            distinct = np.array(sorted(distinct.tolist(), key=natural), dtype=values.dtype)
        index = {value: place for place, value in enumerate(distinct.tolist())}
        labels[valid] = [index[value] for value in values[valid].tolist()]
        return Labels(
            labels, tuple(str(value) for value in distinct.tolist()), False, tuple(remarks)
        )
    labels[valid] = _into(values[valid], names, remarks)
    return Labels(labels, tuple(class_name(name) for name in names), True, tuple(remarks))


def _column(array: np.ndarray | None, count: int, remarks: list[str]) -> np.ndarray | None:
    """Return labels as one value an image, of kind `U` (text), `b`, `f` or `i`."""
    if array is None:
        return None
    if array.dtype.kind not in "iufbUS":
        raise RefusedError(
            f"labels are {array.dtype}",
            "save one whole number or text an image: save images as uint8 and labels "
            "as whole numbers",
        )
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    elif array.shape == (1, count) and count > 1:  # a row, as MATLAB writes it
        array = array[0]
    elif array.ndim == 2 and len(array) == count and array.shape[1] and array.dtype.kind in "iufb":
        array = _from_one_hot(array)
        remarks.append("one-hot rows were read as classes")
    if array.shape != (count,):
        hint = "save one whole number an image"
        if array.ndim == 1 and 0 < len(array) < count:
            missing = f"(0, {count - len(array)})"
            hint += f"; if the others have none, numpy.pad(labels, {missing}, constant_values=-1)"
        raise RefusedError(f"labels of shape {array.shape} beside {count} images", hint)
    if array.dtype.kind == "U":
        return array
    if array.dtype.kind == "S":
        return np.array([value.decode("utf-8", "replace") for value in array.tolist()])
    if array.dtype.kind == "b":
        return array
    if array.dtype.kind == "f":
        finite = array[~np.isnan(array)]
        if not np.array_equal(finite, np.round(finite)):
            raise RefusedError(
                f"labels are {array.dtype} with fractions",
                "save the class of each image as a whole number, and -1 where nobody knows it",
            )
        return array
    if array.dtype.kind == "u" and array.size and int(array.max()) >= 2**63:
        raise RefusedError(f"a label is {array.max()}", "use numbers below 2**63")
    fill = _FILLS.get(array.dtype)
    if fill is not None:
        others = array[array != fill]
        if len(others) < len(array) and int(others.max(initial=0)) < fill - _ROOM:
            remarks.append(f"{fill} stands for an unknown label")
            return np.where(array == fill, -1, array.astype(np.int64))
    return array.astype(np.int64)


def _from_one_hot(rows: np.ndarray) -> np.ndarray:
    """Return the class of each row; a row of zeros is unknown, and one that is nothing but a sign for it."""
    rows = np.where(_blank(rows)[:, None], 0, rows)
    if not np.isin(rows, (0, 1)).all():
        raise RefusedError(
            f"labels of shape {rows.shape} are no one-hot rows of 0 and 1",
            "save the class of each image as a whole number, and -1 where nobody knows it",
        )
    if (rows.sum(axis=1) > 1).any():
        raise RefusedError(
            f"labels of shape {rows.shape} give some images several classes",
            "each image may have one",
        )
    return np.where(rows.any(axis=1), rows.argmax(axis=1), -1).astype(np.int64)


def _blank(rows: np.ndarray) -> np.ndarray:
    """Return which rows hold one sign for an unknown label throughout: NaN, -1, or a fill value."""
    if rows.dtype.kind == "f":
        rows = np.where(np.isnan(rows), -1, rows)
    signs = [-1, *_NEGATIVE_FILLS, *filter(None, [_FILLS.get(rows.dtype)])]
    return np.asarray(np.isin(rows[:, 0], signs) & (rows == rows[:, :1]).all(axis=1))


def _settled(
    columns: list[np.ndarray | None], names: tuple[str, ...] | None
) -> list[np.ndarray | None]:
    """Return columns with true and false as 1 and 0 beside numbers or two other names, elsewhere as words."""
    kinds = {column.dtype.kind for column in columns if column is not None}
    other_names = names is not None and len(names) == 2 and not {*names} & {"True", "False"}
    signs = (0, 1) if kinds & {"i", "f"} or (kinds == {"b"} and other_names) else ("False", "True")
    return [
        np.where(column, signs[1], signs[0])
        if column is not None and column.dtype.kind == "b"
        else column
        for column in columns
    ]


def _texts(
    columns: Sequence[np.ndarray | None], parts: Sequence[Part]
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels as texts, and which are known."""
    texts: list[str] = []
    for column, (_, count) in zip(columns, parts, strict=True):
        values = [""] * count if column is None else [str(value) for value in column.tolist()]
        texts += [class_name(value) for value in values]
    valid = np.array([not is_unknown(text) for text in texts], dtype=bool)
    return np.array(texts, dtype=str), valid


def _numbers(
    columns: Sequence[np.ndarray | None], parts: Sequence[Part], remarks: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels as int64, and which are known: -1 and NaN are not."""
    filled = []
    for column, (_, count) in zip(columns, parts, strict=True):
        if column is None:
            filled.append(np.full(count, -1, dtype=np.int64))
        elif column.dtype.kind == "f":
            if np.isinf(column).any() or np.nanmax(np.abs(column), initial=0) > 2**53:
                raise RefusedError(
                    "a label is too large or not finite",
                    "save numpy.where(numpy.abs(labels) <= 2**53, labels, -1) if nobody knows it",
                )
            filled.append(np.where(np.isnan(column), -1, column).astype(np.int64))
            remarks.append("whole floats were read as whole numbers")
        else:
            filled.append(column)
    values = np.concatenate(filled)
    below = np.unique(values[values < 0])
    if len(below) == 1 and int(below[0]) in _NEGATIVE_FILLS:
        remarks.append(f"{below[0]} stands for an unknown label")
        values = np.where(values < 0, -1, values)
    return values, values != -1


def _check_signs(values: np.ndarray) -> None:
    """Refuse negative numbers that may be classes: which of them means that nobody knows?"""
    below = np.unique(values[values < 0])
    if len(below) > 1 and below[-1] == -1:
        raise RefusedError(
            f"labels {below[-2]} and -1 are negative, and one of them may mean unknown",
            "save numpy.where(labels < 0, -1, labels) if all of them do, or labels - labels.min()",
        )
    if len(below) == 1 and np.array_equal(np.unique(values), (-1, 1)):
        raise RefusedError(
            "labels are -1 and 1: is -1 a class, or a label that nobody knows?",
            "save (labels > 0).astype(int) if it is a class, or name the two in an array classes",
        )


def _into(values: np.ndarray, names: tuple[str, ...], remarks: list[str]) -> np.ndarray:
    """Return labels as places in the declared names."""
    if values.dtype.kind == "U":
        index = {class_name(name): place for place, name in enumerate(names)}
        strange = sorted(set(values.tolist()) - set(index))
        if strange:
            raise RefusedError(
                f"label {strange[0]} is not among the {len(names)} classes that are named",
                "add it to them",
            )
        return np.array([index[value] for value in values.tolist()], dtype=np.int64)
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if low >= 0 and high < len(names):
        return values
    if values.min(initial=1) >= 1 and high == len(names):
        remarks.append("labels count from 1")
        return values - 1
    raise RefusedError(
        f"labels run from {values.min()} to {high} but {len(names)} classes are named",
        f"save labels from 0 to {len(names) - 1}, or leave the names out",
    )
