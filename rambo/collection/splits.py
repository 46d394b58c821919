"""S_val out of the labels at hand: by a share, class by class, and never through the middle of a group."""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rambo.collection.records import (
    LABELED,
    UNKNOWN,
    VALIDATION,
    Numbers,
    Snapshot,
    SplitAdvice,
)
from rambo.errors import ConfigError

Flags = npt.NDArray[np.bool_]
DEFAULT_SHARE = 0.2
SHARE_REASON = (
    "S_val measures the utility of every labeled set, so it must not be too small; "
    "a fifth of the labels leaves four fifths to learn from"
)
_MOST = 0.9  # of the labels, that only validate
STEADY = 30  # validation images below which one of them moves an accuracy by over 3 points
FOLDED = (
    "The utility that u_hat learns and the OT distance need one fixed S_val, so there it stays as it is; the final "
    "classifier learns from all labels and is judged by 5-fold cross-validation, a rehearsal by 3-fold validation, so "
    "that every label judges once"
)


def check_share(share: float) -> None:
    """Refuse a share that is none.

    Raises:
        ConfigError: it is outside 0 to 0.9.
    """
    if not 0 <= share <= _MOST:
        raise ConfigError(
            field="validation share",
            value=f"{share:g}",
            limit=0 if share < 0 else _MOST,
            hint=f"use a number from 0 (no validation set) to {_MOST}",
        )


def grown(now: Snapshot, share: float) -> list[tuple[int, str]]:
    """Return the images that join S_val so that every class has given its share.

    Choice: a class of n labels gives `round(n * share)`, at least one from three labels on, and
    keeps at least one. Images (whole groups, where there are any) are taken in the order of a hash
    of their content, so a set that grows moves no image from one side to the other.

    Returns:
        Pairs of image number and `validation`.
    """
    return [(int(now.numbers[row]), "validation") for row in _joining(now, share, fresh=False)]


def redrawn(now: Snapshot, share: float) -> list[tuple[int, str]]:
    """Return S_val drawn anew by another share: who joins, and who leaves with an empty value."""
    joining = set(_joining(now, share, fresh=True))
    leaving = [row for row in now.rows(VALIDATION).tolist() if row not in joining]
    return [(int(now.numbers[row]), "validation") for row in sorted(joining)] + [
        (int(now.numbers[row]), "") for row in leaving
    ]


def _joining(now: Snapshot, share: float, *, fresh: bool) -> list[int]:
    """Return the rows that join S_val."""
    usable = (now.roles == LABELED) | (now.roles == VALIDATION)
    members = np.zeros(len(now), dtype=bool) if fresh else now.roles == VALIDATION
    return choose(now.labels, usable, members, _units(now), share)


def choose(
    labels: Numbers,
    usable: Flags,
    inside: Flags,
    units: Sequence[str],
    share: float,
) -> list[int]:
    """Return the rows that join a part so that every class gives its share; see `grown`.

    Args:
        labels: `N` int64, -1 where nobody knows.
        usable: `N` bool: may join, or stands there.
        inside: `N` bool: stands there already.
        units: `N` names; rows of one name move as one, in the order of a hash of it.
        share: of each class.
    """
    rows = np.flatnonzero(usable & (labels != UNKNOWN))
    classes = int(labels.max(initial=0)) + 1
    counts = np.bincount(labels[rows], minlength=classes)
    targets = [_share_of(int(count), share) for count in counts]
    present = np.bincount(labels[rows[inside[rows]]], minlength=classes)
    remaining = counts - present
    together: dict[str, list[int]] = {}
    for row in rows.tolist():
        together.setdefault(units[row], []).append(row)
    joining: list[int] = []
    for unit in sorted(together, key=_shuffled):
        members = [row for row in together[unit] if not inside[row]]
        need = (
            np.bincount(labels[members], minlength=classes) if members else np.zeros(classes, int)
        )
        if not members or (remaining - need)[need > 0].min() < 1:
            # the last labels of a class stay to be learned from
            continue
        # a group with a member there belongs there whole
        started = len(members) < len(together[unit])
        if started or any(present[label] < targets[label] for label in np.flatnonzero(need)):
            joining += members
            present, remaining = present + need, remaining - need
    return joining


def _share_of(count: int, share: float) -> int:
    """Return how many of a class's labels go to S_val."""
    if count < 2 or share == 0:
        return 0
    return min(count - 1, max(round(count * share), 1 if count >= 3 else 0))


def _units(now: Snapshot) -> list[str]:
    """Return what moves as one: a group, near duplicates, else a single image."""
    first: dict[int, str] = {}
    for row, cluster in enumerate(now.clusters.tolist()):
        first.setdefault(cluster, now.ids[row])
    return [
        f"group {now.group_names[group]}" if group >= 0 else first[cluster]
        for group, cluster in zip(now.groups.tolist(), now.clusters.tolist(), strict=True)
    ]


def _shuffled(unit: str) -> str:
    """Return where a unit stands in a shuffled order that never changes."""
    return hashlib.sha256(f"validation {unit}".encode("utf-8", "replace")).hexdigest()


def most_pairs(labeled: int) -> int | None:
    """Return how many offline pairs so few labeled images are worth, or None where there are enough.

    Choice: below 50 labels ten a label, and below 12 as many as there are halves: further pairs repeat each other.
    """
    if labeled >= 50:
        return None
    return max(2, math.comb(labeled, max(1, labeled // 2)) if labeled < 12 else 10 * labeled)


def few_labels(labeled: int, validation: int) -> list[str]:
    """Return what cannot work with so few labels and what is done instead, one sentence a matter; none where all can.

    Args:
        labeled: images of S_0.
        validation: images of S_val.
    """
    sentences = []
    if labeled + validation == 0:
        return [
            "No image has a label, so no classifier can be trained: label at least two first, better a few of every "
            "class."
        ]
    if validation == 0:
        sentences.append(
            f"{labeled} labels, none of them set aside for validation: only strategies that need no validation set can "
            "work. The final classifier is judged by 5-fold cross-validation, a rehearsal by 3-fold validation."
        )
    elif validation < STEADY:
        sentences.append(
            f"A validation set of {validation} images can hardly rank sets: one image is worth "
            f"{100 / validation:.0f} points of accuracy. Strategies that need none of it (margin, BADGE, TypiClust) "
            f"stand on firmer ground; a rehearsal on your labels shows which works. {FOLDED}."
        )
    pairs = most_pairs(labeled)
    if pairs is not None and labeled:
        sentences.append(
            f"Of {labeled} labeled images few subsets are really different, so at most {pairs:,} offline "
            "pairs are trained."
        )
    return sentences


def advise(now: Snapshot) -> SplitAdvice:
    """Return what the labels at hand allow, and what is done instead where they are few."""
    labeled, validation = len(now.rows(LABELED)), len(now.rows(VALIDATION))
    total = labeled + validation
    classes = len(now.classes)
    sentences = few_labels(labeled, validation)
    pairs = most_pairs(labeled) if total else None
    counts = np.bincount(now.labels[now.labels != UNKNOWN], minlength=classes)
    absent = [now.classes[label] for label in np.flatnonzero(counts == 0)]
    if absent and total:
        sentences.append(
            f"{len(absent)} of {classes} classes have no label yet ({', '.join(absent[:3])}"
            f"{', ...' if len(absent) > 3 else ''}): the classifier cannot name them until one is bought."
        )
    return SplitAdvice(validation, pairs, tuple(sentences))
