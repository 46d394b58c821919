"""Interleaved timing, on a CPU in CPU seconds, so that a busy machine does not decide the result."""

import contextlib
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

CPU, DEVICE, WALL = "CPU seconds", "device seconds", "seconds"  # the clocks
_SIZES = {CPU: 1024, DEVICE: 8192}  # of the matrix product that is the limit
_products: dict[str, list[float]] = {clock: [] for clock in _SIZES}  # its seconds in every round


def timed(work: Callable[[], object], clock: str = CPU) -> float:
    """Return the seconds that `work` takes: of this process, between two events on the GPU, or of the wall."""
    if clock == DEVICE:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1000
    now = {CPU: time.process_time, WALL: time.perf_counter}[clock]
    started = now()
    work()
    return now() - started


@contextlib.contextmanager
def elsewhere(
    work: Callable[[], object], prepare: Callable[[], object] | None = None
) -> Iterator[Callable[[], float]]:
    """Give what has `work` done in a process of its own and returns the CPU seconds it took there.

    Args:
        work: a function of a module.
        prepare: likewise; what the process does first.
    """
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, initializer=_prepare, initargs=(prepare,)) as process:
        yield lambda: process.submit(timed, work).result()


def _prepare(prepare: Callable[[], object] | None) -> None:
    """Begin a process that does nothing but its work, on one thread."""
    torch.set_num_threads(1)
    if prepare:
        prepare()


def interleaved(
    contenders: Mapping[str, Callable[[], object]],
    rounds: int = 5,
    clock: str = CPU,
    timer: Callable[[Callable[[], object], str], float] = timed,
) -> dict[str, list[float]]:
    """Return the seconds of each contender in each round; every round runs all of them once.

    Args:
        contenders: name -> what to time; each is run once before, unmeasured.
        rounds: how often.
        clock: see `timed`.
        timer: returns the seconds of a contender by that clock.
    """
    for contender in contenders.values():
        contender()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        if clock in _SIZES:
            _time_product(clock)
        for name, contender in contenders.items():
            seconds[name].append(timer(contender, clock))
    return seconds


def scaled(
    seconds: Mapping[str, list[float]], factors: Mapping[str, float]
) -> dict[str, list[float]]:
    """Return the seconds of the whole work where a contender did a part of it, or did it several times."""
    return {name: [factors.get(name, 1) * s for s in values] for name, values in seconds.items()}


def figure(value: float) -> str:
    """Return a number with three digits that count, never as a power of ten where it can be read."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    """Return the median with the range."""
    return f"{figure(statistics.median(values))} ({figure(min(values))} to {figure(max(values))})"


def gemm_rate(clock: str) -> float:
    """Return the float32 matrix product rate in FLOP a second, of one thread or of the GPU: the arithmetic limit.

    The best of all rounds: `interleaved` times the product in each, so that one busy moment does not lower the limit.
    """
    while len(_products[clock]) < 5:
        _time_product(clock)
    return 2 * _SIZES[clock] ** 3 / min(_products[clock])


def _time_product(clock: str) -> None:
    """Note what a large matrix product takes now."""
    size, device = _SIZES[clock], "cuda" if clock == DEVICE else "cpu"
    a, b = (torch.randn(size, size, device=device) for _ in range(2))
    a @ b
    repeats = 4
    seconds = timed(lambda: [a @ b for _ in range(repeats)], clock)
    _products[clock].append(seconds / repeats)


def cpu_name() -> str:
    """Return what the maker calls this CPU."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    names = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def load() -> float:
    """Return how many processes wanted to run during the last minute."""
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else float("nan")


def machine() -> str:
    """Return the device, versions and load, without any name of the machine."""
    return (
        f"{cpu_name()}, {os.cpu_count()} cores, one thread used; torch {torch.__version__}, "
        f"Python {platform.python_version()}, load {load():.1f}"
    )
