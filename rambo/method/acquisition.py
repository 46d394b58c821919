"""Pure scores of examples, builders of candidate batches (Algorithm 2's parts), and the rivals' greedy pickers.

A greedy picker yields positions in what it was given, one pick at a time and each position once, so the caller says
how many and hears of every one.
"""

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from rambo.events import BatchChosen

_CANDIDATES = 8  # candidate batches of a greedy step whose members are reported
_CHUNK = 1024  # centres compared with all points at once
_ROUNDING = 64  # rounding errors that two equal points may seem apart


def margins(probabilities: Tensor) -> Tensor:
    """Return the margin score of each example: highest less second highest class probability, in [0, 1].

    Source: Roth and Small 2006, B.1. Small means uncertain.

    Args:
        probabilities: `N x c`.
    """
    best, place = probabilities.max(1)
    second = probabilities.scatter(1, place[:, None], -1).amax(1)  # topk(2) takes twice as long
    return best - second


def confidences(probabilities: Tensor) -> Tensor:
    """Return the highest class probability of each example, in [1 / c, 1].

    Source: Lewis and Gale 1994. Small means uncertain.

    Args:
        probabilities: `N x c`.
    """
    return probabilities.amax(1)


def entropies(probabilities: Tensor) -> Tensor:
    """Return the entropy of each example's class probabilities, in nats, in [0, log c].

    Source: Shannon 1948. Large means uncertain. A probability of 0 adds 0.

    Args:
        probabilities: `N x c`.
    """
    return torch.special.entr(probabilities).sum(1)


