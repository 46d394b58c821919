"""The SQLite helpers: durable, all or nothing, finite numbers only, no row taken for another."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from rambo.storage import database
from rambo.storage.files import RefusedError

SCHEMA = "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "some.sqlite"
    database.create(target, SCHEMA, 3)
    return target


def test_a_writer_commits_durably_and_a_reader_cannot_write(path: Path) -> None:
    with closing(database.open_writer(path, 3)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        with database.transaction(db):
            db.execute("INSERT INTO facts VALUES ('k', '200')")
    with closing(database.open_reader(path, 3)) as db:
        assert db.execute("SELECT * FROM facts").fetchall() == [("k", "200")]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            db.execute("DELETE FROM facts")


def test_a_transaction_is_all_or_nothing(path: Path) -> None:
    with closing(database.open_writer(path, 3)) as db:
        with pytest.raises(sqlite3.IntegrityError), database.transaction(db):
            db.executemany("INSERT INTO facts VALUES (?, '200')", [("k",), ("k",)])
        assert db.execute("SELECT * FROM facts").fetchall() == []
        with database.transaction(db):  # and the connection is as good as before
            db.execute("INSERT INTO facts VALUES ('k', '100')")
        assert db.execute("SELECT * FROM facts").fetchall() == [("k", "100")]


def test_a_newer_version_and_a_missing_file_are_refused(path: Path) -> None:
    for open_it in (database.open_writer, database.open_reader):
        with pytest.raises(RefusedError, match="3"):
            open_it(path, 2)
        with pytest.raises(FileNotFoundError):
            open_it(path.with_name("none.sqlite"), 3)
    assert not path.with_name("none.sqlite").exists()


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"loss": float("nan")}, "field loss is nan"),
        ({"a": [1.0, {"b": float("inf")}]}, r"field a\[1\].b is inf"),
        ({"when": {1, 2}}, "field when is a set"),
    ],
)
def test_what_is_not_finite_json_is_refused_by_field(value: object, field: str) -> None:
    with pytest.raises(RefusedError, match=f"event X: {field}"):
        database.encode(value, "event X")


def test_a_sealed_row_is_read_back_only_as_it_was_written() -> None:
    text = database.encode({"k": 200}, "config")
    seal = database.seal(text, 1, "rambo")
    assert database.decode(text, seal, 1, "rambo") == {"k": 200} == json.loads(text)
    for changed in (
        (text.replace("200", "201"), seal, 1, "rambo"),
        (text, seal + 1, 1, "rambo"),
        (text, seal, 2, "rambo"),
        (text, seal, 1, "random"),
    ):
        with pytest.raises(ValueError, match="seal"):
            database.decode(*changed)
