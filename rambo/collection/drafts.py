"""A change in the making: rows that count once their version is written, all at one moment."""

import os
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from rambo.collection import rows
from rambo.collection.looks import Look
from rambo.collection.records import LabelEntry, Numbers
from rambo.collection.schema import SEALS
from rambo.storage import database

_TABLES = ("images", "files", "labels", "traits", "remarks", "clusters")


class Draft:
    """Rows of one change; whoever holds it holds the collection's lock too.

    Attributes:
        change: the number in all rows of this change.
        resumed: whether rows of it were there already, from an import that ended half way.
    """

    def __init__(self, db: sqlite3.Connection, purpose: str | None = None) -> None:
        """Begin a change, or go on with the pending one that had the same purpose.

        Args:
            db: a writer.
            purpose: what makes an import the same one, or None for a change in one step.
        """
        self.db = db
        self.resumed = False
        with database.transaction(db):
            db.execute(SEALS)
            pending = rows.fact(db, "pending")
            if purpose is not None and pending is not None:
                if pending["purpose"] == purpose:
                    self.change, self.resumed = pending["change"], True
                    return
                self._purge(pending["change"])
            self.change = int(rows.fact(db, "changes") or 0) + 1
            rows.put_fact(db, "changes", self.change)
            if purpose is not None:
                rows.put_fact(db, "pending", {"purpose": purpose, "change": self.change})

    def _purge(self, change: int) -> None:
        """Delete the rows of an import that nobody will go on with."""
        self.db.execute(
            "DELETE FROM smalls WHERE image IN (SELECT image FROM images WHERE change = ?)",
            (change,),
        )
        for table in _TABLES:
            self.db.execute(f"DELETE FROM {table} WHERE change = ?", (change,))

    def source(self, kind: str, place: str) -> int:
        """Return the number of a source, new or known."""
        numbers = {source: number for number, source in rows.sources(self.db).items()}
        if (kind, place) not in numbers:
            number = max(numbers.values(), default=0) + 1
            self.db.execute("INSERT INTO sources VALUES (?, ?, ?)", (number, kind, place))
            rows.add_seal(self.db, "sources", number, kind, place)
            return number
        return numbers[kind, place]

    def add_image(
        self, number: int, look: Look, packed: tuple[int, int] | tuple[None, None]
    ) -> None:
        """Add an image whose picture lies in the pack already."""
        row = (
            *(number, look.id, look.width, look.height, look.mode, int(look.grey)),
            *(look.brightness, look.contrast, look.crc, *packed, self.change),
        )
        rows.insert(self.db, "images", [row])
        self.db.execute("INSERT INTO smalls VALUES (?, ?)", (number, look.small))
        rows.add_seal(self.db, "smalls", number, look.small)

    def add_file(
        self, source: int, name: str, path: bytes, stamp: str, image: int | None, reason: str | None
    ) -> None:
        """Add a file with the image it holds, or with the reason why it holds none."""
        row = (None, source, name, path, stamp, image, reason, self.change)
        self._add("files", [row])

    def add_labels(self, entries: Iterable[LabelEntry]) -> None:
        """Add answers."""
        self._add(
            "labels",
            [
                (
                    *(None, entry.image, entry.label, entry.origin, entry.answer, entry.time),
                    *(entry.run, entry.annotator, entry.standing, self.change),
                )
                for entry in entries
            ],
        )

    def add_traits(self, trait: str, values: Iterable[tuple[int, str]]) -> None:
        """Add what is said of images by number: a `role`, a `split` or a `group`."""
        self._add("traits", [(None, image, trait, value, self.change) for image, value in values])

    def add_remarks(self, topic: str, texts: Iterable[str]) -> None:
        """Add `remark` sentences, or `class` names in their order."""
        self._add("remarks", [(None, topic, text, self.change) for text in texts])

    def set_clusters(self, by_number: Numbers) -> None:
        """Keep the cluster of every image number."""
        data = by_number.astype("<i8").tobytes()
        row = (self.change, data, database.seal("", self.change, data))
        self.db.execute("INSERT OR REPLACE INTO clusters VALUES (?, ?, ?)", row)

    def smalls(self) -> tuple[Numbers, np.ndarray]:
        """Return all image numbers and their small grey pictures, `N x 256` uint8."""
        return as_arrays(rows.smalls(self.db))

    def finish(self, kind: str, note: str, undoes: int | None = None) -> int:
        """Make the change count, and return its version. Call it inside a transaction."""
        (last,) = self.db.execute("SELECT coalesce(max(version), 0) FROM versions").fetchone()
        version = int(last) + 1
        rows.insert(self.db, "versions", [(version, self.change, kind, note, time.time(), undoes)])
        if kind == "import":
            self.db.execute("DELETE FROM facts WHERE name = 'pending'")
        return version

    def discard(self) -> None:
        """Forget the change; inside a transaction."""
        self._purge(self.change)
        self.db.execute("DELETE FROM facts WHERE name = 'pending'")

    def _add(self, table: str, values: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows whose key is the next free number."""
        key = rows.COLUMNS[table][0]
        (last,) = self.db.execute(f"SELECT coalesce(max({key}), 0) FROM {table}").fetchone()
        numbered = [(last + place, *row[1:]) for place, row in enumerate(values, 1)]
        rows.insert(self.db, table, numbered)


def as_arrays(smalls: Mapping[int, bytes]) -> tuple[Numbers, np.ndarray]:
    """Return image numbers and small grey pictures as arrays, the latter `N x 256` uint8."""
    numbers = np.array(list(smalls), dtype=np.int64)
    pictures = np.frombuffer(b"".join(smalls.values()), dtype=np.uint8)
    return numbers, pictures.reshape(len(smalls), -1)


def path_bytes(name: str) -> bytes:
    """Return a file name as the disk has it."""
    return os.fsencode(name)
