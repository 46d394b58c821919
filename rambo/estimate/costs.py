"""What a run will take, by arithmetic alone: labels, classifiers to train, seconds at a given rate.

Imports no torch, so a page can ask at every keystroke. `rambo.worker.plan` measures the rate and looks at what is kept.
"""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from rambo import lineup
from rambo.config import Config
from rambo.datasets import corruption
from rambo.datasets.prepared import TEST, VALIDATION, Prepared

ROLES = ("offline", "repeat", "labeled", "llal", "evaluation")
EPOCHS = 15  # Choice: 11 to 25 epochs were measured for 50 to 400 FashionMNIST images

# Choices, measured on one core of an AMD EPYC: only ratios and small shares of a run depend on them.
_EVALUATED = 1 / 50  # an image asked about, in images trained on; stands for fixed costs too
_PASS_SECONDS = 1e-4  # u_hat forward and backward over one 28 x 28 image
_FORWARD = 0.65  # of a pass
_CURVATURE = 1.9  # a Hessian-vector product, in passes
_TRANSPORT_SECONDS = 1.5e-7  # exact OT, for one entry of its cost matrix
_WORKERS_SECONDS = 3.0  # until the worker processes have imported torch
_HEAD_SECONDS = 3e-4  # a logistic head of 100 steps, for each image of its subset; 1,280 features


@dataclasses.dataclass(frozen=True)
class DataSizes:
    """What the costs depend on beside the config; the defaults are for a dataset nobody has looked at.

    Attributes:
        classes: c.
        pool: images of S_0 and U_0 together, under imbalance at least, or None.
        validation: images of S_val, or None for the config's number.
        test: images of the test set.
    """

    classes: int = 10
    pool: int | None = None
    validation: int | None = None
    test: int = 0

    @classmethod
    def of(cls, config: Config, data: Prepared) -> "DataSizes":
        """Return the sizes of a prepared dataset under a config that fits it."""
        validation, test = (int(np.sum(data.roles == role)) for role in (VALIDATION, TEST))
        pool = corruption.pool_size(config.dataset, data)
        return cls(data.num_classes, pool, validation or config.dataset.validation_size, test)


@dataclasses.dataclass(frozen=True)
class Trainings:
    """Classifiers to train.

    Attributes:
        count: how many.
        images: the sum of their subset sizes, where it is random its mean.
        evaluated: how many images they are asked about afterwards, in all.
    """

    count: int = 0
    images: float = 0.0
    evaluated: float = 0.0

    @property
    def work(self) -> float:
        """Images to train on, those asked about counted in."""
        return self.images + _EVALUATED * self.evaluated

    def __add__(self, other: "Trainings") -> "Trainings":
        """Return both together."""
        return Trainings(
            self.count + other.count,
            self.images + other.images,
            self.evaluated + other.evaluated,
        )

    def times(self, number: int) -> "Trainings":
        """Return `number` times as much."""
        return Trainings(self.count * number, self.images * number, self.evaluated * number)


NONE = Trainings()


