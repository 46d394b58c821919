"""Pure scores of examples and builders of candidate batches (Algorithm 2's parts)."""

import torch
from torch import Tensor


def margins(probabilities: Tensor) -> Tensor:
    """Return the margin score of each example: highest less second highest class probability, in [0, 1].

    Source: Roth and Small 2006, B.1. Small means uncertain.

    Args:
        probabilities: `N x c`.
    """
    top = probabilities.topk(2, dim=1).values
    return top[:, 0] - top[:, 1]


def rank_by(pool: Tensor, scores: Tensor) -> Tensor:
    """Return `pool` in order of increasing score, equal scores by dataset index.

    Args:
        pool: `m` dataset indices.
        scores: scores of all `N` examples; only those of the pool are read.
    """
    ordered = pool.sort().values
    return ordered[scores[ordered].argsort(stable=True)]


def random_chunks(ranked: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Return random disjoint batches of `size` from `ranked`, the remainder dropped.

    Source: Algorithm 2, line 4. Choice: inside a batch the order of `ranked` is kept, so that the order of choice
    stays the order of the margins; fewer than `size` examples make one batch of all.

    Args:
        ranked: `m` indices.
        size: b.
        generator: decides the split.

    Returns:
        `floor(m / b) x b` indices.
    """
    size = min(size, len(ranked))
    count = len(ranked) // size
    order = torch.randperm(len(ranked), generator=generator)[: count * size]
    return ranked[order.view(count, size).sort(1).values]


def filter_for(filter_size: int, batch_size: int, wanted: int) -> int:
    """Return how many of the smallest margins a step for `wanted` examples looks at.

    Choice: a last batch smaller than b keeps the ratio M / b, so that M = b stays margin sampling to the end.
    """
    return -(-filter_size * wanted // batch_size)
