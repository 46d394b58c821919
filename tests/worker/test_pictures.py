"""What the pages draw of a trial: the map against scikit-learn, the plan against POT, and when it is written."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import ot
import pytest
import torch
from sklearn.decomposition import PCA
from tiny import MemoryMemo, tiny_config

from rambo.config import TransportConfig, UtilityModelConfig
from rambo.datasets.prepared import Prepared
from rambo.events import ClassifierTrained, Event, StageStarted
from rambo.method.pools import Problem
from rambo.runs.atlas import LABELED, UNLABELED_POOL, VALIDATION_POOL
from rambo.runs.results import Result
from rambo.storage import files
from rambo.training.ensemble import Ensemble, Predictions
from rambo.training.offline import labeled_ground_cost
from rambo.worker import pictures
from rambo.worker.trial import split

WEIGHTS = TransportConfig()


@pytest.fixture(scope="module")
def problem(tiny: Prepared) -> Problem:
    return split(tiny_config(classifier={"max_epochs": 2}), tiny, 0, None).problem


@pytest.fixture(scope="module")
def predictions(problem: Problem) -> Predictions:
    """Predictions that are NaN on the test images, as those of a fit are."""
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.randn(200, 4, generator=generator).softmax(1)
    embeddings = torch.randn(200, 8, generator=generator)
    for values in (probabilities, embeddings):
        values[160:] = math.nan
    return Predictions(probabilities, embeddings, 0.5)


# The atlas.


def test_the_atlas_holds_all_pools_in_the_order_of_the_dataset(
    problem: Problem, predictions: Predictions
) -> None:
    arrays = pictures.atlas(problem, predictions)
    assert {name: (a.dtype.name, a.shape) for name, a in arrays.items()} == {
        "indices": ("int64", (160,)),
        "pool": ("uint8", (160,)),
        "probabilities": ("float32", (160, 4)),
        "embeddings": ("float32", (160, 8)),
        "map": ("float32", (160, 2)),
        "explained": ("float32", (2,)),
        "lacking": ("int64", (1,)),
        "neighbours": ("float32", (160, 2)),
    }
    indices, pool = arrays["indices"], arrays["pool"]
    assert indices.tolist() == list(range(160))
    for code, members in (
        (LABELED, problem.labeled),
        (UNLABELED_POOL, problem.unlabeled),
        (VALIDATION_POOL, problem.validation),
    ):
        assert indices[pool == code].tolist() == sorted(members.tolist())
    np.testing.assert_array_equal(arrays["probabilities"], predictions.probabilities[:160])
    np.testing.assert_array_equal(arrays["embeddings"], predictions.embeddings[:160])
    assert files.unpack_arrays(files.pack_arrays(arrays)).keys() == arrays.keys()  # finite


@pytest.mark.parametrize("name", ["probabilities", "embeddings"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_rows_that_are_not_finite_are_lacking_of_every_array(
    problem: Problem, predictions: Predictions, name: str, value: float
) -> None:
    spoiled = getattr(predictions, name).clone()
    spoiled[[3, 150], 1] = value
    arrays = pictures.atlas(problem, dataclasses.replace(predictions, **{name: spoiled}))
    whole = pictures.atlas(problem, predictions)
    before = [index for index in range(160) if index not in (3, 150)]
    assert arrays["indices"].tolist() == before
    assert (whole["lacking"].tolist(), arrays["lacking"].tolist()) == ([0], [2])
    for part in ("pool", "probabilities", "embeddings"):
        np.testing.assert_array_equal(arrays[part], whole[part][before])
    assert all(np.isfinite(array).all() for array in arrays.values())


# The map.


@pytest.mark.parametrize("shape", [(160, 8), (400, 128), (5, 40)])
def test_the_map_is_a_pca(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(shape[0])
    embeddings = (rng.normal(size=shape) * rng.uniform(0.1, 5, shape[1]) + 7).astype(np.float32)
    points, explained = pictures.principal_map(embeddings)
    pca = PCA(2, svd_solver="full").fit(embeddings.astype(np.float64))
    expected = pca.transform(embeddings.astype(np.float64))
    expected *= np.sign(pca.components_[[0, 1], np.abs(pca.components_).argmax(1)])
    np.testing.assert_allclose(points, expected / math.sqrt((expected**2).mean()), atol=1e-6)
    np.testing.assert_allclose(explained, pca.explained_variance_ratio_, atol=1e-9)
    assert points.mean(0) == pytest.approx([0, 0], abs=1e-9)
    assert points.var() == pytest.approx(1)
    assert points[:, 0].var() > points[:, 1].var()


def test_the_map_depends_on_no_scale_shift_or_order() -> None:
    embeddings = np.random.default_rng(0).normal(size=(50, 6)) * [6, 5, 4, 3, 2, 1]
    points, explained = pictures.principal_map(embeddings)
    order = np.arange(50)[::-1]
    for changed in (3 * embeddings, embeddings - 9, embeddings[order][order]):
        again, share = pictures.principal_map(changed)
        np.testing.assert_allclose(again, points, atol=1e-9)
        np.testing.assert_allclose(share, explained, atol=1e-12)
    assert pictures.principal_map(embeddings)[0].tobytes() == points.tobytes()


@pytest.mark.parametrize("count", [1, 9])
def test_equal_embeddings_make_one_finite_point(count: int) -> None:
    points, explained = pictures.principal_map(np.full((count, 4), 2.5, np.float32))
    assert points.tolist() == [[0, 0]] * count
    assert explained.tolist() == [0, 0]


# Whom a chosen image serves.


def plan_by_hand(problem: Problem, predictions: Predictions, chosen: torch.Tensor) -> np.ndarray:
    """Return the rows of the chosen images of POT's plan, entries as shares of a row."""
    grown = torch.cat([problem.labeled, chosen])
    guesses = predictions.probabilities[chosen].argmax(1)
    classes = torch.cat([problem.labels[problem.labeled], guesses]).numpy()
    table = pictures._label_table(problem, WEIGHTS)
    pixels = problem.images.flatten(1).double().numpy() / 255
    cost = ((pixels[grown][:, None] - pixels[problem.validation][None]) ** 2).sum(2)
    cost += table[classes][:, problem.labels[problem.validation].numpy()]
    a, v = cost.shape
    plan = ot.emd(np.full(a, 1 / a), np.full(v, 1 / v), cost)
    return plan[len(problem.labeled) :] * a


