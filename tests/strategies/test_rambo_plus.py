"""RAMBO+: candidates that differ, a ranking that reads S_val, its controls, and RAMBO's own trainings."""

import dataclasses
from typing import Any

import pytest
import torch
from tiny import MemoryMemo, tiny_config
from trained import choose

from rambo import lineup
from rambo.method.acquisition import margins, rank_by
from rambo.method.pools import Problem, Selection
from rambo.method.ridge import RidgeView, ridge_view
from rambo.seeding import Streams
from rambo.strategies.candidates import RIVALS, candidates
from rambo.strategies.rambo_plus import true_pairs, views_of
from rambo.training.call import Call
from rambo.training.ensemble import Ensemble, Predictions
from rambo.training.outcomes import Outcome, TrainingRecord
from rambo.training.units import FitUnit


def plus(problem: Problem, memo: MemoryMemo, **settings: Any) -> Selection:
    return choose("rambo-plus", problem, memo, tiny_config(plus=settings))


def predictions_of(problem: Problem, memo: MemoryMemo) -> Predictions:
    ensemble = Ensemble(problem, tiny_config().classifier, seed=0, memo=memo)
    return ensemble.predict_pools(lambda event: None)


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
    predictions = predictions_of(problem, shared_memo)
    filtered = rank_by(problem.unlabeled, margins(predictions.probabilities))[:12]
    generator = Streams(0).child("rambo-plus").torch("acquisition-0")
    none = filtered[:0]
    batches = candidates(
        filtered, 4, predictions, "spread", generator, number=3, taken=none, labeled=problem.labeled
    )
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
    predictions = predictions_of(problem, shared_memo)
    filtered = problem.unlabeled[:17]
    taken = problem.unlabeled[17:20]
    for kind in ("spread", "pool", "random"):
        generator = torch.Generator().manual_seed(1)
        batches = candidates(
            filtered,
            5,
            predictions,
            kind,
            generator,
            number=3,
            taken=taken,
            labeled=problem.labeled,
        )
        assert batches.shape == (3, 5)
        for batch in batches:
            assert len(batch.unique()) == 5
            assert torch.isin(batch, filtered).all()
    few = candidates(
        filtered[:3],
        5,
        predictions,
        "spread",
        torch.Generator(),
        number=3,
        taken=taken,
        labeled=problem.labeled,
    )
    assert few.shape == (1, 3)


def test_candidates_of_the_pool_are_drawn_as_badge_draws_and_go_on_from_what_was_taken(
    problem: Problem, shared_memo: MemoryMemo
) -> None:
    predictions = predictions_of(problem, shared_memo)
    pool = rank_by(problem.unlabeled, margins(predictions.probabilities))
    embeddings = predictions.embeddings.double()
    probabilities = predictions.probabilities.double()
    guesses = torch.nn.functional.one_hot(probabilities.argmax(1), probabilities.shape[1])
    # What the factors stand for, built: one gradient an image.
    gradients = ((probabilities - guesses)[:, :, None] * embeddings[:, None]).flatten(1)
    largest = int(pool[gradients[pool].square().sum(1).argmax()])
    generator = torch.Generator().manual_seed(2)
    first = candidates(
        pool, 4, predictions, "pool", generator, number=5, taken=pool[:0], labeled=problem.labeled
    )
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
    later = candidates(
        pool[1:], 1, same, "pool", generator, number=6, taken=twin[None], labeled=problem.labeled
    )
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


def test_a_wider_filter_is_a_larger_m(problem: Problem, shared_memo: MemoryMemo) -> None:
    config = tiny_config(plus={"weigh": False}, acquisition={"filter_size": 36})
    expected = choose("rambo-plus", problem, shared_memo, config).indices.tolist()
    assert plus(problem, shared_memo, weigh=False, filter_factor=3).indices.tolist() == expected
    assert plus(problem, shared_memo, weigh=False).indices.tolist() != expected


def test_batches_of_rivals_are_what_each_of_them_would_take_next(
    problem: Problem, shared_memo: MemoryMemo
) -> None:
    predictions = predictions_of(problem, shared_memo)
    pool = rank_by(problem.unlabeled, margins(predictions.probabilities))
    generator = torch.Generator().manual_seed(4)
    offered = dict(
        zip(
            RIVALS,
            candidates(
                pool,
                4,
                predictions,
                "rivals",
                generator,
                number=3,
                taken=pool[:0],
                labeled=problem.labeled,
            ).tolist(),
            strict=True,
        )
    )
    for name in ("margin", "least-confidence", "entropy", "coreset"):
        first = choose(name, problem, shared_memo, tiny_config()).indices[:4].tolist()
        assert offered[name] == first, name
    largest = int(choose("badge", problem, shared_memo, tiny_config()).indices[0])
    assert largest in offered["badge"]
    later = candidates(
        pool[4:],
        4,
        predictions,
        "rivals",
        generator,
        number=3,
        taken=pool[:4],
        labeled=problem.labeled,
    )
    assert later.shape == (6, 4)
    assert torch.isin(later, pool[4:]).all()
    assert all(len(batch.unique()) == 4 for batch in later)


def test_it_says_whose_batches_it_took(problem: Problem, shared_memo: MemoryMemo) -> None:
    words = str(
        plus(problem, shared_memo, weigh=False, candidates="rivals").figures["batches taken"]
    )
    counts = dict(part.rsplit(" ", 1) for part in words.split(", "))
    assert sum(map(int, counts.values())) == 3
    assert set(counts) <= {lineup.of(name).word for name in RIVALS}


