"""Corruption: how many labels are wrong, which classes are rare, and that nothing else moves."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rambo import config as configs
from rambo.datasets import corruption
from rambo.datasets.corruption import flip_labels, keep_imbalanced, pool_size, quota, rare_counts
from rambo.datasets.prepared import POOL, TEST, Prepared

LABELS = np.tile(np.arange(5), 40)  # 40 images of each of 5 classes
POOLED = np.arange(20, 170)  # 30 of each


# An oracle that errs.


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2, 0.5, 0.9])
def test_exactly_the_share_of_the_pool_is_wrong(share: float) -> None:
    answers = flip_labels(LABELS, POOLED, share, 5, seed=3)
    wrong = np.flatnonzero(answers != LABELS)
    assert len(wrong) == round(share * 150)
    assert np.isin(wrong, POOLED).all(), "validation and test stay clean"
    assert answers.min() >= 0
    assert answers.max() < 5


def test_only_named_classes_are_wrong_and_their_share_counts() -> None:
    answers = flip_labels(LABELS, POOLED, 0.5, 5, (1, 3, 3), seed=0)
    wrong = np.flatnonzero(answers != LABELS)
    assert len(wrong) == 30  # half of 60
    assert set(LABELS[wrong]) == {1, 3}
    assert set(answers[wrong]) == {0, 1, 2, 3, 4}, "they may read any other class"


def test_wrong_labels_are_uniform_over_images_and_other_classes() -> None:
    """Over 400 seeds: each image of the pool a fifth of the time, each wrong answer a quarter of those."""
    wrong, read = np.zeros(200), np.zeros((5, 5))
    for seed in range(400):
        answers = flip_labels(LABELS, POOLED, 0.2, 5, seed=seed)
        flipped = answers != LABELS
        wrong += flipped
        np.add.at(read, (LABELS[flipped], answers[flipped]), 1)
    assert np.abs(wrong[POOLED] - 80).max() < 5 * np.sqrt(400 * 0.2 * 0.8)
    assert (np.diag(read) == 0).all()
    others = read[~np.eye(5, dtype=bool)]
    assert np.abs(others - 600).max() < 5 * np.sqrt(600)


def test_the_seed_decides_and_nothing_is_changed_in_place() -> None:
    before = LABELS.copy()
    first, again = (flip_labels(LABELS, POOLED, 0.3, 5, seed=7) for _ in range(2))
    assert (first == again).all()
    assert (first != flip_labels(LABELS, POOLED, 0.3, 5, seed=8)).any()
    assert (before == LABELS).all()
    assert first.dtype == np.int64


def test_more_noise_keeps_what_less_noise_flips() -> None:
    """One order of images for one seed: runs with more noise differ from those with less in nothing else."""
    less, more = (flip_labels(LABELS, POOLED, share, 5, seed=1) != LABELS for share in (0.1, 0.4))
    assert (more | less == more).all()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=40),
    st.floats(0, 0.9),
    st.sets(st.integers(0, 6)),
    st.integers(0, 99),
)
def test_no_class_vanishes_from_any_pool(
    labels: list[int], share: float, classes: set[int], seed: int
) -> None:
    truth = np.array(labels)
    answers = flip_labels(truth, np.arange(len(truth)), share, 7, classes, seed=seed)
    assert set(truth) <= set(answers)
    mine = np.isin(truth, list(classes)) if classes else np.ones(len(truth), bool)
    spare = int(mine.sum()) - len(set(truth[mine]))
    assert (answers != truth).sum() == min(round(share * int(mine.sum())), spare)
    assert (answers[~mine] == truth[~mine]).all()


def test_a_single_class_has_no_other_to_be_read_as() -> None:
    zeros = np.zeros(9, np.int64)
    assert (flip_labels(zeros, np.arange(9), 0.9, 1, seed=0) == 0).all()


# Rare classes.


@pytest.mark.parametrize(("preset", "rare"), [("none", 30), ("paper", 24), ("glister", 3)])
def test_rare_classes_keep_their_share(preset: corruption.Imbalance, rare: int) -> None:
    rest = keep_imbalanced(POOLED, LABELS, preset, 5, seed=2)
    counts = sorted(np.bincount(LABELS[rest]))
    assert counts == ([30] * 5 if preset == "none" else [rare, rare, 30, 30, 30])  # round(1.5) is 2
    assert (np.diff(rest) > 0).all(), "in the order they had"
    assert np.isin(rest, POOLED).all()
    if preset == "none":
        assert (rest == POOLED).all()


def test_three_of_ten_classes_are_rare_and_the_seed_says_which() -> None:
    labels = np.repeat(np.arange(10), 20)
    rare = [
        tuple(np.flatnonzero(np.bincount(labels[rest]) < 20))
        for seed in range(40)
        for rest in [keep_imbalanced(np.arange(200), labels, "glister", 10, seed=seed)]
    ]
    assert {len(classes) for classes in rare} == {3}
    assert len(set(rare)) > 20
    assert set(np.concatenate(rare)) == set(range(10))


def test_every_class_keeps_an_image() -> None:
    assert rare_counts(np.array([0, 1, 2, 4, 15, 100]), "glister").tolist() == [0, 1, 1, 1, 2, 10]
    assert rare_counts(np.array([0, 1, 2, 3, 10]), "paper").tolist() == [0, 1, 2, 2, 8]
    assert rare_counts(np.array([0, 7]), "none").tolist() == [0, 7]


# Sizes.


def dataset_config(**corrupt: object) -> configs.DatasetConfig:
    return configs.build({"dataset": {"validation_size": 30, "corruption": corrupt}}).dataset


def test_the_pool_of_a_balanced_dataset_is_known_exactly(tiny: Prepared) -> None:
    """25 images of each of 4 classes; one of them (round(1.2)) is rare."""
    assert pool_size(dataset_config(), tiny) == 100
    assert pool_size(dataset_config(imbalance="paper"), tiny) == 95
    assert pool_size(dataset_config(imbalance="glister"), tiny) == 100 - 23
    assert pool_size(dataset_config(label_noise=0.9), tiny) == 100


def test_the_pool_is_never_smaller_than_promised(tiny: Prepared) -> None:
    """Classes of 5, 9, 21 and 65 images, 30 of them for validation: the largest loss is promised."""
    labels = np.repeat(np.arange(4), [5, 9, 21, 65])
    data = dataclasses.replace(
        tiny, labels=np.append(labels, 0), roles=np.append(np.full(100, POOL), TEST)
    )
    counts = np.bincount(labels) - quota(np.bincount(labels), 30)
    pool = np.repeat(np.arange(4), counts)
    for preset in ("paper", "glister"):
        promised = pool_size(dataset_config(imbalance=preset), data)
        sizes = {
            len(keep_imbalanced(np.arange(70), pool, preset, 4, seed=seed)) for seed in range(40)
        }
        assert min(sizes) == promised
        assert len(sizes) > 1


def test_quotas_by_hand() -> None:
    assert quota(np.array([5, 3, 2]), 4).tolist() == [2, 1, 1]
    assert quota(np.array([97, 2, 1]), 10).tolist() == [10, 0, 0]
    assert quota(np.array([5, 5, 1]), 8).tolist() == [4, 4, 0]
