"""What a choice cost: its trainings and its seconds, over all attempts of a run."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from rambo.events import ClassifierTrained, Emit, Event, StageFinished, StageStarted
from rambo.runs.record import StoredEvent

Name = tuple[str, str, int, int]  # stage, role, index, and how often those came before


class _Attempt:
    """What the events of one attempt say.

    Attributes:
        cached: of each training, whether it was found; its name is the same in every attempt.
        seconds: of each stage that ended.
    """

    def __init__(self) -> None:
        self.cached: dict[Name, bool] = {}
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._stage, self._times = "", Counter[tuple[str, str, int]]()
        self._open: dict[str, float] = {}

    def hear(self, event: Event, moment: float = 0.0) -> None:
        """Count an event, which came at `moment`."""
        match event:
            case StageStarted():
                self._stage = event.stage
                self._open[event.stage] = moment
            case StageFinished():
                self.seconds[event.stage] += event.seconds
                self._open.pop(event.stage, None)
            case ClassifierTrained():
                place = self._stage, event.role, event.index
                self.cached[*place, self._times[place]] = event.cached
                self._times[place] += 1

    def end(self, moment: float) -> None:
        """Count the seconds of the stages that were broken off at `moment`."""
        for stage, started in self._open.items():
            self.seconds[stage] += max(0.0, moment - started)


class Tally:
    """Counts trainings and seconds while events pass through to the listener.

    A training counts as trained if any attempt of the run trained it, and once however many did. The seconds of a
    stage are those of all attempts; where one was stopped, those until its last event.

    Args:
        emit: the listener.
        past: what earlier attempts told of the same strategy, in order.
    """

    def __init__(self, emit: Emit, past: Iterable[StoredEvent] = ()) -> None:
        """Read what earlier attempts told."""
        self._emit, self._own = emit, _Attempt()
        attempts: defaultdict[int, _Attempt] = defaultdict(_Attempt)
        ends: dict[int, float] = {}
        for entry in past:
            attempts[entry.attempt].hear(entry.event, entry.time)
            ends[entry.attempt] = entry.time
        self._earlier: set[Name] = set()
        self._spent: defaultdict[str, float] = defaultdict(float)
        for number, attempt in attempts.items():
            attempt.end(ends[number])
            self._earlier |= {name for name, cached in attempt.cached.items() if not cached}
            for stage, seconds in attempt.seconds.items():
                self._spent[stage] += seconds

    def __call__(self, event: Event) -> None:
        """Count the event and pass it on."""
        self._own.hear(event)
        self._emit(event)

    @property
    def seconds(self) -> dict[str, float]:
        """Of each stage that ended in this attempt, over all attempts."""
        return {
            stage: round(seconds + self._spent[stage], 3)
            for stage, seconds in self._own.seconds.items()
        }

    @property
    def trainings(self) -> int:
        """How many of this attempt's trainings the run made itself, in whatever attempt."""
        return sum(map(self._trained, self._own.cached))

    @property
    def cached_trainings(self) -> int:
        """How many it found."""
        return len(self._own.cached) - self.trainings

    def trained(self, stage: str, role: str, index: int) -> bool:
        """Return whether the run made a training of this attempt itself, in whatever attempt."""
        return self._trained((stage, role, index, 0))

    def _trained(self, name: Name) -> bool:
        return not self._own.cached[name] or name in self._earlier
