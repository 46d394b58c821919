"""ProbCover: the images whose balls of one radius cover most of the pool."""

import dataclasses

import torch
from torch import Tensor

from rambo.config import ProbcoverConfig
from rambo.events import stage
from rambo.method.pools import Selection, union, without
from rambo.seeding import Streams
from rambo.strategies.picking import in_one_step
from rambo.strategies.space import k_means, unit_vectors
from rambo.training.call import Call

_LARGEST = 20_000  # points of a graph: 400 MB
_PROBED = 2_000  # points whose balls decide on the radius
_ROWS = 256  # of a distance matrix at a time
_RADII = [i / 5 for i in range(1, 11)]  # 0.2, 0.4 .. 2.0: unit vectors are at most 2 apart


def probcover(call: Call) -> Selection:
    """Return the unlabeled images whose balls cover most of what no ball covers yet, one by one (ProbCover).

    Source: Yehuda et al. 2022, Algorithm 1. Choice: of a pool above 20,000 only a random 20,000 are covered and
    chosen from, as the graph grows with the square. Choice: once all is covered no image is better than another by
    this rule, so the rest is random.
    """
    problem, streams, predictions = call.problem, call.streams, call.predictions()
    sample = torch.randperm(len(problem.unlabeled), generator=streams.torch("graph"))[:_LARGEST]
    pool = problem.unlabeled[sample].sort().values
    points, space = unit_vectors(
        call.problem, call.config, predictions, union(problem.labeled, pool)
    )
    points = points.double()
    labeled, unlabeled = points.split([len(problem.labeled), len(pool)])
    with stage("acquisition", 3, call.emit) as advance:
        radius, source = pick_radius(
            points, problem.num_classes, call.config.rivals.probcover, streams.child("radius")
        )
        advance()
        graph = reached(unlabeled, unlabeled, radius).fill_diagonal_(True)
        advance()
        first, covered = cover(graph, reached(unlabeled, labeled, radius).any(1), call.budget)
        rest = without(problem.unlabeled, pool[first])
        order = torch.randperm(len(rest), generator=streams.torch("rest"))
        chosen = union(pool[first], rest[order[: call.budget - len(first)]])
        advance()
    figures: dict[str, float | int | str] = {
        "space": space,
        "radius": radius,
        "radius from": source,
        "graph points": len(pool),
        "share covered": covered.double().mean().item(),
        "chosen to cover": len(first),
    }
    return dataclasses.replace(in_one_step(predictions, chosen), figures=figures)


def cover(graph: Tensor, covered: Tensor, budget: int) -> tuple[Tensor, Tensor]:
    """Return the greedy cover: each time the point whose ball holds most points not covered yet.

    Equal ones by their place. Edges into covered points count no longer, so degrees only fall.

    Args:
        graph: `m x m` bool; `graph[y, x]` where the ball of x holds y, itself included.
        covered: `m` bool, what labeled points cover.
        budget: how many at most; fewer come back when all is covered before.

    Returns:
        Places of the chosen, in order; `m` bool, what is covered then.
    """
    open_ = ~covered
    chosen: list[int] = []
    degrees = _count(graph, open_.nonzero().flatten())
    while len(chosen) < budget and open_.any():
        best = int(degrees.argmax())
        new = (graph[:, best] & open_).nonzero().flatten()
        degrees -= _count(graph, new)
        open_[new] = False
        chosen.append(best)
    return torch.tensor(chosen, dtype=torch.int64), ~open_


def reached(points: Tensor, centres: Tensor, radius: float) -> Tensor:
    """Return which points lie nearer than `radius` to which centres, `a x m` bool, from `a x d` and `m x d`."""
    result = torch.empty(len(points), len(centres), dtype=torch.bool)
    for rows in torch.arange(len(points)).split(_ROWS):  # the last, smaller part too
        result[rows] = torch.cdist(points[rows], centres) < radius
    return result


def pick_radius(
    points: Tensor, num_classes: int, settings: ProbcoverConfig, streams: Streams
) -> tuple[float, str]:
    """Return the radius delta and, in words, where it comes from.

    Source: Yehuda et al. 2022: k-means clusters stand in for the classes, and delta is the largest whose
    balls are pure in at least a share alpha. Choice: radii 0.2, 0.4 .. 2.0, the smallest if none is pure enough;
    the share is taken over at most 2,000 random balls, each with all of its neighbours.

    Args:
        points: `a x d` unit vectors, labeled and unlabeled.
        num_classes: k of k-means.
        settings: `radius`, which goes before, and `purity`, alpha.
        streams: decide the clusters and the balls.
    """
    if settings.radius is not None:
        return settings.radius, "settings"
    clusters = torch.from_numpy(k_means(points, num_classes, streams.take("clusters")))
    probed = torch.randperm(len(points), generator=streams.torch("probes"))[:_PROBED]
    gaps = torch.cat([_to_stranger(rows, points, clusters) for rows in probed.split(_ROWS)])
    purities = {radius: (gaps >= radius).double().mean().item() for radius in _RADII}
    pure = [radius for radius, purity in purities.items() if purity >= settings.purity]
    radius = max(pure, default=_RADII[0])
    return radius, f"{purities[radius]:.3f} of the balls pure under k-means"


def _to_stranger(rows: Tensor, points: Tensor, clusters: Tensor) -> Tensor:
    """Return how far the nearest point of another cluster is: a ball up to there is pure."""
    distances = torch.cdist(points[rows], points)
    distances[clusters[rows, None] == clusters] = torch.inf
    return distances.amin(1)


def _count(graph: Tensor, targets: Tensor) -> Tensor:
    """Return how many of the targets each ball holds, `m` int64."""
    total = torch.zeros(graph.shape[1], dtype=torch.int64)
    for rows in targets.split(_ROWS):
        total += graph[rows].sum(0)
    return total
