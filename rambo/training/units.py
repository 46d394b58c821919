"""The units of work that RAMBO is made of: train one classifier, solve one OT problem.

A unit is a pure function of its content, which is also its key: what was done once, by any run, is found and not
done again. Units that have work in common are a company and done together.
"""

import dataclasses
import functools
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rambo.config import ClassifierConfig
from rambo.datasets import prepared
from rambo.datasets.disk import map_array
from rambo.errors import DivergedError
from rambo.events import ClassifierTrained, Emit, ignore
from rambo.method.networks import Classifier
from rambo.method.pools import normalise
from rambo.method.sinkhorn import shared_kernel_transport
from rambo.method.transport import GroundCost, exact_transport
from rambo.seeding import derive_seed
from rambo.training import classifier, heads
from rambo.training.classifier import Fit
from rambo.training.gpu.batched import Batching, Images, Member, fit_members
from rambo.training.outcomes import (
    Arrays,
    Outcome,
    Result,
    TrainingRecord,
    TransportRecord,
    accuracies_of,
    pack_right,
)

Indices = NDArray[np.int64]
T = TypeVar("T")
_CHUNK = 5000  # rows of frozen features that are asked about at once


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
        batching: how many are trained side by side, and how; None trains one after the other.
        judges: places among the validation images of those that judge; None for all. It changes no training and is
            no part of the key: one training serves every number of judges.
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
    batching: Batching | None
    judges: Indices | None = dataclasses.field(default=None, kw_only=True)

    @functools.cached_property
    def key(self) -> str:
        """Content key: everything the result depends on, the kind of device included, the role not.

        Side by side a fit differs by rounding, but not by the number of its neighbours.
        """
        side_by_side = self.batching and f"fit-batched-{self.batching.precision}"
        return content_key(
            # change it when what a fit computes changes: kept results are then not used
            kind=side_by_side or "fit",
            dataset=self.fingerprint,
            subset=content_hash(self.subset, self.labels),
            measured={name: content_hash(*pair) for name, pair in sorted(self.measured.items())},
            predicted=content_hash(self.predicted),
            classifier=self.config.model_dump(mode="json", exclude={"logistic"}),
            classes=self.num_classes,
            seed=self.seed,
            device=torch.device(self.device).type,
            torch=torch.__version__.split("+")[0],
            **self.judged_key,
        )

    @property
    def judged_key(self) -> dict[str, bool]:
        """What the key has more where only some judge: older results do not say which answers were right."""
        return {} if self.judges is None else {"right": True}

    @functools.cached_property
    def company(self) -> str:
        """What the units have in common that are trained side by side; empty for one that is trained alone."""
        if self.batching is None:
            return ""
        config = self.config.model_dump(mode="json")
        return content_key(source=self.source, config=config, classes=self.num_classes)

    @property
    def here(self) -> bool:
        """Whether only the process that holds the device can do it, with whatever keeps it busy."""
        return self.device != "cpu" or self.batching is not None

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

    def run(self) -> Result:
        """Train, measure and predict.

        Choice: a diverged fit is tried once more with a derived seed; a second one ends the run.

        Raises:
            DivergedError: both fits diverged.
        """
        if self.batching:
            ((_, result),) = run_fits([self], ignore)
            return result
        started = time.perf_counter()
        images, labels = self.load(self.subset), torch.from_numpy(self.labels).to(self.device)
        fit = self.try_twice(
            lambda seed: classifier.fit_classifier(
                images, labels, self.config, num_classes=self.num_classes, seed=seed
            )
        )
        return self.measure(fit, self.load, started)

    def run_group(self, units: Sequence[Any], emit: Emit) -> Iterator[tuple[int, Result]]:
        """Train side by side where that is asked for, else one after the other."""
        if self.batching:
            yield from run_fits(units, emit)
        else:
            yield from ((place, unit.run()) for place, unit in enumerate(units))

    def try_twice(self, train: Callable[[int], T]) -> T:
        """Return what `train` gives for the unit's seed, or, where it diverges, for one derived from it."""
        try:
            return train(self.seed)
        except DivergedError:
            return train(derive_seed(self.seed, "retry"))

    def measure(self, fit: Fit, load: Callable[[Indices], Tensor], started: float) -> Result:
        """Return what the trained classifier is asked for.

        Args:
            fit: the classifier, trained.
            load: gives normalised images of the dataset on the unit's device.
            started: when the training began, by `time.perf_counter`.
        """
        right = self.right(fit.model, load)
        arrays: dict[str, NDArray[Any]] = {}
        if len(self.predicted):
            probabilities, embeddings = classifier.predict(fit.model, load(self.predicted))
            arrays = {"probabilities": probabilities.numpy(), "embeddings": embeddings.numpy()}
        record = TrainingRecord(
            accuracies=accuracies_of(right),
            right=pack_right(right),
            epochs=fit.epochs,
            train_accuracy=fit.train_accuracy,
            seconds=time.perf_counter() - started,
            size=len(self.subset),
            evaluated=self.evaluated,
            **self.facts,
        )
        return record, arrays

    def right(self, model: Classifier, load: Callable[[Indices], Tensor]) -> dict[str, Tensor]:
        """Return which answers of a trained classifier are right on everything that is measured, by name."""
        return {
            name: classifier.right(model, load(indices), torch.from_numpy(truth).to(self.device))
            for name, (indices, truth) in self.measured.items()
        }

    def judged(self, outcome: Outcome) -> Outcome:
        """Return the outcome with the validation accuracy of those that judge."""
        if self.judges is None or "validation" not in self.measured:
            return outcome
        training = outcome.training
        right = training.unpack_right("validation", len(self.measured["validation"][0]))
        assert right is not None  # the key asks for it
        accuracies = {**training.accuracies, "validation": float(right[self.judges].mean())}
        return dataclasses.replace(
            outcome, record=dataclasses.replace(training, accuracies=accuracies)
        )

    def load(self, indices: Indices) -> Tensor:
        """Return normalised images of the mapped dataset on the unit's device."""
        data = _open(self.source)
        images = torch.from_numpy(data.images[indices]).to(self.device)
        return normalise(images, data.mean, data.std)

    def announce(self, outcome: Outcome, emit: Emit) -> None:
        """Emit what happened."""
        training = outcome.training
        emit(
            ClassifierTrained(
                role=self.role,
                index=self.index,
                size=len(self.subset),
                accuracy=training.accuracies.get("validation"),
                epochs=training.epochs,
                seconds=training.seconds,
                cached=outcome.cached,
            )
        )


