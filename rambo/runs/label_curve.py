"""Accuracy against labels: how good f is with so many bought labels, and how many random ones would do as well.

The table of the run that comes along is made by `benchmarks.label_curve`; nothing is trained here.
"""

import dataclasses
import itertools
import statistics
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pydantic

from rambo.errors import DataError
from rambo.runs import report
from rambo.runs.report import Difference

LUCK = "random"


class _Row(pydantic.BaseModel, frozen=True):
    """One cell of the table."""

    strategy: str
    budget: int = pydantic.Field(ge=0)
    trial: int = pydantic.Field(ge=0)
    test_accuracies: list[float] = pydantic.Field(min_length=1)


class _Table(pydantic.BaseModel, frozen=True):
    """What the file holds."""

    run: str
    k: int
    budget: int
    accuracies: list[_Row]


@dataclasses.dataclass(frozen=True)
class LabelCurve:
    """Test accuracies by strategy and by how many labels were bought.

    Attributes:
        run: whose settings it has.
        k: labels there were before.
        budget: B of that run.
        trainings: of f behind each accuracy, at least and at most.
        accuracies: strategy -> bought labels -> accuracy of each trial in [0, 1]; both in order.
    """

    run: str
    k: int
    budget: int
    trainings: tuple[int, int]
    accuracies: Mapping[str, Mapping[int, tuple[float, ...]]]

    def means(self, strategy: str) -> tuple[list[int], list[float]]:
        """Return the bought labels at which a strategy was measured, and its mean accuracy at each."""
        own = self.accuracies[strategy]
        return list(own), [statistics.fmean(values) for values in own.values()]

    @property
    def strategies(self) -> list[str]:
        """Those that spent the whole budget, random choice last."""
        names = [name for name, own in self.accuracies.items() if self.budget in own]
        return sorted(names, key=lambda name: name == LUCK)


@dataclasses.dataclass(frozen=True)
class Worth:
    """What the labels of a strategy are worth in random ones.

    Attributes:
        gap: over random choice with the same budget, in points, trial by trial.
        labels: random labels that reach the same accuracy, interpolated; infinite beyond the largest measured.
        low: the same at the lower end of the gap's 95 % interval.
        high: at its upper end.
    """

    gap: Difference
    labels: float
    low: float
    high: float


def read(path: Path) -> LabelCurve:
    """Return the table in a file.

    Raises:
        DataError: it is not there, or no such table.
    """
    try:
        table = _Table.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        raise DataError(
            "is missing or damaged",
            field="table",
            value=path.name,
            hint="make it again with python -m benchmarks.label_curve",
        ) from None
    rows = sorted(table.accuracies, key=lambda row: (row.budget, row.trial))
    names = dict.fromkeys(row.strategy for row in table.accuracies)
    accuracies = {
        name: {
            budget: tuple(statistics.fmean(row.test_accuracies) for row in own)
            for budget, own in itertools.groupby(
                (row for row in rows if row.strategy == name), key=lambda row: row.budget
            )
        }
        for name in names
    }
    trainings = [len(row.test_accuracies) for row in rows] or [0]
    ends = min(trainings), max(trainings)
    return LabelCurve(table.run, table.k, table.budget, ends, accuracies)


def worth(curve: LabelCurve, strategy: str, among: int = 1) -> Worth | None:
    """Return what a strategy's B labels are worth in random ones; None where they cannot be compared.

    Choice: the accuracy of random choice over labels is taken as never falling, and straight between the budgets that
    were measured. The interval is that of the paired gap alone: random's own curve counts as known.

    Args:
        curve: with random choice.
        strategy: another one.
        among: how many were looked at before this one was picked; widens the interval (Bonferroni).
    """
    own = curve.accuracies.get(strategy, {}).get(curve.budget, ())
    luck = curve.accuracies.get(LUCK, {}).get(curve.budget, ())
    gap = report.difference([100 * (a - b) for a, b in zip(own, luck, strict=False)], among)
    if gap is None or gap.low is None or gap.high is None or len(own) != len(luck):
        return None
    base = statistics.fmean(luck)
    places = [needed(curve, base + points / 100) for points in (gap.mean, gap.low, gap.high)]
    return Worth(gap, *places)


def needed(curve: LabelCurve, accuracy: float) -> float:
    """Return how many random labels reach an accuracy on the mean; infinite where all that were measured do not."""
    budgets, means = curve.means(LUCK)
    rising = np.maximum.accumulate(means)
    if accuracy > rising[-1]:
        return float("inf")
    after = int(np.searchsorted(rising, accuracy))
    if after == 0:
        return float(budgets[0])
    low, high = rising[after - 1], rising[after]
    share = (accuracy - low) / (high - low)
    return float(budgets[after - 1] + share * (budgets[after] - budgets[after - 1]))
