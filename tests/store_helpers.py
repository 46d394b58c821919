"""What the tests of the store share."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rambo import events
from rambo.config import build, describe
from rambo.errors import StoreError
from rambo.runs.run import Run
from rambo.runs.workspace import summary

ROOT = Path(__file__).parent.parent
CONFIG = describe(build({"strategies": ["rambo", "margin"], "trials": 2, "seed": 5}))
CLASSES = ["T-shirt", "=1+1", "![x](//host/p.png)", "\udcff\0\n", "日本"]


def advance(step: int) -> events.StageAdvanced:
    return events.StageAdvanced("pretraining", step, 100)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refusal(action: Callable[[], Any], kind: type[Exception] = StoreError) -> str:
    """Return the words of the error that `action` must raise: one line, no path."""
    with pytest.raises(kind) as caught:
        action()
    words = str(caught.value)
    assert words.isprintable(), words
    assert "/tmp" not in words, words
    return words


def child(code: str, *arguments: object) -> subprocess.Popen[bytes]:
    """Start Python with `code`; its arguments are in sys.argv[1:]."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.PIPE)


@contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """Make a folder and what is in it read-only, for root too: the block runs as nobody."""
    changed = {path: path.stat().st_mode for path in [folder, *folder.rglob("*")]}
    for path in changed:
        path.chmod(0o555 if path.is_dir() else 0o444)
    changed[folder.parent] = (
        folder.parent.stat().st_mode
    )  # what we make is private: let nobody pass
    folder.parent.chmod(0o711)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for path, mode in changed.items():
            path.chmod(mode)


def everything(run: Run) -> dict[str, Any]:
    """Return all a reader can ask of a run: each answer, or None where it was refused."""
    questions: dict[str, Callable[[], Any]] = {
        "config": lambda: run.config,
        "environment": lambda: run.environment,
        "status": lambda: run.status,
        "events": run.events,
        "latest": run.latest_events,
        "results": run.results,
        "stop": run.stop_requested,
        "summary": lambda: summary(run),
    }
    answers = {}
    for name, question in questions.items():
        try:
            answers[name] = question()
        except StoreError as error:
            answers[name] = None if str(error).isprintable() else str(error)
    return answers