def run_fits(units: Sequence[FitUnit], emit: Emit) -> Iterator[tuple[int, Result]]:
    """Train the classifiers of one company side by side; yield place and result of each as it is done.

    Choice: those that diverged are tried once more at the end, with a derived seed.

    Args:
        units: at least one; `company` is the same for all.
        emit: hears when memory does not suffice.

    Raises:
        DivergedError: both fits of a unit diverged.
    """
    first = units[0]
    assert first.batching
    images = _resident(first.source, first.device)
    seeds = {place: unit.seed for place, unit in enumerate(units)}
    started = time.perf_counter()

    def load(indices: Indices) -> Tensor:
        return images.normalised(torch.from_numpy(indices).to(first.device))

    while seeds:
        places, again = list(seeds), dict[int, int]()
        members = [
            Member(torch.from_numpy(units[p].subset), torch.from_numpy(units[p].labels), seeds[p])
            for p in places
        ]
        fits = fit_members(
            members,
            images,
            first.config,
            num_classes=first.num_classes,
            batching=first.batching,
            emit=emit,
        )
        for member, fit in fits:
            place, unit = places[member], units[places[member]]
            if isinstance(fit, Fit):
                yield place, unit.measure(fit, load, started)
                started = time.perf_counter()  # the time of all is shared out as the results come
            elif seeds[place] == unit.seed:
                again[place] = derive_seed(unit.seed, "retry")
            else:
                raise fit
        seeds = again


