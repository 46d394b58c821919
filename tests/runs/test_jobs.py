"""Background work with real worker processes: start once, stop, kill, resume, wait in line, delete."""

import errno
import importlib.metadata
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import merged, tiny_config, write_tiny

from rambo.config import Config, describe
from rambo.errors import DataError, RunLockedError, RunNotFoundError, StoreError
from rambo.runs import jobs, line, paths, record
from rambo.runs.run import LAUNCH_SECONDS
from rambo.runs.workspace import Run, Workspace, create_run
from rambo.studies import study

QUICK: dict[str, Any] = {"strategies": ["margin", "random"], "classifier": {"max_epochs": 2}}
LONG: dict[str, Any] = {
    "strategies": ["rambo"],
    "trials": 300,
    "classifier": {"max_epochs": 30, "train_accuracy": 1.0},
    "rambo": {"offline": {"pairs": 40}},
}


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A workspace whose workers are gone after the test."""
    yield tmp_path / "runs"
    for run in Workspace(tmp_path / "runs").runs():
        jobs._signal(run, signal.SIGKILL)
    shutil.rmtree(tmp_path, ignore_errors=True)  # one that begins only now finds no run


def begin(root: Path, settings: dict[str, Any], **changes: Any) -> Run:
    run, _ = jobs.start(config(settings, **changes), write_tiny(root), Workspace(root), "cpu")
    return run


def config(settings: dict[str, Any], **changes: Any) -> Config:
    return tiny_config(**merged(settings, changes))


def until(true: Callable[[], Any], seconds: float = 90) -> None:
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, "it took too long"
        time.sleep(0.05)


def running(run: Run) -> Run:
    until(lambda: run.status == "running" and run.events())
    return run


def test_a_run_is_worked_on_by_a_process_of_its_own(root: Path) -> None:
    run = begin(root, QUICK)
    until(lambda: run.status == "done")
    until(lambda: not run.locked())
    assert {row.strategy for row in run.results()} == {"margin", "random"}
    assert run.worker.pid != os.getpid()
    log = "\n".join(jobs.log_tail(run))
    assert "margin chose 12 images" in log
    assert "Traceback" not in log


def test_the_worker_leads_a_group_and_outlives_its_starter(root: Path) -> None:
    """What a page's server does: it starts a worker, and is killed with its whole group."""
    write_tiny(root)
    script = (
        "import sys, time\n"
        "sys.path[:0] = ['tests', 'tests/runs']\n"
        "from pathlib import Path\n"
        "import test_jobs\n"
        "run = test_jobs.begin(Path(sys.argv[1]), test_jobs.LONG)\n"
        "print(run.id, flush=True)\n"
        "time.sleep(60)\n"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", script, str(root)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=Path(__file__).parents[2],
    )
    assert starter.stdout is not None
    run = Workspace(root).find(starter.stdout.readline().strip())
    running(run)
    pid = run.worker.pid
    assert os.getpgid(pid) == pid != os.getpgid(starter.pid)
    assert os.getpriority(os.PRIO_PROCESS, pid) == jobs.POLITENESS
    os.killpg(starter.pid, signal.SIGINT)
    os.killpg(starter.pid, signal.SIGKILL)
    starter.wait()
    count_before = len(run.events())
    until(lambda: len(run.events()) > count_before)
    assert run.status == "running"


def test_a_stop_ends_the_run_and_resume_goes_on(root: Path) -> None:
    run = running(begin(root, LONG))
    jobs.stop(run)
    until(lambda: run.status == "stopped", seconds=15)
    until(lambda: not run.locked())
    attempt = max(event.attempt for event in run.events())
    jobs.resume(run)
    until(lambda: run.status == "running")
    until(lambda: max(event.attempt for event in run.events()) == attempt + 1)


