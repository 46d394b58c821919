"""The parts of a batch, each read on its own, so that a damaged one takes no other with it."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rambo import export
from rambo.datasets.prepared import Prepared
from rambo.errors import DataError, StoreError
from rambo.events import BatchChosen
from rambo.runs import atlas as atlases
from rambo.runs import paths
from rambo.runs.atlas import Atlas
from rambo.runs.workspace import Run
from rambo.ui import readers
from rambo.ui.readers import Stamp

_OWN_NOTICES = (
    "The map of the images in this trial",
    "The prepared dataset",
    "Tags and notes",
)  # by `read_atlas`, `read_data`, `tagging.load`


@dataclasses.dataclass(frozen=True)
class Picks:
    """Chosen images in the order of choice; NaN, of guesses -1, where nobody knows.

    Attributes:
        indices: the images.
        steps: greedy steps, from 0.
        margins: of f.
        guesses: of f.
        utilities: predicted, of the set that the step made.
    """

    indices: NDArray[np.int64]
    steps: NDArray[np.int64]
    margins: NDArray[np.float64]
    guesses: NDArray[np.int64]
    utilities: NDArray[np.float64]


def exported_picks(
    run: Run, strategy: str, seed: int, atlas: Atlas | None, troubles: list[str]
) -> Picks:
    """Return what exports have of each chosen image; what they could not read joins the troubles."""
    evidence = export.gather(run, strategy, seed, atlas=atlas)
    troubles += [notice for notice in evidence.notices if not notice.startswith(_OWN_NOTICES)]
    rows = evidence.rows
    return Picks(
        indices=np.array([row.dataset_index for row in rows], np.int64),
        steps=np.array([row.step for row in rows], np.int64),
        margins=_column([row.margin for row in rows], np.nan),
        guesses=_column([row.predicted_class for row in rows], -1).astype(np.int64),
        utilities=_column([row.predicted_utility for row in rows], np.nan),
    )


def picks_so_far(decisions: Sequence[BatchChosen], atlas: Atlas | None) -> Picks:
    """Return the picks of the steps made so far."""
    pairs = [(index, step) for step in decisions for index in step.chosen]
    indices = np.array([index for index, _ in pairs], np.int64)
    margins, guesses = np.full(len(pairs), np.nan), np.full(len(pairs), -1, np.int64)
    if atlas is not None:
        places = atlas.rows(indices)
        margins = atlases.margins(atlas.probabilities)[places].astype(np.float64)
        guesses = atlas.guesses[places].astype(np.int64)
    return Picks(
        indices=indices,
        steps=np.array([step.step for _, step in pairs], np.int64),
        margins=margins,
        guesses=guesses,
        utilities=_column([step.utility for _, step in pairs], np.nan),
    )


def _column(values: Sequence[float | None], unknown: float) -> NDArray[np.float64]:
    """Return values as an array, `unknown` where there is nothing."""
    return np.array([unknown if value is None else value for value in values], np.float64)


def read_atlas(run: Run, trial: int, troubles: list[str]) -> Atlas | None:
    """Return the atlas of a trial, or None with the reason."""
    name = paths.of_trial(trial, paths.ATLAS)
    again = f"`python -m rambo resume {run.id}` makes it again."
    if not run.has_artifact(name):
        troubles.append(f"This trial has no map of the images (an older run); {again}")
        return None
    try:
        return atlases.of_arrays(readers.arrays(run, name))
    except (StoreError, KeyError):
        troubles.append(f"The map of the images in this trial is damaged; {again}")
        return None


def read_served(run: Run, trial: int, strategy: str, count: int) -> dict[str, np.ndarray] | None:
    """Return whom the chosen images serve, or None; the detail view then says so."""
    name = paths.of_choice(trial, strategy, paths.SERVED)
    if not run.has_artifact(name):
        return None
    try:
        arrays = readers.arrays(run, name)
    except StoreError:
        return None
    whole = {"chosen", "validation", "mass", "exact"} <= set(arrays)
    return arrays if whole and len(arrays["chosen"]) == count else None


def read_data(run: Run, troubles: list[str]) -> Prepared | None:
    """Return the dataset, or None with the reason."""
    try:
        return readers.dataset(run)
    except (DataError, KeyError, TypeError):
        troubles.append(
            "The images of this run are missing or damaged, so grey tiles stand for them; prepare the dataset "
            "again on the page Data or with `python -m rambo prepare`."
        )
        return None


def stamp_of(run: Run, artifacts: Sequence[str]) -> Stamp:
    """Return numbers that change when an artifact or the dataset of a run does."""
    fingerprint = readers.environment(run).dataset.fingerprint
    files = [paths.artifact(run.folder, name, end) for name in artifacts for end in paths.ENDINGS]
    return readers.dataset_stamp(fingerprint) + readers.stamp(*files)
