"""The gate: which unlabeled images look like what S_val judges, decided before any label is bought.

A classifier is asked to tell S_0 and S_val from the pool. Where the pool holds nothing else it cannot; images of
another kind it tells easily. How many are left out is found by a test, never typed: a clean pool is kept whole.
"""

import dataclasses
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Points = NDArray[np.float32]
Values = NDArray[np.float64]
Basis = Literal["classifier", "transport"]

# pool images a fold's classifier learns from, at most; all others are only asked about
_TRAINED = 10_000
_NEIGHBOURS = 5
# of boosting: enough to tell digits from clothes, and half the time of the default
_ROUNDS, _LEAVES = 60, 15
_TARGETS = 2_000  # images of a pool that are moved at once
_SMOOTHING = 0.3  # entropy of the plan, in units of the typical distance between neighbours
_PRICE = 1.0  # what leaving an image unmoved costs, in the same units


@dataclasses.dataclass(frozen=True, eq=False)
class Gate:
    """What the gate decided on a pool.

    Attributes:
        likeness: `m`, share of the images known to belong that look no more like S_val than this one, in (0, 1].
        excluded: `m` bool.
        foreign_share: estimated share of the pool that does not belong, a lower bound of it.
    """

    likeness: Tensor
    excluded: Tensor
    foreign_share: float


def look(
    belonging: Points, pool: Points, by: Basis, *, axes: int, folds: int, alpha: float, seed: int
) -> Gate:
    """Return which images of a pool to leave out.

    Source: learning from positive and unlabeled examples with held-out scores, and the step-up test of Benjamini and
    Hochberg on them (Marandon, Lei, Mary and Roquain 2024, AdaDetect). Of the images left out, `alpha` belong on
    average at most; a pool without foreign images loses one with a chance of `alpha` only.

    Args:
        belonging: `n x d` descriptors of S_0 and S_val.
        pool: `m x d` descriptors of U_0.
        by: a boosted classifier of both, or the mass that unbalanced OT moves from each image to S_0 and S_val.
        axes: principal axes the images are described by, at most.
        folds: parts of the data; an image is scored by a classifier that has not seen it.
        alpha: accepted share of wrong exclusions.
        seed: decides the folds.
    """
    # Images of S_0 and S_val are scored just like those of the pool, held out: their scores show what an image that
    # belongs looks like to a judge that has not seen it. That makes `likeness` a conformal p-value.
    positives, others = _project(belonging, pool, axes, seed)
    score = _by_classifier if by == "classifier" else _by_transport
    inside, outside = score(positives, others, folds, seed)
    order = np.sort(inside)
    # With the 1s no p-value is 0: with few images that belong nothing can look surely foreign.
    likeness = (1 + np.searchsorted(order, outside, side="right")) / (1 + len(order))
    out = _step_up(likeness, alpha)
    return Gate(torch.from_numpy(likeness), torch.from_numpy(out), _share(likeness, out))


def _step_up(values: Values, alpha: float) -> NDArray[np.bool_]:
    """Return which p-values the step-up test of Benjamini and Hochberg rejects."""
    # The largest p-value below the line counts, and takes all smaller ones with it, even those above the line.
    order = np.sort(values)
    passing = np.flatnonzero(order <= alpha * np.arange(1, len(order) + 1) / len(order))
    limit = order[passing[-1]] if len(passing) else -1.0
    rejected: NDArray[np.bool_] = values <= limit
    return rejected


def _share(likeness: Values, out: NDArray[np.bool_]) -> float:
    """Return the share of the pool that is left out beyond what would be of a clean one.

    Choice: measured at the cut. The largest excess of the pool's lower tail anywhere, the usual estimate, takes a
    pool with rarer classes for one with 17 % foreign images (FashionMNIST, 3 classes at a tenth of their number).
    """
    # Of images that belong, a share `expected` lies below the cut as well: it is no evidence of foreign ones.
    if not out.any():
        return 0.0
    expected = float(likeness[out].max())
    return max(0.0, (float(out.mean()) - expected) / (1 - expected))


