"""Rows of the database as they are written and read: each sealed, so that a flipped bit is an error."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
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
FIRST_FACTS = {"name", "frame", "validation_share"}  # which every collection begins with
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
    """Return a fact, or None where it is not known.

    Raises:
        RefusedError: one is damaged: with its name damaged, it would be the one that is asked for.
        sqlite3.DatabaseError: the table is damaged.
    """
    database.check_structure(db, "facts")
    rows = db.execute("SELECT name, value, crc FROM facts").fetchall()
    if any(database.seal(value, name) != crc for name, value, crc in rows):
        raise damage()
    facts = {name: value for name, value, _ in rows}
    if not facts.keys() >= FIRST_FACTS:
        raise damage()
    return json.loads(facts[name]) if name in facts else None


def sources(db: sqlite3.Connection) -> dict[int, tuple[str, str]]:
    """Return kind and place of each source by its number.

    Raises:
        RefusedError: one is damaged.
    """
    rows = db.execute("SELECT source, kind, place FROM sources NOT INDEXED ORDER BY source")
    return {number: (kind, place) for number, kind, place in _as_sealed(db, "sources", rows)}


def smalls(db: sqlite3.Connection, change: int | None = None) -> dict[int, bytes]:
    """Return the small grey picture of each image by its number, of those that came up to a change.

    Raises:
        RefusedError: one is damaged or missing.
    """
    numbers = [row[0] for row in select(db, "images") if change is None or row[-1] <= change]
    rows = db.execute("SELECT image, small FROM smalls ORDER BY image")
    pictures = dict(_as_sealed(db, "smalls", rows))
    if not pictures.keys() >= set(numbers):
        raise damage()
    return {number: pictures[number] for number in numbers}


def add_seal(db: sqlite3.Connection, table: str, number: int, *values: Any) -> None:
    """Seal a row of a table that has no column for it."""
    crc = database.seal("", number, *values)
    db.execute("INSERT OR REPLACE INTO seals VALUES (?, ?, ?)", (table, number, crc))


def _as_sealed(
    db: sqlite3.Connection, table: str, rows: Iterable[tuple[Any, ...]]
) -> Iterator[tuple[Any, ...]]:
    """Yield rows, each compared with its seal; those of older versions have none."""
    has_seals = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'seals'").fetchone()
    query = "SELECT number, crc FROM seals WHERE part = ?"
    seals = dict(db.execute(query, (table,))) if has_seals else {}
    for row in rows:
        if seals.get(row[0], crc := database.seal("", *row)) != crc:
            raise damage()
        yield row


def put_fact(db: sqlite3.Connection, name: str, value: Any) -> None:
    """Set a fact."""
    text = database.encode(value, name)
    db.execute(
        "INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (name, text, database.seal(text, name))
    )