@pytest.mark.parametrize("count", [1, 12, 76])
def test_served_images_are_the_largest_of_the_optimal_plan(
    problem: Problem, predictions: Predictions, count: int
) -> None:
    chosen = problem.unlabeled[torch.randperm(76, generator=torch.Generator().manual_seed(1))]
    chosen = chosen[:count]
    arrays = pictures.served(problem, predictions, chosen, WEIGHTS)
    assert {name: (a.dtype.name, a.shape) for name, a in arrays.items()} == {
        "chosen": ("int64", (count,)),
        "validation": ("int64", (count, 5)),
        "mass": ("float32", (count, 5)),
        "exact": ("uint8", (1,)),
    }
    assert arrays["exact"].tolist() == [1]
    assert arrays["chosen"].tolist() == chosen.tolist()
    plan, first = plan_by_hand(problem, predictions, chosen), int(problem.validation[0])
    for row, images, mass in zip(plan, arrays["validation"], arrays["mass"], strict=True):
        there = images >= 0
        assert set(images[there]) <= set(problem.validation.tolist())
        np.testing.assert_allclose(mass[there], row[images[there] - first], atol=1e-6)
        np.testing.assert_allclose(mass, np.sort(row)[::-1][:5], atol=1e-6)
        assert (mass[~there] == 0).all()
        assert there.tolist() == sorted(there.tolist(), reverse=True)
        assert 0 < mass.sum() <= 1 + 1e-6
    np.testing.assert_allclose(plan.sum(1), 1)


def test_the_cost_of_s_0_is_the_one_u_hat_was_trained_with(
    problem: Problem, predictions: Predictions
) -> None:
    for weights in (
        WEIGHTS,
        TransportConfig(feature_weight=0.3, label_weight=2.0, label_dimensions=7),
        TransportConfig(label_weight=0.0),
    ):
        pool = problem.labeled.sort().values
        table = pictures._label_table(problem, weights)
        ours = pictures._costs(problem, pool, problem.labels[pool], table, weights)
        ground = labeled_ground_cost(problem, UtilityModelConfig(ground_cost=weights))
        np.testing.assert_array_equal(ours, ground.matrix)


def test_a_guess_decides_whom_an_image_serves_and_the_true_label_does_not(
    problem: Problem, predictions: Predictions, tiny: Prepared
) -> None:
    weights = TransportConfig(feature_weight=1e-6)
    chosen = problem.unlabeled[:36]
    counts = problem.labels[problem.labeled].bincount(minlength=4)
    guesses = torch.arange(4).repeat_interleave(15 - counts)  # 60 images, 15 a class, as in S_val
    assert (guesses != torch.from_numpy(tiny.labels)[chosen]).float().mean() > 0.5
    sure = predictions.probabilities.clone()
    sure[chosen] = torch.eye(4)[guesses]
    arrays = pictures.served(
        problem, dataclasses.replace(predictions, probabilities=sure), chosen, weights
    )
    assert problem.labels[arrays["validation"][:, 0]].tolist() == guesses.tolist()


