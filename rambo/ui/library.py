"""The datasets a page can offer: what is prepared, and preparing the rest in another process.

Preparing may read, check or download hundreds of megabytes and import torch, so the server leaves it to
`python -m rambo prepare`, and asks now and then how it goes.
"""

import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from rambo.collection import collection as own
from rambo.datasets import catalog, prepared, rehearsal
from rambo.datasets.prepared import Prepared
from rambo.errors import DataError, RamboError
from rambo.runs import jobs
from rambo.ui import allowed, readers, state, visitor

SHIPPED = "fashion-mnist-mini"


@dataclass(frozen=True)
class DatasetState:
    """Where a dataset stands: `state` is `ready`, `missing`, `preparing` or `failed`; `message` says why it failed."""

    state: str
    message: str = ""


def names() -> list[str]:
    """Return the names in the catalog, the shipped one first, and then a person's collections."""
    return [
        *sorted(catalog.CATALOG, key=lambda name: (name != SHIPPED, name)),
        *(f"{own.PREFIX}{slug}" for slug in own.slugs(state.workspace().root)),
    ]


def is_own(name: str) -> bool:
    """Return whether a name is that of a collection in the workspace, or of a rehearsal on one."""
    named = own.parse(name.removeprefix(rehearsal.PREFIX))
    return named is not None and named[0] in own.slugs(state.workspace().root)


def open_named(name: str) -> Prepared | None:
    """Return the prepared dataset of a catalog name or a path, or None where it is not prepared yet.

    A path is known by the file's content and its time of change, so a new file under an old name counts as new.
    """
    if not _may_look(name):
        return None
    key = str(state.workspace().root), name, _changed(name)
    fingerprint = _fingerprint(*key)
    if fingerprint is None:
        _fingerprint.clear(*key)  # it may be prepared the next moment
        return None
    try:
        return readers.open_dataset(fingerprint)
    except DataError:
        return None


def ensure(name: str) -> Prepared | None:
    """Return the dataset; the shipped one is prepared here and now, any other one in the background."""
    data = open_named(name)
    if data is None and name == SHIPPED:
        catalog.prepare(name, state.workspace().root)
        data = open_named(name)
    elif data is None and _may_look(name) and visitor.may_edit():
        _preparations().begin(name)
    return data


def standing(name: str) -> DatasetState:
    """Return where a dataset stands, without starting anything."""
    result = _preparations().standing(name)
    if result.state == "preparing":  # asked each second: a large file is not hashed meanwhile
        return result
    return DatasetState("ready") if open_named(name) is not None else result


def retry(name: str) -> None:
    """Prepare a dataset in the background, also after it failed; use it as a callback."""
    if not visitor.may_edit():
        return
    allowed.ask_for(name)
    _preparations().forget(name)
    ensure(name)


def _may_look(name: str) -> bool:
    """Return whether a dataset may be looked at: no page reads, or looks for, what only stands in an address."""
    return allowed.is_own_path(name) and (not allowed.is_path(name) or bool(allowed.located(name)))


class Preparations:
    """The processes that prepare datasets, one per name."""

    def __init__(self) -> None:
        """Begin with none."""
        self._guard = threading.Lock()
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._failed: dict[str, str] = {}

    def begin(self, name: str) -> None:
        """Start preparing unless that is going on or has failed."""
        with self._guard:
            if name not in self._processes and name not in self._failed:
                process = jobs.spawn(["prepare", "--json", "--", name])
                self._processes[name] = process
                threading.Thread(target=self._wait, args=(name, process), daemon=True).start()

    def standing(self, name: str) -> DatasetState:
        """Return where a dataset that is not ready stands."""
        with self._guard:
            if name in self._processes:
                return DatasetState("preparing")
            if name in self._failed:
                return DatasetState("failed", self._failed[name])
        return DatasetState("missing")

    def forget(self, name: str) -> None:
        """Let a failed name be tried again."""
        with self._guard:
            self._failed.pop(name, None)

    def _wait(self, name: str, process: subprocess.Popen[str]) -> None:
        """Wait for the end and keep why it failed, where it did."""
        out, _ = process.communicate()
        with self._guard:
            self._processes.pop(name, None)
            if process.returncode != 0:
                self._failed[name] = jobs.worded(jobs.failure(out), 500)


@st.cache_resource(show_spinner=False)
def _preparations() -> Preparations:
    """Return those of this server."""
    return Preparations()


@st.cache_resource(show_spinner=False, max_entries=64)
def _fingerprint(root: str, name: str, changed: int) -> str | None:
    """Return the fingerprint under which a dataset is prepared, or None."""
    origin = catalog.origin_of(name, workspace=Path(root))
    folder = prepared.find(Path(root), origin) if origin else None
    return folder.name if folder else None


def _changed(name: str) -> int:
    """Return when the file of that name changed; 0 for catalog names and files that are not there.

    Of a collection it is the newest version.
    """
    name = name.removeprefix(rehearsal.PREFIX)
    if name in catalog.CATALOG:
        return 0
    if (named := own.parse(name)) is not None:
        try:
            return own.find(state.workspace().root, named[0]).latest()
        except RamboError:
            return 0
    for candidate in (Path(name), catalog.default_root() / name):
        try:
            return candidate.stat().st_mtime_ns
        except (OSError, ValueError):
            continue
    return 0
