"""The same trainings on processes of this machine and on a cluster of two workers, one of them killed."""

import contextlib
import os
import platform
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import pytest
import torch
from tiny import MemoryMemo, tiny_config, write_tiny

from rambo.config import ClassifierConfig
from rambo.errors import ConfigError
from rambo.events import ignore
from rambo.method.pools import Problem
from rambo.runs.workspace import Workspace, create_run, summary
from rambo.training import backends
from rambo.training.backends import Backend
from rambo.training.ensemble import Ensemble
from rambo.worker import run_worker

FAST = ClassifierConfig(max_epochs=1)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Backend]:
    """Two worker processes of dask on this machine."""
    pytest.importorskip("distributed")
    with backends.connected("dask", None, 2) as backend:
        yield backend


def trained_memo(
    problem: Problem, backend: Backend, count: int = 6, emit: Any = ignore
) -> MemoryMemo:
    """Return the memory after `count` fits on a backend."""
    memo = MemoryMemo()
    team = Ensemble(problem, FAST, seed=7, memo=memo, jobs=2, backend=backend)
    units = [team.fit_unit(problem.labeled[: 8 + i], "offline", i) for i in range(count)]
    team.run(units, emit, lambda: None)
    return memo


def accuracies(memo: MemoryMemo) -> dict[str, Any]:
    """Return what was kept but for the seconds it took."""
    return {
        key: {name: value for name, value in record.items() if name != "seconds"}
        for key, (record, _) in memo.results.items()
    }


def identify(seconds: float) -> int:
    """Return the process a task ran in."""
    time.sleep(seconds)
    return os.getpid()


def test_dask_gives_what_loky_gives(problem: Problem, cluster: Backend) -> None:
    assert cluster == Backend("dask", 2)
    assert accuracies(trained_memo(problem, cluster)) == accuracies(
        trained_memo(problem, Backend("loky", 2))
    )


def test_two_workers_share_the_work(cluster: Backend) -> None:
    processes = set(cluster.run(joblib.delayed(identify)(0.2) for _ in range(8)))
    assert len(processes) == 2
    assert os.getpid() not in processes


def test_a_worker_killed_in_the_middle_loses_nothing(problem: Problem, cluster: Backend) -> None:
    workers = set(cluster.run(joblib.delayed(identify)(0.2) for _ in range(8)))
    victim = min(workers)
    events: list[object] = []
    killed = threading.Event()

    def kill_after_the_first(event: object) -> None:
        events.append(event)
        if not killed.is_set():
            os.kill(victim, signal.SIGKILL)
            killed.set()

    memo = trained_memo(problem, cluster, 12, kill_after_the_first)
    assert killed.is_set()
    assert len(events) == len(memo.results) == 12
    assert accuracies(memo) == accuracies(trained_memo(problem, Backend("loky", 2), 12))
    with contextlib.suppress(ProcessLookupError):
        os.kill(victim, 0)
        pytest.fail("the worker was not killed")


def test_nobody_at_the_address_is_told_with_the_way_out() -> None:
    pytest.importorskip("distributed")
    with (
        pytest.raises(
            ConfigError, match=r"^compute.address tcp://127.0.0.1:9: dask cannot be"
        ) as e,
        backends.connected("dask", "tcp://127.0.0.1:9", 2),
    ):
        raise AssertionError
    assert "choose loky" in str(e.value)


def test_a_missing_package_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(ConfigError, match=r"^compute.backend dask: not installed; pip install"),
        backends.connected("dask", None, 2),
    ):
        raise AssertionError


def test_a_whole_run_on_a_cluster_that_is_there_is_that_of_one_process(
    cluster: Backend, tmp_path: Path
) -> None:
    """The cluster of the other tests, found by its address: a second one would take as long as they all do."""
    distributed = pytest.importorskip("distributed")
    address = distributed.default_client().scheduler.address
    results = {}
    for name, where in (("loky", None), ("dask", address)):
        home = tmp_path / name
        compute = {"backend": name, "address": where, "jobs": 1 if where is None else 2}
        config = tiny_config(strategies=["rambo", "badge"], compute=compute, trials=1)
        run = create_run(config, write_tiny(home), Workspace(home), "cpu")
        assert run_worker.work(run) == "done"
        results[name] = [(r.strategy, r.selected, r.test_accuracy) for r in summary(run).results]
    assert [row[0] for row in results["loky"]] == ["rambo", "badge"]
    assert results["dask"] == results["loky"]


def test_an_interrupt_while_workers_start_is_held_back_and_not_lost() -> None:
    """Ignored, as it once was, a Ctrl-C in that moment was lost and the run went on."""
    reached = []

    def start() -> None:
        with backends._quiet_interrupts():
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
            reached.append("the end of the block")

    # As in a terminal: where a shell started these tests in the background, Ctrl-C would be ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            start()
    finally:
        signal.signal(signal.SIGINT, before)
    assert reached == ["the end of the block"]


_FAULTS = """
import resource, torch
from rambo.training import backends
{prepare}
blocks = [torch.ones(1 << 20) for _ in range(4)]  # 4 MiB each
del blocks
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    blocks = [torch.ones(1 << 20) for _ in range(4)]
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(prepare: str) -> int:
    """Return the page faults of a process that frees 16 MiB and asks for them again, ten times.

    The process is born to give every such block back; left to itself, glibc does so as its heap happens to lie.
    """
    script, born = _FAULTS.format(prepare=prepare), {"MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | born,
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these thresholds")
def test_a_settled_worker_keeps_the_memory_it_frees() -> None:
    assert faults("") > 20_000  # the system clears every page each time
    assert faults("backends.settle(None)") < 10_000  # the first round finds nothing yet


def count_faults() -> int:
    """Return the page faults of a task that frees 48 MiB and asks for them again, ten times."""

    def again() -> None:
        blocks = [torch.ones(1 << 20) for _ in range(12)]
        del blocks

    again()
    again()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        again()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these thresholds")
def test_so_does_a_worker_of_dask_that_was_started_here(cluster: Backend) -> None:
    """Its tasks run in a thread, where `mallopt` comes too late; without it, 120,000 faults."""
    assert max(cluster.run(joblib.delayed(count_faults)() for _ in range(4))) < 30_000


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(backends, "ctypes", None)  # asking it for anything would fail
    assert not backends.keep_memory.__wrapped__()
