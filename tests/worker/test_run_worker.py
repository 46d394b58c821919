"""The worker: a run stopped, killed or failed at any point goes on to the same bytes."""

import contextlib
import dataclasses
import errno
import json
import math
import multiprocessing
import multiprocessing.process
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import merged, tiny_config, write_tiny

from rambo import __main__ as command_line
from rambo.checks import wants_features
from rambo.config import Config, describe
from rambo.datasets import catalog
from rambo.datasets.prepared import Prepared
from rambo.errors import (
    ConfigError,
    DataError,
    DivergedError,
    RamboError,
    RunLockedError,
    StoreError,
)
from rambo.events import Event, Noticed, StageStarted, StrategyEvaluated
from rambo.runs.record import StoredEvent
from rambo.runs.workspace import Run, Workspace, environment, summary
from rambo.training import classifier
from rambo.worker import run_worker
from rambo.worker import trial as trials

ROOT = Path(__file__).parents[2]
SETTINGS: dict[str, Any] = {
    "strategies": ["rambo", "margin"],
    "trials": 2,
    "budget": 10,
    "classifier": {"max_epochs": 1},
    "rambo": {
        "initial_size": 16,
        "pairs_per_iteration": 3,
        "offline": {"pairs": 3, "repeated_pairs": 1},
        "utility_model": {"epochs": 1},
    },
}


def config(**changes: Any) -> Config:
    return tiny_config(**merged(SETTINGS, changes))