def test_above_the_limit_each_image_serves_the_cheapest(
    problem: Problem, predictions: Predictions, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = problem.unlabeled[:30]
    monkeypatch.setattr(pictures, "_EXACT_CELLS", (24 + 30) * 60)
    assert pictures.served(problem, predictions, chosen, WEIGHTS)["exact"].tolist() == [1]
    monkeypatch.setattr(pictures, "_EXACT_CELLS", (24 + 30) * 60 - 1)
    monkeypatch.setattr(pictures, "_CHUNK", 7)
    arrays = pictures.served(problem, predictions, chosen, WEIGHTS)
    guesses = predictions.probabilities[chosen].argmax(1)
    table = pictures._label_table(problem, WEIGHTS)
    cost = pictures._costs(problem, chosen, guesses, table, WEIGHTS)
    assert arrays["exact"].tolist() == [0]
    assert arrays["validation"][:, 0].tolist() == problem.validation[cost.argmin(1)].tolist()
    assert (arrays["validation"][:, 1:] == -1).all()
    assert arrays["mass"].tolist() == [[1, 0, 0, 0, 0]] * 30
    monkeypatch.setattr(pictures, "_EXACT_CELLS", 10**9)
    monkeypatch.setattr(pictures, "transport_plan", lambda cost: None)  # the solver gave up
    again = pictures.served(problem, predictions, chosen, WEIGHTS)
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array)


def test_shares_of_rows_by_hand() -> None:
    plan = np.array([[0, 0.25, 0, 0.75], [0, 0, 1, 1e-9], [0.25, 0.25, 0.25, 0.25]])
    columns, mass = pictures.largest_shares(plan)
    assert columns.tolist() == [[3, 1, -1, -1, -1], [2, -1, -1, -1, -1], [0, 1, 2, 3, -1]]
    assert mass.tolist() == [[0.75, 0.25, 0, 0, 0], [1, 0, 0, 0, 0], [0.25] * 4 + [0]]
    columns, mass = pictures.largest_shares(np.full((1, 8), 0.125))
    assert columns.tolist() == [[0, 1, 2, 3, 4]]
    assert mass.tolist() == [[0.125] * 5]


def test_a_plan_is_read_as_shares_of_each_row() -> None:
    plan = pictures.transport_plan(np.array([[0.0, 5, 1], [9, 0, 3]]))
    assert plan is not None
    np.testing.assert_allclose(plan, [[2 / 3, 0, 1 / 3], [0, 2 / 3, 1 / 3]], atol=1e-9)


# When it is written.


class Shelf:
    """Arrays in memory."""

    def __init__(self) -> None:
        self.stored: dict[tuple[int, str], dict[str, np.ndarray]] = {}
        self.log: list[str] = []

    def has_arrays(self, trial: int, name: str) -> bool:
        return (trial, name) in self.stored

    def keep_arrays(self, trial: int, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        assert (trial, name) not in self.stored, "kept twice"
        self.log.append(name)
        self.stored[trial, name] = dict(arrays)


def result(strategy: str, chosen: torch.Tensor) -> Result:
    return Result(trial=2, strategy=strategy, seed=0, selected=chosen.tolist())


def test_nothing_is_drawn_before_f_is_there_unless_it_may_be_trained(problem: Problem) -> None:
    shelf, memo, events = Shelf(), MemoryMemo(), list[Event]()
    config = tiny_config(classifier={"max_epochs": 1})
    ensemble = Ensemble(problem, config.classifier, seed=0, memo=memo)
    chosen = {"random": result("random", problem.unlabeled[:6])}

    def draw(emit: Any) -> None:
        pictures.draw(shelf, 2, chosen, ensemble=ensemble, weights=WEIGHTS, emit=emit)

    draw(None)
    assert (shelf.stored, memo.results) == ({}, {})
    draw(events.append)  # the end of the choices: f is trained, and told
    assert shelf.log == ["atlas", "random/served"]
    assert [e.stage for e in events if isinstance(e, StageStarted)] == ["classifier"]
    assert [e.cached for e in events if isinstance(e, ClassifierTrained)] == [False]
    assert len(memo.results) == 1
    del events[:], memo.lookups[:]
    draw(events.append)
    assert (events, memo.lookups) == ([], [])  # nothing is missing: nothing is asked
    chosen["margin"] = result("margin", problem.unlabeled[9:12])
    draw(None)
    assert shelf.log == ["atlas", "random/served", "margin/served"]
    assert shelf.stored[2, "margin/served"]["chosen"].tolist() == problem.unlabeled[9:12].tolist()
    atlas = shelf.stored.pop((2, "atlas"))
    draw(events.append)
    assert events == []  # f was found
    for name, array in atlas.items():
        assert array.tobytes() == shelf.stored[2, "atlas"][name].tobytes()
    assert "neighbours" not in atlas
    pictures.draw(shelf, 0, {}, ensemble=ensemble, weights=WEIGHTS, emit=None)
    assert "neighbours" in shelf.stored[0, "atlas"]
    assert len(memo.results) == 1
