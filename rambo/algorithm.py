"""RAMBO: one function per algorithm box of the paper. Read this first, beside the paper.

Pretraining learns from the k labels at hand a set utility model u_hat; acquisition spends the whole budget B in one
round. Line numbers in the comments are those of the boxes.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rambo.config import AcquisitionConfig, Config, UtilityModelConfig
from rambo.events import (
    BatchChosen,
    Emit,
    LabeledPoolGrew,
    NoiseCeilingMeasured,
    Noticed,
    RankingAudited,
    UtilitySamplesAdded,
    ignore,
    stage,
)
from rambo.method import losses
from rambo.method.acquisition import filter_for, margins, random_chunks, rank_by
from rambo.method.pools import Problem, Selection, check_budget, union, without
from rambo.method.transport import GroundCost, ground_cost
from rambo.method.utility_model import (
    Elements,
    UtilityModel,
    create_utility_model,
    embed_elements,
    embed_others,
    fit_utility_model,
    predict_subsets,
    predict_unions,
)
from rambo.method.utility_samples import (
    Pair,
    UtilitySamples,
    draw_pairs,
    interpolate_utilities,
    smallest_size,
    split_by_size,
)
from rambo.seeding import Streams
from rambo.training.ensemble import Ensemble, Predictions
from rambo.training.units import FitUnit, Outcome, TransportUnit

_SHOWN = 8  # candidate batches of a greedy step whose members are reported


def rambo(
    problem: Problem,
    budget: int,
    config: Config,
    *,
    streams: Streams,
    ensemble: Ensemble,
    emit: Emit = ignore,
) -> Selection:
    """Return `budget` unlabeled images chosen in one round (Algorithm 1).

    Args:
        problem: S_0, U_0 and S_val.
        budget: B.
        config: b, M, k_1, n and the utility model.
        streams: randomness of this call.
        ensemble: trains classifiers and solves OT.
        emit: hears of everything a live page draws.

    Raises:
        BudgetError: the budget does not fit the pool.
    """
    check_budget(problem, budget)
    offline = warm_start(problem, config, streams.child("offline"), ensemble, emit)  # line 3
    model = offline.model
    labeled, slices = split_initial(problem.labeled, config, streams.torch("split"))  # lines 4-5
    with stage("pretraining", 1 + 2 * len(slices), emit) as advance:
        accuracy, predictions, _ = fit_labeled(labeled, 0, [], offline, ensemble, emit)  # line 6
        samples = UtilitySamples.empty()  # line 7
        advance()
        for i, batch in enumerate(slices):  # line 8
            draw, phase = streams.child(f"pretraining-{i}"), f"pretraining-{i + 1}"
            grown = union(labeled, batch)  # line 9
            pairs = draw_for(problem, labeled, config.rambo.pairs_per_iteration, draw)
            grown_accuracy, predictions, transport = fit_labeled(
                grown, i + 1, pairs, offline, ensemble, emit
            )  # lines 10-11
            advance()
            samples += augment_utility_samples(
                model, problem, labeled, grown, accuracy, grown_accuracy, pairs, transport
            )  # lines 12-13
            emit(_added(phase, samples))
            model = fit_utility_model(
                model,
                problem,
                samples,
                draw,
                bilevel_training=model.config.bilevel.enabled,
                phase=phase,
                emit=emit,
            )  # line 14
            audit(model, problem, offline.held_out, phase, emit)
            labeled, accuracy = grown, grown_accuracy
            advance()
    assert predictions is not None  # the last labeled pool is S_0
    return acquire(model, problem, budget, predictions, samples, offline, config, streams, emit)


def acquire(
    model: UtilityModel,
    problem: Problem,
    budget: int,
    predictions: Predictions,
    samples: UtilitySamples,
    offline: "Offline",
    config: Config,
    streams: Streams,
    emit: Emit,
) -> Selection:
    """Return the batches taken greedily until the budget is spent (Algorithm 1, lines 15-17), with their evidence.

    Choice: margins and element embeddings are computed once, because no label arrives from here on.
    """
    scores = margins(predictions.probabilities)
    size, pools = config.acquisition.batch_size, union(problem.labeled, problem.unlabeled)
    with stage("acquisition", -(-budget // size), emit) as advance:
        chosen, utilities, elements = spend(
            model, problem, budget, scores, config.acquisition, streams, emit, advance
        )
        embed_others(model, problem, elements)  # for the pages, which ask about any batch
    return Selection(
        indices=chosen,
        steps=torch.arange(budget) // size,
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
        ranking=offline.figures | ranking_figures(model, problem, samples, offline.held_out),
    )


def spend(
    model: UtilityModel,
    problem: Problem,
    budget: int,
    scores: Tensor,
    acquisition: AcquisitionConfig,
    streams: Streams,
    emit: Emit = ignore,
    advance: Callable[[], None] = lambda: None,
) -> tuple[Tensor, Tensor, Elements]:
    """Return B indices in the order of choice, the predicted utility of each one's step, and the embeddings used.

    Only images that a step can reach are embedded: the largest margins of a large pool are never among the M smallest.
    """
    size, steps = acquisition.batch_size, -(-budget // acquisition.batch_size)
    remaining = rank_by(problem.unlabeled, scores)[: acquisition.filtered + (steps - 1) * size]
    elements = embed_elements(model, problem, remaining)
    labeled, utilities = problem.labeled, torch.zeros(0)
    for j in range(steps):  # line 15
        wanted = min(size, budget - len(utilities))
        kept = filter_for(acquisition.filtered, size, wanted)
        step = greedy_margin(
            model, elements, labeled, remaining, kept, wanted, streams.torch(f"acquisition-{j}")
        )
        emit(step.report(j, steps, scores))
        labeled, remaining = union(labeled, step.best), without(remaining, step.best)  # line 16
        utilities = torch.cat([utilities, step.utilities.max().expand(len(step.best))])
        advance()
    return labeled[len(problem.labeled) :], utilities, elements  # line 17


@dataclasses.dataclass(frozen=True, eq=False)
class GreedyStep:
    """The candidate batches of one greedy step, `s x b`, and their predicted utilities, `s`."""

    batches: Tensor
    utilities: Tensor

    @property
    def best(self) -> Tensor:
        """The batch with the highest predicted utility; of equal ones the first."""
        return self.batches[self.utilities.argmax()]

    def report(self, step: int, steps: int, scores: Tensor) -> BatchChosen:
        """Return the event: the winner, the runner-up, and the best few in full."""
        order = self.utilities.argsort(descending=True, stable=True)
        shown = order[:_SHOWN]
        return BatchChosen(
            step=step,
            steps=steps,
            chosen=self.best.tolist(),
            utility=float(self.utilities.max()),
            runner_up=float(self.utilities[order[1]]) if len(order) > 1 else None,
            utilities=self.utilities.tolist(),
            candidates=self.batches[shown].tolist(),
            candidate_utilities=self.utilities[shown].tolist(),
            candidate_margins=scores[self.batches[shown]].mean(1).tolist(),
        )


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
    filtered = remaining[:filter_size]  # line 3
    batches = random_chunks(filtered, batch_size, generator)  # line 4: s x b
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
        pairs: drawn from S_i (line 4; drawn before f is trained, so that their OT is solved meanwhile).
        transport: `2p` true OT distances of their subsets.
    """
    subsets = [subset for pair in pairs for subset in pair]
    embedding = predict_subsets(model, problem, [*subsets, labeled, grown]).embedding
    to_previous = (embedding[:-2] - embedding[-2]).norm(dim=1)  # line 5: d_i
    to_grown = (embedding[:-2] - embedding[-1]).norm(dim=1)  # line 5: d_{i+1}
    utilities = interpolate_utilities(to_previous, to_grown, accuracy, grown_accuracy)  # line 6
    return UtilitySamples(pairs, utilities.view(-1, 2), transport.view(-1, 2))  # line 7


