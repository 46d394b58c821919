"""What one strategy chose in one trial, read once and shared by all viewers: the pages Batch and Compare draw it.

    batch = batch_data.load(run, trial, strategy)     # a frozen `Batch`; shared, look and do not touch
    batch_data.sheet(batch, ids)                      # thumbnails of any images of the dataset
    batch_data.u_hat(batch)                           # for the what-if

A part that is missing or damaged is None, and `Batch.troubles` says in plain words what that is and the way out.
"""

import dataclasses
import functools
from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from rambo.datasets.prepared import Prepared
from rambo.events import BatchChosen
from rambo.runs import atlas as atlases
from rambo.runs import exclusions, paths, whatif
from rambo.runs.atlas import UNLABELED_POOL, Atlas, Indices
from rambo.runs.exclusions import Exclusions
from rambo.runs.record import StoredEvent
from rambo.runs.whatif import UHat
from rambo.runs.workspace import Run
from rambo.ui import pictures, readers
from rambo.ui.batch import batch_parts
from rambo.ui.components import Sprites
from rambo.ui.readers import Stamp


@dataclasses.dataclass(frozen=True, eq=False)
class Batch:
    """What a strategy chose in a trial, `B` images in the order of choice; fewer while it still chooses.

    Attributes:
        run: the run.
        trial: from 0.
        strategy: its name.
        seed: of the trial.
        classes: class names; guess `i` is the i-th.
        indices: `B` dataset indices in the order of choice.
        steps: `B`, the greedy step of each, from 0; a person reads it from 1.
        margins: `B` float64, by f on S_0; NaN where unknown.
        guesses: `B`, the class f guesses; -1 where unknown.
        utilities: `B` float64, u_hat of the batch of that step; NaN for strategies without u_hat.
        complete: the strategy has spent its budget; False for the picks so far.
        decisions: RAMBO's greedy steps, in order; empty for other strategies.
        atlas: what f makes of all images of the trial.
        served: arrays `chosen`, `validation`, `mass`, `exact` of `rambo.worker.pictures.served`.
        data: the dataset with pixels and labels.
        troubles: what is missing or damaged, one sentence each with the way out; plain text, not Markdown.
        stamp: changes when anything does that it was read from: the key of what is made of it.
    """

    run: Run
    trial: int
    strategy: str
    seed: int
    classes: tuple[str, ...]
    indices: Indices
    steps: Indices
    margins: NDArray[np.float64]
    guesses: Indices
    utilities: NDArray[np.float64]
    complete: bool
    decisions: tuple[BatchChosen, ...]
    atlas: Atlas | None
    served: dict[str, np.ndarray] | None
    data: Prepared | None
    troubles: tuple[str, ...]
    stamp: Hashable

    @property
    def count(self) -> int:
        """The number of images."""
        return len(self.indices)

    @functools.cached_property
    def in_atlas(self) -> frozenset[int]:
        """The images that the atlas has."""
        return frozenset(self.atlas.indices.tolist() if self.atlas is not None else ())

    @functools.cached_property
    def step_of(self) -> dict[int, int]:
        """Chosen image -> its greedy step, from 0, in the order of choice."""
        return dict(zip(self.indices.tolist(), self.steps.tolist(), strict=True))

    @property
    def stepwise(self) -> bool:
        """There was more than one greedy step."""
        return bool(self.steps.any())

    @property
    def key(self) -> str:
        """A short name of (run, trial, strategy), for widget keys."""
        return f"{self.run.id}/{self.trial}/{self.strategy}"

    def class_name(self, guess: int) -> str:
        """Return the name of a class, as the dataset has it (not escaped), or `unknown`."""
        return self.classes[guess] if 0 <= guess < len(self.classes) else "unknown"

    def at(self, index: int) -> int | None:
        """Return the place of an image in the order of choice, from 0, or None if it was not chosen."""
        positions = np.flatnonzero(self.indices == index)
        return int(positions[0]) if len(positions) else None

    def at_step(self, step: int) -> Indices:
        """Return what greedy step `step` chose, in the order of choice."""
        chosen: Indices = self.indices[self.steps == step]
        return chosen

    def labels(self, indices: Iterable[int]) -> list[str] | None:
        """Return the oracle's class names, or None without the dataset.

        Free to show for S_0 and S_val, whose labels were bought; for all others only behind the oracle's switch.
        """
        if self.data is None:
            return None
        return [self.data.class_of(int(index)) for index in indices]


