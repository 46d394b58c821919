"""RAMBO: one function per algorithm box of the paper. Read this first, beside the paper.

Pretraining learns from the k labels at hand a set utility model u_hat; acquisition spends the whole budget B in one
round. Line numbers in the comments are those of the boxes.

In words: S_0 are the images with labels, U_0 those without, S_val those that measure a classifier f. The *utility* of
a set of labeled images is the accuracy on S_val of an f trained on it. Training f for every set we think of would take
forever, so u_hat learns to predict utilities, and above all which of two sets is better.
"""

import dataclasses
import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from rambo.config import Config
from rambo.estimate.work import pool_sizes
from rambo.events import stage
from rambo.method.acquisition import (
    GreedyStep,
    choice_evidence,
    filter_for,
    margins,
    random_chunks,
    rank_by,
)
from rambo.method.pools import Problem, Selection, union, without
from rambo.method.ranking import audit, ranking_figures
from rambo.method.utility_model import (
    Elements,
    UtilityModel,
    embed_elements,
    embed_others,
    predict_subsets,
    predict_unions,
)
from rambo.method.utility_samples import Pair, UtilitySamples, interpolate_utilities, random_pairs
from rambo.runs import paths
from rambo.training.call import Call
from rambo.training.ensemble import Predictions
from rambo.training.iteration import evaluate_pool, fit_iteration
from rambo.training.offline import Offline, warm_start


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
        # A new f from random weights for every pool, never one trained on: acc_i is the utility of S_i only if f has
        # seen nothing else. acc_0 is the lower end of the first interpolation.
        current = evaluate_pool(call, labeled, 0, (), offline)  # line 6
        # The offline pairs have warmed up u_hat_0 and are not in D: it grows with the labeled pool alone.
        # With `keep_true` they are, which is not in the paper.
        keeps = call.config.rambo.rounds.keep_true
        samples = offline.training if keeps else UtilitySamples.empty()  # line 7
        advance()
        for i, batch in enumerate(slices):  # line 8
            # A stream for each iteration, so that one more draw in here shifts no later one.
            draw, phase = streams.child(f"pretraining-{i}"), f"pretraining-{i + 1}"
            # The labels of s_{i+1} were known all along, so this loop costs trainings of f and no label.
            grown = union(labeled, batch)  # line 9
            # n pairs of subsets of S_i, a size for each pair: D holds sets of all lengths, and within a pair no set
            # wins by being larger. Which they are does not depend on f: drawn now, their OT is solved while f is
            # trained.
            pairs = random_pairs(problem, labeled, call.config.rambo.pairs_per_iteration, draw)
            # acc_{i+1} is measured on S_val, which never trains f.
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
            # It goes on from the weights it has: u_hat_{i+1} is u_hat_i with more to learn from.
            model = fit_iteration(model, problem, samples, offline.judges, draw, phase, emit)  # 14
            # Nothing below depends on it: on pairs with true utilities it shows how far u_hat can be trusted so far.
            audit(model, problem, offline.held_out, phase, emit)
            # f on S_{i+1} serves twice: as the upper end here and as the lower end of the next iteration.
            labeled, current = grown, following
            advance()
    # The last labeled pool is S_0, so its f is the one that scores the unlabeled images.
    assert current.predictions is not None
    return Pretrained(model, current.predictions, samples, offline)


