"""Many fits at once: kept as they end, never done twice, the same with one process or two."""

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from tiny import MemoryMemo

from rambo.config import ClassifierConfig
from rambo.datasets.prepared import Prepared
from rambo.errors import DivergedError, RunCancelled
from rambo.events import ClassifierTrained, Event, StageFinished, StageStarted, ignore
from rambo.method.pools import Problem
from rambo.method.transport import GroundCost, exact_transport
from rambo.seeding import derive_seed
from rambo.training import classifier, ensemble
from rambo.training.ensemble import Ensemble
from rambo.training.outcomes import Outcome, TransportRecord, stored
from rambo.training.units import FitUnit, TransportUnit, Unit

FAST = ClassifierConfig(max_epochs=1)


def nothing() -> None:
    """Do nothing after a unit."""


@pytest.fixture(scope="module")
def ground(problem: Problem) -> GroundCost:
    """A cost matrix between S_0 and twelve made-up validation images."""
    matrix = np.random.default_rng(0).random((len(problem.labeled), 12))
    return GroundCost(problem.labeled.sort().values.numpy(), matrix)


def make(problem: Problem, memo: MemoryMemo, **changes: Any) -> Ensemble:
    settings: dict[str, Any] = {"seed": 7, "memo": memo, "config": FAST} | changes
    return Ensemble(problem, settings.pop("config"), **settings)


@pytest.fixture
def team(problem: Problem, memo: MemoryMemo) -> Ensemble:
    return make(problem, memo)


def mixed(team: Ensemble, ground: GroundCost) -> list[Unit]:
    """Fits of different lengths with an OT unit between them."""
    labeled = team.problem.labeled
    return [
        team.fit_unit(labeled[:5], "offline", 0),
        TransportUnit(ground, labeled[:4].sort().values),
        team.fit_unit(labeled, "labeled", 1, predict=True),
        team.fit_unit(labeled[:12], "offline", 1),
        TransportUnit(ground, labeled[:9].sort().values),
    ]


