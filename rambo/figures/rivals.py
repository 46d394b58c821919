"""Strategies side by side: accuracies with their standard errors, overlaps, and who owns which image. Pure functions.

accuracies(readers.summary(run).results, "test_accuracy")     # strategy -> Accuracy
jaccard({"rambo": ids, "margin": ids})                           # a square table
"""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from rambo import lineup
from rambo.figures import theme
from rambo.figures.prepared import Figure, PreparedFigure, prepare_figure
from rambo.runs import report
from rambo.runs.atlas import Indices
from rambo.runs.results import Result
from rambo.text import count, for_plot, percent, unbroken

_SPAN = 10.0  # points of accuracy that an axis spans at least
_DARK = 0.55  # of a field, from which on its number is white
_METRICS = {"test_accuracy": "test", "validation_accuracy": "validation"}


@dataclasses.dataclass(frozen=True)
class TrialAccuracies:
    """The accuracies of one strategy, one for each trial that was evaluated.

    Attributes:
        values: shares in [0, 1], in the order of the trials.
    """

    values: tuple[float, ...]

    @property
    def trials(self) -> int:
        """How many there are."""
        return len(self.values)

    @property
    def mean(self) -> float | None:
        """Their mean, or None where there is none."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def error(self) -> float | None:
        """The standard error of the mean; None for fewer than two trials."""
        return report.standard_error(self.values) if len(self.values) > 1 else None

    def words(self) -> str:
        """Return `80.4 ± 0.3 %`, as everywhere in the app, or a dash."""
        if self.mean is None or self.error is None:
            return percent(self.mean)
        return unbroken(f"{100 * self.mean:.1f} ± {100 * self.error:.1f} %")


def accuracies(results: Sequence[Result], metric: str) -> dict[str, TrialAccuracies]:
    """Return the accuracies of each strategy that has results, in their order.

    Args:
        results: of a summary.
        metric: `test_accuracy`, `validation_accuracy`, or one of them `balanced_`.
    """
    values: dict[str, list[float]] = {}
    for result in results:
        numbers = values.setdefault(result.strategy, [])
        if (value := getattr(result, metric)) is not None:
            numbers.append(value)
    return {name: TrialAccuracies(tuple(numbers)) for name, numbers in values.items()}


def evaluated(results: Sequence[Result]) -> dict[str, TrialAccuracies]:
    """Return the test accuracies of each strategy that has any, in their order."""
    by_strategy = accuracies(results, "test_accuracy")
    return {name: accuracy for name, accuracy in by_strategy.items() if accuracy.values}


def verdict(results: Sequence[Result]) -> str | None:
    """Return what the paired figures say of u_hat, as `report.compare` words it, or None where nothing is paired."""
    sentence = report.compare(_of(results, "rambo"), _of(results, "filter-only"))
    return sentence and unbroken(sentence)


def missing_controls(strategies: Sequence[str]) -> list[str]:
    """Return the controls that a run goes without."""
    return [name for name in lineup.CONTROLS if name not in strategies]


def accuracy_table(results: Sequence[Result]) -> pd.DataFrame:
    """Return one row a strategy: its name, both accuracies in words, trials, trainings done and found."""
    test, validation = (accuracies(results, metric) for metric in _METRICS)
    balanced = accuracies(results, "balanced_test_accuracy")
    rows = []
    for name in test:
        own = _of(results, name)
        rows.append(
            {
                "strategy": theme.strategy_word(name),
                "test accuracy": test[name].words(),
                "balanced": balanced[name].words(),
                "validation accuracy": validation[name].words(),
                "trials": test[name].trials,
                "trained": sum(result.trainings for result in own),
                "reused": sum(result.cached_trainings for result in own),
            }
        )
    return pd.DataFrame(rows)


def sampling_error(accuracy: float, images: int) -> float:
    """Return by how much a share measured on so many images may be off by chance, 95 times of 100.

    Source: the normal approximation of the binomial, with one success and one failure added, so that an accuracy of
    100 % on few images is not taken for certain.
    """
    share = (accuracy * images + 1) / (images + 2)
    return float(1.96 * np.sqrt(share * (1 - share) / images))


def band_words(test_images: int | None) -> str:
    """Return what the pale band of `accuracy_figure` is, in the middle of a sentence; nothing where there is none."""
    return f"pale: what chance does on {count(test_images, 'test image')}" if test_images else ""


def accuracy_figure(results: Sequence[Result], test_images: int | None = None) -> PreparedFigure:
    """Return test accuracies as points with bars of one standard error, every trial as a small ring.

    Choice: the axis spans ten points at least, so that a difference of chance does not fill the width.

    Args:
        results: of a summary.
        test_images: on how many each accuracy was measured; draws their sampling error as a pale band.
    """
    by_strategy = evaluated(results)
    names = list(by_strategy)[::-1]  # the first strategy on top
    data: list[Figure] = []
    ends: list[float] = []
    for place, name in enumerate(names):
        accuracy, colour = by_strategy[name], lineup.of(name).colour
        symbol = lineup.of(name).symbol
        ends += [100 * value for value in accuracy.values]
        if test_images:
            mean, off = accuracy.mean or 0.0, sampling_error(accuracy.mean or 0.0, test_images)
            span = [100 * max(mean - off, 0.0), 100 * min(mean + off, 1.0)]
            ends += span
            data.append(
                {"type": "scatter", "mode": "lines", "showlegend": False, "name": ""}
                | {"x": span, "y": [place, place], "opacity": 0.22}
                | {"line": {"width": 16, "color": colour}, "hoverinfo": "skip"}
            )
        base: Figure = {"type": "scatter", "mode": "markers", "showlegend": False}
        if accuracy.trials > 1:
            ring = {"symbol": "circle-open", "size": 8, "color": colour, "opacity": 0.6}
            data.append(
                base
                | {"x": [100 * value for value in accuracy.values], "marker": ring}
                | {"y": [place] * accuracy.trials, "hovertemplate": "one trial: %{x:.1f} %"}
                | {"name": ""}
            )
        mean = 100 * (accuracy.mean or 0.0)
        data.append(
            base
            | {"x": [mean], "y": [place], "name": ""}
            | {"marker": {"symbol": symbol, "size": 14, "color": colour}}
            | {"error_x": {"array": [100 * (accuracy.error or 0.0)], "color": colour}}
            | {"hovertemplate": f"{accuracy.words()}, {accuracy.trials} trials"}
        )
    words = [theme.strategy_word(name) for name in names]
    low, high = min(ends, default=0.0), max(ends, default=100.0)
    more = max(_SPAN - (high - low), 0.1 * (high - low)) / 2
    layout: Figure = {
        "xaxis": {"title": {"text": "test accuracy, %"}, "range": [low - more, high + more]},
        "yaxis": {"tickvals": list(range(len(names))), "ticktext": words, "fixedrange": True},
    }
    layout["yaxis"] |= {"range": [-0.6, max(len(names), 1) - 0.4], "automargin": True}
    return prepare_figure({"data": data, "layout": layout})


def class_table(results: Sequence[Result], classes: Sequence[str]) -> pd.DataFrame:
    """Return the test accuracy of every strategy on each class, in percent, mean over the trials; a row a class.

    Empty where nothing is known of single classes, as of runs of older versions.

    Args:
        results: of a summary.
        classes: names, by class id.
    """
    columns: dict[str, list[float | None]] = {}
    for name in evaluated(results):
        each = [result.test_classes for result in _of(results, name) if result.test_classes]
        if each:
            columns[theme.strategy_word(name)] = [
                _percent_mean([own[c] for own in each]) for c in range(len(classes))
            ]
    return pd.DataFrame({"class": list(classes)} | columns if columns else {})


def _percent_mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of the shares there are, in percent."""
    shares = [value for value in values if value is not None]
    return 100 * statistics.fmean(shares) if shares else None


