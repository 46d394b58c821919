"""TypiClust: clusters without a label first, in each the point with the closest neighbours."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_config
from torch import Tensor

from rambo.method.pools import Problem, Selection
from rambo.strategies.typiclust import take_turns, typicality

Choose = Callable[..., Selection]


@pytest.fixture
def choose(choose_where: Any) -> Choose:
    """Return a function that lets TypiClust choose among points on the unit circle."""

    def choose(angles: Tensor, budget: int, seed: int = 0, **settings: Any) -> Selection:
        config = tiny_config(rivals={"space": "features", "typiclust": settings})
        features = 7 * torch.stack([angles.cos(), angles.sin()], dim=1)
        return choose_where("typiclust", budget, config, features=features, seed=seed)

    return choose


def three_groups(problem: Problem) -> tuple[Tensor, list[list[int]]]:
    """Return angles in which S_0 lies with 30, and 26 and 20 others lie apart; and the three groups.

    Inside a group steps grow to both sides of its first member, the densest place.
    """
    groups = [
        problem.unlabeled[part].tolist() for part in (range(30), range(30, 56), range(56, 76))
    ]
    angles = torch.zeros(200)
    for place, group in enumerate([groups[0] + problem.labeled.tolist(), *groups[1:]]):
        for rank, index in enumerate(group):
            side = 1 if rank % 2 else -1
            angles[index] = 2 * place + side * 0.3 * (rank / len(group)) ** 2
    return angles, groups


def test_groups_without_a_label_come_first_the_largest_first(
    problem: Problem, choose: Choose
) -> None:
    angles, groups = three_groups(problem)
    selection = choose(angles, 6, max_clusters=3, neighbours=5)
    rounds = [index in group for index in selection.indices.tolist() for group in groups]
    assert np.reshape(rounds, (6, 3)).argmax(1).tolist() == [1, 2, 0, 1, 2, 0]
    for index, group in zip(selection.indices[:2].tolist(), groups[1:], strict=True):
        assert index in group[:4]  # near the densest place
    assert selection.figures == {
        "space": "frozen features",
        "clusters": 3,
        "clusters too small": 0,
    }
    assert selection.evidence["margin"].tolist() == [1] * 6
    assert selection.evidence["predicted_class"].tolist() == (selection.indices % 4).tolist()
    assert selection.steps.tolist() == [0] * 6


@pytest.mark.parametrize(("most", "count"), [(500, 29), (29, 29), (20, 20)])
def test_there_is_a_cluster_for_every_label(choose: Choose, most: int, count: int) -> None:
    """24 bought and 5 to buy."""
    assert choose(torch.linspace(0, 3, 200), 5, max_clusters=most).figures["clusters"] == count


def test_typicality_is_that_of_a_loop_over_points() -> None:
    rng = np.random.default_rng(0)
    points, clusters = rng.normal(size=(40, 3)), rng.integers(0, 4, 40)
    clusters[clusters == 3] = 2
    clusters[7] = 3  # alone
    clusters[[8, 9]] = 4
    expected = []
    for place, (point, variant) in enumerate(zip(points, clusters, strict=True)):
        others = [p for p in np.flatnonzero(clusters == variant) if p != place]
        distances = sorted(float(np.linalg.norm(point - points[other])) for other in others)
        near = min(6, (len(others) + 1) // 2)
        expected.append(1 / (sum(distances[:near]) / near + 1e-5) if near else 0.0)
    np.testing.assert_allclose(typicality(points, clusters, 6), expected)
    assert typicality(np.ones((4, 2)), np.zeros(4, int), 20).tolist() == pytest.approx([1e5] * 4)


def test_turns_by_hand() -> None:
    """Cluster 0 holds a label; 1 is larger than 2; 3 is too small and waits for the others to be empty."""
    clusters = np.array([0, 0, 0, 1, 1, 1, 2, 2, 3, 0])
    typical = np.array([9, 1, 2, 5, 6, 5, 3, 4, 100, 0])
    unlabeled = np.array([False, *[True] * 9])
    turns = take_turns(clusters, typical, unlabeled, 2)
    assert turns.tolist() == [4, 7, 2, 3, 6, 1, 5, 9, 8]
    assert take_turns(clusters, typical, unlabeled, 1).tolist() == [4, 7, 8, 2, 3, 6, 1, 5, 9]


def test_turns_are_those_of_a_loop_over_rounds() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        clusters, typical = rng.integers(0, 9, 60), rng.integers(0, 5, 60)
        unlabeled = rng.random(60) < 0.7
        rest = {c: np.flatnonzero((clusters == c) & unlabeled).tolist() for c in range(9)}
        size = {c: int((clusters == c).sum()) for c in range(9)}
        bought = {c: size[c] - len(rest[c]) for c in range(9)}
        ranked = sorted(range(9), key=lambda c: (bought[c], -size[c], c))
        expected = []
        for round_ in (
            [c for c in ranked if size[c] >= 6],
            [c for c in ranked if size[c] < 6],
        ):
            while any(rest[c] for c in round_):
                for c in round_:
                    if rest[c]:
                        best = max(rest[c], key=lambda p: (typical[p], -p))
                        rest[c].remove(best)
                        expected.append(best)
        assert take_turns(clusters, typical, unlabeled, 6).tolist() == expected


@pytest.mark.parametrize("budget", [1, 12, 76])
@pytest.mark.parametrize("settings", [{}, {"smallest_cluster": 1000}, {"max_clusters": 2}])
def test_one_point_everywhere(
    problem: Problem, choose: Choose, budget: int, settings: dict[str, int]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chosen = choose(torch.ones(200), budget, **settings).indices
    assert len(chosen.unique()) == budget
    assert torch.isin(chosen, problem.unlabeled).all()


def test_small_clusters_wait_until_the_others_are_empty(problem: Problem, choose: Choose) -> None:
    angles, groups = three_groups(problem)
    chosen = choose(angles, 76, max_clusters=3, smallest_cluster=25).indices.tolist()
    assert sorted(chosen) == sorted(problem.unlabeled.tolist())
    assert set(chosen[56:]) == set(groups[2])  # a cluster of 20


def test_same_seed_same_answer(choose: Choose) -> None:
    angles = 3 * torch.rand(200, generator=torch.Generator().manual_seed(5))
    one, two, other = (choose(angles, 10, seed).indices.tolist() for seed in (0, 0, 1))
    assert one == two != other