@dataclasses.dataclass(frozen=True, eq=False)
class HeadUnit(FitUnit):
    """Train a logistic head on the frozen features of one subset: the labelled proxy for a classifier.

    It has one optimum, so its seed decides nothing.

    Attributes:
        features: file of the frozen features of all images.
        pool: indices of the pool the subset is part of; its heads share a decomposition.
        pool_labels: their class ids.
    """

    features: str
    pool: Indices
    pool_labels: Indices

    @functools.cached_property
    def key(self) -> str:
        """Content key: everything the result depends on."""
        return content_key(
            kind="head",
            dataset=self.fingerprint,
            features=Path(self.features).name,
            subset=content_hash(self.subset, self.labels),
            pool=content_hash(self.pool, self.pool_labels),
            measured={name: content_hash(*pair) for name, pair in sorted(self.measured.items())},
            predicted=content_hash(self.predicted),
            logistic=self.config.logistic.model_dump(mode="json"),
            classes=self.num_classes,
            torch=torch.__version__.split("+")[0],
            **self.judged_key,
        )

    @functools.cached_property
    def company(self) -> str:
        """What the units have in common that are trained as one matrix product."""
        return content_hash(self.pool, self.pool_labels) + self.features

    @property
    def here(self) -> bool:
        """Never: heads are trained on the CPU, whatever the device."""
        return False

    def run(self) -> Result:
        """Train this head alone."""
        return run_heads([self])[0]

    def run_group(self, units: Sequence[Any], emit: Emit) -> Iterator[tuple[int, Result]]:
        """Train all heads as one matrix product."""
        yield from enumerate(run_heads(units))


