"""A study in words and tables for a page, from `study.table`. Pure functions."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from rambo import lineup
from rambo.figures import theme
from rambo.runs import report
from rambo.studies import paper
from rambo.studies.study import Table
from rambo.text import duration, percent

StudyTable = Mapping[str, Any]  # as `study.table` gives it
METRICS = {"test": "Test accuracy", "validation": "Validation accuracy"}
SIGNS = {"more": "▲", "less": "▼", "nothing": "=", "too few": "?"}
_STAGE_ORDER = ("offline", "pretraining", "acquisition", "evaluation")


def verdict_words(verdict: StudyTable) -> str:
    """Return a verdict's sentence with the words of the pages, not made safe."""
    words = str(verdict["words"]).replace("+-", "±")
    for strategy in (*map(lineup.of, lineup.names()), lineup.ORACLE):
        words = words.replace(f"minus {strategy.name}", f"minus {strategy.word}")
    return words


def spread(mean: float | None, error: float | None) -> str:
    """Return `80.4 ± 0.3 %` of figures in percent, less where less is known."""
    if mean is None:
        return "-"
    return f"{mean:.1f} %" if error is None else f"{mean:.1f} ± {error:.1f} %"


def measured(row: StudyTable, metric: str) -> str:
    """Return an accuracy of a row in words."""
    mean, error = row[metric], row[f"{metric}_error"]
    if mean is None or error is None:
        return percent(mean)
    return spread(100 * mean, 100 * error)


def too_few(row: StudyTable) -> bool:
    """Return whether a row has so few trials that they are no evidence."""
    return int(row["trials"]) < report.FEWEST


def results(content: StudyTable) -> pd.DataFrame:
    """Return one row a cell and strategy: ours beside the paper's."""
    rows = []
    for row in content["rows"]:
        rows.append(
            {
                "cell": row["cell"],
                "strategy": theme.strategy_word(row["strategy"]),
                "test": measured(row, "test"),
                "validation": measured(row, "validation"),
                "labels wasted": "-" if row["wasted"] is None else f"{row['wasted']:.0f}",
                "trials": f"{row['trials']}, too few" if too_few(row) else f"{row['trials']}",
                "paper": spread(row["reported"], row["reported_error"]),
                "where": row["reported_source"] or "-",
            }
        )
    table = pd.DataFrame(rows)
    if rows and all(row["wasted"] is None for row in content["rows"]):
        table = table.drop(columns="labels wasted")
    if not rows or any(row["reported"] is not None for row in content["rows"]):
        return table
    return table.drop(columns=["paper", "where"])


def reported_words(content: StudyTable) -> str:
    """Return what the paper's figures are, or nothing where it has none for these cells."""
    sources = {row["reported_source"] for row in content["rows"] if row["reported"] is not None}
    if not sources:
        return ""
    config = content["config"]
    return (
        f"The paper's figures ({'; '.join(sorted(sources))}) are validation accuracies of its own networks and "
        f"splits; this study has k {config['k']:,}, B {config['budget']:,}."
    )


def same_sizes(content: StudyTable) -> bool:
    """Return whether the paper's figures are for as many labels as ours, so that one axis can hold both."""
    config = content["config"]
    own = f"k {config['k']:,}, B {config['budget']:,}"
    sources = {row["reported_source"] for row in content["rows"] if row["reported"] is not None}
    return bool(sources) and all(own in source or "k " not in source for source in sources)


def without_paper(content: StudyTable) -> Table:
    """Return a study without the paper's figures."""
    nothing = dict.fromkeys(("reported", "reported_error", "reported_source"))
    return {**content, "rows": [{**row, **nothing} for row in content["rows"]]}


def runtimes(content: StudyTable) -> pd.DataFrame:
    """Return seconds a trial by stage and strategy in words, with the paper's minutes in the last row."""
    stages = {name for row in content["rows"] for name in row["seconds"]}
    order = [name for name in _STAGE_ORDER if name in stages]
    order += sorted(stages.difference(order))
    rows = [
        {"strategy": theme.strategy_word(row["strategy"]), "cell": row["cell"]}
        | {name: _time(row["seconds"].get(name)) for name in order}
        | {"reused": f"{row['cached_trainings']:,} of {_all(row):,}"}
        for row in content["rows"]
    ]
    theirs = paper.minutes(content["dataset"])
    if theirs and rows:
        last = {name: _time(60 * theirs[name] if name in theirs else None) for name in order}
        rows.append({"strategy": "RAMBO in the paper", "cell": "B.7"} | last | {"reused": "-"})
    table = pd.DataFrame(rows)
    return table.drop(columns="cell") if len(content["cells"]) == 1 and rows else table


def utilities(means: Mapping[str, Any]) -> pd.DataFrame:
    """Return the mean utility of each cell beside Table 2.

    Args:
        means: as `study.mean_utilities` gives it.
    """
    return pd.DataFrame(
        [
            {
                "cell": label,
                "mean utility": spread(100 * mean, 100 * error),
                "sets": number,
                "paper": spread(reported.mean, reported.error) if reported else "-",
            }
            for label, (mean, error, number, reported) in means.items()
        ]
    )


def _time(seconds: float | None) -> str:
    """Return seconds in words, a dash where there are none."""
    return "-" if seconds is None else duration(seconds)


def _all(row: StudyTable) -> int:
    """Return how many trainings a row used, done or found."""
    return int(row["trainings"]) + int(row["cached_trainings"])
