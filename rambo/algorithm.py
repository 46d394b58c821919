"""RAMBO: one function per algorithm box of the paper. Read this first, beside the paper.

Pretraining learns from the k labels at hand a set utility model u_hat; acquisition spends the whole budget B in one
round. Line numbers in the comments are those of the boxes.

In words: S_0 are the images with labels, U_0 those without, S_val those that measure a classifier f. The *utility* of
a set of labeled images is the accuracy on S_val of an f trained on it. Training f for every set we think of would take
forever, so u_hat learns to predict utilities, and above all which of two sets is better.
"""

import copy
import dataclasses
import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from rambo.config import Config
from rambo.estimate.work import pool_sizes
from rambo.events import Emit, LabeledPoolGrew, Noticed, stage
from rambo.method.acquisition import GreedyStep, filter_for, margins, random_chunks, rank_by
from rambo.method.pools import Problem, Selection, union, without
from rambo.method.ranking import audit, judge, ranking_figures
from rambo.method.utility_model import (
    Elements,
    UtilityModel,
    embed_elements,
    embed_others,
    fit_utility_model,
    predict_subsets,
    predict_unions,
)
from rambo.method.utility_samples import (
    Pair,
    UtilitySamples,
    interpolate_utilities,
    random_pairs,
)
from rambo.offline import Offline, transport_units, transport_values, warm_start
from rambo.seeding import Streams
from rambo.training.call import Call
from rambo.training.ensemble import Ensemble, Predictions
from rambo.training.units import FitUnit, Unit


def rambo(call: Call, *, lowest: bool = False) -> Selection:
    """Return B unlabeled images chosen in one round (Algorithm 1).

    Args:
        call: the problem, the budget and what trains f.
        lowest: take the batch of lowest predicted utility instead: a control, not in the paper.
    """
    return acquire(call, pretrain(call), lowest=lowest)


@dataclasses.dataclass(frozen=True, eq=False)
class Pretrained:
    """What pretraining leaves to acquisition.

    Attributes:
        model: u_hat_tau1.
        predictions: of f on S_0.
        samples: D.
        offline: what the offline initialisation left.
    """

    model: UtilityModel
    predictions: Predictions
    samples: UtilitySamples
    offline: Offline


def pretrain(call: Call) -> Pretrained:
    """Return u_hat as the k labels teach it (Algorithm 1, lines 3-14)."""
    problem, streams, emit = call.problem, call.streams, call.emit
    # Before the loop: u_hat_0 has seen how good random parts of S_0 are. Without it the first distances of line 12
    # would come from random weights, and D would fill with numbers that mean nothing.
    offline = warm_start(call.child("offline"))  # line 3
    model = offline.model
    # S_0 is dealt out again, as if its labels were bought slice by slice: first P_0, then P_0 with s_1, and so on up
    # to all of S_0. Each step is an example of what more labels do, and costs no new one. What u_hat learns from it,
    # how utility changes as a pool grows, is what the acquisition asks it later about pools larger than S_0.
    labeled, slices = split_initial(problem.labeled, call.config, streams.torch("split"))  # 4-5
    with stage("pretraining", 1 + 2 * len(slices), emit) as advance:
        # acc_0 is the lower end of the first interpolation.
        current = evaluate_pool(call, labeled, 0, (), offline)  # line 6
        # The offline pairs have warmed up u_hat_0 and are not in D: it grows with the labeled pool alone.
        keeps = call.config.rambo.rounds.keep_true
        samples = offline.training if keeps else UtilitySamples.empty()  # line 7
        advance()
        for i, batch in enumerate(slices):  # line 8
            # A stream for each iteration, so that one more draw in here shifts no later one.
            draw, phase = streams.child(f"pretraining-{i}"), f"pretraining-{i + 1}"
            grown = union(labeled, batch)  # line 9
            # Which subsets of S_i join D does not depend on f: drawn now, their OT is solved while f is trained.
            pairs = random_pairs(problem, labeled, call.config.rambo.pairs_per_iteration, draw)
            following = evaluate_pool(call, grown, i + 1, pairs, offline)  # lines 10-11
            advance()
            # Two trainings of f, on S_i and S_{i+1}, give 2 n samples: all others are read off between these two.
            # D keeps the samples of earlier iterations, so u_hat forgets nothing of smaller pools.
            samples += augment_utility_samples(
                model,
                problem,
                labeled,
                grown,
                current.accuracy,
                following.accuracy,
                pairs,
                following.transport,
            )  # lines 12-13
            emit(samples.event(phase))
            # Bilevel: weights on the smaller half of D, their regularisation on the larger half (Section 4.2.1). The
            # acquisition asks about sets larger than any trained on, so the penalty is chosen by larger sets too.
            model = fit_round(model, problem, samples, offline.judges, draw, phase, emit)  # 14
            # Nothing below depends on it: on pairs with true utilities it shows how far u_hat can be trusted so far.
            audit(model, problem, offline.held_out, phase, emit)
            # f on S_{i+1} serves twice: as the upper end here and as the lower end of the next iteration.
            labeled, current = grown, following
            advance()
    # The last labeled pool is S_0, so its f is the one that scores the unlabeled images.
    assert current.predictions is not None
    return Pretrained(model, current.predictions, samples, offline)


