"""The offline initialisation (Algorithm 1, line 3): u_hat_0, fitted on utility samples whose utilities are trained.

Choice: the paper's "offline dataset" is pairs of equal-size subsets of S_0, each trained once, so no label is bought.
They warm up the weights and then leave D. A share of them is held out, to audit u_hat against true utilities later.
"""

import dataclasses

import torch
from torch import Tensor

from rambo.config import UtilityModelConfig
from rambo.estimate.work import held_out_pairs, repeated_pairs
from rambo.events import Noticed, TrainingsCompared, stage
from rambo.method import losses
from rambo.method.pools import Problem
from rambo.method.ranking import Figures, audit
from rambo.method.transport import GroundCost, ground_cost
from rambo.method.utility_model import UtilityModel, create_utility_model, fit_utility_model
from rambo.method.utility_samples import Pair, UtilitySamples, random_pairs
from rambo.training.call import Call
from rambo.training.outcomes import Outcome
from rambo.training.units import FitUnit, TransportUnit, Unit

_JUDGING = (
    4  # of the pairs that could be fitted one in so many judges the rounds, where they are judged
)


@dataclasses.dataclass(frozen=True, eq=False)
class Offline:
    """What the offline initialisation leaves behind.

    Attributes:
        model: u_hat_0.
        ground: the OT cost of S_0 against S_val, or None with OT off.
        transport_scale: how OT distances are told, fitted on the offline utility samples.
        training: the pairs with true utilities that it was fitted on.
        judges: pairs that say whether a round made it worse; none unless `rounds.undo_worse`.
        held_out: pairs that no fit sees and that decide nothing.
        figures: how often two trainings agree, and over how many pairs.
    """

    model: UtilityModel
    ground: GroundCost | None
    transport_scale: "TransportScale"
    training: UtilitySamples
    judges: UtilitySamples
    held_out: UtilitySamples
    figures: Figures


@dataclasses.dataclass(frozen=True, eq=False)
class TransportScale:
    """How OT distances are told to u_hat.

    Choice: in units of their mean over the offline utility samples, so that both parts of L_Total are of one size. As a
    residual they are what is left beyond the mean at their size, `a + b / sqrt(n) + c / n`, in units of its spread: OT
    falls with size almost by itself (Spearman -0.93), which pairs of one size cancel.

    Attributes:
        unit: one unit.
        coefficients: a, b, c; None where the whole distance is told.
    """

    unit: float
    coefficients: Tensor | None = None

    @classmethod
    def of(cls, distances: Tensor, pairs: tuple[Pair, ...], *, residual: bool) -> "TransportScale":
        """Return the scale of `2p` distances of the offline utility samples."""
        if not residual:
            return cls(float(distances.mean()) or 1.0)
        terms = _size_terms(pairs)
        coefficients = torch.linalg.lstsq(terms, distances, driver="gelsd").solution
        return cls(float((distances - terms @ coefficients).std()) or 1.0, coefficients)

    def units(self, distances: Tensor, pairs: tuple[Pair, ...]) -> Tensor:
        """Return `2p` distances as `p x 2` units."""
        if self.coefficients is not None:
            distances = distances - _size_terms(pairs) @ self.coefficients
        return (distances / self.unit).view(-1, 2)


def _size_terms(pairs: tuple[Pair, ...]) -> Tensor:
    """Return 1, 1 / sqrt(n) and 1 / n of every set, `2p x 3` float64."""
    sizes = torch.tensor([len(subset) for pair in pairs for subset in pair], dtype=torch.float64)
    return torch.stack([torch.ones_like(sizes), sizes.rsqrt(), sizes.reciprocal()], 1)