def test_a_stop_before_the_worker_is_up_counts(root: Path) -> None:
    run = begin(root, LONG)
    assert run.status == "queued"
    jobs.stop(run)
    until(lambda: run.status == "stopped")
    time.sleep(1)
    assert run.status == "stopped"
    assert not run.locked()


def test_a_worker_that_does_not_listen_is_killed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "STOP_SECONDS", 0.3)
    monkeypatch.setattr(jobs, "TERM_SECONDS", 0.3)
    run = running(begin(root, LONG))
    os.kill(run.worker.pid, signal.SIGSTOP)  # deaf to everything but SIGKILL
    jobs.stop(run)
    until(lambda: run.status == "stopped" and not run.locked(), seconds=10)


def test_a_worker_that_hangs_within_a_commit_is_killed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps everyone from writing the record, so that the wish to stop it cannot be written either."""
    monkeypatch.setattr(jobs, "STOP_SECONDS", 0.3)
    monkeypatch.setattr(jobs, "TERM_SECONDS", 0.3)
    run = create_run(config(QUICK), write_tiny(root), Workspace(root), "cpu")
    script = (
        "import signal, sys, time\n"
        "from pathlib import Path\n"
        "from rambo.runs.run import Run\n"
        "run = Run(Path(sys.argv[1]))\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "with run.lock():\n"
        "    run.begin_attempt()\n"
        "    run.set_status('running')\n"
        "    run._writer.execute('BEGIN IMMEDIATE')\n"
        "    print('here', flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(run.folder)]
    with subprocess.Popen(command, env=jobs.environment(), stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"here\n"
        jobs.stop(run)
        assert worker.wait(timeout=10) == -signal.SIGKILL
    until(lambda: run.status == "stopped" and not run.locked(), seconds=10)


def test_a_killed_worker_is_seen_and_its_run_can_be_resumed(root: Path) -> None:
    run = running(begin(root, LONG))
    os.killpg(run.worker.pid, signal.SIGKILL)
    until(lambda: run.status == "interrupted", seconds=5)
    jobs.resume(run)
    running(run)


def test_a_worker_killed_in_line_is_seen_too(root: Path) -> None:
    running(begin(root, LONG))
    second = begin(root, LONG, seed=1)
    until(lambda: jobs.place_in_line(second) == ("cpu", 1))
    assert second.status == "queued"
    until(lambda: "1 ahead" in second.describe().message)  # written once it stands there
    os.kill(second.worker.pid, signal.SIGKILL)
    until(lambda: second.status == "interrupted", seconds=5)
    assert jobs.place_in_line(second) is None


def test_one_works_and_the_others_wait_their_turn(root: Path) -> None:
    first = running(begin(root, LONG))
    second = begin(root, QUICK)
    until(lambda: jobs.place_in_line(second) == ("cpu", 1))
    assert line.standing(root) == {"cpu": [first.id, second.id]}
    assert second.events() == [] or second.events()[0].event.kind == "Noticed"
    jobs.stop(first)
    until(lambda: second.status == "done")
    assert first.status == "stopped"


def test_a_run_in_line_stops_on_request(root: Path) -> None:
    running(begin(root, LONG))
    second = begin(root, LONG, seed=1)
    until(lambda: jobs.place_in_line(second) == ("cpu", 1))
    jobs.stop(second)
    until(lambda: second.status == "stopped", seconds=10)
    assert jobs.place_in_line(second) is None


def test_twenty_starts_at_once_make_one_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[str] = []
    monkeypatch.setattr(jobs, "launch", lambda run: launched.append(run.id))
    data = write_tiny(root)
    looks: list[tuple[str, bool]] = []

    def click() -> None:
        run, new = jobs.start(config(QUICK), data, Workspace(root), "cpu")
        looks.append((run.id, new))

    threads = [threading.Thread(target=click) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({run_id for run_id, _ in looks}) == 1
    assert sum(new for _, new in looks) == 1
    assert len(launched) == 1
    assert len(Workspace(root).runs()) == 1


def test_other_settings_are_another_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "launch", lambda run: None)
    assert begin(root, QUICK).id != begin(root, QUICK, seed=1).id


def test_ended_settings_start_anew(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "launch", lambda run: None)
    first = begin(root, QUICK)
    first.set_status("stopped")
    assert begin(root, QUICK).id != first.id


def test_of_three_launches_at_once_one_works_and_a_stop_ends_all(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others come up beside it or after it, and must not go on with what a person stopped."""
    processes: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def noted(*arguments: Any, **named: Any) -> subprocess.Popen[bytes]:
        processes.append(popen(*arguments, **named))
        return processes[-1]

    monkeypatch.setattr(subprocess, "Popen", noted)
    run = begin(root, LONG)
    jobs.launch(run)
    jobs.launch(run)
    running(run)
    jobs.stop(run)
    until(lambda: all(process.poll() is not None for process in processes))
    assert len(processes) == 3
    assert run.status == "stopped"
    assert not run.locked()
    assert {event.attempt for event in run.events()} == {1}
    assert run.worker.pid == processes[-1].pid


