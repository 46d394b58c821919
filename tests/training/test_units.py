"""Logistic heads as units of work: records like those of a network, keys of all that counts, bundles of one pool."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from tiny import MemoryMemo, tiny_config
from torch import Tensor

from rambo.config import ClassifierConfig, LogisticConfig
from rambo.datasets.prepared import Prepared
from rambo.errors import ConfigError
from rambo.events import ClassifierTrained, Event, ignore
from rambo.method.pools import Problem
from rambo.method.transport import GroundCost
from rambo.seeding import Streams
from rambo.training import heads
from rambo.training.call import Call
from rambo.training.ensemble import Ensemble, bundle
from rambo.training.offline import offline_units
from rambo.training.outcomes import Outcome, stored
from rambo.training.units import FitUnit, HeadUnit, TransportUnit, Unit, run_heads
from rambo.worker import trial

LOGISTIC = ClassifierConfig(name="logistic", logistic=LogisticConfig(iterations=30))
WIDTH = 40


def nothing() -> None:
    """Do nothing after a unit."""


@pytest.fixture(scope="module")
def values(tiny: Prepared) -> Tensor:
    """Frozen features: a fixed random projection of the pixels."""
    draw = np.random.default_rng(3).normal(size=(784, WIDTH))
    pixels = np.array(tiny.images).reshape(200, -1) / 255
    return torch.from_numpy((pixels @ draw).astype(np.float32))


@pytest.fixture(scope="module")
def problem(tiny: Prepared, values: Tensor, tmp_path_factory: pytest.TempPathFactory) -> Problem:
    file = tmp_path_factory.mktemp("features") / "features-drawn-16.npy"
    np.save(file, values.numpy())
    return trial.split(tiny_config(), tiny, 0, values, str(file)).problem


def make(problem: Problem, memo: MemoryMemo | None = None, **changes: Any) -> Ensemble:
    settings: dict[str, Any] = {
        "seed": 7,
        "memo": memo or MemoryMemo(),
        "config": LOGISTIC,
    } | changes
    return Ensemble(problem, settings.pop("config"), **settings)


def head(problem: Problem, subset: Tensor, role: str = "offline", **more: Any) -> HeadUnit:
    unit = make(problem).fit_unit(subset, role, **more)
    assert isinstance(unit, HeadUnit)
    return unit


def comparable(outcome: Outcome) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return a record less its seconds, and the bytes of its arrays."""
    record = {n: value for n, value in stored(outcome.record).items() if n != "seconds"}
    return record, {name: array.tobytes() for name, array in outcome.arrays.items()}


# What a head gives.


def test_a_record_has_the_fields_of_a_networks(problem: Problem) -> None:
    network = make(problem, config=ClassifierConfig(max_epochs=1))
    one, arrays = network.fit_unit(problem.labeled, "labeled", predict=True).run()
    two, ours = head(problem, problem.labeled, "labeled", predict=True).run()
    assert {name: type(value) for name, value in stored(one).items()} == {
        name: type(value) for name, value in stored(two).items()
    }
    assert {name: array.dtype for name, array in arrays.items()} == {
        name: array.dtype for name, array in ours.items()
    }
    assert arrays["probabilities"].shape == ours["probabilities"].shape == (160, 4)
    assert (two.size, two.evaluated) == (24, 60 + 160)
    assert (two.classifier, two.epochs) == ("logistic", 30)
    assert two.dataset == problem.fingerprint


def test_a_head_says_what_the_heads_module_says(problem: Problem, values: Tensor) -> None:
    subset = problem.labeled[:15]
    record, arrays = head(problem, subset, predict=True).run()
    pool = problem.labeled.sort().values
    members = torch.isin(pool, subset)[None]
    fitted = heads.fit_heads(
        values[pool], problem.labels[pool], members, num_classes=4, l2=0.2, iterations=30
    )
    pools = torch.cat([problem.labeled, problem.unlabeled, problem.validation]).sort().values
    expected = fitted.logits(values[pools])[0].softmax(1)
    np.testing.assert_allclose(arrays["probabilities"], expected, atol=1e-6)
    np.testing.assert_allclose(
        arrays["embeddings"], heads.principal_axes(values[pool]).embed(values[pools]), atol=1e-5
    )
    truth = problem.labels[problem.validation]
    right = (fitted.logits(values[problem.validation])[0].argmax(1) == truth).double().mean()
    assert record.accuracies == {"validation": pytest.approx(float(right))}
    assert 0.5 < record.accuracies["validation"] <= 1  # the tiny images are easy
    own = (fitted.logits(values[subset])[0].argmax(1) == problem.labels[subset]).double().mean()
    assert record.train_accuracy == pytest.approx(float(own))


