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
from rambo.ui.readers import Record, Stamp

_OWN_NOTICES = (
    "The map of the images in this trial",
    "The prepared dataset",
)  # by `read_atlas`, `read_data`


def exported_rows(
    run: Run, trial: int, strategy: str, seed: int, troubles: list[str]
) -> list[Record]:
    """Return what exports have of each chosen image; what they could not read joins the troubles."""
    evidence = export.gather(run, strategy, seed)
    troubles += [notice for notice in evidence.notices if not notice.startswith(_OWN_NOTICES)]
    return evidence.rows


def rows_so_far(decisions: Sequence[BatchChosen], atlas: Atlas | None) -> list[Record]:
    """Return the picks of the steps made so far."""
    rows = [
        {"dataset_index": index, "step": decision.step, "predicted_utility": decision.utility}
        for decision in decisions
        for index in decision.chosen
    ]
    if atlas is None:
        return rows
    places = atlas.rows([row["dataset_index"] for row in rows])
    margins, guesses = atlases.margins(atlas.probabilities)[places], atlas.guesses[places]
    measures = zip(rows, margins.tolist(), guesses.tolist(), strict=True)
    return [row | {"margin": margin, "predicted_class": guess} for row, margin, guess in measures]


def column(rows: Sequence[Record], name: str, unknown: float) -> NDArray[np.float64]:
    """Return one column, `unknown` where there is nothing."""
    values = [row.get(name) for row in rows]
    return np.array([unknown if value is None else value for value in values], np.float64)


def read_atlas(run: Run, trial: int, troubles: list[str]) -> Atlas | None:
    """Return the atlas of a trial, or None with the reason."""
    name = paths.of_trial(trial, paths.ATLAS)
    again = f"`python -m rambo resume {run.id}` makes it again."
    if not run.has_artifact(name):
        troubles.append(f"This trial has no map of the images (an older run); {again}")
        return None
    try:
        arrays = readers.arrays(run, name)
        fields = [field.name for field in dataclasses.fields(Atlas)]
        return Atlas(**{field: arrays[field] for field in fields})
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
