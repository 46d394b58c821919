"""RAMBO+: batches ranked by what a set says of S_val in closed form, weighed on true pairs.

It shares RAMBO's offline pairs, margin filter and greedy steps. What it leaves out, because it was measured to order
pairs like a coin: utilities by interpolation (Equation 4) with the rounds that learn from them, and the pooled
embedding of a set (`benchmarks/ACCURACY.md`). OT goes with them: of two sets of one size it says nothing.
"""

import dataclasses

import torch
from torch import Tensor

from rambo.estimate.work import held_out_pairs
from rambo.events import RankingAudited, stage
from rambo.method import losses
from rambo.method.acquisition import (
    GreedyStep,
    choice_evidence,
    distances_to_gradients,
    filter_for,
    logit_gradients,
    margins,
    random_chunks,
    rank_by,
    spread_gradients,
)
from rambo.method.pools import Selection, union, without
from rambo.method.ridge import RidgeView, fit_weights, in_units_of_pairs, ridge_view
from rambo.method.utility_samples import UtilitySamples
from rambo.seeding import Streams
from rambo.training.call import Call
from rambo.training.ensemble import Predictions
from rambo.training.offline import accuracies, hold_out, offline_units


def rambo_plus(call: Call) -> Selection:
    """Return the candidate batches that a ridge fit of the grown set ranks highest on S_val, taken greedily.

    Choice: an image nobody has bought counts with f's probabilities as its label; f has not seen S_val.
    """
    problem, size, settings = call.problem, call.config.acquisition.batch_size, call.config.plus
    predictions = call.predictions()
    view, weights, figures = learn(call, ridge_view(problem, predictions.probabilities))
    scores = margins(predictions.probabilities)
    labeled, remaining = problem.labeled, rank_by(problem.unlabeled, scores)
    steps, utilities = -(-call.budget // size), torch.zeros(0)
    with stage("acquisition", steps, call.emit) as advance:
        for j in range(steps):
            count = min(size, call.budget - len(utilities))
            filter_size = filter_for(call.config.acquisition.filtered, size, count)
            generator = call.streams.torch(f"acquisition-{j}")
            batches = candidates(
                remaining if settings.candidates == "pool" else remaining[:filter_size],
                count,
                predictions,
                settings.candidates,
                generator,
                number=filter_size // count,
                taken=labeled[len(problem.labeled) :],
            )
            unions = [union(labeled, batch) for batch in batches]
            step = GreedyStep(batches, view.statistics(unions) @ weights)
            step = _picked(step, settings.pick, generator)
            call.emit(step.event(j, steps, scores))
            labeled, remaining = union(labeled, step.best), without(remaining, step.best)
            utilities = torch.cat([utilities, step.utilities.max().expand(count)])
            advance()
    chosen = labeled[len(problem.labeled) :]
    return Selection(
        indices=chosen,
        steps=torch.arange(call.budget) // size,
        evidence=choice_evidence(chosen, scores, predictions.probabilities, utilities),
        arrays={
            "ridge": {
                "validation": problem.validation,
                "margins_before": view.margins(problem.labeled),
                "margins_after": view.margins(labeled),
            }
        },
        figures=figures,
    )


def candidates(
    images: Tensor,
    size: int,
    predictions: Predictions,
    kind: str,
    generator: torch.Generator,
    *,
    number: int,
    taken: Tensor,
) -> Tensor:
    """Return the batches of one step, `s x b`, as many as the filter holds.

    Choice: `spread` draws each batch by k-means++ among last-layer gradients, as BADGE does in the whole pool, so its
    images differ from each other; batches may overlap. `pool` draws them from the whole pool and goes on from what was
    taken, so that each is what BADGE itself would take next. `random` is Algorithm 2, line 4.

    Args:
        images: the M smallest margins left, in order; for `pool` all that are left.
        size: b.
        predictions: of f.
        kind: `spread`, `pool` or `random`.
        generator: decides.
        number: of batches; the images may allow fewer.
        taken: what the steps before chose, from which those of `pool` differ too.
    """
    size = min(size, len(images))
    if kind == "random":
        return random_chunks(images, size, generator)
    gradients, embeddings = _gradients(images, predictions)
    nearest = None
    if kind == "pool" and len(taken):
        nearest = distances_to_gradients(gradients, embeddings, _gradients(taken, predictions))
    batches = []
    for _ in range(min(number, len(images) // size)):
        start = torch.randperm(len(images), generator=generator)  # where k-means++ begins
        near = None if nearest is None else nearest[start]
        picks = spread_gradients(gradients[start], embeddings[start], generator, near)
        places = start[torch.tensor([next(picks) for _ in range(size)])]
        batches.append(images[places.sort().values])
    return torch.stack(batches)


def _gradients(images: Tensor, predictions: Predictions) -> tuple[Tensor, Tensor]:
    """Return the two factors of each image's last-layer gradient at f's own guess, in double precision as BADGE's."""
    probabilities = predictions.probabilities[images].double()
    gradients = logit_gradients(probabilities, probabilities.argmax(1))
    return gradients, predictions.embeddings[images].double()


def _picked(step: GreedyStep, pick: str, generator: torch.Generator) -> GreedyStep:
    """Return the step with the utilities that lead to what is picked: as they are, or those of a control."""
    if pick == "lowest":
        return GreedyStep(step.batches, -step.utilities)
    if pick == "random":
        return GreedyStep(step.batches, torch.rand(len(step.batches), generator=generator))
    return step


def true_pairs(call: Call) -> UtilitySamples:
    """Return RAMBO's offline pairs with their true utilities, from its streams: nothing is trained twice."""
    theirs = Streams(call.ensemble.seed).child("rambo").child("offline")
    pairs, units, _ = offline_units(dataclasses.replace(call, streams=theirs))
    with stage("offline", len(units), call.emit) as advance:
        outcomes = call.ensemble.run(units, call.emit, advance)
    utilities = accuracies(outcomes).view(-1, 2)
    samples = UtilitySamples(pairs, utilities, torch.zeros_like(utilities))
    call.emit(samples.event("offline"))
    return samples


def learn(call: Call, view: RidgeView) -> tuple[RidgeView, Tensor, dict[str, float | int | str]]:
    """Return the view in units of the pairs, the weights of its statistics, and how they rank held-out pairs."""
    if not call.config.plus.weigh:
        return view, view.certain, {}
    training, held_out = hold_out(true_pairs(call), held_out_pairs(call.config))
    view = in_units_of_pairs(view, training.pairs)
    weights = fit_weights(
        view.statistics(training.subsets).view(len(training), 2, -1), training.utilities
    )
    figures: dict[str, float | int | str] = {"true pairs fitted": len(training)}
    if not len(held_out):
        return view, weights, figures
    ranked = (view.statistics(held_out.subsets) @ weights).view(-1, 2)
    share = losses.ranking_accuracy(ranked, held_out.utilities)
    tau = losses.kendall_tau(ranked.flatten(), held_out.utilities.flatten())
    call.emit(RankingAudited("offline", len(held_out), share, tau))
    if share is not None:
        figures["held-out pairs in true order"] = share
    return view, weights, figures | {"held-out pairs": len(held_out)}
