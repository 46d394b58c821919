"""RAMBO+: batches ranked by what a set says of S_val in closed form, weighed on true pairs.

It shares RAMBO's offline pairs, margin filter and greedy steps. What it leaves out, because it was measured to order
pairs like a coin: utilities by interpolation (Equation 4) with the rounds that learn from them, and the pooled
embedding of a set (`benchmarks/ACCURACY.md`). OT goes with them: of two sets of one size it says nothing.
"""

import dataclasses
from collections import Counter

import torch
from torch import Tensor

from rambo import lineup
from rambo.estimate.work import closest_pairs, held_out_pairs
from rambo.events import RankingAudited, stage
from rambo.method import losses
from rambo.method.acquisition import GreedyStep, choice_evidence, filter_for, margins, rank_by
from rambo.method.pools import Selection, union, without
from rambo.method.ridge import (
    RidgeModel,
    RidgeView,
    fit_weights,
    in_units_of_pairs,
    resampled,
    ridge_view,
)
from rambo.method.utility_samples import UtilitySamples
from rambo.runs.results import BATCHES_TAKEN, LEAD_CHOOSING, LEAD_JUDGING
from rambo.seeding import Streams
from rambo.strategies.candidates import FILTERED, RIVALS, candidates
from rambo.training.call import Call
from rambo.training.offline import accuracies, hold_out, offline_units

_MEMBERS = 30  # Choice: of the ensemble, whose spread is then known to an eighth of itself


Figures = dict[str, float | int | str]


def rambo_plus(call: Call) -> Selection:
    """Return the candidate batches that a ridge fit of the grown set ranks highest on S_val, taken greedily.

    Choice: an image nobody has bought counts with f's probabilities as its label; f has not seen S_val.
    """
    problem, size, settings = call.problem, call.config.acquisition.batch_size, call.config.plus
    predictions = call.predictions()
    whole = ridge_view(problem, predictions.probabilities)
    view, judging = _halves(call, whole)
    model, figures = learn(call, view)
    scores = margins(predictions.probabilities)
    labeled, remaining = problem.labeled, rank_by(problem.unlabeled, scores)
    steps, utilities = -(-call.budget // size), torch.zeros(0)
    filtered = call.config.acquisition.filtered * settings.filter_factor
    leads, proposers = list[Tensor](), Counter[str]()
    with stage("acquisition", steps, call.emit) as advance:
        for j in range(steps):
            count = min(size, call.budget - len(utilities))
            filter_size = filter_for(filtered, size, count)
            generator = call.streams.torch(f"acquisition-{j}")
            batches = candidates(
                remaining[:filter_size] if settings.candidates in FILTERED else remaining,
                count,
                predictions,
                settings.candidates,
                generator,
                number=filter_size // count,
                taken=labeled[len(problem.labeled) :],
                labeled=problem.labeled,
            )
            unions = [union(labeled, batch) for batch in batches]
            predicted = model.utilities(unions)
            strategies = RIVALS if settings.candidates == "rivals" else ()
            step = GreedyStep(batches, predicted, strategies=strategies)
            step = _picked(step, settings.pick, generator)
            call.emit(step.event(j, steps, scores))
            if judging is not None:
                others = model.judged_by(judging).utilities(unions)
                leads.append(_lead(torch.stack([predicted, others]), step.place))
            proposers.update(strategies[step.place : step.place + 1])
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
                "margins_before": whole.margins(problem.labeled),
                "margins_after": whole.margins(labeled),
            }
        },
        figures=figures | _lead_figures(leads) | _proposer_figures(proposers),
    )


def _picked(step: GreedyStep, pick: str, generator: torch.Generator) -> GreedyStep:
    """Return the step with the utilities that lead to what is picked: as they are, or those of a control."""
    if pick == "lowest":
        return dataclasses.replace(step, utilities=-step.utilities)
    if pick == "random":
        utilities = torch.rand(len(step.batches), generator=generator)
        return dataclasses.replace(step, utilities=utilities)
    return step


