"""One trial: split the data, let every strategy choose, reveal the chosen labels, evaluate.

All strategies of a trial see the same S_0, U_0, S_val, the same f on S_0 and the same seeds, so they are compared in
pairs. Labels are revealed after the choice; the test set is read here and nowhere else.
"""

import dataclasses
import functools
from collections import Counter
from typing import Any, Protocol

import torch
from torch import Tensor

from rambo import lineup, strategies
from rambo.checks import reads_features
from rambo.config import Config, CorruptionConfig
from rambo.datasets import corruption
from rambo.datasets.prepared import POOL, TEST, VALIDATION, Prepared
from rambo.errors import ConfigError
from rambo.events import (
    ClassifierTrained,
    Emit,
    Event,
    StageFinished,
    StrategyEvaluated,
    StrategySelected,
    stage,
)
from rambo.method.pools import UNLABELED, Problem, Selection, union, without
from rambo.seeding import Streams
from rambo.training.backends import Backend
from rambo.training.call import Call
from rambo.training.ensemble import Ensemble, Memo
from rambo.training.units import FitUnit
from rambo.worker.pictures import Shelf, draw

Record = dict[str, Any]
BEST_OF_RANDOM = lineup.ORACLE.name  # an oracle's choice, beside the strategies


class Keeper(Shelf, Protocol):
    """Where a trial's results go, and where a resumed one finds them."""

    def listener(self, trial: int, strategy: str | None) -> Emit:
        """Return the listener for the events of one strategy, or of the trial."""

    def find(self, trial: int, strategy: str) -> Record | None:
        """Return what is kept, or None."""

    def keep_selection(
        self, trial: int, strategy: str, record: Record, selection: Selection
    ) -> None:
        """Keep a choice and its evidence."""

    def keep_result(self, trial: int, strategy: str, record: Record) -> None:
        """Keep the evaluated result."""


@dataclasses.dataclass(frozen=True, eq=False)
class Trial:
    """One split of a dataset: the problem the strategies see, and what only the oracle and the judge know.

    Attributes:
        problem: S_0, U_0 and S_val.
        oracle: `N` class ids as the oracle tells them: where it errs, wrong for some of S_0 and U_0, never elsewhere.
        test: indices of the held-out test set.
        seed: of this trial.
    """

    problem: Problem
    oracle: Tensor
    test: Tensor
    seed: int

    def reveal(self, selection: Selection) -> Tensor:
        """Return the labels `N` after the oracle was asked for the chosen images."""
        labels = self.problem.labels.clone()
        labels[selection.indices] = self.oracle[selection.indices]
        return labels


def split(
    config: Config, data: Prepared, trial: int, features: Tensor | None, features_file: str = ""
) -> Trial:
    """Return trial number `trial` of a checked config.

    Choice: S_0 holds one random image of every class, and the rest of k uniformly at random, so no class is without
    a label; a validation set that the dataset does not fix is drawn in proportion to the classes, anew each trial.
    What is wrong with the data comes afterwards: imbalance thins the pool of which S_0 and U_0 are made, and noise
    changes what the oracle says of it.

    Args:
        config: k, validation size, corruption and seed.
        data: the prepared dataset.
        trial: from 0; its seed is `config.seed + trial`.
        features: `N x d` frozen features, or None.
        features_file: where they lie.
    """
    seed = config.seed + trial
    streams = Streams(seed).child("split")
    oracle = torch.from_numpy(data.labels).long()
    roles = torch.from_numpy(data.roles)
    pool = (roles == POOL).nonzero()[:, 0]
    validation = (roles == VALIDATION).nonzero()[:, 0]
    if not len(validation):
        size = config.dataset.validation_size
        validation = draw_stratified(pool, oracle, size, streams.torch("validation"))
        pool = without(pool, validation)
    pool, oracle = _corrupt(pool, oracle, config.dataset.corruption, data.num_classes, streams)
    order = pool[torch.randperm(len(pool), generator=streams.torch("labeled"))]
    first = torch.stack([order[oracle[order] == c][0] for c in range(data.num_classes)])
    labeled = union(first, without(order, first)[: config.k - len(first)])
    labels = torch.full_like(oracle, UNLABELED)
    known = union(labeled, validation)
    labels[known] = oracle[known]
    problem = Problem(
        images=torch.from_numpy(data.images),
        labels=labels,
        labeled=labeled,
        unlabeled=without(pool, labeled),
        validation=validation,
        num_classes=data.num_classes,
        source=str(data.folder),
        fingerprint=data.fingerprint,
        mean=data.mean,
        std=data.std,
        features=features,
        features_file=features_file,
        reads_features=reads_features(config, data),
    )
    return Trial(problem, oracle, (roles == TEST).nonzero()[:, 0], seed)


