"""The record of a run: events, status, lock, kill -9, a full disk."""

import math
import os
import random
import shutil
import signal
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_helpers import CLASSES, CONFIG, advance, child, names, refusal, unwritable

from rambo import events
from rambo.errors import RunLockedError, StoreError
from rambo.runs import run as run_module
from rambo.runs.environment import Environment
from rambo.runs.results import Result
from rambo.runs.run import Run
from rambo.runs.workspace import Workspace
from rambo.storage import database


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Workspace(tmp_path / "ru ns?#%41").create(CONFIG, Environment(classes=tuple(CLASSES)))


@pytest.fixture
def open_run() -> Iterator[Run]:
    """A run outside of pytest's own folders, which are private to root."""
    root = Path(tempfile.mkdtemp(prefix="rambo-test-"))
    root.chmod(0o755)
    yield Workspace(root / "runs").create(CONFIG, Environment())
    shutil.rmtree(root)


def result(trial: int = 0, strategy: str = "r", *, seed: int = 0, **fields: Any) -> Result:
    return Result(trial=trial, strategy=strategy, seed=seed, **fields)


EVENTS = [
    events.StageStarted("warm-start", 20),
    advance(1),
    events.ClassifierTrained("offline", 3, 150, 0.8125, 12, 1.5, False),
    events.UtilitySamplesAdded("pretraining-0", [100, 120], [0.5, 0.75]),
    events.HyperStep("warm-start", 1, 0.25, 1e-12, {"phi.0.weight": -6.0}),
    events.TrainingsCompared(0, None),
    events.StrategySelected("rambo", 500, 12.5),
    events.Noticed("a class named \udcff\0 'quoted' \n日本"),
]


def test_events_come_back_in_order_with_their_fields(run: Run) -> None:
    before = time.time()
    assert run.begin_attempt() == 1
    for place, event in enumerate(EVENTS):
        run.append(event, trial=None if place == 0 else 1, strategy=None if place < 2 else "rambo")
    run.flush()
    entries = run.events()
    assert [event.seq for event in entries] == list(range(1, len(EVENTS) + 1))
    assert [event.event.kind for event in entries] == [type(event).__name__ for event in EVENTS]
    assert [event.trial for event in entries] == [None] + [1] * 7
    assert [event.strategy for event in entries] == [None, None] + ["rambo"] * 6
    assert all(before <= event.time <= time.time() and event.attempt == 1 for event in entries)
    assert [entry.event for entry in entries] == list(EVENTS)
    assert run.events(since=6) == entries[6:]
    assert run.events(since=100) == []
    assert run.events(since=-3) == entries


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused_with_kind_and_field(run: Run, bad: float) -> None:
    cases = [
        (events.StageFinished("s", bad), "event StageFinished: field seconds is"),
        (
            events.ClassifierTrained("offline", 0, 1, bad, 1, 1.0, False),
            "event ClassifierTrained: field accuracy",
        ),
        (events.UtilitySamplesAdded("p", [1, 2], [0.5, bad]), "field utilities[1] is"),
        (events.HyperStep("p", 1, 0.5, 0.5, {"a": 0.0, "w.b": bad}), "field log_l2.w.b is"),
    ]
    for event, words in cases:
        complaint = refusal(lambda event=event: run.append(event, trial=0, strategy="rambo"))
        assert words in complaint
        assert "only finite numbers" in complaint
    complaint = refusal(lambda: run.save_result(result(0, "rambo", seconds={"all": bad})))
    assert "result of rambo, trial 0: field seconds.all is" in complaint
    run.flush()
    assert run.events() == []
    assert run.results() == []


def test_what_is_no_json_is_refused(run: Run) -> None:
    workspace = Workspace(run.folder.parent)
    words = refusal(lambda: run.save_result(result(figures={"a": [1, np.float32(2)]})))
    assert "field figures.a[1] is a float32; only JSON types" in words
    loop: list[Any] = []
    loop.append(loop)
    refusal(lambda: run.save_result(result(figures={"a": loop})))
    refusal(lambda: run.save_result(result(figures={(1, 2): 3})))
    assert "config: field k is nan" in refusal(
        lambda: workspace.create({"k": math.nan}, Environment())
    )
    assert "environment: field device is a Path" in refusal(
        lambda: workspace.create({}, Environment(device=Path("/tmp")))  # type: ignore[arg-type]
    ).replace("PosixPath", "Path")
    assert names(workspace.root) == [run.id]


