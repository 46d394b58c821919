"""Least confidence: the smallest top probabilities, ties by dataset index."""

import pytest
import torch
from scripted import choose, random_probabilities, small_problem

POOL = [31, 4, 17, 8, 22]
PROBLEM = small_problem({0: 0, 1: 1, 2: 2}, POOL, {10: 0, 11: 1})


def test_it_takes_the_least_confident_first() -> None:
    """Neither the margin nor the entropy decides."""
    rows = torch.tensor([1.0, 0, 0]).repeat(40, 1)
    rows[8] = torch.tensor([0.5, 0.5, 0.0])  # margin 0
    rows[31] = torch.tensor([0.1, 0.45, 0.45])
    rows[4] = torch.tensor([0.6, 0.2, 0.2])  # more entropy than 8
    rows[0] = rows[10] = torch.tensor([0.4, 0.3, 0.3])  # the least confident, but not for sale
    selection = choose("least-confidence", PROBLEM, 3, rows)
    assert selection.indices.tolist() == [31, 8, 4]
    assert selection.steps.tolist() == [0, 0, 0]
    assert selection.evidence["margin"].tolist() == pytest.approx([0.0, 0.0, 0.4])
    assert selection.evidence["predicted_class"].tolist() == [1, 0, 0]


def test_equal_confidences_stand_in_the_order_of_the_dataset() -> None:
    rows = torch.eye(3)[torch.arange(40) % 3]
    assert choose("least-confidence", PROBLEM, 3, rows).indices.tolist() == [4, 8, 17]
    assert choose("least-confidence", PROBLEM, 5, rows).indices.tolist() == sorted(POOL)


def test_of_two_classes_it_is_margin_sampling_and_entropy_sampling() -> None:
    rows = random_probabilities(2)
    answers = {
        name: choose(name, PROBLEM, 5, rows).indices.tolist()
        for name in ("least-confidence", "margin", "entropy")
    }
    assert answers["least-confidence"] == sorted(POOL, key=lambda i: float(rows[i].max()))
    assert answers["margin"] == answers["entropy"] == answers["least-confidence"]
