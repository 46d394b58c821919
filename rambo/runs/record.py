"""What stands in `run.sqlite`: facts, events and results, each row sealed."""

import dataclasses
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from rambo import events as event_kinds
from rambo.config import Settings
from rambo.events import Event
from rambo.runs import environment as environments
from rambo.runs.environment import Environment
from rambo.storage import database


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """What a run's record says of the run itself.

    Attributes:
        config: nested JSON types.
        environment: what else the run depends on.
        created: ISO 8601 in UTC.
        status: as it was written last.
        message: why.
        attempt: number of the newest attempt; 0 before the first.
        pid: process of the newest attempt.
        launched: when a page started that process, seconds since 1970.
        maps_of: of how many trials it has the maps, where it came as a small file; None: of all.
        stop_requested: whether a person asked for a stop.
        digests: the SHA-256 of each artifact by its file; None: an older version kept none.
        documents: the SHA-256 of each other file that the run made, by its path in the folder.
    """

    config: Mapping[str, Any]
    environment: Environment
    created: str
    status: str
    message: str
    attempt: int
    pid: int | None = None
    launched: float | None = None
    maps_of: int | None = None
    stop_requested: bool = False
    digests: Mapping[str, str] | None = None
    documents: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class StoredEvent:
    """An event as the record holds it.

    Attributes:
        seq: 1, 2, ... without a gap.
        attempt: which try of the run emitted it.
        trial: from 0; None where it belongs to no trial.
        strategy: whose; None where it belongs to none.
        time: seconds since 1970.
        event: what happened.
    """

    seq: int
    attempt: int
    trial: int | None
    strategy: str | None
    time: float
    event: Event

    @property
    def place(self) -> tuple[int | None, str | None]:
        """Trial and strategy."""
        return self.trial, self.strategy


VERSION = 1
_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT, crc INTEGER);
CREATE TABLE events (seq INTEGER PRIMARY KEY, attempt INTEGER, trial INTEGER, strategy TEXT,
                     time REAL, kind TEXT, data TEXT, crc INTEGER);
CREATE TABLE results (trial INTEGER, strategy TEXT, state TEXT, data TEXT, crc INTEGER,
                      PRIMARY KEY (trial, strategy))
