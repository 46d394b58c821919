"""JSON as tables come in it: a list of records, one a line, or an object in one of the forms that people write."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rambo.collection.looks import SUFFIXES
from rambo.collection.readers.items import display, listing
from rambo.storage.files import RefusedError

# A row of a person's table: its columns are theirs.
Columns = dict[str, Any]


def whole(text: str) -> Any:
    """Return what a JSON text holds.

    Raises:
        RefusedError: it is not whole; says where.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        place = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise RefusedError(f"it is no whole JSON{place}", "export it again") from None


def of_list(value: Any) -> list[Columns]:
    """Return a list of records as it is.

    Raises:
        RefusedError: it is another one.
    """
    if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
        raise RefusedError(
            "it is JSON but no list of records", "export a list with one record an image"
        )
    return value


def one_object(text: str) -> Columns | None:
    """Return the object that a text is, or None: it is several, one a line, or not whole."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def of_object(
    value: Mapping[str, Any], names_image: Callable[[Sequence[str]], bool]
) -> list[Columns]:
    """Return the records of an object: file to class, file to record, class to files, or one list under any key.

    Raises:
        RefusedError: it is of no such form.
    """
    if value and all(_is_file(key) for key in value):
        return [
            {"file": file, **(own if isinstance(own, dict) else {"label": own})}
            for file, own in value.items()
        ]
    lists = {key: own for key, own in value.items() if isinstance(own, list) and own}
    if lists and len(lists) == len(value) and all(map(_is_file_list, lists.values())):
        return [{"file": file, "label": key} for key, own in lists.items() for file in own]
    if len(lists) == 1:
        (own,) = lists.values()
        if all(isinstance(record, dict) for record in own):
            return own
        if all(isinstance(pair, list) and len(pair) == 2 and _is_file(pair[0]) for pair in own):
            return [{"file": file, "label": label} for file, label in own]
    if names_image(list(value)):
        return [dict(value)]
    raise RefusedError(
        f"it is a JSON object with {listing([display(str(key))[:40] for key in value], 6) or 'nothing'}",
        'export a list of records, [{"file": "a.png", "label": "cat"}, ...]',
    )


def lines(text: str) -> list[Columns]:
    """Return one record a line.

    Raises:
        RefusedError: a line is no record; says which.
    """
    records = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            raise RefusedError(
                f"line {number} is no whole JSON record", "export it again"
            ) from None
        if not isinstance(record, dict):
            raise RefusedError(f"line {number} is no record with named fields", "export it again")
        records.append(record)
    return records


def _is_file(value: Any) -> bool:
    """Return whether a value is the name of an image file."""
    return isinstance(value, str) and value.lower().endswith(SUFFIXES)


def _is_file_list(value: list[Any]) -> bool:
    """Return whether a list holds names of image files only."""
    return all(map(_is_file, value))