def _project(belonging: Points, pool: Points, axes: int, seed: int) -> tuple[Points, Points]:
    """Return both on their common principal axes."""
    from sklearn.decomposition import PCA  # a second to import: only where there is a gate

    # Axes of both together: foreign images may differ in directions along which S_0 does not vary at all.
    both = np.concatenate([belonging, pool])
    axes = min(axes, *both.shape)
    with np.errstate(invalid="ignore"):  # PCA divides by the variance, 0 of constant images
        values = PCA(axes, svd_solver="randomized", random_state=seed).fit_transform(both)
    return values[: len(belonging)], values[len(belonging) :]


def _by_classifier(belonging: Points, pool: Points, folds: int, seed: int) -> tuple[Values, Values]:
    """Return how sure a boosted classifier is that an image belongs; it has not seen that image."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    rng = np.random.default_rng(seed)
    points = np.concatenate([belonging, pool])
    # Trees cut along axes and see closeness badly, so it is given to them as a column of its own.
    points = np.column_stack([points, _distance(belonging, points)])
    truth = np.arange(len(points)) < len(belonging)
    fold = np.concatenate([_deal(len(part), folds, rng) for part in (belonging, pool)])
    # A mask over all images: every one that belongs, and a sample of the pool.
    training = truth.copy()
    some = rng.permutation(len(pool))[:_TRAINED]
    training[len(belonging) + some] = True
    scores = np.zeros(len(points))
    for part in range(folds):
        mine = fold == part
        # Balanced, because the pool is far larger and "from the pool" would else nearly always be right.
        model = HistGradientBoostingClassifier(
            max_iter=_ROUNDS, max_leaf_nodes=_LEAVES, class_weight="balanced", random_state=seed
        )
        model.fit(points[training & ~mine], truth[training & ~mine])
        scores[mine] = model.decision_function(points[mine])
    return scores[truth], scores[~truth]


def _distance(belonging: Points, points: Points) -> Values:
    """Return the mean distance to the 5 nearest images known to belong, an image itself not counted.

    `points` begins with those known to belong.
    """
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=min(_NEIGHBOURS + 1, len(belonging))).fit(belonging)
    apart = search.kneighbors(points)[0]
    # An image that belongs finds itself first, at distance 0; one of the pool does not.
    own, others = apart[: len(belonging), 1:], apart[len(belonging) :, :-1]
    mean: Values = np.concatenate([own.mean(1), others.mean(1)])
    return mean


def _deal(count: int, folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the fold of each of `count` images; folds differ by one image at most."""
    return rng.permutation(np.arange(count) % folds)


def _by_transport(belonging: Points, pool: Points, folds: int, seed: int) -> tuple[Values, Values]:
    """Return the log of the mass that unbalanced OT moves from each image to those known to belong.

    In turn each half of those is the target, and the other half is moved along with the pool: what belongs shows
    what to expect.
    """
    import ot  # a second to import, as above

    rng = np.random.default_rng(seed)
    # Halves, because an image moved onto itself costs nothing and would look more at home than it is.
    half = _deal(len(belonging), 2, rng) == 0
    inside, outside = np.zeros(len(belonging)), np.zeros(len(pool))
    for target in (half, ~half):
        goal, rest = belonging[target], np.flatnonzero(~target)
        # The distance of neighbours is the unit, so that one price fits pixels and features alike.
        near = np.sort(ot.dist(goal, goal), 1)[:, 1]
        unit = float(np.median(near)) or 1.0
        # In parts, because a plan is as large as its two sides; the half that belongs is in each, and is averaged.
        for start in range(0, max(len(pool), 1), _TARGETS):
            part = slice(start, start + _TARGETS)
            sources = np.concatenate([belonging[rest], pool[part]])
            mass = _mass(ot.dist(sources, goal) / unit)
            inside[rest] += mass[: len(rest)] / -(-len(pool) // _TARGETS)
            outside[part] += mass[len(rest) :] / 2
    return inside, outside


def _mass(costs: Values) -> Values:
    """Return the log of the mass that the plan moves from each row, per unit of its own."""
    import ot

    # Unbalanced: what is far from everything stays where it is and pays the price; balanced OT would have to move it.
    weights = [np.full(size, 1 / size) for size in costs.shape]
    plan = ot.unbalanced.sinkhorn_unbalanced(
        *weights, costs, reg=_SMOOTHING, reg_m=(_PRICE, 3 * _PRICE), numItermax=200
    )
    mass: Values = np.log(np.asarray(plan).sum(1) * len(costs) + np.finfo(float).tiny)
    return mass
