"""The work of a run, counted in one place: which units of work each stage runs, of what role and size. No torch.

The algorithm and the strategies take their numbers from here, and costs, plans, studies and pages count the same
records. `tests/estimate/test_work.py` holds both to what a run really does.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from rambo import lineup
from rambo.config import Config
from rambo.datasets import corruption
from rambo.datasets.prepared import LABELED, TEST, VALIDATION, Prepared
from rambo.method.sizes import smallest_size

ROLES = ("offline", "repeat", "labeled", "llal", "guesses", "evaluation")  # of classifiers
# Choice: an image asked about, in images trained on; stands for fixed costs too
_EVALUATED = 1 / 50


@dataclasses.dataclass(frozen=True)
class DataSizes:
    """What the work depends on beside the config; the defaults are for a dataset nobody has looked at.

    Attributes:
        classes: c.
        pool: images of S_0 and U_0 together, under imbalance at least, or None.
        validation: images of S_val, or None for the config's number.
        test: images of the test set.
        labeled: k where the dataset decides it, as a partly labeled one does; else None, for the config's.
    """

    classes: int = 10
    pool: int | None = None
    validation: int | None = None
    test: int = 0
    labeled: int | None = None

    @classmethod
    def of(cls, config: Config, data: Prepared) -> "DataSizes":
        """Return the sizes of a prepared dataset under a config that fits it."""
        validation, test = (int(np.sum(data.roles == role)) for role in (VALIDATION, TEST))
        pool = corruption.pool_size(config.dataset, data)
        if data.partly_labeled:
            labeled = int(np.sum(data.roles == LABELED))
            return cls(data.num_classes, pool, validation, test, labeled)
        return cls(data.num_classes, pool, validation or config.dataset.validation_size, test)

    def checked(self, config: Config) -> int:
        """Return how many images S_val has, whatever part of them judges: every training is measured on all."""
        return config.dataset.validation_size if self.validation is None else self.validation


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
class Units:
    """Units of one role that one part of a trial runs.

    Attributes:
        stage: in which they are run.
        role: of classifiers see `ClassifierTrained`; `transport` for OT problems.
        trainings: how many, and how large; OT problems have a subset too.
        content: what decides which these are beside the trial's seed: units of equal content are trained once.
    """

    stage: str
    role: str
    trainings: Trainings
    content: str


# The numbers of Algorithm 1.


def pool_sizes(config: Config) -> list[int]:
    """Return the sizes of the labeled pools P_0 = S_0 less its slices, ..., S_tau1 = S_0 (lines 4-5)."""
    batch = config.acquisition.batch_size
    return [min(config.initial_size + i * batch, config.k) for i in range(config.slices + 1)]


def repeated_pairs(config: Config) -> int:
    """Return how many offline pairs are trained once more: the last ones, to see how often two trainings agree."""
    return min(config.rambo.offline.repeated_pairs, config.rambo.offline.pairs)


def held_out_pairs(config: Config) -> int:
    """Return how many of the offline pairs no fit of u_hat sees: the configured share; two are always fitted."""
    offline = config.rambo.offline
    return min(round(offline.held_out * offline.pairs), offline.pairs - 2)


def further_pairs(config: Config) -> int:
    """Return how many pairs with true utilities DULO has beside those that RAMBO has too."""
    return (config.rivals.dulo.sample_factor - 1) * config.rambo.offline.pairs


def pair_learners(config: Config) -> list[str]:
    """Return the strategies that learn from pairs with true utilities, in the order of the lineup.

    RAMBO+ without weights learns nothing.
    """
    names = lineup.learners(config.strategies)
    return [name for name in names if name != "rambo-plus" or config.plus.weigh]


def closest_pairs(config: Config) -> int:
    """Return how many of the pairs RAMBO+ fits are trained several times: the closer half, where it asks for that.

    A logistic head has one optimum, so its second training would be the first.
    """
    asks = config.plus.weigh and config.plus.repeats > 1
    if not asks or "repeat" in head_roles(config):
        return 0
    return (config.rambo.offline.pairs - held_out_pairs(config)) // 2


def mean_size(pool_size: int, classes: int) -> float:
    """Return the mean size of a random subset, as `utility_samples.draw_pairs` draws them."""
    smallest = smallest_size(pool_size, classes)
    return (smallest + max(smallest, pool_size - 1)) / 2


# What runs them.


def head_roles(config: Config) -> tuple[str, ...]:
    """Return the roles whose classifiers are logistic heads: all, or with a proxy those of the true utilities."""
    if config.classifier.name == "logistic":
        return ROLES
    return ("offline", "repeat") if config.rambo.offline.proxy else ()


def strategy_units(name: str, config: Config, sizes: DataSizes) -> Iterator[Units]:
    """Yield what one strategy runs in a trial until its budget is spent, if nothing was trained before."""
    strategy, validation = lineup.of(name), sizes.checked(config)
    dataset, part = config.dataset, config.dataset.validation_part
    # A training is measured on all of S_val: one serves every part of it.
    judged = f"{dataset.model_dump_json(exclude={'validation_part'})}{part is None}"
    same = f"{judged}{config.classifier.model_dump_json()}{config.k}"
    pairs, each = config.rambo.offline.pairs, mean_size(config.k, sizes.classes)
    pairs_content = f"{same}{pairs}{config.rambo.offline.proxy}"
    moves = strategy.pretrains and config.rambo.utility_model.transport

    def subsets(stage: str, role: str, count: int, size: float, content: str) -> Units:
        return Units(
            stage, role, Trainings(count, count * size, count * validation), f"{role}{content}"
        )

    if name in pair_learners(config):
        yield subsets("offline", "offline", 2 * pairs, each, pairs_content)
        if name == "rambo-plus" and (closest := closest_pairs(config)):
            # Choice: counted in full, though some of them may be among RAMBO's repeated ones.
            again = 2 * closest * (config.plus.repeats - 1)
            yield subsets("offline", "repeat", again, each, f"{pairs_content}closest {again}")
        if further := further_pairs(config) if name == "dulo" else 0:
            content = f"{pairs_content}further {further}"
            yield subsets("offline", "offline", 2 * further, each, content)
    transport = f"{part}"
    if strategy.pretrains:
        if repeated := repeated_pairs(config):
            yield subsets("offline", "repeat", 2 * repeated, each, f"{pairs_content}{repeated}")
        slices = f"{same}{config.initial_size} {config.acquisition.batch_size}"
        for i, size in enumerate(pool_sizes(config)[:-1]):
            yield subsets("pretraining", "labeled", 1, size, f"{slices} {i}")
        if moves:
            yield subsets("offline", "transport", 2 * pairs, each, pairs_content + transport)
            count = 2 * config.rambo.pairs_per_iteration
            for i, size in enumerate(pool_sizes(config)[:-1]):
                smaller = mean_size(size, sizes.classes)
                yield subsets(
                    "pretraining", "transport", count, smaller, f"{slices} {count} {i}{transport}"
                )
    if strategy.learns == "loss":
        evaluated = validation + max((sizes.pool or 0) - config.k, 0)
        content = f"llal{same}{config.rivals.llal.model_dump_json()}"
        yield Units("acquisition", "llal", Trainings(1, config.k, evaluated), content)
    ranking = part or validation
    if name == "rambo-plus" and config.plus.validation == "crossed" and ranking > 1:
        # On S_0 and each half of S_val, asked about all pools as f is.
        evaluated = 2 * validation + (sizes.pool or 0)
        guessing = Trainings(2, 2 * config.k + ranking, 2 * evaluated)
        yield Units("classifier", "guesses", guessing, f"guesses{same}{part}")
    if strategy.reads_classifier:
        stage = "pretraining" if strategy.pretrains else "classifier"
        # f on S_0 is asked about all pools beside its validation accuracy: every strategy finds the same one.
        evaluated = 2 * validation + (sizes.pool or 0)
        yield Units(stage, "labeled", Trainings(1, config.k, evaluated), f"labeled{same}")


def oracle_trainings(config: Config) -> int:
    """Return on how many S_1 an oracle trains in a trial: each of its draws, the best as often as a choice."""
    return config.oracle_draws + config.evaluation.repeats - 1 if config.oracle_draws else 0


def evaluation_units(config: Config, sizes: DataSizes) -> Iterator[Units]:
    """Yield the trainings on S_1 by which the choices of a trial are judged, and those of an oracle's draws.

    Choice: the choices of two strategies or configs count as different ones; where they are not, one is found. Where
    nobody knows the labels nothing is judged.
    """
    if sizes.labeled is not None:
        return
    evaluated = sizes.checked(config) + sizes.test
    whole = Trainings(1, config.k + config.budget, evaluated)
    content = config.model_dump_json()
    for name in config.strategies:
        judged = whole.times(config.evaluation.repeats)
        yield Units("evaluation", "evaluation", judged, f"{name}{content}")
    if config.oracle_draws:
        draws = whole.times(oracle_trainings(config))
        yield Units("oracle", "evaluation", draws, f"oracle{content}")


def trial_units(config: Config, sizes: DataSizes) -> list[Units]:
    """Return what a whole trial runs; what several strategies need counts once."""
    # The pages show f on S_0 in any case, also where no strategy looks at it.
    for_pages = strategy_units("margin", config, sizes)
    several = [strategy_units(name, config, sizes) for name in config.strategies]
    every = [
        unit for part in (*several, for_pages, evaluation_units(config, sizes)) for unit in part
    ]
    once = {unit.content: unit for unit in reversed(every)}
    if "repeat" in head_roles(config):  # a head has one optimum: its second training is the first
        once = {content: unit for content, unit in once.items() if unit.role != "repeat"}
    return list(reversed(once.values()))