def test_a_worker_begins_without_what_only_some_runs_need() -> None:
    code = (
        "import sys, rambo.worker.run_worker; print(*{'sklearn', 'scipy', 'ot'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


def queue(root: Path, settings: Config | None = None) -> Run:
    """Return a queued run on the tiny dataset in a workspace of its own."""
    settings = settings or config()
    data = write_tiny(root)
    return Workspace(root).create(describe(settings), environment(data, "cpu"))


def artifacts(run: Run) -> dict[str, bytes]:
    """Return the bytes of every artifact by its path."""
    folder = run.folder / "artifacts"
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def results(run: Run, *, counts: bool = False) -> list[dict[str, Any]]:
    """Return the results less their seconds, and less what depends on what was found."""
    volatile = {"seconds"} if counts else {"seconds", "trainings", "cached_trainings"}
    return [
        {name: value for name, value in result.public().items() if name not in volatile}
        for result in summary(run).results
    ]


def flat(entry: StoredEvent) -> dict[str, Any]:
    """Return an entry of the record with the fields of its event."""
    fields = dataclasses.asdict(entry) | {"kind": entry.event.kind}
    return fields | fields.pop("event")


def trained(run: Run, attempt: int | None = None) -> int:
    """Return how many classifiers were told as really trained, in all attempts or in one."""
    return sum(
        event.event.kind == "ClassifierTrained" and not event.event.cached
        for event in run.events()
        if attempt in (None, event.attempt)
    )


def count_fits(run: Run) -> int:
    """Return how many classifiers the shared memory of the run's workspace holds."""
    path = run.folder.parent / "utilities.sqlite"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT record FROM utilities").fetchall()
    return sum("accuracies" in json.loads(record) for (record,) in rows)


def counts(run: Run) -> list[tuple[str, int, int]]:
    """Return of each result how many classifiers were trained, and how many found."""
    return [(r.strategy, r.trainings, r.cached_trainings) for r in run.results()]


def check_same(run: Run, reference: Run) -> None:
    """Hold a finished run to the uninterrupted one, byte for byte."""
    assert run.status == "done"
    assert results(run) == results(reference)
    assert summary(run).ranking == summary(reference).ranking
    assert artifacts(run) == artifacts(reference)
    assert count_fits(run) == count_fits(reference)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An uninterrupted run with one process."""
    run = queue(tmp_path_factory.mktemp("reference"))
    assert run.status == "queued"
    assert run_worker.work(run) == "done"
    return run


# From start to end.


def test_a_run_works_until_it_is_done(reference: Run) -> None:
    assert reference.status == "done"
    own_results = summary(reference).results
    assert [(r.strategy, r.seed) for r in own_results] == [
        ("rambo", 0),
        ("margin", 0),
        ("rambo", 1),
        ("margin", 1),
    ]
    for result in own_results:
        assert len(set(result.selected)) == len(result.steps) == 10
        assert 0 <= result.validation_accuracy <= 1
        assert 0 <= result.test_accuracy <= 1
    assert (
        trained(reference)
        == sum(result.trainings for result in own_results)
        == count_fits(reference)
    )
    assert not (reference.folder.parent / "errors.log").exists()
    assert {state.state for state in reference.results()} == {"evaluated"}


def test_the_evidence_of_every_trial_is_kept(reference: Run) -> None:
    names = {Path(name).with_suffix("").as_posix() for name in artifacts(reference)}
    assert names == {
        f"trial-{trial}/{artifact}"
        for trial in (0, 1)
        for artifact in (
            "atlas",
            *(f"rambo/{name}" for name in ("selection", "u_hat", "pools", "served")),
            *(f"margin/{name}" for name in ("selection", "served")),
        )
    }
    for result in reference.results():
        place = f"trial-{result.trial}/{result.strategy}"
        table = reference.load_table(f"{place}/selection")
        assert table["dataset_index"].tolist() == result.selected
        assert table["step"].tolist() == result.steps
        assert table["order"].tolist() == list(range(1, 11))
        assert table["predicted_utility"].notna().all() == (result.strategy == "rambo")


def test_events_carry_their_trial_and_strategy(reference: Run) -> None:
    events = reference.events()
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert {event.attempt for event in events} == {1}
    places = [
        (event.trial, event.strategy) for event in events if event.event.kind == "StrategySelected"
    ]
    assert places == [(0, "rambo"), (0, "margin"), (1, "rambo"), (1, "margin")]
    for event in events:
        if event.event.kind in ("LabeledPoolGrew", "BatchChosen", "HyperStep"):
            assert event.strategy == "rambo"
        if event.event.kind == "StageStarted" and event.event.stage == "evaluation":
            assert event.strategy is None


def test_a_listener_hears_every_event_in_order(tmp_path: Path) -> None:
    run, emitted = queue(tmp_path, config(strategies=["margin"], trials=1)), list[Event]()
    run_worker.work(run, emitted.append)
    assert [type(event).__name__ for event in emitted] == [
        event.event.kind for event in run.events()
    ]
    story = [event for event in emitted if not isinstance(event, Noticed)]
    assert isinstance(emitted[0], Noticed)  # few images judge
    assert isinstance(story[0], StageStarted)
    assert isinstance(emitted[-1], StrategyEvaluated)


def test_working_on_a_done_run_changes_nothing(reference: Run) -> None:
    def files() -> dict[str, tuple[bytes, int]]:
        paths = [path for path in reference.folder.rglob("*") if path.is_file()]
        return {
            str(path): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in paths
            if not path.name.endswith(("-shm", "-wal", ".lock"))
        }

    before, events = files(), reference.events()
    assert run_worker.work(Run(reference.folder)) == "done"
    assert files() == before
    assert reference.events() == events


def test_a_second_run_finds_every_training_of_the_first(tmp_path: Path) -> None:
    settings = config(trials=1)
    first = queue(tmp_path, settings)
    second = Workspace(tmp_path).create(first.config, first.environment)
    run_worker.work(first)
    before = count_fits(first)
    run_worker.work(second)
    assert trained(first) == before > 0
    assert trained(second) == 0
    assert count_fits(second) == before
    one, two = (summary(run).results for run in (first, second))
    for a, b in zip(one, two, strict=True):
        assert b.trainings == 0
        assert b.cached_trainings == a.trainings + a.cached_trainings
    check_same(second, first)
    assert first.status == "done"


def test_one_process_and_two_give_identical_results_and_bytes(
    reference: Run, tmp_path: Path
) -> None:
    run = queue(tmp_path, config(compute={"jobs": 2}))
    assert run_worker.work(run) == "done"
    assert results(run, counts=True) == results(reference, counts=True)
    check_same(run, reference)

    def story(of: Run) -> list[Any]:
        """Return the events less times, as a set where order is a matter of speed."""
        volatile = ("seq", "time", "seconds")
        return sorted(
            json.dumps({k: v for k, v in flat(event).items() if k not in volatile}, sort_keys=True)
            for event in of.events()
            if event.event.kind not in ("StageAdvanced",)
        )

    assert story(run) == story(reference)


# Stopped.


@pytest.mark.parametrize("point", [1, 45])
def test_a_stopped_run_goes_on_to_the_same_bytes(
    reference: Run, tmp_path: Path, point: int
) -> None:
    run, emitted = queue(tmp_path), list[Event]()

    def listen(event: Event) -> None:
        emitted.append(event)
        if len(emitted) == point:
            Run(run.folder).request_stop()  # as a page does: another object, another connection

    assert run_worker.work(run, listen) == "stopped"
    assert len(emitted) == point  # at the next safe point, which is this one
    assert run.status == "stopped"
    assert "resume" in run.describe().message
    fits = count_fits(run)
    assert run_worker.work(run) == "done"  # the request is forgotten
    assert trained(run, attempt=2) == count_fits(reference) - fits
    assert counts(run) == counts(reference)
    check_same(run, reference)
    assert run.describe().message == ""


def test_a_stop_between_launch_and_work_is_heeded_before_anything_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = queue(tmp_path)
    launch = run.set_launched()
    run.request_stop()
    changes: list[str] = []
    write = run.set_status
    monkeypatch.setattr(run, "set_status", lambda *words: (changes.append(words[0]), write(*words)))
    assert run_worker.work(run, launch=launch) == "stopped"
    assert changes == ["stopped"]  # and never `running` in between
    assert (run.status, run.events()) == ("stopped", [])


def test_an_interrupt_at_any_event_stops_the_run(reference: Run, tmp_path: Path) -> None:
    run = queue(tmp_path)
    for point in (2, 15, 30):
        count = 0

        def listen(event: Event, point: int = point) -> None:
            nonlocal count
            count += 1
            if count == point:
                raise KeyboardInterrupt

        assert run_worker.work(run, listen) == "stopped"
        assert run.status == "stopped"
    assert run_worker.work(run) == "done"
    assert counts(run) == counts(reference)
    check_same(run, reference)


# Killed.


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[[Run], multiprocessing.process.BaseProcess]]:
    """Return a function that starts `python -m rambo work RUN_DIR` in a fresh process, imports done.

    The processes are forks of a server that has imported torch and holds nothing else, so that
    twenty of them cost what one costs.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["rambo.__main__", "rambo.worker.run_worker", "ot", "sklearn.covariance"]
    )
    started: list[multiprocessing.process.BaseProcess] = []

    def begin(run: Run) -> multiprocessing.process.BaseProcess:
        process = context.Process(target=command_line.main, args=(["work", str(run.folder)],))
        process.start()
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.join()


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> bool:
    """Return whether a condition came true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


def kill(process: multiprocessing.process.BaseProcess) -> None:
    assert process.pid is not None
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    process.join()


def resume_after_kill(run: Run, reference: Run, *, jobs: int = 1) -> None:
    """Finish a killed run here, and hold it to the uninterrupted one."""
    fits = count_fits(run)
    attempts = max([event.attempt for event in run.events()], default=0)
    assert run_worker.work(run) == "done"
    last = max(event.attempt for event in run.events())
    if last > attempts:
        assert trained(run, last) == count_fits(reference) - fits  # no finished unit again
    assert trained(run) <= trained(reference) + jobs * (last - 1)
    check_same(run, reference)


POINTS: dict[str, Callable[[Run], bool]] = {
    "offline": lambda run: trained(run) >= 1,
    "pretraining": lambda run: any(
        event.event.kind == "LabeledPoolGrew" and event.event.iteration == 1
        for event in run.events()
    ),
    "acquisition": lambda run: len(run.results()) >= 1,
    "second trial": lambda run: [r.state for r in run.results()][:2] == ["evaluated"] * 2,
}


@pytest.mark.parametrize(
    "point",
    [*list(POINTS)[:3], pytest.param("second trial", marks=pytest.mark.slow)],
)
def test_a_killed_run_goes_on_to_the_same_bytes(
    reference: Run, tmp_path: Path, start: Any, point: str
) -> None:
    run = queue(tmp_path)
    process = start(run)
    assert wait_for(lambda: POINTS[point](run))
    kill(process)
    assert process.exitcode == -signal.SIGKILL, "the run had ended before it was killed"
    assert run.status == "interrupted"
    resume_after_kill(run, reference)


def test_a_kill_at_any_moment_loses_nothing(reference: Run, tmp_path: Path, start: Any) -> None:
    kill_at_random(reference, tmp_path, start, kills=3, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_many_kills_at_any_moment_lose_nothing(
    reference: Run, tmp_path: Path, start: Any, seed: int
) -> None:
    kill_at_random(reference, tmp_path, start, kills=1 + seed % 5, seed=100 + seed)


def kill_at_random(reference: Run, root: Path, start: Any, *, kills: int, seed: int) -> None:
    """Kill a run several times, each time after a random while; then finish it."""
    run, rng = queue(root), random.Random(seed)
    times = [event.time for event in reference.events()]
    for _ in range(kills):
        process = start(run)
        process.join(rng.uniform(0, times[-1] - times[0]))
        kill(process)
        assert run.status in ("queued", "interrupted", "done")
    resume_after_kill(run, reference)


def descendants(pid: int) -> set[int]:
    """Return the process ids below `pid`, read from /proc."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                stat = (entry / "stat").read_text()
                parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    children, front = set[int](), {pid}
    while front:
        front = {child for child, parent in parents.items() if parent in front} - children
        children |= front
    return children


def alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize("moment", ["working", pytest.param("starting", marks=pytest.mark.slow)])
def test_no_worker_process_outlives_a_killed_run(
    reference: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """`python -m rambo work` with two processes: killed when both work, or as they come up."""
    run = queue(tmp_path, config(compute={"jobs": 2}))
    process = subprocess.Popen([sys.executable, "-m", "rambo", "work", str(run.folder)], cwd=ROOT)
    try:
        if moment == "working":
            assert wait_for(lambda: trained(run) >= 2)
            assert len(descendants(process.pid)) >= 2
        else:
            assert wait_for(lambda: len(descendants(process.pid)) >= 2)
        below = descendants(process.pid)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert wait_for(lambda: not any(map(alive, below)), seconds=10), "processes are left over"
    assert run.status == "interrupted"
    fits = count_fits(run)
    monkeypatch.setattr(
        run_worker, "restore", lambda settings: config()
    )  # goes on with one process
    assert run_worker.work(run) == "done"
    assert trained(run, attempt=2) == count_fits(reference) - fits
    assert trained(run) <= trained(reference) + 2
    check_same(run, reference)


# Two workers.


def test_a_second_worker_is_refused_and_changes_nothing(
    reference: Run, tmp_path: Path, start: Any
) -> None:
    run = queue(tmp_path)
    process = start(run)
    assert wait_for(lambda: trained(run) >= 1)
    started = time.monotonic()
    with pytest.raises(RunLockedError, match="already being worked on") as caught:
        run_worker.work(Run(run.folder))
    assert time.monotonic() - started < 2
    assert str(caught.value).isprintable()
    assert run.status == "running"
    process.join(120)
    assert process.exitcode == 0
    assert {event.attempt for event in run.events()} == {1}
    check_same(run, reference)


def test_a_locked_run_keeps_its_status(tmp_path: Path) -> None:
    run = queue(tmp_path)
    with run.lock():
        before = (run.folder / "run.sqlite").read_bytes()
        with pytest.raises(RunLockedError):
            run_worker.work(Run(run.folder))
        assert (run.folder / "run.sqlite").read_bytes() == before
        assert run.status == "queued"


# Failed.


def failed(run: Run, kind: type[Exception]) -> str:
    """Return the one line of the status of a run whose work must fail."""
    with pytest.raises(kind):
        run_worker.work(run)
    assert run.status == "failed"
    assert not run.locked()
    message: str = run.describe().message
    assert message
    assert message.isprintable()
    assert str(run.folder.parent) not in message
    return message


def test_a_nan_loss_fails_the_run_with_one_line_and_resume_goes_on(
    reference: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, real = queue(tmp_path), classifier.F.cross_entropy
    calls = 0

    def spoiled(logits: torch.Tensor, target: torch.Tensor, **how: str) -> torch.Tensor:
        nonlocal calls
        calls += not how  # the losses that order an accuracy pass are no loss of a step
        loss: torch.Tensor = real(logits, target, **how)
        return loss * torch.nan if calls > 5 else loss

    with monkeypatch.context() as patch:
        patch.setattr(classifier.F, "cross_entropy", spoiled)
        message = failed(run, DivergedError)
    assert "not finite" in message
    assert "classifier.learning_rate 0.001" in message
    assert 0 < count_fits(run) < count_fits(reference)
    for event in run.events():
        assert (
            event.event.kind != "ClassifierTrained" or event.event.accuracy == event.event.accuracy
        )
    assert run_worker.work(run) == "done"
    check_same(run, reference)


def test_a_single_nan_loss_costs_one_retry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = queue(tmp_path, config(strategies=["margin"], trials=1))
    real, calls = classifier.F.cross_entropy, 0

    def spoiled(logits: torch.Tensor, target: torch.Tensor, **how: str) -> torch.Tensor:
        nonlocal calls
        calls += not how  # the losses that order an accuracy pass are no loss of a step
        loss: torch.Tensor = real(logits, target, **how)
        return loss * torch.nan if calls == 2 else loss

    monkeypatch.setattr(classifier.F, "cross_entropy", spoiled)
    assert run_worker.work(run) == "done"
    assert trained(run) == 2


def test_a_diverging_utility_model_fails_the_run_and_names_the_setting(tmp_path: Path) -> None:
    wild = {"epochs": 10, "bilevel": {"inner_learning_rate": 10.0, "inner_steps": 20}}
    run = queue(tmp_path, config(rambo={"utility_model": wild}, trials=1))
    message = failed(run, DivergedError)
    assert "rambo.utility_model.bilevel.inner_learning_rate" in message


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/secret/place"), "No space left"),
        (ValueError("a secret /secret/place"), "unforeseen ValueError"),
        (MemoryError(), "memory ran out ("),
        (DataError("images.npy is damaged; prepare it again"), "images.npy is damaged"),
    ],
)
def test_any_failure_is_told_in_one_line_without_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    run = queue(tmp_path)

    def fail(*arguments: Any, **named: Any) -> None:
        raise error

    monkeypatch.setattr(trials, "run_trial", fail)
    kind = StoreError if isinstance(error, MemoryError) else type(error)
    message = failed(run, kind)
    assert words in message
    assert "/secret" not in message