@dataclasses.dataclass(frozen=True)
class Costs:
    """What a run will take, over all its trials unless it says otherwise.

    Attributes:
        labels_held: k.
        labels_bought: B.
        validation: images of S_val, whose labels are held too.
        unlabeled: images to choose from, or None where the dataset is unknown.
        trials: how often all is done.
        strategies: how many choose.
        draws: random sets that an oracle tries in a trial, after the strategies.
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

    labels_held: int
    labels_bought: int
    validation: int
    unlabeled: int | None
    trials: int
    strategies: int
    trainings: Mapping[str, Trainings]
    draws: int = 0
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


def head_roles(config: Config) -> tuple[str, ...]:
    """Return the roles whose classifiers are logistic heads: all, or with a proxy those of the true utilities."""
    if config.classifier.name == "logistic":
        return ROLES
    return ("offline", "repeat") if config.rambo.offline.proxy else ()


def count(config: Config, sizes: DataSizes | None = None) -> Costs:
    """Return what a run of `config` will take."""
    sizes = sizes or DataSizes()
    validation = sizes.validation or config.dataset.validation_size
    strategies, trials = [lineup.of(name) for name in config.strategies], config.trials
    pretrains = any(strategy.pretrains for strategy in strategies)
    trainings = dict.fromkeys(ROLES, NONE)
    judged, grown = len(config.strategies) + config.oracle_draws, config.k + config.budget
    trainings["evaluation"] = Trainings(judged, judged * grown, judged * (validation + sizes.test))
    # The pages show f on S_0 in any case; there it looks at every pool.
    pools = labeled_sizes(config) if pretrains else [config.k]
    seen = (sizes.pool or 0) + validation
    trainings["labeled"] = Trainings(len(pools), sum(pools), len(pools) * validation + seen)
    if any(strategy.learns == "loss" for strategy in strategies):
        unlabeled = max((sizes.pool or 0) - config.k, 0)
        trainings["llal"] = Trainings(1, config.k, validation + unlabeled)
    costs = Costs(
        labels_held=config.k,
        labels_bought=config.budget,
        validation=validation,
        unlabeled=sizes.pool - config.k if sizes.pool is not None else None,
        trials=trials,
        strategies=len(config.strategies),
        trainings={name: role.times(trials) for name, role in trainings.items()},
        draws=config.oracle_draws,
        heads=head_roles(config),
        greedy_steps=config.greedy_steps if any(s.greedy for s in strategies) else 0,
    )
    if lineup.learners(config.strategies):
        costs = _with_utilities(costs, config, sizes)
    return _with_pretraining(costs, config, sizes) if pretrains else costs


def labeled_sizes(config: Config) -> list[int]:
    """Return the sizes of the labeled pools P_0 = S_0 less its slices, ..., S_tau1 = S_0."""
    batch = config.acquisition.batch_size
    return [min(config.initial_size + i * batch, config.k) for i in range(config.slices + 1)]


def mean_size(pool_size: int, classes: int) -> float:
    """Return the mean size of a random subset, as `utility_samples.draw_pairs` draws them."""
    smallest = max(1, min(max(2 * classes, 10), pool_size // 2))
    return (smallest + max(smallest, pool_size - 1)) / 2


def dulo_pairs(config: Config) -> int:
    """Return how many pairs with true utilities DULO has beside those that RAMBO has too."""
    further = config.rivals.dulo.sample_factor - 1 if "dulo" in config.strategies else 0
    return further * config.rambo.offline.pairs


def _with_utilities(costs: Costs, config: Config, sizes: DataSizes) -> Costs:
    """Return the costs with the true utilities that RAMBO and DULO learn from, and with what each makes of them."""
    offline, each = config.rambo.offline, mean_size(config.k, sizes.classes)
    names, further = lineup.learners(config.strategies), dulo_pairs(config)
    samples, repeats = 2 * (offline.pairs + further), 0
    if "rambo" in names and "repeat" not in costs.heads:  # a head has one optimum: no second one
        repeats = 2 * min(offline.ceiling_pairs, offline.pairs)
    trained = {
        name: Trainings(number, number * each, number * costs.validation).times(costs.trials)
        for name, number in (("offline", samples), ("repeat", repeats))
    }
    fitted = offline.pairs - min(round(offline.held_out * offline.pairs), offline.pairs - 2)
    passes = {
        "rambo": _ordinary_passes(config, fitted),
        "rambo-plus": 0,  # three weights: nothing beside a network
        "dulo": _ordinary_passes(config, fitted + further),
    }
    return dataclasses.replace(
        costs,
        trainings={**costs.trainings, **trained},
        true_samples=samples * costs.trials,
        offline_passes=sum(passes[name] for name in names) * costs.trials,
        acquisition_passes=len(names) * _FORWARD * (sizes.pool or config.k) * costs.trials,
    )


def _with_pretraining(costs: Costs, config: Config, sizes: DataSizes) -> Costs:
    """Return the costs with Algorithm 1's pretraining and the OT problems, which are RAMBO's alone."""
    offline, pairs = config.rambo.offline, config.rambo.pairs_per_iteration
    grown = labeled_sizes(config)[:-1]
    images = 2 * offline.pairs * mean_size(config.k, sizes.classes)
    images += 2 * pairs * sum(mean_size(size, sizes.classes) for size in grown)
    trials, moved = costs.trials, config.rambo.utility_model.transport
    interpolated = 2 * pairs * config.slices
    learned = sum(_fit_passes(config, pairs * (i + 1)) for i in range(config.slices))
    return dataclasses.replace(
        costs,
        slices=config.slices,
        interpolated_samples=interpolated * trials,
        transports=(2 * offline.pairs + interpolated) * trials if moved else 0,
        transport_entries=images * costs.validation * trials if moved else 0.0,
        pretraining_passes=learned * trials,
    )


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
    moved = _TRANSPORT_SECONDS * costs.transport_entries / jobs
    rounds = math.ceil(costs.strategies / jobs) + math.ceil(costs.draws / jobs)
    stages = {
        "offline": offline + moved + rate.seconds_per_pass * costs.offline_passes,
        "pretraining": work["labeled"] + rate.seconds_per_pass * costs.pretraining_passes,
        "acquisition": work["llal"] + rate.seconds_per_pass * costs.acquisition_passes,
        "evaluation": work["evaluation"] * rounds / (costs.strategies + costs.draws),
    }
    if jobs > 1:
        first = "offline" if number else "evaluation"
        stages[first] += _WORKERS_SECONDS
    return stages


def seconds(costs: Costs, rate: Rate, jobs: int) -> float:
    """Return the expected seconds of a run, or of what is left of it; see `stage_seconds`."""
    return sum(stage_seconds(costs, rate, jobs).values())