def trials(run: Run) -> list[int]:
    """Return the numbers of a run's trials."""
    return list(range(readers.config(run).trials))


def strategies(run: Run) -> list[str]:
    """Return a run's strategies in the config's order."""
    return list(readers.config(run).strategies)


def first_strategy(run: Run) -> str:
    """Return the strategy that is shown unless a person asks for another."""
    names = strategies(run)
    return "rambo" if "rambo" in names else names[0]


def ready(run: Run, trial: int) -> list[str]:
    """Return the strategies that have spent their budget in a trial, in the config's order."""
    return [name for name in strategies(run) if run.has_artifact(_selection(trial, name))]


def load(run: Run, trial: int, strategy: str) -> Batch | None:
    """Return what a strategy chose, the picks so far while it chooses, or None before its first pick.

    Raises:
        StoreError: the choice or the run itself is damaged; the message names the way out.
    """
    name = _selection(trial, strategy)
    complete = run.has_artifact(name)
    picks = readers.choices(run, trial, strategy)
    if not complete and not picks:
        return None
    artifacts = [name, paths.of_trial(trial, paths.ATLAS)]
    artifacts.append(paths.of_choice(trial, strategy, paths.SERVED))
    stamp = (
        *(str(run.folder), run.created(), trial, strategy),
        *(batch_parts.stamp_of(run, artifacts), complete, picks[-1].seq if picks else 0),
    )
    return _load(stamp, _run=run, _trial=trial, _strategy=strategy, _picks=picks)


def u_hat(batch: Batch) -> UHat | None:
    """Return the trained u_hat of the batch's trial; None for other strategies, old runs, or while it chooses.

    Raises:
        StoreError: an artifact is damaged.
    """
    names = [
        paths.of_choice(batch.trial, "rambo", part)
        for part in (paths.POOLS, paths.U_HAT, paths.SELECTION)
    ]
    if batch.strategy != "rambo" or not batch.complete:
        return None
    if not all(batch.run.has_artifact(name) for name in names):
        return None
    return _u_hat(batch.stamp, batch_parts.stamp_of(batch.run, names), _batch=batch)


def exclusions_of(batch: Batch) -> Exclusions | None:
    """Return what no strategy of the trial could choose, because it repeats another image; None where nothing was.

    Raises:
        StoreError: the artifact is damaged.
    """
    return exclusions.load(batch.run, batch.trial)


def offered(batch: Batch, atlas: Atlas) -> Indices:
    """Return the images of U_0 that a strategy could choose: no repeats of others, and none behind the gate."""
    pool: Indices = atlas.members(UNLABELED_POOL)
    if (repeats := exclusions_of(batch)) is not None:
        pool = np.setdiff1d(pool, repeats.indices)
    if batch.run.has_artifact(paths.of_trial(batch.trial, paths.GATE)):
        gate = readers.arrays(batch.run, paths.of_trial(batch.trial, paths.GATE))
        pool = np.setdiff1d(pool, gate["indices"][gate["left_out"]])
    return pool


def sheet(batch: Batch, ids: Sequence[int] | None = None) -> Sprites:
    """Return thumbnails of any images of the dataset, by default of the batch in the order of choice.

    As `pictures.sheet`: without the dataset every tile is grey.
    """
    return pictures.sheet(batch.data, batch.indices if ids is None else ids)


def margins_of(atlas: Atlas) -> NDArray[np.float32]:
    """Return the margin of every row of an atlas."""
    return atlases.margins(atlas.probabilities)


def pool_margins(atlas: Atlas) -> NDArray[np.float32]:
    """Return the margins of the unlabeled pool U_0, the smallest first."""
    return np.sort(margins_of(atlas)[atlas.pool == UNLABELED_POOL])


