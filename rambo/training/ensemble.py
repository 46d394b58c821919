"""Train MANY classifiers on subsets, and solve many OT problems beside them.

Units of work go to one process per core with one thread each, longest first, or to the workers of a cluster; results
are committed one by one as they arrive, and what any run did before is found. This is where 90-98 % of all
arithmetic happens.
"""

import contextlib
import dataclasses
import functools
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rambo.checks import resolve_classifier
from rambo.config import ClassifierConfig, ComputeConfig
from rambo.errors import ConfigError
from rambo.events import Emit, ignore, stage
from rambo.method.pools import Problem
from rambo.seeding import derive_seed
from rambo.storage import pulse
from rambo.training.backends import Backend, settle
from rambo.training.gpu.batched import Batching
from rambo.training.outcomes import Arrays, Outcome, Stored, UnitRecord, restore, stored
from rambo.training.units import FitUnit, HeadUnit, Unit

Done = tuple[int, UnitRecord, dict[str, NDArray[Any]]]  # place, record, arrays
_COMPANY = 64  # units of one company that a process does together, at most
_SLOTS = {"mnistnet": 256, "resnet18": 64}  # classifiers side by side on a GPU


class UnitStore(Protocol):
    """Where finished units are kept: content key -> record, as JSON has it, and arrays."""

    def get(self, key: str) -> Stored | None:
        """Return what was kept under `key`, or None."""

    def put(self, key: str, record: Mapping[str, Any], arrays: Arrays | None = None) -> None:
        """Keep a finished unit; durable when this returns."""


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """What f, trained on all of S_0, says of the images a strategy may see; other rows are NaN.

    Attributes:
        probabilities: `N x c`.
        embeddings: `N x e`, the penultimate layer.
        accuracy: f's validation accuracy; None without S_val.
    """

    probabilities: Tensor
    embeddings: Tensor
    accuracy: float | None


