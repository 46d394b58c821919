"""S_val: a share of each class, stable under growth, groups whole, and honest words for few labels."""

import hashlib

import numpy as np
import pytest

from rambo.collection import splits
from rambo.collection.records import LABELED, POOL, UNKNOWN, VALIDATION, Frame, Snapshot
from rambo.errors import ConfigError


def snapshot(labels, groups=None, roles=None):
    labels = np.array(labels, dtype=np.int64)
    count = len(labels)
    names = tuple(f"g{n}" for n in range(1 + max(groups))) if groups is not None else ()
    return Snapshot(
        slug="pets",
        version=1,
        frame=Frame(8, 8),
        numbers=np.arange(count),
        ids=tuple(hashlib.sha256(str(n).encode()).hexdigest() for n in range(count)),
        files=tuple(f"{n}.png" for n in range(count)),
        copies=(),
        widths=np.full(count, 8),
        heights=np.full(count, 8),
        modes=("RGB",) * count,
        grey=np.zeros(count, bool),
        brightness=np.zeros(count),
        contrast=np.zeros(count),
        classes=tuple(f"c{n}" for n in range(labels.max(initial=0) + 1)),
        labels=labels,
        roles=np.where(labels == UNKNOWN, POOL, LABELED).astype(np.uint8)
        if roles is None
        else np.array(roles, np.uint8),
        groups=np.full(count, -1) if groups is None else np.array(groups),
        group_names=names,
        clusters=np.arange(count),
        entries=(),
        contradictions=(),
        unreadable=(),
        remarks=(),
    )


def joined(pairs):
    return [number for number, value in pairs if value == "validation"]


def test_each_class_gives_its_share_and_the_unlabeled_give_none():
    labels = [0] * 50 + [1] * 20 + [UNKNOWN] * 30
    rows = joined(splits.grown(snapshot(labels), 0.2))
    assert np.bincount(np.array(labels)[rows]).tolist() == [10, 4]


def test_a_class_of_three_gives_one_and_a_class_of_one_gives_none():
    labels = [0] * 3 + [1] + [2] * 2
    rows = joined(splits.grown(snapshot(labels), 0.2))
    assert np.bincount(np.array(labels)[rows], minlength=3).tolist() == [1, 0, 0]


def test_a_set_that_grows_moves_nobody():
    before = [0] * 40 + [UNKNOWN] * 40
    first = joined(splits.grown(snapshot(before), 0.25))
    roles = np.where(np.isin(np.arange(80), first), VALIDATION, LABELED)
    after = snapshot([0] * 80, roles=roles)
    second = joined(splits.grown(after, 0.25))
    assert len(first) == 10
    assert len(second) == 10
    assert set(first) & set(second) == set()


def test_no_group_stands_on_both_sides():
    groups = np.repeat(np.arange(30), 4)
    labels = groups % 3
    rows = joined(splits.grown(snapshot(labels, groups.tolist()), 0.2))
    inside = set(groups[rows].tolist())
    assert 5 <= len(inside) <= 9
    assert set(np.flatnonzero(np.isin(groups, list(inside)))) == set(rows)


def test_another_share_draws_anew_and_says_who_leaves():
    now = snapshot([0] * 20, roles=[VALIDATION] * 10 + [LABELED] * 10)
    pairs = splits.redrawn(now, 0.2)
    assert len(joined(pairs)) == 4
    leaving = [number for number, value in pairs if value == ""]
    assert set(leaving) == set(range(10)) - set(joined(pairs))


@pytest.mark.parametrize("share", [-0.1, 0.95, float("nan")])
def test_a_share_outside_its_limits_is_refused(share):
    with pytest.raises(ConfigError, match="validation share"):
        splits.check_share(share)


def test_advice_for_no_label_few_labels_and_enough():
    none = splits.advise(snapshot([UNKNOWN] * 9))
    assert none.offline_pairs is None
    assert "No image has a label" in none.sentences[0]
    few = splits.advise(snapshot([0, 1] * 10, roles=[VALIDATION] * 4 + [LABELED] * 16))
    assert few.offline_pairs == 160
    assert (
        "validation set of 4 images can hardly rank sets: one image is worth 25 points"
        in few.sentences[0]
    )
    bare = splits.advise(snapshot([0, 1], roles=[LABELED] * 2))
    assert "only strategies that need no validation set can work" in bare.sentences[0]
    enough = splits.advise(snapshot([0, 1] * 150, roles=[VALIDATION] * 60 + [LABELED] * 240))
    assert (enough.offline_pairs, enough.sentences) == (None, ())