def warm_start(call: Call) -> Offline:
    """Return u_hat_0 fitted on utility samples with true utilities.

    The last pairs are trained once more, the held-out ones among them, to see how often two trainings agree.
    """
    problem, emit, settings = call.problem, call.emit, call.config.rambo.utility_model
    pairs, units, repeats = offline_units(call)
    ground = labeled_ground_cost(problem, settings) if settings.transport else None
    # OT is solved beside the trainings: it fills the gaps at their end.
    transports = transport_units(ground, pairs, call.ensemble.device)
    work: list[Unit] = [*units, *repeats, *transports]
    with stage("offline", len(work), emit) as advance:
        outcomes = call.ensemble.run(work, emit, advance)
    trainings, solutions = (
        outcomes[: len(units) + len(repeats)],
        outcomes[len(units) + len(repeats) :],
    )
    first, second = accuracies(trainings).view(-1, 2).split([len(pairs), len(repeats) // 2])
    distances = transport_values(solutions, pairs)
    if ground and not ground.exact:
        emit(Noticed(_bounds(solutions)))
    scale = TransportScale.of(distances, pairs, residual=settings.ground_cost.residual)
    samples = UtilitySamples(pairs, first, scale.units(distances, pairs))
    agreement = losses.agreement(first[len(pairs) - len(second) :], second)
    emit(TrainingsCompared(pairs=len(second), agreement=agreement))
    emit(samples.event("offline"))
    # Set aside before any fit: figures about u_hat are of pairs it never saw.
    training, held_out = hold_out(samples, held_out_pairs(call.config))
    aside = len(training) // _JUDGING if call.config.rambo.rounds.undo_worse else 0
    training, judges = hold_out(training, aside)
    model = fit_offline(call, settings, training)
    audit(model, problem, held_out, "offline", emit)
    figures: Figures = {"trainings_agree": agreement, "agreement_pairs": len(second)}
    return Offline(model, ground, scale, training, judges, held_out, figures)


def offline_units(call: Call) -> tuple[tuple[Pair, ...], list[FitUnit], list[FitUnit]]:
    """Return the offline pairs, the trainings that give their true utilities, and the repeated ones."""
    offline = call.config.rambo.offline
    pairs = random_pairs(call.problem, call.problem.labeled, offline.pairs, call.streams)
    subsets = [subset for pair in pairs for subset in pair]
    ensemble = call.ensemble.proxy() if offline.proxy else call.ensemble
    units = [ensemble.fit_unit(subset, "offline", i) for i, subset in enumerate(subsets)]
    repeated = range(len(subsets) - 2 * repeated_pairs(call.config), len(subsets))
    return pairs, units, [ensemble.fit_unit(subsets[i], "repeat", i) for i in repeated]


def hold_out(samples: UtilitySamples, count: int) -> tuple[UtilitySamples, UtilitySamples]:
    """Return all pairs but the last `count`, to fit, and these, to audit with."""
    order = torch.arange(len(samples))
    split = len(samples) - count
    return samples.take(order[:split]), samples.take(order[split:])


def labeled_ground_cost(problem: Problem, settings: UtilityModelConfig) -> GroundCost:
    """Return the OTDD cost between S_0 and S_val, computed once for all their subsets."""
    pool, validation = problem.labeled.sort().values, problem.validation
    weights = settings.ground_cost
    points = (problem.describe_images(pool), problem.describe_images(validation))
    return ground_cost(
        pool.numpy(),
        (points[0].double().numpy(), points[1].double().numpy()),
        (problem.labels[pool].numpy(), problem.labels[validation].numpy()),
        num_classes=problem.num_classes,
        feature_weight=weights.feature_weight,
        label_weight=weights.label_weight,
        label_dimensions=weights.label_dimensions,
        exact=weights.exact_for(len(pool)),
    )


def transport_units(
    ground: GroundCost | None, pairs: tuple[Pair, ...], device: str
) -> list[TransportUnit]:
    """Return the OT problems of all subsets, pair by pair; none with OT off."""
    if ground is None:
        return []
    return [TransportUnit(ground, subset, device) for pair in pairs for subset in pair]


def transport_values(outcomes: list[Outcome], pairs: tuple[Pair, ...]) -> Tensor:
    """Return the OT distances of all subsets, `2p` float64; zeros with OT off."""
    if not outcomes:
        return torch.zeros(2 * len(pairs), dtype=torch.float64)
    return torch.tensor([outcome.transport.value for outcome in outcomes], dtype=torch.float64)


def accuracies(outcomes: list[Outcome]) -> Tensor:
    """Return the validation accuracies of trainings, float64."""
    values = [outcome.training.accuracies["validation"] for outcome in outcomes]
    return torch.tensor(values, dtype=torch.float64)


def _bounds(outcomes: list[Outcome]) -> str:
    """Return what to say of OT that was not solved exactly."""
    widest = max(outcome.transport.width for outcome in outcomes)
    return (
        "OT is solved by a shared kernel, not exactly; the exact value lies within guaranteed bounds that are "
        f"{100 * widest:.1f} % of it apart at most"
    )


def fit_offline(call: Call, settings: UtilityModelConfig, training: UtilitySamples) -> UtilityModel:
    """Return a new u_hat, fitted on pairs with true utilities and without the bilevel scheme."""
    return fit_utility_model(
        create_utility_model(call.problem, settings, call.streams),
        call.problem,
        training,
        call.streams,
        bilevel_training=False,
        phase="offline",
        emit=call.emit,
    )
