"""What a run will take, by arithmetic alone: labels, classifiers to train, seconds at a given rate.

Imports no torch, so a page can ask at every keystroke. `rambo.worker.plan` measures the rate and looks at what is kept.
"""

import dataclasses
import math
from collections.abc import Mapping

from rambo import lineup
from rambo.config import Config
from rambo.estimate.work import (
    NONE,
    ROLES,
    DataSizes,
    Trainings,
    further_pairs,
    head_roles,
    held_out_pairs,
    oracle_trainings,
    trial_units,
)

EPOCHS = 15  # Choice: 11 to 25 epochs were measured for 50 to 400 FashionMNIST images

# Choices, measured on one core of an AMD EPYC: only ratios and small shares of a run depend on them.
_PASS_SECONDS = 1e-4  # u_hat forward and backward over one 28 x 28 image
_FORWARD = 0.65  # of a pass
_CURVATURE = 1.9  # a Hessian-vector product, in passes
_TRANSPORT_SECONDS = 1.5e-7  # exact OT, for one entry of its cost matrix
_WORKERS_SECONDS = 3.0  # until the worker processes have imported torch
_HEAD_SECONDS = 3e-4  # a logistic head of 100 steps, for each image of its subset; 1,280 features


@dataclasses.dataclass(frozen=True)
class Costs:
    """What a run will take, over all its trials unless it says otherwise.

    Attributes:
        waits: the run ends when the batches are chosen, because nobody knows their labels yet.
        initial_labels: k.
        labels_bought: B.
        validation: images of S_val, whose labels are held too.
        unlabeled: images to choose from, or None where the dataset is unknown.
        trials: how often all is done.
        strategies: how many choose.
        repeats: trainings that judge each choice.
        draws: trainings of an oracle on random sets in a trial, after the strategies.
        trainings: by role, see `ClassifierTrained`; what strategies share counts once a trial.
        heads: the roles whose classifiers are logistic heads.
        slices: tau_1, pretraining iterations of a trial.
        greedy_steps: tau_2 of a trial.
        true_samples: utility samples whose utility is trained, held-out ones included.
        interpolated_samples: utility samples of Algorithm 3.
        transports: OT problems.
        transport_entries: entries of their cost matrices, where sizes are random the mean.
        offline_passes: images that go forward and backward through u_hat in its warm start.
        pretraining_passes: the same in the pretraining.
        acquisition_passes: the same in the acquisition.
    """

    initial_labels: int
    labels_bought: int
    validation: int
    unlabeled: int | None
    trials: int
    strategies: int
    trainings: Mapping[str, Trainings]
    waits: bool = False
    draws: int = 0
    repeats: int = 1
    heads: tuple[str, ...] = ()
    slices: int = 0
    greedy_steps: int = 0
    true_samples: int = 0
    interpolated_samples: int = 0
    transports: int = 0
    transport_entries: float = 0.0
    offline_passes: float = 0.0
    pretraining_passes: float = 0.0
    acquisition_passes: float = 0.0

    @property
    def total(self) -> int:
        """All classifiers to train."""
        return sum(role.count for role in self.trainings.values())

    @property
    def per_trial(self) -> dict[str, int]:
        """Classifiers to train in one trial, by role."""
        return {name: role.count // self.trials for name, role in self.trainings.items()}


@dataclasses.dataclass(frozen=True)
class Rate:
    """How fast a device is.

    Attributes:
        seconds_per_image: training to the end on a subset, divided by its size, on one core or the GPU.
        source: where the number comes from, in words.
        seconds_per_pass: one image forward and backward through u_hat, on one core.
        seconds_per_head_image: of a logistic head, by an image of its subset, on one core.
    """

    seconds_per_image: float
    source: str
    seconds_per_pass: float = _PASS_SECONDS
    seconds_per_head_image: float = _HEAD_SECONDS


def head_seconds(config: Config) -> float:
    """Return the seconds of a logistic head for each image of its subset, where none was trained here yet."""
    return _HEAD_SECONDS * config.classifier.logistic.iterations / 100


def count(config: Config, sizes: DataSizes | None = None) -> Costs:
    """Return what a run of `config` will take."""
    sizes = sizes or DataSizes()
    validation, trials = sizes.checked(config), config.trials
    trainings = dict.fromkeys((*ROLES, "transport"), NONE)
    for units in trial_units(config, sizes):
        trainings[units.role] += units.trainings.times(trials)
    transports = trainings.pop("transport")
    strategies = [lineup.of(name) for name in config.strategies]
    pretrained = sum(strategy.pretrains for strategy in strategies)
    slices = config.slices if pretrained else 0
    learners = len(lineup.learners(config.strategies))
    return Costs(
        initial_labels=config.k,
        labels_bought=config.budget,
        validation=validation,
        unlabeled=sizes.pool - config.k if sizes.pool is not None else None,
        trials=trials,
        strategies=len(config.strategies),
        trainings=trainings,
        waits=sizes.labeled is not None,
        draws=oracle_trainings(config),
        repeats=config.evaluation.repeats,
        heads=head_roles(config),
        slices=slices,
        greedy_steps=config.greedy_steps if any(s.greedy for s in strategies) else 0,
        true_samples=trainings["offline"].count,
        interpolated_samples=2 * config.rambo.pairs_per_iteration * slices * trials,
        transports=transports.count,
        transport_entries=transports.images * validation,
        offline_passes=_offline_passes(config) * trials,
        pretraining_passes=_pretraining_passes(config) * trials * pretrained,
        acquisition_passes=learners * _FORWARD * (sizes.pool or config.k) * trials,
    )


def _offline_passes(config: Config) -> float:
    """Return the passes of the fits of u_hat on true utilities, one for each strategy that learns them."""
    fits = config.rambo.offline.pairs - held_out_pairs(config)
    passes = {
        "rambo": _ordinary_passes(config, fits),
        "rambo-plus": 0.0,  # three weights: nothing beside a network
        "dulo": _ordinary_passes(config, fits + further_pairs(config)),
    }
    return sum(passes.get(name, passes["rambo"]) for name in lineup.learners(config.strategies))


def _pretraining_passes(config: Config) -> float:
    """Return the passes of the fits of u_hat while D grows (Algorithm 1, line 14)."""
    pairs = config.rambo.pairs_per_iteration
    return sum(_fit_passes(config, pairs * (i + 1)) for i in range(config.slices))


def _fit_passes(config: Config, pairs: int) -> float:
    """Return the passes of one fit of u_hat during pretraining."""
    settings = config.rambo.utility_model.bilevel
    if not settings.enabled:
        return _ordinary_passes(config, pairs)
    curved = settings.inner_steps if settings.hypergradient == "unroll" else settings.terms
    # A hyper-step: T inner steps, the outer gradient, the inner graph, curvature, three looks at the losses.
    step = settings.inner_steps + 2 + _CURVATURE * curved + 3 * _FORWARD
    refit = _ordinary_passes(config, pairs) if settings.refit else 0.0
    return config.rambo.utility_model.epochs * step * config.k + refit


def _ordinary_passes(config: Config, pairs: int) -> float:
    """Return the passes of one ordinary fit: every minibatch embeds all of S_0, every report twice."""
    settings = config.rambo.utility_model
    minibatches = math.ceil(pairs / settings.minibatch_pairs)
    return settings.epochs * (minibatches + 2 * _FORWARD) * config.k


def stage_seconds(costs: Costs, rate: Rate, jobs: int) -> dict[str, float]:
    """Return the expected seconds of each stage that does something, over all trials.

    Choice: offline trainings fill all processes but for half a training at the end; those on the labeled pools
    wait for one another; the evaluations of a trial go in rounds of `jobs`, and then an oracle's draws. Reading the
    data is not counted, nor are frozen features, which `rambo.worker.plan` adds.

    Args:
        costs: of the whole run, or of what is left of it.
        rate: of the device.
        jobs: worker processes; 1 on a GPU.
    """
    work = {
        name: role.work
        * (rate.seconds_per_head_image if name in costs.heads else rate.seconds_per_image)
        for name, role in costs.trainings.items()
    }
    number = costs.trainings["offline"].count + costs.trainings["repeat"].count
    offline = (work["offline"] + work["repeat"]) / jobs
    if number:
        idle = (1 - 1 / jobs) / 2  # of the processes that have nothing left to do
        offline += costs.trials * idle * (work["offline"] + work["repeat"]) / number
    transports = _TRANSPORT_SECONDS * costs.transport_entries / jobs
    judges = costs.strategies * costs.repeats
    rounds = math.ceil(judges / jobs) + math.ceil(costs.draws / jobs)
    stages = {
        "offline": offline + transports + rate.seconds_per_pass * costs.offline_passes,
        "pretraining": work["labeled"] + rate.seconds_per_pass * costs.pretraining_passes,
        "acquisition": work["llal"]
        + work["guesses"]
        + rate.seconds_per_pass * costs.acquisition_passes,
        "evaluation": work["evaluation"] * rounds / (judges + costs.draws),
    }
    if jobs > 1 and (number or not costs.waits):
        first = "offline" if number else "evaluation"
        stages[first] += _WORKERS_SECONDS
    return stages


def seconds(costs: Costs, rate: Rate, jobs: int) -> float:
    """Return the expected seconds of a run, or of what is left of it; see `stage_seconds`."""
    return sum(stage_seconds(costs, rate, jobs).values())
