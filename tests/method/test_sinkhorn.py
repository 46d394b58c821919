"""OT of many subsets at once: its bounds against exact OT, its values, and subsets that do not know their company."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr

from rambo.errors import DataError
from rambo.method import transport
from rambo.method.sinkhorn import BLOCK, SharedTransport, shared_kernel_transport
from rambo.method.transport import exact_transport

ROOT = Path(__file__).resolve().parents[2]
Array = NDArray[np.float64]
Members = NDArray[np.bool_]
NEVER = float("inf")


def random_subsets(seed: int, k: int, count: int, least: int = 1) -> Members:
    """Return `count x k` subsets of all sizes from `least` to k, both among them."""
    rng = np.random.default_rng(seed)
    sizes = np.linspace(least, k, count).round().astype(int)
    return np.stack([np.isin(np.arange(k), rng.permutation(k)[:size]) for size in sizes])


def points_cost(seed: int, k: int, v: int, width: int = 8) -> Array:
    """Return squared distances of two clouds of clusters."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(5, width)) * 2
    pool, validation = (
        centers[rng.integers(0, 5, count)] + rng.normal(size=(count, width)) for count in (k, v)
    )
    return cdist(pool, validation, "sqeuclidean")


def otdd_cost(k: int, v: int, apart: float = 3.0) -> Array:
    """Return the ground cost of RAMBO for ten classes `apart`, label distances of the same size as the features'."""
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 10, k + v)
    features = rng.normal(size=(k + v, 30)) + apart * rng.normal(size=(10, 30))[labels]
    split = (features[:k], features[k:]), (labels[:k], labels[k:])
    return transport.ground_cost(np.arange(k), *split, num_classes=10).matrix


def solved(cost: Array, members: Members) -> Array:
    return np.array([exact_transport(cost[subset]) for subset in members])


def assert_brackets(ot: SharedTransport, exact: Array) -> None:
    """Both bounds hold; the tolerance is that of the exact solver."""
    near = 1e-9 * exact.max()
    assert np.isfinite([ot.values, ot.lower, ot.upper]).all()
    assert (ot.lower <= exact + near).all()
    assert (exact <= ot.upper + near).all()
    assert ((ot.lower <= ot.values) & (ot.values <= ot.upper)).all()
    assert (ot.lower >= 0).all()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("k", "v"), [(40, 90), (90, 40), (64, 64)])
def test_exact_ot_lies_between_the_bounds(seed: int, k: int, v: int) -> None:
    cost, members = points_cost(seed, k, v), random_subsets(seed, k, 32)
    exact = solved(cost, members)
    loose = shared_kernel_transport(cost, members, widest=NEVER)
    assert_brackets(loose, exact)
    assert not loose.exact.any()
    width = (loose.upper - loose.lower) / exact
    assert width.mean() <= 0.06, "no relaxation drove scalings out of their range"
    ot = shared_kernel_transport(cost, members)
    assert_brackets(ot, exact)
    large = members.sum(1) >= k // 4
    assert ot.exact[large].mean() <= 0.2
    np.testing.assert_allclose(ot.values, exact, rtol=0.02)


@pytest.mark.parametrize("apart", [0.0, 1.0, 3.0])
def test_values_are_close_to_exact_ot_under_the_otdd_cost(apart: float) -> None:
    cost, members = otdd_cost(120, 300, apart), random_subsets(1, 120, 48, least=20)
    exact = solved(cost, members)
    assert_brackets(shared_kernel_transport(cost, members, widest=NEVER), exact)
    ot = shared_kernel_transport(cost, members)
    assert_brackets(ot, exact)
    assert ot.exact.mean() <= 0.25  # those with few images of ten classes that lie far apart
    assert abs((ot.values / exact).mean() - 1) <= 0.005
    assert np.abs(ot.values / exact - 1).max() <= 0.02
    assert spearmanr(ot.values, exact).statistic >= 0.999
    assert ((ot.upper - ot.lower) / exact).mean() <= 0.05


def duplicates() -> Array:
    points = np.random.default_rng(3).normal(size=(30, 4))
    return cdist(points, np.concatenate([points, points]), "sqeuclidean")


def outlier() -> Array:
    cost = points_cost(1, 30, 50)
    cost[4] += 1e6
    return cost


def labels_far_apart() -> Array:
    """Classes so far apart that the kernel of a subset without one of them is all zeros in float32."""
    rng = np.random.default_rng(5)
    pool, validation = rng.integers(0, 4, 30), rng.integers(0, 4, 50)
    return points_cost(2, 30, 50) + 5000 * (pool[:, None] != validation)


def no_structure() -> Array:
    return np.random.default_rng(8).lognormal(0, 3, (30, 50))


HARD = {
    "duplicates": duplicates(),
    "constant": np.full((30, 20), 2.5),
    "nothing": np.zeros((30, 20)),
    "one column": points_cost(0, 30, 1),
    "outlier": outlier(),
    "labels far apart": labels_far_apart(),
    "no structure": no_structure(),
    "tiny": points_cost(0, 30, 50) * 1e-6,
    "huge": points_cost(0, 30, 50) * 1e6,
    "mostly nothing": np.where(np.random.default_rng(9).random((30, 50)) < 0.9, 0, 7.0),
}