def test_events_are_committed_together_and_the_last_one_does_not_wait(
    run: Run, monkeypatch
) -> None:
    commits = []
    commit = Run._commit
    monkeypatch.setattr(Run, "_commit", lambda self, *s: (commits.append(1), commit(self, *s)))
    start = time.monotonic()
    with run.lock():
        for step in range(200):
            run.append(advance(step), trial=0, strategy="rambo")
        took = time.monotonic() - start
        assert len(commits) <= 2 + took / 0.2
        deadline = time.monotonic() + 5
        while len(run.events()) < 200 and time.monotonic() < deadline:
            time.sleep(0.02)  # nothing more is appended
        assert len(Run(run.folder).events()) == 200


def test_leaving_the_lock_flushes_even_when_the_work_failed(run: Run) -> None:
    def work() -> None:
        with run.lock():
            for step in range(3):
                run.append(advance(step), trial=0, strategy="rambo")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert [event.event.step for event in run.events()] == [0, 1, 2]
    assert not run.locked()


def test_the_newest_attempt_of_each_strategy_counts(run: Run) -> None:
    def tell(steps: list[int], trial: int | None, strategy: str | None) -> None:
        for step in steps:
            run.append(advance(step), trial=trial, strategy=strategy)

    assert run.latest_events() == []
    assert run.begin_attempt() == 1
    tell([1], None, None)
    tell([1, 2, 3], 0, "rambo")
    tell([4, 5], 0, "margin")
    tell([6], 1, "rambo")
    run.flush()
    assert Run(run.folder).begin_attempt() == 2  # a resumed worker is another process
    resumed = Run(run.folder)
    resumed.append(advance(10), trial=0, strategy="margin")
    resumed.append(advance(11), trial=None, strategy=None)
    resumed.flush()
    assert run.begin_attempt() == 3
    tell([20], 1, "rambo")
    run.flush()
    places = [(event.trial, event.strategy, event.event.step) for event in run.latest_events()]
    assert places == [
        (0, "rambo", 1),
        (0, "rambo", 2),
        (0, "rambo", 3),
        (0, "margin", 10),
        (None, None, 11),
        (1, "rambo", 20),
    ]
    assert [event.attempt for event in run.events()] == [1] * 7 + [2, 2, 3]


def test_results_are_replaced_and_come_in_the_order_of_the_config(run: Run) -> None:
    for trial, strategy in [(1, "margin"), (0, "margin"), (1, "rambo"), (0, "rambo")]:
        run.save_result(result(trial, strategy, seed=5 + trial))
    run.save_result(result(0, "rambo", seed=5, test_accuracy=0.75))
    results = run.results()
    assert [(row.trial, row.strategy, row.state) for row in results] == [
        (0, "rambo", "evaluated"),
        (0, "margin", "selected"),
        (1, "rambo", "selected"),
        (1, "margin", "selected"),
    ]
    assert results[0] == result(0, "rambo", seed=5, test_accuracy=0.75)


def test_a_result_carries_the_events_before_it_to_disk(run: Run) -> None:
    with run.lock():
        for step in range(5):
            run.append(advance(step), trial=0, strategy="rambo")
        run.save_result(result(0, "rambo"))
        assert len(Run(run.folder).events()) == 5


# Status, stop, lock


def test_status_is_interrupted_when_it_says_running_without_a_worker(run: Run) -> None:
    viewer = Run(run.folder)
    with run.lock():
        assert viewer.status == "queued"
        run.set_status("running")
        assert (viewer.status, viewer.describe().status, viewer.locked()) == (
            "running",
            "running",
            True,
        )
    assert (viewer.status, viewer.describe().status, viewer.locked()) == (
        "interrupted",
        "interrupted",
        False,
    )
    for status in ("done", "failed", "stopped", "queued"):
        run.set_status(status, f"because {status}")
        assert viewer.status == status
        assert viewer.describe().message == f"because {status}"
    assert "choose one of: queued, running" in refusal(lambda: run.set_status("Done\n"))


def test_a_worker_that_ends_between_two_looks_is_not_interrupted(run: Run, monkeypatch) -> None:
    run.set_status("running")
    monkeypatch.setattr(Run, "locked", lambda self: bool(run.set_status("done")))
    assert Run(run.folder).status == "done"


@pytest.mark.parametrize("status", ["queued", "done", "failed", "stopped"])
def test_whether_a_worker_is_there_is_asked_only_where_one_should_be(
    run: Run, monkeypatch, status: str
) -> None:
    """A list of a thousand runs that ended opens no lock."""
    run.set_status(status)
    monkeypatch.setattr(Run, "locked", lambda self: pytest.fail("asked for the lock"))
    assert Run(run.folder).status == status


