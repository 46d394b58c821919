"""The library that stands between a process and the kernel (`shim.c`): built once, loaded before anything else."""

import ctypes
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")


class NoCompilerError(RuntimeError):
    """There is no C compiler on this machine."""


def build(folder: Path) -> Path:
    """Return the built library.

    Raises:
        NoCompilerError: it cannot be built here.
    """
    target = folder / "shim.so"
    command = ["cc", "-shared", "-fPIC", "-O2", "-w", "-o", str(target), str(SOURCE), "-ldl"]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoCompilerError(str(error)) from error
    return target


def reload_with_it() -> None:
    """Start this program again with the library before all others, unless it is there already."""
    if "torture" not in os.environ.get("LD_PRELOAD", ""):
        folder = Path(tempfile.mkdtemp(prefix="torture-shim-"))
        os.environ["LD_PRELOAD"] = str(build(folder))
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def library() -> ctypes.CDLL:
    """Return the loaded library."""
    loaded = ctypes.CDLL(os.environ["LD_PRELOAD"])
    loaded.torture_seen.restype = ctypes.c_long
    return loaded


def arm(root: Path, number: int, error: int, *, stays: bool) -> None:
    """Let the operation of this number that changes something below a folder fail, or it and all after it."""
    library().torture_arm(
        str(root).encode(), ctypes.c_long(number), ctypes.c_int(error), ctypes.c_int(stays)
    )


def count(root: Path) -> None:
    """Count operations below a folder from here on, and let none fail."""
    arm(root, -1, 0, stays=False)


def calls() -> int:
    """Return how many operations there were since."""
    return int(library().torture_seen())


def trace(root: Path | None, descriptor: int) -> None:
    """Write all operations below a folder to an open file; None ends it."""
    library().torture_trace(b"" if root is None else str(root).encode(), ctypes.c_int(descriptor))
