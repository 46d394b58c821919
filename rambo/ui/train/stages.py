"""How far a run is, what it does now, and how long it still takes: told from its events. Reads no clock and no file."""

import dataclasses
import math
from collections.abc import Iterable, Mapping

from rambo.estimate.workload import Plan, Where
from rambo.events import (
    ClassifierTrained,
    Event,
    StageAdvanced,
    StageFinished,
    StageStarted,
    StrategyEvaluated,
    StrategySelected,
    UtilityModelEpoch,
)
from rambo.figures.theme import STAGES
from rambo.runs.record import StoredEvent
from rambo.text import duration, percent

_MEASURED_EVENTS, _MEASURED_SHARE = 4, 0.02  # of uncached work, before a time is named
# Seconds between two events; beyond it ten times the longest gap so far is no work: the machine slept.
_LONG_GAP = 60.0


@dataclasses.dataclass
class Place:
    """What is known of one strategy of one trial, or of what its strategies share."""

    attempt: int
    shares: dict[str, float] = dataclasses.field(default_factory=dict)  # of each stage
    steps: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    stage: str | None = None  # the newest
    phase: str = ""
    epoch: tuple[int, int] | None = None  # while u_hat learns
    fits: int = 0  # offline, and those of the pretraining
    labeled: int = 0
    images: int = 0
    smallest: float = math.inf
    epochs: int = 0
    finished: bool = False


@dataclasses.dataclass(frozen=True)
class StageCell:
    """One stage of one strategy for the stepper: `done`, `now`, `waiting` or `none`, and a few words."""

    state: str
    words: str = ""


class Tracker:
    """Follows a run event by event."""

    def __init__(self, plan: Plan) -> None:
        """Stand before the first event."""
        self.plan = plan
        self.last_time: float | None = None  # of the newest event
        self.places: dict[Where, Place] = {}
        self.accuracies: dict[Where, float] = {}
        self._order = list(plan.pieces)
        self._sums = [sum(parts.values()) for parts in plan.pieces.values()]
        self._at = 0  # in the order
        self._attempt = 0
        self._done = self._best = 0.0
        self._scale = _Scale()

    @property
    def where(self) -> Where:
        """The place that is worked at."""
        return self._order[self._at]

    @property
    def total(self) -> float:
        """All expected seconds."""
        return sum(self._sums)

    @property
    def progress(self) -> float:
        """The share of the work that is done; within an attempt it never falls."""
        return min(self._best / self.total, 1.0)

    def remaining(self, now: float) -> float | None:
        """Return the seconds that are left, or None while too little was measured.

        Args:
            now: seconds since 1970; clocks may jump.
        """
        pace = self._scale.pace(self.total)
        if pace is None or self.last_time is None:
            return None
        return max((self.total - self._best) * pace - max(now - self.last_time, 0.0), 0.0)

    def feed(self, entries: Iterable[StoredEvent]) -> None:
        """Take events in their order; each once."""
        for entry in entries:
            self._take(entry)

    @property
    def place(self) -> Place | None:
        """What is known of the place that is worked at, or of what comes before all of them."""
        return self.places.get(self.where) or self.places.get((None, None))

    def cells(self, trial: int) -> dict[str, dict[str, StageCell]]:
        """Return the stepper of a trial: strategy -> stage -> cell."""
        return {
            name: {stage: self._cell(trial, name, stage) for stage in STAGES}
            for name in self.plan.strategies
        }

    def _take(self, entry: StoredEvent) -> None:
        """Take one event."""
        fresh = entry.attempt != self._attempt
        if fresh:
            self._restart(entry.attempt)
        where, event = entry.place, entry.event
        if isinstance(event, StrategyEvaluated):
            self.accuracies[where] = event.test_accuracy
        else:
            if where in self.plan.pieces:
                self._at = self._order.index(where)
            if where not in self.places or self.places[where].attempt < entry.attempt:
                self.places[where] = Place(entry.attempt)
            _note(self.places[where], event, self.plan, self.plan.pieces.get(where, {}))
        before, self._done = self._done, self._work()
        gap = None if fresh or self.last_time is None else entry.time - self.last_time
        reused = isinstance(event, ClassifierTrained) and event.cached
        self._scale.add(gap, 0.0 if fresh or reused else max(self._done - before, 0.0))
        self.last_time = entry.time
        self._best = self._done if fresh else max(self._best, self._done)

    def _restart(self, attempt: int) -> None:
        """Forget what was not finished: a new attempt tells it again."""
        self._attempt = attempt
        place = self.places.get(self.where)
        if place is not None and not place.finished:
            del self.places[self.where]
        self.places.pop((None, None), None)

    def _work(self) -> float:
        """Return the expected seconds of what is done."""
        done = sum(self._sums[: self._at])
        place = self.places.get(self.where)
        if place is not None:
            parts = self.plan.pieces[self.where]
            done += sum(part * place.shares.get(stage, 0.0) for stage, part in parts.items())
        return done

    def _cell(self, trial: int, name: str, stage: str) -> StageCell:
        """Return what the stepper says of one stage of one strategy."""
        if stage == "evaluation":
            return self._evaluation(trial, name)
        if stage not in self.plan.pieces[trial, name]:
            return StageCell("none", "not needed")
        place, here = self.places.get((trial, name)), self._order.index((trial, name))
        parts = [stage, "warm start"] if stage == "offline" else [stage]
        full = place is not None and all(place.shares.get(part, 0.0) >= 1 for part in parts)
        if here < self._at or full or (place is not None and place.finished):
            seconds = place.seconds.get(stage) if place else None
            return StageCell("done", "" if seconds is None else _short(seconds))
        if place is not None and place.stage == "classifier" and stage == "acquisition":
            return StageCell("now", "trains f first")
        if place is None or place.stage != stage:
            return StageCell("waiting", "waiting")
        if stage == "offline" and place.epoch:
            return StageCell("now", f"u_hat, epoch {place.epoch[0]} of {place.epoch[1]}")
        step, steps = place.steps.get(stage, (0, 0))
        if stage == "offline" and place.fits < self.plan.fits:
            step, steps = place.fits, self.plan.fits  # the OT problems come last and take no time
        return StageCell("now", f"{step} of {steps}")

    def _evaluation(self, trial: int, name: str) -> StageCell:
        """Return what the stepper says of the evaluation of one strategy."""
        if (trial, name) in self.accuracies:
            return StageCell("done", f"test {percent(self.accuracies[trial, name])}")
        if "evaluation" not in self.plan.pieces[trial, None]:
            return StageCell("none", "waits for labels")
        place = self.places.get((trial, None))
        if place is None or place.stage != "evaluation":
            return StageCell("waiting", "waiting")
        step, steps = place.steps["evaluation"]
        return StageCell("now", f"{step} of {steps}")