def test_accuracies_are_those_of_the_probabilities(problem: Problem) -> None:
    unit = head(problem, problem.labeled, "labeled", predict=True)
    record, arrays = unit.run()
    rows = np.searchsorted(unit.predicted, problem.validation.numpy())
    guesses = torch.from_numpy(arrays["probabilities"][rows].argmax(1))
    right = (guesses == problem.labels[problem.validation]).double().mean()
    assert record.accuracies["validation"] == pytest.approx(float(right))
    assert head(problem, problem.labeled).run()[1] == {}


def test_an_evaluation_knows_the_revealed_labels_and_measures_the_test_set(
    problem: Problem, tiny: Prepared
) -> None:
    oracle, test = torch.from_numpy(tiny.labels), torch.arange(160, 200)
    grown = torch.cat([problem.labeled, problem.unlabeled[:6]])
    unit = head(problem, grown, "evaluation", labels=oracle, test=(test, oracle[test]))
    assert np.array_equal(unit.labels, tiny.labels[unit.subset])
    assert np.array_equal(unit.pool, unit.subset)  # it is part of no pool
    assert np.array_equal(unit.pool_labels, unit.labels)
    assert set(unit.run()[0].accuracies) == {"validation", "test"}


def test_the_pool_is_s0_for_its_subsets_and_holds_no_label_that_was_not_bought(
    problem: Problem,
) -> None:
    unit = head(problem, problem.labeled[[3, 1, 8]])
    assert np.array_equal(unit.pool, problem.labeled.sort().values)
    assert np.array_equal(unit.subset, problem.labeled[[3, 1, 8]].sort().values)
    assert (unit.pool_labels >= 0).all()


def test_a_head_alone_is_the_same_as_in_company(problem: Problem) -> None:
    units = [head(problem, problem.labeled[:size]) for size in (4, 9, 17, 24)]
    together = run_heads(units)
    for unit, (record, _) in zip(units, together, strict=True):
        alone, _ = unit.run()
        assert alone.accuracies == record.accuracies
        assert alone.train_accuracy == record.train_accuracy
        assert record.size == len(unit.subset)


