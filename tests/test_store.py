"""The workspace and the run directory: round trips, concurrency, kill -9, failing disks, damage."""

import errno
import json
import math
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rambo import database, events, files, record, store
from rambo.config import build, describe
from rambo.errors import RunLockedError, RunNotFoundError, StoreError
from rambo.run import Run
from rambo.store import Workspace, summary

ROOT = Path(__file__).parent.parent
CONFIG = describe(build({"strategies": ["rambo", "margin"], "trials": 2, "seed": 5}))
CLASSES = ["T-shirt", "=1+1", "![x](//host/p.png)", "\udcff\0\n", "日本"]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ru ns?#%41")  # a name that would break an unquoted URI


@pytest.fixture
def run(workspace: Workspace) -> Run:
    return workspace.create(CONFIG, {"classes": CLASSES})


def advance(step: int) -> events.StageAdvanced:
    return events.StageAdvanced("pretraining", step, 100)


def refusal(action: Callable[[], Any]) -> str:
    """Return the words of the StoreError that `action` must raise: one line, no path."""
    with pytest.raises(StoreError) as caught:
        action()
    words = str(caught.value)
    assert words.isprintable(), words
    assert "/tmp" not in words, words
    return words


def child(code: str, *arguments: object) -> subprocess.Popen[bytes]:
    """Start Python with `code`; its arguments are in sys.argv[1:]."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.PIPE)


@contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """Make a run folder read-only, for root too: the block runs as nobody."""
    changed = {path: path.stat().st_mode for path in [folder, *folder.rglob("*")]}
    for path in changed:
        path.chmod(0o555 if path.is_dir() else 0o444)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for path, mode in changed.items():
            path.chmod(mode)


@pytest.fixture
def open_run() -> Iterator[Run]:
    """A run that nobody else's rights keep nobody from: pytest's own folders are private."""
    root = Path(tempfile.mkdtemp(prefix="rambo-test-"))
    root.chmod(0o755)
    yield Workspace(root / "runs").create(CONFIG, {})
    shutil.rmtree(root)


# Making and finding


def test_a_new_run_holds_what_it_was_given(workspace: Workspace) -> None:
    made = workspace.create(CONFIG, {"classes": CLASSES, "torch": "2.13"})
    assert re.fullmatch(r"fashion-mnist-mini-\d{8}-\d{6}-[0-9a-f]{4}", made.id)
    found = workspace.find(made.id)
    assert found.config == CONFIG
    assert found.environment == {"classes": CLASSES, "torch": "2.13"}
    assert (found.status, found.events(), found.results()) == ("queued", [], [])
    assert found.describe() == {
        "run": made.id,
        "status": "queued",
        "dataset": "fashion-mnist-mini",
        "created": made.created(),
        "k": 200,
        "budget": 500,
        "strategies": ["rambo", "margin"],
        "trials": 2,
        "message": "",
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", made.created())
    assert os.listdir(workspace.root) == [made.id]
    assert (made.folder / "ballast").stat().st_size == 2**20


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("/home/ann/My Photos/", "my-photos"),
        (r"C:\Users\ann\bits.npz", "bits-npz"),
        ("../../etc", "etc"),
        ("Ünï çödé", "uni-code"),
        ("日本", "run"),
        ("..", "run"),
        ("", "run"),
        ("a" * 900, "a" * 40),
        ("-" * 50 + "x\0\ny", "x-y"),
    ],
)
def test_a_run_id_is_readable_and_tells_nothing_private(workspace, name: str, slug: str) -> None:
    made = workspace.create({"dataset": {"name": name}}, {})
    assert re.fullmatch(re.escape(slug) + r"-\d{8}-\d{6}-[0-9a-f]{4}", made.id)
    assert re.fullmatch(r"[a-z0-9-]{1,64}", made.id)
    assert workspace.find(made.id).config == {"dataset": {"name": name}}


def test_the_environment_names_the_workspace(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAMBO_HOME", raising=False)
    assert Workspace.from_environment().root == tmp_path / "runs"
    monkeypatch.setenv("RAMBO_HOME", "")
    assert Workspace.from_environment().root == tmp_path / "runs"
    monkeypatch.setenv("RAMBO_HOME", str(tmp_path / "elsewhere"))
    assert Workspace.from_environment().root == tmp_path / "elsewhere"
    assert Workspace.from_environment().runs() == []


def test_twenty_creates_at_once_give_twenty_runs(workspace: Workspace) -> None:
    with ThreadPoolExecutor(20) as pool:
        made = list(pool.map(lambda place: workspace.create(CONFIG, {"place": place}), range(20)))
    assert len({run.id for run in made}) == 20
    assert {run.id for run in workspace.runs()} == {run.id for run in made}
    assert sorted(run.environment["place"] for run in workspace.runs()) == list(range(20))


def test_a_name_that_is_taken_is_drawn_again(workspace: Workspace, monkeypatch) -> None:
    monkeypatch.setattr(time, "strftime", lambda form: "20260101-000000")
    draws = iter(["11" * 8, "aaaa", "22" * 8, "aaaa", "bbbb"])
    monkeypatch.setattr(store.secrets, "token_hex", lambda size: next(draws, "cd" * size))
    monkeypatch.setattr(files.secrets, "token_hex", os.urandom(8).hex)
    draws = iter(["1" * 16, "aaaa", "2" * 16, "aaaa", "bbbb"])
    monkeypatch.setattr(
        store, "secrets", type("Draws", (), {"token_hex": lambda size: next(draws)})
    )
    first = workspace.create(CONFIG, {"place": 1})
    second = workspace.create(CONFIG, {"place": 2})
    assert (first.id[-4:], second.id[-4:]) == ("aaaa", "bbbb")
    assert (first.environment, second.environment) == ({"place": 1}, {"place": 2})


def test_runs_come_newest_first_by_the_stored_time(workspace: Workspace) -> None:
    made = [workspace.create(CONFIG, {}) for _ in range(5)]
    os.utime(made[0].folder)  # looked at last, made first
    assert [run.id for run in workspace.runs()] == [run.id for run in reversed(made)]


def test_only_run_folders_are_listed(workspace: Workspace, run: Run, tmp_path: Path) -> None:
    for name in ("datasets", "predictions", ".new-0123", "Upper-20260101-000000-abcd"):
        (workspace.root / name).mkdir()
    (workspace.root / "note").write_text("x")
    outside = tmp_path / "outside"
    shutil.copytree(run.folder, outside)
    (workspace.root / "link-20260101-000000-abcd").symlink_to(outside)
    (workspace.root / "empty-20260101-000000-abcd").mkdir()
    shutil.copytree(run.folder, workspace.root / "shipped-demo")
    names = {found.id for found in workspace.runs()}
    assert names == {run.id, "empty-20260101-000000-abcd", "shipped-demo"}
    assert workspace.find("shipped-demo").config == CONFIG
    for name in ("datasets", "note", "link-20260101-000000-abcd"):
        with pytest.raises(RunNotFoundError):
            workspace.find(name)


OPENED: list[str] | None = None


def listen(event: str, arguments: tuple[Any, ...]) -> None:
    if OPENED is not None and event in ("open", "sqlite3.connect", "os.listdir", "os.scandir"):
        OPENED.append(str(arguments[0]))


sys.addaudithook(listen)


def hostile_ids(real: str) -> list[str]:
    seeds = [
        "..", ".", "", "/", "../" + real, real + "/", real + "/..", "./" + real, "/etc/passwd", real + "\n",
        real + "\0", real + " ", " " + real, real.upper(), real + ";", real + "%00", "%2e%2e%2f", "%252e%252e",
        "..%2f" + real, "..\\" + real, "\\\\host\\share", "C:\\", "file:///etc", "~", "~root", "$HOME", "`id`",
        "a" * 65, "a" * 10_000, "../" * 5_000, "．．／", "‥", "\u202e" + real, "\ufeff" + real, "\udcff",
        "run.sqlite", real + "/run.sqlite", "datasets", "*", "?", "[a-z]*", "-", "--help", "con", "nul",
        "' OR 1=1 --", "<script>", "![](//host/p.png)", "\r\nSet-Cookie: x", "\x1b[2J", "𝒶", "a\u0301",
    ]  # fmt: skip
    draw = random.Random(0)
    alphabet = "./\\%;\0\n\r\t ~:-_*?'\"<>|&$abcz09\u2024\uff0e\uff0f\u202e" + real
    fuzzed = ["".join(draw.choices(alphabet, k=draw.randint(1, 90))) for _ in range(300)]
    return [text for text in seeds + fuzzed if text != real]


def test_a_hostile_run_id_finds_nothing_and_opens_nothing(workspace: Workspace, run: Run) -> None:
    global OPENED
    ids = hostile_ids(run.id)
    assert len(ids) >= 300
    OPENED = []
    try:
        for text in ids:
            with pytest.raises(RunNotFoundError) as caught:
                workspace.find(text)
            words = str(caught.value)
            assert words.isprintable()
            assert len(words) < 160
            assert words.endswith("no such run; `python -m rambo list` shows them")
    finally:
        opened, OPENED = OPENED, None
    assert set(opened) == {str(workspace.root)}  # the listing, and nothing else
    assert workspace.find(run.id).id == run.id


# Events


EVENTS = [
    events.StageStarted("warm-start", 20),
    advance(1),
    events.ClassifierTrained("offline", 3, 150, 0.8125, 12, 1.5, False),
    events.UtilitySamplesAdded("pretraining-0", [100, 120], [0.5, 0.75]),
    events.HyperStep("warm-start", 1, 0.25, 1e-12, {"phi.0.weight": -6.0}),
    events.NoiseCeilingMeasured(0, None),
    events.StrategySelected("rambo", 500, 12.5),
    events.Noticed("a class named \udcff\0 'quoted' \n日本"),
]


def test_events_come_back_in_order_with_their_fields(run: Run) -> None:
    before = time.time()
    assert run.begin_attempt() == 1
    for place, event in enumerate(EVENTS):
        run.append(event, trial=None if place == 0 else 1, strategy=None if place < 2 else "rambo")
    run.flush()
    told = run.events()
    assert [event["seq"] for event in told] == list(range(1, len(EVENTS) + 1))
    assert [event["kind"] for event in told] == [type(event).__name__ for event in EVENTS]
    assert [event["trial"] for event in told] == [None] + [1] * 7
    assert [event["strategy"] for event in told] == [None, None] + ["rambo"] * 6
    assert all(before <= event["time"] <= time.time() and event["attempt"] == 1 for event in told)
    head = ("seq", "attempt", "trial", "time", "kind")
    for event, given in zip(told, EVENTS, strict=True):
        fields = {name: value for name, value in event.items() if name not in head}
        assert fields == {"strategy": event["strategy"], **given.record()}
    assert run.events(since=6) == told[6:]
    assert run.events(since=100) == []
    assert run.events(since=-3) == told


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
        told = refusal(lambda event=event: run.append(event, trial=0, strategy="rambo"))
        assert words in told
        assert "only finite numbers" in told
    told = refusal(lambda: run.save_result(0, "rambo", "selected", {"seconds": {"all": bad}}))
    assert "result of rambo, trial 0: field seconds.all is" in told
    run.flush()
    assert run.events() == []
    assert run.results() == []


def test_what_is_no_json_is_refused(workspace: Workspace, run: Run) -> None:
    told = refusal(lambda: run.save_result(0, "r", "selected", {"a": [1, np.float32(2)]}))
    assert "field a[1] is a float32; only JSON types" in told
    loop: list[Any] = []
    loop.append(loop)
    refusal(lambda: run.save_result(0, "r", "selected", {"a": loop}))
    refusal(lambda: run.save_result(0, "r", "selected", {(1, 2): 3}))  # type: ignore[dict-item]
    assert "config: field k is nan" in refusal(lambda: workspace.create({"k": math.nan}, {}))
    assert "environment: field x is a Path" in refusal(
        lambda: workspace.create({}, {"x": Path("/tmp")})
    ).replace("PosixPath", "Path")
    assert os.listdir(workspace.root) == [run.id]


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
    with pytest.raises(ZeroDivisionError), run.lock():
        for step in range(3):
            run.append(advance(step), trial=0, strategy="rambo")
        raise ZeroDivisionError
    assert [event["step"] for event in run.events()] == [0, 1, 2]
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
    assert Run(run.folder).begin_attempt() == 2  # a resumed worker is another process
    resumed = Run(run.folder)
    resumed.append(advance(10), trial=0, strategy="margin")
    resumed.append(advance(11), trial=None, strategy=None)
    resumed.flush()
    assert run.begin_attempt() == 3
    tell([20], 1, "rambo")
    run.flush()
    told = [(event["trial"], event["strategy"], event["step"]) for event in run.latest_events()]
    assert told == [
        (0, "rambo", 1),
        (0, "rambo", 2),
        (0, "rambo", 3),
        (0, "margin", 10),
        (None, None, 11),
        (1, "rambo", 20),
    ]
    assert [event["attempt"] for event in run.events()] == [1] * 7 + [2, 2, 3]


# Status, stop, lock


def test_status_is_interrupted_when_it_says_running_without_a_worker(run: Run) -> None:
    viewer = Run(run.folder)
    with run.lock():
        assert viewer.status == "queued"
        run.set_status("running")
        assert (viewer.status, viewer.describe()["status"], viewer.locked()) == (
            "running",
            "running",
            True,
        )
    assert (viewer.status, viewer.describe()["status"], viewer.locked()) == (
        "interrupted",
        "interrupted",
        False,
    )
    for status in ("done", "failed", "stopped", "queued"):
        run.set_status(status, f"because {status}")
        assert viewer.status == status
        assert viewer.describe()["message"] == f"because {status}"
    assert "choose one of: queued, running" in refusal(lambda: run.set_status("Done\n"))


def test_a_worker_that_ends_between_two_looks_is_not_interrupted(run: Run, monkeypatch) -> None:
    run.set_status("running")
    monkeypatch.setattr(Run, "locked", lambda self: bool(run.set_status("done")))
    assert Run(run.folder).status == "done"


def test_a_stop_reaches_the_worker_at_once(run: Run) -> None:
    viewer = Run(run.folder)
    with run.lock():
        assert not run.stop_requested()
        viewer.request_stop()
        assert run.stop_requested()
        run.clear_stop()
        assert not viewer.stop_requested()


def test_a_locked_run_is_refused_and_free_afterwards(run: Run) -> None:
    with run.lock():
        with pytest.raises(RunLockedError) as caught, Run(run.folder).lock():
            pytest.fail("two workers")
        told = f"run {run.id} is already being worked on; wait for it or stop it"
        assert str(caught.value) == told
    with Run(run.folder).lock():
        pass


WORKER = """
import os, sys
from pathlib import Path
from rambo.errors import RunLockedError
from rambo.run import Run
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
    seen: list[bool] = []

    def look() -> None:
        while not ended.is_set():
            seen.append(Run(run.folder).locked())

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
    assert True in seen