def test_a_process_whose_launch_is_over_works_on_nothing(root: Path) -> None:
    run = create_run(config(QUICK), write_tiny(root), Workspace(root), "cpu")
    old = run.set_launched()
    run.set_launched()
    command = [sys.executable, "-m", "rambo", "work", str(run.folder), "--launch", repr(old)]
    done = subprocess.run(command, env=jobs.environment(), capture_output=True, text=True)
    assert done.returncode == 2
    assert "taken up by another worker since" in done.stderr
    assert "Traceback" not in done.stderr
    assert (run.status, run.events()) == ("queued", [])


def test_launching_twice_is_launching_once(root: Path) -> None:
    run = begin(root, LONG)
    jobs.launch(run)
    running(run)
    pid = run.worker.pid
    jobs.launch(run)
    assert run.worker.pid == pid
    with pytest.raises(RunLockedError):
        jobs.resume(run)


def test_a_done_run_is_not_resumed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = create_run(config(QUICK), write_tiny(root), Workspace(root), "cpu")
    run.set_status("done")
    with pytest.raises(StoreError, match="nothing to resume"):
        jobs.resume(run)
    assert run.status == "done"


def test_deleting_refuses_a_live_run_and_removes_a_dead_one(root: Path) -> None:
    workspace = Workspace(root)
    run = create_run(config(QUICK), write_tiny(root), workspace, "cpu")
    other = create_run(config(QUICK), write_tiny(root), workspace, "cpu")
    with run.lock(), pytest.raises(RunLockedError, match="stop it"):
        workspace.delete(run)
    assert run.folder.is_dir()
    workspace.delete(run)
    assert not run.folder.exists()
    assert workspace.ids() == [other.id]
    assert [path.name for path in root.iterdir() if path.name.startswith(".deleted")] == []
    with pytest.raises(RunNotFoundError):
        workspace.find(run.id)
    with pytest.raises(StoreError, match="could not be deleted"):
        workspace.delete(run)


def test_a_queued_run_that_was_launched_long_ago_has_lost_its_worker(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = create_run(config(QUICK), write_tiny(root), Workspace(root), "cpu")
    assert run.status == "queued"
    run.set_launched()
    assert run.status == "queued"
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + LAUNCH_SECONDS + 1)
    assert run.status == "interrupted"
    with run.lock():
        assert run.status == "queued"


def test_the_log_tail_of_a_run_without_one_is_empty(root: Path) -> None:
    run = create_run(config(QUICK), write_tiny(root), Workspace(root), "cpu")
    assert jobs.log_tail(run) == []
    paths.log(run.folder).write_bytes(b"x" * 50_000 + b"\nlast \xff line\n")
    assert jobs.log_tail(run, 1) == ["last \ufffd line"]


