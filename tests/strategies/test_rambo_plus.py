"""RAMBO+: candidates that differ, a ranking that reads S_val, its controls, and RAMBO's own trainings."""

from typing import Any

import torch
from tiny import MemoryMemo, tiny_config
from trained import choose

from rambo.method.acquisition import margins, rank_by
from rambo.method.pools import Problem, Selection
from rambo.seeding import Streams
from rambo.strategies.rambo_plus import candidates
from rambo.training.ensemble import Ensemble


def plus(problem: Problem, memo: MemoryMemo, **settings: Any) -> Selection:
    return choose("rambo-plus", problem, memo, tiny_config(plus=settings))


def test_it_trains_nothing_that_rambo_has_not_trained(
    problem: Problem, shared_memo: MemoryMemo
) -> None:
    choose("rambo", problem, shared_memo, tiny_config())
    before = set(shared_memo.results)
    plus(problem, shared_memo)
    assert set(shared_memo.results) == before


def test_without_weights_nothing_but_f_is_trained(problem: Problem) -> None:
    memo = MemoryMemo()
    plus(problem, memo, weigh=False)
    assert len(memo.results) == 1


def test_controls_take_from_the_same_candidates_of_the_first_step(
    problem: Problem, shared_memo: MemoryMemo
) -> None:
    ensemble = Ensemble(problem, tiny_config().classifier, seed=0, memo=shared_memo)
    predictions = ensemble.predict_pools(lambda event: None)
    filtered = rank_by(problem.unlabeled, margins(predictions.probabilities))[:12]
    generator = Streams(0).child("rambo-plus").torch("acquisition-0")
    batches = candidates(filtered, 4, predictions, "spread", generator)
    assert batches.shape == (3, 4)
    offered = {tuple(sorted(batch)) for batch in batches.tolist()}
    choices = {
        pick: tuple(sorted(plus(problem, shared_memo, pick=pick).indices[:4].tolist()))
        for pick in ("highest", "random", "lowest")
    }
    assert set(choices.values()) <= offered
    assert choices["highest"] != choices["lowest"]


def test_candidates_that_differ_hold_no_image_twice_and_lie_in_the_filter(
    problem: Problem, shared_memo: MemoryMemo
) -> None:
    ensemble = Ensemble(problem, tiny_config().classifier, seed=0, memo=shared_memo)
    predictions = ensemble.predict_pools(lambda event: None)
    filtered = problem.unlabeled[:17]
    for kind in ("spread", "random"):
        batches = candidates(filtered, 5, predictions, kind, torch.Generator().manual_seed(1))
        assert batches.shape == (3, 5)
        for batch in batches:
            assert len(batch.unique()) == 5
            assert torch.isin(batch, filtered).all()
    few = candidates(filtered[:3], 5, predictions, "spread", torch.Generator())
    assert few.shape == (1, 3)


def test_it_tells_how_it_ranks_the_held_out_pairs(
    problem: Problem, shared_memo: MemoryMemo
) -> None:
    figures = plus(problem, shared_memo).figures
    assert figures["true pairs fitted"] == 3
    assert figures["held-out pairs"] == 2


def test_it_keeps_what_its_choice_does_to_every_validation_image(
    problem: Problem, shared_memo: MemoryMemo
) -> None:
    arrays = plus(problem, shared_memo).arrays["ridge"]
    assert arrays["validation"].tolist() == problem.validation.tolist()
    assert len(arrays["margins_before"]) == len(arrays["margins_after"]) == len(problem.validation)
    assert (arrays["margins_before"] != arrays["margins_after"]).any()