def run_heads(units: Sequence[HeadUnit]) -> list[Result]:
    """Train the heads of one company together, and return the result of each.

    Args:
        units: at least one; `company` is the same for all.
    """
    started = time.perf_counter()
    first = units[0]
    features = map_array(Path(first.features))
    labels = torch.from_numpy(first.pool_labels)
    members = torch.from_numpy(np.stack([np.isin(first.pool, unit.subset) for unit in units]))
    pool = torch.from_numpy(features[first.pool])
    settings = first.config.logistic
    fit = heads.fit_heads(
        pool,
        labels,
        members,
        num_classes=first.num_classes,
        l2=settings.l2,
        iterations=settings.iterations,
    )
    right = fit.logits(pool).argmax(2) == labels
    reached = (right & members).sum(1) / members.sum(1)
    results: list[Result] = []
    for i, unit in enumerate(units):
        head = heads.Heads(fit.weights[i : i + 1], fit.biases[i : i + 1])

        def ask(indices: Indices, head: heads.Heads = head) -> Tensor:
            return head.logits(torch.from_numpy(features[indices]))[0]

        right_answers = {
            name: ask(indices).argmax(1) == torch.from_numpy(truth)
            for name, (indices, truth) in unit.measured.items()
        }
        arrays: Arrays = {}
        if len(unit.predicted):
            chunks = np.array_split(unit.predicted, -(-len(unit.predicted) // _CHUNK))
            axes = heads.principal_axes(pool)
            embedded = [axes.embed(torch.from_numpy(features[chunk])) for chunk in chunks]
            arrays = {
                "probabilities": torch.cat([ask(chunk).softmax(1) for chunk in chunks]).numpy(),
                "embeddings": torch.cat(embedded).numpy(),
            }
        record = TrainingRecord(
            accuracies=accuracies_of(right_answers),
            right=pack_right(right_answers),
            epochs=settings.iterations,
            train_accuracy=float(reached[i]),
            seconds=(time.perf_counter() - started) / len(units),
            size=len(unit.subset),
            evaluated=unit.evaluated,
            **unit.facts,
        )
        results.append((record, dict(arrays)))
    return results


@dataclasses.dataclass(frozen=True, eq=False)
class TransportUnit:
    """Solve OT between one subset of a pool and the validation set: exactly, or with all others by a shared kernel.

    All units share one cost matrix, which joblib maps into the worker processes once.

    Attributes:
        ground: the cost, and how OT is solved under it.
        subset: `a` indices of the pool.
        device: torch device; exact OT does not use it.
    """

    ground: GroundCost
    subset: Tensor
    device: str = "cpu"

    @functools.cached_property
    def key(self) -> str:
        """Content key: the cost matrix and the subset, and what else decides the rounding."""
        parts = {"cost": self.ground.digest, "subset": content_hash(self.subset.numpy())}
        if self.ground.exact:
            return content_key(kind="transport", **parts)
        # change the kind when `sinkhorn` computes something else
        return content_key(
            kind="transport-shared-2", device=torch.device(self.device).type, **parts
        )

    @property
    def company(self) -> str:
        """The cost of those that share a kernel; empty where each is solved exactly."""
        return "" if self.ground.exact else self.ground.digest

    @property
    def here(self) -> bool:
        """Only where a GPU does it; else it goes to a worker process, beside the trainings."""
        return torch.device(self.device).type == "cuda" and not self.ground.exact

    @property
    def cost(self) -> float:
        """Relative length: always after the classifiers, where it fills the gaps at the end."""
        return len(self.subset) / 1e9

    def run(self) -> Result:
        """Solve it."""
        if not self.ground.exact:
            return run_transports([self])[0]
        return TransportRecord(exact_transport(self.ground.rows(self.subset))), {}

    def run_group(self, units: Sequence[Any], emit: Emit) -> Iterator[tuple[int, Result]]:
        """Solve all under one kernel, or each exactly."""
        if self.ground.exact:
            yield from ((place, unit.run()) for place, unit in enumerate(units))
        else:
            yield from enumerate(run_transports(units))

    def judged(self, outcome: Outcome) -> Outcome:
        """Return it as it is."""
        return outcome

    def announce(self, outcome: Outcome, emit: Emit) -> None:
        """Say nothing: OT values are reported with their samples."""


def run_transports(units: Sequence[TransportUnit]) -> list[Result]:
    """Solve OT under one cost for all units by a shared kernel; the value of each comes with its bounds.

    Args:
        units: at least one; `ground` is the same for all.
    """
    ground = units[0].ground
    membership = np.stack([np.isin(ground.pool, unit.subset) for unit in units])
    cost = torch.from_numpy(ground.matrix).to(units[0].device) if units[0].here else ground.matrix
    solved = shared_kernel_transport(cost, membership)
    figures = zip(solved.values, solved.lower, solved.upper, strict=True)
    return [(TransportRecord(*map(float, row)), {}) for row in figures]


class Unit(Protocol):
    """A piece of work that any process can do: a pure function of its content."""

    @property
    def key(self) -> str:
        """Content key."""

    @property
    def company(self) -> str:
        """Units of one company are done together; empty for one that is done alone."""

    @property
    def here(self) -> bool:
        """Whether only this process can do it, because it holds the device."""

    @property
    def cost(self) -> float:
        """Relative length: longer ones go first."""

    def run_group(self, units: Sequence[Any], emit: Emit) -> Iterator[tuple[int, Result]]:
        """Do the units of this one's company, itself among them; yield place and result of each as it is done.

        Args:
            units: of this class and company, or this one alone.
            emit: hears what a person should know of the doing; what happened is announced later.
        """

    def judged(self, outcome: Outcome) -> Outcome:
        """Return the outcome as whoever asked wants it judged."""

    def announce(self, outcome: Outcome, emit: Emit) -> None:
        """Emit what happened."""


@functools.lru_cache(maxsize=1)
def _resident(source: str, device: str) -> Images:
    """Return all images of a prepared dataset, on the device."""
    data = _open(source)
    return Images(torch.from_numpy(np.array(data.images)).to(device), data.mean, data.std)


@functools.lru_cache(maxsize=4)
def _open(source: str) -> prepared.Prepared:
    """Return the prepared dataset, mapped once per process."""
    return prepared.open_prepared(Path(source))


def content_hash(*arrays: NDArray[Any]) -> str:
    """Return a content hash of the arrays: their types, shapes and bytes."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.dtype}{array.shape}".encode())
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


def content_key(**parts: object) -> str:
    """Return the content key of named parts, 64 hex digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
