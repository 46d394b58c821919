"""Splits: which images are for choosing, which for validation and which for the test."""

import numpy as np

from rambo.datasets.prepared import POOL, TEST, VALIDATION, Images, Labels, Roles

SPLIT_SEED = 20_230_801  # of every fixed split; must never change: results are tied to the split

Pair = tuple[Images, Labels]
Arrays = tuple[Images, Labels, Roles]


def stratified_roles(labels: Labels, size: int) -> Roles:
    """Return the fixed split: `size` validation and `size` test images, the rest is the pool.

    Choice: every class gives its share, by largest remainder; where shares tie, the lower class.
    A class of three or more images gives at least one validation image, even beyond `size`. The
    last image of a class leaves the pool only when no other class can give one.

    Args:
        labels: `N` class ids; every class up to the largest has an image.
        size: at most `N / 10`.

    Returns:
        `N` roles.
    """
    counts = np.bincount(labels)
    validation = _apportion(size, counts, np.zeros_like(counts))
    validation = np.maximum(validation, counts >= 3)
    test = _apportion(size, counts, validation)
    # Raw PCG64 output, because numpy promises it for ever; Generator.permutation may change.
    keys = np.random.PCG64(SPLIT_SEED).random_raw(len(labels))
    order = np.lexsort((keys, labels))
    place = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    sorted_labels = labels[order]
    roles = np.full(len(labels), POOL, dtype=np.uint8)
    roles[order[place < (validation + test)[sorted_labels]]] = TEST
    roles[order[place < validation[sorted_labels]]] = VALIDATION
    return roles


def _apportion(size: int, counts: Labels, taken: Labels) -> Labels:
    """Return the share of `size` each class gives; `taken` of its `counts` images are gone."""
    shares: Labels = size * counts // counts.sum()
    remainders = size * counts % counts.sum()
    spare = np.minimum(counts - taken - shares, 2)  # 1: its last image in the pool, 0: none left
    order = np.lexsort((-remainders, -spare))  # stable, so ties go to the lower class
    shares[order[: size - shares.sum()]] += 1
    return shares


def joined(train: Pair, test: Pair) -> Arrays:
    """Return train rows, to choose from, and then test rows as one dataset."""
    roles = np.repeat(np.array([POOL, TEST], dtype=np.uint8), (len(train[1]), len(test[1])))
    return np.concatenate([train[0], test[0]]), np.concatenate([train[1], test[1]]), roles
