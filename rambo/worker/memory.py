"""Memory that ran out, on a CPU or a GPU, with the way out."""

import re
from pathlib import Path

import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError

from rambo.errors import StoreError
from rambo.training.gpu.batched import is_full

# The one place where an error is read out of its text: torch says the size of an allocation nowhere else.
_ALLOCATION = re.compile(r"tried to allocate ([0-9.]+) ?(bytes|KiB|MiB|GiB|TiB)?", re.IGNORECASE)
_UNITS = {"bytes": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_GIGA = 1e9
_MEMORY = Path("/proc/meminfo")  # of Linux


def ran_out(error: BaseException) -> bool:
    """Return whether an error says that memory ran out.

    Choice: a worker process that was ended from outside counts as well: that is what the kernel does then.
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError | TerminatedWorkerError):
        return True
    if isinstance(error, RuntimeError) and "can't allocate memory" in str(error):
        return True
    return is_full(error)


def shortage(error: BaseException, device: str, out: str = "") -> StoreError:
    """Return what is short and the way out.

    Args:
        error: of which `ran_out` is true.
        device: of the config.
        out: the way out, where it is not that of a run.
    """
    on_gpu = is_full(error)
    needed, free = _needed(error), _free_on_gpu() if on_gpu else _free()
    parts = [] if needed is None else [f"the step at hand needs about {_amount(needed)}"]
    parts += [] if free is None else [f"{_amount(free)} are free now"]
    figures = f" ({', '.join(parts)})" if parts else ""
    way = "use fewer slots (compute.slots)" if on_gpu else "use fewer jobs (compute.jobs)"
    if not on_gpu and device != "cpu":
        way += " or slots (compute.slots)"
    return StoreError(
        f"ran out{figures}",
        field="the GPU's memory" if on_gpu else "memory",
        limit=free,
        hint=f"{out or way} or end other programs, then resume the run",
    )


def _needed(error: BaseException) -> float | None:
    """Return the bytes that an allocation asked for, or None where the error does not say."""
    match = _ALLOCATION.search(str(error))
    return float(match[1]) * _UNITS[(match[2] or "bytes").lower()] if match else None


def _free() -> float | None:
    """Return the bytes of memory that a program may still have, or None where this system does not say."""
    try:
        (line,) = [x for x in _MEMORY.read_text().splitlines() if x.startswith("MemAvailable:")]
        return float(line.split()[1]) * 2**10
    except (OSError, ValueError):
        return None


def _free_on_gpu() -> float | None:
    """Return the free bytes of the GPU at hand, or None without one."""
    return float(torch.cuda.mem_get_info()[0]) if torch.cuda.is_available() else None


def _amount(count: float) -> str:
    """Return bytes in GB, in MB below a tenth of one."""
    return f"{count / _GIGA:.1f} GB" if count >= _GIGA / 10 else f"{count / 1e6:.0f} MB"
