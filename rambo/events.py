"""Typed progress events: everything a live page or a progress bar draws.

The core calls `emit(event)`; whoever listens stores or shows it. Events are small frozen records whose fields are
JSON types. `emit` may raise `RunCancelled`, so emitting is also the safe stopping point.
"""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Event:
    """One thing that happened."""

    @property
    def kind(self) -> str:
        """The name under which it is stored: that of its class."""
        return type(self).__name__

    # JSON's edge: `restore` is the way back.
    def record(self) -> dict[str, Any]:
        """Return the fields as JSON types, none of which the event shares."""
        return {name: _copied(value) for name, value in vars(self).items()}


# `dataclasses.asdict` takes seven times as long over a list of numbers, and a run has thousands of lists.
def _copied(value: Any) -> Any:
    """Return a JSON value with lists and objects of its own."""
    if isinstance(value, list):
        return [_copied(item) for item in value]
    if isinstance(value, dict):
        return {name: _copied(item) for name, item in value.items()}
    return value


@dataclasses.dataclass(frozen=True)
class Unknown(Event):
    """An event that this version does not know, as another version stored it.

    Attributes:
        name: its kind.
        fields: its fields, as JSON types.
    """

    name: str
    fields: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """The kind that the other version gave it."""
        return self.name

    # JSON's edge: nobody here knows what another version wrote.
    def record(self) -> dict[str, Any]:
        """Return the fields as they were stored."""
        return dict(self.fields)


_EARLIER = {"NoiseCeilingMeasured": "TrainingsCompared"}  # kinds of version 0.1


# A record holds thousands of events of a dozen kinds.
@functools.lru_cache(maxsize=256)
def _class_of(kind: str) -> tuple[type[Event] | None, frozenset[str]]:
    """Return the class of a kind, and the names of its fields; None and none for an unknown kind."""
    kind_now = _EARLIER.get(kind, kind)
    event = next((each for each in Event.__subclasses__() if each.__name__ == kind_now), None)
    return event, frozenset(field.name for field in dataclasses.fields(event or Event))


def restore(kind: str, fields: Mapping[str, Any]) -> Event:
    """Return the event that was emitted as `kind` with `fields`.

    A field that this version lacks is dropped, one that the stored event lacks has its default. An unknown kind, or
    a field missing that has no default, gives an `Unknown`: nothing that another version wrote breaks a reader.
    """
    event, names = _class_of(kind)
    if event is None or event is Unknown:
        return Unknown(kind, fields)
    try:
        return event(**{name: value for name, value in fields.items() if name in names})
    except TypeError:  # a field is missing that has no default
        return Unknown(kind, fields)