def acquire(call: Call, pretrained: Pretrained, *, lowest: bool = False) -> Selection:
    """Return the batches taken greedily until the budget is spent (Algorithm 1, lines 15-17), with their evidence.

    Choice: margins and element embeddings are computed once, because no label arrives from here on.
    """
    problem, size = call.problem, call.config.acquisition.batch_size
    model, predictions, offline = pretrained.model, pretrained.predictions, pretrained.offline
    # Of every image, from the one f that saw all labels there are: p of its first class minus p of its second.
    scores = margins(predictions.probabilities)
    with stage("acquisition", -(-call.budget // size), call.emit) as advance:
        # Small margin: f hesitates between two classes, so a label there is news.
        chosen, utilities, elements = spend(call, model, scores, advance, lowest=lowest)
        # Only now the images that no step could reach: the pages ask about any batch.
        embed_others(model, problem, elements)
    # `margin` and `predicted_class` are f's, `predicted_utility` is u_hat's of S_j with the whole batch of a step.
    # What the pages need to explain the choice, kept beside it so that they never run a model themselves.
    pools = union(problem.labeled, problem.unlabeled)
    return Selection(
        indices=chosen,
        steps=torch.arange(call.budget) // size,
        evidence=choice_evidence(chosen, scores, predictions.probabilities, utilities),
        arrays={
            paths.U_HAT: dict(model.network.state_dict()),
            paths.POOLS: {
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
    steps = -(-call.budget // size)  # tau_2
    # Only images that a step can reach are embedded: a step takes at most b of the M smallest margins left, so an
    # image behind the first M + (tau_2 - 1) b is never among the M smallest.
    remaining = rank_by(call.problem.unlabeled, scores)
    remaining = remaining[: acquisition.filtered + (steps - 1) * size]
    # An image is embedded once, not once a step: u_hat changes no more from here on.
    elements = embed_elements(model, call.problem, remaining)
    labeled, utilities = call.problem.labeled, torch.zeros(0)
    for j in range(steps):  # line 15
        # Where b does not divide B the last step is smaller, and its filter shrinks with it: as many candidates.
        count = min(size, call.budget - len(utilities))
        filter_size = filter_for(acquisition.filtered, size, count)
        # The split of line 4 is the only chance in the acquisition, and each step has its own.
        generator = call.streams.torch(f"acquisition-{j}")
        step = greedy_margin(model, elements, labeled, remaining, filter_size, count, generator)
        # The control: the same candidates, the other end.
        step = dataclasses.replace(step, lowest=lowest)
        # All candidates with their predicted utilities, not the best alone: the pages show what was passed over.
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
    # Sorted once by the caller, so the M smallest margins are the first M; no image of S_j is among them.
    filtered = remaining[:filter_size]  # line 3
    batches = random_chunks(filtered, batch_size, generator)  # line 4: s x b
    # Not of the batch alone but of S_j with it: two images that say the same are worth less together.
    utilities = predict_unions(model, elements, labeled, batches)  # line 5: s
    # The arg max of line 5 is a property of the step; only the order of predictions matters, never their scale.
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
    # Distance between sets in the space of u_hat stands in for a training of f on each of them: 2 n trainings saved.
    # Equation 4 mixes the utilities of S_i and S_{i+1} as the distances do.
    subsets = [subset for pair in pairs for subset in pair]
    # One pass for all sets: 2 n subsets and the two pools between which they are placed.
    embedding = predict_subsets(model, problem, [*subsets, labeled, grown]).embedding
    # The last two rows are S_i and S_{i+1}, whose utilities are known; what lies nearer to one counts more like it.
    to_previous = (embedding[:-2] - embedding[-2]).norm(dim=1)  # line 5: d_i
    to_grown = (embedding[:-2] - embedding[-1]).norm(dim=1)  # line 5: d_{i+1}
    # Never outside [acc_i, acc_{i+1}], so an estimate cannot be wilder than what was measured.
    utilities = interpolate_utilities(to_previous, to_grown, accuracy, grown_accuracy)  # line 6
    # OT needs no f, so it is solved and not interpolated: the OT head learns from true distances.
    return UtilitySamples(pairs, utilities.view(-1, 2), transport)  # line 7


def split_initial(
    labeled: Tensor, config: Config, generator: torch.Generator
) -> tuple[Tensor, list[Tensor]]:
    """Return P_0 with k_1 labels and the slices s_1 .. s_tau1 of b each (Algorithm 1, lines 4-5).

    Choice: where b does not divide k - k_1, the last slice is smaller.
    """
    # tau_1 = (k - k_1) / b slices; the sizes stand in one place, because plans and costs count trainings by them.
    # At random: a slice must be as good an example as any other of what b more labels do.
    order = labeled[torch.randperm(len(labeled), generator=generator)]
    first, *larger = pool_sizes(config)
    slices = [order[a:b] for a, b in itertools.pairwise([first, *larger])]
    return order[:first], slices