"""
# `tally` counts events and results: damage that makes whole rows vanish would else look like less.
_FACTS = (
    "config",
    "environment",
    "created",
    "status",
    "message",
    "stop_requested",
    "attempt",
    "tally",
)
_PUT_EVENT = (
    "INSERT INTO events (attempt, trial, strategy, time, kind, data, crc)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)


def create(path: Path, config: Settings, environment: Environment) -> None:
    """Make the record of a queued run at `path`.

    Raises:
        OSError: the disk refuses.
        sqlite3.Error: the disk refuses.
        RefusedError: a value is not JSON or not finite.
    """
    facts = {
        "config": config,
        "environment": environment.record(),
        "created": stamp(time.time()),
        "status": "queued",
        "message": "",
        "stop_requested": False,
        "attempt": 0,
        "tally": [0, 0],
        "digests": {},
    }
    statements = [put_fact(name, value) for name, value in facts.items()]
    database.create(path, _SCHEMA, VERSION)
    with closing(database.open_writer(path, VERSION)) as db, database.transaction(db):
        for statement, row in statements:
            db.execute(statement, row)


def write(
    db: sqlite3.Connection,
    events: Sequence[tuple[Any, ...]],
    statements: Sequence[database.Statement],
) -> None:
    """Write rows of `event_row` and then `statements`, as one."""
    with database.transaction(db):
        db.executemany(_PUT_EVENT, events)
        for statement, row in statements:
            db.execute(statement, row)
        db.execute(*put_fact("tally", _tally(db)))


def check(db: sqlite3.Connection) -> None:
    """Look through the whole record, as reading never does; raises as reading does."""
    database.check_structure(db)
    events, results = read_fact(db, "tally")
    if _tally(db) != [events, results]:
        raise ValueError("rows are missing")


def put_fact(name: str, value: Any) -> database.Statement:
    """Return the statement that writes a fact."""
    text = database.encode(value, name)
    row = (name, text, database.seal(text, name))
    return "INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", row


def put_result(
    trial: int, strategy: str, state: str, data: Mapping[str, Any]
) -> database.Statement:
    """Return the statement that writes a result."""
    text = database.encode(dict(data), f"result of {strategy}, trial {trial}")
    key = (int(trial), strategy, state)
    row = (*key, text, database.seal(text, *key))
    return "INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?)", row


def event_row(
    event: Event,
    attempt: int,
    trial: int | None,
    strategy: str | None,
    moment: float | None = None,
) -> tuple[Any, ...]:
    """Return an event as a row for `write`; without a moment, seconds since 1970, it happened just now."""
    kind = event.kind
    text = database.encode(event.record(), f"event {kind}")
    columns = (
        attempt,
        None if trial is None else int(trial),
        strategy,
        time.time() if moment is None else moment,
        kind,
    )
    return (*columns, text, database.seal(text, *columns))


def read_fact(db: sqlite3.Connection, name: str) -> Any:
    """Return one fact; a missing one is a ValueError, as all damage below."""
    row = db.execute("SELECT value, crc FROM facts WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise ValueError(f"no {name}")
    return database.decode(*row, name)


def read_facts(db: sqlite3.Connection) -> RunFacts:
    """Return all facts."""
    rows = db.execute("SELECT name, value, crc FROM facts").fetchall()
    facts = {name: database.decode(value, crc, name) for name, value, crc in rows}
    if len(facts) < len(rows):
        raise ValueError("a fact stands there twice")
    if missing := [name for name in _FACTS if name not in facts]:
        raise ValueError(f"no {missing[0]}")
    names = [field.name for field in dataclasses.fields(RunFacts)]
    own = {name: facts[name] for name in names if name in facts}
    return RunFacts(**own | {"environment": environments.restore(facts["environment"])})


def read_events(db: sqlite3.Connection, since: int) -> list[StoredEvent]:
    """Return the events after number `since`; a gap is damage."""
    least, _ = read_fact(db, "tally")  # first: a writer may add more before the next line
    rows = db.execute(
        "SELECT seq, attempt, trial, strategy, time, kind, data, crc FROM events"
        " WHERE seq > ? ORDER BY seq",
        (since,),
    )
    entries: list[StoredEvent] = []
    for seq, attempt, trial, strategy, moment, kind, data, crc in rows:
        fields = database.decode(data, crc, attempt, trial, strategy, moment, kind)
        if seq != since + len(entries) + 1:
            raise ValueError("an event is missing")
        event = event_kinds.restore(kind, fields)
        entries.append(StoredEvent(seq, attempt, trial, strategy, moment, event))
    if since + len(entries) < least:
        raise ValueError("the last events are missing")
    return entries


def newest_attempts(entries: Sequence[StoredEvent]) -> list[StoredEvent]:
    """Return of each trial and strategy the events of its newest attempt, in their order."""
    newest: dict[tuple[int | None, str | None], int] = {}
    for entry in entries:
        newest[entry.place] = max(newest.get(entry.place, 0), entry.attempt)
    return [entry for entry in entries if entry.attempt == newest[entry.place]]


class ResultRow(NamedTuple):
    """A row of the table of results: a strategy's result in a run, a cell's run in a study."""

    trial: int
    strategy: str
    state: str
    # JSON's edge: `results.restore` makes a `Result` of them.
    fields: dict[str, Any]


def read_results(db: sqlite3.Connection) -> list[ResultRow]:
    """Return all rows, in no order."""
    _, least = read_fact(db, "tally")
    rows = db.execute("SELECT trial, strategy, state, data, crc FROM results").fetchall()
    if len(rows) < least:
        raise ValueError("a result is missing")
    return [
        ResultRow(trial, strategy, state, database.decode(data, crc, trial, strategy, state))
        for trial, strategy, state, data, crc in rows
    ]


def _tally(db: sqlite3.Connection) -> list[int]:
    """Return the number of events and of results."""
    row = db.execute("SELECT ifnull(max(seq), 0), (SELECT count(*) FROM results) FROM events")
    return list(row.fetchone())


def dataset_name(config: Mapping[str, Any]) -> str:
    """Return the name of the dataset in a config of nested JSON types, or an empty text."""
    dataset = config.get("dataset")
    return str(dataset.get("name", "")) if isinstance(dataset, Mapping) else ""


def stamp(seconds: float) -> str:
    """Return seconds since 1970 as ISO 8601 in UTC, of fixed length: it sorts as text."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