def comparable(outcome: Outcome) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return a record less its seconds, and the bytes of its arrays."""
    record = {n: value for n, value in stored(outcome.record).items() if n != "seconds"}
    return record, {name: array.tobytes() for name, array in outcome.arrays.items()}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Unit]:
    """Every unit whose `run` was called, in order."""
    calls: list[Unit] = []
    for kind in (FitUnit, TransportUnit):
        run = kind.run

        def spy(self: Any, run: Callable[[Any], Any] = run) -> Any:
            calls.append(self)
            return run(self)

        monkeypatch.setattr(kind, "run", spy)
    return calls


# What a fit gives.


def test_a_record_holds_what_the_classifier_says(team: Ensemble, problem: Problem) -> None:
    unit = team.fit_unit(problem.labeled, "labeled", predict=True)
    record, arrays = unit.run()
    measured = {"accuracies", "right", "epochs", "train_accuracy", "seconds"}
    facts = {"size", "evaluated", "classifier", "dataset", "device"}
    assert set(stored(record)) == measured | facts
    assert (record.size, record.evaluated) == (24, 60 + 160)
    assert set(record.accuracies) == {"validation"}
    assert record.seconds > 0
    assert record.epochs == 1
    pools = torch.cat([problem.labeled, problem.unlabeled, problem.validation]).sort().values
    assert torch.equal(torch.from_numpy(unit.predicted), pools)
    assert arrays["probabilities"].shape == (160, 4)
    np.testing.assert_allclose(arrays["probabilities"].sum(1), 1, atol=1e-5)
    rows = torch.searchsorted(pools, problem.validation)
    guesses = torch.from_numpy(arrays["probabilities"])[rows].argmax(1)
    right = (guesses == problem.labels[problem.validation]).double().mean()
    assert record.accuracies["validation"] == pytest.approx(float(right))


def test_a_fit_is_that_of_the_classifier_module(team: Ensemble, problem: Problem) -> None:
    unit = team.fit_unit(problem.labeled[:10], "offline", 3)
    subset = problem.labeled[:10].sort().values
    fitted = classifier.fit_classifier(
        problem.network_inputs(subset),
        problem.labels[subset],
        team.config,
        num_classes=4,
        seed=derive_seed(7, "offline", 3),
    )
    expected = classifier.accuracy(
        fitted.model,
        problem.network_inputs(problem.validation),
        problem.labels[problem.validation],
    )
    record, arrays = unit.run()
    assert record.accuracies == {"validation": expected}
    assert record.train_accuracy == fitted.train_accuracy
    assert arrays == {}


def test_an_evaluation_measures_validation_and_test_with_the_labels_given(
    team: Ensemble, problem: Problem, tiny: Prepared
) -> None:
    oracle = torch.from_numpy(tiny.labels)
    test = torch.arange(160, 200)
    grown = torch.cat([problem.labeled, problem.unlabeled[:6]])
    unit = team.fit_unit(grown, "evaluation", labels=oracle, test=(test, oracle[test]))
    assert np.array_equal(unit.labels, tiny.labels[unit.subset])
    assert (unit.labels >= 0).all()
    wrong = (oracle[test] + 1) % 4
    other = team.fit_unit(grown, "evaluation", labels=oracle, test=(test, wrong))
    one, two = (each.run()[0].accuracies for each in (unit, other))
    assert set(one) == {"validation", "test"}
    assert one["validation"] == two["validation"]  # the test set is measured, never trained on
    assert one["test"] + two["test"] <= 1


# Order and keeping.


@pytest.mark.parametrize("jobs", [1, 2])
def test_outcomes_stand_in_the_order_of_the_units(
    problem: Problem, memo: MemoryMemo, ground: GroundCost, jobs: int
) -> None:
    units = mixed(make(problem, memo, jobs=jobs), ground)
    outcomes = make(problem, memo, jobs=jobs).run(units, ignore, nothing)
    assert [isinstance(outcome.record, TransportRecord) for outcome in outcomes] == [
        place in (1, 4) for place in range(5)
    ]
    assert [len(outcome.arrays) for outcome in outcomes] == [0, 0, 2, 0, 0]
    for place in (1, 4):
        rows = ground.rows(units[place].subset)  # type: ignore[arg-type]
        assert outcomes[place].transport.value == exact_transport(rows)
    assert comparable(outcomes[3])[0] == comparable(Outcome(*units[3].run(), cached=False))[0]


def test_one_process_and_two_give_identical_records_arrays_and_memo(
    problem: Problem, ground: GroundCost
) -> None:
    memos, outcomes = [MemoryMemo(), MemoryMemo()], []
    for jobs, memo in zip((1, 2), memos, strict=True):
        team = make(problem, memo, jobs=jobs)
        outcomes.append(team.run(mixed(team, ground), ignore, nothing))
    assert [comparable(outcome) for outcome in outcomes[0]] == [
        comparable(outcome) for outcome in outcomes[1]
    ]
    assert set(memos[0].results) == set(memos[1].results)
    assert not any(outcome.cached for outcome in outcomes[0] + outcomes[1])


def test_two_processes_are_used_and_neither_is_this_one(
    problem: Problem, memo: MemoryMemo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The units really leave this process: `run` here is never called."""

    def refuse(self: FitUnit) -> Any:
        raise AssertionError(os.getpid())

    team = make(problem, memo, jobs=2)
    units = [team.fit_unit(problem.labeled[:4], "offline", index) for index in range(4)]
    # A function of a module is pickled by name, so the workers see the unpatched one.
    monkeypatch.setattr(FitUnit, "run", refuse)
    assert len(team.run(units, ignore, nothing)) == 4


def test_every_unit_is_announced_once_and_counted_once(
    team: Ensemble, problem: Problem, ground: GroundCost
) -> None:
    events: list[Event] = []
    steps: list[int] = []
    units = mixed(team, ground)
    outcomes = team.run(units, events.append, lambda: steps.append(len(events)))
    assert len(steps) == len(units)
    fits = [event for event in events if isinstance(event, ClassifierTrained)]
    assert len(fits) == len(events) == 3  # OT is told with its samples
    by_name = {(event.role, event.index): event for event in fits}
    for unit, outcome in zip(units, outcomes, strict=True):
        if isinstance(unit, FitUnit):
            event = by_name[unit.role, unit.index]
            assert event.size == len(unit.subset)
            assert event.accuracy == outcome.training.accuracies["validation"]
            assert event.epochs == outcome.training.epochs
            assert event.seconds == outcome.training.seconds
            assert not event.cached


