"""Folds: stratified, whole groups, the same for the same seed."""

import numpy as np
import pytest
from tiny import partly

from rambo.datasets import folds
from rambo.datasets.prepared import Prepared


def test_every_class_is_spread_over_all_folds() -> None:
    labels = np.repeat([0, 1, 2], [20, 10, 5])
    own = folds.deal(labels, [f"{row}" for row in range(35)], 5)
    for label, share in enumerate((4, 2, 1)):
        assert np.bincount(own[labels == label], minlength=5).tolist() == [share] * 5


def test_groups_stay_whole_and_classes_even() -> None:
    labels = np.tile([0, 1], 30)
    groups = np.arange(60) // 6
    own = folds.deal(labels, [f"group {group}" for group in groups], 5)
    for group in range(10):
        assert len(set(own[groups == group].tolist())) == 1
    assert np.bincount(own).tolist() == [12] * 5


def test_the_same_seed_gives_the_same_folds_and_another_one_others() -> None:
    labels, units = np.tile([0, 1], 30), [f"{row}" for row in range(60)]
    first = folds.deal(labels, units, 3, seed=1)
    assert (folds.deal(labels, units, 3, seed=1) == first).all()
    assert (folds.deal(labels, units, 3, seed=2) != first).any()
    turned = folds.deal(labels[::-1], units[::-1], 3, seed=1)[::-1]
    assert (turned == first).all(), "the order of the rows has no say"


@pytest.mark.parametrize(("labels", "count"), [([0], 1), ([0, 1], 2), ([0, 1, 2, 3, 4, 4], 5)])
def test_no_fold_is_empty_while_there_are_images(labels: list[int], count: int) -> None:
    own = folds.deal(np.array(labels), [f"{row}" for row in range(len(labels))], count)
    assert len(np.unique(own)) == count


def test_what_moves_as_one_is_a_group_else_a_cluster(tiny: Prepared, tmp_path) -> None:
    clusters, groups = np.arange(70) // 2, np.full(70, -1)
    groups[:3] = 7
    pets = partly(tmp_path, tiny, labeled=range(10), clusters=clusters, groups=groups)
    assert folds.units_of(pets, np.array([0, 2, 3, 5])) == [
        *("group 7", "group 7", "cluster 1", "cluster 2")
    ]
