"""S_val out of the labels at hand: by a share, class by class, and never through the middle of a group."""

import hashlib
import math
from collections.abc import Iterable

import numpy as np

from rambo.collection.records import LABELED, UNKNOWN, VALIDATION, Snapshot, SplitAdvice
from rambo.errors import ConfigError

DEFAULT_SHARE = 0.2
SHARE_REASON = (
    "S_val measures the utility of every labeled set, so it must not be too small; "
    "a fifth of the labels leaves four fifths to learn from"
)
_STEADY = 30  # validation images below which one of them moves an accuracy by over 3 points
_FOLDS = 5


def check_share(share: float) -> None:
    """Refuse a share that is none.

    Raises:
        ConfigError: it is outside 0 to 0.9.
    """
    if not 0 <= share <= 0.9:
        raise ConfigError(
            f"validation share {share:g}: use a number from 0 (no validation set) to 0.9"
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
    usable = np.flatnonzero(
        ((now.roles == LABELED) | (now.roles == VALIDATION)) & (now.labels != UNKNOWN)
    )
    held = np.zeros(len(now), dtype=bool) if fresh else now.roles == VALIDATION
    counts = np.bincount(now.labels[usable], minlength=len(now.classes))
    wanted = [_share_of(int(count), share) for count in counts]
    given = np.bincount(now.labels[usable[held[usable]]], minlength=len(now.classes))
    left = counts - given
    joining: list[int] = []
    for unit in _units(now, usable.tolist()):
        members = [row for row in unit if not held[row]]
        need = np.bincount(now.labels[members], minlength=len(now.classes))
        if not members or (left - need)[need > 0].min() < 1:
            continue  # the last labels of a class stay to be learned from
        started = len(members) < len(unit)  # a group with a member in S_val belongs there whole
        if started or any(given[label] < wanted[label] for label in np.flatnonzero(need)):
            joining += members
            given, left = given + need, left - need
    return joining


def _share_of(count: int, share: float) -> int:
    """Return how many of a class's labels go to S_val."""
    if count < 2 or share == 0:
        return 0
    return min(count - 1, max(round(count * share), 1 if count >= 3 else 0))


def _units(now: Snapshot, usable: Iterable[int]) -> list[list[int]]:
    """Return what moves as one, in the order of a hash: groups, near duplicates, else single images."""
    units: dict[tuple[str, int], list[int]] = {}
    for row in usable:
        group = int(now.groups[row])
        key = ("group", group) if group >= 0 else ("cluster", int(now.clusters[row]))
        units.setdefault(key, []).append(row)
    return sorted(units.values(), key=lambda unit: min(_key(now, row) for row in unit))


def _key(now: Snapshot, row: int) -> str:
    """Return where an image stands in a shuffled order that never changes."""
    name = now.group_names[now.groups[row]] if now.groups[row] >= 0 else now.ids[row]
    return hashlib.sha256(f"validation {name}".encode("utf-8", "replace")).hexdigest()


def advise(now: Snapshot) -> SplitAdvice:
    """Return what the labels at hand allow, and what is done instead where they are few."""
    labeled, validation = len(now.rows(LABELED)), len(now.rows(VALIDATION))
    known = labeled + validation
    classes = len(now.classes)
    sentences = []
    folds, pairs = 0, None
    if known == 0:
        sentences.append(
            "No image has a label, so no classifier can be trained: the first batch is chosen by the "
            "look of the images alone (TypiClust, ProbCover, ActiveFT or random). RAMBO needs labels."
        )
    elif validation < min(_STEADY, known):
        folds = min(_FOLDS, known // 2) if known >= 4 else 0
        if folds >= 2:
            sentences.append(
                f"A validation set of {validation} images cannot rank sets: one image is worth "
                f"{100 / max(1, validation):.0f} points of accuracy. Instead the {known} labeled images "
                f"take turns in {folds} folds, each validating what the others teach."
            )
        else:
            folds = 0
            sentences.append(
                f"{known} labels are too few to validate anything; only strategies that need no "
                "validation set can work."
            )
    if known and labeled < 50:
        pairs = max(2, math.comb(labeled, max(1, labeled // 2)) if labeled < 12 else 10 * labeled)
        sentences.append(
            f"Of {labeled} labeled images few subsets are really different, so at most {pairs:,} offline "
            "pairs are trained."
        )
    counts = np.bincount(now.labels[now.labels != UNKNOWN], minlength=classes)
    absent = [now.classes[label] for label in np.flatnonzero(counts == 0)]
    if absent and known:
        sentences.append(
            f"{len(absent)} of {classes} classes have no label yet ({', '.join(absent[:3])}"
            f"{', ...' if len(absent) > 3 else ''}): the classifier cannot name them until one is bought."
        )
    return SplitAdvice(validation, folds, pairs, tuple(sentences))
