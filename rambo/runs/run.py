"""The record of one run: config, status, events and results in one SQLite file.

    runs/<id>/run.sqlite     WAL, durable at each commit
    runs/<id>/artifacts/     arrays and tables
    runs/<id>/worker.lock    held for life by the one worker; the kernel frees it at death
    runs/<id>/ballast        1 MiB given up on a full disk, so that the failure can still be told

One worker writes a run; anyone reads it at any time, also while it is written and after a kill -9.
"""

import copy
import dataclasses
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock

from rambo.config import Settings
from rambo.errors import RunCancelled, RunLockedError, StoreError
from rambo.events import Event
from rambo.runs import paths, record, results
from rambo.runs.artifacts import RunFolder
from rambo.runs.environment import Environment
from rambo.runs.record import RunFacts, StoredEvent
from rambo.runs.results import Result
from rambo.storage import database, files
from rambo.storage.unchanged import Unchanged

STATUSES = ("queued", "running", "done", "failed", "stopped")
COMMIT_SECONDS = 0.2
BALLAST_BYTES = 2**20
LAUNCH_SECONDS = 60  # what a new process may take to import torch on a busy laptop

_RECORDS: Unchanged[RunFacts] = Unchanged(256)
_LOCK_SECONDS = 0.1  # a viewer that looks at the lock is in the way for microseconds


@dataclasses.dataclass(frozen=True)
class Worker:
    """The process that works on a run: its number, and when a page launched it; None where unknown."""

    pid: int | None
    launched: float | None


@dataclasses.dataclass(frozen=True)
class Description:
    """What a list of runs shows of one; of a damaged run most is None.

    Attributes:
        run: its id.
        status: one of `STATUSES`, `interrupted` or `unreadable`.
        dataset: its name.
        created: ISO 8601 in UTC.
        k: labels held.
        budget: labels bought.
        strategies: names.
        trials: how many.
        message: why it has this status, or an empty text.
    """

    run: str
    status: str
    dataset: str | None
    created: str
    k: int | None
    budget: int | None
    strategies: list[str]
    trials: int | None
    message: str


