"""Interleaved timing in CPU seconds, so that a busy machine does not decide the result."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping

import torch


def interleaved(
    contenders: Mapping[str, Callable[[], object]], rounds: int = 5
) -> dict[str, list[float]]:
    """Return the CPU seconds of each contender in each round; every round runs all of them once.

    Args:
        contenders: name -> what to time; each is run once before, unmeasured.
        rounds: how often.
    """
    for contender in contenders.values():
        contender()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            started = time.process_time()
            contender()
            seconds[name].append(time.process_time() - started)
    return seconds


def spread(values: list[float]) -> str:
    """Return the median with the range."""
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def gemm_rate(size: int = 1024, rounds: int = 5) -> float:
    """Return this machine's float32 matrix product rate on one thread, in FLOP per CPU second: the ceiling."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    seconds = interleaved({"product": lambda: [a @ b for _ in range(10)]}, rounds)["product"]
    return 10 * 2 * size**3 / min(seconds)


def machine() -> str:
    """Return the device, versions and load, without any name of the machine."""
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in open("/proc/cpuinfo", encoding="utf-8")  # noqa: SIM115, PTH123
            if line.startswith("model name")
        )
        if os.path.exists("/proc/cpuinfo")  # noqa: PTH110
        else iter(()),
        platform.processor(),
    )
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return (
        f"{cpu}, {os.cpu_count()} cores, one thread used; torch {torch.__version__}, "
        f"Python {platform.python_version()}, load {load:.1f}"
    )
