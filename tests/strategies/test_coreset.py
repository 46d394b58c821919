"""CoreSet: k-center greedy in f's embedding, from the labeled images on."""

import pytest
import torch
from scripted import choose, only_pools, random_embeddings, random_probabilities, small_problem
from torch import Tensor

from rambo.method.pools import Problem

POOL = [*range(38, 12, -1), 3, 5]  # 28 images, not in order
PROBLEM = small_problem({0: 0, 1: 1, 2: 2}, POOL, {10: 0, 11: 1})


def naive(problem: Problem, budget: int, embeddings: Tensor) -> list[int]:
    """Return the greedy choice, all distances computed anew for every pick."""
    points, pool = only_pools(problem, embeddings).double(), sorted(problem.unlabeled.tolist())
    centers, chosen = problem.labeled.tolist(), []
    for _ in range(budget):
        far = {
            i: min(float((points[i] - points[j]).norm()) for j in centers)
            for i in pool
            if i not in chosen
        }
        chosen.append(max(far, key=far.__getitem__))
        centers.append(chosen[-1])
    return chosen


def test_the_farthest_from_all_centers_comes_next() -> None:
    """On a line, with a labeled image at 0: 10 is farthest, then 6 (4 from 10) before 3 (3 from 0) and 9."""
    problem = small_problem({0: 0, 1: 1}, [8, 3, 9, 5], {10: 0, 11: 1}, classes=2)
    places = torch.zeros(40, 1)
    places[[3, 5, 8, 9], 0] = torch.tensor([3.0, 10.0, 6.0, 9.0])
    places[[10, 11, 20]] = 1000.0  # validation and test are no candidates
    selection = choose("coreset", problem, 4, random_probabilities(2), places)
    assert selection.indices.tolist() == [5, 8, 3, 9]
    assert selection.steps.tolist() == [0, 0, 0, 0]
    assert set(selection.evidence) == {"margin", "predicted_class"}


@pytest.mark.parametrize("shift", [0.0, 300.0])
def test_it_is_the_naive_greedy_choice_wherever_the_origin_lies(shift: float) -> None:
    for seed in range(4):
        embeddings = random_embeddings(6, seed) + shift
        chosen = choose("coreset", PROBLEM, 15, random_probabilities(3), embeddings).indices
        assert chosen.tolist() == naive(PROBLEM, 15, embeddings)


def test_every_labeled_image_is_a_center_from_the_start() -> None:
    places = torch.zeros(40, 2)
    places[0], places[1], places[2] = torch.tensor([[9.0, 0], [0, 9.0], [-9.0, 0]])
    places[30], places[20], places[3] = torch.tensor([[9.0, 1], [1, 9.0], [0, -2.0]])
    chosen = choose("coreset", PROBLEM, 1, random_probabilities(3), places).indices
    assert chosen.tolist() == [3]  # 30 and 20 are farther out, but beside a label


def test_more_than_there_are_distinct_points_comes_in_the_order_of_the_dataset() -> None:
    """Two kinds of point beside the labeled one: one of each, then the copies by index."""
    kinds = torch.arange(40) % 2 + 1
    kinds[[0, 1, 2]] = 0
    points = torch.randn(3, 512, generator=torch.Generator().manual_seed(3))
    chosen = choose("coreset", PROBLEM, 28, random_probabilities(3), points[kinds]).indices
    assert sorted(kinds[chosen[:2]].tolist()) == [1, 2]
    assert chosen[2:].tolist() == sorted(set(POOL) - set(chosen[:2].tolist()))


def test_equal_points_come_in_the_order_of_the_dataset() -> None:
    for value in (0.0, 0.1, 1e4):
        places = torch.full((40, 512), value)
        chosen = choose("coreset", PROBLEM, 28, random_probabilities(3), places).indices
        assert chosen.tolist() == sorted(POOL)


def test_neither_labels_nor_guesses_count() -> None:
    """A class without a single label, and one class guessed for all."""
    embeddings = random_embeddings(6)
    lacking = small_problem({0: 1, 1: 1, 2: 1}, POOL, {10: 0, 11: 2})
    sure = torch.tensor([0.0, 1.0, 0.0]).repeat(40, 1)
    one = choose("coreset", PROBLEM, 10, random_probabilities(3), embeddings).indices
    two = choose("coreset", lacking, 10, sure, embeddings).indices
    assert one.tolist() == two.tolist()
