"""Exact OT and its ground cost against hand-solved cases, linear programming and POT, in float64."""

import warnings

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from scipy.optimize import linprog
from scipy.spatial.distance import cdist
from sklearn.covariance import ledoit_wolf

from rambo.errors import DataError
from rambo.method import transport
from rambo.method.transport import GroundCost, exact_transport, squared_bures_wasserstein

Array = NDArray[np.float64]
SEEDS = st.integers(0, 2**31)


def linear_program(cost: Array) -> float:
    """Return the OT cost between uniform weights as the linear program it is."""
    rows, columns = cost.shape
    leaving = np.kron(np.eye(rows), np.ones(columns))
    arriving = np.kron(np.ones(rows), np.eye(columns))
    solved = linprog(
        cost.ravel(),
        A_eq=np.vstack([leaving, arriving]),
        b_eq=np.concatenate([np.full(rows, 1 / rows), np.full(columns, 1 / columns)]),
        method="highs",
    )
    assert solved.success
    return float(solved.fun)


@pytest.mark.parametrize(
    ("cost", "value"),
    [
        ([[0, 1], [1, 0]], 0.0),
        ([[1, 3], [2, 1]], 1.0),  # straight (1 + 1) / 2, crossed (3 + 2) / 2
        ([[5, 1], [1, 4]], 1.0),  # crossed (1 + 1) / 2, straight (5 + 4) / 2
        ([[0, 1, 4], [4, 1, 0]], 1 / 3),  # each row a third for nothing, a sixth to the middle
        ([[7.5]], 7.5),
        ([[1, 2, 6]], 3.0),  # one image to all: the mean
        ([[1], [2], [6]], 3.0),
    ],
)
def test_exact_transport_of_cases_solved_by_hand(cost: list[list[float]], value: float) -> None:
    assert exact_transport(np.array(cost, dtype=float)) == pytest.approx(value, abs=1e-12)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(SEEDS, st.integers(1, 7), st.integers(1, 9))
def test_exact_transport_against_linear_programming(seed: int, rows: int, columns: int) -> None:
    cost = np.random.default_rng(seed).exponential(3.0, (rows, columns))
    assert exact_transport(cost) == pytest.approx(linear_program(cost), rel=1e-9)


@pytest.mark.parametrize(("rows", "columns"), [(30, 30), (20, 65), (64, 17)])
def test_exact_transport_against_pot(rows: int, columns: int) -> None:
    cost = np.random.default_rng(rows).random((rows, columns)) * 100
    expected = ot.emd2(ot.unif(rows), ot.unif(columns), cost)
    assert exact_transport(cost) == pytest.approx(expected, rel=1e-12)
    assert exact_transport(cost.T.copy()) == pytest.approx(expected, rel=1e-9)
    assert exact_transport(cost.T) == pytest.approx(expected, rel=1e-9)  # not contiguous


def test_identical_sets_cost_nothing_and_order_does_not_matter() -> None:
    points = np.random.default_rng(0).normal(size=(20, 4))
    cost = cdist(points, points, "sqeuclidean")
    assert exact_transport(cost) == 0.0
    order = np.random.default_rng(1).permutation(20)
    assert exact_transport(cost[order]) == pytest.approx(0.0, abs=1e-12)


def test_the_squared_distance_of_a_shifted_set_is_the_square_of_the_shift() -> None:
    points = np.random.default_rng(0).normal(size=(12, 3))
    shift = np.array([0.5, -1.0, 2.0])
    cost = cdist(points, points + shift, "sqeuclidean")
    assert exact_transport(cost) == pytest.approx(5.25, rel=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_cost_that_is_not_finite_is_refused(bad: float) -> None:
    cost = np.ones((3, 4))
    cost[1, 2] = bad
    with pytest.raises(DataError, match="empty or not finite"):
        exact_transport(cost)


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0)])
def test_an_empty_cost_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(DataError, match="empty or not finite"):
        exact_transport(np.zeros(shape))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(SEEDS, st.integers(1, 6))
def test_distance_of_gaussians_with_diagonal_covariances(seed: int, width: int) -> None:
    """Commuting covariances: |m - m'|^2 + sum (s - s')^2 over standard deviations."""
    rng = np.random.default_rng(seed)
    means, deviations = rng.normal(size=(2, width)), rng.exponential(1, (2, width))
    deviations[0, 0] = 0.0  # a flat direction
    turn = np.linalg.qr(rng.normal(size=(width, width)))[0]  # one basis turns both
    expected = ((means[0] - means[1]) ** 2).sum() + ((deviations[0] - deviations[1]) ** 2).sum()
    distance = squared_bures_wasserstein(
        turn @ means[0],
        turn @ np.diag(deviations[0] ** 2) @ turn.T,
        turn @ means[1],
        turn @ np.diag(deviations[1] ** 2) @ turn.T,
    )
    assert distance == pytest.approx(expected, rel=1e-6, abs=1e-6)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(SEEDS, st.integers(1, 6))