class _Scale:
    """How many real seconds an expected second takes."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._seconds = self._work = self._longest = 0.0
        self._events = 0

    def add(self, gap: float | None, work: float) -> None:
        """Note that `work` was done within `gap` seconds, None where that is unknown."""
        if gap is None:
            return
        gap = min(max(gap, 0.0), max(_LONG_GAP, 10 * self._longest))
        self._longest = max(self._longest, gap)
        self._seconds += gap
        self._work += work
        self._events += work > 0

    def pace(self, total: float) -> float | None:
        """Return the seconds an expected one takes, or None while too little of `total` was measured."""
        enough = self._work >= _MEASURED_SHARE * total and self._events >= _MEASURED_EVENTS
        return self._seconds / self._work if enough else None


def _note(place: Place, event: Event, plan: Plan, parts: Mapping[str, float]) -> None:
    """Write down what an event says of its place, whose stages are `parts`."""
    match event:
        case StageStarted(stage, total):
            for earlier in _before(parts, stage):
                place.shares[earlier] = 1.0
            place.stage, place.steps[stage], place.epoch = stage, (0, total), None
        case StageAdvanced(stage, step, total):
            place.steps[stage] = step, total
            if stage in ("acquisition", "features"):
                place.shares[stage] = step / total
            elif stage == "pretraining":
                place.epoch = None  # u_hat has learned; f is next
        case StageFinished(stage, seconds):
            place.shares[stage] = 1.0
            place.seconds[stage] = seconds
            place.finished = place.finished or stage == "evaluation"
        case ClassifierTrained():
            _note_fit(place, event, plan)
        case UtilityModelEpoch():
            place.phase, place.epoch = event.phase, (event.epoch, event.epochs)
            if event.phase == "offline":
                place.shares["warm start"] = event.epoch / event.epochs
            else:
                place.epochs += 1
                place.shares["pretraining"] = _pretrained(place, plan)
        case StrategySelected():
            place.finished, place.epoch = True, None
            place.shares |= dict.fromkeys(parts, 1.0)


def _note_fit(place: Place, fit: ClassifierTrained, plan: Plan) -> None:
    """Write down a training."""
    if fit.role in ("offline", "repeat"):
        place.fits += 1
        place.images += fit.size
        if not fit.cached:  # the largest come first: what is left is not larger than this
            place.smallest = min(place.smallest, fit.size)
        least = max(2 * plan.mean_size - plan.largest_size, 1.0)
        mean = (least + min(place.smallest, plan.largest_size)) / 2
        rest = max(plan.fits - place.fits, 0) * mean
        place.shares["offline"] = max(
            place.shares.get("offline", 0.0), place.images / (place.images + rest)
        )
    elif fit.role == "labeled":
        place.labeled, place.epoch = place.labeled + 1, None
        if place.stage == "pretraining":
            place.shares["pretraining"] = _pretrained(place, plan)
        else:
            place.shares["classifier"] = 1.0
    elif fit.role == "evaluation":
        steps = place.steps.get("evaluation", (0, len(plan.strategies)))[1]
        place.shares["evaluation"] = min(place.shares.get("evaluation", 0.0) + 1 / steps, 1.0)


def _pretrained(place: Place, plan: Plan) -> float:
    """Return the share of the pretraining that is done."""
    epochs = plan.iterations * plan.epochs * (2 if plan.refits else 1)
    fitted = min(place.labeled / (plan.iterations + 1), 1.0)
    learned = min(place.epochs / epochs, 1.0) if epochs else 1.0
    return plan.fits_share * fitted + (1 - plan.fits_share) * learned


def _before(parts: Mapping[str, float], stage: str) -> list[str]:
    """Return the stages before one of them."""
    names = list(parts)
    return names[: names.index(stage)] if stage in names else []


def _short(seconds: float) -> str:
    """Return a duration that fits a narrow cell."""
    return "< 1 s" if seconds < 1 else duration(seconds)
