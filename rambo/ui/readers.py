"""Read runs for the pages: each event once for all viewers, nothing twice on a rerun.

Caches are keyed by the run and by what can change of it, so a rerun of a page costs no reading. Everything returned
is shared: look, do not touch.
"""

import dataclasses
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from rambo import config as configs
from rambo.config import Config
from rambo.datasets import prepared, rehearsal
from rambo.datasets.prepared import Prepared
from rambo.errors import RamboError, StoreError
from rambo.events import BatchChosen, StageAdvanced, StageStarted
from rambo.figures import theme
from rambo.runs import jobs, models, paths, record, repair, report
from rambo.runs import notes as image_notes
from rambo.runs import workspace as workspaces
from rambo.runs.environment import Environment
from rambo.runs.jobs import Devices
from rambo.runs.notes import ImageNote
from rambo.runs.record import StoredEvent
from rambo.runs.results import Summary
from rambo.runs.run import Description
from rambo.runs.workspace import Run
from rambo.storage.unchanged import Stamp as Stamp
from rambo.storage.unchanged import Unchanged
from rambo.storage.unchanged import stamp as stamp
from rambo.text import literal, unbroken
from rambo.ui import state

_ENDED = ("done", "failed", "stopped", "interrupted")


def run_in(folder: str) -> Run:
    """Return the run or final model in a folder that was looked up before; a cache is keyed by the folder."""
    path, workspace = Path(folder), state.workspace()
    if path.parent.name == models.FOLDER:
        workspace = models.workspace_of(workspace)
    return workspace.find(path.name)


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a stage has come: `step` of `total`, in `trial`, or in None of them."""

    trial: int | None
    stage: str
    step: int
    total: int

    @property
    def share(self) -> float:
        """In [0, 1]."""
        return min(1.0, self.step / max(1, self.total))

    def words(self) -> str:
        """Return `Pretraining, 3 of 5`, as Markdown."""
        stage = theme.STAGE_WORDS.get(self.stage) or literal(self.stage)
        return f"{stage}, {self.step:,} of {self.total:,}"


class EventReader:
    """The events of one run that count, read once for any number of viewers."""

    def __init__(self, run: Run) -> None:
        """Begin before the first event."""
        self._run = run
        self._guard = threading.Lock()
        self._gate = Unchanged[None](1)
        self._last = 0
        self._latest: list[StoredEvent] = []
        self._attempts: dict[tuple[int | None, str | None], int] = {}
        self._choices: dict[tuple[int | None, str | None], list[StoredEvent]] = {}

    def latest(self) -> list[StoredEvent]:
        """Return the events that count, as `Run.latest_events` does, reading only what is new."""
        with self._guard:
            self._gate.get(paths.record_files(self._run.folder), self._refresh)
            return self._latest

    def choices(self, trial: int, strategy: str) -> list[StoredEvent]:
        """Return the greedy steps among the events that count, in order."""
        with self._guard:
            self._gate.get(paths.record_files(self._run.folder), self._refresh)
            return list(self._choices.get((trial, strategy), ()))

    def _refresh(self) -> None:
        """Read what is new; a newer attempt takes the place of an older one."""
        fresh = self._run.events(self._last)
        if not fresh:
            return
        again = False
        for entry in fresh:
            again |= self._attempts.setdefault(entry.place, entry.attempt) != entry.attempt
            self._attempts[entry.place] = max(self._attempts[entry.place], entry.attempt)
        # A new list each time: others look at the one of before.
        self._latest = [*self._latest, *fresh]
        if again:
            self._latest = record.newest_attempts(self._latest)
            self._choices.clear()
        for entry in self._latest if again else fresh:
            if isinstance(entry.event, BatchChosen):
                self._choices.setdefault(entry.place, []).append(entry)
        self._last = fresh[-1].seq


def events(run: Run) -> list[StoredEvent]:
    """Return the events of a run that count, in order."""
    return _reader(str(run.folder)).latest()


def choices(run: Run, trial: int, strategy: str) -> list[StoredEvent]:
    """Return the greedy steps of a strategy in a trial among the events that count, in order."""
    return _reader(str(run.folder)).choices(trial, strategy)


def progress(run: Run) -> Progress | None:
    """Return how far the newest stage of a run has come, or None before the first."""
    for entry in reversed(events(run)):
        match entry.event:
            case StageStarted(stage, total):
                return Progress(entry.trial, stage, 0, total)
            case StageAdvanced(stage, step, total):
                return Progress(entry.trial, stage, step, total)
    return None


def runs() -> list[Description]:
    """Return `Run.describe` of all runs, the newest first; what has not changed is not read again."""
    return _listing(str(state.workspace().root)).describe()


class Listing:
    """What is known of all runs of a workspace."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._guard = threading.Lock()
        self._descriptions: dict[str, tuple[Stamp, Description]] = {}

    def describe(self) -> list[Description]:
        """Return all runs, the newest first; only those that may have changed are read."""
        workspace = state.workspace()
        with self._guard:
            descriptions: dict[str, tuple[Stamp, Description]] = {}
            for name in workspace.ids():
                run = Run(workspace.root / name)
                now = _record_stamp(run)
                before = self._descriptions.get(name)
                if before is None or before[0] != now or before[1].status not in _ENDED:
                    before = now, run.describe()
                    if run.is_absent():  # deleted since it was listed
                        continue
                descriptions[name] = before
            self._descriptions = descriptions
            runs = [facts for _, facts in descriptions.values()]
        return sorted(runs, key=lambda run: (run.created, run.run), reverse=True)


