"""Read the studies of the workspace: what has not changed is not read again, whoever looks."""

import dataclasses
from pathlib import Path
from typing import Any

import streamlit as st

from rambo.config import Config, Settings
from rambo.errors import RamboError, RunNotFoundError, StoreError
from rambo.runs import paths
from rambo.runs.results import Ranking, Summary
from rambo.runs.run import Description
from rambo.runs.workspace import Run, Workspace
from rambo.studies import study as studies
from rambo.studies.grid import Cell
from rambo.studies.study import MeanUtility
from rambo.studies.table import StudyTable
from rambo.ui import readers, state


def workspace() -> Workspace:
    """Return where the studies lie."""
    return studies.workspace_of(state.workspace())


def find(name: str) -> Run:
    """Return the study of that name.

    Raises:
        RunNotFoundError: there is none; the message is fit for a page.
    """
    try:
        return workspace().find(name)
    except RunNotFoundError:
        raise RunNotFoundError(
            "there is no such study", field="study", value=name, hint="choose one of the list"
        ) from None


@dataclasses.dataclass(frozen=True)
class Listed:
    """One study in a list of them.

    Attributes:
        run: what a list of runs would show.
        name: of the question; empty where it cannot be read.
        done: how many cells are done.
        cells: how many there are; None where that is not known here.
    """

    run: Description
    name: str
    done: int
    cells: int | None


def listing() -> list[Listed]:
    """Return all studies, the newest first."""
    statuses = {run.run: run.status for run in readers.runs()}
    listed = []
    for study in workspace().runs():
        described = study.describe()
        if described.status == "unreadable":
            listed.append(Listed(described, "", 0, None))
            continue
        done = sum(statuses.get(run_id) == "done" for run_id in cell_runs(study).values())
        name = str(config(study).get("study", ""))
        listed.append(Listed(described, name, done, _cells(str(study.folder))))
    return listed


def config(study: Run) -> Settings:
    """Return the config of a study, which never changes."""
    return _config(str(study.folder))


def cell_runs(study: Run) -> dict[str, str]:
    """Return the id of each cell's run, by the cell's label; some may have been deleted since."""
    return _begun(str(study.folder), _stamp(study))


def planned(study: Run) -> list[tuple[Cell, Config]]:
    """Return the cells of a study with their configs; they never change.

    Raises:
        RamboError: the record names a study that is not known here, or is damaged.
    """
    return _planned(str(study.folder))


def table(study: Run) -> StudyTable:
    """Return `study.table`; only runs whose record has changed are read.

    Raises:
        RamboError: as `planned`.
    """
    return _table(str(study.folder), _state(study))


def mean_utilities(study: Run) -> dict[str, MeanUtility]:
    """Return `study.mean_utilities`, read again when a cell ended or began."""
    cells = tuple((cell.label, cell.run, cell.status) for cell in table(study).cells)
    return _mean_utilities(str(study.folder), cells)


def _state(study: Run) -> tuple[object, ...]:
    """Return what changes when the study, one of its runs, or the state of either does."""
    statuses = {run.run: run.status for run in readers.runs()}
    root = state.workspace().root
    runs = tuple(
        (run_id, statuses.get(run_id), _stamp(Run(root / run_id)))
        for run_id in cell_runs(study).values()
    )
    return study.status, _stamp(study), runs


def _stamp(run: Run) -> readers.Stamp:
    """Return numbers that change when a record does."""
    return readers.stamp(*paths.record_files(run.folder))


def _at(folder: str) -> Run:
    """Return the study in a folder that was looked up before."""
    return workspace().find(Path(folder).name)


def _cells(folder: str) -> int | None:
    """Return how many cells a study has; None where it is none that is known here."""
    try:
        return len(_planned(folder))
    except RamboError:
        return None


@st.cache_resource(show_spinner=False, max_entries=64)
def _config(folder: str) -> Settings:
    """Return what `config` gives."""
    return _at(folder).config


@st.cache_resource(show_spinner=False, max_entries=64)
def _begun(folder: str, stamp: readers.Stamp) -> dict[str, str]:
    """Return what `cell_runs` gives; the arguments are the key of the cache."""
    return _at(folder).cells()


@st.cache_resource(show_spinner=False, max_entries=64)
def _planned(folder: str) -> list[tuple[Cell, Config]]:
    """Return what `planned` gives."""
    study = _at(folder)
    if not isinstance(study.config.get("study"), str):
        raise StoreError(
            "its record names no study", field="study", value=study.id, hint="delete it"
        )
    return studies.planned(study)


@st.cache_resource(show_spinner=False, max_entries=16)
def _table(folder: str, cells: tuple[object, ...]) -> StudyTable:
    """Return what `table` gives; the arguments are the key of the cache."""
    _planned(folder)
    return studies.table(_at(folder), _summary)


def _summary(run: Run) -> Summary:
    """Return the summary of a cell; a damaged one has no results and hides no other."""
    try:
        return readers.summary(run)
    except StoreError:
        return Summary(run.id, "", {}, "unreadable", [], Ranking())


@st.cache_resource(show_spinner=False, max_entries=16)
def _mean_utilities(folder: str, cells: tuple[Any, ...]) -> dict[str, MeanUtility]:
    """Return what `mean_utilities` gives; the arguments are the key of the cache."""
    return studies.mean_utilities(_at(folder))
