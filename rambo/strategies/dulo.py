"""DULO: the utility of a set learned by regression, and the pool searched with it in random blocks."""

import math

import torch

from rambo import algorithm
from rambo.algorithm import GreedyStep
from rambo.config import Config
from rambo.events import Emit, UtilitySamplesAdded, ignore, stage
from rambo.method.acquisition import margins, random_chunks
from rambo.method.pools import Problem, Selection, check_budget, union, without
from rambo.method.utility_model import (
    UtilityModel,
    create_utility_model,
    embed_elements,
    fit_utility_model,
    predict_unions,
)
from rambo.method.utility_samples import Pair, UtilitySamples
from rambo.seeding import Streams
from rambo.training.ensemble import Ensemble
from rambo.training.units import FitUnit


def dulo(
    problem: Problem,
    budget: int,
    config: Config,
    *,
    streams: Streams,
    ensemble: Ensemble,
    emit: Emit = ignore,
) -> Selection:
    """Return the blocks whose union with S_0 has the highest predicted utility, taken greedily.

    Source: Wang, Chen and Jia 2023 as Sections 5.2 and B.3 use it: a surrogate by regression, stochastic block-wise
    greedy selection. Choice: no margin filter; of the blocks of b that the rest of the pool is cut into, each step
    looks at `(|U_0| / B) ln(1 / epsilon)` random ones, stochastic greedy's number (Mirzasoleiman et al. 2015).
    """
    check_budget(problem, budget)
    predictions = ensemble.predict_pools(emit)
    samples = true_utilities(problem, config, streams, ensemble, emit)
    model, figures = learn(problem, samples, config, streams, emit)
    size = config.acquisition.batch_size
    steps = -(-budget // size)
    looked = blocks_looked_at(len(problem.unlabeled), budget, config.rivals.dulo.epsilon)
    labeled, remaining, utilities = problem.labeled, problem.unlabeled, torch.zeros(0)
    with stage("acquisition", steps, emit) as advance:
        scores = margins(predictions.probabilities)
        elements = embed_elements(model, problem, problem.unlabeled)
        for j in range(steps):
            wanted = min(size, budget - len(utilities))
            blocks = random_chunks(remaining, wanted, streams.torch(f"acquisition-{j}"))[:looked]
            step = GreedyStep(blocks, predict_unions(model, elements, labeled, blocks))
            emit(step.report(j, steps, scores))
            labeled, remaining = union(labeled, step.best), without(remaining, step.best)
            utilities = torch.cat([utilities, step.utilities.max().expand(wanted)])
            advance()
    chosen = labeled[len(problem.labeled) :]
    return Selection(
        indices=chosen,
        steps=torch.arange(budget) // size,
        evidence={
            "margin": scores[chosen],
            "predicted_class": predictions.probabilities[chosen].argmax(1),
            "predicted_utility": utilities,
        },
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


def true_utilities(
    problem: Problem, config: Config, streams: Streams, ensemble: Ensemble, emit: Emit
) -> UtilitySamples:
    """Return utility samples, each trained: `sample_factor` times as many as RAMBO's offline initialisation has.

    Choice: the last of them are RAMBO's own, drawn from its streams, so that both learn from the same trainings and
    are audited on the same pairs; further ones come first and are all learned from.
    """
    theirs = Streams(ensemble.seed).child("rambo").child("offline")
    pairs, units, _ = algorithm.offline_fits(problem, config, theirs, ensemble)
    further, more = further_fits(problem, config, streams, ensemble)
    with stage("offline", len(more) + len(units), emit) as advance:
        outcomes = ensemble.run([*more, *units], emit, advance)
    accuracies = [outcome.record["accuracies"]["validation"] for outcome in outcomes]
    utilities = torch.tensor(accuracies, dtype=torch.float64).view(-1, 2)
    samples = UtilitySamples((*further, *pairs), utilities, torch.zeros_like(utilities))
    sizes = samples.sizes.repeat_interleave(2).tolist()
    emit(UtilitySamplesAdded("offline", sizes, accuracies))
    return samples


def further_fits(
    problem: Problem, config: Config, streams: Streams, ensemble: Ensemble
) -> tuple[tuple[Pair, ...], list[FitUnit]]:
    """Return the pairs that RAMBO does not have, and the trainings that give their true utilities."""
    offline = config.rambo.offline
    count = (config.rivals.dulo.sample_factor - 1) * offline.pairs
    pairs = algorithm.draw_for(problem, problem.labeled, count, streams)
    subsets = [subset for pair in pairs for subset in pair]
    asked = ensemble.proxy() if offline.proxy else ensemble
    first = 2 * offline.pairs
    return pairs, [asked.fit(subset, "offline", first + i) for i, subset in enumerate(subsets)]


def learn(
    problem: Problem, samples: UtilitySamples, config: Config, streams: Streams, emit: Emit
) -> tuple[UtilityModel, dict[str, float | int | str]]:
    """Return u_hat fitted by regression on all but RAMBO's held-out pairs, and how it ranks these.

    Choice: extractor, network and optimiser are RAMBO's, so that the loss, the missing OT head and the missing
    bilevel rounds are what differs.
    """
    offline, order = config.rambo.offline, torch.arange(len(samples))
    held = min(round(offline.held_out * offline.pairs), offline.pairs - 2)
    fitted, held_out = (
        samples.take(order[: len(order) - held]),
        samples.take(order[len(order) - held :]),
    )
    settings = config.rambo.utility_model.model_copy(
        update={"loss": "regression", "transport": False}
    )
    model = fit_utility_model(
        create_utility_model(problem, settings, streams),
        problem,
        fitted,
        streams,
        bilevel_training=False,
        phase="offline",
        emit=emit,
    )
    audit = algorithm.audit(model, problem, held_out, "offline", emit)
    words = {
        "held_out": "held-out pairs in true order",
        "kendall_tau": "Kendall tau on held-out sets",
        "held_out_pairs": "held-out pairs",
    }
    figures: dict[str, float | int | str] = {"utility samples fitted": 2 * len(fitted)}
    return model, figures | {words[k]: v for k, v in audit.items() if v is not None}
