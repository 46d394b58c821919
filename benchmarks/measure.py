"""What one benchmark found: two or more ways to do the same work, timed side by side."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any


class CannotMeasureError(Exception):
    """A benchmark cannot run here; the message is one line that says what is missing."""


@dataclasses.dataclass(frozen=True)
class Goal:
    """A figure and what it should be.

    Attributes:
        name: what the figure is, as in "Spearman with exact OT".
        value: what was measured; of the medians for a ratio.
        wanted: the goal.
        aim: what we would like best.
        at_most: a smaller figure is better.
    """

    name: str
    value: float
    wanted: float
    aim: float | None = None
    at_most: bool = False

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        return self.value <= self.wanted if self.at_most else self.value >= self.wanted


@dataclasses.dataclass(frozen=True)
class Measure:
    """The rounds of one benchmark; every round ran all contenders one after the other.

    Attributes:
        name: short, unique among all measures, as in "Classifiers on a CPU"; names the section.
        what: one or two sentences: which work, of what size, and what the contenders are.
        clock: "CPU seconds", "device seconds" or "seconds".
        seconds: contender -> its seconds in each round, for one and the same work. The first is the one that the
            others are compared with: the plain way.
        goals: what is asked of it.
        work: how many of `unit` one round of any contender does, or None.
        unit: as in "images".
        flops: contender -> arithmetic that the work itself needs, for the percent of the machine's limit.
        note: what a reader must know to read it right; empty for nothing.
    """

    name: str
    what: str
    clock: str
    seconds: Mapping[str, Sequence[float]]
    goals: Sequence[Goal]
    work: float | None = None
    unit: str = ""
    flops: Mapping[str, float] = dataclasses.field(default_factory=dict)
    note: str = ""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Measure":
        """Return what `as_json` gave."""
        return cls(**{**data, "goals": [Goal(**goal) for goal in data["goals"]]})

    def as_json(self) -> dict[str, Any]:
        """Return it in JSON types."""
        return dataclasses.asdict(self)

    def speedups(self, contender: str) -> list[float]:
        """Return how many times as fast as the first contender this one was, in each round."""
        return ratios(next(iter(self.seconds.values())), self.seconds[contender])

    def speedup(self, contender: str) -> float:
        """Return how many times as fast as the first contender this one is."""
        return ratio(next(iter(self.seconds.values())), self.seconds[contender])

    def share(self, contender: str, rates: Mapping[str, float]) -> float | None:
        """Return its share of the arithmetic limit: flops / (seconds x rate); None where one is not known.

        Args:
            contender: which.
            rates: clock -> FLOP a second of a matrix product on that device.
        """
        if contender not in self.flops or self.clock not in rates:
            return None
        seconds = statistics.median(self.seconds[contender])
        return self.flops[contender] / (seconds * rates[self.clock])


def ratios(slower: Sequence[float], faster: Sequence[float]) -> list[float]:
    """Return the ratio of each round."""
    return [a / b for a, b in zip(slower, faster, strict=True)]


def ratio(slower: Sequence[float], faster: Sequence[float]) -> float:
    """Return the ratio of the medians."""
    return statistics.median(slower) / statistics.median(faster)
