"""Logistic heads on frozen features: the proxy for a classifier, many subsets trained as one matrix product.

A problem this small is convex: every head goes to the one optimum of its own subset, whichever others it is trained
beside. The subsets of one pool share its features, and with them a single decomposition.
"""

import dataclasses

import torch
from torch import Tensor

from rambo.storage import pulse

_SMALLEST = 1e-12
_WIDTH = 128  # Choice: axes of an embedding, as many as MnistNet has units


@dataclasses.dataclass(frozen=True, eq=False)
class Heads:
    """`s` trained heads.

    Attributes:
        weights: `s x d x c` float32.
        biases: `s x c` float32.
    """

    weights: Tensor
    biases: Tensor

    def logits(self, features: Tensor) -> Tensor:
        """Return what every head says of `a x d` features, `s x a x c`."""
        return features @ self.weights + self.biases[:, None]


def fit_heads(
    features: Tensor,
    labels: Tensor,
    members: Tensor,
    *,
    num_classes: int,
    l2: float,
    iterations: int,
) -> Heads:
    """Return one logistic head a subset: the sum of its cross-entropies plus `l2 / 2` times its squared weights.

    Source: Wang et al. 2023 take utilities from cheaper models. Choice: accelerated steps along the majoriser of
    Boehning 1992 for the whole pool (half its Gram matrix), which bounds the curvature of every subset; in the axes
    of the pool's singular vectors it is diagonal. Float64, so that the company of other heads rounds nothing visible.

    Args:
        features: `k x d` of the pool.
        labels: `k` class ids.
        members: `s x k` bool, one row a subset, none empty.
        num_classes: c.
        l2: of the weights, biases too (the last column of the features is 1 inside).
        iterations: full-batch steps.
    """
    center = features.double().mean(0)
    spread = _spread(features)
    scaled = (features.double() - center) / spread
    scaled = torch.cat([scaled, scaled.new_ones(len(scaled), 1)], 1)  # k x (d + 1)
    vectors, lengths, right = torch.linalg.svd(scaled, full_matrices=False)
    axes = vectors * lengths  # k x r: the features in the pool's own axes
    step = 1 / (0.5 * lengths.square() + l2).clamp(min=_SMALLEST)  # r

    sets, count = members.shape
    member = members.t()[:, :, None].double()  # k x s x 1
    truth = torch.nn.functional.one_hot(labels, num_classes).double()[:, None]  # k x 1 x c
    width = sets * num_classes
    now = axes.new_zeros(len(lengths), width)
    ahead, inertia = now, 1.0
    for iteration in range(1, iterations + 1):
        pulse.beat(iteration, iterations, "iteration", sets)
        logits = (axes @ ahead).view(count, sets, num_classes)
        residual = ((logits.softmax(2) - truth) * member).view(count, width)
        gradient = axes.t() @ residual + l2 * ahead
        following = ahead - step[:, None] * gradient
        momentum = (inertia - 1) / (inertia := (1 + (1 + 4 * inertia**2) ** 0.5) / 2)
        ahead, now = following + momentum * (following - now), following
    whole = (right.t() @ now).view(-1, sets, num_classes).transpose(0, 1)  # s x (d + 1) x c
    weights = whole[:, :-1] / spread[:, None]
    biases = whole[:, -1] - (center[:, None] * weights).sum(1)
    return Heads(weights.float(), biases.float())


@dataclasses.dataclass(frozen=True, eq=False)
class Axes:
    """The strongest directions of a pool: `center` d, and `axes` `d x e`, features being scaled on the way."""

    center: Tensor
    axes: Tensor

    def embed(self, features: Tensor) -> Tensor:
        """Return embeddings, `a x d` -> `a x e` float32."""
        return (features - self.center) @ self.axes


def principal_axes(features: Tensor) -> Axes:
    """Return the axes in which a pool varies most, at most 128: what a logistic head has for an embedding.

    Args:
        features: `k x d` of the pool.
    """
    spread = _spread(features)
    center = features.double().mean(0)
    right = torch.linalg.svd((features.double() - center) / spread, full_matrices=False).Vh
    return Axes(center.float(), (right[:_WIDTH] / spread).t().float())


def _spread(features: Tensor) -> Tensor:
    """Return what divides each feature, so that an image has a squared length of about 1."""
    deviation = features.double().std(0, correction=0).clamp(min=1e-6)
    return deviation * features.shape[1] ** 0.5
