"""What the pages draw of a trial, written by the worker: every image as f sees it, and whom each chosen image serves.

    trial-<t>/atlas                 pools, class probabilities and embeddings of f on S_0, and a map of them
    trial-<t>/<strategy>/served     for each chosen image the validation images it is matched with

Nothing here decides what is chosen: a run without these artifacts has the same results.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rambo.config import TransportConfig
from rambo.events import Emit
from rambo.method.pools import Problem
from rambo.method.transport import gaussian_label_distances
from rambo.runs import paths
from rambo.runs.atlas import LABELED, UNLABELED_POOL, VALIDATION_POOL
from rambo.runs.results import Result
from rambo.training.ensemble import Ensemble, Predictions
from rambo.worker.neighbour_map import neighbour_map

Arrays = dict[str, NDArray[Any]]
Matrix = NDArray[np.float64]

_SERVED = 5  # validation images kept for each chosen one
_EXACT_CELLS = (
    8_000_000  # of the largest cost matrix solved exactly; 7,500 x 1,000 take 5 s on one core
)
_CHUNK = 1000  # chosen images whose costs are held at once beyond that


class Shelf(Protocol):
    """Where the arrays of a trial are kept, by name."""

    def has_arrays(self, trial: int, name: str) -> bool:
        """Return whether arrays are kept under `name`."""

    def keep_arrays(self, trial: int, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep arrays, whole or not at all."""


def draw(
    shelf: Shelf,
    trial: int,
    results: Mapping[str, Result],
    *,
    ensemble: Ensemble,
    weights: TransportConfig,
    emit: Emit | None,
) -> None:
    """Keep the atlas of a trial, and whom each strategy's choice serves, where that is missing.

    Choice: no training is taken from a strategy's account: until `emit` is given, nothing is done unless f on S_0 is
    there already; with it, f is trained if no strategy needed it.

    Args:
        shelf: where the arrays go.
        trial: number of the trial, from 0.
        results: what is kept so far, by strategy.
        ensemble: of the trial.
        weights: of the OTDD ground cost.
        emit: hears of a training that nobody asked for before; None to wait for it.
    """
    names = [paths.ATLAS, *(f"{strategy}/{paths.SERVED}" for strategy in results)]
    if not len(ensemble.problem.validation):  # there is nothing to serve
        names = names[:1]
    missing = [name for name in names if not shelf.has_arrays(trial, name)]
    predictions = _find(ensemble) if missing else None
    if predictions is None and missing and emit is not None:
        predictions = ensemble.predict_pools(emit)
    if predictions is None:
        return
    for name in missing:
        if name == paths.ATLAS:
            arrays = atlas(ensemble.problem, predictions, by_neighbours=trial == 0)
        else:
            picked = torch.tensor(results[name.removesuffix(f"/{paths.SERVED}")].selected)
            arrays = served(ensemble.problem, predictions, picked, weights)
        shelf.keep_arrays(trial, name, arrays)


def atlas(problem: Problem, predictions: Predictions, *, by_neighbours: bool = True) -> Arrays:
    """Return what `runs.atlas.Atlas` holds; rows with a number that is not finite are left out, and counted.

    Args:
        problem: S_0, U_0 and S_val.
        predictions: of f on S_0.
        by_neighbours: whether to make the map by neighbours too. Choice: a run does in its first trial, the one that
            pages open; it takes seconds, and another trial's would say the same.
    """
    parts = {
        LABELED: problem.labeled,
        UNLABELED_POOL: problem.unlabeled,
        VALIDATION_POOL: problem.validation,
    }
    pool = torch.cat([torch.full((len(part),), code) for code, part in parts.items()])
    indices, order = torch.cat(list(parts.values())).sort()
    both = torch.cat([predictions.probabilities, predictions.embeddings], 1)[indices]
    finite = both.isfinite().all(1)
    indices, pool = indices[finite], pool[order][finite]
    embeddings = predictions.embeddings[indices].numpy()
    map_, explained = principal_map(embeddings)
    near = neighbour_map(embeddings, map_) if by_neighbours else None
    return ({} if near is None else {"neighbours": near}) | {
        "indices": indices.numpy(),
        "pool": pool.numpy().astype(np.uint8),
        "probabilities": predictions.probabilities[indices].numpy(),
        "embeddings": embeddings,
        "map": map_.astype(np.float32),
        "explained": explained.astype(np.float32),
        "lacking": (~finite).sum(0, keepdim=True).numpy(),
    }


def principal_map(embeddings: NDArray[Any]) -> tuple[Matrix, Matrix]:
    """Return the first two principal components, `n x 2`, and the share of the variance along each, `2`.

    Choice: one divisor for both axes, after which the coordinates have variance 1 together, so the picture keeps its
    shape; the largest weight of each axis is positive. Eigenvectors of the `e x e` covariance: no random start, and
    the same answer each time.

    Args:
        embeddings: `n x e`; `n` at least 1, `e` at least 2.
    """
    centered = embeddings - embeddings.mean(0, dtype=np.float64)
    values, vectors = np.linalg.eigh(centered.T @ centered / len(centered))
    values, axes = values[::-1].clip(0), vectors[:, :-3:-1]
    largest = np.abs(axes).argmax(0)
    points = centered @ (axes * np.where(axes[largest, [0, 1]] < 0, -1, 1))
    explained = values[:2] / max(values.sum(), np.finfo(float).tiny)
    deviation = np.sqrt(np.square(points).mean())
    return points / (deviation or 1.0), explained


