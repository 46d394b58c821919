"""The gate keeps a clean pool whole, finds foreign images, and is not fooled by classes that are rarer in the pool."""

import numpy as np
import pytest

from rambo.method import gate

SETTINGS = {"axes": 6, "folds": 2, "alpha": 0.2, "seed": 0}


def clouds(rng: np.random.Generator, counts: list[int], dimensions: int = 8) -> np.ndarray:
    """Return points of several classes: class c lies 4 along axis c."""
    parts = []
    for place, count in enumerate(counts):
        points = rng.normal(size=(count, dimensions))
        points[:, place] += 4
        parts.append(points)
    return np.concatenate(parts).astype(np.float32)


@pytest.fixture(params=["classifier", "transport"])
def by(request: pytest.FixtureRequest) -> gate.Basis:
    return request.param


def test_a_clean_pool_is_kept_whole(by: gate.Basis) -> None:
    rng = np.random.default_rng(1)
    outcome = gate.look(clouds(rng, [100, 100]), clouds(rng, [300, 300]), by, **SETTINGS)
    assert int(outcome.excluded.sum()) <= 3
    assert outcome.foreign_share < 0.1


def test_foreign_images_are_left_out_and_counted(by: gate.Basis) -> None:
    rng = np.random.default_rng(2)
    pool = clouds(rng, [180, 180, 0, 240])  # the fourth class is not among those known to belong
    outcome = gate.look(clouds(rng, [100, 100]), pool, by, **SETTINGS)
    foreign = np.arange(600) >= 360
    assert outcome.excluded.numpy()[foreign].mean() > 0.9
    assert outcome.excluded.numpy()[~foreign].mean() < 0.15
    assert 0.3 < outcome.foreign_share < 0.45


def test_a_pool_with_rarer_classes_is_kept(by: gate.Basis) -> None:
    rng = np.random.default_rng(3)
    outcome = gate.look(clouds(rng, [100, 100]), clouds(rng, [500, 50]), by, **SETTINGS)
    assert outcome.excluded.float().mean() < 0.02
    assert outcome.foreign_share < 0.02


def test_same_seed_same_decision(by: gate.Basis) -> None:
    rng = np.random.default_rng(4)
    own, pool = clouds(rng, [50, 50]), clouds(rng, [100, 60, 60])
    first, second = (gate.look(own, pool, by, **SETTINGS) for _ in range(2))
    assert first.likeness.tolist() == second.likeness.tolist()


def test_the_step_up_test_rejects_up_to_the_last_value_that_passes() -> None:
    # 0.03 > 0.1 * 1/4 fails by itself, and is taken along by 0.05 <= 0.1 * 2/4
    assert gate._step_up(np.array([0.05, 0.03, 0.9, 0.5]), 0.1).tolist() == [
        True,
        True,
        False,
        False,
    ]
    assert not gate._step_up(np.array([0.05, 0.2]), 0.02).any()


def test_likeness_is_the_share_of_belonging_images_that_look_no_better() -> None:
    rng = np.random.default_rng(5)
    outcome = gate.look(clouds(rng, [40, 40]), clouds(rng, [90, 90]), "classifier", **SETTINGS)
    assert 1 / 81 <= float(outcome.likeness.min()) <= float(outcome.likeness.max()) <= 1
    assert float(outcome.likeness.median()) == pytest.approx(0.5, abs=0.15)