def test_a_run_whose_dataset_is_absent_or_another_fails_and_says_so(tmp_path: Path) -> None:
    run = queue(tmp_path, config(strategies=["random"], trials=1))
    folder = tmp_path / "datasets" / run.environment.dataset.fingerprint
    labels = (folder / "labels.npy").read_bytes()
    (folder / "labels.npy").write_bytes(labels[:-1] + b"\1")
    assert "tiny" in failed(run, DataError)  # damaged, and `tiny` is in no catalog to make it again
    (folder / "labels.npy").write_bytes(labels)
    assert run_worker.work(run) == "done"


def test_a_dataset_that_changed_since_the_start_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = queue(tmp_path)
    fingerprint = run.environment.dataset.fingerprint
    (tmp_path / "datasets" / fingerprint).rename(tmp_path / "elsewhere")
    other = write_tiny(tmp_path / "other", size=14)
    monkeypatch.setattr(catalog, "prepare", lambda *arguments, **named: other)
    assert "changed since this run was made" in failed(run, DataError)


# How a run starts.


def test_start_makes_a_queued_run_of_a_config_that_fits(
    tiny: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "prepare", lambda *arguments, **named: tiny)
    run = run_worker.start(config(), Workspace(tmp_path))
    assert run.status == "queued"
    assert run.config == describe(config())
    environment = run.environment
    assert environment.dataset.fingerprint == tiny.fingerprint
    assert environment.classes == tuple(tiny.classes)
    assert environment.threads == 1
    text = json.dumps(environment.record())
    for private in (str(tmp_path), str(tiny.folder), os.uname().nodename, str(Path.home())):
        assert private not in text


