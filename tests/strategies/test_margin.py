"""Margin sampling: the smallest gaps between the two most probable classes, ties by dataset index."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny import MemoryMemo, tiny_config
from torch import Tensor

from rambo.method.pools import Problem, Selection
from rambo.seeding import Streams
from rambo.strategies import STRATEGIES
from rambo.training.call import Call
from rambo.training.ensemble import Ensemble


@pytest.fixture
def choose(choose_where: Any) -> Callable[[Tensor, int], Selection]:
    """Return a function that lets margin sampling choose where f says what it is told to say."""
    return lambda probabilities, budget: choose_where(
        "margin", budget, tiny_config(), probabilities=probabilities
    )


def with_margins(values: dict[int, float]) -> Tensor:
    """Return probabilities of 200 images with the given margins, 0.9 elsewhere; class 2 leads."""
    rows = torch.zeros(200, 4)
    for index in range(200):
        gap = values.get(index, 0.9)
        rows[index] = torch.tensor([(1 - gap) / 2, 0, (1 + gap) / 2, 0])
    return rows


def test_it_takes_the_smallest_margins_smallest_first(problem: Problem, choose: Any) -> None:
    a, b, c = problem.unlabeled[[40, 7, 60]].tolist()
    labeled = int(problem.labeled[0])  # the smallest of all, but bought
    selection = choose(with_margins({a: 0.3, b: 0.1, c: 0.2, labeled: 0.0}), 3)
    assert selection.indices.tolist() == [b, c, a]
    assert selection.evidence["margin"].tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert selection.evidence["predicted_class"].tolist() == [2, 2, 2]
    assert selection.steps.tolist() == [0, 0, 0]


def test_equal_margins_stand_in_the_order_of_the_dataset(problem: Problem, choose: Any) -> None:
    selection = choose(with_margins({}), 76)
    assert selection.indices.tolist() == sorted(problem.unlabeled.tolist())


def test_only_the_two_most_probable_classes_count(problem: Problem, choose: Any) -> None:
    """Margin 0.05 with a confident third class against margin 0.1 and the highest entropy."""
    sure, torn = problem.unlabeled[[3, 50]].tolist()
    rows = with_margins({})
    rows[sure] = torch.tensor([0.5, 0.45, 0.05, 0.0])
    rows[torn] = torch.tensor([0.34, 0.24, 0.22, 0.2])
    assert choose(rows, 2).indices.tolist() == [sure, torn]


def test_a_smaller_budget_is_the_start_of_a_larger_one(problem: Problem, choose: Any) -> None:
    rows = torch.rand(200, 4, generator=torch.Generator().manual_seed(0)).softmax(1)
    assert choose(rows, 20).indices[:7].tolist() == choose(rows, 7).indices.tolist()


def test_the_margins_are_those_of_f_trained_on_s_0(problem: Problem, memo: MemoryMemo) -> None:
    config = tiny_config()
    ensemble = Ensemble(problem, config.classifier, seed=0, memo=memo)
    selection = STRATEGIES["margin"](
        Call(problem, 76, config, streams=Streams(0), ensemble=ensemble)
    )
    probabilities = ensemble.predict_pools(lambda event: None).probabilities
    ranked = probabilities.sort(1, descending=True).values
    gaps = (ranked[:, 0] - ranked[:, 1])[selection.indices]
    torch.testing.assert_close(selection.evidence["margin"], gaps)
    assert (gaps.diff() >= 0).all()
    assert len(memo.results) == 1
