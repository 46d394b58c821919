"""Reading what strangers made, in child processes with limits on memory, processor time and files.

A child lives on for the next task, so that only the first one pays for its start; one that dies is replaced. It shares
nothing with the process that asks, and ends with it.
"""

import os
import resource
import secrets
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from joblib.externals.loky import process_executor
from joblib.externals.loky.backend.context import get_context
from joblib.externals.loky.process_executor import ProcessPoolExecutor

from rambo.errors import RamboError, StoreError, from_json
from rambo.storage import files
from rambo.storage.files import RefusedError

T = TypeVar("T")
MEMORY = 1_000_000_000  # bytes of its own that a child may hold beyond what it starts with; mapped files do not count
SECONDS = 120  # of the processor, for one task
FILE_BYTES = 4_000_000_000  # of a file that it writes
_IDLE_SECONDS = 30
_SCRATCH = ".scratch-"
_POOLS: dict[int, ProcessPoolExecutor] = {}
_LOCK = threading.Lock()
warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
Answer = tuple[str, Any]  # `done` and what came, or what kind of refusal and its parts


def pool(jobs: int) -> ProcessPoolExecutor:
    """Return so many limited children; those that are there already, while they live."""
    with _LOCK:
        children = _POOLS.get(jobs)
        if children is None or children._flags.broken is not None or children._flags.shutdown:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                children = ProcessPoolExecutor(
                    jobs, timeout=_IDLE_SECONDS, context=get_context("loky"), initializer=_begin
                )
            _POOLS[jobs] = children
        return children


def call(function: Callable[..., T], *arguments: Any, seconds: int = SECONDS) -> T:
    """Return what a function of a module gives in a limited child; it raises what the function raises.

    Args:
        function: at the top of a module.
        arguments: small ones; they travel.
        seconds: of the processor.

    Raises:
        RefusedError: of the function; or it wanted more memory or time than there is, or crashed.
        RamboError: of the function.
        OSError: of the function, with its number and words alone.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of loky, about a child that it replaces
        try:
            kind, value = pool(1).submit(_answer, function, arguments, seconds, _here()).result()
        except BrokenProcessPool as error:
            raise RefusedError(
                f"reading it crashed, or took over {seconds} s", "save it again, in parts"
            ) from error
    if kind == "refused":
        raise RefusedError(*value)
    if kind == "error":
        raise from_json(value)
    if kind == "system":
        raise OSError(*value)
    if kind == "memory":
        raise RefusedError(
            f"reading it takes more than {MEMORY / 1e9:.0f} GB of memory", "give fewer at a time"
        )
    if kind == "other":
        raise ValueError(value)
    result: T = value
    return result


@contextmanager
def scratch(workspace: Path) -> Iterator[Path]:
    """Give a folder of the workspace for what does not fit into memory; it is gone afterwards.

    Raises:
        StoreError: the workspace cannot be written.
    """
    try:
        files.make_folder(workspace)
        for scratch in workspace.glob(f"{_SCRATCH}*"):  # of a process that was killed
            owner = scratch.name.removeprefix(_SCRATCH).partition("-")[0]
            if not Path(f"/proc/{owner}").exists() and Path("/proc/self").exists():
                shutil.rmtree(scratch, ignore_errors=True)
        folder = workspace / f"{_SCRATCH}{os.getpid()}-{secrets.token_hex(4)}"
        files.make_folder(folder)
    except OSError as error:
        reason = files.reason(error, "try again")
        problem = (
            f"could not be written: {reason.problem}"  # where it lies is this machine's business
        )
        raise StoreError(problem, field="workspace", hint=reason.hint) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def spend(seconds: int) -> None:
    """Give this child so many seconds of the processor from now on."""
    with suppress(OSError, ValueError):
        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + seconds + 1, most))


def _here() -> str:
    """Return the folder that relative paths start from."""
    with suppress(OSError):
        return str(Path.cwd())
    return os.sep  # it is gone


def _answer(
    function: Callable[..., Any], arguments: tuple[Any, ...], seconds: int, here: str
) -> Answer:
    """Return what a function gives, or what it raised in parts that travel safely."""
    spend(seconds)
    with suppress(OSError):
        os.chdir(here)  # paths may be relative to where the caller is
    try:
        return "done", function(*arguments)
    except RefusedError as error:
        return "refused", error.args
    except RamboError as error:
        return "error", error.to_json()
    except OSError as error:
        return "system", (error.errno, error.strerror)
    except MemoryError:
        return "memory", None
    # zipfile, numpy and the codecs raise many kinds; a panic of Rust is no `Exception`.
    except BaseException as error:
        return "other", (str(error) or type(error).__name__)[:500]


def _begin() -> None:
    """Limit this child, let others go first, and end with the process that started it."""
    process_executor._USE_PSUTIL = False  # the kernel limits its memory; no other guard is needed
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that started us
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    for kind, start, more in (
        ("RLIMIT_DATA", _status_bytes("VmData"), MEMORY),
        ("RLIMIT_FSIZE", 0, FILE_BYTES),
        ("RLIMIT_CORE", 0, 0),
    ):
        with suppress(OSError, ValueError, AttributeError):
            resource.setrlimit(getattr(resource, kind), (start + more, start + more))
    with suppress(OSError):
        os.nice(5)


def _status_bytes(name: str) -> int:
    """Return a number of bytes from this process's status; 0 where the system has none."""
    with suppress(OSError, ValueError, IndexError), open("/proc/self/status") as file:  # noqa: PTH123
        for line in file:
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0


def _end_with_parent(parent: int) -> None:
    """Wait until the process that started this one is gone, then end."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