def logit_gradients(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return the gradient of each example's cross-entropy by its logits: probabilities less the one-hot label.

    The gradient by the last layer's weights is this times the embedding, an outer product that nobody has to build.

    Args:
        probabilities: `N x c`.
        labels: `N` int64, true or guessed.

    Returns:
        `N x c`.
    """
    # The derivative of softmax and log-likelihood in one: dL/dz = p - y.
    return probabilities - F.one_hot(labels, probabilities.shape[1])


def rank_by(pool: Tensor, scores: Tensor) -> Tensor:
    """Return `pool` in order of increasing score, equal scores by dataset index.

    Args:
        pool: `m` dataset indices.
        scores: scores of all `N` examples; only those of the pool are read.
    """
    # Sorted first, so that a stable sort by score leaves ties in the order of the dataset, however the pool came.
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
    # Positions, not images: sorted inside a row they are the order of `ranked`. The cut leaves the rest to chance.
    order = torch.randperm(len(ranked), generator=generator)[: count * size]
    return ranked[order.view(count, size).sort(1).values]


def filter_for(filter_size: int, batch_size: int, count: int) -> int:
    """Return how many of the smallest margins a step for `count` examples looks at.

    Choice: a last batch smaller than b keeps the ratio M / b, so that M = b stays margin sampling to the end.
    """
    # Rounded up, so that a step never looks at fewer images than it takes.
    return -(-filter_size * count // batch_size)


@dataclasses.dataclass(frozen=True, eq=False)
class GreedyStep:
    """The candidate batches of one greedy step, `s x b`, and their predicted utilities, `s`.

    Attributes:
        batches: `s x b` dataset indices.
        utilities: `s`, as predicted.
        lowest: whether the lowest utility is taken: a control, which shows what the ranking is worth.
        strategies: whose batches these are; empty where one rule cut all of them.
    """

    batches: Tensor
    utilities: Tensor
    lowest: bool = False
    strategies: tuple[str, ...] = ()

    @property
    def place(self) -> int:
        """Which batch is taken: the highest predicted utility, or the lowest; of equal ones the first."""
        return int(self._order[0])

    @property
    def best(self) -> Tensor:
        """The batch that is taken."""
        return self.batches[self.place]

    @property
    def utility(self) -> Tensor:
        """Its predicted utility."""
        return self.utilities[self.place]

    @property
    def _order(self) -> Tensor:
        """The candidates from the one that is taken on."""
        return self.utilities.argsort(descending=not self.lowest, stable=True)

    def event(self, step: int, steps: int, scores: Tensor) -> BatchChosen:
        """Return what to tell of this step: the winner, the runner-up, and the best few in full.

        Args:
            step: number of this step, from 0.
            steps: how many there are.
            scores: margins of all `N` images.
        """
        order = self._order
        best = order[:_CANDIDATES]
        return BatchChosen(
            step=step,
            steps=steps,
            chosen=self.best.tolist(),
            utility=float(self.utility),
            runner_up=float(self.utilities[order[1]]) if len(order) > 1 else None,
            utilities=self.utilities.tolist(),
            candidates=self.batches[best].tolist(),
            candidate_utilities=self.utilities[best].tolist(),
            candidate_margins=scores[self.batches[best]].mean(1).tolist(),
            candidate_strategies=[self.strategies[i] for i in best.tolist() if self.strategies],
        )


def k_centers(points: Tensor, centers: Tensor) -> Iterator[int]:
    """Yield again and again the point farthest from its nearest center, which then is a center too.

    Source: Sener and Savarese 2018, Algorithm 1 (k-Center-Greedy). Choice: equal distances in the given order, so
    also once every point left lies on a center. A pick costs one matrix-vector product.

    Args:
        points: `N x e`.
        centers: `k x e` there from the start; of none, the first point is picked first.
    """
    middle = points.mean(0)  # distances stay, and less is lost when their squares are expanded
    points, centers = points - middle, centers - middle
    norms = points.square().sum(1)
    # Of no centers every distance is infinite, and argmax of equals is the first.
    nearest = torch.full_like(norms, torch.inf)
    for start in range(0, len(centers), _CHUNK):
        part = centers[start : start + _CHUNK]
        apart = _squared_distances(points @ part.T, norms[:, None], part.square().sum(1))
        nearest = torch.minimum(nearest, apart.amin(1))
    for _ in range(len(points)):
        pick = int(nearest.argmax())
        yield pick
        apart = _squared_distances(points @ points[pick], norms, norms[pick])
        nearest = torch.minimum(nearest, apart)
        nearest[pick] = -1  # below every distance: never again


def spread_gradients(
    gradients: Tensor,
    embeddings: Tensor,
    generator: torch.Generator,
    nearest: Tensor | None = None,
) -> Iterator[int]:
    """Yield centers drawn by k-means++ among last-layer gradients, the largest gradient first.

    Source: Ash et al. 2020, Algorithm 1 (BADGE): with chance proportional to the squared distance to the nearest
    center. The gradients `q outer h` are never built: <g_i, g_j> = <q_i, q_j> <h_i, h_j>, so memory is O(N (c + e)).
    Choice: of equally large gradients the first; once every gradient left equals a center, uniform draws.

    Args:
        gradients: q, `N x c` by the logits.
        embeddings: h, `N x e`.
        generator: decides the draws.
        nearest: `N`, squared distance of each to the nearest center there is already; then the first is drawn too.
    """
    norms = gradients.square().sum(1) * embeddings.square().sum(1)
    begun, available = nearest is not None, torch.ones_like(norms)
    nearest = torch.full_like(norms, torch.inf) if nearest is None else nearest.clone()
    pick = int(norms.argmax())
    for turn in range(len(norms)):
        if turn or begun:
            # Once every gradient left lies on a center all weights are 0, which `multinomial` refuses.
            weights = nearest if nearest.any() else available
            pick = int(torch.multinomial(weights, 1, generator=generator))
        yield pick
        # `N` inner products of outer products, from two matrix-vector products.
        products = (gradients @ gradients[pick]) * (embeddings @ embeddings[pick])
        nearest = torch.minimum(nearest, _squared_distances(products, norms, norms[pick]))
        nearest[pick] = available[pick] = 0


def distances_to_gradients(
    gradients: Tensor, embeddings: Tensor, centers: tuple[Tensor, Tensor]
) -> Tensor:
    """Return the squared distance of each last-layer gradient to the nearest of some others, `N`.

    Args:
        gradients: q, `N x c` by the logits.
        embeddings: h, `N x e`.
        centers: q and h of the others, at least one.
    """
    norms = gradients.square().sum(1) * embeddings.square().sum(1)
    nearest = torch.full_like(norms, torch.inf)
    for q, h in zip(*(part.split(_CHUNK) for part in centers), strict=True):
        products = (gradients @ q.T) * (embeddings @ h.T)
        others = q.square().sum(1) * h.square().sum(1)
        nearest = torch.minimum(
            nearest, _squared_distances(products, norms[:, None], others).amin(1)
        )
    return nearest


def _squared_distances(products: Tensor, norms: Tensor, others: Tensor) -> Tensor:
    """Return |a|^2 + |b|^2 - 2 <a, b>, exactly 0 where it is no more than rounding."""
    # The rounding of a difference is that of its terms: what is below a share of them is no distance but noise.
    total = norms + others
    apart = total - 2 * products
    return apart.where(apart > _ROUNDING * torch.finfo(apart.dtype).eps * total, 0)


def choice_evidence(
    chosen: Tensor, scores: Tensor, probabilities: Tensor, utilities: Tensor
) -> dict[str, Tensor]:
    """Return what explains each chosen image: its margin, the class f guesses, the predicted utility of its step.

    Args:
        chosen: `B` indices in the order of choice.
        scores: margins of all `N` images.
        probabilities: `N x c`, of f.
        utilities: `B`, of S_j with the batch of the step that took the image.
    """
    return {
        "margin": scores[chosen],
        "predicted_class": probabilities[chosen].argmax(1),
        "predicted_utility": utilities,
    }