def test_more_rows_than_a_chunk_are_asked_about_in_parts(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = head(problem, problem.labeled, predict=True)
    _, whole = unit.run()
    monkeypatch.setattr("rambo.training.units._CHUNK", 7)
    _, parts = unit.run()
    for name in whole:
        np.testing.assert_allclose(whole[name], parts[name], atol=1e-6)


# Keys.


def test_the_key_depends_on_everything_the_result_depends_on(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = head(problem, problem.labeled[:20], predict=True)
    validation = unit.measured["validation"]

    def another(labels: np.ndarray) -> np.ndarray:
        changed = labels.copy()
        changed[0] = (changed[0] + 1) % 4
        return changed

    def logistic(**settings: Any) -> ClassifierConfig:
        return LOGISTIC.model_copy(update={"logistic": LogisticConfig(**settings)})

    changes: list[dict[str, Any]] = [
        {"fingerprint": "0" * 32},
        {"features": "/elsewhere/features-drawn-20.npy"},
        {"subset": unit.subset[:-1], "labels": unit.labels[:-1]},
        {"labels": another(unit.labels)},
        {"pool": unit.pool[:-1], "pool_labels": unit.pool_labels[:-1]},
        {"pool_labels": another(unit.pool_labels)},
        {"measured": {"validation": (validation[0], another(validation[1]))}},
        {"measured": {"validation": validation, "test": validation}},
        {"measured": {"test": validation}},
        {"predicted": unit.predicted[:-1]},
        {"predicted": unit.predicted[:0]},
        {"num_classes": 5},
        {"config": logistic(iterations=31)},
        {"config": logistic(iterations=30, l2=0.3)},
    ]
    keys = [dataclasses.replace(unit, **change).key for change in changes]
    assert len({unit.key, *keys}) == len(changes) + 1
    network = make(problem, config=ClassifierConfig()).fit_unit(problem.labeled[:20], "offline")
    assert network.key not in keys
    monkeypatch.setattr(torch, "__version__", "9.9.9+cpu")
    assert dataclasses.replace(unit).key != unit.key


def test_the_key_depends_on_nothing_else(problem: Problem) -> None:
    """One optimum: neither seed nor role nor what only networks have."""
    unit = head(problem, problem.labeled[:20])
    for change in (
        {"role": "repeat"},
        {"index": 5},
        {"seed": unit.seed + 1},
        {"source": "/elsewhere"},
        {"features": "/elsewhere/features-drawn-16.npy"},
        {"config": LOGISTIC.model_copy(update={"learning_rate": 0.5, "max_epochs": 3})},
    ):
        assert dataclasses.replace(unit, **change).key == unit.key
    assert len(unit.key) == 64
    repeated = make(problem, seed=8).fit_unit(problem.labeled[:20], "repeat", 3)
    assert repeated.key == unit.key


# Bundles.


def test_heads_of_one_pool_go_together_and_all_else_alone(problem: Problem) -> None:
    network = make(problem, config=ClassifierConfig())
    labeled = problem.labeled
    grown = [torch.cat([labeled, problem.unlabeled[i : i + 2]]) for i in (0, 2)]
    oracle = torch.zeros(200, dtype=torch.int64)
    ground = GroundCost(labeled.sort().values.numpy(), np.ones((24, 3)))
    units: list[Unit] = [
        network.fit_unit(labeled[:4], "offline"),
        *(head(problem, labeled[:size]) for size in (5, 6, 7)),
        *(head(problem, each, "evaluation", labels=oracle) for each in grown),
        TransportUnit(ground, labeled[:4].sort().values),
    ]
    assert bundle(units, range(7), 1) == [[1, 2, 3], [4], [5], [0], [6]]
    assert bundle(units, range(7), 2) == [[1, 2], [3], [4], [5], [0], [6]]
    assert bundle(units, [6, 3, 1], 1) == [[3, 1], [6]]
    assert bundle(units, [], 4) == []


@pytest.mark.parametrize(
    ("count", "jobs", "sizes"),
    [
        (64, 1, [64]),
        (65, 1, [64, 1]),
        (10, 4, [3, 3, 3, 1]),
        (200, 2, [64, 64, 64, 8]),
        (3, 8, [1] * 3),
    ],
)
def test_every_process_has_a_bundle_and_none_is_too_large(
    problem: Problem, count: int, jobs: int, sizes: list[int]
) -> None:
    units = [head(problem, problem.labeled[:5])] * count
    bundles = bundle(units, range(count), jobs)
    assert [len(each) for each in bundles] == sizes
    assert [place for each in bundles for place in each] == list(range(count))


# Many at once.


def subsets(problem: Problem, count: int = 9) -> list[Tensor]:
    draw = torch.Generator().manual_seed(0)
    return [problem.labeled[torch.randperm(24, generator=draw)[: 6 + i]] for i in range(count)]


def test_one_process_and_two_give_the_same(problem: Problem, tiny: Prepared) -> None:
    match, keys = [], []
    oracle, test = torch.from_numpy(tiny.labels), torch.arange(160, 200)
    for jobs in (1, 2):
        memo = MemoryMemo()
        team = make(problem, memo, jobs=jobs)
        grown = torch.cat([problem.labeled, problem.unlabeled[:6]])
        units = [
            *(team.fit_unit(subset, "offline", i) for i, subset in enumerate(subsets(problem))),
            team.fit_unit(problem.labeled, "labeled", predict=True),
            team.fit_unit(grown, "evaluation", labels=oracle, test=(test, oracle[test])),
        ]
        events: list[Event] = []
        outcomes = team.run(units, events.append, nothing)
        by_unit = {(e.role, e.index): e for e in events if isinstance(e, ClassifierTrained)}
        assert len(by_unit) == len(units)
        for unit, outcome in zip(units, outcomes, strict=True):
            event = by_unit[unit.role, unit.index]
            assert event.accuracy == outcome.training.accuracies["validation"]
            assert (event.size, event.epochs) == (len(unit.subset), 30)
        match.append(outcomes)
        keys.append(set(memo.results))
    assert keys[0] == keys[1]
    assert len(keys[0]) == 11
    for one, two in zip(*match, strict=True):
        assert comparable(one)[0] == comparable(two)[0]
        for name in one.arrays:
            np.testing.assert_allclose(one.arrays[name], two.arrays[name], atol=1e-6)


def test_a_repeated_head_is_found_and_not_trained(problem: Problem) -> None:
    team = make(problem)
    subset = problem.labeled[:9]
    outcomes = team.run(
        [team.fit_unit(subset, "offline", 0), team.fit_unit(subset, "repeat", 0)], ignore, nothing
    )
    assert [outcome.cached for outcome in outcomes] == [False, True]
    assert outcomes[0].record == outcomes[1].record


def test_strategies_find_predictions_of_a_head(problem: Problem) -> None:
    predictions = make(problem).predict_pools(ignore)
    assert predictions.probabilities.shape == (200, 4)
    assert predictions.embeddings.shape == (200, 24)  # as many axes as the pool has images
    for values in (predictions.probabilities, predictions.embeddings):
        assert values[:160].isfinite().all()
        assert values[160:].isnan().all()
    torch.testing.assert_close(predictions.probabilities[:160].sum(1), torch.ones(160))
    assert predictions.accuracy > 0.5


# The proxy.


def test_a_proxy_trains_heads_beside_the_networks_and_shares_the_memory(problem: Problem) -> None:
    memo = MemoryMemo()
    team = make(problem, memo, config=ClassifierConfig(max_epochs=1), jobs=2)
    proxy = team.proxy()
    assert team.config.name == "mnistnet"
    assert proxy.config.name == "logistic"
    assert (proxy.problem, proxy.seed, proxy.jobs, proxy.backend) == (
        problem,
        team.seed,
        team.jobs,
        team.backend,
    )
    assert proxy.memo is memo
    unit = proxy.fit_unit(problem.labeled[:8], "offline")
    assert isinstance(unit, HeadUnit)
    assert unit.facts["classifier"] == "logistic"
    assert not isinstance(team.fit_unit(problem.labeled[:8], "offline"), HeadUnit)


@pytest.mark.parametrize("proxy", [False, True])
def test_offline_trainings_ask_the_proxy_where_the_config_says_so(
    problem: Problem, proxy: bool
) -> None:
    config = tiny_config(rambo={"offline": {"proxy": proxy}})
    team = make(problem, config=ClassifierConfig())
    call = Call(problem, 4, config, streams=Streams(0), ensemble=team)
    pairs, units, repeats = offline_units(call)
    assert {type(unit) for unit in [*units, *repeats]} == {HeadUnit if proxy else FitUnit}
    assert (len(pairs), len(units), len(repeats)) == (5, 10, 4)


def test_heads_without_features_are_refused(problem: Problem) -> None:
    bare = dataclasses.replace(problem, features=None, features_file="")
    for team in (make(bare), make(bare, config=ClassifierConfig()).proxy()):
        with pytest.raises(ConfigError, match=r"classifier\.name logistic: .*choose mnistnet"):
            team.fit_unit(bare.labeled, "labeled")
    make(bare, config=ClassifierConfig()).fit_unit(bare.labeled, "labeled")


def test_frozen_features_are_described_only_where_u_hat_reads_them(
    problem: Problem, values: Tensor
) -> None:
    """Grey images of 28 x 28 have features for the heads alone; u_hat and OT keep the pixels."""
    assert not problem.reads_features
    subset = problem.labeled[:3]
    assert problem.describe_images(subset).shape == (3, 784)
    assert problem.network_inputs(subset).shape == (3, 1, 28, 28)
    reading = dataclasses.replace(problem, reads_features=True)
    assert torch.equal(reading.describe_images(subset), values[subset])
    assert torch.equal(reading.network_inputs(subset), values[subset])
    bare = dataclasses.replace(reading, features=None)
    assert bare.describe_images(subset).shape == (3, 784)
