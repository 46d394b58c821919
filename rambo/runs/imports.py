"""Imports in the background: one process for each collection, which outlives whoever started it.

`<workspace>/imports/<slug>/` holds what was asked, what the process answered, and a lock that it holds while it lives;
how far it is stands beside the collection. So a page that is opened later, by anyone, tells the same.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from rambo import errors
from rambo.collection import collection as own
from rambo.collection.collection import Collection
from rambo.collection.records import Fit, ImportProgress
from rambo.errors import ConfigError, RamboError, RunNotFoundError, StoreError
from rambo.runs import jobs
from rambo.storage import files

State = Literal["none", "running", "stopped", "failed", "done"]
STOP_SECONDS = 5.0  # for the chunk in flight; then SIGTERM, which ends as cleanly
STAGING = "uploads/to-import"  # below the workspace: what was sent, until it is imported
_REQUEST, _ANSWER, _LOG, _LOCK, _STOP = "request.json", "answer.json", "log", "lock", "stopped"


@dataclasses.dataclass(frozen=True)
class ImportRequest:
    """What a person asked to be imported.

    Attributes:
        name: of the collection; one of that name grows.
        sources: paths of folders, zips, `.npz`, tables and parquet files.
        labels: path of a table with labels; empty for none.
        test: path of a fixed test set; empty for none.
        validation: share of the labels for S_val; None for the importer's rule.
        group: a column or `folder`, what stays on one side of a split; empty for none.
        size: side of the working size; None for the importer's rule.
        fit: how an image of another shape is brought to it.
    """

    name: str
    sources: tuple[str, ...]
    labels: str = ""
    test: str = ""
    validation: float | None = None
    group: str = ""
    size: int | None = None
    fit: Fit = "letterbox"

    @property
    def slug(self) -> str:
        """The name of the collection in commands and addresses."""
        return own.slug_of(self.name)

    def arguments(self) -> list[str]:
        """Return the options of `python -m rambo import`."""
        values = {
            "name": self.name,
            "labels": self.labels,
            "test": self.test,
            "validation": "" if self.validation is None else f"{self.validation:g}",
            "group-column": self.group,
            "size": "" if self.size is None else f"{self.size}",
            "fit": self.fit,
        }
        options = [f"--{option}={value}" for option, value in values.items() if value]
        return ["import", "--json", *options, "--", *self.sources]


@dataclasses.dataclass(frozen=True)
class ImportState:
    """Where the newest import of a collection stands.

    Attributes:
        state: `none` where nobody asked for one here.
        progress: how far it is; None before it has read anything.
        message: why it failed, in one line.
    """

    state: State
    progress: ImportProgress | None = None
    message: str = ""


def begin(workspace: Path, request: ImportRequest) -> None:
    """Start an import, unless one is at work on that collection: two clicks start one.

    Raises:
        ConfigError: nothing to import was named.
        StoreError: the workspace cannot be written.
    """
    if not request.sources:
        raise ConfigError("nothing to import", field="sources", hint="name a folder, or send files")
    folder = _folder(workspace, request.slug)
    try:
        files.make_folder(folder)
        with files.appending(folder / _LOCK) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            (folder / _STOP).unlink(missing_ok=True)
            written = json.dumps(dataclasses.asdict(request)).encode("utf-8", "surrogateescape")
            files.write_bytes(folder / _REQUEST, written)
            process = _launch(workspace, request, folder, lock.fileno())
            files.write_bytes(folder / "pid", f"{process.pid}".encode())
    except OSError as error:
        reason = files.reason(error, "import again")
        raise _refused("cannot start", request.slug, reason) from error
    # Someone has to wait for a child, or it stays in the process table.
    threading.Thread(target=process.wait, daemon=True).start()


def _launch(
    workspace: Path, request: ImportRequest, folder: Path, lock: int
) -> subprocess.Popen[bytes]:
    """Return the process; it inherits the lock, so the kernel opens it when the process ends."""
    command = [sys.executable, "-m", "rambo", *request.arguments()]
    with (folder / _ANSWER).open("wb") as answer, (folder / _LOG).open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=log,
            env=jobs.environment() | {"RAMBO_HOME": str(workspace.absolute())},
            pass_fds=(lock,),
            start_new_session=True,
        )
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PGRP, process.pid, jobs.POLITENESS)
    return process


def standing(workspace: Path, slug: str) -> ImportState:
    """Return where the newest import of a collection stands; also one from the command line while it runs."""
    collection = _collection(workspace, slug)
    progress = None if collection is None else collection.progress()
    folder = _folder(workspace, slug)
    if files.is_locked(folder / _LOCK):
        return ImportState(
            "running", progress if progress and progress.state == "running" else None
        )
    if (
        collection is not None
        and collection.importing()
        and progress
        and progress.state == "running"
    ):
        return ImportState("running", progress)
    if not (folder / _REQUEST).is_file():
        state: State = progress.state if progress and progress.state != "done" else "none"
        return ImportState(state, progress, progress.message if progress else "")
    answer = _answer(folder)
    if "version" in answer:
        return ImportState("done", progress)
    if "error" in answer:
        return ImportState("failed", progress, jobs.worded(_error(answer), 500))
    stopped = (folder / _STOP).exists() or (progress is not None and progress.state == "stopped")
    message = "" if stopped else "the import ended without a word; start it again to go on"
    return ImportState("stopped" if stopped else "failed", progress, message)


def request_of(workspace: Path, slug: str) -> ImportRequest | None:
    """Return what was asked of the newest import of a collection, or None."""
    try:
        facts = json.loads((_folder(workspace, slug) / _REQUEST).read_bytes())
        return ImportRequest(**facts | {"sources": tuple(facts["sources"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def pending(workspace: Path) -> list[str]:
    """Return the collections whose import was asked for here and has made none of them yet, sorted."""
    try:
        names = sorted(path.parent.name for path in workspace.glob(f"imports/*/{_REQUEST}"))
    except OSError:
        return []
    return [name for name in names if _collection(workspace, name) is None]


def stop(workspace: Path, slug: str) -> None:
    """Ask an import to end at the next safe point; what it has read is kept.

    Raises:
        StoreError: the disk refuses.
    """
    folder = _folder(workspace, slug)
    collection = _collection(workspace, slug)
    try:
        if folder.is_dir():
            (folder / _STOP).touch()
        if collection is not None:
            collection.request_stop()
    except OSError as error:
        reason = files.reason(error, "stop it again")
        raise _refused("cannot be stopped", slug, reason) from error
    threading.Thread(target=_see_to_it, args=(folder,), daemon=True).start()


def _refused(what: str, slug: str, reason: files.Reason) -> StoreError:
    """Return the error of a disk that refuses."""
    problem = f"{what}: {reason.problem}"
    return StoreError(problem, field="import", value=slug, hint=reason.hint)


def forget(workspace: Path, slug: str) -> None:
    """Forget an import that has ended, and what was sent for it; the collection is left as it is."""
    folder = _folder(workspace, slug)
    if not files.is_locked(folder / _LOCK):
        before = request_of(workspace, slug)
        if before is not None:
            release(workspace, [*before.sources, before.labels, before.test])
        shutil.rmtree(folder, ignore_errors=True)


def release(workspace: Path, paths: Iterable[str | Path | None]) -> None:
    """Delete those files that were sent to be imported: the collection keeps what it needs; others are left alone."""
    staging = (workspace / STAGING).absolute()
    for path in paths:
        copy = Path(path or ".").absolute()
        if copy.parent == staging:
            with contextlib.suppress(OSError):
                copy.unlink()


def _see_to_it(folder: Path) -> None:
    """End an import that has not come to a safe point in time, as Ctrl-C would."""
    end = time.monotonic() + STOP_SECONDS
    while files.is_locked(folder / _LOCK):
        if time.monotonic() > end:
            with contextlib.suppress(OSError, ValueError):
                os.killpg(int((folder / "pid").read_bytes()), signal.SIGTERM)
            return
        time.sleep(0.1)


def _folder(workspace: Path, slug: str) -> Path:
    """Return where an import keeps its things; `slug_of` leaves nothing in a name that leads elsewhere."""
    return workspace / "imports" / own.slug_of(slug)


def _collection(workspace: Path, slug: str) -> Collection | None:
    """Return the collection, or None where there is none yet."""
    try:
        return own.find(workspace, slug)
    except RunNotFoundError:
        return None


def _answer(folder: Path) -> Mapping[str, Any]:
    """Return what the process printed; empty where it printed nothing."""
    try:
        content = json.loads((folder / _ANSWER).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _error(answer: Mapping[str, Any]) -> RamboError:
    """Return the error of an answer."""
    try:
        return errors.from_json(answer["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return RamboError("ended without a word", field="import", hint="start it again")
