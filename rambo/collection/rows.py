"""Rows of the database as they are written and read: each sealed, so that a flipped bit is an error."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from rambo.storage import database
from rambo.storage.files import RefusedError

COLUMNS = {
    "versions": ("version", "change", "kind", "note", "time", "undoes"),
    "images": (
        *("image", "id", "width", "height", "mode", "grey", "brightness", "contrast"),
        *("pixels_crc", "packed_at", "packed_bytes", "change"),
    ),
    "files": ("file", "source", "name", "path", "stamp", "image", "reason", "change"),
    "labels": (
        *("entry", "image", "label", "origin", "answer", "time", "run", "annotator"),
        *("standing", "change"),
    ),
    "traits": ("entry", "image", "trait", "value", "change"),
    "remarks": ("entry", "topic", "text", "change"),
}
_DAMAGED = (
    "the collection's record is damaged",
    "restore its folder from a copy, or import again",
)


def damage() -> RefusedError:
    """Return what to raise where the record is not the one that was written."""
    return RefusedError(*_DAMAGED)


def insert(db: sqlite3.Connection, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add rows, each in the order of `COLUMNS`, with their seals."""
    columns = COLUMNS[table]
    marks = ", ".join("?" * (len(columns) + 1))
    db.executemany(
        f"INSERT INTO {table} ({', '.join(columns)}, crc) VALUES ({marks})",
        [(*row, database.seal("", *row)) for row in rows],
    )


def select(
    db: sqlite3.Connection, table: str, where: str = "", *values: Any
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table in the order of their keys, each compared with its seal.

    Raises:
        RefusedError: a row is not the one that was written.
    """
    columns = COLUMNS[table]
    query = f"SELECT {', '.join(columns)}, crc FROM {table} {where} ORDER BY {columns[0]}"
    for *row, crc in db.execute(query, values):
        if database.seal("", *row) != crc:
            raise damage()
        yield tuple(row)


def fact(db: sqlite3.Connection, name: str) -> Any:
    """Return a fact, or None where it is not known."""
    row = db.execute("SELECT value, crc FROM facts WHERE name = ?", (name,)).fetchone()
    if row is None:
        return None
    if database.seal(row[0], name) != row[1]:
        raise damage()
    return json.loads(row[0])


def put_fact(db: sqlite3.Connection, name: str, value: Any) -> None:
    """Set a fact."""
    text = database.encode(value, name)
    db.execute(
        "INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (name, text, database.seal(text, name))
    )