def test_a_worker_that_starts_between_two_looks_is_seen(run: Run, monkeypatch) -> None:
    run.set_status("running")
    looks = iter([False, True])  # resumed just after the first look
    monkeypatch.setattr(Run, "locked", lambda self: next(looks))
    assert Run(run.folder).status == "running"


def test_a_worker_that_holds_its_lock_is_believed_at_the_first_look(run: Run, monkeypatch) -> None:
    """Were the record read again before the look, a worker that ends in between would seem lost."""
    run.set_status("running")
    read, readings = Run._facts, []
    monkeypatch.setattr(Run, "_facts", lambda self: (readings.append(1), read(self))[1])
    monkeypatch.setattr(Run, "locked", lambda self: len(readings) < 2)
    assert Run(run.folder).status == "running"


@pytest.mark.parametrize("status", ["done", "failed", "stopped"])
def test_a_run_that_a_page_launched_and_that_ended_has_lost_no_worker(
    run: Run, status: str
) -> None:
    run.set_launched()
    with run.lock():
        run.begin_attempt()
        run.set_status("running")
        run.set_status(status)
    assert run.worker.launched is not None
    assert run.worker.pid == os.getpid()
    assert Run(run.folder).status == status


def test_a_launched_run_is_lost_when_its_worker_does_not_come(run: Run, monkeypatch) -> None:
    assert run.status == "queued"  # nobody launched it: it may wait for ever
    run.set_launched()
    launched = run.worker.launched
    for late, status in [(0, "queued"), (59, "queued"), (61, "interrupted"), (-61, "interrupted")]:
        monkeypatch.setattr(run_module.time, "time", lambda late=late: launched + late)
        assert (run.status, run.describe().status) == (status, status), late
        with run.lock():
            assert Run(run.folder).status == "queued"  # it came late, and is there


def test_a_run_that_failed_and_waits_in_line_again_is_queued_and_says_why(run: Run) -> None:
    run.set_status("failed", "the disk is full")
    with run.lock():
        run.set_waiting("second in line")
        assert (run.status, run.describe().message) == ("queued", "second in line")
        assert run.worker.pid == os.getpid()


def test_a_launch_forgets_the_stop_and_the_process_of_before(run: Run) -> None:
    with run.lock():
        run.begin_attempt()
        run.set_status("stopped", "by hand")
    run.request_stop()
    run.set_launched()
    assert (run.status, run.describe().message) == ("queued", "")
    assert not run.stop_requested()
    assert run.worker.pid is None


def test_a_run_that_waited_in_line_is_lost_as_soon_as_its_worker_is_absent(run: Run) -> None:
    run.set_launched()
    with run.lock():
        run.set_waiting("second in line")
        assert Run(run.folder).status == "queued"
    assert Run(run.folder).status == "interrupted"
    run.set_launched()  # resumed: the new worker has its time to come
    assert Run(run.folder).status == "queued"


def test_a_stop_reaches_the_worker_at_once(run: Run) -> None:
    viewer = Run(run.folder)
    with run.lock():
        assert not run.stop_requested()
        viewer.request_stop()
        assert run.stop_requested()
        run.take_up(None)
        assert not viewer.stop_requested()


def test_a_launched_process_works_only_where_no_other_was_meant(run: Run) -> None:
    first = run.set_launched()
    second = run.set_launched()
    run.request_stop()
    for launch, own in [(first, False), (second, True), (second, False), (None, True)]:
        with run.lock():
            if own:
                run.take_up(launch)
                assert run.worker.pid == os.getpid()
                # A stop since the launch counts; a person who starts it by hand means it.
                assert run.stop_requested() is (launch is not None)
            else:
                with pytest.raises(RunLockedError, match="taken up by another worker since"):
                    run.take_up(launch)


def test_a_locked_run_is_refused_and_free_afterwards(run: Run) -> None:
    with run.lock():
        with pytest.raises(RunLockedError) as caught, Run(run.folder).lock():
            pytest.fail("two workers")
        sentence = f"run {run.id} is already being worked on; wait for it or stop it"
        assert str(caught.value) == sentence
    with Run(run.folder).lock():
        pass


WORKER = """
import os, sys
from pathlib import Path
from rambo.errors import RunLockedError
from rambo.runs.run import Run
sys.stdin.readline()  # all start together
try:
    with Run(Path(sys.argv[1])).lock():
        os.write(1, b"won")
        sys.stdin.read()
except RunLockedError:
    os.write(1, b"lost")
"""


