"""Where units of work are run: processes of this machine (loky), or the workers of a dask cluster, by joblib.

Workers of a cluster map the prepared datasets from the workspace, so they need the same folder under the same path.
"""

import contextlib
import ctypes
import dataclasses
import os
import platform
import signal
import threading
import time
import warnings
from collections.abc import Generator, Iterable, Iterator
from functools import cache
from typing import Any, Literal

import joblib
import torch

from rambo.errors import ConfigError, shorten

Name = Literal["loky", "dask"]
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # as in glibc's malloc.h
# Bytes that are kept, and of a block with a mapping of its own; glibc takes no higher threshold for these.
_TRIM, _MAPPED = 2**31 - 1, 32 << 20


@dataclasses.dataclass(frozen=True)
class Backend:
    """A joblib backend that is ready to work.

    Attributes:
        name: joblib's name for it.
        jobs: how many tasks run at once.
    """

    name: Name = "loky"
    jobs: int = 1

    def run(self, tasks: Iterable[Any]) -> Generator[Any, None, None]:
        """Begin with joblib's delayed `tasks`, and yield the results as they come; closing it drops what is in flight.

        A worker of a cluster that dies takes nothing along: its tasks go to another.
        """
        results = self._deliver(tasks)
        next(results)  # the work begins now, not when the first result is asked for
        return results

    def _deliver(self, tasks: Iterable[Any]) -> Generator[Any, None, None]:
        """Yield None once the tasks are on their way, and then their results."""
        options: dict[str, int] = {"inner_max_num_threads": 1} if self.name == "loky" else {}
        with _quiet_interrupts():
            with joblib.parallel_config(self.name, n_jobs=self.jobs, **options):
                parallel = joblib.Parallel(return_as="generator_unordered", batch_size=1)
            results = parallel(tasks)
        with contextlib.closing(results), warnings.catch_warnings():
            # A stop drops what is in flight: nothing to warn a person of.
            warnings.filterwarnings("ignore", message=".*still being processed by the workers")
            yield None
            yield from results

    @property
    def parent(self) -> int | None:
        """The process whose death ends the workers: this one, where they are its own."""
        return os.getpid() if self.name == "loky" else None


@contextlib.contextmanager
def connected(name: Name, address: str | None, jobs: int) -> Iterator[Backend]:
    """Give a backend; dask without an address starts its workers on this machine.

    Args:
        name: which.
        address: of the scheduler of dask, as `tcp://host:8786`, or None.
        jobs: processes to start here; a cluster says itself how many it has.

    Raises:
        ConfigError: the package is missing, or nobody answers at the address.
    """
    if name == "loky":
        yield Backend(name, jobs)
        return
    with _dask(address, jobs) as threads:
        yield Backend(name, threads)


# The cluster. Run on one machine only (`docs/where-it-ran.md`): two workers of dask, one of them killed.


@contextlib.contextmanager
def _dask(address: str | None, jobs: int) -> Iterator[int]:
    """Connect to a dask scheduler, or start one here; give the number of its threads."""
    try:
        import dask
        import distributed
    except ImportError:
        raise ConfigError(
            "not installed",
            field="compute.backend",
            value="dask",
            hint="pip install distributed, or choose loky",
        ) from None
    # What `keep_memory` does, for workers that run a task in a thread: one arena, as a thread's own gives memory back.
    keeping = {"ARENA_MAX": 1, "MMAP_THRESHOLD_": _MAPPED, "TRIM_THRESHOLD_": _TRIM}
    born = {f"distributed.nanny.pre-spawn-environ.MALLOC_{key}": n for key, n in keeping.items()}
    with contextlib.ExitStack() as stack:
        with _reaching(address), _quiet_interrupts():
            if address is None:
                with dask.config.set(born):
                    cluster = distributed.LocalCluster(
                        n_workers=jobs,
                        threads_per_worker=1,
                        host="127.0.0.1",
                        dashboard_address=None,
                        silence_logs="ERROR",
                    )
                address = stack.enter_context(cluster).scheduler_address
            client = stack.enter_context(distributed.Client(address, timeout="20s"))
            client.wait_for_workers(1, timeout=60)
        yield sum(client.nthreads().values())


@contextlib.contextmanager
def _reaching(address: str | None) -> Iterator[None]:
    """Turn whatever goes wrong on the way to a cluster into a `ConfigError`."""
    try:
        yield
    except Exception as error:  # dask has many kinds of errors, and none in common
        reason = shorten(" ".join(str(error).split()) or type(error).__name__, 160)
        raise ConfigError(
            f"dask cannot be reached ({reason})",
            field="compute.address",
            value=address or "of this machine",
            hint="start its scheduler, or choose loky as {compute.backend}",
            others=("compute.backend",),
        ) from error


def settle(parent: int | None) -> None:
    """Prepare the process that runs a task: one thread, memory that stays, and no life after its parent's.

    Args:
        parent: process whose death ends this one within two seconds; None for a cluster's worker.
    """
    keep_memory()
    if parent is None:
        torch.set_num_threads(1)
    else:
        _die_with(parent)


@cache
def keep_memory() -> bool:
    """Let this process keep what it frees, up to its peak, and return whether its C library can.

    Every step of a training frees its activations and asks for as much again. glibc hands such blocks back to the
    system, which clears their pages anew each time: 4 to 7 % of a step of MnistNet.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_THRESHOLD, _MAPPED) and mallopt(_TRIM_THRESHOLD, _TRIM))


@cache
def _die_with(parent: int) -> None:
    """End this worker process within two seconds of its parent's death, so that none is left over."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _quiet_interrupts() -> Iterator[None]:
    """Let processes started inside the block never see Ctrl-C: stopping them is this process's business.

    Held back, not ignored: one that comes meanwhile reaches this process at the end of the block.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