def test_distance_of_gaussians_against_pot(seed: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    means, factors = rng.normal(size=(2, width)), rng.normal(size=(2, width, width + 3))
    first, second = (factor @ factor.T + 0.1 * np.eye(width) for factor in factors)
    expected = ot.gaussian.bures_wasserstein_distance(means[0], means[1], first, second) ** 2
    distance = squared_bures_wasserstein(means[0], first, means[1], second)
    assert distance == pytest.approx(expected, rel=1e-8)
    swapped = squared_bures_wasserstein(means[1], second, means[0], first)
    assert swapped == pytest.approx(distance, rel=1e-8)
    assert squared_bures_wasserstein(means[0], first, means[0], first) == pytest.approx(0, abs=1e-9)


def test_distance_of_singular_gaussians() -> None:
    """A class with few images spans few directions; POT's closed form gives NaN there."""
    rng = np.random.default_rng(0)
    thin = rng.normal(size=(30, 3))
    wide = rng.normal(size=(30, 30))
    first, second = thin @ thin.T, wide @ wide.T
    mean = np.zeros(30)
    root = sqrtm(second)
    expected = np.trace(first) + np.trace(second) - 2 * np.trace(sqrtm(root @ first @ root).real)
    assert squared_bures_wasserstein(mean, first, mean, second) == pytest.approx(expected, rel=1e-6)
    assert squared_bures_wasserstein(mean, first, mean, first) == pytest.approx(0, abs=1e-6)
    nothing = np.zeros((30, 30))
    assert squared_bures_wasserstein(mean, nothing, mean + 1, first) == pytest.approx(
        30 + np.trace(first), rel=1e-12
    )
    assert squared_bures_wasserstein(mean, nothing, mean, nothing) == 0.0


def make_sides(
    seed: int, classes: int = 3, width: int = 4
) -> tuple[tuple[Array, NDArray[np.int64]], ...]:
    """Return features and labels of a pool of 17 and a validation set of 11, every class in both."""
    rng = np.random.default_rng(seed)
    sides = []
    for count in (17, 11):
        labels = rng.permutation(np.arange(count) % classes)
        sides.append((rng.normal(size=(count, width)) + labels[:, None], labels))
    return tuple(sides)


def label_distance(a: Array, b: Array) -> float:
    """Return the squared Wasserstein distance of two shrunk class Gaussians, by scipy's matrix root."""
    first, second = ledoit_wolf(a)[0], ledoit_wolf(b)[0]
    root = sqrtm(first)
    crossed = np.trace(sqrtm(root @ second @ root)).real
    gap = a.mean(0) - b.mean(0)
    return float(gap @ gap + np.trace(first) + np.trace(second) - 2 * crossed)


@pytest.mark.parametrize(("feature_weight", "label_weight"), [(1, 1), (0, 1), (2.5, 0), (0.5, 3)])
def test_ground_cost_entry_by_entry(feature_weight: float, label_weight: float) -> None:
    """Width 4 is below the PCA's 50 dimensions, and a turn of the space changes no distance."""
    (pool, pool_labels), (validation, validation_labels) = make_sides(3)
    indices = np.arange(17) * 2
    cost = transport.ground_cost(
        indices,
        (pool, validation),
        (pool_labels, validation_labels),
        num_classes=3,
        feature_weight=feature_weight,
        label_weight=label_weight,
    )
    assert cost.matrix.shape == (17, 11)
    assert cost.matrix.dtype == np.float64
    for i in range(17):
        for j in range(11):
            squared = sum((x - y) ** 2 for x, y in zip(pool[i], validation[j], strict=True))
            labels = label_distance(
                pool[pool_labels == pool_labels[i]],
                validation[validation_labels == validation_labels[j]],
            )
            expected = feature_weight * squared + label_weight * labels
            assert cost.matrix[i, j] == pytest.approx(expected, rel=1e-8)


def test_ground_cost_with_one_image_a_class_by_hand() -> None:
    """A class of one image is a point, so label distances are the feature distances again."""
    pool = np.array([[0.0, 0.0], [3.0, 4.0]])
    validation = np.array([[0.0, 1.0], [3.0, 4.0]])
    classes = np.array([0, 1])
    with warnings.catch_warnings(action="error"):  # nobody estimates a covariance of one image
        cost = transport.ground_cost(
            np.array([5, 8]), (pool, validation), (classes, classes), num_classes=4
        )
    expected = 2 * np.array([[1.0, 25.0], [18.0, 0.0]])
    np.testing.assert_allclose(cost.matrix, expected, atol=1e-9)


def test_classes_with_one_image_or_with_equal_images_are_finite() -> None:
    rng = np.random.default_rng(1)
    pool, validation = rng.normal(size=(7, 40)), rng.normal(size=(6, 40))
    pool[3:] = pool[3]  # class 2 is one image four times
    labels = np.array([0, 1, 1, 2, 2, 2, 2]), np.array([0, 0, 0, 2, 2, 2])  # class 1 is absent here
    cost = transport.ground_cost(
        np.arange(7), (pool, validation), labels, num_classes=5, label_dimensions=3
    )
    assert np.isfinite(cost.matrix).all()
    assert (cost.matrix >= cdist(pool, validation, "sqeuclidean") - 1e-9).all()
    assert np.isfinite(exact_transport(cost.matrix))


def test_label_dimensions_keep_the_directions_of_largest_variance() -> None:
    """One dimension kept: only the long axis tells the classes apart."""
    rng = np.random.default_rng(2)
    long_axis, short_axis = rng.normal(size=(30, 1)) * 100, rng.normal(size=(30, 1))
    features = np.hstack([short_axis, long_axis])
    pool, validation = features[:16], features[16:]
    labels = np.arange(16) % 2, np.arange(14) % 2
    both = {}
    for name, sides in {
        "plane": (pool, validation),
        "axis": (pool[:, 1:], validation[:, 1:]),
    }.items():
        both[name] = transport.ground_cost(
            np.arange(16), sides, labels, num_classes=2, feature_weight=0, label_dimensions=1
        ).matrix
    np.testing.assert_allclose(both["plane"], both["axis"], rtol=1e-3)
    assert both["axis"].max() > 1


@settings(max_examples=30, deadline=None, derandomize=True)
@given(SEEDS, st.data())
def test_the_rows_of_a_subset_are_its_own_cost_from_scratch(seed: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    pool = np.sort(rng.choice(1000, 9, replace=False))
    features, validation = rng.normal(size=(9, 3)), rng.normal(size=(5, 3))
    labels = np.zeros(9, np.int64), np.zeros(5, np.int64)
    whole = transport.ground_cost(
        pool, (features, validation), labels, num_classes=1, label_weight=0
    )
    places = data.draw(st.lists(st.integers(0, 8), min_size=1, unique=True))
    rows = whole.rows(torch.tensor(pool[places]))
    expected = ((features[places][:, None, :] - validation[None]) ** 2).sum(2)
    np.testing.assert_allclose(rows, expected, rtol=1e-9)
    assert exact_transport(rows) == pytest.approx(linear_program(expected), rel=1e-9)


def test_class_statistics_belong_to_the_whole_pool() -> None:
    """A subset with one image of a class still reads the distance of the whole class."""
    (pool, pool_labels), (validation, validation_labels) = make_sides(4)
    cost = transport.ground_cost(
        np.arange(17),
        (pool, validation),
        (pool_labels, validation_labels),
        num_classes=3,
        feature_weight=0,
    )
    rows = cost.rows(torch.tensor([2, 11]))
    for row, image in zip(rows, (2, 11), strict=True):
        same = np.flatnonzero(pool_labels == pool_labels[image])
        np.testing.assert_array_equal(np.tile(row, (len(same), 1)), cost.matrix[same])


def test_the_digest_changes_with_one_entry_and_with_the_pool() -> None:
    matrix = np.random.default_rng(0).random((4, 3))
    pool = np.array([1, 5, 6, 9])

    def digest(pool: NDArray[np.int64], matrix: Array) -> str:
        return GroundCost(pool, matrix).digest

    changed = matrix.copy()
    changed[2, 1] = np.nextafter(changed[2, 1], 2)
    base = digest(pool, matrix)
    assert digest(pool.copy(), np.asfortranarray(matrix)) == base
    others = {digest(pool, changed), digest(pool + 1, matrix), digest(pool, matrix[::-1])}
    assert len(others | {base}) == 4


def test_constant_images_cost_nothing_and_nobody_is_warned() -> None:
    labels = np.array([0, 0, 1, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        built = transport.ground_cost(
            np.arange(4), (np.ones((4, 6)), np.ones((4, 6))), (labels, labels), num_classes=2
        )
    np.testing.assert_array_equal(built.matrix, np.zeros((4, 4)))