def ranked_pool(atlas: Atlas, without: Indices, among: Indices | None = None) -> Indices:
    """Return U_0 without some images, the smallest margins first, equal ones by dataset index.

    Args:
        atlas: of the trial.
        without: images to leave out.
        among: images of U_0 to look at; all where not given.
    """
    pool = np.setdiff1d(atlas.members(UNLABELED_POOL) if among is None else among, without)
    margins = margins_of(atlas)[atlas.rows(pool)]
    ordered: Indices = pool[margins.argsort(kind="stable")]
    return ordered


def captions(batch: Batch, ids: Iterable[int], *, oracle: bool = False) -> dict[int, str]:
    """Return what to say of each image: guess, margin, step; with the oracle also its true label."""
    items = [int(item) for item in ids]
    places = {int(index): place for place, index in enumerate(batch.indices)}
    guesses = _guesses(batch, [item for item in items if item not in places])
    labels = batch.labels(items) if oracle else None
    lines = {}
    for number, item in enumerate(items):
        place = places.get(item)
        if place is None:
            guess, margin = guesses.get(item, (-1, np.nan))
        else:
            guess, margin = int(batch.guesses[place]), float(batch.margins[place])
        parts = [f"image {item}"]
        parts += [f"f guesses {batch.class_name(guess)}"] if guess >= 0 else []
        parts += [f"margin {margin:.3f}"] if np.isfinite(margin) else []
        parts += [f"step {batch.steps[place] + 1}"] if place is not None and batch.stepwise else []
        parts += [f"the oracle says {labels[number]}"] if labels else []
        lines[item] = ", ".join(parts)
    return lines


def _guesses(batch: Batch, ids: Sequence[int]) -> dict[int, tuple[int, float]]:
    """Return guess and margin of images that were not chosen, as far as the atlas knows them."""
    if batch.atlas is None:
        return {}
    visible = [item for item in ids if item in batch.in_atlas]
    rows = batch.atlas.rows(visible)
    guesses, margins = batch.atlas.guesses[rows].tolist(), margins_of(batch.atlas)[rows].tolist()
    return dict(zip(visible, zip(guesses, margins, strict=True), strict=True))


def _selection(trial: int, strategy: str) -> str:
    """Return the name of the artifact that holds a choice."""
    return paths.of_choice(trial, strategy, paths.SELECTION)


@st.cache_resource(show_spinner=False, max_entries=32)
def _load(
    stamp: Hashable, *, _run: Run, _trial: int, _strategy: str, _picks: list[StoredEvent]
) -> Batch:
    """Return the batch; the stamp alone is the key of the cache."""
    troubles: list[str] = []
    atlas = batch_parts.read_atlas(_run, _trial, troubles)
    decisions = tuple(pick.event for pick in _picks if isinstance(pick.event, BatchChosen))
    complete = _run.has_artifact(_selection(_trial, _strategy))
    seed = readers.config(_run).seed + _trial
    if complete:
        picks = batch_parts.exported_picks(_run, _strategy, seed, atlas, troubles)
    else:
        picks = batch_parts.picks_so_far(decisions, atlas)
    if complete and _strategy == "rambo" and not decisions:
        troubles.append("The greedy steps of this run were not recorded, so they cannot be shown.")
    served = (
        batch_parts.read_served(_run, _trial, _strategy, len(picks.indices)) if complete else None
    )
    return Batch(
        run=_run,
        trial=_trial,
        strategy=_strategy,
        seed=seed,
        classes=readers.environment(_run).classes,
        indices=picks.indices,
        steps=picks.steps,
        margins=picks.margins,
        guesses=picks.guesses,
        utilities=picks.utilities,
        complete=complete,
        decisions=decisions,
        atlas=atlas,
        served=served,
        data=batch_parts.read_data(_run, troubles),
        troubles=tuple(troubles) if complete else (),
        stamp=stamp,
    )


@st.cache_resource(show_spinner=False, max_entries=8)
def _u_hat(batch: Hashable, artifacts: Stamp, *, _batch: Batch) -> UHat:
    """Return u_hat; the first two arguments are the key of the cache."""
    return whatif.load(_batch.run, _batch.trial)
