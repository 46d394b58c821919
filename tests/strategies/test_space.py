"""The points that strategies see which know distances only, and their k-means clusters."""

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import tiny_config, write_tiny

from rambo import checks
from rambo.errors import DataError
from rambo.method.pools import Problem
from rambo.strategies.space import k_means, strongest_axes, unit_vectors
from rambo.training.ensemble import Predictions
from rambo.worker import trial

PREDICTIONS = Predictions(torch.zeros(200, 4), torch.tensor([[3.0, 4.0]]).repeat(200, 1), 0.5)
FEATURES = torch.tensor([[0.0, 5.0, 12.0]]).repeat(200, 1)
FROZEN_CONFIG = tiny_config(rivals={"space": "features"})
EMBEDDED, FROZEN = [0.6, 0.8], [0, 5 / 13, 12 / 13]


@pytest.mark.parametrize(
    ("space", "features", "read", "vector", "name"),
    [
        ("auto", FEATURES, True, FROZEN, "frozen features"),
        ("auto", FEATURES, False, EMBEDDED, "f's embeddings"),
        ("auto", None, True, EMBEDDED, "f's embeddings"),
        ("features", FEATURES, False, FROZEN, "frozen features"),
        ("embedding", FEATURES, True, EMBEDDED, "f's embeddings"),
    ],
)
def test_the_space_is_as_asked_and_has_vectors_of_length_one(
    problem: Problem, space: str, features: Any, read: bool, vector: list[float], name: str
) -> None:
    variant = dataclasses.replace(problem, features=features, reads_features=read)
    config = tiny_config(rivals={"space": space})
    vectors, word = unit_vectors(variant, config, PREDICTIONS, problem.unlabeled[:7])
    torch.testing.assert_close(vectors, torch.tensor(vector).repeat(7, 1))
    assert word == name


def test_the_rows_are_those_of_the_pool_in_its_order(problem: Problem) -> None:
    features = torch.arange(1.0, 201)[:, None] * torch.tensor([[1.0, 0.0]])
    features[:, 1] = 1
    variant = dataclasses.replace(problem, features=features)
    vectors, _ = unit_vectors(variant, FROZEN_CONFIG, PREDICTIONS, torch.tensor([9, 0, 3]))
    torch.testing.assert_close(vectors[:, 0] / vectors[:, 1], torch.tensor([10.0, 1, 4]))


def test_features_that_are_not_there_are_asked_for_by_name(problem: Problem) -> None:
    with pytest.raises(DataError, match=r"^rivals\.space features: .* use auto or embedding$"):
        unit_vectors(problem, FROZEN_CONFIG, PREDICTIONS, problem.unlabeled)


def test_a_vector_of_zeros_stays_finite(problem: Problem) -> None:
    variant = dataclasses.replace(problem, features=torch.zeros(200, 3))
    vectors, _ = unit_vectors(variant, FROZEN_CONFIG, PREDICTIONS, problem.unlabeled)
    assert (vectors == 0).all()


@pytest.mark.parametrize("space", ["auto", "features", "embedding"])
@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32)])
@pytest.mark.parametrize("extractor", ["auto", "features"])
def test_a_check_before_the_run_says_the_same(
    tmp_path: Path, space: str, channels: int, size: int, extractor: str
) -> None:
    """Features are computed only where a check wants them; the strategy alone makes it so."""
    data = write_tiny(tmp_path, channels=channels, size=size)
    config = tiny_config(
        strategies=["typiclust"],
        rivals={"space": space},
        rambo={"utility_model": {"extractor": extractor}},
    )
    features = FEATURES if checks.wants_features(config, data) else None
    problem = trial.split(config, data, 0, features).problem
    _, word = unit_vectors(problem, config, PREDICTIONS, problem.unlabeled)
    assert (word == "frozen features") is checks.looks_at_features(config, data)


@pytest.mark.parametrize("count", [3, 60])
def test_k_means_finds_what_stands_apart(count: int) -> None:
    """Above 50 clusters it runs on minibatches."""
    generator = torch.Generator().manual_seed(0)
    centres = 100 * torch.eye(count)
    points = (centres + torch.rand(20, count, count, generator=generator)).flatten(0, 1)
    labels = k_means(points, count, 2**63 - 1)
    assert labels.tolist() == k_means(points, count, 2**63 - 1).tolist()
    if count == 3:
        assert len({*labels.tolist()}) == 3
    for label in np.unique(labels):
        assert len({place % count for place in np.flatnonzero(labels == label)}) <= 2
    assert all(len({*labels[place::count].tolist()}) == 1 for place in range(count))


@pytest.mark.parametrize("count", [5, 60])
def test_fewer_distinct_points_than_clusters_warn_nobody(count: int) -> None:
    points = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(40, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        labels = k_means(points, count, 0)
    assert len({*labels[::2].tolist()} & {*labels[1::2].tolist()}) == 0


def test_wide_points_keep_their_angles_in_the_strongest_axes() -> None:
    generator = torch.Generator().manual_seed(0)
    inside = torch.randn(300, 100, generator=generator) @ torch.randn(100, 400, generator=generator)
    points = inside + 0.01 * torch.randn(300, 400, generator=generator)
    narrow = strongest_axes(points)
    assert narrow.shape == (300, 128)
    before, after = (F.normalize(p, dim=1) @ F.normalize(p, dim=1).T for p in (points, narrow))
    assert (before - after).abs().max() < 1e-3
    assert torch.equal(strongest_axes(points[:, :128]), points[:, :128])