ERROR = "rambo.errors.DataError: gone"
TRACE = f"""Traceback (most recent call last):
  File "/opt/there/rambo/worker/run_worker.py", line 12, in work
    raise DataError("gone")
    ^^^^^^^^^^^^^^^^^^^^^^^
{ERROR}"""
INSIDE = '  File "/opt/there/rambo/deep.py", line 5, in deep\n    deep()\n'


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("one\n  two, indented\n", ["one", "  two, indented"]),
        (f"one\n{TRACE}\ntwo\n", ["one", ERROR, "two"]),
        (
            f"{TRACE}\n\nWhile that was told:\n\n{TRACE}\n  a hint\n",
            [ERROR, "", "While that was told:", "", ERROR, "  a hint"],
        ),
        (f"{INSIDE * 1000}KeyError: 3\nlast\n", ["KeyError: 3", "last"]),
        ("Current thread 0x7f (most recent call first):\n" + INSIDE + "end\n", ["end"]),
        ("no /opt/there/images.npz, use /opt/x\n", ["no images.npz, use x"]),
        ("cannot read '/opt/my own/a b.npz': gone\n", ["cannot read 'a b.npz': gone"]),
        ("/opt/there/x.py:12: UserWarning: slow\n", ["x.py:12: UserWarning: slow"]),
        ("5/10 of a/b, see https://x.org/a/b\n", ["5/10 of a/b, see https://x.org/a/b"]),
    ],
)
def test_no_trace_and_no_folder_of_this_machine_is_in_the_log_tail(
    root: Path, log: str, expected: list[str]
) -> None:
    run = create_run(config(QUICK), write_tiny(root), Workspace(root), "cpu")
    paths.log(run.folder).write_text(log)
    assert jobs.log_tail(run) == expected


def test_the_error_of_another_process_comes_back_whole() -> None:
    process = jobs.spawn(["prepare", "--json", "--", "/opt/there/nothing.npz"])
    out, _ = process.communicate()
    error = jobs.failure(out)
    assert type(error) is DataError
    assert (error.field, error.value) == ("dataset", Path("/opt/there/nothing.npz"))
    assert jobs.worded(error, 500).startswith("dataset nothing.npz: no such file here or below")
    assert "/opt" not in jobs.worded(error, 500)
    assert len(jobs.worded(error, 30)) == 30


@pytest.mark.parametrize("out", ["", "{", "[]", "3", '{"error": 3}', '{"error": {"kind": "x"}}'])
def test_a_process_that_says_nothing_of_use_has_a_word_too(out: str) -> None:
    assert str(jobs.failure(out)).startswith("process ended without a word; ")


