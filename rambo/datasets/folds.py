"""Folds of the labels at hand: every label judges once, by a model that has not learned from it."""

import hashlib
from collections.abc import Sequence

import numpy as np

from rambo.datasets.prepared import Labels, Prepared


def deal(labels: Labels, units: Sequence[str], count: int, *, seed: int = 0) -> Labels:
    """Return the fold of each row, from 0.

    Source: stratified folds with whole groups, as scikit-learn's `StratifiedGroupKFold` deals them. Choice: units go
    the largest first, equals in the order of a hash of their name; each joins the fold that has least of its classes,
    then the smallest one. So every class is spread as evenly as its groups allow, and a class of fewer labels than
    folds is no error.

    Args:
        labels: `N` class ids.
        units: `N` names; rows of one name stay together.
        count: of folds; with fewer units some stay empty.
        seed: decides the order.
    """
    members: dict[str, list[int]] = {}
    for row, unit in enumerate(units):
        members.setdefault(unit, []).append(row)
    order = sorted(members, key=lambda unit: (-len(members[unit]), _shuffled(unit, seed)))
    counts = np.zeros((count, int(labels.max(initial=0)) + 1), np.int64)
    result = np.zeros(len(labels), np.int64)
    for unit in order:
        rows = members[unit]
        of_class = np.bincount(labels[rows], minlength=counts.shape[1])
        crowd = counts @ of_class  # how much of its classes each fold has
        fold = int(np.lexsort((counts.sum(1), crowd))[0])
        result[rows] = fold
        counts[fold] += of_class
    return result


def units_of(data: Prepared, rows: np.ndarray) -> list[str]:
    """Return what moves as one, for each of the rows: a group, near duplicates, else a single image."""
    clusters, groups = data.clusters, data.groups
    units = [f"row {row}" if clusters is None else f"cluster {clusters[row]}" for row in rows]
    if groups is None:
        return units
    return [
        f"group {groups[row]}" if groups[row] >= 0 else unit
        for row, unit in zip(rows, units, strict=True)
    ]


def _shuffled(unit: str, seed: int) -> str:
    """Return where a unit stands in a shuffled order."""
    return hashlib.sha256(f"fold {seed} {unit}".encode("utf-8", "replace")).hexdigest()
