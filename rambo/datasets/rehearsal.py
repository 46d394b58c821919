"""A rehearsal: the same game inside the labeled part of a person's images, with those labels hidden.

What a person labeled becomes the pool, S_val stays, and the test set is theirs or, in turn, each of some folds of the
labels. So an ordinary run with an oracle shows on their own images which strategy wins, before anything is paid.
"""

from pathlib import Path

import numpy as np

from rambo.collection import splits
from rambo.config import Config, describe, restore
from rambo.datasets import folds, prepared
from rambo.datasets.prepared import (
    LABELED,
    POOL,
    TEST,
    UNLABELED,
    VALIDATION,
    Labels,
    Names,
    Prepared,
)
from rambo.errors import DataError, shorten

PREFIX = "rehearsal:"  # of a dataset's name: `rehearsal:collection:pets@3`
WORDS = "rehearsal of "  # what a page says of it
_RECIPE = 2  # part of every origin: raise it when other images are taken
_FOLDS = 3  # Choice: where a person has no test set a third of the labels judges; after three trials each did once
_FEWEST = 6  # pictures to play with


def origin_of(fingerprint: str) -> str:
    """Return the key by which `prepared.find` knows the rehearsal of a dataset."""
    return f"rehearsal/{_RECIPE}/{fingerprint}"


def derive(data: Prepared, workspace: Path, name: str) -> Prepared:
    """Return the labeled part of a partly labeled dataset as a fully labeled one.

    Choice: without a test set the labels are dealt into three folds, class by class, groups and near duplicates whole;
    each trial is judged by the next one, and the other two are its pool. So every label judges, which matters where
    they are few. S_val stays one set: the utility that u_hat learns and OT compares with is defined on it; without it
    a fifth of the labels is set aside. Images without a label are left out.

    Args:
        data: some of its labels are unknown.
        workspace: folder of all runs.
        name: of the dataset, for what is said of it.

    Raises:
        DataError: every label is known, or too few are.
        StoreError: the workspace cannot be written.
    """
    if not data.partly_labeled:
        raise DataError(
            f"every label of {data.name} is known, so there is nothing to rehearse",
            field="dataset.name",
            value=shorten(name),
            hint="run it: each run is one",
        )
    origin = origin_of(data.fingerprint)
    folder = prepared.find(workspace, origin)
    if folder is not None:
        return prepared.open_prepared(folder)
    rows = np.flatnonzero(np.asarray(data.labels) != UNLABELED)
    roles = np.asarray(data.roles)[rows]
    labels = np.asarray(data.labels)[rows]
    clusters, groups = (
        None if part is None else np.asarray(part)[rows] for part in (data.clusters, data.groups)
    )
    units = folds.units_of(data, rows)
    if not (roles == VALIDATION).any():
        nobody = np.zeros(len(rows), dtype=bool)
        roles[splits.choose(labels, roles == LABELED, nobody, units, splits.DEFAULT_SHARE)] = (
            VALIDATION
        )
    turns = None if (roles == TEST).any() else _turns(labels, roles == LABELED, units)
    if turns is not None:
        roles[turns == 0] = TEST
    roles[roles == LABELED] = POOL
    if not (roles == TEST).any() or pictures(roles, clusters) < _FEWEST:
        raise DataError(
            f"{data.name} has {int((data.roles == LABELED).sum())} labels to play with, too few for a rehearsal",
            field="dataset.name",
            value=shorten(name),
            hint="label at least 12 images, with 2 or more of a class",
        )
    return prepared.write(
        workspace,
        name=f"{WORDS}{data.name}",
        images=np.asarray(data.images)[rows],
        labels=labels,
        roles=roles,
        classes=data.classes,
        mean=data.mean,
        std=data.std,
        source=data.source,
        licence=data.licence,
        origin=origin,
        groups=groups,
        clusters=clusters,
        folds=turns,
        names=_names(data, rows),
        collection=data.collection,
    )


def scaled(config: Config, data: Prepared, rehearsal: Prepared) -> Config:
    """Return the config of a rehearsal: the same game, as much smaller as the labels are fewer.

    Choice: k to B stand as in the real run, and two images are there for every label to buy, so that there is a
    choice; steps shrink with the budget, fewer offline pairs are trained where labels are few; M and k_1 are automatic.

    Args:
        config: of the real run; its k does not matter.
        data: the partly labeled dataset.
        rehearsal: what `derive` gave.
    """
    labeled = int((data.roles == LABELED).sum())
    room = pictures(np.asarray(rehearsal.roles), rehearsal.clusters)
    parts = labeled + 2 * config.budget
    k = min(max(2, round(room * labeled / parts)), room - 2)
    budget = max(1, min(round(room * config.budget / parts), (room - k) // 2, config.budget))
    settings = describe(config)
    settings["k"], settings["budget"] = k, budget
    batch = config.acquisition.batch_size * budget / config.budget
    settings["acquisition"] |= {
        "batch_size": max(1, min(round(batch), budget)),
        "filter_size": None,
    }
    settings["rambo"]["initial_size"] = None
    offline = settings["rambo"]["offline"]
    offline["pairs"] = min(offline["pairs"], splits.most_pairs(k) or offline["pairs"])
    settings["dataset"]["name"] = f"{PREFIX}{config.dataset.name}"
    return restore(settings)


def pictures(roles: np.ndarray, clusters: np.ndarray | None) -> int:
    """Return how many different pictures the pool has that are not in S_val or the test set too."""
    pool = roles == POOL
    if clusters is None:
        return int(pool.sum())
    return len(np.setdiff1d(clusters[pool], clusters[~pool]))


def _turns(labels: Labels, playing: np.ndarray, units: list[str]) -> Labels | None:
    """Return the fold in which each image judges, -1 for S_val; None where there are too few to judge at all.

    The largest fold comes first, so that no trial has a smaller pool than what `scaled` sees.
    """
    rows = np.flatnonzero(playing)
    turns = np.full(len(labels), -1, np.int64)
    own = folds.deal(labels[rows], [units[row] for row in rows], _FOLDS)
    sizes = np.bincount(own, minlength=_FOLDS)
    if not sizes.all():
        return None
    rank = np.argsort(np.argsort(-sizes, kind="stable"))
    turns[rows] = rank[own]
    return turns


def _names(data: Prepared, rows: np.ndarray) -> Names | None:
    """Return what the images are called."""
    names = data.names()
    if names is None:
        return None
    return Names(
        files=tuple(names.files[row] for row in rows) if names.files else (),
        ids=tuple(names.ids[row] for row in rows) if names.ids else (),
        numbers=tuple(names.numbers[row] for row in rows) if names.numbers else (),
        groups=names.groups,
    )


def words(real: Config, config: Config, data: Prepared, played: Prepared) -> str:
    """Return what is played, in a sentence or two: the sizes beside those of the real run."""
    labeled = int((data.roles == LABELED).sum())
    times = f"{config.trials} times, each time with others" if config.trials > 1 else "once"
    judged = f"{judges(played, config.trials):,} images judge"
    if played.folds is not None and config.trials > 1:
        judged += f", a third of them at a time ({_FOLDS}-fold validation)"
    return (
        f"Rehearsal: {config.k:,} of your labels are taken as held and {config.budget:,} are bought from the rest, "
        f"in place of {labeled:,} and {real.budget:,}; this is done {times}, and {judged}. No label is spent."
    )


def judges(played: Prepared, trials: int) -> int:
    """Return how many different images judge a rehearsal in all its trials together."""
    return int(np.logical_or.reduce([played.judges(trial) for trial in range(trials)]).sum())
