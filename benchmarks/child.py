"""One benchmark in a process of its own: `python -m benchmarks.child NAME FILE` writes a result file of one entry."""

import importlib
import importlib.util
import platform
import sys
from pathlib import Path

import numpy as np
import torch

from benchmarks import results
from benchmarks.measure import CannotMeasureError
from benchmarks.timing import CPU, DEVICE, gemm_rate, load

CANNOT = 3  # exit status of a benchmark that says it cannot run here


def measured(name: str) -> results.Results:
    """Return what a benchmark finds on this machine.

    Raises:
        CannotMeasureError: it says it cannot run here.
    """
    if not importlib.util.find_spec(f"benchmarks.{name}"):
        raise CannotMeasureError("there is no such module yet")
    module = importlib.import_module(f"benchmarks.{name}")
    if not hasattr(module, "measure"):
        raise CannotMeasureError("it has no measure() yet")
    before = load()
    measures = tuple(module.measure())
    versions = {
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
    clocks = [CPU]
    if torch.cuda.is_available():
        versions["CUDA"] = str(torch.version.cuda)
        clocks.append(DEVICE)
    rates = {clock: gemm_rate(clock) for clock in clocks}
    entry = results.Entry(results.now(), (before, load()), versions, rates, measures)
    return results.Results(results.machine_facts(), {name: entry})


def main() -> int:
    """Measure, write, and return the exit status."""
    name, path = sys.argv[1:]
    try:
        results.write(Path(path), measured(name))
    except CannotMeasureError as reason:
        print(reason)
        return CANNOT
    return 0


if __name__ == "__main__":
    sys.exit(main())