def status(run: Run) -> tuple[str, str]:
    """Return the status and its message as they are now; a damaged run is `unreadable`."""
    facts = run.describe()
    return facts.status, facts.message


def summary(run: Run) -> Summary:
    """Return the object of `show --json`; read again only when the record has changed."""
    return _summary(str(run.folder), _record_stamp(run), run.status)


def config(run: Run) -> Config:
    """Return the config of a run, whichever version wrote it.

    Raises:
        ConfigError: its record holds none.
    """
    return _facts(str(run.folder))[0]


def environment(run: Run) -> Environment:
    """Return the environment of a run: classes, dataset, device."""
    return _facts(str(run.folder))[1]


def arrays(run: Run, name: str) -> dict[str, np.ndarray]:
    """Return the arrays of an artifact, such as `trial-0/atlas`; read once.

    Raises:
        StoreError: it is not there yet, or damaged.
    """
    return _arrays(str(run.folder), name, stamp(paths.artifact(run.folder, name, "safetensors")))


def selection(run: Run, trial: int, strategy: str) -> pd.DataFrame:
    """Return the chosen images of a strategy in the order of choice; read once.

    Raises:
        StoreError: nothing is chosen yet, or it is damaged.
    """
    name = paths.of_choice(trial, strategy, paths.SELECTION)
    return _table(str(run.folder), name, stamp(paths.artifact(run.folder, name, "parquet")))


def notes(run: Run) -> dict[int, ImageNote]:
    """Return the tags and notes of a run's images; read again only when the file has changed.

    Raises:
        StoreError: the file is damaged.
    """
    return _notes(str(run.folder), stamp(paths.notes(run.folder)))


def waits(run: Run) -> bool:
    """Return whether a finished run waits for a person to label its batch: nobody knows the labels."""
    return summary(run).waits


def rehearsal_verdict(run: Run) -> str | None:
    """Return which strategy won on a person's own images, or None where this is no finished rehearsal."""
    if not config(run).dataset.name.startswith(rehearsal.PREFIX):
        return None
    try:
        judges: int | None = rehearsal.judges(dataset(run), config(run).trials)
    except RamboError:
        judges = None
    sentence = report.rehearsal_verdict(summary(run).results, judges)
    return sentence and unbroken(sentence)  # ASCII is for terminals


def broken(run: Run) -> list[str]:
    """Return the artifacts and documents of a run that are lost or damaged; read again only when one changed."""
    names = run.artifacts()
    there = [paths.artifact(run.folder, name, end) for name in names for end in paths.ENDINGS]
    there += [run.folder / name for name in run.documents()]
    return _broken(str(run.folder), _record_stamp(run) + stamp(*there))


def dataset(run: Run) -> Prepared:
    """Return the prepared dataset of a run, memory-mapped once.

    Raises:
        DataError: its folder is gone or damaged.
    """
    return open_dataset(environment(run).dataset.fingerprint)


