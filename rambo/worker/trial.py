"""One trial: split the data, let every strategy choose, reveal the chosen labels, evaluate.

All strategies of a trial see the same S_0, U_0, S_val, the same f on S_0 and the same seeds, so they are compared in
pairs. Labels are revealed after the choice; the test set is read here and nowhere else.
"""

import dataclasses
import functools
import statistics
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from rambo import lineup, strategies
from rambo.checks import reads_features
from rambo.config import Config, CorruptionConfig
from rambo.datasets import copies, corruption, repeats
from rambo.datasets.prepared import FOREIGN, LABELED, POOL, TEST, VALIDATION, Prepared
from rambo.datasets.repeats import Restriction
from rambo.errors import ConfigError
from rambo.events import (
    Emit,
    Noticed,
    StrategyEvaluated,
    StrategySelected,
    stage,
)
from rambo.method.pools import UNLABELED, Problem, Selection, union, without
from rambo.runs import paths
from rambo.runs.exclusions import to_arrays
from rambo.runs.record import StoredEvent
from rambo.runs.results import RARE_LABELS, Result, ranking_of
from rambo.seeding import Streams
from rambo.training.backends import Backend
from rambo.training.call import Call
from rambo.training.ensemble import Ensemble, UnitStore
from rambo.training.outcomes import Outcome
from rambo.training.units import FitUnit
from rambo.worker.gating import gate_pool
from rambo.worker.pictures import Shelf, draw
from rambo.worker.tally import Tally

BEST_OF_RANDOM = lineup.ORACLE.name  # an oracle's choice, beside the strategies


class Keeper(Shelf, Protocol):
    """Where a trial's results go, and where a resumed one finds them."""

    def listener(self, trial: int, strategy: str | None) -> Emit:
        """Return the listener for the events of one strategy, or of the trial."""

    def past(self, trial: int, strategy: str | None) -> Sequence[StoredEvent]:
        """Return what earlier attempts told of one strategy, or of the trial."""

    def find(self, trial: int, strategy: str) -> Result | None:
        """Return what is kept, or None."""

    def keep_selection(self, result: Result, selection: Selection) -> None:
        """Keep a choice and its evidence."""

    def keep_result(self, result: Result) -> None:
        """Keep the evaluated result."""

    def is_whole(self, result: Result) -> bool:
        """Return whether the evidence of a kept choice can be read."""


