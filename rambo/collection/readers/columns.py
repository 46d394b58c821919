"""What the cells of a table mean: file names as other systems write them, labels that are numbers, lists or one-hot."""

import re
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

_ONES, _ZEROS = {"1", "1.0", "true"}, {"", "0", "0.0", "false"}
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")  # between the words of ImageId
_TOGETHER = ("patient", "subject", "video", "scene", "sequence", "site", "slide", "case")
_WHOLE = re.compile(r"(-?\d+)\.0+")


def plain(name: str) -> str:
    """Return the name of a column or an array in small letters, its words joined by an underscore."""
    return re.sub(r"[\s\-]+", "_", _HUMP.sub("_", name.strip())).lower()


def group_hint(unused: Sequence[str]) -> str:
    """Return how to keep together what a column that is not used says belongs together, or an empty text."""
    names = [name for name in unused if plain(name).partition("_")[0] in _TOGETHER]
    return f" (--group-column {names[0]} keeps what belongs together)" if names else ""


def text_of(value: Any) -> str:
    """Return a field as text; whole floats, as tables like to store them, without their zero."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def file_of(value: Any) -> str:
    """Return the file that a cell names; of an address its path, without what was asked for."""
    text = text_of(value)
    if "://" in text[:12]:
        return urllib.parse.unquote(urllib.parse.urlsplit(text).path)
    return text


def label_of(value: Any) -> str | None:
    """Return the class that a cell names, empty for none; None where it names several, or none that is plain."""
    if isinstance(value, Mapping):
        value = value.get("choices", value.get("name", [{}]))
    if isinstance(value, list):
        if len(value) > 1:
            return None
        value = value[0] if value else ""
    return None if isinstance(value, Mapping | list) else text_of(value)


def one_hot(records: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[str]:
    """Return the columns that hold one class each: 0 or 1, and never two of them 1 in one row; else none."""
    marks = [
        column
        for column in columns
        if all(text_of(record.get(column)).lower() in _ONES | _ZEROS for record in records)
    ]
    sums = [sum(is_one(record, column) for column in marks) for record in records]
    return marks if len(marks) > 1 and max(sums, default=0) == 1 else []


def is_one(record: Mapping[str, Any], column: str) -> bool:
    """Return whether a one-hot column holds a 1."""
    return text_of(record.get(column)).lower() in _ONES


def whole_numbers(labels: Sequence[str], unknown: Sequence[bool]) -> list[str]:
    """Return labels `3.0` as `3` where all that are known are so: a column with gaps is stored as floats."""
    values = [label for label, no in zip(labels, unknown, strict=True) if not no]
    if not values or not all(_WHOLE.fullmatch(label) for label in values):
        return list(labels)
    return [match[1] if (match := _WHOLE.fullmatch(label)) else label for label in labels]