@dataclasses.dataclass(frozen=True, eq=False)
class Offline:
    """What the offline initialisation leaves behind.

    Attributes:
        model: u_hat_0.
        ground: the OT cost of S_0 against S_val, or None with OT off.
        transport_scale: mean OT distance of the offline utility samples.
        held_out: offline pairs with true utilities that no fit sees.
        figures: the noise ceiling and the number of pairs behind it.
    """

    model: UtilityModel
    ground: GroundCost | None
    transport_scale: float
    held_out: UtilitySamples
    figures: dict[str, float | int | None]


def warm_start(
    problem: Problem, config: Config, streams: Streams, ensemble: Ensemble, emit: Emit
) -> Offline:
    """Return u_hat_0 fitted on utility samples with true utilities (Algorithm 1, line 3).

    Choice: the "offline dataset" is pairs of equal-size subsets of S_0, each trained once, so no label is bought;
    they warm up the weights and then leave D. A share is held out as an audit. The last pairs are trained once more
    for the noise ceiling, the held-out ones among them. OT is solved beside the trainings.
    """
    offline, settings = config.rambo.offline, config.rambo.utility_model
    pairs, units, again = offline_fits(problem, config, streams, ensemble)
    subsets = [subset for pair in pairs for subset in pair]
    ground = labeled_ground_cost(problem, settings) if settings.transport else None
    moves = [TransportUnit(ground, s, ensemble.device) for s in subsets] if ground else []
    with stage("offline", len(units) + len(again) + len(moves), emit) as advance:
        outcomes = ensemble.run([*units, *again, *moves], emit, advance)
    utilities = _accuracies(outcomes[: len(units)]).view(-1, 2)
    second = _accuracies(outcomes[len(units) : len(units) + len(again)]).view(-1, 2)
    moved = outcomes[len(units) + len(again) :]
    distances = _distances(moved, len(subsets))
    if ground and not ground.exact:
        emit(Noticed(_bounds(moved)))
    scale = float(distances.mean()) or 1.0
    samples = UtilitySamples(pairs, utilities, (distances / scale).view(-1, 2))
    fitted = len(pairs) - min(round(offline.held_out * len(pairs)), len(pairs) - 2)
    ceiling = losses.agreement(utilities[len(pairs) - len(second) :], second)
    emit(NoiseCeilingMeasured(pairs=len(second), agreement=ceiling))
    emit(_added("offline", samples))
    model = fit_utility_model(
        create_utility_model(problem, settings, streams),
        problem,
        samples.take(torch.arange(fitted)),
        streams,
        bilevel_training=False,
        phase="offline",
        emit=emit,
    )
    held_out = samples.take(torch.arange(fitted, len(pairs)))
    audit(model, problem, held_out, "offline", emit)
    figures = {"noise_ceiling": ceiling, "ceiling_pairs": len(second)}
    return Offline(model, ground, scale, held_out, figures)


