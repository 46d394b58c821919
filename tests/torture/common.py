"""What all campaigns share: how faults are counted, and what a failure says."""

import dataclasses
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent


@dataclasses.dataclass
class Tally:
    """Faults of one kind.

    Attributes:
        fault: what was done, in words.
        right: what has to follow.
        injected: how often it was done.
        failures: what went wrong, each with what makes it happen again.
        seconds: that it took.
    """

    fault: str
    right: str
    injected: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    @property
    def survived(self) -> int:
        """How often all was right."""
        return self.injected - len(self.failures)

    def check(self, name: str, action: Callable[..., str | None], *arguments: Any) -> None:
        """Count a fault; `action` returns what is wrong, or None."""
        begun = time.monotonic()
        self.injected += 1
        try:
            wrong = action(*arguments)
        except Exception as error:
            wrong = f"{type(error).__name__}: {str(error)[:300]}"
        self.seconds += time.monotonic() - begun
        if wrong:
            self.failures.append(f"{name}: {wrong}")
            print(f"  FAILED {name}: {wrong}", file=sys.stderr, flush=True)


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def apart(action: Callable[..., Any], *arguments: Any) -> str:
    """Return what an action says that is done in a fork: this process stays without threads and pools.

    Raises:
        RuntimeError: it failed.
    """
    problems: list[str] = []
    code, words = forked(lambda: problems.append(str(action(*arguments))) or f"={problems[0]}")
    if code != 1 or not words.startswith("="):
        raise RuntimeError(words or f"exit {code}")
    return words[1:]


def forked(action: Callable[[], Any], seconds: float = 300) -> tuple[int, str]:
    """Return how a fork that does this ended, and what it said: 0 where nothing was wrong.

    Args:
        action: returns what is wrong, or None; runs in a process of its own.
        seconds: that it may take.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.close(reader)
            wrong = action()
            os.write(writer, str(wrong or "")[:2000].encode())
            code = 1 if wrong else 0
        except BaseException as error:
            os.write(writer, f"{type(error).__name__}: {str(error)[:500]}".encode())
        finally:
            os._exit(code)
    os.close(writer)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            with os.fdopen(reader, "rb") as pipe:
                return os.waitstatus_to_exitcode(status), pipe.read().decode("utf-8", "replace")
        time.sleep(0.002)
    os.kill(child, 9)
    os.waitpid(child, 0)
    os.close(reader)
    return 124, f"took over {seconds:g} s"