def build(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """Let torch be installed in a version of that name."""
    monkeypatch.setattr(importlib.metadata, "version", {"torch": version}.__getitem__)


def test_the_devices_are_told_by_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    build(monkeypatch, "2.13.0")
    devices = jobs.probe_devices()
    assert devices.auto in devices.names
    assert "cpu" in devices.names
    assert devices.cores >= 1
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        assert devices == jobs.only_cpu()


def test_a_torch_for_cpus_alone_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    build(monkeypatch, "2.13.0+cpu")
    monkeypatch.setattr(sys, "executable", sys.executable + "-that-is-not-there")
    assert jobs.probe_devices() == jobs.only_cpu()


def test_a_probe_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    build(monkeypatch, "2.13.0+cu130")
    monkeypatch.setattr(sys, "executable", sys.executable + "-that-is-not-there")
    with pytest.raises(StoreError, match="cannot be told"):
        jobs.probe_devices()


def test_a_stop_leaves_a_later_worker_alone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop and at once resume: the thread that sees to the stop must not end the new worker."""
    monkeypatch.setattr(jobs, "STOP_SECONDS", 0.5)
    monkeypatch.setattr(jobs, "TERM_SECONDS", 0.5)
    run = running(begin(root, LONG))
    before = run.worker.launched
    run.request_stop()
    until(lambda: run.status == "stopped" and not run.locked(), seconds=15)
    jobs.resume(run)
    running(run)
    jobs._see_to_it(run, before)
    assert run.status == "running"
    assert run.locked()


def test_of_thousands_of_runs_only_the_recent_are_looked_at(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(root)
    old = create_run(config(QUICK), write_tiny(root), workspace, "cpu")
    new = create_run(config(QUICK, seed=1), write_tiny(root), workspace, "cpu")
    for path in old.folder.glob("run.sqlite*"):
        os.utime(path, (time.time() - 1000, time.time() - 1000))
    looked: list[str] = []
    whole = Run.describe

    def noted(self: Run) -> dict[str, Any]:
        looked.append(self.id)
        return whole(self)

    monkeypatch.setattr(Run, "describe", noted)
    assert [run.id for run in jobs.live_runs(workspace)] == [new.id]
    assert looked == [new.id]
    with line.wait_in_line(root, "cpu", old.id, lambda ahead: None):
        assert {run.id for run in jobs.live_runs(workspace)} == {old.id, new.id}


def begin_study(root: Path) -> tuple[Run, bool]:
    """Start a study as the page does, as many at once as like."""
    data, workspace = write_tiny(root), Workspace(root)
    settings = describe(config(QUICK))
    return jobs.start_study(
        study.described("budgets", settings, data),
        study.workspace_of(workspace),
        lambda: study.create("budgets", settings, data, workspace, "cpu"),
    )


def test_two_clicks_start_one_study(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[str] = []
    monkeypatch.setattr(jobs, "launch", lambda run: launched.append(run.id))
    write_tiny(root)
    with ThreadPoolExecutor(4) as pool:
        begun = list(pool.map(lambda _: begin_study(root), range(4)))
    assert len({run.id for run, _ in begun}) == 1
    assert sum(new for _, new in begun) == 1
    (study_run,) = study.workspace_of(Workspace(root)).runs()
    assert launched == [study_run.id]
    assert Workspace(root).runs() == []


def test_a_study_at_work_for_long_is_found_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands in no line, and its record may not change for an hour."""
    monkeypatch.setattr(jobs, "launch", lambda run: None)
    study_run, _ = begin_study(root)
    with study_run.lock():
        study_run.begin_attempt()
        study_run.set_status("running")
        for path in study_run.folder.glob("run.sqlite*"):
            os.utime(path, (1, 1))
        assert begin_study(root)[0].id == study_run.id
    again, new = begin_study(root)
    assert new, "nobody works on the first one any more"
    again.set_status("done")
    assert begin_study(root)[1]


@pytest.mark.parametrize("lasting", [False, True])
def test_a_disk_that_fills_after_a_run_was_made_leaves_none_in_line_for_ever(
    root: Path, monkeypatch: pytest.MonkeyPatch, lasting: bool
) -> None:
    """Once the ballast makes room; for a lasting one there is no run, and the words to say so."""
    write, launched, refused = record.write, [], []

    def full(*arguments: Any) -> None:
        if lasting or not refused:
            refused.append(1)
            raise OSError(errno.ENOSPC, "full")
        write(*arguments)

    monkeypatch.setattr(record, "write", full)
    monkeypatch.setattr(
        subprocess, "Popen", lambda *a, **named: launched.append(a) or EndedProcess()
    )
    if lasting:
        with pytest.raises(StoreError) as caught:
            begin(root, QUICK)
        text = (
            "worker could not be started: the disk is full; free some space and start the run again"
        )
        assert str(caught.value) == text
        assert Workspace(root).runs() == []
        assert launched == []
    else:
        run = begin(root, QUICK)
        assert len(launched) == 1
        assert run.worker.launched is not None
        assert not (run.folder / "ballast").exists()


class EndedProcess:
    """A process that ended at once."""

    pid = 2**22 + 1

    def wait(self) -> int:
        return 0
