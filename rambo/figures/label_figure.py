"""Accuracy against labels as a figure and in sentences. Pure functions."""

import math
import statistics
from collections.abc import Sequence

from rambo import lineup
from rambo.figures import theme
from rambo.figures.prepared import Figure, PreparedFigure, prepare_figure
from rambo.runs import label_curve, report
from rambo.runs.label_curve import LUCK, LabelCurve, Worth
from rambo.text import count, for_plot

_BAND = 0.16  # opacity
_DODGE = 7.0  # labels between points that would hide each other
_SPAN = 10.0  # points of accuracy that the axis spans at least
_TURNED = "lowest"  # RAMBO turned round, a control


def label_figure(curve: LabelCurve, names: Sequence[str]) -> PreparedFigure:
    """Return test accuracy over bought labels: means, with one standard error over the trials.

    Random choice is a line with a band, the others are lines with bars, a little apart, which begin where random choice
    does: with no label bought all are the same. A dotted line leads from the best choice at the run's budget to the
    random one that is as good.

    Args:
        curve: of a run's settings.
        names: strategies to draw; random choice below all.
    """
    rivals = [name for name in names if name in curve.accuracies and name != LUCK]
    data: list[Figure] = []
    ends: list[float] = []
    if LUCK in names and LUCK in curve.accuracies:
        budgets, means, errors = _points(curve, LUCK)
        lows = [mean - error for mean, error in zip(means, errors, strict=True)]
        highs = [mean + error for mean, error in zip(means, errors, strict=True)]
        ends += lows + highs
        data.append(
            {"type": "scatter", "mode": "lines", "showlegend": False, "hoverinfo": "skip"}
            | {"x": budgets + budgets[::-1], "y": highs + lows[::-1], "fill": "toself", "name": ""}
            | {"fillcolor": lineup.of(LUCK).colour, "opacity": _BAND, "line": {"width": 0}}
        )
        data.append(_line(curve, LUCK, budgets, means, errors))
    for place, name in enumerate(rivals):
        budgets, means, errors = _points(curve, name)
        ends += [mean - error for mean, error in zip(means, errors, strict=True)]
        ends += [mean + error for mean, error in zip(means, errors, strict=True)]
        apart = _DODGE * (place - (len(rivals) - 1) / 2)
        line = _line(curve, name, [budget + apart for budget in budgets], means, errors)
        line["error_y"] = {"array": errors, "color": lineup.of(name).colour, "thickness": 1.5}
        data.append(_from_nothing(curve, line))
    if (same := _same(curve, [LUCK, *rivals])) is not None:
        data.append(same)
    more = max(_SPAN - (max(ends) - min(ends)), 1.0) / 2 if ends else 1.0
    layout: Figure = {
        "xaxis": {"title": {"text": f"labels bought, beside the {curve.k:,} there were"}},
        "yaxis": {"title": {"text": "test accuracy, %"}, "automargin": True},
        "hovermode": "closest",
    }
    if ends:
        layout["yaxis"] |= {"range": [min(ends) - more, max(ends) + more]}
    return prepare_figure({"data": data, "layout": layout})


def _points(curve: LabelCurve, name: str) -> tuple[list[float], list[float], list[float]]:
    """Return the budgets of a strategy with mean and standard error at each, in percent."""
    budgets, means = curve.means(name)
    errors = [report.standard_error(own) for own in curve.accuracies[name].values()]
    return [*budgets], [100 * mean for mean in means], [100 * error for error in errors]


def _line(
    curve: LabelCurve, name: str, places: list[float], means: list[float], errors: list[float]
) -> Figure:
    """Return the line of a strategy through its points; each says what it stands on."""
    look, own = lineup.of(name), curve.accuracies[name]
    texts = [
        f"{budget:,} bought labels: {mean:.1f} ± {error:.1f} % over {count(len(values), 'trial')}"
        for (budget, values), mean, error in zip(own.items(), means, errors, strict=True)
    ]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": for_plot(look.word),
        "x": places,
        "y": means,
        "line": {"color": look.colour, "width": 2.5},
        "marker": {"symbol": look.symbol, "size": 9, "color": look.colour},
        "text": texts,
        "hovertemplate": "%{text}",
    }


def _from_nothing(curve: LabelCurve, line: Figure) -> Figure:
    """Return the line of a strategy with the point it shares with random choice before it, where that was measured."""
    shared = curve.accuracies.get(LUCK, {}).get(0)
    if shared is None or len(line["x"]) < 2 or line["x"][0] <= 0:
        return line
    return line | {
        "x": [0, *line["x"]],
        "y": [100 * statistics.fmean(shared), *line["y"]],
        "text": ["no label bought: the same for all", *line["text"]],
        "error_y": line["error_y"] | {"array": [0, *line["error_y"]["array"]]},
    }