def test_the_longest_units_go_first(
    team: Ensemble, problem: Problem, ground: GroundCost, counted: list[Unit]
) -> None:
    units = mixed(team, ground)
    team.run(units, ignore, nothing)
    assert [units.index(unit) for unit in counted] == [2, 3, 0, 4, 1]
    assert team.fit_unit(problem.labeled, "labeled", predict=True).cost > units[2].cost - 1
    assert (
        team.fit_unit(problem.labeled, "labeled", predict=True).cost
        > team.fit_unit(problem.labeled, "labeled").cost
    )


def test_a_kept_unit_is_never_run_again(
    team: Ensemble, problem: Problem, memo: MemoryMemo, ground: GroundCost, counted: list[Unit]
) -> None:
    units = mixed(team, ground)
    first = team.run(units[:3], ignore, nothing)
    assert len(counted) == 3
    events: list[Event] = []
    second = make(problem, memo).run(mixed(team, ground), events.append, nothing)
    assert len(counted) == 5
    assert [outcome.cached for outcome in second] == [True, True, True, False, False]
    assert [comparable(o) for o in second[:3]] == [comparable(o) for o in first]
    fits = {(e.role, e.index): e.cached for e in events if isinstance(e, ClassifierTrained)}
    assert fits == {("offline", 0): True, ("labeled", 1): True, ("offline", 1): False}
    third = team.run(units, ignore, nothing)
    assert len(counted) == 5
    assert all(outcome.cached for outcome in third)


def test_equal_units_of_one_call_are_run_once(
    team: Ensemble, problem: Problem, ground: GroundCost, counted: list[Unit]
) -> None:
    """As when two strategies choose the same images: one content, one training."""
    grown = torch.cat([problem.labeled, problem.validation[:3]])
    subset = problem.labeled[:5].sort().values
    units: list[Unit] = [
        team.fit_unit(grown, "evaluation", 0),
        team.fit_unit(grown.flip(0), "evaluation", 1),
        TransportUnit(ground, subset),
        TransportUnit(ground, subset.clone()),
    ]
    assert units[0].key == units[1].key
    outcomes = team.run(units, ignore, nothing)
    assert comparable(outcomes[0]) == comparable(outcomes[1])
    assert comparable(outcomes[2]) == comparable(outcomes[3])
    assert [outcome.cached for outcome in outcomes] == [False, True, False, True]
    assert Counter(unit.key for unit in counted) == {units[0].key: 1, units[2].key: 1}