def test_of_ten_workers_one_wins_and_a_killed_one_frees_the_lock(run: Run) -> None:
    workers = [child(WORKER, run.folder) for _ in range(10)]
    for worker in workers:
        worker.stdin.write(b"\n")
        worker.stdin.flush()
    answers = [os.read(worker.stdout.fileno(), 10) for worker in workers]
    assert sorted(answers) == [b"lost"] * 9 + [b"won"]
    assert run.locked()
    winner = workers[answers.index(b"won")]
    winner.kill()
    for worker in workers:
        worker.communicate()
    assert not run.locked()
    with run.lock():
        pass


def test_looking_at_the_lock_never_keeps_a_worker_out(run: Run) -> None:
    ended = threading.Event()
    states: list[bool] = []

    def look() -> None:
        while not ended.is_set():
            states.append(Run(run.folder).locked())

    viewers = [threading.Thread(target=look) for _ in range(3)]
    for viewer in viewers:
        viewer.start()
    try:
        for _ in range(50):
            with run.lock():
                pass
    finally:
        ended.set()
        for viewer in viewers:
            viewer.join()
    assert True in states


# Kill -9, and readers beside a writer


WRITER = """
import os, sys, itertools
from pathlib import Path
from rambo.events import StageAdvanced
from rambo.runs.results import Result
from rambo.runs.run import Run
run = Run(Path(sys.argv[1]))
with run.lock():
    attempt = run.begin_attempt()
    run.set_status("running")
    for step in itertools.count():
        for part in range(3):
            run.append(StageAdvanced("x" * (step % 700), step, part), trial=attempt, strategy="rambo")
        if step % 4 == 3:
            run.save_result(Result(trial=attempt, strategy="rambo", seed=0, trainings=step))
        run.flush()
        os.write(1, b"%d %d\\n" % (attempt, step))
"""


def test_kill_9_loses_no_flushed_event(run: Run) -> None:
    draw = random.Random(1)
    flushed: dict[int, int] = {}
    for attempt in range(1, 11):
        writer = child(WRITER, run.folder)
        first = writer.stdout.readline()
        time.sleep(draw.uniform(0, 0.25))
        writer.send_signal(signal.SIGKILL)
        lines = (first + writer.communicate()[0]).splitlines(keepends=True)
        whole = [line.split() for line in lines if line.endswith(b"\n")]
        flushed[attempt] = int(whole[-1][1])
        assert int(whole[-1][0]) == attempt
        if attempt % 3 == 0:  # what a power cut takes: the file is no part of the record
            Path(f"{run.folder}/run.sqlite-shm").unlink()
        assert run.describe().status == "interrupted"
        entries = run.events()
        assert [event.seq for event in entries] == list(range(1, len(entries) + 1))
        mine = [event for event in entries if event.attempt == attempt]
        assert len(mine) >= 3 * (flushed[attempt] + 1)
        for place, event in enumerate(mine):
            assert (event.event.step, event.event.total) == divmod(place, 3)
            assert event.event.stage == "x" * (event.event.step % 700)
        saved = {row.trial: row.trainings for row in run.results()}
        for earlier, step in flushed.items():
            assert saved.get(earlier, -1) >= (step + 1) // 4 * 4 - 1
    assert len({event.attempt for event in run.events()}) == 10


def test_a_reader_beside_a_writer_sees_growing_whole_prefixes(run: Run) -> None:
    writer = child(WRITER, run.folder)
    writer.stdout.readline()
    sizes = []
    try:
        for _ in range(40):
            entries = Run(run.folder).events()
            assert [event.seq for event in entries] == list(range(1, len(entries) + 1))
            sizes.append(len(entries))
            assert run.status == "running"
            tail = run.events(since=sizes[-1])
            assert [event.seq for event in tail] == list(
                range(sizes[-1] + 1, sizes[-1] + len(tail) + 1)
            )
    finally:
        writer.kill()
        writer.communicate()
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[0]


def leave_a_wal(run: Run) -> None:
    """Leave the folder as a killed writer does: events stand in the WAL only."""
    wal = run.folder / "run.sqlite-wal"
    with run.lock():
        for step in range(20):
            run.append(advance(step), trial=0, strategy="rambo")
        run.flush()
        contents = {path: path.read_bytes() for path in (run.folder / "run.sqlite", wal)}
    for path, data in contents.items():
        path.write_bytes(data)
    with suppress(FileNotFoundError):
        (run.folder / "run.sqlite-shm").unlink()
    assert wal.stat().st_size > 0