def fit_round(
    model: UtilityModel,
    problem: Problem,
    samples: UtilitySamples,
    judges: UtilitySamples,
    streams: Streams,
    phase: str,
    emit: Emit,
) -> UtilityModel:
    """Return u_hat fitted on D (Algorithm 1, line 14); where there are judges, as it was if they find it worse.

    Choice: judged by the loss on pairs with true utilities that no fit has seen. Not in the paper, whose rounds are
    never asked whether they help.
    """
    before = copy.deepcopy(model) if len(judges) else model
    after = fit_utility_model(
        model,
        problem,
        samples,
        streams,
        bilevel_training=model.config.bilevel.enabled,
        phase=phase,
        emit=emit,
    )
    if not len(judges):
        return after
    was, became = (judge(one, problem, judges) for one in (before, after))
    if became <= was:
        return after
    words = (
        f"on {len(judges)} pairs with true utilities its loss rose from {was:.4f} to {became:.4f}"
    )
    emit(Noticed(f"{phase} is undone: {words}"))
    return before


def acquire(call: Call, pretrained: Pretrained, *, lowest: bool = False) -> Selection:
    """Return the batches taken greedily until the budget is spent (Algorithm 1, lines 15-17), with their evidence.

    Choice: margins and element embeddings are computed once, because no label arrives from here on.
    """
    problem, size = call.problem, call.config.acquisition.batch_size
    model, predictions, offline = pretrained.model, pretrained.predictions, pretrained.offline
    scores = margins(predictions.probabilities)
    with stage("acquisition", -(-call.budget // size), call.emit) as advance:
        # Small margin: f hesitates between two classes, so a label there is news.
        chosen, utilities, elements = spend(call, model, scores, advance, lowest=lowest)
        # Only now the images that no step could reach: the pages ask about any batch.
        embed_others(model, problem, elements)
    # What the pages need to explain the choice, kept beside it so that they never run a model themselves.
    pools = union(problem.labeled, problem.unlabeled)
    return Selection(
        indices=chosen,
        steps=torch.arange(call.budget) // size,
        evidence={
            "margin": scores[chosen],
            "predicted_class": predictions.probabilities[chosen].argmax(1),
            "predicted_utility": utilities,
        },
        arrays={
            "u_hat": dict(model.network.state_dict()),
            "pools": {
                "indices": pools,
                "elements": elements.values[pools].float(),
                "probabilities": predictions.probabilities[pools],
                "embeddings": predictions.embeddings[pools],
            },
        },
        ranking=offline.figures
        | ranking_figures(model, problem, pretrained.samples, offline.held_out),
    )


def spend(
    call: Call,
    model: UtilityModel,
    scores: Tensor,
    advance: Callable[[], None] = lambda: None,
    *,
    lowest: bool = False,
) -> tuple[Tensor, Tensor, Elements]:
    """Return B indices in the order of choice, the predicted utility of each one's step, and the embeddings used.

    Args:
        call: S_0, U_0, B, b and M.
        model: u_hat.
        scores: margins of all `N` images.
        advance: called after each step.
        lowest: whether the lowest predicted utility is taken.
    """
    acquisition, size, emit = call.config.acquisition, call.config.acquisition.batch_size, call.emit
    steps = -(-call.budget // size)
    # Only images that a step can reach are embedded: a step takes at most b of the M smallest margins left, so an
    # image behind the first M + (tau_2 - 1) b is never among the M smallest.
    remaining = rank_by(call.problem.unlabeled, scores)
    remaining = remaining[: acquisition.filtered + (steps - 1) * size]
    elements = embed_elements(model, call.problem, remaining)
    labeled, utilities = call.problem.labeled, torch.zeros(0)
    for j in range(steps):  # line 15
        # Where b does not divide B the last step is smaller, and its filter shrinks with it: as many candidates.
        count = min(size, call.budget - len(utilities))
        filter_size = filter_for(acquisition.filtered, size, count)
        generator = call.streams.torch(f"acquisition-{j}")
        step = greedy_margin(model, elements, labeled, remaining, filter_size, count, generator)
        step = dataclasses.replace(step, lowest=lowest)
        emit(step.event(j, steps, scores))
        # The images move without their labels: u_hat asks for images alone, and f is not trained again. So all B can
        # be handed to a labeler at once, and the next batch still knows of this one and does not repeat it.
        labeled, remaining = union(labeled, step.best), without(remaining, step.best)  # line 16
        utilities = torch.cat([utilities, step.utility.expand(len(step.best))])
        advance()
    # `union` appends, so what stands behind S_0 is the choice, in its order.
    return labeled[len(call.problem.labeled) :], utilities, elements  # line 17


def greedy_margin(
    model: UtilityModel,
    elements: Elements,
    labeled: Tensor,
    remaining: Tensor,
    filter_size: int,
    batch_size: int,
    generator: torch.Generator,
) -> GreedyStep:
    """Return the candidate batches of one step with their predicted utilities (Algorithm 2).

    Args:
        model: u_hat.
        elements: every image that can be chosen, embedded once.
        labeled: S_j.
        remaining: U_j in order of increasing margin.
        filter_size: M; `batch_size` makes this margin sampling, the whole pool pure u_hat.
        batch_size: b.
        generator: decides the split.
    """
    # The filter knows single images, u_hat knows sets: the first keeps the second to images worth a label, the second
    # sees which of them go together. Cut at random, every image of the filter stands in one candidate.
    filtered = remaining[:filter_size]  # line 3
    batches = random_chunks(filtered, batch_size, generator)  # line 4: s x b
    # Not of the batch alone but of S_j with it: two images that say the same are worth less together.
    utilities = predict_unions(model, elements, labeled, batches)  # line 5: s
    return GreedyStep(batches, utilities)  # lines 6-7: the caller moves the best


def augment_utility_samples(
    model: UtilityModel,
    problem: Problem,
    labeled: Tensor,
    grown: Tensor,
    accuracy: float,
    grown_accuracy: float,
    pairs: tuple[Pair, ...],
    transport: Tensor,
) -> UtilitySamples:
    """Return new utility samples whose utilities are interpolated, not trained (Algorithm 3).

    Choice: phi is the current u_hat in eval mode, before this iteration's training.

    Args:
        model: u_hat.
        problem: the images.
        labeled: S_i.
        grown: S_{i+1}.
        accuracy: acc_i.
        grown_accuracy: acc_{i+1}.
        pairs: random subsets of S_i (line 4).
        transport: `p x 2` true OT distances of these subsets.
    """
    # Distance between sets in the space of u_hat stands in for a training of f on each of them.
    subsets = [subset for pair in pairs for subset in pair]
    embedding = predict_subsets(model, problem, [*subsets, labeled, grown]).embedding
    # The last two rows are S_i and S_{i+1}, whose utilities are known; what lies nearer to one counts more like it.
    to_previous = (embedding[:-2] - embedding[-2]).norm(dim=1)  # line 5: d_i
    to_grown = (embedding[:-2] - embedding[-1]).norm(dim=1)  # line 5: d_{i+1}
    # Never outside [acc_i, acc_{i+1}], so an estimate cannot be wilder than what was measured.
    utilities = interpolate_utilities(to_previous, to_grown, accuracy, grown_accuracy)  # line 6
    return UtilitySamples(pairs, utilities.view(-1, 2), transport)  # line 7


def split_initial(
    labeled: Tensor, config: Config, generator: torch.Generator
) -> tuple[Tensor, list[Tensor]]:
    """Return P_0 with k_1 labels and the slices s_1 .. s_tau1 of b each (Algorithm 1, lines 4-5).

    Choice: where b does not divide k - k_1, the last slice is smaller.
    """
    # At random: a slice must be as good an example as any other of what b more labels do.
    order = labeled[torch.randperm(len(labeled), generator=generator)]
    first, *larger = pool_sizes(config)
    slices = [order[a:b] for a, b in itertools.pairwise([first, *larger])]
    return order[:first], slices


@dataclasses.dataclass(frozen=True, eq=False)
class PoolResult:
    """What f on a labeled pool S_i gave.

    Attributes:
        accuracy: acc_i.
        predictions: of f on all pools where S_i is all of S_0, else None.
        transport: `p x 2` OT distances of the pairs that were asked for, in the units u_hat_0 was fitted in.
    """

    accuracy: float
    predictions: Predictions | None
    transport: Tensor


def evaluate_pool(
    call: Call, labeled: Tensor, iteration: int, pairs: tuple[Pair, ...], offline: Offline
) -> PoolResult:
    """Return what f trained on S_i gives, and the OT of the pairs, solved meanwhile (Algorithm 1, lines 6, 10, 11)."""
    ensemble, emit = call.ensemble, call.emit
    unit = pool_unit(labeled, iteration, ensemble)
    # `run` takes the longest first: where there are other processes, they solve OT while f is trained.
    work: list[Unit] = [unit, *transport_units(offline.ground, pairs, ensemble.device)]
    first, *rest = ensemble.run(work, emit, lambda: None)
    accuracy = first.record["accuracies"]["validation"]
    emit(LabeledPoolGrew(iteration=iteration, labeled=len(labeled), accuracy=accuracy))
    predictions = ensemble.predictions(unit, first) if len(unit.predicted) else None
    # In the units that u_hat_0 was fitted in: its OT head goes on from there.
    transport = offline.transport_scale.units(transport_values(rest, pairs), pairs)
    return PoolResult(accuracy, predictions, transport)


def pool_unit(labeled: Tensor, iteration: int, ensemble: Ensemble) -> FitUnit:
    """Return the training of f on S_i; f on all of S_0 is asked for predictions, which the margins need."""
    whole = len(labeled) == len(ensemble.problem.labeled)
    return ensemble.fit_unit(labeled, "labeled", iteration, predict=whole)
