"""A study as a table: its cells, a row for each cell and strategy, verdicts; and the same as CSV and Markdown."""

import csv
import dataclasses
import functools
import io
import re
from collections.abc import Mapping
from typing import Any

from rambo.config import Config, Settings, restore
from rambo.errors import shorten
from rambo.runs.report import Difference
from rambo.studies.grid import Place
from rambo.studies.paper import Reported


@dataclasses.dataclass(frozen=True)
class CellProgress:
    """How far a cell is.

    Attributes:
        label: of the cell, unique in its study.
        place: its coordinates in the table.
        run: id of its run; None where it was not begun, or the run was deleted since.
        status: of that run, `waiting` without one.
        done: results whose accuracy is known.
        total: results there will be.
    """

    label: str
    place: Place
    run: str | None
    status: str
    done: int
    total: int


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """A mean over trials, as a fraction, and its standard error; None where there are too few trials for it."""

    mean: float | None = None
    error: float | None = None


@dataclasses.dataclass(frozen=True)
class StudyRow:
    """The means of one strategy in one cell.

    Attributes:
        cell: its label.
        place: its coordinates.
        strategy: its name.
        trials: how many were evaluated.
        test: on the test images.
        validation: on S_val.
        trainings: classifiers trained for it.
        cached_trainings: classifiers that were there already.
        wasted: labels spent on foreign images or on further copies of a picture, a trial; None where there can be none.
        seconds: of a trial, by stage.
        reported: the paper's figure, in percent.
        balanced_test: on the test images, every class counting the same; empty where an older version trained.
        balanced_validation: the same on S_val.
    """

    cell: str
    place: Place
    strategy: str
    trials: int
    test: Accuracy
    validation: Accuracy
    trainings: int
    cached_trainings: int
    wasted: float | None
    seconds: Mapping[str, float]
    reported: Reported | None
    balanced_test: Accuracy = Accuracy()
    balanced_validation: Accuracy = Accuracy()

    def accuracy(self, metric: str) -> Accuracy:
        """Return the accuracy that `test` or `validation` images measure, or one of these `balanced_`."""
        accuracies = {
            "test": self.test,
            "validation": self.validation,
            "balanced_test": self.balanced_test,
            "balanced_validation": self.balanced_validation,
        }
        return accuracies[metric]

    # JSON's edge: `show --json`, and the cells of a CSV.
    def public(self) -> dict[str, Any]:
        """Return the row as `show --json` prints it."""
        return {
            "cell": self.cell,
            **self.place,
            "strategy": self.strategy,
            "trials": self.trials,
            "test": self.test.mean,
            "test_error": self.test.error,
            "validation": self.validation.mean,
            "validation_error": self.validation.error,
            "balanced_test": self.balanced_test.mean,
            "balanced_test_error": self.balanced_test.error,
            "balanced_validation": self.balanced_validation.mean,
            "balanced_validation_error": self.balanced_validation.error,
            "trainings": self.trainings,
            "cached_trainings": self.cached_trainings,
            "wasted": self.wasted,
            "seconds": dict(self.seconds),
            "reported": self.reported and self.reported.mean,
            "reported_error": self.reported and self.reported.error,
            "reported_source": self.reported and self.reported.source,
        }


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A paired difference that answers a study's question.

    Attributes:
        pair: what is compared, `RAMBO minus random`.
        difference: in points of accuracy.
        words: one sentence.
    """

    pair: str
    difference: Difference
    words: str


@dataclasses.dataclass(frozen=True)
class StudyTable:
    """What a study has to say: `show --json` prints it.

    Attributes:
        study: its id.
        name: of the question.
        title: a few words.
        source: where the paper has it.
        question: a sentence.
        axis: the coordinate along which a figure is drawn; none for a table of rows.
        dataset: its name.
        config: nested settings, with the name of the study.
        status: of the study.
        cells: all of them, in order.
        rows: of the cells that have results.
        verdicts: the most important first.
    """

    study: str
    name: str
    title: str
    source: str
    question: str
    axis: str
    dataset: str
    config: Settings
    status: str
    cells: list[CellProgress]
    rows: list[StudyRow]
    verdicts: list[Verdict]

    @functools.cached_property
    def base(self) -> Config:
        """The config that all cells start from."""
        return restore({name: value for name, value in self.config.items() if name != "study"})

    @property
    def wastes(self) -> bool:
        """Whether labels could be wasted on foreign images or near copies in any cell."""
        return any(row.wasted is not None for row in self.rows)

    # JSON's edge: `show --json`.
    def public(self) -> dict[str, Any]:
        """Return the object that `show --json` prints."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return fields | {
            "cells": [
                {
                    "label": cell.label,
                    "place": dict(cell.place),
                    "run": cell.run,
                    "status": cell.status,
                    "done": cell.done,
                    "wanted": cell.total,
                }
                for cell in self.cells
            ],
            "rows": [row.public() for row in self.rows],
            "verdicts": [
                {
                    "pair": verdict.pair,
                    **dataclasses.asdict(verdict.difference),
                    "finding": verdict.difference.finding,
                    "words": verdict.words,
                }
                for verdict in self.verdicts
            ],
        }


_COLUMNS = ("trials", "test", "test_error", "validation", "validation_error")
_BALANCED = tuple(
    f"balanced_{name}{part}" for name in ("test", "validation") for part in ("", "_error")
)
_WASTED = "labels wasted"
_REPORTED = ("reported", "reported_error", "reported_source")


def to_csv(table: StudyTable) -> str:
    """Return the rows of a study as CSV; accuracies in percent."""
    places = list(dict.fromkeys(name for cell in table.cells for name in cell.place))
    spent = [_WASTED] if table.wastes else []
    columns = ["cell", *places, "strategy", *_COLUMNS, *spent, *_REPORTED, *_BALANCED]
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in table.rows:
        cells = row.public()
        cells |= {name: _percent(cells[name]) for name in (*_COLUMNS[1:], *_BALANCED)}
        cells[_WASTED] = row.wasted
        writer.writerow({name: "" if value is None else value for name, value in cells.items()})
    return out.getvalue()


def to_markdown(table: StudyTable) -> str:
    """Return a study as a Markdown table with its verdicts."""
    heads = ["cell", "strategy", "test %", "balanced test %", "validation %", "trials", "paper %"]
    heads += [_WASTED] if table.wastes else []
    lines = [
        f"### {table.title} ({table.source}) on {_plain(table.dataset)}",
        "",
        f"| {' | '.join(heads)} |",
        f"| {' | '.join('---' for _ in heads)} |",
    ]
    for row in table.rows:
        cells = [row.cell, row.strategy]
        for own in (row.test, row.balanced_test, row.validation):
            cells.append(_spread(_percent(own.mean), _percent(own.error)))
        reported = row.reported
        cells += [str(row.trials), _spread(reported.mean, reported.error) if reported else "-"]
        if table.wastes:
            cells.append("-" if row.wasted is None else f"{row.wasted:.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", *(f"- {verdict.words}" for verdict in table.verdicts)]
    return "\n".join(lines) + "\n"


def _plain(name: str) -> str:
    """Return a name that somebody else chose as one line that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>|!&])", r"\\\1", shorten(name, 200))


def _percent(value: float | None) -> float | None:
    """Return a fraction in percent with two decimals."""
    return None if value is None else round(100 * value, 2)


def _spread(mean: float | None, error: float | None) -> str:
    """Return `80.4 +- 0.3`, or less where less is known."""
    if mean is None:
        return "-"
    return f"{mean:.1f}" if error is None else f"{mean:.1f} +- {error:.1f}"
