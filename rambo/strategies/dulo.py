"""DULO: the utility of a set learned by regression, and the pool searched with it in random blocks."""

import dataclasses
import math

import torch

from rambo.estimate.work import further_pairs, held_out_pairs
from rambo.events import stage
from rambo.method.acquisition import GreedyStep, choice_evidence, margins, random_chunks
from rambo.method.pools import Selection, union, without
from rambo.method.ranking import audit
from rambo.method.utility_model import (
    UtilityModel,
    embed_elements,
    predict_unions,
)
from rambo.method.utility_samples import Pair, UtilitySamples, random_pairs
from rambo.seeding import Streams
from rambo.training.call import Call
from rambo.training.offline import accuracies, fit_offline, hold_out, offline_units
from rambo.training.units import FitUnit


def dulo(call: Call) -> Selection:
    """Return the blocks whose union with S_0 has the highest predicted utility, taken greedily.

    Source: Wang, Chen and Jia 2023 as Sections 5.2 and B.3 use it: a surrogate by regression, stochastic block-wise
    greedy selection. Choice: no margin filter; of the blocks of b that the rest of the pool is cut into, each step
    looks at `(|U_0| / B) ln(1 / epsilon)` random ones, stochastic greedy's number (Mirzasoleiman et al. 2015).
    """
    problem, budget, size = call.problem, call.budget, call.config.acquisition.batch_size
    predictions = call.predictions()
    model, figures = learn(call, true_utilities(call))
    steps = -(-budget // size)
    epsilon = call.config.rivals.dulo.epsilon
    count = blocks_looked_at(len(problem.unlabeled), budget, epsilon)
    labeled, remaining, utilities = problem.labeled, problem.unlabeled, torch.zeros(0)
    with stage("acquisition", steps, call.emit) as advance:
        scores = margins(predictions.probabilities)
        elements = embed_elements(model, problem, problem.unlabeled)
        for j in range(steps):
            width, generator = min(size, budget - len(utilities)), f"acquisition-{j}"
            blocks = random_chunks(remaining, width, call.streams.torch(generator))[:count]
            step = GreedyStep(blocks, predict_unions(model, elements, labeled, blocks))
            call.emit(step.event(j, steps, scores))
            labeled, remaining = union(labeled, step.best), without(remaining, step.best)
            utilities = torch.cat([utilities, step.utilities.max().expand(width)])
            advance()
    chosen = labeled[len(problem.labeled) :]
    return Selection(
        indices=chosen,
        steps=torch.arange(budget) // size,
        evidence=choice_evidence(chosen, scores, predictions.probabilities, utilities),
        figures=figures,
    )


def blocks_looked_at(pool_size: int, budget: int, epsilon: float) -> int:
    """Return how many random blocks a step of stochastic greedy looks at.

    Args:
        pool_size: |U_0|.
        budget: B.
        epsilon: how much of the greedy guarantee may be lost.
    """
    return math.ceil(pool_size / budget * math.log(1 / epsilon))


def true_utilities(call: Call) -> UtilitySamples:
    """Return utility samples, each trained: `sample_factor` times as many as RAMBO's offline initialisation has.

    Choice: the last of them are RAMBO's own, drawn from its streams, so that both learn from the same trainings and
    are audited on the same pairs; further ones come first and are all learned from.
    """
    theirs = Streams(call.ensemble.seed).child("rambo").child("offline")
    pairs, units, _ = offline_units(dataclasses.replace(call, streams=theirs))
    further, more = further_units(call)
    with stage("offline", len(more) + len(units), call.emit) as advance:
        outcomes = call.ensemble.run([*more, *units], call.emit, advance)
    utilities = accuracies(outcomes).view(-1, 2)
    samples = UtilitySamples((*further, *pairs), utilities, torch.zeros_like(utilities))
    call.emit(samples.event("offline"))
    return samples


def further_units(call: Call) -> tuple[tuple[Pair, ...], list[FitUnit]]:
    """Return the pairs that RAMBO does not have, and the trainings that give their true utilities."""
    offline, problem = call.config.rambo.offline, call.problem
    pairs = random_pairs(problem, problem.labeled, further_pairs(call.config), call.streams)
    subsets = [subset for pair in pairs for subset in pair]
    ensemble, first = call.ensemble.proxy() if offline.proxy else call.ensemble, 2 * offline.pairs
    units = [ensemble.fit_unit(subset, "offline", first + i) for i, subset in enumerate(subsets)]
    return pairs, units


def learn(call: Call, samples: UtilitySamples) -> tuple[UtilityModel, dict[str, float | int | str]]:
    """Return u_hat fitted by regression on all but RAMBO's held-out pairs, and how it ranks these.

    Choice: extractor, network and optimiser are RAMBO's, so that the loss, the missing OT head and the missing
    bilevel rounds are what differs.
    """
    problem, emit = call.problem, call.emit
    training, held_out = hold_out(samples, held_out_pairs(call.config))
    settings = call.config.rambo.utility_model.model_copy(
        update={"loss": "regression", "transport": False}
    )
    model = fit_offline(call, settings, training)
    ranking = audit(model, problem, held_out, "offline", emit)
    words = {
        "held_out": "held-out pairs in true order",
        "kendall_tau": "Kendall tau on held-out sets",
        "held_out_pairs": "held-out pairs",
    }
    figures: dict[str, float | int | str] = {"utility samples fitted": 2 * len(training)}
    return model, figures | {words[k]: v for k, v in ranking.items() if v is not None}
