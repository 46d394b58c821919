"""DULO: trainings shared with RAMBO, a surrogate by regression, and the best of random blocks."""

import dataclasses
import importlib
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from tiny import MemoryMemo, tiny_config
from torch import Tensor
from trained import choose

from rambo.config import UtilityModelConfig
from rambo.events import BatchChosen, ClassifierTrained, Event, RankingAudited, StageStarted
from rambo.method.acquisition import random_chunks
from rambo.method.pools import Problem
from rambo.method.utility_model import UtilityModel
from rambo.method.utility_samples import UtilitySamples
from rambo.seeding import Streams
from rambo.strategies.dulo import blocks_looked_at
from rambo.training import offline
from rambo.training.call import Call
from rambo.training.ensemble import Ensemble, Predictions
from rambo.training.outcomes import Outcome, TrainingRecord
from rambo.training.units import FitUnit, Unit

# The package's attribute of this name is the function.
module_of_dulo = importlib.import_module("rambo.strategies.dulo")
QUICK: dict[str, Any] = {
    "classifier": {"max_epochs": 1},
    "rambo": {"pairs_per_iteration": 2, "utility_model": {"epochs": 1}},
}


def fits(events: list[Event]) -> list[ClassifierTrained]:
    return [event for event in events if isinstance(event, ClassifierTrained)]


def spied(monkeypatch: pytest.MonkeyPatch) -> list[tuple[UtilityModel, UtilitySamples]]:
    """Return the list that fills with DULO's models and what each was fitted on."""
    fit, fitted = module_of_dulo.fit_offline, []

    def spy(call: Call, settings: UtilityModelConfig, training: UtilitySamples) -> UtilityModel:
        model = fit(call, settings, training)
        fitted.append((model, training))
        return model

    monkeypatch.setattr(module_of_dulo, "fit_offline", spy)
    return fitted


def test_after_rambo_it_trains_nothing_new(problem: Problem, memo: MemoryMemo) -> None:
    config = tiny_config(**QUICK)
    choose("rambo", problem, memo, config)
    before = set(memo.results)
    events: list[Event] = []
    choose("dulo", problem, memo, config, emit=events.append)
    assert set(memo.results) == before
    assert all(fit.cached for fit in fits(events))
    assert [fit.role for fit in fits(events)] == ["labeled", *["offline"] * 10]  # no repeats


def test_before_rambo_it_trains_what_rambo_then_finds(problem: Problem, memo: MemoryMemo) -> None:
    config = tiny_config(**QUICK)
    choose("dulo", problem, memo, config)
    assert len(memo.results) == 11
    events: list[Event] = []
    choose("rambo", problem, memo, config, emit=events.append)
    assert all(fit.cached for fit in fits(events) if fit.role == "offline")
    assert sum(fit.role == "offline" for fit in fits(events)) == 10


@pytest.mark.parametrize("factor", [1, 3])
def test_it_learns_from_all_but_the_pairs_that_rambo_holds_out(
    problem: Problem, shared_memo: MemoryMemo, monkeypatch: pytest.MonkeyPatch, factor: int
) -> None:
    """5 pairs, of which 0.4 are held out."""
    config = tiny_config(**QUICK, rivals={"dulo": {"sample_factor": factor}})
    models, audits = spied(monkeypatch), []
    audit = module_of_dulo.audit

    def listen(model: Any, own: Problem, held_out: UtilitySamples, *rest: Any) -> Any:
        audits.append(held_out)
        return audit(model, own, held_out, *rest)

    monkeypatch.setattr(module_of_dulo, "audit", listen)
    monkeypatch.setattr(offline, "audit", listen)
    events: list[Event] = []
    selection = choose("dulo", problem, shared_memo, config, emit=events.append)
    ours = audits.pop()
    choose("rambo", problem, shared_memo, config)
    theirs = audits[0]
    assert [subset.tolist() for subset in ours.subsets] == [s.tolist() for s in theirs.subsets]
    assert torch.equal(ours.utilities, theirs.utilities)
    ((model, fitted),) = models
    assert len(fitted) == 5 * factor - 2
    assert len({tuple(subset.tolist()) for subset in fitted.subsets}) == 2 * len(fitted)
    assert model.config.loss == "regression"
    assert model.config.transport is False
    (event,) = [event for event in events if isinstance(event, RankingAudited)]
    assert (event.phase, event.pairs) == ("offline", 2)
    assert selection.figures["held-out pairs"] == 2
    assert selection.figures["utility samples fitted"] == 2 * (5 * factor - 2)
    if event.accuracy is not None:
        assert selection.figures["held-out pairs in true order"] == event.accuracy


