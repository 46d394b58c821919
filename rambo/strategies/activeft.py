"""Active Finetuning: a few learned vectors spread like the pool, and the image nearest to each."""

import dataclasses
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from rambo.config import ActiveftConfig
from rambo.events import stage
from rambo.method.adam import Adam
from rambo.method.pools import Selection
from rambo.method.transport import exact_transport
from rambo.seeding import Streams
from rambo.strategies.picking import in_one_step
from rambo.strategies.space import unit_vectors
from rambo.training.call import Call

_PER_STEP = 10_000  # features of a step: more cost minutes on a CPU
_REPORT_EVERY = 10  # steps
_MEASURED = 2_000  # points on each side of the earth mover's distance: seconds
_ROWS = 256  # of a similarity matrix at a time


def activeft(call: Call) -> Selection:
    """Return the unlabeled images nearest to B vectors that were spread like the pool (Active Finetuning).

    Source: Xie et al. 2023, Algorithm 1. The labeled pool plays no part.

    The figures hold the earth mover's distance from the choice to the pool, which the paper says falls in training,
    and beside it that of a random set of the same size.
    """
    settings, streams = call.config.rivals.activeft, call.streams
    predictions = call.predictions()
    pool = call.problem.unlabeled.sort().values
    features, space = unit_vectors(call.problem, call.config, predictions, pool)
    reports = -(-settings.iterations // _REPORT_EVERY)
    with stage("acquisition", reports + 1, call.emit) as advance:
        on_device = features.to(call.ensemble.device)
        centres = fit_centres(on_device, call.budget, settings, streams.child("fit"), advance)
        places = nearest_untaken(centres.cpu(), features)
        random = torch.randperm(len(pool), generator=streams.torch("random-set"))[: call.budget]
        measure = streams.child("measure")
        distances = [
            earth_movers_distance(features[rows], features, measure.child(name))
            for name, rows in (("chosen", places), ("random", random))
        ]
        advance()
    chosen = pool[places]
    figures: dict[str, float | int | str] = {
        "space": space,
        "earth mover distance to the pool": distances[0],
        "earth mover distance of a random set": distances[1],
    }
    return dataclasses.replace(in_one_step(predictions, chosen), figures=figures)


def fit_centres(
    features: Tensor,
    budget: int,
    settings: ActiveftConfig,
    streams: Streams,
    advance: Callable[[], None],
) -> Tensor:
    """Return the vectors theta, trained to lie where the features are and apart from each other.

    Source: Xie et al. 2023, Algorithm 1: they start on random features and go back to length 1 after each step of
    Adam. Choice: above 10,000 features every step sees a random 10,000.

    Args:
        features: `m x d` unit vectors; their device does the work.
        budget: B.
        settings: steps, learning rate, tau and lambda.
        streams: decide the start and the features of each step.
        advance: called after every ten steps, and after the last.

    Returns:
        `B x d` unit vectors.
    """
    start, draw = streams.torch("start"), streams.torch("steps")
    centres = features[torch.randperm(len(features), generator=start)[:budget]].requires_grad_()
    optimizer = Adam([centres], settings.learning_rate)
    for step in range(1, settings.iterations + 1):
        batch = features
        if len(features) > _PER_STEP:
            batch = features[torch.randperm(len(features), generator=draw)[:_PER_STEP]]
        optimizer.zero_grad()
        spread_loss(centres, batch, settings.temperature, settings.diversity).backward()
        optimizer.step()
        with torch.no_grad():
            centres.copy_(F.normalize(centres, dim=1))
        if step % _REPORT_EVERY == 0 or step == settings.iterations:
            advance()
    return centres.detach()


def spread_loss(centres: Tensor, features: Tensor, temperature: float, diversity: float) -> Tensor:
    """Return how badly the centres stand for the features: far from them, or close to each other.

    Source: Xie et al. 2023: the mean similarity of a feature to its nearest centre, against
    log sum_{k != j} exp(similarity / tau) between centres. Choice: the paper's sum, not the contrastive quotient of
    the public code; cosine similarity as there, so that no gradient goes into the length of a centre.

    Args:
        centres: `B x d`, of any length.
        features: `m x d` unit vectors.
        temperature: tau.
        diversity: lambda, the weight of the second term; with one centre there is none.
    """
    centres = F.normalize(centres, dim=1)
    nearest = (features @ centres.detach().T).argmax(1)  # m
    loss = -(features * centres[nearest]).sum(1).mean() / temperature
    if len(centres) > 1:
        others = (centres @ centres.T / temperature).fill_diagonal_(-torch.inf)  # B x B
        loss = loss + diversity * others.logsumexp(1).mean()
    return loss


def nearest_untaken(centres: Tensor, features: Tensor) -> Tensor:
    """Return for each centre in turn the most similar feature that no centre before it has taken.

    Choice: the order of the centres, which is random; equal features by their place.

    Args:
        centres: `B x d`.
        features: `m x d`, at least B.

    Returns:
        `B` distinct places among the features.
    """
    barred, places = torch.zeros(len(features)), []
    for part in centres.split(_ROWS):
        for similarity in part @ features.T:
            places.append(int((similarity + barred).argmax()))
            barred[places[-1]] = -torch.inf
    return torch.tensor(places)


def earth_movers_distance(chosen: Tensor, pool: Tensor, streams: Streams) -> float:
    """Return the earth mover's distance between two sets of unit vectors, from 0 to 2.

    Choice: Euclidean ground cost, exact; of either set at most a random 2,000 count.

    Args:
        chosen: `B x d`.
        pool: `m x d`.
        streams: decide which count.
    """

    def some(points: Tensor, name: str) -> Tensor:
        order = torch.randperm(len(points), generator=streams.torch(name))[:_MEASURED]
        return points[order.sort().values].double()

    cost = torch.cdist(some(chosen, "chosen"), some(pool, "pool"))
    return exact_transport(cost.numpy())
