"""The shared memory of trained subsets: the same content key is never trained twice, by any run.

One SQLite file at the root of the workspace for the numbers, one safetensors file a key for arrays.
Runs in several processes write at once. All of it can be computed again, so damage costs time only.
"""

import hashlib
import json
import re
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from rambo.errors import StoreError
from rambo.storage import database, files

T = TypeVar("T")
# The record of a unit, whose fields the unit knows, and its arrays.
MemoRow = tuple[dict[str, Any], dict[str, np.ndarray]]
_VERSION = 1
_SCHEMA = """
CREATE TABLE utilities (key TEXT PRIMARY KEY, record TEXT, arrays TEXT, crc INTEGER) WITHOUT ROWID
"""
_WHAT = "the shared results (utilities.sqlite)"
_KEY = re.compile(r"[0-9a-f]{64}")


class Memo:
    """Results by content key.

    Attributes:
        notices: what a person should know of, such as a damaged file that was put aside.
    """

    def __init__(self, root: Path) -> None:
        """Use the workspace at `root`; nothing is opened yet."""
        self.notices: list[str] = []
        self._root = root.absolute()
        self._is_new = not self._root.is_dir()
        self._path = self._root / "utilities.sqlite"
        self._gate = self._root / "utilities.lock"
        self._predictions = self._root / "predictions"

    def get(self, key: str) -> MemoRow | None:
        """Return record and arrays of `key`, or None where it has to be computed.

        Args:
            key: 64 hexadecimal digits.

        Raises:
            StoreError: the file cannot be read.
        """
        _check_key(key)
        return self._attempt(lambda db: self._find(db, key))

    def put(
        self, key: str, record: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None
    ) -> None:
        """Keep `record` and `arrays` under `key`, on disk on return; the first writer wins.

        Raises:
            StoreError: a number is not finite, or the disk refuses.
        """
        _check_key(key)
        try:
            text = database.encode(dict(record), "its record")
            data = files.pack_arrays(arrays) if arrays else None
        except files.RefusedError as error:
            raise StoreError(
                error.problem, field="utility", value=key[:8], hint=error.hint
            ) from error
        self._attempt(lambda db: self._insert(db, key, text, data))

    def stored_keys(self, keys: Iterable[str]) -> set[str]:
        """Return those of `keys` that have a result; makes nothing where there is no file.

        A cheap look for an estimate: what turns out damaged when it is read will be computed again.

        Raises:
            StoreError: the file cannot be read.
        """
        every_key = list(keys)
        for key in every_key:
            _check_key(key)
        query = "SELECT key FROM utilities WHERE key IN (SELECT value FROM json_each(?))"
        return {key for (key,) in self._rows(query, json.dumps(every_key))}

    def sample(self, facts: Mapping[str, str], limit: int) -> list[Mapping[str, Any]]:
        """Return at most `limit` kept records that hold all `facts`.

        Which ones is as good as random: they lie in the order of their keys, which are hashes.

        Raises:
            StoreError: the file cannot be read.
        """
        # A damaged row may be no JSON; an error in the query would condemn the whole file.
        condition = "AND CASE WHEN json_valid(record) THEN json_extract(record, ?) END = ? "
        columns = "SELECT key, record, arrays, crc FROM utilities"
        query = f"{columns} WHERE TRUE {condition * len(facts)} LIMIT ?"
        values = [value for name, fact in facts.items() for value in (f"$.{name}", fact)]
        records = []
        for key, text, digest, crc in self._rows(query, *values, limit):
            with suppress(ValueError):
                records.append(database.decode(text, crc, key, digest))
        return records

    def _rows(self, query: str, *values: str | int) -> list[tuple[Any, ...]]:
        """Return the rows of a query; none where there is no file yet."""
        if not self._path.exists():
            return []
        return self._attempt(lambda db: db.execute(query, values).fetchall())

    def _find(self, db: sqlite3.Connection, key: str) -> MemoRow | None:
        """Return what a whole row with whole arrays holds."""
        row = db.execute(
            "SELECT record, arrays, crc FROM utilities WHERE key = ?", (key,)
        ).fetchone()
        if row is None:
            return None
        text, digest, crc = row
        try:
            record = database.decode(text, crc, key, digest)
            if digest is None:
                return record, {}
            data = self._arrays_file(key).read_bytes()
            if hashlib.sha256(data).hexdigest() != digest:
                return None
            return record, files.unpack_arrays(data)
        except (FileNotFoundError, ValueError):
            return None  # computed again, and then replaced

    def _insert(self, db: sqlite3.Connection, key: str, text: str, data: bytes | None) -> None:
        """Write one result, unless a whole one is there."""
        # The lock is taken before the file is written: row and file are of one writer.
        with database.transaction(db):
            if self._find(db, key) is not None:
                return
            digest = None
            if data is not None:
                digest = hashlib.sha256(data).hexdigest()
                files.write_bytes(self._arrays_file(key), data, self._root)
            row = (key, text, digest, database.seal(text, key, digest))
            db.execute("INSERT OR REPLACE INTO utilities VALUES (?, ?, ?, ?)", row)

    def _attempt(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Return what `action` gives; once more on a new file where the old one is damaged."""
        try:
            try:
                return self._once(action)
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                if not (_is_damage(error) or self._has_damaged_header()):
                    raise
                self._set_aside()
            except files.RefusedError:
                if not self._has_damaged_header():
                    raise
                self._set_aside()
            return self._once(action)
        except database.FAULTS as error:
            problem, hint = files.reason(error, "resume the run")
            raise StoreError(problem, field=_WHAT, hint=hint) from error

    def _once(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Run `action` on a connection of its own, while nobody replaces the file."""
        if self._is_new:  # one that was there and is gone is not made again
            files.make_folder(self._root)
            self._is_new = False
        with files.gate(self._gate, exclusive=False):
            if self._path.exists():
                return self._on_connection(action)
        with files.gate(self._gate, exclusive=True):
            if not self._path.exists():
                self._begin()
            return self._on_connection(action)

    def _on_connection(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Open, run `action`, close."""
        with closing(database.open_writer(self._path, _VERSION)) as db:
            return action(db)

    def _begin(self) -> None:
        """Put an empty database in place, in one step."""
        # Of a file that is gone: SQLite would replay them into the new one.
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        beside = self._path.with_name(f".{secrets.token_hex(8)}.part")
        try:
            database.create(beside, _SCHEMA, _VERSION)
            beside.replace(self._path)
        finally:
            for leftover in self._path.parent.glob(f"{beside.name}*"):
                leftover.unlink(missing_ok=True)
        files.sync_folder(self._path.parent)

    def _set_aside(self) -> None:
        """Move a damaged file away and begin a new one, unless another process just did."""
        # Exclusive, so that nobody has the file open: moving it then would be unsafe.
        with files.gate(self._gate, exclusive=True):
            if self._is_sound():
                return
            aside = f"{self._path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
            while self._path.with_name(aside).exists():
                aside += "x"
            # The file itself last: a process killed before that comes here again.
            for suffix in ("-wal", "-shm", ""):
                part = self._path.with_name(self._path.name + suffix)
                if part.exists():
                    part.replace(self._path.with_name(aside + suffix))
            self._begin()
        self.notices.append(
            f"the shared results were damaged; they are kept as {aside} and will be trained again"
        )

    def _is_sound(self) -> bool:
        """Return whether the file that lies there now can be used."""
        try:
            if self._has_damaged_header():
                return False
            self._on_connection(_check)
        except (sqlite3.Error, FileNotFoundError, UnicodeDecodeError):
            return False
        return True

    def _has_damaged_header(self) -> bool:
        """Return whether the header of the file cannot be right, although SQLite takes it at its word.

        A flipped bit there reads as a read-only file, or as a newer format. A newer one has other tables than ours, so
        with ours it is the number that is damaged.
        """
        try:
            header = self._path.read_bytes()[:100]
            if len(header) < 100 or not {header[18], header[19]} <= {1, 2}:
                return True
            with closing(
                sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True)
            ) as db:
                (version,) = db.execute("PRAGMA user_version").fetchone()
                (sql,) = db.execute("SELECT group_concat(sql, ';') FROM sqlite_master").fetchone()
        except (OSError, sqlite3.Error, UnicodeDecodeError):
            return False  # the first complaint says what is wrong
        return version != _VERSION and (sql or "").strip() == _SCHEMA.strip()

    def _arrays_file(self, key: str) -> Path:
        """Return where the arrays of `key` lie."""
        return self._predictions / f"{key}.safetensors"


def _check(db: sqlite3.Connection) -> None:
    """Raise where the file cannot be used."""
    database.check_structure(db)
    db.execute("SELECT key, record, arrays, crc FROM utilities LIMIT 1").fetchone()


def _is_damage(error: sqlite3.DatabaseError | UnicodeDecodeError) -> bool:
    """Return whether an error speaks of what is in the file, not of the disk or of a lock."""
    name = getattr(error, "sqlite_errorname", "SQLITE_CORRUPT")  # none: text that is no UTF-8
    return name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR"))


def _check_key(key: str) -> None:
    """Refuse a key that could name another file."""
    if not _KEY.fullmatch(key):
        raise StoreError(
            field="content key", value=key, hint="a content key has 64 hexadecimal digits"
        )