def jaccard(chosen: Mapping[str, Indices]) -> pd.DataFrame:
    """Return how much two choices overlap: shared images over images chosen by either, 1 on the diagonal."""
    sets = {name: set(ids.tolist()) for name, ids in chosen.items()}
    names = [theme.strategy_word(name) for name in sets]
    table = [[len(a & b) / max(len(a | b), 1) for b in sets.values()] for a in sets.values()]
    return pd.DataFrame(table, index=names, columns=names)


def overlap_figure(chosen: Mapping[str, Indices]) -> PreparedFigure:
    """Return the table of `jaccard` as coloured fields with their numbers."""
    table = jaccard(chosen)
    values = table.to_numpy()
    names = [for_plot(name, 24) for name in table.columns]
    trace: Figure = {
        "type": "heatmap",
        "x": names,
        "y": names,
        "z": values.astype(np.float32),
        "zmin": 0,
        "zmax": 1,
        "colorscale": [[0, "#dfe5ee"], [1, theme.BLUE]],
        "showscale": False,
        "xgap": 3,
        "ygap": 3,
        "hovertemplate": "%{x} and %{y}: %{z:.2f}<extra></extra>",
    }
    words = [
        {"x": x, "y": y, "text": f"{values[y, x]:.2f}", "showarrow": False}
        | {"font": {"color": "#ffffff" if values[y, x] > _DARK else "#16203a", "size": 14}}
        for y in range(len(names))
        for x in range(len(names))
    ]
    axis: Figure = {"type": "category", "showgrid": False}
    layout: Figure = {"xaxis": axis, "yaxis": axis | {"autorange": "reversed"}}
    return prepare_figure({"data": [trace], "layout": layout | {"annotations": words}})


@dataclasses.dataclass(frozen=True, eq=False)
class Owners:
    """Who owns which image: dataset indices, each in the order of its owner's choice.

    Attributes:
        first: chosen by the first strategy alone.
        second: by the second alone.
        both: by both, in the first one's order.
    """

    first: Indices
    second: Indices
    both: Indices


def owners(first: Indices, second: Indices) -> Owners:
    """Return how two choices divide."""
    shared = np.isin(first, second)
    return Owners(first[~shared], second[~np.isin(second, first)], first[shared])


def _of(results: Sequence[Result], name: str) -> list[Result]:
    """Return the results of one strategy."""
    return [result for result in results if result.strategy == name]