def _same(curve: LabelCurve, names: Sequence[str]) -> Figure | None:
    """Return the line from the best choice to random choice of the same accuracy, or None where there is none."""
    name = best(curve, names)
    value = None if name is None else label_curve.worth(curve, name)
    if name is None or value is None or not curve.budget < value.labels < math.inf:
        return None
    level = 100 * _level(curve, name)
    return (
        {"type": "scatter", "mode": "lines", "showlegend": False, "name": ""}
        | {"x": [curve.budget, value.labels], "y": [level, level]}
        | {"line": {"color": theme.GREY, "width": 2, "dash": "dot"}, "hoverinfo": "skip"}
    )


def best(curve: LabelCurve, names: Sequence[str]) -> str | None:
    """Return which of some strategies has the highest mean at the run's budget.

    Neither random choice nor the control of lowest u_hat, which nobody would take, is one of them.
    """
    means = {name: _level(curve, name) for name in _rivals(curve) if name in names}
    return max(means, key=lambda name: means[name]) if means else None


def _rivals(curve: LabelCurve) -> list[str]:
    """Return the strategies that a person might take in the place of random choice."""
    return [name for name in curve.strategies if name not in (LUCK, _TURNED)]


def _level(curve: LabelCurve, name: str) -> float:
    """Return the mean accuracy of a strategy at the run's budget."""
    return statistics.fmean(curve.accuracies[name][curve.budget])


def headline(curve: LabelCurve) -> str:
    """Return in one sentence what the labels of the best choice save, or that nothing shows that they do.

    Args:
        curve: of a run's settings.
    """
    name = best(curve, curve.strategies)
    value = None if name is None else label_curve.worth(curve, name, len(_rivals(curve)))
    if name is None or value is None:
        return "Random choice was not measured here in two trials or more, so nothing can be said of labels saved."
    trials = count(value.gap.trials, "trial")
    if value.gap.finding == "less":
        return f"{trials} show the best choice below a random one: no label is saved."
    if value.gap.finding != "more":
        return f"{trials} cannot tell the best choice from a random one: no label is shown to be saved."
    return f"{curve.budget} labels of {theme.strategy_word(name)} save {_saved(curve, value)} ({trials})."


def findings(curve: LabelCurve) -> list[str]:
    """Return what the labels of the best strategy and of RAMBO are worth, and a control that stands above both.

    The best of several owes part of its lead to chance, so its interval is wider than that of one strategy alone.

    Args:
        curve: of a run's settings.
    """
    name, rivals = best(curve, curve.strategies), len(_rivals(curve))
    if name is None:
        return []
    among = {name: rivals} | ({} if name == "rambo" else {"rambo": 1})
    lines = []
    for strategy, most in among.items():
        value = label_curve.worth(curve, strategy, most)
        if value is None:
            continue
        gap = f"{value.gap.mean:+.1f} points, 95 % interval {value.gap.low:+.1f} to {value.gap.high:+.1f}"
        best_of = f", wider as the best of {rivals}" if most > 1 else ""
        lines.append(
            f"{theme.strategy_word(strategy)}: worth {_worth_words(curve, value)} ({gap}{best_of})"
        )
    if _TURNED in curve.strategies and _level(curve, _TURNED) > _level(curve, name):
        lines.append(
            f"{theme.strategy_word(_TURNED)}, a control that takes what RAMBO ranks last: "
            f"{100 * _level(curve, _TURNED):.1f} %, more than any of them"
        )
    return lines


def _worth_words(curve: LabelCurve, value: Worth) -> str:
    """Return what the labels of a strategy are worth in random ones."""
    if value.labels == math.inf:
        return f"more than {_largest(curve):,} random labels"
    if value.labels <= curve.budget:
        return f"no more than {curve.budget:,} random labels"
    return f"{value.labels:.0f} random labels"


def _saved(curve: LabelCurve, value: Worth) -> str:
    """Return how many labels are saved, with the interval."""
    least, mean, most = (
        f"over {_largest(curve) - curve.budget}"
        if labels == math.inf
        else f"{labels - curve.budget:.0f}"
        for labels in (value.low, value.labels, value.high)
    )
    return f"{mean} against random choice, 95 % interval {least} to {most}"


def _largest(curve: LabelCurve) -> int:
    """Return the largest budget that random choice was given."""
    return max(curve.accuracies[LUCK])