class Run(RunFolder):
    """One run; damage of any kind is a `StoreError` of one line."""

    def __init__(self, folder: Path) -> None:
        """Use the run in `folder`; nothing is opened yet."""
        super().__init__(folder)
        self._record = paths.record(self.folder)
        self._ballast = paths.ballast(self.folder)
        self._guard = threading.RLock()  # the timer below commits from its own thread
        self._writer: sqlite3.Connection | None = None  # open while this object holds the lock
        self._attempt: int | None = None
        self._pending: list[tuple[Any, ...]] = []
        self._due = 0.0
        self._timer: threading.Timer | None = None

    # What a viewer asks.

    @property
    def config(self) -> Settings:
        """The config as nested JSON types."""
        return copy.deepcopy(dict(self._facts().config))

    @property
    def environment(self) -> Environment:
        """What it depends on beside its config: versions, device, dataset, class names."""
        return self._facts().environment

    @property
    def status(self) -> str:
        """One of `STATUSES`, or `interrupted`: it says running, but its worker is gone."""
        return self._derived(self._facts())

    @property
    def worker(self) -> Worker:
        """The process of the newest attempt."""
        facts = self._facts()
        return Worker(facts.pid, facts.launched)

    @property
    def maps_of(self) -> int | None:
        """Of how many trials it has the maps, where it came as a small file; None: of all."""
        return self._facts().maps_of

    def created(self) -> str:
        """Return when the run was made, ISO 8601 in UTC; a damaged one: when its folder changed."""
        try:
            return self._facts().created
        except StoreError:
            try:
                return record.stamp(self.folder.stat().st_mtime)
            except OSError:
                return record.stamp(0.0)

    def describe(self) -> Description:
        """Return what a list of runs shows; a damaged run is `unreadable`, with the reason.

        Never raises, so one bad folder cannot hide the others.
        """
        config: Mapping[str, Any] = {}
        try:
            facts = self._facts()
            config, created = facts.config, facts.created
            status, message = self._derived(facts), facts.message
        except StoreError as error:
            status, message = "unreadable", error.words({"run": None})
            created = self.created()
        return Description(
            run=self.id,
            status=status,
            dataset=record.dataset_name(config) or None,
            created=created,
            k=config.get("k"),
            budget=config.get("budget"),
            strategies=list(config.get("strategies") or ()),
            trials=config.get("trials"),
            message=message,
        )

    def events(self, since: int = 0) -> list[StoredEvent]:
        """Return the events after number `since`, in order."""
        with self._reading() as db:
            return record.read_events(db, max(0, since))

    def latest_events(self) -> list[StoredEvent]:
        """Return the events that count: of each trial and strategy, its newest attempt's.

        A resumed attempt tells the unfinished strategy again from its start.
        """
        return record.newest_attempts(self.events())

    def results(self) -> list[Result]:
        """Return what came of each trial, and in it of each strategy in the config's order."""
        with self._reading() as db:
            config = record.read_fact(db, "config")
            rows = record.read_results(db)
        order = list(config.get("strategies", ()))
        order += sorted({row.strategy for row in rows}.difference(order))
        rows.sort(key=lambda row: (row.trial, order.index(row.strategy)))
        seed = config.get("seed", 0)
        return [results.restore(row.trial, row.strategy, row.fields, seed) for row in rows]

    def cells(self) -> dict[str, str]:
        """Return the run ids of a study's cells that were begun, by label."""
        with self._reading() as db:
            rows = sorted(record.read_results(db), key=lambda row: (row.trial, row.strategy))
        return {row.strategy: str(row.fields.get("run")) for row in rows}

    def digests(self) -> dict[str, str] | None:
        """Return the SHA-256 of each artifact by its file; None: the record is of an older version."""
        digests = self._facts().digests
        return None if digests is None else dict(digests)

    def documents(self) -> dict[str, str]:
        """Return the SHA-256 of each file of `save_document` by its name; older versions kept none."""
        return dict(self._facts().documents)

    def stop_requested(self) -> bool:
        """Return whether a person asked for a stop; cheap while this object holds the lock."""
        if self._writer is None:
            return self._facts().stop_requested
        with self._reading() as db:
            return bool(record.read_fact(db, "stop_requested"))

    def locked(self) -> bool:
        """Return whether a worker holds the run; takes nothing and waits for nothing."""
        with self.naming("looking at its lock"):
            return files.is_locked(paths.lock(self.folder))

    # What the worker does; `set_status` and `request_stop` are for others too.

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for the length of the block; on leaving, every event is on disk.

        Raises:
            RunLockedError: another worker holds it.
        """
        with ExitStack() as stack:
            with self.naming("taking its lock"):
                self._record.stat()
                try:
                    stack.enter_context(files.exclusive(paths.lock(self.folder), _LOCK_SECONDS))
                except filelock.Timeout:
                    raise RunLockedError(
                        "is already being worked on",
                        field="run",
                        value=self.id,
                        hint="wait for it or stop it",
                    ) from None
            stack.enter_context(self._keeping())
            yield

    def begin_attempt(self) -> int:
        """Return the number of this attempt, 1 for the first; the events that follow carry it."""
        with self.naming("beginning an attempt"), self._guard:
            with self._connection() as db:
                record.check(db)
                attempt = int(record.read_fact(db, "attempt")) + 1
            files.sweep(paths.artifacts(self.folder))
            if not self._ballast.exists():  # given up when the disk was full
                files.write_bytes(self._ballast, os.urandom(BALLAST_BYTES))
            self._commit(record.put_fact("attempt", attempt), record.put_fact("pid", os.getpid()))
            self._attempt = attempt
        return attempt

    def append(self, event: Event, *, trial: int | None, strategy: str | None) -> None:
        """Keep an event; it is on disk within `COMMIT_SECONDS`, or after `flush`.

        Raises:
            StoreError: a field is not finite, or the disk refuses (then it waits for the next try).
        """
        with self.naming("keeping an event"), self._guard:
            if self._attempt is None:
                with self._connection() as db:
                    self._attempt = int(record.read_fact(db, "attempt"))
            self._pending.append(record.event_row(event, self._attempt, trial, strategy))
            wait = self._due - time.monotonic()
            if wait <= 0:
                self._commit()
            elif self._timer is None:
                # The last event before a long silence must not wait for the next one.
                self._timer = threading.Timer(wait, self._flush_late)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Put every event on disk."""
        with self._guard:
            if self._pending:
                self._commit()

    def save_result(self, result: Result) -> None:
        """Keep the result of one strategy on one trial, and every event before it, as one."""
        key = result.trial, result.strategy, result.state
        with self.naming("keeping a result"):
            self._commit(record.put_result(*key, result.record()))

    def _keep_digest(self, file: str, digest: str) -> None:
        """Let the record know what an artifact holds; one of an older version goes on without."""
        digests = self.digests()
        if digests is not None and digests.get(file) != digest:
            self._commit(record.put_fact("digests", digests | {file: digest}))

    def _keep_document(self, name: str, digest: str) -> None:
        """Let the record know what a file of `save_document` holds."""
        documents = self.documents()
        if documents.get(name) != digest:
            self._commit(record.put_fact("documents", documents | {name: digest}))

    def forget_artifacts(self, names: Iterable[str]) -> None:
        """Let the record know no more of artifacts that cannot be made again."""
        removals, digests = set(names), self.digests()
        if digests is None or not removals:
            return
        rest = {
            file: digest
            for file, digest in digests.items()
            if file.rpartition(".")[0] not in removals
        }
        self._commit(record.put_fact("digests", rest))

    def save_cell(self, place: int, label: str, run_id: str) -> None:
        """Keep the run of a study's cell, which stands at `place` among the cells."""
        with self.naming("keeping a result"):
            self._commit(record.put_result(place, label, "begun", {"run": run_id}))

    def set_status(self, status: str, message: str = "") -> None:
        """Write the status and every event before it; on a full disk the ballast makes room."""
        if status not in STATUSES:
            raise StoreError(
                field="status", value=status, hint=f"choose one of: {', '.join(STATUSES)}"
            )
        facts = (record.put_fact("status", status), record.put_fact("message", message))
        try:
            self._commit(*facts)
            return
        except StoreError as error:
            self._make_room(error)
        try:
            self._commit(*facts)
        except StoreError as error:
            if status != "failed" or not files.is_full(error.__cause__):
                raise
            with self._guard:
                self._pending.clear()  # a resumed attempt tells them again
                self._commit(*facts)

    def _make_room(self, error: Exception) -> None:
        """Give up the ballast where the disk is full; else raise the error again."""
        cause = error.__cause__ if isinstance(error, StoreError) else error
        if not files.is_full(cause):
            raise error
        with self.naming("making room"):
            self._ballast.unlink(missing_ok=True)

    def set_launched(self) -> float:
        """Write that a worker process was started just now, forget any stop that was asked for, and return when."""
        moment = time.time()
        facts = (
            record.put_fact("status", "queued"),
            record.put_fact("message", ""),
            record.put_fact("stop_requested", False),
            record.put_fact("launched", moment),
            record.put_fact("pid", None),
        )
        try:
            self._commit(*facts)
        except StoreError as error:  # a worker that starts can tell why it cannot go on
            self._make_room(error)
            self._commit(*facts)
        return moment

    def take_up(self, launch: float | None) -> None:
        """Write that this process, which holds the lock, works on the run from now on.

        Args:
            launch: what `set_launched` returned to whoever started this process, which then works only where no
                later launch and no other worker was there since; None: a person started it, and an earlier stop is
                forgotten.

        Raises:
            RunLockedError: another worker was meant.
        """
        present = record.put_fact("pid", os.getpid())
        if launch is None:
            self._commit(record.put_fact("stop_requested", False), present)
            return
        newest = self.worker
        if newest != Worker(pid=None, launched=launch):
            raise RunLockedError(
                "was taken up by another worker since this one was launched",
                field="run",
                value=self.id,
                hint="this one has nothing to do",
            )
        self._commit(present)

    def set_waiting(self, message: str) -> None:
        """Write that this process waits in line, and why."""
        self._commit(
            record.put_fact("status", "queued"),
            record.put_fact("message", message),
            record.put_fact("pid", os.getpid()),
        )

    def heed_stop(self) -> None:
        """Refuse to go on where a person asked for a stop.

        Raises:
            RunCancelled: that is so.
        """
        if self.stop_requested():
            raise RunCancelled

    def request_stop(self) -> None:
        """Ask the worker to stop at its next safe point."""
        self._commit(record.put_fact("stop_requested", True))

    # One place each for reading and for writing.

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Give a connection to read with."""
        with self.naming("reading its record"), self._guard:
            if self._writer is not None:
                yield self._writer
                return
            with closing(database.open_reader(self._record, record.VERSION)) as db:
                yield db

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Give a connection to write with: the lock holder's own, or one for this time."""
        if self._writer is not None:
            yield self._writer
            return
        with closing(database.open_writer(self._record, record.VERSION)) as db:
            yield db

    @contextmanager
    def _keeping(self) -> Iterator[None]:
        """Keep one connection open; put the last events on disk, also when the block fails."""
        with self.naming("opening its record"):
            try:
                self._writer = database.open_writer(self._record, record.VERSION)
            except (sqlite3.Error, OSError) as error:  # beside a record SQLite needs a little room
                self._make_room(error)
                self._writer = database.open_writer(self._record, record.VERSION)
        try:
            yield
            self.flush()
        except BaseException:
            with suppress(StoreError):  # the first error is the one to tell
                self.flush()
            raise
        finally:
            with self._guard:
                self._writer.close()
                self._writer = None

    def _commit(self, *statements: database.Statement) -> None:
        """Write all pending events and then `statements`, as one."""
        with self.naming("writing its record"), self._guard:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            with self._connection() as db:
                record.write(db, self._pending, statements)
            self._pending.clear()
            self._due = time.monotonic() + COMMIT_SECONDS

    def _flush_late(self) -> None:
        """Flush from the timer; on failure the events wait, and the worker's next call tells."""
        with suppress(StoreError):
            self.flush()

    def _facts(self) -> RunFacts:
        """Return all facts: shared by all viewers of this process, so look and do not touch."""
        if self._writer is not None:
            return self._read_facts()
        return _RECORDS.get(paths.record_files(self.folder), self._read_facts)

    def _read_facts(self) -> RunFacts:
        """Return all facts as they stand in the record now."""
        with self._reading() as db:
            return record.read_facts(db)

    def _derived(self, facts: RunFacts) -> str:
        """Return the status; `interrupted` for one that should have a worker and has none."""
        if not _without_worker(facts) or self.locked():
            return facts.status
        # The worker may have ended between the two looks: what it wrote last is what counts.
        facts = self._facts()
        return "interrupted" if _without_worker(facts) and not self.locked() else facts.status


def _without_worker(facts: RunFacts) -> bool:
    """Return whether a run without a worker in this state has lost it.

    A queued run may wait for its first worker for ever, or for a launched one for `LAUNCH_SECONDS`.
    """
    if facts.status == "queued" and facts.launched is not None:
        waited = facts.pid is not None  # it was in line already
        return waited or abs(time.time() - facts.launched) > LAUNCH_SECONDS
    return facts.status == "running"


def write_first(folder: Path, config: Settings, environment: Environment) -> None:
    """Fill the empty `folder` of a new run; raises as `rambo.runs.record.create` does."""
    record.create(paths.record(folder), config, environment)
    files.write_bytes(paths.ballast(folder), os.urandom(BALLAST_BYTES))
