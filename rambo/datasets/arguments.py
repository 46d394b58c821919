"""Images and labels as they are given at a Python prompt, or an error that names the argument and the way out."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from rambo.collection.readers.arrays import as_pixels
from rambo.datasets.prepared import UNLABELED
from rambo.errors import DataError, RamboError, shorten
from rambo.storage.files import RefusedError
from rambo.text import count

Pair = tuple[Any, Any]  # images and their labels

_FORM = "give N x H x W or N x H x W x 3, such as numpy.stack(images)"
_NOBODY = {"None", "nan", "NaT", "<NA>"}  # what Python, numpy and pandas write where nothing is
_UNREADABLE = (ValueError, TypeError, NotImplementedError, RuntimeError)  # of numpy and torch
_VERBS = ("label", "use", "resize", "make", "add", "each")  # a hint that begins so is a request


def as_array(values: Any) -> np.ndarray:
    """Return a tensor, a list, a pandas column or an array as an array; masks stay."""
    if isinstance(values, np.ndarray):
        return values
    if hasattr(values, "detach"):  # a tensor, of which torch need not be imported to know
        tensor = values.detach().cpu()
        if getattr(tensor, "is_sparse", False):
            tensor = tensor.to_dense()
        if str(tensor.dtype) == "torch.bfloat16":  # numpy has none
            tensor = tensor.float()
        return np.asarray(tensor.numpy())
    return np.asarray(values.to_numpy() if hasattr(values, "to_numpy") else values)


def pair_of(argument: str, value: Any) -> Pair:
    """Return images and labels.

    Raises:
        DataError: this is no pair.
    """
    if not isinstance(value, tuple | list) or len(value) != 2:
        what = type(value).__name__
        what += f" of {len(value)}" if isinstance(value, tuple | list) else ""
        raise DataError(
            f"{what} is no pair", field=argument, hint=f"give {argument}=(images, labels)"
        )
    return value[0], value[1]


def pixels_of(argument: str, values: Any) -> np.ndarray:
    """Return images as `N x H x W` or `N x H x W x 3` uint8.

    Raises:
        DataError: they are none; the error names the argument.
    """
    try:
        images = _stacked(as_array(values))
        if images.size == 0 or images.ndim == 0:
            raise TypeError(values)
    except _UNREADABLE as error:
        empty = np.size(values) == 0 if _numeric(values) else values in ([], (), "")
        what = "is empty" if empty else f"{_article(values)} is no array of images of one size"
        raise DataError(what, field=argument, hint=_way_in(argument, values)) from error
    if images.dtype.kind in "USO":
        raise DataError(
            f"hold {_content(images)} in place of pixels",
            field=argument,
            hint=_way_in(argument, values),
        )
    if images.ndim == 2 and min(images.shape) >= 8 and max(images.shape) <= 512:
        side = round(images.shape[1] ** 0.5)
        rows = f", or images.reshape(-1, {side}, {side})" if side**2 == images.shape[1] else ""
        raise DataError(
            f"are {images.dtype} {images.shape}: one image, or rows of numbers",
            field=argument,
            hint=f"give N x H x W, such as images[None] of one image{rows}",
        )
    try:
        return as_pixels(images)[0]
    except RefusedError as error:
        raise refusal(argument, error) from None


def column_of(argument: str, values: Any, count: int) -> np.ndarray:
    """Return labels as whole numbers, texts or one-hot rows, unknown ones as -1 or the empty text.

    Args:
        argument: what they were given as.
        values: the labels; None where nobody knows any.
        count: how many images there are.

    Raises:
        DataError: they are no column, or not one an image.
    """
    if values is None and argument == "labels":
        return np.full(count, UNLABELED, np.int64)
    if isinstance(values, str | bytes | dict | set | frozenset) or not hasattr(values, "__len__"):
        raise DataError(
            f"{_article(values)} is no column of labels",
            field=argument,
            hint="give one an image in their order, and -1 or None where nobody knows it",
        )
    try:
        flat = isinstance(values, list | tuple) and not any(
            isinstance(value, list | tuple | np.ndarray) for value in values
        )
        array = np.array(values, dtype=object) if flat else as_array(values)  # a 1 stays no text
    except _UNREADABLE as error:
        raise DataError("no column of labels", field=argument, hint="give one an image") from error
    hidden = np.ma.getmaskarray(array) if isinstance(array, np.ma.MaskedArray) else None
    array = np.ma.getdata(array)
    if array.ndim == 0 or len(array) != count:
        have = 1 if array.ndim == 0 else len(array)
        shape = f" of shape {array.shape}" if array.ndim > 1 else ""
        raise DataError(
            f"{have:,} label{'s' * (have != 1)}{shape} beside {count:,} images",
            field=argument,
            hint="give one an image, and -1 or None where nobody knows it",
        )
    if array.dtype.kind == "O":
        array = _plain(argument, array)
    if hidden is not None:
        array = hide(array, np.asarray(hidden.reshape(len(array), -1).any(axis=1)))
    _check_signs(argument, array)
    return array


def check_one_kind(arguments: Iterable[str], columns: Iterable[np.ndarray]) -> None:
    """Refuse texts in one argument beside numbers in another: they would be different classes.

    Raises:
        DataError: there are both.
    """
    kinds = {
        argument: column.dtype.kind in "US"
        for argument, column in zip(arguments, columns, strict=True)
        if not _all_unknown(column)
    }
    if len(set(kinds.values())) > 1:
        first, other = next(iter(kinds)), next(n for n, k in kinds.items() if k != kinds["labels"])
        raise DataError(
            f"are {'texts' if kinds[other] else 'numbers'} beside {first} that are not",
            field=other,
            hint="use one or the other for all",
        )


def mask_of(flags: Any, count: int) -> np.ndarray:
    """Return what says which labels are known.

    Raises:
        DataError: it is no `count` of True and False.
    """
    hint = f"give {count:,} of True and False, True where the label is known"
    try:
        mask = as_array(flags)
    except _UNREADABLE as error:
        raise DataError(
            f"{_article(flags)} is no column of True and False", field="known", hint=hint
        ) from error
    if mask.dtype.kind != "b" or mask.shape != (count,):
        if mask.shape == (count,) and np.isin(mask, (0, 1)).all():
            hint += ", such as numpy.array(known, dtype=bool)"
        elif mask.dtype.kind in "iu" and mask.ndim == 1:
            hint += ", such as numpy.isin(numpy.arange(N), known)"
        raise DataError(f"{mask.dtype} of shape {mask.shape}", field="known", hint=hint)
    return mask


def check_mask(mask: np.ndarray, unlabeled: np.ndarray) -> None:
    """Refuse to call a label known that is missing.

    Raises:
        DataError: there is such an image.
    """
    if len(empty := np.flatnonzero(mask & unlabeled)):
        raise DataError(
            f"is True for {count(len(empty), 'image')} without a label, the first one image {empty[0]}",
            field="known",
            hint="give the label, or say False there",
        )


def hide(column: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Return labels with some made unknown."""
    if column.ndim > 1:  # one-hot rows: a row of zeros is unknown
        return np.where(hidden[:, None], 0, column)
    if column.dtype.kind in "US":
        return np.where(hidden, "", column.astype(str))
    return np.where(
        hidden, UNLABELED, column.astype(np.int64 if column.dtype.kind != "f" else float)
    )