def offline_fits(
    problem: Problem, config: Config, streams: Streams, ensemble: Ensemble
) -> tuple[tuple[Pair, ...], list[FitUnit], list[FitUnit]]:
    """Return the offline pairs, the trainings that give their true utilities, and the repeated ones."""
    offline = config.rambo.offline
    pairs = draw_for(problem, problem.labeled, offline.pairs, streams)
    subsets = [subset for pair in pairs for subset in pair]
    repeated = range(2 * (len(pairs) - min(offline.ceiling_pairs, len(pairs))), len(subsets))
    ensemble = ensemble.proxy() if offline.proxy else ensemble
    units = [ensemble.fit(subset, "offline", i) for i, subset in enumerate(subsets)]
    return pairs, units, [ensemble.fit(subsets[i], "repeat", i) for i in repeated]


def split_initial(
    labeled: Tensor, config: Config, generator: torch.Generator
) -> tuple[Tensor, list[Tensor]]:
    """Return P_0 with k_1 labels and the slices s_1 .. s_tau1 of b each (Algorithm 1, lines 4-5).

    Choice: where b does not divide k - k_1, the last slice is smaller.
    """
    order = labeled[torch.randperm(len(labeled), generator=generator)]
    rest = order[config.initial_size :]
    slices = list(rest.split(config.acquisition.batch_size)) if len(rest) else []
    return order[: config.initial_size], slices


def draw_for(problem: Problem, pool: Tensor, count: int, streams: Streams) -> tuple[Pair, ...]:
    """Return `count` random pairs of equal-size subsets of a labeled pool (Algorithm 3, line 4)."""
    smallest = smallest_size(len(pool), problem.num_classes)
    return draw_pairs(pool, count, smallest, streams.torch("pairs"))


def fit_labeled(
    labeled: Tensor,
    iteration: int,
    pairs: tuple[Pair, ...] | list[Pair],
    offline: Offline,
    ensemble: Ensemble,
    emit: Emit,
) -> tuple[float, Predictions | None, Tensor]:
    """Train f on S_i and solve the OT of the pairs drawn meanwhile (Algorithm 1, lines 6, 10 and 11).

    Returns:
        acc_i; f's predictions if S_i is all of S_0, else None; `2p` OT distances in units of the offline mean.
    """
    unit = labeled_fit(labeled, iteration, ensemble)
    subsets = [subset for pair in pairs for subset in pair]
    ground, device = offline.ground, ensemble.device
    moves = [TransportUnit(ground, s, device) for s in subsets] if ground else []
    first, *rest = ensemble.run([unit, *moves], emit, lambda: None)
    accuracy = first.record["accuracies"]["validation"]
    emit(LabeledPoolGrew(iteration=iteration, labeled=len(labeled), accuracy=accuracy))
    predictions = ensemble.predictions(unit, first) if len(unit.predicted) else None
    return accuracy, predictions, _distances(rest, len(subsets)) / offline.transport_scale