def true_pairs(call: Call) -> UtilitySamples:
    """Return RAMBO's offline pairs with their true utilities, from its streams: nothing is trained twice.

    Choice: where `plus.repeats` asks for several trainings, the closer half of the pairs that are fitted gets them and
    their mean counts; which of two that lie far apart is better, one training says as well.
    """
    config, streams = call.config, Streams(call.ensemble.seed).child("rambo").child("offline")
    pairs, units, _ = offline_units(dataclasses.replace(call, streams=streams))
    count, more = closest_pairs(config), config.plus.repeats - 1
    with stage("offline", len(units) + 2 * count * more, call.emit) as advance:
        utilities = accuracies(call.ensemble.run(units, call.emit, advance)).view(-1, 2)
        if count:
            fitted = utilities[: len(pairs) - held_out_pairs(config)]
            closest = (fitted[:, 0] - fitted[:, 1]).abs().argsort(stable=True)[:count]
            places = [2 * pair + side for pair in closest.tolist() for side in range(2)]
            again = [
                # The first of these is what RAMBO itself trains again, where the pair is one of its repeated ones.
                call.ensemble.fit_unit(pairs[i // 2][i % 2], "repeat", i + turn * len(units))
                for turn in range(more)
                for i in places
            ]
            further = accuracies(call.ensemble.run(again, call.emit, advance)).view(more, -1, 2)
            utilities[closest] = torch.cat([utilities[closest][None], further]).mean(0)
    samples = UtilitySamples(pairs, utilities, torch.zeros_like(utilities))
    call.emit(samples.event("offline"))
    return samples


def learn(call: Call, view: RidgeView) -> tuple[RidgeModel, Figures]:
    """Return u_hat, its statistics in units of the pairs and weighed by them, and how it ranks held-out pairs."""
    settings, votes = call.config.plus, None
    if settings.caution:
        votes = resampled(view, _MEMBERS, call.streams.torch("votes"))
    if not settings.weigh:
        weights = view.certain if votes is None else view.certain.repeat(_MEMBERS, 1)
        return RidgeModel(view, weights, votes, settings.caution), {}
    training, held_out = hold_out(true_pairs(call), held_out_pairs(call.config))
    view = in_units_of_pairs(view, training.pairs)
    weights = _weights(call, view, votes, training)
    model = RidgeModel(view, weights, votes, settings.caution)
    figures: Figures = {"true pairs fitted": len(training)}
    if not len(held_out):
        return model, figures
    # Pair by pair: an ensemble compares what it is asked about together, and each pair is of another size.
    ranked = torch.stack([model.utilities(pair) for pair in held_out.pairs])
    share = losses.ranking_accuracy(ranked, held_out.utilities)
    tau = losses.kendall_tau(ranked.flatten(), held_out.utilities.flatten())
    call.emit(RankingAudited("offline", len(held_out), share, tau))
    if share is not None:
        figures["held-out pairs in true order"] = share
    return model, figures | {"held-out pairs": len(held_out)}


def _weights(call: Call, view: RidgeView, votes: Tensor | None, training: UtilitySamples) -> Tensor:
    """Return the weights of the statistics, `3`, or of each member's on pairs drawn with replacement, `e x 3`."""
    values = view.statistics(training.subsets, votes)
    if votes is None:
        return fit_weights(values.view(len(training), 2, -1), training.utilities)
    generator = call.streams.torch("pairs")
    samples = torch.randint(len(training), (len(votes), len(training)), generator=generator)
    return torch.stack(
        [
            fit_weights(own.view(len(training), 2, -1)[pairs], training.utilities[pairs])
            for own, pairs in zip(values, samples, strict=True)
        ]
    )


def _halves(call: Call, whole: RidgeView) -> tuple[RidgeView, RidgeView | None]:
    """Return what chooses, and what judges the choice afterwards: all of S_val and nobody, or a random half each."""
    count = len(whole.validation)
    if not call.config.plus.halves or count < 2:
        return whole, None
    order = torch.randperm(count, generator=call.streams.torch("halves"))
    first, second = order[: -(-count // 2)], order[-(-count // 2) :]
    return whole.part(first.sort().values), whole.part(second.sort().values)


def _lead(utilities: Tensor, place: int) -> Tensor:
    """Return how far the taken batch lies above the mean of all, in units of their spread, of each row of `2 x s`."""
    apart = utilities - utilities.mean(1, keepdim=True)
    spread = utilities.std(1, correction=0)
    return torch.where(spread > 0, apart[:, place] / spread, 0)


def _lead_figures(leads: list[Tensor]) -> Figures:
    """Return what of the lead on the half of S_val that chose is there on the other half too, as means of the steps."""
    if not leads:
        return {}
    choosing, judging = torch.stack(leads).mean(0).tolist()
    return {LEAD_CHOOSING: choosing, LEAD_JUDGING: judging}


def _proposer_figures(proposers: Counter[str]) -> Figures:
    """Return whose batches were taken, the most frequent first."""
    words = [f"{lineup.of(name).word} {count}" for name, count in proposers.most_common()]
    return {BATCHES_TAKEN: ", ".join(words)} if words else {}