def refusal(argument: str, error: RefusedError) -> RamboError:
    """Return what a reader of files complains of, as it is said of an argument."""
    problem, hint = error.problem, error.hint or ""
    start, _, rest = problem.partition(" ")
    if start == argument:
        problem = rest
    for start in ("save them as ", "save "):
        hint = hint.removeprefix(start)
    hint = hint.partition(": save")[0].strip()
    return DataError(
        problem,
        field=argument,
        hint=hint if hint.partition(" ")[0] in _VERBS else f"give {hint}",
    )


def _stacked(images: np.ndarray) -> np.ndarray:
    """Return a column of images of one size, as pandas has them, as one array; anything else as it is."""
    if images.dtype.kind != "O" or images.size != len(images):
        return images
    try:
        return np.stack([as_array(image) for image in images.reshape(-1)])
    except _UNREADABLE:
        return images  # what it holds in place of pixels is told by its content


def _plain(argument: str, array: np.ndarray) -> np.ndarray:
    """Return a column of Python objects as whole numbers or texts."""
    values = array.tolist()
    unknown = [not isinstance(value, str) and str(value) in _NOBODY for value in values]
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


def _check_signs(argument: str, column: np.ndarray) -> None:
    """Refuse negative numbers but -1 as labels, and validation or test images without any label.

    Raises:
        DataError: there are some.
    """
    if argument != "labels" and len(column) and _all_unknown(column):
        raise DataError(
            "every label is unknown",
            field=argument,
            hint=f"give {argument} images whose labels are known, or leave {argument} out",
        )
    if column.ndim > 1 or column.dtype.kind not in "if":
        return
    if len(column) and (least := column.min()) < UNLABELED:
        raise DataError(
            f"run down to {least:g}",
            field=argument,
            hint="count classes from 0, and use -1 where nobody knows",
        )


def _all_unknown(column: np.ndarray) -> bool:
    """Return whether no label of a column is known."""
    # One-hot rows; NaN is not itself.
    if column.ndim > 1:
        return bool((np.isin(column, (0, UNLABELED)) | (column != column)).all())
    if column.dtype.kind in "US":
        return not (column.astype(str) != "").any()
    return column.dtype.kind in "if" and bool(((column == UNLABELED) | np.isnan(column)).all())


def _article(values: Any) -> str:
    """Return what kind of thing this is, for a sentence."""
    if isinstance(values, str | bytes):
        return shorten(repr(values), 40)
    if values is None:
        return "None"
    kind = type(values).__name__
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"


def _content(images: np.ndarray) -> str:
    """Return what an array of no numbers holds."""
    if images.dtype.kind in "US":
        return "texts"
    first = images.flat[0]
    alike = all(type(value) is type(first) for value in images.flat[:100])
    if alike and isinstance(first, np.ndarray):
        return "images of several sizes"
    return f"{type(first).__name__} objects" if alike else "several kinds of objects"


def _way_in(argument: str, values: Any) -> str:
    """Return how images that lie in something else become an array."""
    if hasattr(values, "__getitem__") and hasattr(values, "__len__") and not _numeric(values):
        first = next(iter(values), None) if isinstance(values, list | tuple) else None
        if isinstance(first, str) or hasattr(first, "__fspath__"):
            return "give the folder they lie in, or the opened images, numpy.stack(images)"
        if not isinstance(values, list | tuple | dict | str | bytes):
            return "give numpy.stack([image for image, _ in dataset]) and the labels beside it"
    return f"{_FORM}, or the name of a dataset" if argument == "images" else _FORM


def _numeric(values: Any) -> bool:
    """Return whether this is an array or a tensor."""
    return hasattr(values, "dtype") or hasattr(values, "dtypes")
