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
from typing import Literal, get_args

import filelock

from rambo.collection.collection import Collection
from rambo.collection.records import UNKNOWN, LabelEntry, Snapshot
from rambo.errors import StoreError
from rambo.storage import database, files

Said = Literal["label", "skipped", "unsure", "none of these", "taken back"]
ORIGIN = "labeled here"
_FORMAT = 1
_SCHEMA = """
CREATE TABLE answers (
    entry INTEGER PRIMARY KEY, token TEXT UNIQUE, run TEXT, image INTEGER, said TEXT, label TEXT,
    time REAL, crc INTEGER);
CREATE INDEX answers_by_run ON answers (run)
"""


@dataclasses.dataclass(frozen=True)
class GivenAnswer:
    """One answer of a person at the keyboard.

    Attributes:
        token: names the answer; the same token is stored once.
        image: its number in the collection.
        said: what was said; only `label` gives a class.
        label: the class, or None.
        time: seconds since 1970.
    """

    token: str
    image: int
    said: Said
    label: str | None = None
    time: float = dataclasses.field(default_factory=time.time)


class Answers:
    """The answers for one run's batch."""

    def __init__(self, collection: Collection, run: str) -> None:
        """Use the answers of a collection for a run; nothing is opened yet."""
        self.collection, self.run = collection, run
        self._path = collection.folder / "answers.sqlite"

    def add(self, given: Iterable[GivenAnswer]) -> None:
        """Store answers, durable when this returns; those that are stored already are left alone.

        Raises:
            StoreError: the disk refuses.
        """
        rows = [
            (one.token, self.run, one.image, one.said, one.label, one.time)
            for one in given
            if one.said in get_args(Said)
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
        except (sqlite3.Error, OSError, files.RefusedError) as error:
            raise self._refused(error) from error

    def log(self) -> list[GivenAnswer]:
        """Return every answer ever given, the oldest first.

        Raises:
            StoreError: the record is damaged.
        """
        if not self._path.exists():
            return []
        try:
            with closing(database.open_reader(self._path, _FORMAT)) as db:
                found = db.execute(
                    "SELECT token, run, image, said, label, time, crc FROM answers "
                    "WHERE run = ? ORDER BY entry",
                    (self.run,),
                ).fetchall()
        except (sqlite3.Error, OSError, files.RefusedError) as error:
            raise self._refused(error) from error
        if any(database.seal("", *row) != crc for *row, crc in found):
            raise self._refused(files.RefusedError("a row is damaged; restore it from a copy"))
        return [
            GivenAnswer(token, image, said, label, when)
            for token, _, image, said, label, when, _ in found
        ]

    def current(self) -> dict[int, GivenAnswer]:
        """Return the answer that counts for each image; those taken back are not in it."""
        newest = {answer.image: answer for answer in self.log()}
        return {image: one for image, one in newest.items() if one.said != "taken back"}

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
            held = None if label == UNKNOWN else now.classes[label]
            entry = LabelEntry(image, one.label, ORIGIN, time=one.time, run=self.run)
            if one.said == "label":
                if held == one.label:
                    continue
                if held is not None and image not in mine:
                    entry = dataclasses.replace(entry, standing="contested")
            elif one.said == "taken back":
                if image not in mine or held is None:
                    continue
            else:
                if held is not None and image in mine:
                    entries.append(dataclasses.replace(entry, label=None))  # the label goes
                entry = dataclasses.replace(entry, answer=one.said)
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
        with filelock.FileLock(self.collection.folder / "answers.lock", timeout=10):
            if not self._path.exists():
                part = self._path.with_name(".answers.part")
                for left in _files_of(part):
                    left.unlink(missing_ok=True)
                database.create(part, _SCHEMA, _FORMAT)
                part.rename(self._path)
                files.sync_folder(self.collection.folder)

    def _refused(self, error: BaseException) -> StoreError:
        """Return the error of a disk that refuses or a record that is damaged."""
        told = files.explain(error, "answer again")
        return StoreError(f"collection {self.collection.slug}: answers: {told}")


def seconds_each(log: Sequence[GivenAnswer], most: int = 30) -> float | None:
    """Return the median seconds between the last answers, breaks left out; None before there are two."""
    times = sorted(answer.time for answer in log)[-most:]
    gaps = sorted(b - a for a, b in itertools.pairwise(times) if b - a < 300)
    return gaps[len(gaps) // 2] if gaps else None


def _files_of(path: Path) -> list[Path]:
    """Return a database's file and those SQLite keeps beside it."""
    return [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))]
