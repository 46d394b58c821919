"""Optimal transport between a labeled subset and the validation set, under the OTDD ground cost.

All utility samples are subsets of one pool against one validation set, so the cost matrix is computed once and the
OT of a subset is exact OT on its rows.
"""

import dataclasses
import functools
import hashlib

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rambo.errors import DataError

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class GroundCost:
    """Cost of moving each image of a pool to each validation image.

    Attributes:
        pool: `k` sorted dataset indices.
        matrix: `k x v` float64.
        exact: whether OT under this cost is solved exactly, or for all subsets at once by a shared kernel.
    """

    pool: NDArray[np.int64]
    matrix: Array
    exact: bool = True

    @functools.cached_property
    def digest(self) -> str:
        """Content hash of the matrix and the pool."""
        sha = hashlib.sha256(self.pool.tobytes())
        sha.update(np.ascontiguousarray(self.matrix).tobytes())
        return sha.hexdigest()

    def rows(self, subset: Tensor) -> Array:
        """Return the rows of `subset`, `a x v`."""
        rows: Array = self.matrix[np.searchsorted(self.pool, subset.numpy())]
        return rows


def exact_transport(cost: Array) -> float:
    """Return the exact OT cost between uniform weights on the rows and on the columns of `cost`.

    Source: Definition 3. The value is squared, as is the ground cost (p = 2).

    Args:
        cost: `a x v` float64.

    Raises:
        DataError: the cost is empty or not finite, or the solver did not reach the optimum.
    """
    import ot  # half a second to import: only where OT is solved

    if cost.size == 0 or not np.isfinite(cost).all():
        raise DataError(
            "is empty or not finite",
            field="the OT cost matrix",
            hint="check images and features",
        )
    rows, columns = cost.shape
    uniform = np.full(rows, 1 / rows), np.full(columns, 1 / columns)
    value, log = ot.emd2(*uniform, cost, numItermax=10_000_000, log=True)
    if log["warning"]:
        raise DataError(
            f"stopped early: {log['warning']}", field="exact OT", hint="check images and features"
        )
    return max(float(value), 0.0)


def gaussian_label_distances(
    pool: tuple[Array, NDArray[np.int64]],
    validation: tuple[Array, NDArray[np.int64]],
    num_classes: int,
) -> Array:
    """Return squared Wasserstein distances between class Gaussians of two labeled sets, `c x c`.

    Source: OTDD (Alvarez-Melis and Fusi 2020), Gaussian approximation. Choice: class statistics belong to the whole
    pool, not to each subset, where two images a class say nothing of a covariance; covariances are shrunk after
    Ledoit and Wolf; a class with one image is a point; a class that is absent keeps distance 0 and is never read.

    Args:
        pool: features `k x d` and labels `k` in [0, c).
        validation: features `v x d` and labels `v`.
        num_classes: c.
    """
    from sklearn.covariance import ledoit_wolf

    def gaussian(side: tuple[Array, NDArray[np.int64]], label: int) -> tuple[Array, Array] | None:
        members = side[0][side[1] == label]
        if len(members) == 0:
            return None
        width = members.shape[1]
        covariance = ledoit_wolf(members)[0] if len(members) > 1 else np.zeros((width, width))
        return members.mean(0), covariance

    pool_gaussians = [gaussian(pool, label) for label in range(num_classes)]
    validation_gaussians = [gaussian(validation, label) for label in range(num_classes)]
    distances = np.zeros((num_classes, num_classes))
    for i, a in enumerate(pool_gaussians):
        for j, b in enumerate(validation_gaussians):
            if a is not None and b is not None:
                distances[i, j] = squared_bures_wasserstein(*a, *b)
    return distances


def squared_bures_wasserstein(mean_a: Array, cov_a: Array, mean_b: Array, cov_b: Array) -> float:
    """Return the squared Wasserstein distance between two Gaussians of dimension `d`.

    Choice: roots by eigenvalues cut off at 0, because POT's closed form gives NaN for singular covariances, which
    classes with few images have.
    """
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    crossed = np.sqrt(np.linalg.eigvalsh(root @ cov_b @ root).clip(0)).sum()
    squared = ((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * crossed
    return max(float(squared), 0.0)


def ground_cost(
    pool: NDArray[np.int64],
    features: tuple[Array, Array],
    labels: tuple[NDArray[np.int64], NDArray[np.int64]],
    *,
    num_classes: int,
    feature_weight: float = 1.0,
    label_weight: float = 1.0,
    label_dimensions: int = 50,
    exact: bool = True,
) -> GroundCost:
    """Return the OTDD cost: squared feature distance plus squared label distance.

    Source: Definition 3 with OTDD, p = 2. Choice: both weights 1; label distances after a PCA of both sides.

    Args:
        pool: `k` sorted dataset indices.
        features: `k x d` of the pool and `v x d` of the validation set.
        labels: `k` and `v` class ids.
        num_classes: c.
        feature_weight: lambda_x of OTDD.
        label_weight: lambda_y of OTDD.
        label_dimensions: PCA dimensions before the class Gaussians.
        exact: how OT is to be solved under it; see `GroundCost`.
    """
    from scipy.spatial.distance import cdist
    from sklearn.decomposition import PCA

    cost = feature_weight * cdist(features[0], features[1], "sqeuclidean")
    if label_weight > 0:
        both = np.concatenate(features)
        size = min(label_dimensions, *both.shape)
        with np.errstate(invalid="ignore"):  # PCA divides by the variance, 0 of constant images
            reduced = PCA(size, svd_solver="full").fit_transform(both)
        split = len(features[0])
        table = gaussian_label_distances(
            (reduced[:split], labels[0]), (reduced[split:], labels[1]), num_classes
        )
        cost += label_weight * table[labels[0]][:, labels[1]]
    return GroundCost(pool, cost, exact)