def test_a_failing_unit_keeps_what_ended_before_it(
    team: Ensemble, problem: Problem, memo: MemoryMemo, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = [team.fit_unit(problem.labeled[: 9 - i], "offline", i) for i in range(3)]
    run = FitUnit.run

    def fail(self: FitUnit) -> Any:
        if self.index == 2:
            raise DivergedError("twice")
        return run(self)

    monkeypatch.setattr(FitUnit, "run", fail)
    with pytest.raises(DivergedError):
        team.run(units, ignore, nothing)
    assert set(memo.results) == {units[0].key, units[1].key}


# Keys and seeds.


def test_the_key_depends_on_everything_the_result_depends_on(
    team: Ensemble, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = team.fit_unit(problem.labeled, "labeled", predict=True)
    relabeled, remeasured = unit.labels.copy(), problem.labels[problem.validation].numpy().copy()
    relabeled[0] = (relabeled[0] + 1) % 4
    remeasured[0] = (remeasured[0] + 1) % 4
    validation = unit.measured["validation"]
    changes: list[Mapping[str, Any]] = [
        {"fingerprint": "0" * 32},
        {"subset": unit.subset[:-1], "labels": unit.labels[:-1]},
        {"labels": relabeled},
        {"measured": {"validation": (validation[0], remeasured)}},
        {"measured": {"validation": (validation[0][:-1], validation[1][:-1])}},
        {"measured": {"validation": validation, "test": validation}},
        {"measured": {"test": validation}},
        {"predicted": unit.predicted[:-1]},
        {"predicted": unit.predicted[:0]},
        {"num_classes": 5},
        {"seed": unit.seed + 1},
        {"device": "cuda"},
        *(
            {"config": unit.config.model_copy(update={name: value})}
            for name, value in (
                ("name", "resnet18"),
                ("learning_rate", 2e-3),
                ("minibatch_size", 21),
                ("train_accuracy", 0.98),
                ("max_epochs", 2),
                ("accuracy_mode", "train"),
            )
        ),
    ]
    assert set(ClassifierConfig.model_fields) - {"logistic"} == {
        name for change in changes if "config" in change for name in _differing(unit, change)
    }
    keys = [dataclasses.replace(unit, **change).key for change in changes]
    assert len({unit.key, *keys}) == len(changes) + 1
    monkeypatch.setattr(torch, "__version__", "9.9.9+cpu")
    assert dataclasses.replace(unit).key != unit.key


def _differing(unit: FitUnit, change: Mapping[str, Any]) -> list[str]:
    """Return the names of the classifier settings that a change touches."""
    new = change["config"].model_dump()
    return [name for name, value in unit.config.model_dump().items() if new[name] != value]


def test_the_key_depends_on_nothing_else(
    team: Ensemble, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = team.fit_unit(problem.labeled, "labeled", predict=True)
    for change in (
        {"role": "evaluation"},
        {"index": 5},
        {"source": "/elsewhere"},
        {"device": "cpu:0"},
    ):
        assert dataclasses.replace(unit, **change).key == unit.key  # type: ignore[arg-type]
    assert len(unit.key) == 64
    version = torch.__version__.split("+")[0]
    for build in ("+cpu", "+cu130", ""):
        monkeypatch.setattr(torch, "__version__", version + build)
        assert dataclasses.replace(unit).key == unit.key


def test_an_ot_key_depends_on_the_cost_and_the_subset(ground: GroundCost) -> None:
    subset = torch.from_numpy(ground.pool[:5])
    unit = TransportUnit(ground, subset)
    matrix = ground.matrix.copy()
    matrix[3, 3] += 1e-9
    others = [
        TransportUnit(ground, subset[:-1]),
        TransportUnit(GroundCost(ground.pool, matrix), subset),
        TransportUnit(GroundCost(ground.pool + 1, ground.matrix), subset),
    ]
    assert len({unit.key, *(other.key for other in others)}) == 4
    assert TransportUnit(GroundCost(ground.pool.copy(), ground.matrix.copy()), subset).key == (
        unit.key
    )


def test_seeds_are_shared_where_strategies_are_compared_and_separate_elsewhere(
    problem: Problem, memo: MemoryMemo
) -> None:
    team, subset = make(problem, memo), problem.labeled

    def seeds(role: str) -> set[int]:
        return {team.fit_unit(subset, role, index).seed for index in range(5)}

    assert len(seeds("offline") | seeds("repeat")) == 10
    assert len(seeds("labeled")) == len(seeds("evaluation")) == 1
    assert seeds("labeled") != seeds("evaluation")
    assert not seeds("labeled") & seeds("offline")
    other = make(problem, memo, seed=8)
    assert other.fit_unit(subset, "labeled").seed not in seeds("labeled")


def test_f_on_the_labeled_pool_is_one_unit_for_all_strategies(
    problem: Problem, memo: MemoryMemo, counted: list[Unit]
) -> None:
    """As the last pool of rambo's pretraining, in its own order, and as `predict_pools` asks."""
    grown = problem.labeled[torch.randperm(24, generator=torch.Generator().manual_seed(1))]
    unit = make(problem, memo).fit_unit(grown, "labeled", 3, predict=True)
    make(problem, memo).run([unit], ignore, nothing)
    events: list[Event] = []
    predictions = make(problem, memo).predict_pools(events.append)
    assert len(counted) == 1
    assert list(memo.results) == [unit.key]
    (trained,) = [event for event in events if isinstance(event, ClassifierTrained)]
    assert trained.cached
    assert trained.accuracy == predictions.accuracy
    assert isinstance(events[0], StageStarted)
    assert isinstance(events[-1], StageFinished)


def test_predictions_are_nan_where_a_strategy_may_not_look(
    team: Ensemble, problem: Problem
) -> None:
    predictions = team.predict_pools(ignore)
    test = torch.arange(160, 200)
    rows = torch.arange(160)
    assert predictions.probabilities.shape == (200, 4)
    assert predictions.embeddings.shape == (200, 128)
    for values in (predictions.probabilities, predictions.embeddings):
        assert values[test].isnan().all()
        assert values[rows].isfinite().all()
    torch.testing.assert_close(predictions.probabilities[rows].sum(1), torch.ones(160))
    unit = team.fit_unit(problem.labeled, "labeled", predict=True)
    _, arrays = unit.run()
    for row, index in ((0, int(unit.predicted[0])), (77, int(unit.predicted[77]))):
        assert predictions.probabilities[index].tolist() == arrays["probabilities"][row].tolist()


# A fit that diverges.


def test_a_diverged_fit_is_tried_once_more_with_another_seed(
    team: Ensemble, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, seeds = classifier.fit_classifier, list[int]()

    def once(*arguments: Any, seed: int, **named: Any) -> classifier.Fit:
        seeds.append(seed)
        if len(seeds) == 1:
            raise DivergedError("first")
        return fit(*arguments, seed=seed, **named)

    unit = team.fit_unit(problem.labeled[:6], "offline", 0)
    monkeypatch.setattr(classifier, "fit_classifier", once)
    record, _ = unit.run()
    assert seeds[0] == unit.seed
    assert seeds[1] == derive_seed(unit.seed, "retry") != unit.seed
    assert len(seeds) == 2
    seeds.clear()
    again, _ = unit.run()
    assert again.accuracies == record.accuracies  # the second seed is fixed by the first


def test_a_fit_that_diverges_twice_ends_the_run(
    team: Ensemble, problem: Problem, memo: MemoryMemo, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []

    def never(*arguments: Any, seed: int, **named: Any) -> classifier.Fit:
        seeds.append(seed)
        raise DivergedError("not finite")

    monkeypatch.setattr(classifier, "fit_classifier", never)
    with pytest.raises(DivergedError, match="not finite"):
        team.run([team.fit_unit(problem.labeled, "labeled")], ignore, nothing)
    assert len(set(seeds)) == len(seeds) == 2
    assert memo.results == {}


# How the ensemble is made.


def test_the_classifier_is_resolved(problem: Problem, memo: MemoryMemo) -> None:
    assert make(problem, memo).config.name == "mnistnet"
    assert make(problem, memo, jobs=3).jobs == 3


def test_no_process_is_started_for_one_job_or_one_unit(
    problem: Problem, memo: MemoryMemo, ground: GroundCost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **named: Any) -> Any:
        raise AssertionError("a pool of processes was made")

    monkeypatch.setattr(joblib, "Parallel", refuse)
    assert ensemble.joblib.Parallel is refuse
    alone = make(problem, memo, jobs=2)
    assert len(alone.run([alone.fit_unit(problem.labeled[:4], "offline", 0)], ignore, nothing)) == 1
    one = make(problem, memo, jobs=1)
    assert len(one.run(mixed(one, ground), ignore, nothing)) == 5
    assert one.run([], ignore, nothing) == []


# The case of two processes stands last: a stop ends the worker processes, and new ones take seconds.
@pytest.mark.parametrize(("jobs", "after"), [(1, 1), (1, 3), (2, 2)])
@pytest.mark.filterwarnings("ignore:.*have been cancelled")
def test_a_unit_is_kept_before_it_is_told_so_a_stop_loses_nothing(
    problem: Problem, memo: MemoryMemo, jobs: int, after: int
) -> None:
    team = make(problem, memo, jobs=jobs)
    units = [team.fit_unit(problem.labeled[: 4 + i], "offline", i) for i in range(5)]
    keys = {unit.index: unit.key for unit in units}
    fits: list[int] = []

    def stop(event: Event) -> None:
        assert isinstance(event, ClassifierTrained)
        fits.append(event.index)
        assert keys[event.index] in memo.results
        if len(fits) == after:
            raise RunCancelled

    with pytest.raises(RunCancelled):
        team.run(units, stop, nothing)
    assert set(memo.results) == {keys[index] for index in fits}
    assert len(fits) == after
    again: list[Event] = []
    outcomes = make(problem, memo).run(units, again.append, nothing)
    assert [outcome.cached for outcome in outcomes] == [i in fits for i in range(5)]
    fresh = make(problem, MemoryMemo()).run(units, ignore, nothing)
    assert [comparable(o) for o in outcomes] == [comparable(o) for o in fresh]