def test_a_wal_without_its_writer_is_read_in_a_folder_where_nothing_can_be_written(
    open_run,
) -> None:
    leave_a_wal(open_run)
    before = {path.name: path.read_bytes() for path in open_run.folder.iterdir() if path.is_file()}
    with unwritable(open_run.folder):
        assert [event.event.step for event in open_run.events()] == list(range(20))
        assert open_run.describe().status == "queued"
        words = refusal(open_run.request_stop)
        assert "read-only" in words or "denied" in words
        assert f"`python -m rambo resume {open_run.id}`" in words
        open_run._due = 0.0
        refusal(lambda: open_run.append(advance(20), trial=0, strategy="rambo"))
        refusal(lambda: open_run.save_arrays("a", {"w": np.ones(1)}))
        words = refusal(lambda: Workspace(open_run.folder).create({}, Environment()))
        assert "denied" in words
    after = {path.name: path.read_bytes() for path in open_run.folder.iterdir() if path.is_file()}
    assert before == after
    open_run.flush()
    assert [event.event.step for event in open_run.events()] == list(range(21))


def test_a_finished_run_is_read_in_a_folder_where_nothing_can_be_written(open_run: Run) -> None:
    open_run.append(advance(1), trial=0, strategy="rambo")
    open_run.set_status("done")
    with unwritable(open_run.folder):
        assert open_run.describe().status == "done"
        assert len(open_run.events()) == 1
        assert not open_run.locked()


# A full disk, and a folder that is gone


def limit_pages(monkeypatch, limit: Callable[[], int | None]) -> None:
    """Let every writer's connection have as many pages as `limit` says; SQLite itself reports FULL."""
    opened = database.open_writer

    def limited(path: Path, version: int) -> sqlite3.Connection:
        db = opened(path, version)
        if (pages := limit()) is not None:
            db.execute(f"PRAGMA max_page_count={pages}")
        return db

    monkeypatch.setattr(database, "open_writer", limited)


def test_a_full_disk_is_told_and_nothing_is_lost_when_there_is_room_again(run, monkeypatch) -> None:
    with monkeypatch.context() as patched:
        limit_pages(patched, lambda: 40)
        with run.lock():
            words, appended = "", 0
            while not words:
                try:
                    run.append(events.Noticed("x" * 1000), trial=0, strategy=None)
                    appended += 1
                    run.flush()
                except StoreError as error:
                    words = str(error)
            for _ in range(3):
                assert refusal(run.flush) == words
            assert words == (
                f"run {run.id}: writing its record: the disk is full; "
                f"free some space and `python -m rambo resume {run.id}`"
            )
            count_before = len(Run(run.folder).events())
            assert count_before == appended - 1 or count_before == appended
            run._writer.execute("PRAGMA max_page_count=100000")
    entries = run.events()
    assert len(entries) >= appended
    assert [event.seq for event in entries] == list(range(1, len(entries) + 1))


def test_the_ballast_makes_room_for_the_failed_status(run: Run, monkeypatch) -> None:
    ballast = run.folder / "ballast"
    with monkeypatch.context() as patched:
        limit_pages(patched, lambda: 1 if ballast.exists() else None)
        assert "the disk is full" in refusal(
            lambda: run.save_result(result(figures={"x": "y" * 9000}))
        )
        assert ballast.exists()
        run.append(events.Noticed("small"), trial=None, strategy=None)
        run.set_status("failed", "the disk is full " * 1000)
    assert not ballast.exists()
    assert run.describe().message.startswith("the disk is full")
    assert run.status == "failed"
    assert [event.event.message for event in run.events()] == ["small"]
    assert run.begin_attempt() == 1
    assert ballast.stat().st_size == 2**20


def test_the_failed_status_goes_before_events_that_do_not_fit(run: Run, monkeypatch) -> None:
    ballast = run.folder / "ballast"
    with monkeypatch.context() as patched:
        limit_pages(patched, lambda: 1 if ballast.exists() else 20)
        refusal(lambda: run.append(events.Noticed("x" * 2**20), trial=None, strategy=None))
        assert "the disk is full" in refusal(lambda: run.set_status("done"))
        run.set_status("failed", "m" * 5000)
        assert run.status == "failed"
        assert run.events() == []
    run.append(advance(1), trial=0, strategy="rambo")
    run.flush()
    assert [event.seq for event in run.events()] == [1]


def test_a_deleted_run_is_not_made_again(run: Run) -> None:
    shutil.rmtree(run.folder)
    actions: list[Callable[[], Any]] = [
        lambda: run.config,
        lambda: run.status,
        run.events,
        run.results,
        run.request_stop,
        run.begin_attempt,
        lambda: run.set_status("done"),
        lambda: run.append(advance(1), trial=0, strategy="rambo"),
        lambda: run.lock().__enter__(),
    ]
    for action in actions:
        assert "moved or deleted" in refusal(action)
    assert run.describe().status == "unreadable"
    assert not run.locked()
    assert not run.folder.exists()