def open_dataset(fingerprint: str) -> Prepared:
    """Return a prepared dataset of the workspace, memory-mapped once and again when a file of it changes.

    Raises:
        DataError: its folder or a file in it is gone or damaged.
    """
    return _dataset(str(_dataset_folder(fingerprint)), dataset_stamp(fingerprint))


def dataset_stamp(fingerprint: str) -> Stamp:
    """Return numbers that change when a file of a prepared dataset does."""
    folder = _dataset_folder(fingerprint)
    return stamp(
        folder / "meta.json", *(folder / f"{name}.npy" for name in (*prepared.ARRAYS, "blocks"))
    )


def devices(wait: float = 0.0) -> Devices | None:
    """Return what `jobs.probe_devices` finds, or None while another process still looks.

    Args:
        wait: seconds to wait for the answer.
    """
    return _probe().answer(wait)


class Probe:
    """Asks once for the devices, in a thread, so that no page waits for torch."""

    def __init__(self) -> None:
        """Begin to ask."""
        self._answer: Devices | None = None
        self._answered = threading.Event()
        threading.Thread(target=self._ask, daemon=True).start()

    def answer(self, wait: float) -> Devices | None:
        """Return the answer, or None if there is none within `wait` seconds."""
        return self._answer if self._answered.wait(wait) else None

    def _ask(self) -> None:
        """Ask; the CPU is there whatever the answer."""
        try:
            self._answer = jobs.probe_devices()
        except StoreError:
            self._answer = jobs.only_cpu()
        self._answered.set()


@st.cache_resource(show_spinner=False)
def _probe() -> Probe:
    """Return the one of this server."""
    return Probe()


@st.cache_resource(show_spinner=False, max_entries=64)
def _reader(folder: str) -> EventReader:
    """Return the one of a run."""
    return EventReader(run_in(folder))


@st.cache_resource(show_spinner=False, max_entries=8)
def _listing(root: str) -> Listing:
    """Return the one of a workspace."""
    return Listing()


@st.cache_resource(show_spinner=False, max_entries=64)
def _summary(folder: str, stamp: Stamp, status: str) -> Summary:
    """Return what `summary` gives; the arguments are the key of the cache."""
    return workspaces.summary(run_in(folder))


@st.cache_resource(show_spinner=False, max_entries=256)
def _facts(folder: str) -> tuple[Config, Environment]:
    """Return config and environment, which never change."""
    run = run_in(folder)
    return configs.restore(run.config), run.environment


@st.cache_resource(show_spinner=False, max_entries=24)
def _arrays(folder: str, name: str, stamp: Stamp) -> dict[str, np.ndarray]:
    """Return what `arrays` gives; the arguments are the key of the cache."""
    return run_in(folder).load_arrays(name)


@st.cache_resource(show_spinner=False, max_entries=128)
def _table(folder: str, name: str, stamp: Stamp) -> pd.DataFrame:
    """Return what `selection` gives; the arguments are the key of the cache."""
    return run_in(folder).load_table(name)


@st.cache_resource(show_spinner=False, max_entries=16)
def _notes(folder: str, stamp: Stamp) -> dict[int, ImageNote]:
    """Return what `notes` gives; the arguments are the key of the cache."""
    return image_notes.load(run_in(folder))


@st.cache_resource(show_spinner=False, max_entries=64)
def _broken(folder: str, stamp: Stamp) -> list[str]:
    """Return what `broken` gives; the arguments are the key of the cache."""
    return repair.broken(run_in(folder))


@st.cache_resource(show_spinner=False, max_entries=8)
def _dataset(folder: str, stamp: Stamp) -> Prepared:
    """Return what `open_dataset` gives; the arguments are the key of the cache."""
    return prepared.open_prepared(Path(folder))


def _dataset_folder(fingerprint: str) -> Path:
    """Return where a prepared dataset of the workspace lies."""
    return prepared.folder_of(state.workspace().root, fingerprint)


def _record_stamp(run: Run) -> Stamp:
    """Return numbers that change when the record of a run does."""
    return stamp(*paths.record_files(run.folder))