# Kill -9, and readers beside a writer


WRITER = """
import os, sys, itertools
from pathlib import Path
from rambo.events import StageAdvanced
from rambo.run import Run
run = Run(Path(sys.argv[1]))
with run.lock():
    attempt = run.begin_attempt()
    run.set_status("running")
    for step in itertools.count():
        for part in range(3):
            run.append(StageAdvanced("x" * (step % 700), step, part), trial=attempt, strategy="rambo")
        if step % 4 == 3:
            run.save_result(attempt, "rambo", "selected", {"step": step})
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
        assert run.describe()["status"] == "interrupted"
        told = run.events()
        assert [event["seq"] for event in told] == list(range(1, len(told) + 1))
        mine = [event for event in told if event["attempt"] == attempt]
        assert len(mine) >= 3 * (flushed[attempt] + 1)
        for place, event in enumerate(mine):
            assert (event["step"], event["total"]) == divmod(place, 3)
            assert event["stage"] == "x" * (event["step"] % 700)
        saved = {result["trial"]: result["data"]["step"] for result in run.results()}
        for earlier, step in flushed.items():
            assert saved.get(earlier, -1) >= (step + 1) // 4 * 4 - 1
    assert len({event["attempt"] for event in run.events()}) == 10


def test_a_reader_beside_a_writer_sees_growing_whole_prefixes(run: Run) -> None:
    writer = child(WRITER, run.folder)
    writer.stdout.readline()
    sizes = []
    try:
        for _ in range(40):
            told = Run(run.folder).events()
            assert [event["seq"] for event in told] == list(range(1, len(told) + 1))
            sizes.append(len(told))
            assert run.status == "running"
            tail = run.events(since=sizes[-1])
            assert [event["seq"] for event in tail] == list(
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
        kept = {path: path.read_bytes() for path in (run.folder / "run.sqlite", wal)}
    for path, data in kept.items():
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
        assert [event["step"] for event in open_run.events()] == list(range(20))
        assert open_run.describe()["status"] == "queued"
        told = refusal(open_run.request_stop)
        assert "read-only" in told or "denied" in told
        assert f"`python -m rambo resume {open_run.id}`" in told
        refusal(lambda: open_run.append(advance(1), trial=0, strategy="rambo"))
        refusal(lambda: open_run.save_arrays("a", {"w": np.ones(1)}))
        told = refusal(lambda: Workspace(open_run.folder).create({}, {}))
        assert "denied" in told
    after = {path.name: path.read_bytes() for path in open_run.folder.iterdir() if path.is_file()}
    assert before == after
    assert [event["step"] for event in open_run.events()] == list(range(20))


def test_a_finished_run_is_read_in_a_folder_where_nothing_can_be_written(open_run: Run) -> None:
    open_run.append(advance(1), trial=0, strategy="rambo")
    open_run.set_status("done")
    with unwritable(open_run.folder):
        assert open_run.describe()["status"] == "done"
        assert len(open_run.events()) == 1
        assert not open_run.locked()


# Failing disks


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
            seen = len(Run(run.folder).events())
            assert seen == appended - 1 or seen == appended
            run._kept.execute("PRAGMA max_page_count=100000")
    told = run.events()
    assert len(told) >= appended
    assert [event["seq"] for event in told] == list(range(1, len(told) + 1))


def test_the_ballast_makes_room_for_the_failed_status(run: Run, monkeypatch) -> None:
    ballast = run.folder / "ballast"
    with monkeypatch.context() as patched:
        limit_pages(patched, lambda: 1 if ballast.exists() else None)
        assert "the disk is full" in refusal(
            lambda: run.save_result(0, "r", "s", {"x": "y" * 9000})
        )
        assert ballast.exists()
        run.append(events.Noticed("small"), trial=None, strategy=None)
        run.set_status("failed", "the disk is full " * 1000)
    assert not ballast.exists()
    assert run.describe()["message"].startswith("the disk is full")
    assert run.status == "failed"
    assert [event["message"] for event in run.events()] == ["small"]
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
    assert [event["seq"] for event in run.events()] == [1]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full; free some space and `python -m rambo resume"),
        (errno.EROFS, "the folder is read-only; make it writable and `python -m rambo resume"),
        (errno.EACCES, "access is denied"),
        (errno.EIO, "the disk reports an error"),
    ],
)
@pytest.mark.parametrize("call", ["fsync", "open"])
def test_a_disk_that_refuses_an_artifact_leaves_the_old_one(run, monkeypatch, number, words, call):
    run.save_arrays("trial-0/u_hat", {"w": np.ones(3)})
    run.save_table("trial-0/selection", pd.DataFrame({"order": [1]}))
    listing = sorted(path for path in run.folder.rglob("*") if path.suffix in (".part", ".parquet"))

    def refuse(*arguments: Any, **named: Any) -> None:
        raise OSError(number, os.strerror(number), "/tmp/private")

    with monkeypatch.context() as patched:
        patched.setattr(*((os, "fsync") if call == "fsync" else (Path, "open")), refuse)
        told = refusal(lambda: run.save_arrays("trial-0/u_hat", {"w": np.zeros(3)}))
        assert told.startswith(f"run {run.id}: artifact trial-0/u_hat: {words}")
        refusal(lambda: run.save_table("trial-0/selection", pd.DataFrame({"order": [2]})))
        refusal(lambda: run.save_arrays("new", {"w": np.zeros(3)}))
    np.testing.assert_array_equal(run.load_arrays("trial-0/u_hat")["w"], np.ones(3))
    assert run.load_table("trial-0/selection")["order"].tolist() == [1]
    assert not run.has_artifact("new")
    after = sorted(path for path in run.folder.rglob("*") if path.suffix in (".part", ".parquet"))
    assert after == listing


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_run_that_cannot_be_made_leaves_nothing(workspace, run, monkeypatch, number) -> None:
    def refuse(*arguments: Any, **named: Any) -> None:
        raise OSError(number, os.strerror(number), "/tmp/private")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        told = refusal(lambda: workspace.create(CONFIG, {}))
    assert told.startswith("a new run could not be made: ")
    assert os.listdir(workspace.root) == [run.id]


def test_a_workspace_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("x")
    workspace = Workspace(tmp_path / "runs")
    refusal(lambda: workspace.create(CONFIG, {}))
    refusal(workspace.runs)
    refusal(lambda: workspace.find("a"))


# Damage


def everything(run: Run) -> dict[str, Any]:
    """Return all a reader can ask, each answer or None where it was refused."""
    questions: dict[str, Callable[[], Any]] = {
        "config": lambda: run.config,
        "environment": lambda: run.environment,
        "status": lambda: run.status,
        "events": run.events,
        "latest": run.latest_events,
        "results": run.results,
        "stop": run.stop_requested,
        "summary": lambda: summary(run),
    }
    answers = {}
    for name, question in questions.items():
        try:
            answers[name] = question()
        except StoreError as error:
            assert str(error).isprintable()
            answers[name] = None
    return answers


def test_no_flipped_bit_or_cut_is_taken_for_a_record(run: Run) -> None:
    for step in range(60):
        run.append(events.Noticed(f"{step}" * step), trial=0, strategy="rambo")
    for trial in range(2):
        run.save_result(trial, "rambo", "selected", {"selected": list(range(50))})
    sound = everything(run)
    assert None not in sound.values()
    path = run.folder / "run.sqlite"
    data = path.read_bytes()
    draw = random.Random(2)
    damaged = [data[: draw.randrange(len(data))] for _ in range(80)]
    for _ in range(320):
        place = draw.randrange(100) if draw.random() < 0.2 else draw.randrange(len(data))
        damaged.append(
            data[:place] + bytes([data[place] ^ 1 << draw.randrange(8)]) + data[place + 1 :]
        )
    damaged += [b"", b"\0" * 5000, os.urandom(9000), data + os.urandom(5000), data[4096:]]
    refused = 0
    for bad in damaged:
        for suffix in ("-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        path.write_bytes(bad)
        answers = everything(run)
        for name, answer in answers.items():
            assert answer is None or answer == sound[name], name
        refused += None in answers.values()
        assert run.describe()["status"] in ("queued", "unreadable")
        with suppress(StoreError), run.lock():
            run.begin_attempt()
            run.append(advance(1), trial=0, strategy="rambo")
            run.set_status("done")
    assert refused > len(damaged) / 2


def test_damaged_and_foreign_folders_are_listed_with_their_reason(
    workspace: Workspace, run
) -> None:
    def make(name: str) -> Path:
        folder = workspace.root / f"{name}-20260101-000000-abcd"
        shutil.copytree(run.folder, folder)
        return folder / "run.sqlite"

    make("garbage").write_bytes(b"garbage" * 1000)
    make("empty").write_bytes(b"")
    make("missing").unlink()
    folder = make("folder")
    folder.unlink()
    folder.mkdir()
    for name, statement in {
        "newer": "PRAGMA user_version=7",
        "older": "PRAGMA user_version=0",
        "tableless": "DROP TABLE facts",
        "factless": "DELETE FROM facts WHERE name = 'status'",
        "forged": "UPDATE facts SET value = '\"done\"' WHERE name = 'status'",
        "blob": "UPDATE facts SET value = x'fffe' WHERE name = 'config'",
    }.items():
        db = sqlite3.connect(make(name))
        db.execute(statement)
        db.commit()
        db.close()
    reasons = {
        found.id.split("-2026")[0]: found.describe()["message"]
        for found in workspace.runs()
        if found.describe()["status"] == "unreadable"
    }
    assert len(reasons) == 10
    assert "format 7" in reasons.pop("newer")
    assert "a file is missing" in reasons.pop("missing")
    assert "a file is missing" in reasons.pop("folder")
    for reason in reasons.values():
        expected = "the record is damaged; restore the folder from a copy or delete it"
        assert reason == f"reading its record: {expected}"
    assert run.describe()["status"] == "queued"
    bad = workspace.find("newer-20260101-000000-abcd")
    assert set(bad.describe()) == set(run.describe())
    for action in (bad.request_stop, bad.begin_attempt, bad.events, bad.results):
        assert "format 7" in refusal(action)


def test_an_event_that_is_missing_is_noticed(run: Run) -> None:
    for step in range(5):
        run.append(advance(step), trial=0, strategy="rambo")
    run.flush()
    db = sqlite3.connect(run.folder / "run.sqlite")
    db.execute("DELETE FROM events WHERE seq = 3")
    db.commit()
    db.close()
    assert "damaged" in refusal(run.events)
    assert "damaged" in refusal(run.latest_events)


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
        assert "missing" in refusal(action)
    assert run.describe()["status"] == "unreadable"
    assert not run.locked()
    assert not run.folder.exists()


# Artifacts


def test_arrays_and_tables_come_back(run: Run) -> None:
    arrays = {"w": np.arange(6.0).reshape(2, 3).T, "n": np.array([1, 2], np.int64)}
    run.save_arrays("trial-0/rambo/u_hat", arrays)
    read = run.load_arrays("trial-0/rambo/u_hat")
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array, strict=True)
    frame = pd.DataFrame(
        {
            "order": [1, 2],
            "margin": np.array([0.1, 0.25], np.float32),
            "predicted_utility": [math.nan, 0.5],
            "label": ["=1+1", "日本"],
            "nothing": [None, None],
        }
    )
    run.save_table("trial-0/rambo/selection", frame)
    pd.testing.assert_frame_equal(run.load_table("trial-0/rambo/selection"), frame)
    assert run.has_artifact("trial-0/rambo/selection")
    assert not run.has_artifact("trial-1/rambo/selection")
    assert "is not there yet" in refusal(lambda: run.load_table("trial-1/rambo/selection"))
    assert "is not there yet" in refusal(lambda: run.load_arrays("trial-0/rambo/selection"))
    names = sorted(path.name for path in (run.folder / "artifacts").rglob("*") if path.is_file())
    assert names == ["selection.parquet", "u_hat.safetensors"]


@pytest.mark.parametrize(
    "name",
    ["", "/", "/etc/x", "a/", "/a", "a//b", "..", "../x", "a/../b", "a.b", ".", "A", "a b", "a\\b",
     "a\n", "a\0", "ä", "%2e%2e", "C:x", "a" * 5000],
)  # fmt: skip
def test_an_artifact_name_stays_in_its_place(run: Run, name: str) -> None:
    for action in (
        lambda: run.save_arrays(name, {"w": np.ones(1)}),
        lambda: run.load_arrays(name),
        lambda: run.save_table(name, pd.DataFrame({"a": [1]})),
        lambda: run.load_table(name),
    ):
        refusal(action)
    assert sorted(path.name for path in run.folder.iterdir()) == ["ballast", "run.sqlite"]


def test_numbers_that_are_not_finite_stay_out_of_artifacts(run: Run) -> None:
    told = refusal(lambda: run.save_arrays("a", {"w": np.array([math.nan])}))
    assert "artifact a: array w holds a number that is not finite" in told
    told = refusal(lambda: run.save_table("a", pd.DataFrame({"x": [1.0], "margin": [math.inf]})))
    assert "artifact a: column margin holds infinity" in told
    refusal(lambda: run.save_table("a", pd.DataFrame({"x": [object()]})))
    assert not run.has_artifact("a")


def test_a_damaged_table_is_refused(run: Run) -> None:
    frame = pd.DataFrame({"order": range(200), "margin": np.linspace(0, 1, 200)})
    run.save_table("t", frame)
    path = run.folder / "artifacts" / "t.parquet"
    data = path.read_bytes()
    draw = random.Random(3)
    refused = 0
    for _ in range(150):
        place = draw.randrange(len(data))
        flipped = data[:place] + bytes([data[place] ^ 1 << draw.randrange(8)]) + data[place + 1 :]
        path.write_bytes(flipped if draw.random() < 0.8 else data[:place])
        try:
            read = run.load_table("t")
        except StoreError as error:
            assert "is damaged" in str(error)
            refused += 1
        else:
            values = [read[column].to_numpy() for column in read.columns[:2]]
            np.testing.assert_array_equal(values, frame.to_numpy().T)
    assert refused > 75


def test_a_pickle_in_place_of_an_artifact_runs_nothing(run: Run, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    attack = b"cposix\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR."
    for suffix in ("safetensors", "parquet"):
        files.write_bytes(run.folder / "artifacts" / f"a.{suffix}", attack)
    refusal(lambda: run.load_arrays("a"))
    refusal(lambda: run.load_table("a"))
    assert not marker.exists()


def test_a_new_attempt_sweeps_what_a_killed_one_left(run: Run) -> None:
    run.save_arrays("trial-0/a", {"w": np.ones(1)})
    (run.folder / "artifacts" / "trial-0" / ".00ff.part").write_bytes(b"half")
    run.begin_attempt()
    assert [path.name for path in (run.folder / "artifacts" / "trial-0").iterdir()] == [
        "a.safetensors"
    ]


# Results and their summary


def data(strategy: str, seed: int, **more: Any) -> dict[str, Any]:
    return {
        "strategy": strategy,
        "seed": seed,
        "selected": [3, 1],
        "steps": [0, 1],
        "validation_accuracy": 0.5,
        "test_accuracy": 0.25,
        "seconds": {"select": 1.5},
        "trainings": 4,
        "cached_trainings": 2,
        **more,
    }


def test_results_are_replaced_and_come_in_the_order_of_the_config(run: Run) -> None:
    for trial, strategy in [(1, "margin"), (0, "margin"), (1, "rambo"), (0, "rambo")]:
        run.save_result(trial, strategy, "selected", data(strategy, 5 + trial))
    run.save_result(0, "rambo", "evaluated", data("rambo", 5, test_accuracy=0.75))
    results = run.results()
    assert [(result["trial"], result["strategy"], result["state"]) for result in results] == [
        (0, "rambo", "evaluated"),
        (0, "margin", "selected"),
        (1, "rambo", "selected"),
        (1, "margin", "selected"),
    ]
    assert results[0]["data"] == data("rambo", 5, test_accuracy=0.75)


def test_a_result_carries_the_events_before_it_to_disk(run: Run) -> None:
    with run.lock():
        for step in range(5):
            run.append(advance(step), trial=0, strategy="rambo")
        run.save_result(0, "rambo", "selected", {})
        assert len(Run(run.folder).events()) == 5


def test_the_summary_is_exactly_the_public_object(run: Run) -> None:
    assert summary(run)["results"] == []
    assert set(summary(run)["ranking"].values()) == {None, 0}
    first = {
        "inner": 0.5,
        "outer": 0.75,
        "kendall_tau": 0.25,
        "noise_ceiling": None,
        "held_out": 0.5,
        "held_out_pairs": 10,
        "ceiling_pairs": 4,
    }
    second = {**first, "inner": 1.0, "noise_ceiling": 0.875, "held_out": None, "ceiling_pairs": 3}
    run.save_result(0, "rambo", "evaluated", data("rambo", 5, ranking=first))
    run.save_result(0, "margin", "evaluated", data("margin", 5, ranking={}))
    run.save_result(1, "rambo", "evaluated", data("rambo", 6, ranking=second))
    unfinished = {"strategy": "margin", "seed": 6, "selected": [8], "steps": [0], "seconds": {}}
    run.save_result(1, "margin", "selected", unfinished)
    run.set_status("done")
    expected = {
        "run": run.id,
        "dataset": "fashion-mnist-mini",
        "config": CONFIG,
        "status": "done",
        "results": [
            data("rambo", 5),
            data("margin", 5),
            data("rambo", 6),
            {
                "strategy": "margin",
                "seed": 6,
                "selected": [8],
                "steps": [0],
                "validation_accuracy": None,
                "test_accuracy": None,
                "seconds": {},
                "trainings": 0,
                "cached_trainings": 0,
            },
        ],
        "ranking": {
            "inner": 0.75,
            "outer": 0.75,
            "kendall_tau": 0.25,
            "noise_ceiling": 0.875,
            "held_out": 0.5,
            "held_out_pairs": 20,
            "ceiling_pairs": 7,
        },
    }
    assert summary(run) == expected
    assert json.dumps(summary(run)) == json.dumps(expected)  # the order of the keys too


def test_the_store_needs_neither_torch_nor_streamlit_nor_pandas() -> None:
    code = "import sys, rambo.export, rambo.store; print({*sys.modules} & {'torch', 'streamlit', 'plotly', 'pandas'})"
    assert child(code).communicate()[0].strip() == b"set()"


def test_the_stamp_sorts_as_text() -> None:
    moments = [0.0, 0.5, 1.0, 1_700_000_000.0, 1_700_000_000.000001, 4_000_000_000.0]
    assert [record.stamp(moment) for moment in moments] == sorted(map(record.stamp, moments))
