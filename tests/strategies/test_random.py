"""Random sampling: uniform, without a classifier."""

import math

import torch
from tiny import MemoryMemo, tiny_config

from rambo.method.pools import Problem, Selection
from rambo.seeding import Streams
from rambo.strategies import STRATEGIES
from rambo.training.call import Call
from rambo.training.ensemble import Ensemble


def draw(problem: Problem, seed: int, memo: MemoryMemo) -> Selection:
    config = tiny_config()
    ensemble = Ensemble(problem, config.classifier, seed=0, memo=memo)
    return STRATEGIES["random"](Call(problem, 19, config, streams=Streams(seed), ensemble=ensemble))


def test_it_needs_no_classifier_and_gives_no_evidence(problem: Problem, memo: MemoryMemo) -> None:
    selection = draw(problem, 0, memo)
    assert memo.lookups == []
    assert selection.evidence == {}
    assert selection.steps.tolist() == [0] * 19


def test_every_image_is_as_likely_as_any_other(problem: Problem, memo: MemoryMemo) -> None:
    """2,000 draws of a quarter of the pool: counts and first places within five standard errors."""
    draws = torch.stack([draw(problem, seed, memo).indices for seed in range(2000)])
    counts = draws.flatten().bincount(minlength=200)[problem.unlabeled].double()
    assert (counts - 500).abs().max() < 5 * math.sqrt(2000 * 0.25 * 0.75)
    first = draws[:, 0].bincount(minlength=200)[problem.unlabeled].double()
    mean = 2000 / 76
    assert (first - mean).abs().max() < 5 * math.sqrt(mean)


def test_a_smaller_budget_is_the_start_of_a_larger_one(problem: Problem, memo: MemoryMemo) -> None:
    config = tiny_config()
    ensemble = Ensemble(problem, config.classifier, seed=0, memo=memo)
    ten, twenty = (
        STRATEGIES["random"](Call(problem, n, config, streams=Streams(4), ensemble=ensemble))
        for n in (10, 20)
    )
    assert twenty.indices[:10].tolist() == ten.indices.tolist()