def draw_stratified(pool: Tensor, labels: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Return `size` indices of `pool`, sorted, classes in proportion (largest remainder).

    Choice: the last image of a class stays in the pool, where a label of it can be bought.

    Args:
        pool: `m` indices.
        labels: class ids of all `N`.
        size: at most `m` less the number of classes.
        generator: decides which.
    """
    shares = corruption.quota(labels[pool].bincount().numpy(), size)
    order = pool[torch.randperm(len(pool), generator=generator)]
    parts = [order[labels[order] == c][:n] for c, n in enumerate(shares.tolist())]
    return torch.cat(parts).sort().values


def _corrupt(
    pool: Tensor, oracle: Tensor, settings: CorruptionConfig, num_classes: int, streams: Streams
) -> tuple[Tensor, Tensor]:
    """Return the pool once classes are rare, and what the oracle then says of it."""
    left = corruption.keep_imbalanced(
        pool.numpy(),
        oracle.numpy(),
        settings.imbalance,
        num_classes,
        seed=streams.take("imbalance"),
    )
    told = corruption.flip_labels(
        oracle.numpy(),
        left,
        settings.label_noise,
        num_classes,
        settings.noisy_classes,
        seed=streams.take("noise"),
    )
    return torch.from_numpy(left), torch.from_numpy(told)


def run_trial(
    trial: Trial,
    number: int,
    config: Config,
    *,
    keeper: Keeper,
    memo: Memo,
    device: str,
    jobs: int,
    backend: Backend | None = None,
) -> None:
    """Let every strategy of the config choose and be evaluated; what the keeper has is not done again.

    Args:
        trial: the split.
        number: of the trial, from 0.
        config: strategies, budget and all they need.
        keeper: receives events, selections and results.
        memo: where finished units are kept.
        device: torch device of the classifiers.
        jobs: worker processes on a CPU.
        backend: what runs them; processes of this machine if not given.
    """
    ensemble = Ensemble(
        trial.problem,
        config.classifier,
        seed=trial.seed,
        memo=memo,
        device=device,
        jobs=jobs,
        backend=backend,
        compute=config.compute,
    )
    records: dict[str, Record] = {}
    weights = config.rambo.utility_model.ground_cost
    picture = functools.partial(draw, keeper, number, records, ensemble=ensemble, weights=weights)
    for name in config.strategies:
        record = keeper.find(number, name)
        if record is None:
            record = _select(name, trial, number, config, ensemble, keeper)
        records[name] = record
        picture(emit=None)
    picture(emit=keeper.listener(number, None))
    pending = {n: record for n, record in records.items() if record.get("test_accuracy") is None}
    if pending:
        _evaluate(pending, trial, number, ensemble, keeper)
    if config.oracle_draws and keeper.find(number, BEST_OF_RANDOM) is None:
        _best_of_random(trial, number, config, ensemble, keeper)


def _best_of_random(
    trial: Trial, number: int, config: Config, ensemble: Ensemble, keeper: Keeper
) -> None:
    """Keep the best of some random sets of B by validation accuracy: what there is to gain for who ranks sets right.

    Not a strategy: it reads labels that nobody has bought yet.
    """
    streams, pool = Streams(trial.seed).child(BEST_OF_RANDOM), trial.problem.unlabeled
    test = trial.test, trial.oracle[trial.test]
    sets = [
        pool[torch.randperm(len(pool), generator=streams.torch(f"draw-{i}"))[: config.budget]]
        for i in range(config.oracle_draws)
    ]
    units = []
    for i, chosen in enumerate(sets):
        labels = trial.reveal(Selection(chosen, chosen))
        grown = union(trial.problem.labeled, chosen)
        units.append(ensemble.fit_unit(grown, "evaluation", i, labels=labels, test=test))
    emit = keeper.listener(number, None)
    with stage("oracle", len(units), emit) as advance:
        outcomes = ensemble.run(units, emit, advance)
    best = max(range(len(sets)), key=lambda i: outcomes[i].record["accuracies"]["validation"])
    accuracies = outcomes[best].record["accuracies"]
    record: Record = {
        "strategy": BEST_OF_RANDOM,
        "seed": trial.seed,
        "selected": sets[best].tolist(),
        "steps": [0] * config.budget,
        "validation_accuracy": accuracies["validation"],
        "test_accuracy": accuracies["test"],
        "seconds": {},
        "trainings": sum(not outcome.cached for outcome in outcomes),
        "cached_trainings": sum(outcome.cached for outcome in outcomes),
        "ranking": {},
        "figures": {"random sets": config.oracle_draws},
    }
    keeper.keep_result(number, BEST_OF_RANDOM, record)


@dataclasses.dataclass
class _Tally:
    """Counts trainings and seconds while events pass through to the listener."""

    emit: Emit
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    trained: Counter[bool] = dataclasses.field(default_factory=Counter)

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageFinished):
            self.seconds[event.stage] = round(event.seconds, 3)
        elif isinstance(event, ClassifierTrained):
            self.trained[event.cached] += 1
        self.emit(event)


def _select(
    name: str, trial: Trial, number: int, config: Config, ensemble: Ensemble, keeper: Keeper
) -> Record:
    """Let one strategy spend the budget, keep its choice, and return the record."""
    tally = _Tally(keeper.listener(number, name))
    call = Call(
        trial.problem,
        config.budget,
        config,
        streams=Streams(trial.seed).child(name),
        ensemble=ensemble,
        emit=tally,
    )
    selection = strategies.find(name)(call)
    _check(name, selection, call)
    record: Record = {
        "strategy": name,
        "seed": trial.seed,
        "selected": selection.indices.tolist(),
        "steps": selection.steps.tolist(),
        "validation_accuracy": None,
        "test_accuracy": None,
        "seconds": tally.seconds,
        "trainings": tally.trained[False],
        "cached_trainings": tally.trained[True],
        "ranking": dict(selection.ranking),
        "figures": dict(selection.figures),
    }
    keeper.keep_selection(number, name, record, selection)
    tally(StrategySelected(name, config.budget, sum(tally.seconds.values())))
    return record


def _check(name: str, selection: Selection, call: Call) -> None:
    """Refuse a choice that breaks the contract, as a strategy of someone else may.

    Raises:
        ConfigError: it is not B distinct unlabeled images, with a step each.
    """
    problem = ""
    if not isinstance(selection, Selection):
        problem = f"returned a {type(selection).__name__}"
    else:
        chosen = selection.indices.tolist()
        outside = set(chosen) - set(call.problem.unlabeled.tolist())
        if len(chosen) != call.budget or len(selection.steps) != call.budget:
            problem = f"chose {len(chosen)} images in {len(selection.steps)} places"
        elif len(set(chosen)) < len(chosen):
            problem = "chose an image twice"
        elif outside:
            problem = f"chose image {min(outside)}, which is not unlabeled"
    if problem:
        raise ConfigError(
            problem,
            field="strategies",
            value=name,
            hint=f"let it return a Selection of {call.budget} distinct images of call.problem.unlabeled",
        )


def _evaluate(
    pending: dict[str, Record], trial: Trial, number: int, ensemble: Ensemble, keeper: Keeper
) -> None:
    """Reveal the chosen labels, train a fresh f on every S_1 at once, and keep the results."""
    test = trial.test, trial.oracle[trial.test]
    units: list[FitUnit] = []
    for index, record in enumerate(pending.values()):
        chosen = torch.tensor(record["selected"])
        grown = union(trial.problem.labeled, chosen)
        labels = trial.reveal(Selection(chosen, chosen))
        units.append(ensemble.fit_unit(grown, "evaluation", index, labels=labels, test=test))
    emit = keeper.listener(number, None)
    with stage("evaluation", len(units), emit) as advance:
        outcomes = ensemble.run(units, emit, advance)
    for (name, record), outcome in zip(pending.items(), outcomes, strict=True):
        accuracies = outcome.record["accuracies"]
        count = "cached_trainings" if outcome.cached else "trainings"
        finished = record | {
            "validation_accuracy": accuracies["validation"],
            "test_accuracy": accuracies["test"],
            "seconds": record["seconds"] | {"evaluation": round(outcome.record["seconds"], 3)},
            count: record[count] + 1,
        }
        keeper.keep_result(number, name, finished)
        keeper.listener(number, name)(
            StrategyEvaluated(name, accuracies["validation"], accuracies["test"])
        )
