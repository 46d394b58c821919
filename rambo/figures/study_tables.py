"""A study in words and tables for a page, from `study.table`. Pure functions."""

import dataclasses
from collections.abc import Mapping

import pandas as pd

from rambo import lineup
from rambo.figures import theme
from rambo.runs import report
from rambo.studies import paper
from rambo.studies.paper import Reported
from rambo.studies.study import MeanUtility
from rambo.studies.table import StudyRow, StudyTable, Verdict
from rambo.text import duration, percent, unbroken

METRICS = {"test": "Test accuracy", "validation": "Validation accuracy"}
SIGNS = {"more": "▲", "less": "▼", "nothing": "=", "too few": "?"}
_STAGE_ORDER = ("offline", "pretraining", "acquisition", "evaluation")


def verdict_words(verdict: Verdict) -> str:
    """Return a verdict's sentence with the words of the pages, not made safe."""
    words = unbroken(verdict.words)
    for strategy in (*map(lineup.of, lineup.names()), lineup.ORACLE):
        words = words.replace(f"minus {strategy.name}", f"minus {strategy.word}")
    return words


def spread(mean: float | None, error: float | None) -> str:
    """Return `80.4 ± 0.3 %` of figures in percent, less where less is known."""
    if mean is None:
        return "-"
    return f"{mean:.1f} %" if error is None else unbroken(f"{mean:.1f} ± {error:.1f} %")


def reported(figure: Reported | None) -> str:
    """Return a figure of the paper in words, a dash where it has none."""
    return spread(figure.mean, figure.error) if figure else "-"


def measured(row: StudyRow, metric: str) -> str:
    """Return an accuracy of a row in words."""
    own = row.accuracy(metric)
    if own.mean is None or own.error is None:
        return percent(own.mean)
    return spread(100 * own.mean, 100 * own.error)


def too_few(row: StudyRow) -> bool:
    """Return whether a row has so few trials that they are no evidence."""
    return row.trials < report.FEWEST


def results(table: StudyTable) -> pd.DataFrame:
    """Return one row a cell and strategy: ours beside the paper's."""
    rows = []
    for row in table.rows:
        rows.append(
            {
                "cell": row.cell,
                "strategy": theme.strategy_word(row.strategy),
                "test": measured(row, "test"),
                "balanced": measured(row, "balanced_test"),
                "validation": measured(row, "validation"),
                "labels wasted": "-" if row.wasted is None else f"{row.wasted:.0f}",
                "trials": f"{row.trials}, too few" if too_few(row) else f"{row.trials}",
                "paper": reported(row.reported),
                "where": row.reported.source if row.reported else "-",
            }
        )
    frame = pd.DataFrame(rows)
    if rows and not table.wastes:
        frame = frame.drop(columns="labels wasted")
    if not rows or any(row.reported for row in table.rows):
        return frame
    return frame.drop(columns=["paper", "where"])


def reported_words(table: StudyTable) -> str:
    """Return what the paper's figures are, or nothing where it has none for these cells."""
    sources = {row.reported.source for row in table.rows if row.reported}
    if not sources:
        return ""
    config = table.base
    return (
        f"The paper's figures ({'; '.join(sorted(sources))}) are validation accuracies of its own networks and "
        f"splits; this study has k {config.k:,}, B {config.budget:,}."
    )


def same_sizes(table: StudyTable) -> bool:
    """Return whether the paper's figures are for as many labels as ours, so that one axis can hold both."""
    config = table.base
    own = f"k {config.k:,}, B {config.budget:,}"
    sources = {row.reported.source for row in table.rows if row.reported}
    return bool(sources) and all(own in source or "k " not in source for source in sources)


def without_paper(table: StudyTable) -> StudyTable:
    """Return a study without the paper's figures."""
    rows = [dataclasses.replace(row, reported=None) for row in table.rows]
    return dataclasses.replace(table, rows=rows)


def runtimes(table: StudyTable) -> pd.DataFrame:
    """Return seconds a trial by stage and strategy in words, with the paper's minutes in the last row."""
    stages = {name for row in table.rows for name in row.seconds}
    order = [name for name in _STAGE_ORDER if name in stages]
    order += sorted(stages.difference(order))
    rows = [
        {"strategy": theme.strategy_word(row.strategy), "cell": row.cell}
        | {name: _time(row.seconds.get(name)) for name in order}
        | {"reused": f"{row.cached_trainings:,} of {_all(row):,}"}
        for row in table.rows
    ]
    theirs = paper.minutes(table.dataset)
    if theirs and rows:
        last = {name: _time(60 * theirs[name] if name in theirs else None) for name in order}
        rows.append({"strategy": "RAMBO in the paper", "cell": "B.7"} | last | {"reused": "-"})
    frame = pd.DataFrame(rows)
    return frame.drop(columns="cell") if len(table.cells) == 1 and rows else frame


def utilities(means: Mapping[str, MeanUtility]) -> pd.DataFrame:
    """Return the mean utility of each cell beside Table 2.

    Args:
        means: as `study.mean_utilities` gives it.
    """
    return pd.DataFrame(
        [
            {
                "cell": label,
                "mean utility": spread(100 * own.mean, own.error and 100 * own.error),
                "trials": own.trials,
                "sets": own.sets,
                "paper": reported(own.reported),
            }
            for label, own in means.items()
        ]
    )


def _time(seconds: float | None) -> str:
    """Return seconds in words, a dash where there are none."""
    return "-" if seconds is None else duration(seconds)


def _all(row: StudyRow) -> int:
    """Return how many trainings a row used, done or found."""
    return row.trainings + row.cached_trainings