Emit = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Drop the event: the default listener."""


@dataclasses.dataclass(frozen=True)
class StageStarted(Event):
    """A stage begins; `total` counts its steps."""

    stage: str
    total: int


@dataclasses.dataclass(frozen=True)
class StageAdvanced(Event):
    """`step` of `total` steps of a stage are done."""

    stage: str
    step: int
    total: int


@dataclasses.dataclass(frozen=True)
class StageFinished(Event):
    """A stage ended after `seconds`."""

    stage: str
    seconds: float


@dataclasses.dataclass(frozen=True)
class ClassifierTrained(Event):
    """A classifier was trained on a subset (or found in the shared cache).

    `role` is `offline` for the true utility of a utility sample, `repeat` for its second training,
    `labeled` for f on a labeled pool S_i, `evaluation` for f on S_1, `llal` for f beside its loss module, `guesses` for
    a classifier on S_0 and half of S_val, by which `accuracy` then means little. Without validation images it is None.
    """

    role: str
    index: int
    size: int
    accuracy: float | None
    epochs: int
    seconds: float
    cached: bool


@dataclasses.dataclass(frozen=True)
class LabeledPoolGrew(Event):
    """f was trained on S_i during pretraining: `accuracy` is acc_i of Algorithm 1, lines 6 and 11."""

    iteration: int
    labeled: int
    accuracy: float


@dataclasses.dataclass(frozen=True)
class UtilitySamplesAdded(Event):
    """Pairs of utility samples joined D (Algorithm 3); `sizes` and `utilities` have one entry a sample."""

    phase: str
    sizes: list[int]
    utilities: list[float]


@dataclasses.dataclass(frozen=True)
class UtilityModelEpoch(Event):
    """One epoch (ordinary training) or hyper-step (bilevel) of the utility model.

    Ranking accuracies are over the short pairs (inner, D_tr) and the long pairs (outer, D_val); `None` where all pairs
    of a half are tied.
    """

    phase: str
    epoch: int
    epochs: int
    rank_loss: float
    transport_loss: float
    outer_rank_loss: float
    outer_transport_loss: float
    inner_ranking_accuracy: float | None
    outer_ranking_accuracy: float | None


@dataclasses.dataclass(frozen=True)
class HyperStep(Event):
    """log-L2 weight of every parameter tensor after a hyper-step, with the outer loss and hypergradient norm."""

    phase: str
    step: int
    outer_loss: float
    hypergradient_norm: float
    log_l2: dict[str, float]


@dataclasses.dataclass(frozen=True)
class TransportPredicted(Event):
    """True and predicted OT distance of every utility sample, in units of the offline mean; true is 0 with OT off."""

    phase: str
    true: list[float]
    predicted: list[float]


@dataclasses.dataclass(frozen=True)
class RankingAudited(Event):
    """u_hat against true utilities of the held-out offline pairs, which no fit has seen.

    `accuracy` is the share of pairs put in the true order, `kendall_tau` runs over all `2 * pairs` sets.
    Both are NaN-free: `None` where there is nothing to rank.
    """

    phase: str
    pairs: int
    accuracy: float | None
    kendall_tau: float | None


@dataclasses.dataclass(frozen=True)
class TrainingsCompared(Event):
    """How often two independent trainings agree on the better of a pair, over `pairs` offline pairs."""

    pairs: int
    agreement: float | None


@dataclasses.dataclass(frozen=True)
class BatchChosen(Event):
    """One greedy step of the acquisition (Algorithm 2).

    `utilities` are the predicted utilities of all candidate batches; `candidates` holds the dataset indices of the
    best few, best first, `candidate_utilities` and `candidate_margins` their utilities and mean margins. Where each
    candidate is what another strategy would take next, `candidate_strategies` names these.
    """

    step: int
    steps: int
    chosen: list[int]
    utility: float
    runner_up: float | None
    utilities: list[float]
    candidates: list[list[int]]
    candidate_utilities: list[float]
    candidate_margins: list[float]
    candidate_strategies: list[str] = dataclasses.field(default_factory=list)

    @property
    def gap(self) -> float | None:
        """How much the chosen batch is ahead of the runner-up; None with a single candidate."""
        return None if self.runner_up is None else self.utility - self.runner_up


@dataclasses.dataclass(frozen=True)
class StrategySelected(Event):
    """A strategy has spent its budget."""

    strategy: str
    budget: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class StrategyEvaluated(Event):
    """The oracle revealed the chosen labels and a fresh classifier was trained on S_1."""

    strategy: str
    validation_accuracy: float
    test_accuracy: float


@dataclasses.dataclass(frozen=True)
class Noticed(Event):
    """A rule was applied that a person should know of."""

    message: str


@contextlib.contextmanager
def stage(name: str, total: int, emit: Emit) -> Iterator[Callable[[], None]]:
    """Announce a stage of `total` steps and its end; yields a function to call after each step."""
    started, step = time.perf_counter(), 0

    def advance() -> None:
        nonlocal step
        step += 1
        emit(StageAdvanced(name, step, total))

    emit(StageStarted(name, total))
    yield advance
    emit(StageFinished(name, time.perf_counter() - started))
