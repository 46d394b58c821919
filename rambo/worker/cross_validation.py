"""Folds for a final classifier whose labels are so few that none should be kept aside to judge it."""

import numpy as np

from rambo.collection.splits import STEADY
from rambo.datasets import folds
from rambo.datasets.prepared import LABELED, TEST, VALIDATION, Labels, Prepared

FOLDS = 5
STAGE = "cross-validation"


def teachers(data: Prepared, seed: int) -> tuple[np.ndarray, Labels | None]:
    """Return the rows that teach the final classifier, and the fold of each where they judge it too.

    Choice: a test set of the person's own judges, however small; without one so do 30 validation images or more. With
    fewer, S_val teaches as well and every label is judged by a classifier that has not seen its fold. Where a fold
    would leave fewer than two classes to learn from, S_val judges after all.
    """
    roles, labeled = np.asarray(data.roles), np.asarray(data.labels) >= 0
    taught = np.flatnonzero((roles == LABELED) & labeled)
    if (roles == TEST).any() or int((roles == VALIDATION).sum()) >= STEADY:
        return taught, None
    every = all_but_test(data)
    units, labels = folds.units_of(data, every), np.asarray(data.labels)[every]
    count = min(FOLDS, len(set(units)))
    own = folds.deal(labels, units, max(1, count), seed=seed)
    if min(len(np.unique(labels[own != fold])) for fold in range(max(1, count))) < 2:
        return taught, None
    return every, own


def all_but_test(data: Prepared) -> np.ndarray:
    """Return the rows of every label but those of a test set."""
    roles, labeled = np.asarray(data.roles), np.asarray(data.labels) >= 0
    return np.flatnonzero(((roles == LABELED) | (roles == VALIDATION)) & labeled)


def words(count: int, labels: int) -> str:
    """Return how a classifier is judged by `count` folds of its labels."""
    return (
        f"fewer than {STEADY} images were kept aside, so all {labels:,} labels teach the model and judge it by "
        f"{count}-fold cross-validation: each by a model that has not learned from it, from its group or from a near "
        "duplicate"
    )
