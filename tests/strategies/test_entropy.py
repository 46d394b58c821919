"""Entropy sampling: the largest entropies, 0 log 0 = 0, ties by dataset index."""

import math

import pytest
import torch
from scripted import choose, random_probabilities, small_problem

POOL = [31, 4, 17, 8, 22]
PROBLEM = small_problem({0: 0, 1: 1, 2: 2}, POOL, {10: 0, 11: 1})


def test_it_takes_the_largest_entropies_largest_first() -> None:
    """Also where the two most probable classes are as close: the margin does not decide."""
    rows = torch.tensor([1.0, 0, 0]).repeat(40, 1)
    rows[8] = torch.tensor([0.5, 0.5, 0.0])  # ln 2 = 0.693
    rows[31] = torch.tensor([0.6, 0.2, 0.2])  # 0.950
    rows[4] = torch.tensor([0.9, 0.1, 0.0])  # 0.325
    rows[0] = rows[10] = torch.tensor([1 / 3, 1 / 3, 1 / 3])  # the largest, but not for sale
    selection = choose("entropy", PROBLEM, 3, rows)
    assert selection.indices.tolist() == [31, 8, 4]
    assert selection.steps.tolist() == [0, 0, 0]
    assert selection.evidence["margin"].tolist() == pytest.approx([0.4, 0.0, 0.8])
    assert selection.evidence["predicted_class"].tolist() == [0, 0, 0]


def test_a_probability_of_zero_is_no_obstacle() -> None:
    """Certain images come last, and no NaN of `0 log 0` is taken for the largest."""
    rows = torch.tensor([0.0, 1.0, 0.0]).repeat(40, 1)
    rows[22] = torch.tensor([0.0, 0.999, 0.001])
    selection = choose("entropy", PROBLEM, 5, rows)
    assert selection.indices.tolist() == [22, 4, 8, 17, 31]


def test_equal_entropies_stand_in_the_order_of_the_dataset() -> None:
    rows = torch.full((40, 3), 1 / 3)
    assert choose("entropy", PROBLEM, 3, rows).indices.tolist() == [4, 8, 17]
    assert choose("entropy", PROBLEM, 5, rows).indices.tolist() == sorted(POOL)


def test_the_whole_pool_comes_in_the_order_of_a_naive_sum() -> None:
    rows = random_probabilities(3)
    naive = {i: -sum(p * math.log(p) for p in rows[i].tolist()) for i in POOL}
    selection = choose("entropy", PROBLEM, 5, rows)
    assert selection.indices.tolist() == sorted(POOL, key=lambda i: -naive[i])