def test_half_of_s_val_decides_nothing_and_says_what_is_left_of_the_lead(
    problem: Problem, shared_memo: MemoryMemo
) -> None:
    chosen = plus(problem, shared_memo, weigh=False, validation="half")
    order = torch.randperm(
        len(problem.validation), generator=Streams(0).child("rambo-plus").torch("halves")
    )
    first, second = order[:30], order[30:]

    def turned(places: torch.Tensor) -> Selection:
        labels = problem.labels.clone()
        images = problem.validation[places]
        labels[images] = (labels[images] + 1) % problem.num_classes
        changed = dataclasses.replace(problem, labels=labels)
        return plus(changed, MemoryMemo(), weigh=False, validation="half")

    assert turned(second).indices.tolist() == chosen.indices.tolist()
    assert turned(first).indices.tolist() != chosen.indices.tolist()
    leads = [chosen.figures[f"lead on the half that {verb}"] for verb in ("chose", "judged")]
    # What was taken is the highest of the half that chose, so it lies above the mean there.
    assert float(leads[0]) > 0.5
    assert float(leads[1]) < float(leads[0])
    assert "lead on the half that chose" not in plus(problem, shared_memo, weigh=False).figures


def test_no_guess_has_seen_the_labels_it_is_judged_by(
    problem: Problem, shared_memo: MemoryMemo
) -> None:
    config = tiny_config(plus={"weigh": False, "validation": "crossed"})

    def views(own: Problem) -> tuple[RidgeView, ...]:
        ensemble = Ensemble(own, config.classifier, seed=0, memo=shared_memo)
        streams = Streams(0).child("rambo-plus")
        call = Call(own, config.budget, config, streams=streams, ensemble=ensemble)
        pair, judging = views_of(call, ridge_view(own, call.predictions().probabilities))
        assert judging is None
        return pair

    both = views(problem)
    images = torch.cat([view.validation for view in both])
    assert images.sort().values.tolist() == problem.validation.sort().values.tolist()
    labels = problem.labels.clone()
    half = both[0].validation
    labels[half] = (labels[half] + 1) % problem.num_classes
    turned = views(dataclasses.replace(problem, labels=labels))
    pool = problem.unlabeled
    assert turned[0].validation.equal(half)
    assert turned[0].answers[pool].equal(both[0].answers[pool])
    assert not turned[1].answers[pool].equal(both[1].answers[pool])
    crossed = plus(problem, shared_memo, weigh=False, validation="crossed")
    assert len(crossed.indices.unique()) == 12
    # Why it was chosen is told of all validation images, each by the guesses that have not seen it.
    after = crossed.arrays["ridge"]["margins_after"]
    grown = torch.cat([problem.labeled, crossed.indices])
    for view in both:
        own = torch.isin(problem.validation, view.validation)
        torch.testing.assert_close(after[own], view.margins(grown))


def test_close_pairs_count_with_the_mean_of_their_trainings(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accuracies that say which training they are of, in place of trainings that all may end alike."""
    first = [0.5, 0.9, 0.6, 0.61, 0.7, 0.4, 0.3, 0.33, 0.8, 0.2, 0.55, 0.5, 0.5, 0.5, 0.9, 0.9]
    trained = []

    def run(self: Ensemble, units: list[FitUnit], emit: Any, advance: Any) -> list[Outcome]:
        outcomes = []
        for unit in units:
            turn, place = divmod(unit.index, len(first))
            trained.append((unit.role, turn, place))
            # A second training finds a tenth less, a third two tenths.
            less = 0.0 if unit.role == "offline" else 0.1 * (turn + 1)
            record = TrainingRecord(
                accuracies={"validation": first[place] - less}, epochs=1, seconds=0.0
            )
            outcomes.append(Outcome(record, {}, cached=False))
            advance()
        return outcomes

    monkeypatch.setattr(Ensemble, "run", run)
    config = tiny_config(
        plus={"repeats": 3}, rambo={"offline": {"pairs": 8, "held_out": 0.25, "repeated_pairs": 2}}
    )
    ensemble = Ensemble(problem, config.classifier, seed=0, memo=MemoryMemo())
    streams = Streams(0).child("rambo-plus")
    call = Call(problem, config.budget, config, streams=streams, ensemble=ensemble)
    utilities = true_pairs(call).utilities.flatten().tolist()
    # Six of eight pairs are fitted, and of these the three that lie closest are numbers 1, 3 and 5.
    again = [place for place in range(16) if place // 2 in (1, 3, 5)]
    expected = [value - 0.1 if place in again else value for place, value in enumerate(first)]
    assert utilities == pytest.approx(expected)
    repeats = [(turn, place) for role, turn, place in trained if role == "repeat"]
    assert sorted(repeats) == [(turn, place) for turn in range(2) for place in again]


def test_an_ensemble_with_weights_of_its_own_chooses(
    problem: Problem, shared_memo: MemoryMemo
) -> None:
    careful = plus(problem, shared_memo, caution=2.0, validation="half")
    again = plus(problem, shared_memo, caution=2.0, validation="half")
    assert careful.indices.tolist() == again.indices.tolist()
    assert "lead on the half that judged" in careful.figures
    assert careful.figures["held-out pairs"] == 2
    assert len(careful.indices.unique()) == 12
