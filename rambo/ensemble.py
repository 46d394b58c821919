"""Train MANY classifiers on subsets, and solve many OT problems beside them.

A unit of work is a pure function of its content, which is also its key: what was done once, by any run, is found
and not done again. Units go to one process per core with one thread each, longest first; results are committed one
by one as they arrive. This is where 90-98 % of all arithmetic happens.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rambo import classifier
from rambo.checks import resolve_classifier
from rambo.config import ClassifierConfig
from rambo.datasets import prepared
from rambo.errors import DivergedError
from rambo.events import ClassifierTrained, Emit, stage
from rambo.pools import Problem, normalise
from rambo.seeding import derive_seed
from rambo.transport import GroundCost, exact_transport

Indices = NDArray[np.int64]
Arrays = Mapping[str, NDArray[Any]]


class Memo(Protocol):
    """Where finished units are kept: content key -> record and arrays."""

    def get(self, key: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
        """Return what was kept under `key`, or None."""

    def put(self, key: str, record: dict[str, Any], arrays: Arrays | None = None) -> None:
        """Keep a finished unit; durable when this returns."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a unit gave: `record` of JSON types, `arrays`, and whether it was found instead of computed."""

    record: Mapping[str, Any]
    arrays: Arrays
    cached: bool


@dataclasses.dataclass(frozen=True, eq=False)
class FitUnit:
    """Train a fresh classifier on one subset and measure it.

    Attributes:
        role: what it is for; see `ClassifierTrained`.
        index: its place among the units of that role.
        source: folder of the prepared dataset.
        fingerprint: content hash of that dataset.
        subset: `a` sorted indices.
        labels: `a` class ids.
        measured: name -> (indices, class ids) on which the accuracy is wanted.
        predicted: indices whose probabilities and embeddings are wanted; empty for none.
        config: how to train, with a resolved name.
        num_classes: c.
        seed: decides weights, order and dropout.
        device: torch device.
    """

    role: str
    index: int
    source: str
    fingerprint: str
    subset: Indices
    labels: Indices
    measured: Mapping[str, tuple[Indices, Indices]]
    predicted: Indices
    config: ClassifierConfig
    num_classes: int
    seed: int
    device: str

    @functools.cached_property
    def key(self) -> str:
        """Content key: everything the result depends on, the kind of device included, the role not."""
        return _key(
            kind="fit",  # change it when what a fit computes changes: kept results are then not used
            dataset=self.fingerprint,
            subset=_hash(self.subset, self.labels),
            measured={name: _hash(*pair) for name, pair in sorted(self.measured.items())},
            predicted=_hash(self.predicted),
            classifier=self.config.model_dump(mode="json"),
            classes=self.num_classes,
            seed=self.seed,
            device=torch.device(self.device).type,
            torch=torch.__version__.split("+")[0],
        )

    @property
    def cost(self) -> float:
        """Relative length: images to train on, predictions counted as a third of a step each."""
        return 10.0 * len(self.subset) + len(self.predicted)

    @property
    def evaluated(self) -> int:
        """How many images the trained classifier is asked about."""
        return sum(len(indices) for indices, _ in self.measured.values()) + len(self.predicted)

    @property
    def facts(self) -> dict[str, str]:
        """What decides how fast such a unit trains; kept with its seconds, which `plan` learns from."""
        return {
            "classifier": self.config.name,
            "dataset": self.fingerprint,
            "device": torch.device(self.device).type,
        }

    def run(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Train, measure and predict.

        Choice: a diverged fit is tried once more with a derived seed; a second one ends the run.

        Raises:
            DivergedError: both fits diverged.
        """
        started = time.perf_counter()
        data = _open(self.source)
        images = self._load(data, self.subset)
        labels = torch.from_numpy(self.labels).to(self.device)
        fit = functools.partial(
            classifier.fit_classifier, images, labels, self.config, num_classes=self.num_classes
        )
        try:
            fitted = fit(seed=self.seed)
        except DivergedError:
            fitted = fit(seed=derive_seed(self.seed, "retry"))
        accuracies = {
            name: classifier.accuracy(
                fitted.model, self._load(data, indices), torch.from_numpy(truth).to(self.device)
            )
            for name, (indices, truth) in self.measured.items()
        }
        arrays: dict[str, NDArray[Any]] = {}
        if len(self.predicted):
            probabilities, embeddings = classifier.predict(
                fitted.model, self._load(data, self.predicted)
            )
            arrays = {"probabilities": probabilities.numpy(), "embeddings": embeddings.numpy()}
        record = {
            "accuracies": accuracies,
            "epochs": fitted.epochs,
            "train_accuracy": fitted.train_accuracy,
            "seconds": time.perf_counter() - started,
            "size": len(self.subset),
            "evaluated": self.evaluated,
            **self.facts,
        }
        return record, arrays

    def _load(self, data: prepared.Prepared, indices: Indices) -> Tensor:
        """Return normalised images of the resident dataset on the unit's device."""
        images = torch.from_numpy(data.images[indices]).to(self.device)
        return normalise(images, data.mean, data.std)

    def announce(self, outcome: Outcome, emit: Emit) -> None:
        """Emit what happened."""
        emit(
            ClassifierTrained(
                role=self.role,
                index=self.index,
                size=len(self.subset),
                accuracy=outcome.record["accuracies"]["validation"],
                epochs=outcome.record["epochs"],
                seconds=outcome.record["seconds"],
                cached=outcome.cached,
            )
        )


@dataclasses.dataclass(frozen=True, eq=False)
class TransportUnit:
    """Solve exact OT between one subset of a pool and the validation set.

    All units share one cost matrix, which joblib maps into the worker processes once.
    """

    ground: GroundCost
    subset: Tensor

    @functools.cached_property
    def key(self) -> str:
        """Content key: the cost matrix and the subset."""
        return _key(kind="transport", cost=self.ground.digest, subset=_hash(self.subset.numpy()))

    @property
    def cost(self) -> float:
        """Relative length: always after the classifiers, where it fills the gaps at the end."""
        return len(self.subset) / 1e9

    def run(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Solve it."""
        return {"value": exact_transport(self.ground.rows(self.subset))}, {}

    def announce(self, outcome: Outcome, emit: Emit) -> None:
        """Say nothing: OT values are reported with their samples."""


Unit = FitUnit | TransportUnit


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """What f, trained on all of S_0, says of the images a strategy may see; other rows are NaN.

    Attributes:
        probabilities: `N x c`.
        embeddings: `N x e`, the penultimate layer.
        accuracy: f's validation accuracy.
    """

    probabilities: Tensor
    embeddings: Tensor
    accuracy: float


class Ensemble:
    """Makes and runs the units of one problem.

    Args:
        problem: S_0, S_val and the images.
        config: how classifiers are trained.
        seed: the trial's seed; the seed of a fit depends on it, the role and the index, so that every strategy of a
            trial finds the same classifier on S_0.
        memo: where finished units are kept.
        device: torch device of the fits.
        jobs: worker processes; 1 works in this process, as does any GPU.
    """

    def __init__(
        self,
        problem: Problem,
        config: ClassifierConfig,
        *,
        seed: int,
        memo: Memo,
        device: str = "cpu",
        jobs: int = 1,
    ) -> None:
        """Resolve the classifier for the problem's images."""
        channels, height, width = problem.images.shape[1:]
        self.problem, self.seed, self.memo = problem, seed, memo
        self.config = resolve_classifier(config, (channels, height, width))
        self.device, self.jobs = device, jobs if device == "cpu" else 1

    def fit(
        self,
        subset: Tensor,
        role: str,
        index: int = 0,
        *,
        labels: Tensor | None = None,
        test: tuple[Tensor, Tensor] | None = None,
        predict: bool = False,
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
        """
        problem, subset = self.problem, subset.sort().values
        known = problem.labels if labels is None else labels
        measured = {"validation": (problem.validation, problem.labels[problem.validation])}
        if test is not None:
            measured["test"] = test
        pools = torch.cat([problem.labeled, problem.unlabeled, problem.validation])
        shared = role in ("labeled", "evaluation")
        return FitUnit(
            role=role,
            index=index,
            source=problem.source,
            fingerprint=problem.fingerprint,
            subset=subset.numpy(),
            labels=known[subset].numpy(),
            measured={name: (i.numpy(), y.numpy()) for name, (i, y) in measured.items()},
            predicted=pools.sort().values.numpy() if predict else np.zeros(0, np.int64),
            config=self.config,
            num_classes=problem.num_classes,
            seed=derive_seed(self.seed, role, 0 if shared else index),
            device=self.device,
        )

    def run(self, units: Sequence[Unit], emit: Emit, done: Callable[[], None]) -> list[Outcome]:
        """Return the outcome of every unit, in order; those kept before are not run again.

        Args:
            units: what to do.
            emit: hears of every fit as it ends.
            done: called after each unit, in this process.
        """
        outcomes: dict[int, Outcome] = {}

        def finish(place: int, outcome: Outcome) -> None:
            outcomes[place] = outcome
            units[place].announce(outcome, emit)
            done()

        missing: dict[
            str, list[int]
        ] = {}  # equal units, as of two strategies with one choice, run once
        for place, unit in enumerate(units):
            if (kept := self.memo.get(unit.key)) is not None:
                finish(place, Outcome(*kept, cached=True))
            else:
                missing.setdefault(unit.key, []).append(place)
        first = sorted((places[0] for places in missing.values()), key=lambda p: -units[p].cost)
        with contextlib.closing(self._compute(units, first)) as results:
            for place, record, arrays in results:
                key = units[place].key
                self.memo.put(key, record, arrays)
                for equal in missing[key]:
                    finish(equal, Outcome(record, arrays, cached=equal != place))
        return [outcomes[place] for place in range(len(units))]

    def predictions(self, unit: FitUnit, outcome: Outcome) -> Predictions:
        """Return the predictions of a fit that was asked for them."""
        rows = torch.from_numpy(unit.predicted)

        def scatter(name: str) -> Tensor:
            values = torch.from_numpy(np.array(outcome.arrays[name]))
            full = torch.full((len(self.problem.labels), values.shape[1]), torch.nan)
            full[rows] = values
            return full

        accuracy = outcome.record["accuracies"]["validation"]
        return Predictions(scatter("probabilities"), scatter("embeddings"), accuracy)

    def predict_pools(self, emit: Emit) -> Predictions:
        """Return the predictions of f trained on S_0, as every strategy of the trial finds them."""
        unit = self.fit(self.problem.labeled, "labeled", predict=True)
        with stage("classifier", 1, emit) as advance:
            (outcome,) = self.run([unit], emit, advance)
        return self.predictions(unit, outcome)

    def _compute(
        self, units: Sequence[Unit], places: Sequence[int]
    ) -> Generator[tuple[int, dict[str, Any], dict[str, NDArray[Any]]], None, None]:
        """Yield the results of the units at `places` as they come."""
        if self.jobs == 1 or len(places) < 2:
            for place in places:
                yield _run_unit(place, units[place], None)
            return
        with _quiet_interrupts():
            with joblib.parallel_config("loky", n_jobs=self.jobs, inner_max_num_threads=1):
                parallel = joblib.Parallel(return_as="generator_unordered", batch_size=1)
            results = parallel(
                joblib.delayed(_run_unit)(place, units[place], os.getpid()) for place in places
            )
        with warnings.catch_warnings():
            # A stop drops what is in flight: nothing to warn a person of.
            warnings.filterwarnings("ignore", message=".*still being processed by the workers")
            yield from results


def _run_unit(
    place: int, unit: Unit, parent: int | None
) -> tuple[int, dict[str, Any], dict[str, NDArray[Any]]]:
    """Run one unit, in a worker process where `parent` is given."""
    if parent is not None:
        _die_with(parent)
    return place, *unit.run()


@functools.cache
def _die_with(parent: int) -> None:
    """End this worker process within two seconds of its parent's death, so that none is left over."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _quiet_interrupts() -> Iterator[None]:
    """Let processes started inside the block ignore Ctrl-C: stopping them is this process's business."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@functools.lru_cache(maxsize=4)
def _open(source: str) -> prepared.Prepared:
    """Return the prepared dataset, mapped once per process."""
    return prepared.open_prepared(Path(source))


def _hash(*arrays: NDArray[Any]) -> str:
    """Return a content hash of the arrays."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.dtype}{array.shape}".encode())
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


def _key(**parts: object) -> str:
    """Return the content key of named parts, 64 hex digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