def served(
    problem: Problem, predictions: Predictions, chosen: Tensor, weights: TransportConfig
) -> Arrays:
    """Return the validation images that each chosen image serves in the optimal transport from S_1 to S_val.

    Source: Definition 3 with the OTDD ground cost, as for utility samples. Choice: S_1 has uniform weights; chosen
    images carry f's guess, because this is drawn before their labels are bought; class Gaussians are those of S_0,
    as in u_hat's training. Above `_EXACT_CELLS` entries of the cost matrix, or where the solver does not finish, a
    chosen image serves the one validation image that costs least.

    Args:
        problem: S_0, S_val and the images.
        predictions: of f on S_0.
        chosen: `B` indices in the order of choice.
        weights: of the ground cost.

    Returns:
        `chosen` `B` int64; `validation` `B x 5` int64 dataset indices, -1 where fewer are served; `mass` `B x 5`
        float32 share of the image's own mass, descending; `exact` `1` uint8, 0 for the simpler answer.
    """
    guesses = predictions.probabilities[chosen].argmax(1)
    table = _label_table(problem, weights)
    plan = None
    if (len(problem.labeled) + len(chosen)) * len(problem.validation) <= _EXACT_CELLS:
        images = torch.cat([problem.labeled, chosen])
        classes = torch.cat([problem.labels[problem.labeled], guesses])
        plan = transport_plan(_costs(problem, images, classes, table, weights))
    if plan is not None:
        columns, mass = largest_shares(plan[len(problem.labeled) :])
    else:
        parts = zip(chosen.split(_CHUNK), guesses.split(_CHUNK), strict=True)
        closest = [_costs(problem, *part, table, weights).argmin(1) for part in parts]
        columns, mass = np.full((len(chosen), _SERVED), -1), np.zeros((len(chosen), _SERVED))
        columns[:, 0], mass[:, 0] = np.concatenate(closest), 1
    validation = problem.validation.numpy()
    return {
        "chosen": chosen.numpy(),
        "validation": np.where(columns >= 0, validation[columns], -1),
        "mass": mass.astype(np.float32),
        "exact": np.array([plan is not None], np.uint8),
    }


def transport_plan(cost: Matrix) -> Matrix | None:
    """Return the optimal plan between uniform weights, `a x v`, each row as shares of its own mass.

    Args:
        cost: `a x v` float64.

    Returns:
        None where the solver stopped before the optimum: a picture ends no run.
    """
    import ot  # half a second to import: only where OT is solved

    rows, columns = cost.shape
    uniform = np.full(rows, 1 / rows), np.full(columns, 1 / columns)
    plan, log = ot.emd(*uniform, cost, numItermax=10_000_000, log=True)
    return None if log["warning"] else (plan * rows).clip(0, 1)


def largest_shares(plan: Matrix) -> tuple[NDArray[np.int64], Matrix]:
    """Return the columns of the five largest entries of each row, -1 for entries of no mass, and the entries.

    Args:
        plan: `B x v` shares; what is below a millionth is rounding.
    """
    plan = np.pad(plan, ((0, 0), (0, max(_SERVED - plan.shape[1], 0))))
    columns = (-plan).argsort(axis=1, kind="stable")[:, :_SERVED]
    mass = np.take_along_axis(plan, columns, 1)
    there = mass > 1e-6
    return np.where(there, columns, -1), np.where(there, mass, 0)


def _find(ensemble: Ensemble) -> Predictions | None:
    """Return the predictions of f on S_0 where it was trained already."""
    unit = ensemble.fit_unit(ensemble.problem.labeled, "labeled", predict=True)
    outcome = ensemble.recall(unit)
    return None if outcome is None else ensemble.predictions(unit, outcome)


def _label_table(problem: Problem, weights: TransportConfig) -> Matrix:
    """Return weighted squared distances between the class Gaussians of S_0 and S_val, as `ground_cost` has them."""
    from sklearn.decomposition import PCA

    if weights.label_weight == 0:
        return np.zeros((problem.num_classes, problem.num_classes))
    pool = problem.labeled.sort().values
    both = np.concatenate([_describe(problem, pool), _describe(problem, problem.validation)])
    size = min(weights.label_dimensions, *both.shape)
    with np.errstate(invalid="ignore"):  # as in `ground_cost`
        reduced = PCA(size, svd_solver="full").fit_transform(both)
    pool_labels, right = problem.labels[pool].numpy(), problem.labels[problem.validation].numpy()
    sides = (reduced[: len(pool)], pool_labels), (reduced[len(pool) :], right)
    return weights.label_weight * gaussian_label_distances(*sides, problem.num_classes)


def _costs(
    problem: Problem, images: Tensor, classes: Tensor, table: Matrix, weights: TransportConfig
) -> Matrix:
    """Return the ground cost of `a` images with their classes against S_val, `a x v`."""
    from scipy.spatial.distance import cdist

    features = _describe(problem, images), _describe(problem, problem.validation)
    labels = problem.labels[problem.validation].numpy()
    moved: Matrix = weights.feature_weight * cdist(*features, "sqeuclidean")
    moved += table[classes.numpy()][:, labels]
    return moved


def _describe(problem: Problem, indices: Tensor) -> Matrix:
    """Return the descriptors the ground cost is measured in, `a x d`, as everywhere."""
    return problem.describe_images(indices).double().numpy()
