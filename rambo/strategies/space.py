"""The points that TypiClust, ProbCover and ActiveFT look at: these strategies know distances and nothing else."""

import warnings
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from rambo.config import Config
from rambo.errors import DataError
from rambo.method.pools import Problem
from rambo.training.ensemble import Predictions

_FEW = 50  # clusters; above, k-means runs on minibatches, as in TypiClust's code
_MINIBATCH = 5000  # of TypiClust's code
_AXES = 128  # of wider points: a tenth of the time, and nearly the same angles


def unit_vectors(
    problem: Problem, config: Config, predictions: Predictions, pool: Tensor
) -> tuple[Tensor, str]:
    """Return the images of `pool` as vectors of length 1, and what these are in words.

    Choice: the papers take self-supervised features, of which we have none. Frozen ImageNet features stand in for
    them where u_hat reads these too, else the embeddings of f trained on S_0; `rivals.space` overrules. Choice: of
    points wider than 128 the 128 strongest axes of the pool count.
    `checks.looks_at_features` says the same before a run.

    Args:
        problem: the images.
        config: names the space.
        predictions: of f trained on S_0.
        pool: `a` indices.

    Returns:
        `a x d` float32, d at most 128, and a name for people.

    Raises:
        DataError: the config asks for features that the problem does not carry.
    """
    space, features = config.rivals.space, problem.features
    if space == "features" and features is None:
        raise DataError(
            "this problem carries no frozen features",
            field="rivals.space",
            value="features",
            hint="have them computed first, or use auto or embedding",
        )
    if features is not None and (
        space == "features" or (space == "auto" and problem.reads_features)
    ):
        return F.normalize(strongest_axes(features[pool]), dim=1), "frozen features"
    return F.normalize(strongest_axes(predictions.embeddings[pool]), dim=1), "f's embeddings"


def strongest_axes(points: Tensor) -> Tensor:
    """Return points in the 128 axes along which they are longest; narrower ones as they are.

    Not centred, so that the angles between them stay.

    Args:
        points: `a x d`.
    """
    if points.shape[1] <= _AXES:
        return points
    moments = (points.T @ points).double()
    axes = torch.linalg.eigh(moments).eigenvectors[:, -_AXES:]  # eigenvalues rise
    return points @ axes.to(points.dtype)


def k_means(points: Tensor, count: int, seed: int) -> NDArray[Any]:
    """Return the k-means cluster of every point, from 0; a cluster may be empty.

    Choice: one k-means++ start, scikit-learn's default.

    Args:
        points: `a x d`.
        count: how many clusters, at most `a`.
        seed: any integer from 0.

    Returns:
        `a` int32.
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    options = {"n_clusters": count, "random_state": seed % 2**32}  # what scikit-learn can take
    search = (
        KMeans(**options) if count <= _FEW else MiniBatchKMeans(batch_size=_MINIBATCH, **options)
    )
    with warnings.catch_warnings():
        # Fewer distinct points than clusters: some stay empty, which is all it says.
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels: NDArray[Any] = search.fit_predict(points.numpy())
    return labels
