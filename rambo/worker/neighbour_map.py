"""Places in the plane in which neighbours stay neighbours, for the page's map: t-SNE, from scikit-learn alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]

PLACED = 2000  # images that t-SNE places; the others follow their neighbours
_FEWEST = 50
_AXES, _PERPLEXITY, _ITERATIONS, _FOLLOWED = 30, 30.0, 500, 3


def neighbour_map(embeddings: NDArray[Any], start: NDArray[Any]) -> Points | None:
    """Return places `n x 2` with joint deviation 1, or None where there are too few images, or all are alike.

    Source: van der Maaten 2014 (Barnes-Hut t-SNE). Choice: on the first 30 principal components; from 2,000 images on
    evenly spaced ones are placed, and every other one goes to the mean of its three nearest among them, the nearer the
    heavier: seconds, however large the pool. No random start, and the worker has one thread: the same answer each time.

    Args:
        embeddings: `n x e`.
        start: `n x 2` where t-SNE begins, as `pictures.principal_map` gives it.
    """
    from sklearn.manifold import TSNE

    if len(embeddings) < _FEWEST or not np.square(start).sum():
        return None
    reduced = _principal(embeddings.astype(np.float64))
    placed = np.arange(len(reduced))
    if len(reduced) > PLACED:
        placed = np.linspace(0, len(reduced) - 1, PLACED).round().astype(np.int64)
    fit = TSNE(
        perplexity=min(_PERPLEXITY, (len(placed) - 1) / 4),
        init=(1e-4 * start[placed]).astype(np.float32),
        max_iter=_ITERATIONS,
        random_state=0,
        n_jobs=1,
    )
    points = fit.fit_transform(reduced[placed].astype(np.float32))
    if len(placed) < len(reduced):
        points = _follow(reduced, placed, points)
    points = points - points.mean(0)
    deviation = float(np.sqrt(np.square(points).mean()))
    if not np.isfinite(deviation) or not deviation:
        return None
    scaled: Points = (points / deviation).astype(np.float32)
    return scaled


def _principal(embeddings: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the first principal components, `n x 30` at most."""
    centered = embeddings - embeddings.mean(0)
    _, vectors = np.linalg.eigh(centered.T @ centered)
    reduced: NDArray[np.float64] = centered @ vectors[:, ::-1][:, :_AXES]
    return reduced


def _follow(
    reduced: NDArray[np.float64], placed: NDArray[np.int64], points: NDArray[Any]
) -> NDArray[Any]:
    """Return the places of all images: those that are known, and of every other the mean of its neighbours'."""
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=_FOLLOWED, n_jobs=1).fit(reduced[placed])
    others = np.setdiff1d(np.arange(len(reduced)), placed)
    distances, nearest = search.kneighbors(reduced[others])
    weights = 1 / np.maximum(distances, 1e-12)
    weights /= weights.sum(1, keepdims=True)
    everywhere = np.empty((len(reduced), 2), points.dtype)
    everywhere[placed] = points
    everywhere[others] = (weights[:, :, None] * points[nearest]).sum(1)
    return everywhere
