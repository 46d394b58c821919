"""Read runs for the pages: each event once for all viewers, nothing twice on a rerun.

Caches are keyed by the run and by what can change of it, so a rerun of a page costs no reading. Everything returned
is shared: look, do not touch.
"""

import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from rambo import jobs, store
from rambo.datasets import prepared
from rambo.datasets.prepared import Prepared
from rambo.errors import StoreError
from rambo.store import Run
from rambo.ui import state

Record = dict[str, Any]
_ENDED = ("done", "failed", "stopped", "interrupted")


class EventReader:
    """The events of one run that count, read once for any number of viewers."""

    def __init__(self, run: Run) -> None:
        """Begin before the first event."""
        self._run = run
        self._guard = threading.Lock()
        self._all: list[Record] = []

    def latest(self) -> list[Record]:
        """Return the events that count, as `Run.latest_events` does, reading only what is new."""
        with self._guard:
            last = self._all[-1]["seq"] if self._all else 0
            self._all += self._run.events(last)
            return newest_attempts(self._all)


def newest_attempts(events: list[Record]) -> list[Record]:
    """Return of each trial and strategy the events of its newest attempt."""
    newest: dict[tuple[Any, Any], int] = {}
    for event in events:
        place = event["trial"], event["strategy"]
        newest[place] = max(newest.get(place, 0), event["attempt"])
    return [
        event for event in events if event["attempt"] == newest[event["trial"], event["strategy"]]
    ]


def events(run: Run) -> list[Record]:
    """Return the events of a run that count, in order."""
    return _reader(str(run.folder)).latest()


def of_kind(
    records: Iterable[Record], kind: str, *, trial: int | None = None, strategy: str | None = None
) -> list[Record]:
    """Return the records of one kind, of one trial and strategy where these are given."""
    return [
        record
        for record in records
        if record["kind"] == kind
        and trial in (None, record["trial"])
        and strategy in (None, record["strategy"])
    ]


def runs() -> list[Record]:
    """Return `Run.describe` of all runs, the newest first; what has not changed is not read again."""
    return _listing(str(state.workspace().root)).describe()


class Listing:
    """What is known of all runs of a workspace."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._guard = threading.Lock()
        self._known: dict[str, tuple[int, Record]] = {}

    def describe(self) -> list[Record]:
        """Return all runs, the newest first; only those that may have changed are read."""
        workspace = state.workspace()
        with self._guard:
            known: dict[str, tuple[int, Record]] = {}
            for name in workspace.ids():
                run = Run(workspace.root / name)
                stamp = _stamp(run, "run.sqlite", "run.sqlite-wal")
                before = self._known.get(name)
                if before is None or before[0] != stamp or before[1]["status"] not in _ENDED:
                    before = stamp, run.describe()
                known[name] = before
            self._known = known
            found = [record for _, record in known.values()]
        return sorted(found, key=lambda run: (run["created"], run["run"]), reverse=True)


def status(run: Run) -> tuple[str, str]:
    """Return the status and its message as they are now; a damaged run is `unreadable`."""
    facts = run.describe()
    return facts["status"], facts["message"]


def summary(run: Run) -> Record:
    """Return the object of `show --json`; read again only when the record has changed."""
    return _summary(str(run.folder), _stamp(run, "run.sqlite", "run.sqlite-wal"), run.status)


def config(run: Run) -> Record:
    """Return the config of a run as nested JSON types."""
    return _facts(str(run.folder))[0]


def environment(run: Run) -> Record:
    """Return the environment of a run: classes, dataset, device."""
    return _facts(str(run.folder))[1]


def has(run: Run, name: str) -> bool:
    """Return whether an artifact is there."""
    return run.has_artifact(name)


def arrays(run: Run, name: str) -> dict[str, np.ndarray]:
    """Return the arrays of an artifact, such as `trial-0/atlas`; read once.

    Raises:
        StoreError: it is not there yet, or damaged.
    """
    return _arrays(str(run.folder), name, _stamp(run, f"artifacts/{name}.safetensors"))


def selection(run: Run, trial: int, strategy: str) -> pd.DataFrame:
    """Return the chosen images of a strategy in the order of choice; read once.

    Raises:
        StoreError: nothing is chosen yet, or it is damaged.
    """
    name = f"trial-{trial}/{strategy}/selection"
    return _table(str(run.folder), name, _stamp(run, f"artifacts/{name}.parquet"))


def dataset(run: Run) -> Prepared:
    """Return the prepared dataset of a run, memory-mapped once.

    Raises:
        DataError: its folder is gone or damaged.
    """
    return open_dataset(environment(run)["dataset"]["fingerprint"])


def open_dataset(fingerprint: str) -> Prepared:
    """Return a prepared dataset of the workspace, memory-mapped once."""
    folder = state.workspace().root / "datasets" / fingerprint
    meta = folder / "meta.json"
    changed = meta.stat().st_mtime_ns if meta.is_file() else 0
    return _dataset(str(folder), changed)


def devices(wait: float = 0.0) -> Record | None:
    """Return what `jobs.probe_devices` finds, or None while another process still looks.

    Args:
        wait: seconds to wait for the answer.
    """
    return _devices().found(wait)


class Devices:
    """Asks once for the devices, in a thread, so that no page waits for torch."""

    def __init__(self) -> None:
        """Begin to ask."""
        self._answer: Record = {}
        self._answered = threading.Event()
        threading.Thread(target=self._ask, daemon=True).start()

    def found(self, wait: float) -> Record | None:
        """Return the answer, or None if there is none within `wait` seconds."""
        return self._answer if self._answered.wait(wait) else None

    def _ask(self) -> None:
        """Ask; the CPU is there whatever the answer."""
        try:
            self._answer = jobs.probe_devices()
        except StoreError:
            cores = os.cpu_count() or 1
            self._answer = {"auto": "cpu", "names": {"cpu": f"CPU, {cores} cores"}, "cores": cores}
        self._answered.set()


@st.cache_resource(show_spinner=False)
def _devices() -> Devices:
    return Devices()


@st.cache_resource(show_spinner=False, max_entries=64)
def _reader(folder: str) -> EventReader:
    return EventReader(_run(folder))


@st.cache_resource(show_spinner=False, max_entries=8)
def _listing(root: str) -> Listing:
    return Listing()


@st.cache_resource(show_spinner=False, max_entries=64)
def _summary(folder: str, stamp: int, status: str) -> Record:
    return store.summary(_run(folder))


@st.cache_resource(show_spinner=False, max_entries=256)
def _facts(folder: str) -> tuple[Record, Record]:
    run = _run(folder)
    return run.config, run.environment


@st.cache_resource(show_spinner=False, max_entries=24)
def _arrays(folder: str, name: str, stamp: int) -> dict[str, np.ndarray]:
    return _run(folder).load_arrays(name)


@st.cache_resource(show_spinner=False, max_entries=128)
def _table(folder: str, name: str, stamp: int) -> pd.DataFrame:
    return _run(folder).load_table(name)


@st.cache_resource(show_spinner=False, max_entries=8)
def _dataset(folder: str, changed: int) -> Prepared:
    path = state.workspace().root / "datasets" / Path(folder).name
    return prepared.open_prepared(path)


def _run(folder: str) -> Run:
    """Return the run in a folder that was looked up before."""
    return state.workspace().find(os.path.basename(folder))  # noqa: PTH119


def _stamp(run: Run, *names: str) -> int:
    """Return a number that changes when one of the files does."""
    total = 0
    for name in names:
        try:
            facts = (run.folder / name).stat()
        except OSError:
            continue
        total += facts.st_mtime_ns + facts.st_size
    return total
