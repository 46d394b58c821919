"""What can be wrong with data: an oracle that errs, and classes that are rare (Sections 5.5, B.2, B.3).

Only S_0 and U_0 are touched. S_val and the test set stay clean and as they were, because they judge.
"""

from collections.abc import Collection
from typing import Literal

import numpy as np
import numpy.typing as npt

from rambo.config import DatasetConfig
from rambo.datasets.prepared import LABELED, POOL, VALIDATION, Labels, Prepared

Indices = npt.NDArray[np.int64]
Imbalance = Literal["none", "paper", "glister"]

RARE = 0.3  # Section B.2: of the classes
_SHARES = {"none": 1.0, "paper": 0.8, "glister": 0.1}  # of the images of a rare class


def flip_labels(
    labels: Labels,
    pool: Indices,
    share: float,
    num_classes: int,
    classes: Collection[int] = (),
    *,
    seed: int,
) -> Labels:
    """Return what an oracle says that errs about `share` of the pool: each time another class, at random.

    Source: Section 5.5 (a noisy oracle). Choice: wrong answers are uniform over the other classes. One random image of
    every class keeps its label, so no class can vanish; a pool with too few images beside those gives all of them.

    Args:
        labels: `N` true class ids.
        pool: `m` distinct indices of S_0 and U_0; all other labels stay.
        share: in [0, 1], of the pool's images in `classes`; that many, rounded, are wrong.
        num_classes: `c`.
        classes: about which the oracle errs; none named: about all.
        seed: decides which images, and what they read.

    Returns:
        `N` class ids.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(pool)
    answers = labels.astype(np.int64, copy=True)
    mine = order[np.isin(labels[order], list(classes))] if classes else order
    _, first = np.unique(labels[mine], return_index=True)
    flipped = np.delete(mine, first)[: round(share * len(mine))]
    if num_classes > 1:
        answers[flipped] = (
            answers[flipped] + rng.integers(1, num_classes, len(flipped))
        ) % num_classes
    return answers


def keep_imbalanced(
    pool: Indices, labels: Labels, preset: Imbalance, num_classes: int, *, seed: int
) -> Indices:
    """Return what is left of the pool once some classes have become rare, order kept.

    Source: Section B.2 ("removing 20% of the instances from 30% of total classes"); GLISTER's published code, which
    the paper follows, keeps 10 % of them. Choice: the rare classes are drawn at random, and each keeps an image.

    Args:
        pool: `m` distinct indices of S_0 and U_0.
        labels: class ids of all `N`.
        preset: `none`, `paper` or `glister`.
        num_classes: `c`.
        seed: decides which classes and which images.
    """
    rng = np.random.default_rng(seed)
    rare = _draw_rare(rng, num_classes, preset)
    order = rng.permutation(pool)
    sizes = rare_counts(np.bincount(labels[pool], minlength=num_classes), preset)
    excess = [order[labels[order] == c][sizes[c] :] for c in rare]
    surplus = np.concatenate(excess) if excess else pool[:0]
    rest: Indices = pool[~np.isin(pool, surplus)]
    return rest


def rare_classes(preset: Imbalance, num_classes: int, *, seed: int) -> Indices:
    """Return the ids of the classes that `keep_imbalanced` makes rare with the same seed."""
    return _draw_rare(np.random.default_rng(seed), num_classes, preset)


def rare_counts(counts: Indices, preset: Imbalance) -> Indices:
    """Return how many images each of `c` classes would keep if it were rare; at least one of those it has."""
    sizes = np.rint(_SHARES[preset] * counts).astype(np.int64)
    return np.maximum(sizes, np.minimum(counts, 1))


def pool_size(settings: DatasetConfig, data: Prepared) -> int:
    """Return how many images S_0 and U_0 have together, at least.

    Which classes are rare is drawn anew each trial, so where classes differ in size the largest loss counts.

    Args:
        settings: validation size and imbalance; they fit the dataset.
        data: the prepared dataset.
    """
    if data.partly_labeled:
        return int(np.isin(data.roles, (POOL, LABELED)).sum())
    counts = np.bincount(data.labels[data.roles == POOL], minlength=data.num_classes)
    if not (data.roles == VALIDATION).any():
        counts = counts - quota(counts, settings.validation_size)
    preset = settings.corruption.imbalance
    losses = np.sort(counts - rare_counts(counts, preset))[::-1]
    return int(counts.sum() - losses[: _rare(data.num_classes, preset)].sum())


def quota(counts: Indices, size: int) -> Indices:
    """Return how many of `size` images each class gives: in proportion, by largest remainder.

    Choice: the last image of a class stays, so that a label of it can be bought; of equal remainders the first.

    Args:
        counts: images of each of `c` classes.
        size: at most `counts.sum()` less the classes that have images.
    """
    ideal, room = counts.astype(float) * size / counts.sum(), np.maximum(counts - 1, 0)
    seats: Indices = np.minimum(ideal.astype(np.int64), room)
    for _ in range(size - int(seats.sum())):
        seats[np.where(seats < room, ideal - seats, -np.inf).argmax()] += 1
    return seats


def _draw_rare(rng: np.random.Generator, num_classes: int, preset: Imbalance) -> Indices:
    """Return the ids of the rare classes, which are the first thing drawn."""
    classes: Indices = rng.permutation(num_classes)[: _rare(num_classes, preset)]
    return classes


def _rare(num_classes: int, preset: Imbalance) -> int:
    """Return how many classes are rare: 3 of 10."""
    return 0 if preset == "none" else round(RARE * num_classes)