@dataclasses.dataclass(frozen=True, eq=False)
class Trial:
    """One split of a dataset: the problem the strategies see, and what only the oracle and the judge know.

    Attributes:
        problem: S_0, U_0 and S_val.
        oracle: `N` class ids as the oracle tells them: where it errs, wrong for some of S_0 and U_0, never elsewhere.
            None where nobody knows the labels of U_0: a batch is chosen, and waits for its labels.
        test: indices of the held-out test set.
        seed: of this trial.
        restriction: which of U_0 may be chosen, so that no picture is paid for twice; None where all may.
        scenes: the image whose scene each of the `N` shows, where near copies were mixed in; else None.
    """

    problem: Problem
    oracle: Tensor | None
    test: Tensor
    seed: int
    restriction: Restriction | None = None
    scenes: Tensor | None = None

    @property
    def offer(self) -> Problem:
        """The problem as strategies see it: U_0 without what repeats another image."""
        if self.restriction is None:
            return self.problem
        candidates = torch.from_numpy(self.restriction.candidates)
        return dataclasses.replace(self.problem, unlabeled=candidates)

    def reveal(self, selection: Selection) -> Tensor:
        """Return the labels `N` after the oracle, which there must be, was asked for the chosen images."""
        assert self.oracle is not None
        labels = self.problem.labels.clone()
        labels[selection.indices] = self.oracle[selection.indices]
        return labels

    def grow(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Return S_1 and the labels `N`; an image that belongs to no class is paid for and teaches nothing."""
        labels = self.reveal(Selection(chosen, chosen))
        return union(self.problem.labeled, chosen[labels[chosen] != UNLABELED]), labels


def split(
    config: Config, data: Prepared, trial: int, features: Tensor | None, features_file: str = ""
) -> Trial:
    """Return trial number `trial` of a checked config.

    Choice: S_0 holds one random image of every class that the pool has, and the rest of k uniformly at random, so no
    class is without a label; a k below the number of classes is drawn uniformly. A validation set that the dataset
    does not fix is drawn in proportion to the classes, anew each trial. Where a dataset has folds, each trial is judged
    by the next one, and the others join the pool. What is wrong with the data comes afterwards:
    imbalance thins the pool of which S_0 and U_0 are made, and noise changes what the oracle says of it. Of a partly
    labeled dataset S_0 is all that is labeled and U_0 all that is not, in every trial.

    Args:
        config: k, validation size, corruption and seed.
        data: the prepared dataset.
        trial: from 0; its seed is `config.seed + trial`.
        features: `N x d` frozen features, or None.
        features_file: where they lie.

    Raises:
        BudgetError: too few unlabeled images show something new.
    """
    seed = config.seed + trial
    streams = Streams(seed).child("split")
    truth = torch.from_numpy(data.labels).long()
    roles = torch.from_numpy(data.roles)
    judges = torch.from_numpy(data.judges(trial))
    pool = (((roles == POOL) | (roles == TEST)) & ~judges).nonzero()[:, 0]
    validation = (roles == VALIDATION).nonzero()[:, 0]
    oracle: Tensor | None = None
    corrupted = config.dataset.corruption
    if data.partly_labeled:
        labeled = (roles == LABELED).nonzero()[:, 0]
    else:
        if not len(validation):
            size = config.dataset.validation_size
            validation = draw_stratified(pool, truth, size, streams.torch("validation"))
            pool = without(pool, validation)
        # In the order of the whole pool, so that S_0 under imbalance has all that is left of the balanced one.
        whole = pool
        pool, truth = _corrupt(pool, truth, corrupted, data.num_classes, streams)
        whole = pool if config.evaluation.draws == "first" else whole
        order = whole[torch.randperm(len(whole), generator=streams.torch("labeled"))]
        order = order[torch.isin(order, pool)]
        labeled = _first_labeled(order, truth, config.k, data.num_classes)
        oracle = truth
    originals = copies.scenes(data)
    scenes = None if originals is None else torch.from_numpy(originals)
    if oracle is not None and scenes is not None:
        truth = oracle = truth[scenes]  # an oracle that errs about a picture errs about its copies
    labels, part = torch.full_like(truth, UNLABELED), config.dataset.validation_part
    visible = union(labeled, validation)
    labels[visible] = truth[visible]
    unlabeled = _mix_in_foreign(
        without(pool, labeled), (roles == FOREIGN).nonzero()[:, 0], corrupted.foreign, streams
    )
    if scenes is not None:
        unlabeled = _mix_in_copies(unlabeled, scenes, corrupted.copies, streams)
    problem = Problem(
        images=torch.from_numpy(data.images),
        labels=labels,
        labeled=labeled,
        unlabeled=unlabeled,
        validation=validation
        if part is None
        else nested_part(validation, truth, part, streams.torch("validation part")),
        num_classes=data.num_classes,
        source=str(data.folder),
        fingerprint=data.fingerprint,
        mean=data.mean,
        std=data.std,
        features=features,
        features_file=features_file,
        reads_features=reads_features(config, data),
        judged_by=None if part is None else validation.sort().values,
    )
    test = judges.nonzero()[:, 0]
    restriction = _restrict(problem, test, config, data, seed)
    return Trial(problem, oracle, test, seed, restriction, scenes)


def _restrict(
    problem: Problem, test: Tensor, config: Config, data: Prepared, seed: int
) -> Restriction | None:
    """Return which of U_0 may be chosen, or None where nothing limits it."""
    if not repeats.limits(config.acquisition, data):
        return None
    labeled = torch.cat([problem.labeled, problem.validation, test])
    restriction = repeats.restrict(
        problem.unlabeled.numpy(),
        labeled.numpy(),
        data,
        config.acquisition,
        budget=config.budget,
        seed=Streams(seed).take("repeats"),
    )
    if config.budget > (most := len(restriction.candidates)):
        raise repeats.too_few(config.budget, data, config.acquisition, most=most)
    return restriction if len(restriction.exclusions) else None


def _first_labeled(order: Tensor, labels: Tensor, size: int, num_classes: int) -> Tensor:
    """Return S_0: the first image of every class that the pool has, where `size` allows, and the first of the rest."""
    members = [order[labels[order] == c] for c in range(num_classes)]
    first = torch.cat([own[:1] for own in members])
    if len(first) > size:
        return order[:size]
    return union(first, without(order, first)[: size - len(first)])


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


def nested_part(
    validation: Tensor, labels: Tensor, size: int, generator: torch.Generator
) -> Tensor:
    """Return `size` of the validation images, sorted: every smaller part lies within every larger one.

    Choice: classes in proportion. The image that is the i-th of n in its class, in random order, stands at
    (i - 1/2) / n; a part is the first of that order.

    Args:
        validation: `m` indices.
        labels: class ids of all `N`.
        size: at most `m`.
        generator: decides the order.
    """
    order = validation[torch.randperm(len(validation), generator=generator)]
    places = torch.zeros(len(order), dtype=torch.float64)
    for c in labels[order].unique():
        own = (labels[order] == c).nonzero()[:, 0]
        places[own] = (torch.arange(len(own), dtype=torch.float64) + 0.5) / len(own)
    return order[places.argsort(stable=True)][:size].sort().values


def _corrupt(
    pool: Tensor, oracle: Tensor, settings: CorruptionConfig, num_classes: int, streams: Streams
) -> tuple[Tensor, Tensor]:
    """Return the pool once classes are rare, and what the oracle then says of it."""
    balanced = corruption.keep_imbalanced(
        pool.numpy(),
        oracle.numpy(),
        settings.imbalance,
        num_classes,
        seed=streams.take("imbalance"),
    )
    noisy = corruption.flip_labels(
        oracle.numpy(),
        balanced,
        settings.label_noise,
        num_classes,
        settings.noisy_classes,
        seed=streams.take("noise"),
    )
    return torch.from_numpy(balanced), torch.from_numpy(noisy)


def _mix_in_foreign(unlabeled: Tensor, foreign: Tensor, share: float, streams: Streams) -> Tensor:
    """Return U_0 with a share of foreign images, which take the places of as many others.

    Choice: U_0 keeps its size where there are foreign images enough, so that a budget stays the same part of it.
    """
    if not share:
        return unlabeled
    assert len(foreign), "prepared without foreign images; `foreign.prepare` mixes them in"
    number = min(round(share * len(unlabeled)), len(foreign))
    own = round(number * (1 - share) / share)
    order = torch.randperm(len(unlabeled), generator=streams.torch("own"))
    draw = torch.randperm(len(foreign), generator=streams.torch("foreign"))
    own_rows = order[: min(own, len(unlabeled))].sort().values
    return union(unlabeled[own_rows], foreign[draw[:number]].sort().values)


def _mix_in_copies(unlabeled: Tensor, scenes: Tensor, share: float, streams: Streams) -> Tensor:
    """Return U_0 with a share of near copies, which take the places of as many others.

    Choice: scene by scene, all frames of one, and only of images that stay in U_0; U_0 keeps its size where there are
    copies enough.

    Args:
        unlabeled: U_0, `m` indices.
        scenes: `N` indices of the image that each repeats; itself where it is no copy.
        share: of U_0.
        streams: decide which scenes, and who makes room.
    """
    rows = torch.arange(len(scenes))
    copied = rows[(scenes != rows) & torch.isin(scenes, unlabeled)]
    turn = torch.randperm(len(scenes), generator=streams.torch("scenes"))
    frames = copied[turn[scenes[copied]].argsort(stable=True)][: round(share * len(unlabeled))]
    filmed = scenes[frames].unique()
    others = without(unlabeled, filmed)
    order = torch.randperm(len(others), generator=streams.torch("others"))
    stay = others[order[: len(unlabeled) - len(frames) - len(filmed)].sort().values]
    return union(union(filmed, stay).sort().values, frames.sort().values)


def run_trial(
    trial: Trial,
    number: int,
    config: Config,
    *,
    keeper: Keeper,
    memo: UnitStore,
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
    results: dict[str, Result] = {}
    weights = config.rambo.utility_model.ground_cost
    picture = functools.partial(draw, keeper, number, results, ensemble=ensemble, weights=weights)
    pool = functools.cache(lambda: _offer(trial, number, config, keeper))
    offered = {
        paths.EXCLUSIONS: trial.restriction is not None,
        paths.GATE: config.acquisition.gate.by != "off",
    }
    if any(due and not keeper.has_arrays(number, name) for name, due in offered.items()):
        pool()  # what the pages show of it is not there, or no more
    for name in config.strategies:
        result = keeper.find(number, name)
        if result is None:
            result = _select(name, trial, pool(), number, config, ensemble, keeper)
        elif not keeper.is_whole(result):
            _remake(result, trial, pool()[0], config, ensemble, keeper)
        results[name] = result
        picture(emit=None)
    picture(emit=keeper.listener(number, None))
    pending = {i: r for i, r in enumerate(results.values()) if r.test_accuracy is None}
    if trial.oracle is None:
        return
    if pending:
        repeats = config.evaluation.repeats
        _evaluate(pending, len(results), repeats, trial, number, ensemble, keeper)
    if config.oracle_draws and keeper.find(number, BEST_OF_RANDOM) is None:
        _best_of_random(trial, number, config, ensemble, keeper)


def _best_of_random(
    trial: Trial, number: int, config: Config, ensemble: Ensemble, keeper: Keeper
) -> None:
    """Keep the best of some random sets of B by validation accuracy: what there is to gain for who ranks sets right.

    Choice: each set is trained on once; the best is trained on anew as often as a choice of a strategy, so the mean
    that judges it holds little of the luck by which it was picked.

    Not a strategy: it reads labels that nobody has bought yet.
    """
    assert trial.oracle is not None
    streams, pool = Streams(trial.seed).child(BEST_OF_RANDOM), trial.offer.unlabeled
    test = trial.test, trial.oracle[trial.test]
    sets = [
        pool[torch.randperm(len(pool), generator=streams.torch(f"draw-{i}"))[: config.budget]]
        for i in range(config.oracle_draws)
    ]
    repeats = config.evaluation.repeats

    def unit(draw: int, repeat: int = 0) -> FitUnit:
        """Return a training on S_0 and a set."""
        grown, labels = trial.grow(sets[draw])
        place = draw + repeat * len(sets)
        return ensemble.fit_unit(
            grown, "evaluation", place, labels=labels, test=test, repeat=repeat
        )

    units = [unit(draw) for draw in range(len(sets))]
    tally = Tally(keeper.listener(number, None), keeper.past(number, None))
    with stage("oracle", len(units) + repeats - 1, tally) as advance:
        outcomes = ensemble.run(units, tally, advance)
        best = max(range(len(sets)), key=lambda i: outcomes[i].training.accuracies["validation"])
        # Picked by one training, judged by the mean of as many as every strategy is.
        more = [unit(best, repeat) for repeat in range(1, repeats)]
        judges, verdicts = [units[best], *more], [outcomes[best]]
        verdicts += ensemble.run(more, tally, advance)
    chosen = Result(
        trial=number,
        strategy=BEST_OF_RANDOM,
        seed=trial.seed,
        selected=sets[best].tolist(),
        steps=[0] * config.budget,
        trainings=tally.trainings,
        cached_trainings=tally.cached_trainings,
        figures={"random sets": config.oracle_draws},
    )
    result = dataclasses.replace(_judged(chosen, judges, verdicts), seconds={})
    keeper.keep_result(result)


def _offer(
    trial: Trial, number: int, config: Config, keeper: Keeper
) -> tuple[Problem, dict[str, int]]:
    """Return the problem every strategy sees, and what the gate has to report.

    What repeats another image is left out first; the gate, where it is on, looks at the rest of U_0.
    """
    if trial.restriction is not None and not keeper.has_arrays(number, paths.EXCLUSIONS):
        keeper.keep_arrays(number, paths.EXCLUSIONS, to_arrays(trial.restriction))
        keeper.listener(number, None)(Noticed(trial.restriction.sentence))
    settings = config.acquisition.gate
    if settings.by == "off":
        return trial.offer, {}
    emit, streams = keeper.listener(number, None), Streams(trial.seed).child("gate")
    with stage("gate", 1, emit) as advance:
        gated = gate_pool(trial.offer, config.budget, settings, streams)
        advance()
    if not keeper.has_arrays(number, paths.GATE):  # a resumed trial decides the same again
        keeper.keep_arrays(number, paths.GATE, gated.arrays)
    emit(Noticed(gated.sentence))
    return gated.problem, {"left out by the gate": int(gated.excluded.sum())}


def _select(
    name: str,
    trial: Trial,
    pool: tuple[Problem, dict[str, int]],
    number: int,
    config: Config,
    ensemble: Ensemble,
    keeper: Keeper,
) -> Result:
    """Let one strategy spend the budget, keep its choice, and return the result."""
    problem, gate_figures = pool
    tally = Tally(keeper.listener(number, name), keeper.past(number, name))
    call = Call(
        problem,
        config.budget,
        config,
        streams=Streams(trial.seed).child(name),
        ensemble=ensemble,
        emit=tally,
    )
    selection = strategies.find(name)(call)
    _check(name, selection, call)
    result = Result(
        trial=number,
        strategy=name,
        seed=trial.seed,
        selected=selection.indices.tolist(),
        steps=selection.steps.tolist(),
        seconds=tally.seconds,
        trainings=tally.trainings,
        cached_trainings=tally.cached_trainings,
        ranking=ranking_of(selection.ranking),
        figures=dict(selection.figures)
        | gate_figures
        | _wasted(trial, selection.indices, config)
        | _rare(trial, selection.indices, config),
    )
    keeper.keep_selection(result, selection)
    tally(StrategySelected(name, config.budget, sum(tally.seconds.values())))
    return result


def _remake(
    result: Result,
    trial: Trial,
    problem: Problem,
    config: Config,
    ensemble: Ensemble,
    keeper: Keeper,
) -> None:
    """Make the evidence of a choice again that is lost or damaged; the choice itself is the record's, whatever comes.

    Where the strategy would choose otherwise now (another version of a library, a GPU), there is no evidence.
    """
    emit = keeper.listener(result.trial, result.strategy)
    call = Call(
        problem,
        config.budget,
        config,
        streams=Streams(trial.seed).child(result.strategy),
        ensemble=ensemble,
        emit=emit,
    )
    selection = strategies.find(result.strategy)(call)
    if selection.indices.tolist() != result.selected or selection.steps.tolist() != result.steps:
        emit(
            Noticed(
                f"{result.strategy} would choose otherwise now: its choice stands, the evidence for it is lost"
            )
        )
        selection = Selection(torch.tensor(result.selected), torch.tensor(result.steps))
    keeper.keep_selection(result, selection)


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
            steps = len(selection.steps)
            problem = f"chose {len(chosen)} images where {call.budget} are asked for"
            problem += "" if steps == len(chosen) else f", with the steps of {steps}"
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


def _wasted(trial: Trial, chosen: Tensor, config: Config) -> dict[str, int]:
    """Return how many of the bought labels say "none of these" or are a scene's second, where either can be."""
    if trial.oracle is not None and config.dataset.corruption.foreign:
        return {"labels wasted": int((trial.oracle[chosen] == UNLABELED).sum())}
    if trial.scenes is not None and config.dataset.corruption.copies:
        return {"labels wasted": len(chosen) - len(trial.scenes[chosen].unique())}
    return {}


def _rare(trial: Trial, chosen: Tensor, config: Config) -> dict[str, int]:
    """Return how many of the bought labels are of classes that were made rare, where any were."""
    preset = config.dataset.corruption.imbalance
    if trial.oracle is None or preset == "none":
        return {}
    seed = Streams(trial.seed).child("split").take("imbalance")
    classes = corruption.rare_classes(preset, trial.problem.num_classes, seed=seed)
    return {RARE_LABELS: int(torch.isin(trial.oracle[chosen], torch.from_numpy(classes)).sum())}


def _evaluate(
    pending: Mapping[int, Result],
    choices: int,
    repeats: int,
    trial: Trial,
    number: int,
    ensemble: Ensemble,
    keeper: Keeper,
) -> None:
    """Reveal the chosen labels, train fresh classifiers f on every S_1 at once, and keep the results.

    Args:
        pending: by their place among the config's strategies, the same in every attempt.
        choices: how many strategies there are.
        repeats: trainings of each S_1; the first one's weights are those of every strategy, so are the second's.
        trial: the split.
        number: of the trial.
        ensemble: trains f.
        keeper: receives events and results.
    """
    assert trial.oracle is not None
    test = trial.test, trial.oracle[trial.test]
    units: list[FitUnit] = []
    for place, result in pending.items():
        grown, labels = trial.grow(torch.tensor(result.selected))
        for r in range(repeats):
            index = place + r * choices
            units.append(
                ensemble.fit_unit(grown, "evaluation", index, labels=labels, test=test, repeat=r)
            )
    tally = Tally(keeper.listener(number, None), keeper.past(number, None))
    with stage("evaluation", len(units), tally) as advance:
        outcomes = ensemble.run(units, tally, advance)
    for turn, result in enumerate(pending.values()):
        own = slice(turn * repeats, (turn + 1) * repeats)
        trained = sum(tally.trained("evaluation", "evaluation", unit.index) for unit in units[own])
        evaluated = _judged(result, units[own], outcomes[own])
        evaluated = dataclasses.replace(
            evaluated,
            trainings=result.trainings + trained,
            cached_trainings=result.cached_trainings + repeats - trained,
        )
        keeper.keep_result(evaluated)
        assert evaluated.validation_accuracy is not None
        assert evaluated.test_accuracy is not None
        keeper.listener(number, result.strategy)(
            StrategyEvaluated(
                result.strategy, evaluated.validation_accuracy, evaluated.test_accuracy
            )
        )


def _judged(result: Result, units: Sequence[FitUnit], outcomes: Sequence[Outcome]) -> Result:
    """Return the result with what its trainings on S_1 say: their accuracies, means, and means of each class."""
    accuracies = {
        name: [outcome.training.accuracies[name] for outcome in outcomes]
        for name in ("validation", "test")
    }
    classes = {name: class_accuracies(units, outcomes, name) for name in accuracies}
    seconds = sum(outcome.training.seconds for outcome in outcomes)
    return dataclasses.replace(
        result,
        validation_accuracy=statistics.fmean(accuracies["validation"]),
        test_accuracy=statistics.fmean(accuracies["test"]),
        validation_trainings=accuracies["validation"],
        test_trainings=accuracies["test"],
        validation_classes=classes["validation"],
        test_classes=classes["test"],
        seconds={**result.seconds, "evaluation": round(seconds, 3)},
    )


def class_accuracies(
    units: Sequence[FitUnit], outcomes: Sequence[Outcome], name: str
) -> list[float | None]:
    """Return the accuracy on the images of each class, mean over the trainings; None for a class without images.

    Args:
        units: of one S_1.
        outcomes: theirs.
        name: `validation` or `test`.

    Returns:
        One figure a class; nothing where an older version trained and kept no single answers.
    """
    shares = []
    for unit, outcome in zip(units, outcomes, strict=True):
        truth = unit.measured[name][1]
        right = outcome.training.unpack_right(name, len(truth))
        if right is None:
            return []
        if name == "validation" and unit.judges is not None:
            truth, right = truth[unit.judges], right[unit.judges]
        hits = np.bincount(truth[right], minlength=unit.num_classes)
        shares.append(hits / np.maximum(np.bincount(truth, minlength=unit.num_classes), 1))
    present = np.isin(np.arange(units[0].num_classes), truth)
    means = np.mean(shares, axis=0).tolist()
    return [mean if there else None for mean, there in zip(means, present, strict=True)]