@pytest.mark.parametrize("widest", [NEVER, 0.1])
@pytest.mark.parametrize("cost", HARD.values(), ids=HARD)
def test_the_bounds_hold_in_hard_cases(cost: Array, widest: float) -> None:
    members = np.concatenate([np.eye(30, dtype=bool)[:10], random_subsets(0, 30, 30)])
    ot = shared_kernel_transport(cost, members, widest=widest)
    exact = solved(cost, members)
    assert_brackets(ot, exact)
    np.testing.assert_array_equal(ot.values[ot.exact], exact[ot.exact])
    if widest < NEVER:
        wide = ot.upper - ot.lower > widest * ot.values
        assert not wide.any()


def test_a_bracket_that_is_too_wide_is_solved_exactly() -> None:
    cost, members = points_cost(0, 40, 60), random_subsets(0, 40, 20)
    loose = shared_kernel_transport(cost, members, widest=NEVER)
    width = (loose.upper - loose.lower) / loose.values
    limit = float(np.median(width))
    ot = shared_kernel_transport(cost, members, widest=limit)
    np.testing.assert_array_equal(ot.exact, width > limit)
    assert 0 < ot.exact.sum() < 20
    exact = solved(cost, members)
    for name in ("values", "lower", "upper"):
        np.testing.assert_array_equal(getattr(ot, name)[ot.exact], exact[ot.exact])
        rest = getattr(ot, name)[~ot.exact]
        np.testing.assert_array_equal(rest, getattr(loose, name)[~ot.exact])


def test_scaling_the_cost_scales_everything() -> None:
    cost, members = points_cost(4, 50, 70), random_subsets(4, 50, 20)
    plain, scaled = (
        shared_kernel_transport(factor * cost, members, widest=NEVER) for factor in (1, 1024)
    )
    for name in ("values", "lower", "upper"):
        np.testing.assert_array_equal(1024 * getattr(plain, name), getattr(scaled, name))


@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
@pytest.mark.parametrize(("k", "v"), [(40, 61), (200, 100), (131, 257), (7, 1000)])
def test_a_subset_does_not_know_its_company(k: int, v: int, make: object) -> None:
    """Bit by bit, alone, in any order, at any place and in any block."""
    assert callable(make)
    cost = make(points_cost(k, k, v))
    members = random_subsets(k, k, BLOCK + 7)
    together = shared_kernel_transport(cost, members, widest=NEVER)
    order = np.random.default_rng(0).permutation(len(members))

    def check(chosen: NDArray[np.int64]) -> None:
        ot = shared_kernel_transport(cost, members[chosen], widest=NEVER)
        for name in ("values", "lower", "upper"):
            np.testing.assert_array_equal(getattr(ot, name), getattr(together, name)[chosen])

    check(order)
    check(order[:33])
    check(order[5:6])
    check(np.repeat(order[:3], 30))


def test_numpy_and_torch_agree() -> None:
    cost, members = otdd_cost(80, 200), random_subsets(2, 80, 40)
    array = shared_kernel_transport(cost, members, widest=NEVER)
    tensor = shared_kernel_transport(
        torch.from_numpy(cost), torch.from_numpy(members), widest=NEVER
    )
    for name in ("values", "lower", "upper"):
        np.testing.assert_allclose(getattr(tensor, name), getattr(array, name), rtol=1e-4)
    solved_too = shared_kernel_transport(torch.from_numpy(cost), members[:3], widest=0.0)
    np.testing.assert_array_equal(solved_too.values, solved(cost, members[:3]))


def test_what_is_given_is_left_as_it_is() -> None:
    cost, members = points_cost(0, 30, 40), random_subsets(0, 30, 9)
    before = cost.copy(), members.copy()
    shared_kernel_transport(cost, members)
    np.testing.assert_array_equal(cost, before[0])
    np.testing.assert_array_equal(members, before[1])


def test_no_subsets_give_no_values() -> None:
    ot = shared_kernel_transport(points_cost(0, 30, 40), np.zeros((0, 30), bool))
    assert [len(part) for part in (ot.values, ot.lower, ot.upper, ot.exact)] == [0] * 4


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1.0])
@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_a_cost_that_cannot_be_one_is_refused(bad: float, make: object) -> None:
    assert callable(make)
    cost = np.ones((3, 4))
    cost[1, 2] = bad
    with pytest.raises(DataError, match="not finite"):
        shared_kernel_transport(make(cost), np.ones((2, 3), bool))


@pytest.mark.parametrize(
    ("cost", "members", "words"),
    [
        (np.zeros((0, 4)), np.ones((1, 0), bool), "empty"),
        (np.ones((3, 0)), np.ones((1, 3), bool), "empty"),
        (np.ones((3, 4)), np.array([[True, False, False], [False] * 3]), "subset 1 is empty"),
        (np.ones((3, 4)), np.ones((2, 4), bool), "a pool of 3 images"),
        (np.ones((3, 4)), np.ones(3, bool), "a pool of 3 images"),
    ],
)
def test_what_does_not_fit_is_refused(cost: Array, members: Members, words: str) -> None:
    with pytest.raises(DataError, match=words):
        shared_kernel_transport(cost, members)


def test_arrays_need_no_torch() -> None:
    """The web process draws a preview with it."""
    code = (
        "import sys, numpy as np\n"
        "from rambo.method.sinkhorn import shared_kernel_transport\n"
        "cost = np.random.default_rng(0).random((20, 30))\n"
        "shared_kernel_transport(cost, np.ones((2, 20), bool), widest=float('inf'))\n"
        "print(*sorted({'torch', 'ot'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
