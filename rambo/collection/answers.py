"""Answers given on the page Label: each on disk at once, and turned into labels of the collection on request.

`answers.sqlite` lies beside the collection's record. Rows are only ever added: an answer that is changed or taken
back is one more row, and the newest row of an image counts. The browser names each answer by a token, so one that is
sent twice is stored once.
"""

import dataclasses
import itertools
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, get_args

from rambo.collection.collection import Collection, refusal
from rambo.collection.records import UNKNOWN, LabelEntry, Snapshot
from rambo.errors import StoreError
from rambo.storage import database, files

Kind = Literal["label", "skipped", "unsure", "none of these", "taken back"]
ORIGIN = "labeled here"
_FORMAT = 1
_SCHEMA = """
CREATE TABLE answers (
    entry INTEGER PRIMARY KEY, token TEXT UNIQUE, run TEXT, image INTEGER, said TEXT, label TEXT,
    time REAL, crc INTEGER);
CREATE INDEX answers_by_run ON answers (run)
"""


@dataclasses.dataclass(frozen=True)
class Answer:
    """One answer of a person at the keyboard.

    Attributes:
        token: names the answer; the same token is stored once.
        image: its number in the collection.
        kind: what was said; only `label` gives a class.
        label: the class, or None.
        time: seconds since 1970.
    """

    token: str
    image: int
    kind: Kind
    label: str | None = None
    time: float = dataclasses.field(default_factory=time.time)


class Answers:
    """The answers for one run's batch."""

    def __init__(self, collection: Collection, run: str) -> None:
        """Use the answers of a collection for a run; nothing is opened yet."""
        self.collection, self.run = collection, run
        self._path = collection.folder / "answers.sqlite"

    def add(self, answers: Iterable[Answer]) -> None:
        """Store answers, durable when this returns; those that are stored already are left alone.

        Raises:
            StoreError: the disk refuses.
        """
        rows = [
            (one.token, self.run, one.image, one.kind, one.label, one.time)
            for one in answers
            if one.kind in get_args(Kind)
        ]
        if not rows:
            return
        try:
            self._make()
            with closing(database.open_writer(self._path, _FORMAT)) as db, database.transaction(db):
                db.executemany(
                    "INSERT OR IGNORE INTO answers (token, run, image, said, label, time, crc) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [(*row, database.seal("", *row)) for row in rows],
                )
        except database.FAULTS as error:
            raise self._refused(error) from error

    def log(self) -> list[Answer]:
        """Return every answer ever given, the oldest first.

        Raises:
            StoreError: the record is damaged.
        """
        if not self._path.exists():
            return []
        try:
            with closing(database.open_reader(self._path, _FORMAT)) as db:
                rows = _sealed_rows(db)
        except database.FAULTS as error:
            raise self._refused(error) from error
        answers = {
            token: Answer(token, image, kind, label, when)
            for token, run, image, kind, label, when in rows
            if run == self.run
        }
        return list(answers.values())

    def current(self) -> dict[int, Answer]:
        """Return the answer that counts for each image; those taken back are not in it."""
        newest = {answer.image: answer for answer in self.log()}
        return {image: one for image, one in newest.items() if one.kind != "taken back"}

    def waiting(self, now: Snapshot | None = None) -> list[LabelEntry]:
        """Return what the answers would add to the collection's labels; nothing where all is there.

        Choice: a label that somebody else gave in the meantime stays, and the answer is kept as contested; one's
        own earlier answer is replaced.

        Args:
            now: the collection's newest snapshot, where it is at hand.
        """
        now = self.collection.snapshot() if now is None else now
        rows = {number: row for row, number in enumerate(now.numbers.tolist())}
        own = [e for e in now.entries if e.origin == ORIGIN and e.run == self.run]
        mine = {e.image for e in own if e.standing == "taken"}
        theirs = {
            (e.image, e.label, e.answer, e.standing) for e in now.entries if e.run == self.run
        }
        newest = {answer.image: answer for answer in self.log()}
        entries = []
        for image, one in newest.items():
            if image not in rows:
                continue
            label = int(now.labels[rows[image]])
            current = None if label == UNKNOWN else now.classes[label]
            entry = LabelEntry(image, one.label, ORIGIN, time=one.time, run=self.run)
            if one.kind == "label":
                if current == one.label:
                    continue
                if current is not None and image not in mine:
                    entry = dataclasses.replace(entry, standing="contested")
            elif one.kind == "taken back":
                if image not in mine or current is None:
                    continue
            else:
                if current is not None and image in mine:
                    entries.append(dataclasses.replace(entry, label=None))  # the label goes
                entry = dataclasses.replace(entry, answer=one.kind)
            contested = entry.standing == "contested" or entry.answer != "label"
            if contested and (image, entry.label, entry.answer, entry.standing) in theirs:
                continue
            entries.append(entry)
        return entries

    def take(self) -> int | None:
        """Make the answers labels of the collection, and return the new version; None where nothing is new.

        Raises:
            RunLockedError: another process changes the collection.
        """
        entries = self.waiting()
        if not entries:
            return None
        labels = sum(entry.answer == "label" and entry.label is not None for entry in entries)
        return self.collection.add_labels(
            entries, f"{labels:,} labels given here for run {self.run}"
        )

    def _make(self) -> None:
        """Make the file where there is none; two that come at once make one."""
        if self._path.exists():
            return
        with files.exclusive(self.collection.folder / "answers.lock", 10):
            if not self._path.exists():
                part = self._path.with_name(".answers.part")
                for rest in _files_of(part):
                    rest.unlink(missing_ok=True)
                database.create(part, _SCHEMA, _FORMAT)
                part.rename(self._path)
                files.sync_folder(self.collection.folder)

    def _refused(self, error: BaseException) -> StoreError:
        """Return the error of a disk that refuses or a record that is damaged."""
        return refusal(self.collection.slug, error, "answer again", "answers: ")


def seconds_each(log: Sequence[Answer], most: int = 30) -> float | None:
    """Return the median seconds between the last answers, breaks left out; None before there are two."""
    times = sorted(answer.time for answer in log)[-most:]
    gaps = sorted(b - a for a, b in itertools.pairwise(times) if b - a < 300)
    return gaps[len(gaps) // 2] if gaps else None


def _sealed_rows(db: sqlite3.Connection) -> list[tuple[Any, ...]]:
    """Return the rows of all runs but their entry and seal, the oldest first; no index has a say in it.

    Raises:
        sqlite3.DatabaseError: the database is damaged.
        RefusedError: a row is damaged or missing.
    """
    database.check_structure(db)
    rows = db.execute(
        "SELECT entry, token, run, image, said, label, time, crc FROM answers NOT INDEXED ORDER BY entry"
    ).fetchall()
    for place, (entry, *row, crc) in enumerate(rows, 1):
        if entry != place or database.seal("", *row) != crc:
            raise files.RefusedError("a row is damaged", "restore it from a copy")
    return [tuple(row[1:-1]) for row in rows]


def _files_of(path: Path) -> list[Path]:
    """Return a database's file and those SQLite keeps beside it."""
    return [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))]