class Ensemble:
    """Makes and runs the units of one problem.

    Args:
        problem: S_0, S_val and the images.
        config: how classifiers are trained.
        seed: the trial's seed; the seed of a fit depends on it, the role and the index, so that every strategy of a
            trial finds the same classifier on S_0.
        memo: where finished units are kept.
        device: torch device of the fits.
        jobs: worker processes; 1 works in this process. Fits on a GPU are made here, whatever the number.
        backend: what runs the units where there is more than one job; processes of this machine if not given.
        compute: how many classifiers are trained side by side, and how.
    """

    def __init__(
        self,
        problem: Problem,
        config: ClassifierConfig,
        *,
        seed: int,
        memo: UnitStore,
        device: str = "cpu",
        jobs: int = 1,
        backend: Backend | None = None,
        compute: ComputeConfig | None = None,
    ) -> None:
        """Resolve the classifier for the problem's images."""
        channels, height, width = problem.images.shape[1:]
        self.problem, self.seed, self.memo = problem, seed, memo
        self.config = resolve_classifier(config, (channels, height, width))
        self.device, self.jobs = device, jobs
        self.backend = backend or Backend("loky", jobs)
        self.compute = compute or ComputeConfig()

    def fit_unit(
        self,
        subset: Tensor,
        role: str,
        index: int = 0,
        *,
        labels: Tensor | None = None,
        test: tuple[Tensor, Tensor] | None = None,
        predict: bool = False,
        repeat: int = 0,
    ) -> FitUnit:
        """Return the unit that trains f on `subset`.

        Choice: all fits of the roles `labeled` and `evaluation` start from one set of weights each, so strategies
        are compared in pairs; utility samples start from their own.

        Args:
            subset: `a` indices.
            role: see `ClassifierTrained`.
            index: place among the units of that role.
            labels: class ids of all `N`, where they were revealed; the problem's bought labels if not given.
            test: indices and class ids of the test set, for the evaluation only.
            predict: also return probabilities and embeddings of all three pools.
            repeat: which of several trainings of one subset; each has weights and an order of its own.
        """
        problem, subset = self.problem, subset.sort().values
        class_labels = problem.labels if labels is None else labels
        whole = problem.validation if problem.judged_by is None else problem.judged_by
        measured = {"validation": (whole, problem.labels[whole])}
        if not len(whole):  # too few labels to set any aside: nothing is measured
            measured = {}
        if test is not None:
            measured["test"] = test
        pools = torch.cat([problem.labeled, problem.unlabeled, whole])
        shared = role in ("labeled", "evaluation")
        make: Callable[..., FitUnit] = FitUnit
        if self.config.name == "logistic":
            inside = torch.isin(subset, problem.labeled).all()
            pool = problem.labeled.sort().values if inside else subset
            make = functools.partial(
                HeadUnit,
                features=self._features_file(),
                pool=pool.numpy(),
                pool_labels=class_labels[pool].numpy(),
            )
        return make(
            role=role,
            index=index,
            source=problem.source,
            fingerprint=problem.fingerprint,
            subset=subset.numpy(),
            labels=class_labels[subset].numpy(),
            measured={name: (i.numpy(), y.numpy()) for name, (i, y) in measured.items()},
            predicted=pools.sort().values.numpy() if predict else np.zeros(0, np.int64),
            config=self.config,
            num_classes=problem.num_classes,
            seed=derive_seed(self.seed, role, repeat if shared else index),
            device=self.device,
            batching=self.batching,
            judges=None
            if problem.judged_by is None
            else torch.searchsorted(whole, problem.validation).numpy(),
        )

    @property
    def batching(self) -> Batching | None:
        """How classifiers are trained side by side, or None where they are not."""
        slots, name = self.compute.slots, self.config.name
        if torch.device(self.device).type == "cuda":
            slots = slots or _SLOTS.get(name, 1)
        elif self.device != "cpu" or slots == 1:
            slots = None
        if slots is None or name not in _SLOTS:
            return None
        return Batching(slots, self.compute.precision)

    def proxy(self) -> "Ensemble":
        """Return an ensemble of logistic heads on the problem's frozen features, with the same memory."""
        config = self.config.model_copy(update={"name": "logistic"})
        return Ensemble(
            self.problem,
            config,
            seed=self.seed,
            memo=self.memo,
            device=self.device,
            jobs=self.jobs,
            backend=self.backend,
            compute=self.compute,
        )

    def _features_file(self) -> str:
        """Return where the frozen features lie.

        Raises:
            ConfigError: the problem has none.
        """
        if not self.problem.features_file:
            raise ConfigError(
                "the images have no frozen features",
                field="classifier.name",
                value="logistic",
                hint="choose mnistnet or resnet18",
            )
        return self.problem.features_file

    def run(self, units: Sequence[Unit], emit: Emit, done: Callable[[], None]) -> list[Outcome]:
        """Return the outcome of every unit, in order; those kept before are not run again.

        Args:
            units: what to do.
            emit: hears of every fit as it ends.
            done: called after each unit, in this process.
        """
        outcomes: dict[int, Outcome] = {}

        def finish(place: int, outcome: Outcome) -> None:
            outcome = outcomes[place] = units[place].judged(outcome)
            units[place].announce(outcome, emit)
            done()

        # equal units, as of two strategies with one choice, run once
        misses: dict[str, list[int]] = {}
        for place, unit in enumerate(units):
            if (outcome := self.recall(unit)) is not None:
                finish(place, outcome)
            else:
                misses.setdefault(unit.key, []).append(place)
        first = sorted((places[0] for places in misses.values()), key=lambda p: -units[p].cost)
        with contextlib.closing(self._compute(units, first, emit)) as results:
            for place, record, arrays in results:
                key = units[place].key
                self.memo.put(key, stored(record), arrays)
                for equal in misses[key]:
                    finish(equal, Outcome(record, arrays, cached=equal != place))
        return [outcomes[place] for place in range(len(units))]

    def recall(self, unit: Unit) -> Outcome | None:
        """Return what came of a unit that any run did before, or None."""
        row = self.memo.get(unit.key)
        record = None if row is None else restore(row[0])
        return None if row is None or record is None else Outcome(record, row[1], cached=True)

    def predictions(self, unit: FitUnit, outcome: Outcome) -> Predictions:
        """Return the predictions of a fit that was asked for them."""
        rows = torch.from_numpy(unit.predicted)

        def scatter(name: str) -> Tensor:
            values = torch.from_numpy(np.array(outcome.arrays[name]))
            full = torch.full((len(self.problem.labels), values.shape[1]), torch.nan)
            full[rows] = values
            return full

        accuracy = outcome.training.accuracies.get("validation")
        return Predictions(scatter("probabilities"), scatter("embeddings"), accuracy)

    def predict_pools(self, emit: Emit) -> Predictions:
        """Return the predictions of f trained on S_0, as every strategy of the trial finds them."""
        unit = self.fit_unit(self.problem.labeled, "labeled", predict=True)
        with stage("classifier", 1, emit) as advance:
            (outcome,) = self.run([unit], emit, advance)
        return self.predictions(unit, outcome)

    def _compute(
        self, units: Sequence[Unit], places: Sequence[int], emit: Emit
    ) -> Generator[Done, None, None]:
        """Yield the results of the units at `places` as they come.

        What needs the device is done here; meanwhile all else is under way in worker processes, if there are any.
        """
        here = [place for place in places if units[place].here]
        elsewhere = bundle(units, [place for place in places if not units[place].here], self.jobs)
        with contextlib.closing(self._send(units, elsewhere)) as results:
            for together in bundle(units, here, 1, most=len(here)):
                yield from _do(together, [units[place] for place in together], emit)
            for done in results:
                yield from done

    def _send(
        self, units: Sequence[Unit], bundles: Sequence[Sequence[int]]
    ) -> Generator[list[Done], None, None]:
        """Let worker processes begin with the bundles, where that pays, and return what yields the results of each."""
        tasks = [(together, [units[place] for place in together]) for together in bundles]
        if self.jobs == 1 or len(tasks) < 2:
            return (list(_do(*task)) for task in tasks)
        delayed = joblib.delayed(_run_bundle)
        # With each task, since a process that is used again was told of the run before.
        sign_file = pulse.target()
        return self.backend.run(delayed(*task, self.backend.parent, sign_file) for task in tasks)


def bundle(
    units: Sequence[Unit], places: Sequence[int], jobs: int, most: int = _COMPANY
) -> list[list[int]]:
    """Return the `places` in groups that are run as one: units of one company together, all else alone.

    Args:
        units: what they are places in.
        places: longest first.
        jobs: processes, each of which shall have something to do.
        most: units in a group.
    """
    companies: dict[str, list[int]] = defaultdict(list)
    alone = []
    for place in places:
        if company := units[place].company:
            companies[company].append(place)
        else:
            alone.append([place])
    together = []
    for members in companies.values():
        size = min(most, -(-len(members) // jobs))
        together += [members[i : i + size] for i in range(0, len(members), size)]
    return together + alone


def _run_bundle(
    places: Sequence[int], units: Sequence[Unit], parent: int | None, sign_file: Path | None
) -> list[Done]:
    """Run the units of one bundle in a worker process."""
    settle(parent)
    pulse.aim(sign_file)
    return list(_do(places, units))


def _do(places: Sequence[int], units: Sequence[Unit], emit: Emit = ignore) -> Iterator[Done]:
    """Run the units of one bundle, and yield the result of each as it comes."""
    for i, (record, arrays) in units[0].run_group(units, emit):
        yield places[i], record, arrays
