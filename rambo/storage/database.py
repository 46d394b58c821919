"""SQLite as this project uses it: WAL, whole transactions, sealed rows, readers that only read.

SQLite recovers torn writes by itself but has no checksum for what it holds; so each row carries the
CRC of its columns, and a flipped bit is an error instead of another number.
"""

import errno
import json
import math
import shutil
import sqlite3
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from rambo.storage.files import RefusedError

BUSY_SECONDS = 30.0
# What a database, its disk or a damaged row raise. What SQLite says of a damaged schema may be no UTF-8, and then its
# module fails over the words.
FAULTS = (sqlite3.Error, OSError, UnicodeDecodeError, RefusedError)
Statement = tuple[str, tuple[Any, ...]]


def create(path: Path, schema: str, version: int) -> None:
    """Make a new database at `path`, which nobody else may know yet."""
    with closing(_connect(path, "rwc")) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.executescript(f"BEGIN; {schema}; PRAGMA user_version={version}; COMMIT;")


def open_writer(path: Path, version: int) -> sqlite3.Connection:
    """Return a connection that writes to the existing database at `path`, durable at each commit.

    Raises:
        OSError: there is no such file.
        sqlite3.Error: it cannot be opened.
        RefusedError: it is of a newer version.
    """
    _must_exist(path)
    db = _connect(path, "rw")
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        _check_version(db, version)
    except BaseException:
        db.close()
        raise
    return db


def open_reader(path: Path, version: int) -> sqlite3.Connection:
    """Return a connection that never changes the database at `path`; raises as `open_writer` does.

    Even a reader of a WAL database needs a file beside it. Where the folder allows none, a database
    without WAL is read as it stands, and one with a WAL (its writer was killed) from a copy.
    """
    _must_exist(path)
    db = _connect(path, "ro")
    try:
        _check_version(db, version)  # SQLite looks at the WAL now
    except sqlite3.OperationalError as error:
        db.close()
        if not _needs_room(error):
            raise
    except BaseException:
        db.close()
        raise
    else:
        return db
    db = _open_unwritable(path)
    try:
        _check_version(db, version)
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Commit what the block writes as one, or nothing of it."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # SQLite may have rolled back already
            db.execute("ROLLBACK")
        raise


def check_structure(db: sqlite3.Connection, table: str = "") -> None:
    """Look through every page for damage that no row has shown yet, as that by which rows vanish.

    Args:
        db: the database.
        table: the one whose pages are looked through; by default all.

    Raises:
        sqlite3.DatabaseError: the database is damaged.
    """
    if db.execute(f"PRAGMA quick_check({table or 1})").fetchone() != ("ok",):
        raise sqlite3.DatabaseError("quick_check failed")


def encode(value: Any, what: str) -> str:
    """Return `value` as JSON.

    Raises:
        RefusedError: a number in it is not finite, or it is not JSON; names the field of `what`.
    """
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (ValueError, TypeError, RecursionError) as error:
        try:
            fault = _unfit(value, "")
        except RecursionError:
            fault = None
        if fault is None:
            raise RefusedError(f"{what}: it is no JSON value", "store plain fields") from error
        problem, hint = fault
        raise RefusedError(f"{what}: {problem}", hint) from error


def decode(text: str, crc: int, *columns: Any) -> Any:
    """Return the JSON value of a sealed row.

    Raises:
        ValueError: the row is not the one that was written.
    """
    if seal(text, *columns) != crc:
        raise ValueError("a row does not match its seal")
    return json.loads(text)


def seal(text: str, *columns: Any) -> int:
    """Return the CRC-32 of a row."""
    return zlib.crc32(f"{columns!r}{text}".encode("utf-8", "backslashreplace"))


def _connect(path: Path, mode: str, extra: str = "") -> sqlite3.Connection:
    """Open `path`; as a URI, whose quoting lets a folder hold any character."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}{extra}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,  # transactions are written out
        check_same_thread=False,  # whoever shares a connection guards it
    )


def _must_exist(path: Path) -> None:
    """Refuse a missing file, for which SQLite has the same error as for a missing right."""
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "no such file")


def _check_version(db: sqlite3.Connection, version: int) -> None:
    """Refuse a database that this program does not know."""
    (stored,) = db.execute("PRAGMA user_version").fetchone()
    if stored > version:
        raise RefusedError(
            f"the record has format {stored}, from a newer RAMBO, and this one reads up to {version}",
            "update this one",
        )
    if stored < version:  # there is no older one yet
        raise sqlite3.DatabaseError(f"format {stored}")


def _needs_room(error: sqlite3.Error) -> bool:
    """Return whether a reader failed only because it could not put a file beside the database."""
    name = getattr(error, "sqlite_errorname", "")
    return name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_IOERR_SHM"))


def _open_unwritable(path: Path) -> sqlite3.Connection:
    """Return a reader of a database in a folder where nothing can be written."""
    wal = path.with_name(f"{path.name}-wal")
    if not wal.is_file() or wal.stat().st_size == 0:
        return _connect(path, "ro", "&immutable=1")
    with tempfile.TemporaryDirectory(prefix="rambo-") as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        shutil.copyfile(wal, copy.with_name(wal.name))
        memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        with closing(_connect(copy, "rw")) as db:
            db.backup(memory)
    return memory


def _unfit(value: Any, path: str) -> tuple[str, str] | None:
    """Return which field keeps `value` from being JSON, in words with the way out, or None."""
    parts: Iterator[tuple[str, Any]] = iter(())
    if isinstance(value, Mapping):
        parts = ((f"{path}.{name}" if path else str(name), part) for name, part in value.items())
    elif isinstance(value, list | tuple):
        parts = ((f"{path}[{index}]", part) for index, part in enumerate(value))
    elif isinstance(value, float) and not math.isfinite(value):
        return f"field {path} is {value}", "only finite numbers are stored"
    elif value is not None and not isinstance(value, str | int | float):
        return f"field {path} is a {type(value).__name__}", "only JSON types are stored"
    return next((fault for name, part in parts if (fault := _unfit(part, name))), None)