def test_further_samples_start_from_weights_of_their_own(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(rivals={"dulo": {"sample_factor": 2}})
    work: list[Unit] = []

    def run(self: Ensemble, units: Sequence[Unit], emit: Any, done: Any) -> list[Outcome]:
        work.extend(units)
        return [outcome(0.5)] * len(units)

    monkeypatch.setattr(Ensemble, "run", run)
    ensemble = Ensemble(problem, config.classifier, seed=0, memo=MemoryMemo())
    call = Call(problem, 4, config, streams=Streams(4), ensemble=ensemble)
    samples = module_of_dulo.true_utilities(call)
    units = [unit for unit in work if isinstance(unit, FitUnit)]
    assert len(units) == len(work) == len(samples.subsets) == 20
    assert sorted(unit.index for unit in units) == list(range(20))
    assert len({unit.seed for unit in units}) == 20
    for unit, subset in zip(units, samples.subsets, strict=True):
        assert unit.subset.tolist() == subset.tolist()
    other = module_of_dulo.true_utilities(dataclasses.replace(call, streams=Streams(5)))
    parts = [[s.tolist() for s in part.subsets] for part in (samples, other)]
    assert parts[0][:10] != parts[1][:10]  # its own streams
    assert parts[0][10:] == parts[1][10:]  # RAMBO's


def outcome(accuracy: float) -> Outcome:
    return Outcome(
        TrainingRecord(accuracies={"validation": accuracy}, epochs=1, seconds=0.0), {}, cached=True
    )


@dataclasses.dataclass
class Planted:
    """A problem of one feature that is the usefulness of an image: the utility of a set is its mean."""

    problem: Problem
    worth: Tensor


@pytest.fixture
def planted(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> Planted:
    worth = torch.rand(200, generator=torch.Generator().manual_seed(3))
    noise = torch.randn(200, 3, generator=torch.Generator().manual_seed(4))
    features = torch.cat([worth[:, None], 0.1 * noise], 1)
    predictions = Predictions(torch.full((200, 4), 0.25), torch.zeros(200, 1), 0.5)

    def run(self: Ensemble, units: Sequence[FitUnit], emit: Any, done: Any) -> list[Outcome]:
        for _ in units:
            done()
        return [outcome(float(worth[torch.from_numpy(unit.subset)].mean())) for unit in units]

    monkeypatch.setattr(Ensemble, "run", run)
    monkeypatch.setattr(Ensemble, "predict_pools", lambda self, emit: predictions)
    variant = dataclasses.replace(problem, features=features, reads_features=True)
    return Planted(variant, worth)


def test_it_takes_the_block_whose_images_are_worth_most(planted: Planted) -> None:
    """Nineteen random blocks of four; what a block is worth, u_hat learned from sets of S_0 alone."""
    settings = {"offline": {"pairs": 60}, "utility_model": {"epochs": 100, "learning_rate": 5e-3}}
    events: list[Event] = []
    config = tiny_config(budget=8, rambo=settings)
    selection = choose("dulo", planted.problem, MemoryMemo(), config, emit=events.append)
    assert selection.figures["held-out pairs in true order"] > 0.9
    rest = planted.problem.unlabeled
    for step in range(2):
        streams = Streams(0).child("dulo")
        blocks = random_chunks(rest, 4, streams.torch(f"acquisition-{step}"))
        worths = planted.worth[blocks].mean(1)
        taken = selection.indices[selection.steps == step]
        assert taken.tolist() == blocks[worths.argmax()].tolist()
        rest = rest[~torch.isin(rest, taken)]


def test_every_block_of_the_whole_pool_is_a_candidate_until_epsilon_says_less(
    planted: Planted,
) -> None:
    """76 images, B = 12 and b = 4: 19, 18 and 17 blocks; (76 / 12) ln 2 = 4.4 are five."""
    for epsilon, counts in ((0.01, [19, 18, 17]), (0.5, [5, 5, 5])):
        events: list[Event] = []
        config = tiny_config(rivals={"dulo": {"epsilon": epsilon}})
        selection = choose("dulo", planted.problem, MemoryMemo(), config, emit=events.append)
        steps = [event for event in events if isinstance(event, BatchChosen)]
        assert [len(event.utilities) for event in steps] == counts
        assert [event.chosen for event in steps] == selection.indices.view(3, 4).tolist()
        best = [max(event.utilities) for event in steps]
        predicted = selection.evidence["predicted_utility"].view(3, 4)
        assert predicted.tolist() == [[value] * 4 for value in best]


def test_the_last_block_is_smaller(planted: Planted) -> None:
    selection = choose("dulo", planted.problem, MemoryMemo(), tiny_config(budget=6))
    assert selection.steps.tolist() == [0, 0, 0, 0, 1, 1]
    assert len(selection.indices.unique()) == 6


def test_the_margin_filter_has_no_say(planted: Planted) -> None:
    picks = [
        choose(
            "dulo",
            planted.problem,
            MemoryMemo(),
            tiny_config(acquisition={"batch_size": 4, "filter_size": size}),
        ).indices.tolist()
        for size in (4, 60)
    ]
    assert picks[0] == picks[1]


@pytest.mark.parametrize(
    ("pool", "budget", "epsilon", "blocks"),
    [(76, 12, 0.5, 5), (60_000, 500, 0.01, 553), (10, 10, 0.99, 1), (100, 1, 0.01, 461)],
)
def test_how_many_blocks_stochastic_greedy_looks_at(
    pool: int, budget: int, epsilon: float, blocks: int
) -> None:
    assert blocks_looked_at(pool, budget, epsilon) == blocks


def test_its_stages_are_those_that_pages_know(planted: Planted) -> None:
    events: list[Event] = []
    choose("dulo", planted.problem, MemoryMemo(), tiny_config(), emit=events.append)
    started = [(e.stage, e.total) for e in events if isinstance(e, StageStarted)]
    assert started == [("offline", 10), ("acquisition", 3)]
