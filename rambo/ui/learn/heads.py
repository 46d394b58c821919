"""f of "Beat the machine": the logistic head on pixels, in numpy, as `rambo.training.heads` trains it."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from rambo.config import LogisticConfig

Array = NDArray[np.float64]

_SMALLEST = 1e-12
_RANK = 1e-10  # of the largest eigenvalue; below it there is no direction
SETTINGS = LogisticConfig()


@dataclasses.dataclass(frozen=True, eq=False)
class PixelHeads:
    """`s` trained heads: weights `s x d x c` and biases `s x c`."""

    weights: Array
    biases: Array

    def guesses(self, features: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the class each head sees in `a x d` features, `s x a`."""
        sets, width, classes = self.weights.shape
        together = self.weights.transpose(1, 0, 2).reshape(width, -1).astype(np.float32)
        logits = np.einsum("ad,dw->aw", features, together).reshape(-1, sets, classes) + self.biases
        guesses: NDArray[np.int64] = logits.argmax(2).T
        return guesses


def fit_heads(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    members: NDArray[np.bool_],
    *,
    num_classes: int,
    settings: LogisticConfig = SETTINGS,
) -> PixelHeads:
    """Return one logistic head a subset, by the same accelerated steps as the core, without torch.

    Args:
        features: `k x d` of all images that any subset has.
        labels: `k` class ids.
        members: `s x k`, one row a subset.
        num_classes: c.
        settings: weight of the squares and number of steps.
    """
    wide = features.astype(np.float64)
    center = wide.mean(0)
    spread = np.maximum(wide.std(0), 1e-6) * wide.shape[1] ** 0.5
    scaled = np.concatenate([(wide - center) / spread, np.ones((len(wide), 1))], 1)
    # The pool's own axes, from its small Gram matrix. Plain loops of numpy: threads of an algebra library wait for
    # each other on a machine that trains, a second where this takes some milliseconds.
    squares, vectors = np.linalg.eigh(np.einsum("id,jd->ij", scaled, scaled))
    large = squares > _RANK * squares.max()
    lengths, vectors = np.sqrt(squares[large]), vectors[:, large]
    axes = vectors * lengths
    step = 1 / np.maximum(0.5 * lengths**2 + settings.l2, _SMALLEST)
    sets, count = members.shape
    truth = np.eye(num_classes)[labels][:, None]  # k x 1 x c
    member = members.T[:, :, None].astype(np.float64)  # k x s x 1
    now = ahead = np.zeros((len(lengths), sets * num_classes))
    inertia = 1.0
    for _ in range(settings.iterations):
        logits = (axes @ ahead).reshape(count, sets, num_classes)
        shares = np.exp(logits - logits.max(2, keepdims=True))
        shares /= shares.sum(2, keepdims=True)
        residual = ((shares - truth) * member).reshape(count, -1)
        following = ahead - step[:, None] * (axes.T @ residual + settings.l2 * ahead)
        grown = (1 + (1 + 4 * inertia**2) ** 0.5) / 2
        ahead, now = following + (inertia - 1) / grown * (following - now), following
        inertia = grown
    whole = np.einsum("kd,kw->dw", scaled, (vectors / lengths) @ now)
    whole = whole.reshape(-1, sets, num_classes).transpose(1, 0, 2)
    weights = whole[:, :-1] / spread[:, None]
    return PixelHeads(weights, whole[:, -1] - (center[:, None] * weights).sum(1))
