"""Utility samples: pairs of equal-size subsets with their utilities, the table D the utility model learns from."""

import dataclasses

import torch
from torch import Tensor

from rambo.events import UtilitySamplesAdded
from rambo.method.pools import Problem, membership_matrix
from rambo.method.sizes import smallest_size
from rambo.seeding import Streams

Pair = tuple[Tensor, Tensor]


@dataclasses.dataclass(frozen=True, eq=False)
class UtilitySamples:
    """`p` pairs of utility samples; the two subsets of a pair have one size.

    Attributes:
        pairs: `p` pairs of sorted index tensors.
        utilities: `p x 2` float64 accuracies in [0, 1], true or interpolated.
        transport: `p x 2` float64 true OT distances to the validation set, in units of the offline mean.
    """

    pairs: tuple[Pair, ...]
    utilities: Tensor
    transport: Tensor

    @classmethod
    def empty(cls) -> "UtilitySamples":
        """Return D_0 = {} (Algorithm 1, line 7)."""
        nothing = torch.zeros(0, 2, dtype=torch.float64)
        return cls((), nothing, nothing)

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.pairs)

    def __add__(self, other: "UtilitySamples") -> "UtilitySamples":
        """Return both tables, this one first (Algorithm 3, lines 7-8: D accumulates)."""
        return UtilitySamples(
            self.pairs + other.pairs,
            torch.cat([self.utilities, other.utilities]),
            torch.cat([self.transport, other.transport]),
        )

    def take(self, rows: Tensor) -> "UtilitySamples":
        """Return the pairs at `rows`."""
        pairs = tuple(self.pairs[int(row)] for row in rows)
        return UtilitySamples(pairs, self.utilities[rows], self.transport[rows])

    @property
    def subsets(self) -> list[Tensor]:
        """All `2p` subsets, pair by pair."""
        return [subset for pair in self.pairs for subset in pair]

    @property
    def sizes(self) -> Tensor:
        """Size of the subsets of each pair, `p`."""
        return torch.tensor([len(first) for first, _ in self.pairs], dtype=torch.int64)

    def event(self, phase: str) -> UtilitySamplesAdded:
        """Return the event that shows these samples as those of a phase."""
        sizes = self.sizes.repeat_interleave(2).tolist()
        return UtilitySamplesAdded(phase, sizes, self.utilities.flatten().tolist())

    def membership(self, universe: Tensor) -> Tensor:
        """Return the membership matrix of all subsets, `2p x N`, pair by pair."""
        return membership_matrix(self.subsets, universe)


def split_by_size(samples: UtilitySamples) -> tuple[UtilitySamples, UtilitySamples]:
    """Return the shorter half D_tr and the longer half D_val.

    Source: 4.1d, 4.2.1. Choice: pairs are ordered by size, ties in the order they were drawn; a pair stays whole;
    of an odd number the longer half gets one more.
    """
    order = samples.sizes.argsort(stable=True)
    half = len(samples) // 2
    return samples.take(order[:half]), samples.take(order[half:])


def random_pairs(problem: Problem, pool: Tensor, count: int, streams: Streams) -> tuple[Pair, ...]:
    """Return `count` random pairs of equal-size subsets of a labeled pool, drawn from the stream `pairs`."""
    smallest = smallest_size(len(pool), problem.num_classes)
    return draw_pairs(pool, count, smallest, streams.torch("pairs"))


def draw_pairs(
    pool: Tensor, count: int, smallest: int, generator: torch.Generator
) -> tuple[Pair, ...]:
    """Return `count` random pairs of equal-size subsets of `pool`.

    Source: Algorithm 3, line 4; 4.1c asks for diverse sizes. Choice: the size is uniform from `smallest` to one
    below the pool (the whole pool would make both subsets the same); the two draws are independent and may overlap.

    Args:
        pool: `k` indices.
        count: number of pairs.
        smallest: smallest size.
        generator: decides sizes and members.
    """
    largest = max(smallest, len(pool) - 1)

    def subset(size: int) -> Tensor:
        return pool[torch.randperm(len(pool), generator=generator)[:size]].sort().values

    sizes = torch.randint(smallest, largest + 1, (count,), generator=generator)
    return tuple((subset(int(size)), subset(int(size))) for size in sizes)


def interpolate_utilities(
    to_previous: Tensor, to_grown: Tensor, previous_accuracy: float, grown_accuracy: float
) -> Tensor:
    """Return interpolated utilities: the nearer labeled pool weighs more.

    Source: Equation 4 (Definition 5). Choice: where both distances are 0, both weigh one half.

    Under mean pooling the larger of two random subsets lies nearer to S_i, of which it is a part, so it gets more of
    acc_i: while accuracy grows, these labels *fall* with the size of a set, and true utilities rise. Pairs of one size,
    which RankNet compares, do not see it; a regression (RankNet off) learns that larger sets are worse.

    Args:
        to_previous: d_i, distances of phi(xi) to phi(S_i), any shape.
        to_grown: d_{i+1}, distances to phi(S_{i+1}).
        previous_accuracy: acc_i.
        grown_accuracy: acc_{i+1}.

    Returns:
        Utilities in the shape of the distances, float64.
    """
    near, far = to_previous.double(), to_grown.double()
    total = near + far
    alpha = torch.where(total > 0, far / total.clamp(min=torch.finfo(torch.float64).tiny), 0.5)
    return alpha * previous_accuracy + (1 - alpha) * grown_accuracy