@pytest.mark.parametrize(
    ("changes", "kind"),
    [({"k": 100}, ConfigError), ({"budget": 77}, ConfigError)],
)
def test_a_config_that_does_not_fit_leaves_nothing_behind(
    tiny: Prepared,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    kind: type[RamboError],
) -> None:
    monkeypatch.setattr(catalog, "prepare", lambda *arguments, **named: tiny)
    with pytest.raises(kind):
        run_worker.start(config(**changes), Workspace(tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


def test_devices_are_resolved_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert run_worker.resolve_device("auto") == run_worker.resolve_device("cpu") == "cpu"
    for name in ("cuda", "mps"):
        with pytest.raises(ConfigError, match=rf"compute\.device {name}: .* use cpu or auto"):
            run_worker.resolve_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert run_worker.resolve_device("auto") == run_worker.resolve_device("cuda") == "cuda"
    assert run_worker.resolve_device("cpu") == "cpu"


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_work_is_single_threaded_and_puts_the_threads_back(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException] | None
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with contextlib.suppress(ValueError, KeyboardInterrupt), run_worker.single_threaded():
            assert torch.get_num_threads() == 1
            if error is not None:
                raise error
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_frozen_features_are_for_images_that_are_not_28_by_28_grey(
    tiny: Prepared, tmp_path: Path
) -> None:
    colour = write_tiny(tmp_path, channels=3, size=16)
    assert not wants_features(config(), tiny)
    assert wants_features(config(), colour)
    settings = config(rambo={"utility_model": {"extractor": "features"}})
    assert wants_features(settings, tiny)
    only_margin = config(strategies=["margin"])
    assert not wants_features(only_margin, colour)
    conv = config(rambo={"utility_model": {"extractor": "conv"}})
    assert not wants_features(conv, tiny)
    with pytest.raises(ConfigError, match=r"rambo\.utility_model\.extractor conv"):
        wants_features(conv, colour)


def test_every_number_of_the_record_is_finite(reference: Run) -> None:
    count = 0
    for event in reference.events():
        for name, value in flat(event).items():
            for number in value if isinstance(value, list) else [value]:
                if isinstance(number, float):
                    assert math.isfinite(number), (event.event.kind, name)
                    count += 1
    assert count > 300
