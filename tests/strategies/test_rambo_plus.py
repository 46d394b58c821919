"""RAMBO+: candidates that differ, a ranking that reads S_val, its controls, and RAMBO's own trainings."""

import dataclasses
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
    none = filtered[:0]
    batches = candidates(filtered, 4, predictions, "spread", generator, number=3, taken=none)
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
    taken = problem.unlabeled[17:20]
    for kind in ("spread", "pool", "random"):
        generator = torch.Generator().manual_seed(1)
        batches = candidates(filtered, 5, predictions, kind, generator, number=3, taken=taken)
        assert batches.shape == (3, 5)
        for batch in batches:
            assert len(batch.unique()) == 5
            assert torch.isin(batch, filtered).all()
    few = candidates(
        filtered[:3], 5, predictions, "spread", torch.Generator(), number=3, taken=taken
    )
    assert few.shape == (1, 3)


def test_candidates_of_the_pool_are_drawn_as_badge_draws_and_go_on_from_what_was_taken(
    problem: Problem, shared_memo: MemoryMemo
) -> None:
    ensemble = Ensemble(problem, tiny_config().classifier, seed=0, memo=shared_memo)
    predictions = ensemble.predict_pools(lambda event: None)
    pool = rank_by(problem.unlabeled, margins(predictions.probabilities))
    embeddings = predictions.embeddings.double()
    probabilities = predictions.probabilities.double()
    guesses = torch.nn.functional.one_hot(probabilities.argmax(1), probabilities.shape[1])
    # What the factors stand for, built: one gradient an image.
    gradients = ((probabilities - guesses)[:, :, None] * embeddings[:, None]).flatten(1)
    largest = int(pool[gradients[pool].square().sum(1).argmax()])
    generator = torch.Generator().manual_seed(2)
    first = candidates(pool, 4, predictions, "pool", generator, number=5, taken=pool[:0])
    assert first.shape == (5, 4)
    assert all(largest in batch for batch in first.tolist())
    # All but one image of the pool equal what was taken, so only that one lies apart from it.
    twin, other = pool[0], pool[-1]
    same = dataclasses.replace(
        predictions,
        probabilities=predictions.probabilities[twin].expand_as(predictions.probabilities).clone(),
        embeddings=predictions.embeddings[twin].expand_as(predictions.embeddings).clone(),
    )
    same.embeddings[other] += 1
    later = candidates(pool[1:], 1, same, "pool", generator, number=6, taken=twin[None])
    assert later.flatten().tolist() == [int(other)] * 6


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