def labeled_fit(labeled: Tensor, iteration: int, ensemble: Ensemble) -> FitUnit:
    """Return the training of f on S_i; f on all of S_0 is asked for predictions, which the margins need."""
    whole = len(labeled) == len(ensemble.problem.labeled)
    return ensemble.fit(labeled, "labeled", iteration, predict=whole)


def labeled_ground_cost(problem: Problem, settings: UtilityModelConfig) -> GroundCost:
    """Return the OTDD cost between S_0 and S_val, computed once for all their subsets."""
    pool, validation = problem.labeled.sort().values, problem.validation
    weights = settings.ground_cost
    return ground_cost(
        pool.numpy(),
        (_describe(problem, pool), _describe(problem, validation)),
        (problem.labels[pool].numpy(), problem.labels[validation].numpy()),
        num_classes=problem.num_classes,
        feature_weight=weights.feature_weight,
        label_weight=weights.label_weight,
        label_dimensions=weights.label_dimensions,
        exact=weights.exact_for(len(pool)),
    )


def audit(
    model: UtilityModel, problem: Problem, held_out: UtilitySamples, phase: str, emit: Emit
) -> dict[str, float | int | None]:
    """Return, and emit, how well u_hat ranks the held-out pairs, whose true utilities no fit has seen."""
    figures: dict[str, float | int | None] = {"held_out": None, "kendall_tau": None}
    if len(held_out):
        utility = predict_subsets(model, problem, held_out.subsets).utility
        figures = {
            "held_out": losses.ranking_accuracy(utility.view(-1, 2), held_out.utilities),
            "kendall_tau": losses.kendall_tau(utility, held_out.utilities.flatten()),
        }
    emit(
        RankingAudited(
            phase=phase,
            pairs=len(held_out),
            accuracy=figures["held_out"],
            kendall_tau=figures["kendall_tau"],
        )
    )
    return figures | {"held_out_pairs": len(held_out)}


def ranking_figures(
    model: UtilityModel, problem: Problem, samples: UtilitySamples, held_out: UtilitySamples
) -> dict[str, float | int | None]:
    """Return the final ranking accuracy on short (inner) and long (outer) pairs, and the audit's figures."""
    accuracies: list[float | None] = [None, None]
    if len(samples):
        for place, half in enumerate(split_by_size(samples)):
            utility = predict_subsets(model, problem, half.subsets).utility
            accuracies[place] = losses.ranking_accuracy(utility.view(-1, 2), half.utilities)
    inner, outer = accuracies
    return {"inner": inner, "outer": outer} | audit(model, problem, held_out, "final", ignore)


def _describe(problem: Problem, indices: Tensor) -> NDArray[np.float64]:
    """Return the fixed descriptors the OT cost is measured in, `a x d`."""
    return problem.describe_images(indices).double().numpy()


def _added(phase: str, samples: UtilitySamples) -> UtilitySamplesAdded:
    """Return the event that shows all utility samples of a phase."""
    sizes = samples.sizes.repeat_interleave(2).tolist()
    return UtilitySamplesAdded(phase, sizes, samples.utilities.flatten().tolist())


def _accuracies(outcomes: list[Outcome]) -> Tensor:
    """Return the validation accuracies of fits, float64."""
    values = [outcome.record["accuracies"]["validation"] for outcome in outcomes]
    return torch.tensor(values, dtype=torch.float64)


def _bounds(outcomes: list[Outcome]) -> str:
    """Return what to say of OT that was not solved exactly."""
    widths = [(o.record["upper"] - o.record["lower"]) / (o.record["value"] or 1) for o in outcomes]
    return (
        "OT is solved by a shared kernel, not exactly; the exact value lies within guaranteed bounds that are "
        f"{100 * max(widths):.1f} % of it apart at most"
    )


def _distances(outcomes: list[Outcome], count: int) -> Tensor:
    """Return the values of OT units, float64; zeros where OT is off."""
    if not outcomes:
        return torch.zeros(count, dtype=torch.float64)
    return torch.tensor([outcome.record["value"] for outcome in outcomes], dtype=torch.float64)
