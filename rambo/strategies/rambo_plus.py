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
    views, judging = views_of(call, whole)
    model, figures = learn(call, views)
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
                "margins_before": _margins(whole, views, problem.labeled),
                "margins_after": _margins(whole, views, labeled),
            }
        },
        figures=figures | _lead_figures(leads) | _proposer_figures(proposers),
    )


def _margins(whole: RidgeView, views: tuple[RidgeView, ...], subset: Tensor) -> Tensor:
    """Return the margin of every validation image under the set, each as the view that it has a say in sees it."""
    margins_of = whole.margins(subset)
    if len(views) > 1:
        for view in views:
            margins_of[torch.isin(whole.validation, view.validation)] = view.margins(subset)
    return margins_of


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


def learn(call: Call, views: tuple[RidgeView, ...]) -> tuple[RidgeModel, Figures]:
    """Return u_hat, its statistics in units of the pairs and weighed by them, and how it ranks held-out pairs."""
    settings, votes = call.config.plus, tuple[Tensor, ...]()
    if settings.caution:
        generator = call.streams.torch("votes")
        votes = tuple(resampled(view, _MEMBERS, generator) for view in views)
    certain = views[0].certain.repeat(_MEMBERS, 1) if votes else views[0].certain
    model = RidgeModel(views, certain, votes, settings.caution)
    if not settings.weigh:
        return model, {}
    training, held_out = hold_out(true_pairs(call), held_out_pairs(call.config))
    views = tuple(in_units_of_pairs(view, training.pairs) for view in views)
    model = dataclasses.replace(model, views=views)
    model = dataclasses.replace(model, weights=_weights(call, model, training))
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


def _weights(call: Call, model: RidgeModel, training: UtilitySamples) -> Tensor:
    """Return the weights of the statistics, `3`, or of each member's on pairs drawn with replacement, `e x 3`."""
    count, values = len(training), model.statistics(training.subsets)
    if not model.votes:
        return fit_weights(values.view(count, 2, -1), training.utilities)
    samples = torch.randint(count, (len(values), count), generator=call.streams.torch("pairs"))
    return torch.stack(
        [
            fit_weights(own.view(count, 2, -1)[pairs], training.utilities[pairs])
            for own, pairs in zip(values, samples, strict=True)
        ]
    )


def views_of(call: Call, whole: RidgeView) -> tuple[tuple[RidgeView, ...], RidgeView | None]:
    """Return what ranks, and what judges the choice afterwards, if anything does.

    Choice: `crossed` ranks by each half of S_val with labels guessed by a classifier trained on S_0 and the other, so
    no guess has seen the labels it is judged by. f is right in every third of the images it hesitates about; such a
    classifier knows most of them.
    """
    kind, count = call.config.plus.validation, len(whole.validation)
    if kind == "whole" or count < 2:
        return (whole,), None
    order = torch.randperm(count, generator=call.streams.torch("halves"))
    halves = [part.sort().values for part in order.split(-(-count // 2))]
    parts = [whole.part(half) for half in halves]
    if kind == "half":
        return (parts[0],), parts[1]
    problem, ensemble = call.problem, call.ensemble
    units = [
        ensemble.fit_unit(
            union(problem.labeled, problem.validation[half]), "guesses", i, predict=True
        )
        for i, half in enumerate(halves)
    ]
    with stage("classifier", len(units), call.emit) as advance:
        outcomes = ensemble.run(units, call.emit, advance)
    guesses = [
        ensemble.predictions(unit, outcome).probabilities
        for unit, outcome in zip(units, outcomes, strict=True)
    ]
    pool = problem.unlabeled
    return tuple(
        part.guessed(pool, other) for part, other in zip(parts, guesses[::-1], strict=True)
    ), None


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
