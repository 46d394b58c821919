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
    """Return test accuracy over bought labels: means, with bands of one standard error over the trials.

    A dotted line leads from the best choice at the run's budget to the random one that is as good.

    Args:
        curve: of a run's settings.
        names: strategies to draw; random choice below all.
    """
    visible = [name for name in names if name in curve.accuracies]
    alone = [name for name in visible if len(curve.accuracies[name]) == 1]
    data: list[Figure] = []
    ends: list[float] = []
    for name in sorted(visible, key=lambda name: name != LUCK):
        budgets, means = curve.means(name)
        errors = [report.standard_error(own) for own in curve.accuracies[name].values()]
        look, trials = lineup.of(name), len(next(iter(curve.accuracies[name].values())))
        if len(budgets) == 1:  # a point, beside the others of its budget
            place = alone.index(name) - (len(alone) - 1) / 2
            low, high = 100 * (means[0] - errors[0]), 100 * (means[0] + errors[0])
            ends += [low, high]
            data.append(
                {"type": "scatter", "mode": "markers", "name": for_plot(look.word)}
                | {"x": [budgets[0] + _DODGE * place], "y": [100 * means[0]]}
                | {"error_y": {"array": [100 * errors[0]], "color": look.colour}}
                | {"marker": {"symbol": look.symbol, "size": 11, "color": look.colour}}
                | {
                    "text": [
                        f"{budgets[0]} bought labels: {100 * means[0]:.1f} ± {100 * errors[0]:.1f} %"
                    ]
                }
                | {"hovertemplate": f"%{{text}} over {trials} trials"}
            )
            continue
        lows = [100 * (mean - error) for mean, error in zip(means, errors, strict=True)]
        highs = [100 * (mean + error) for mean, error in zip(means, errors, strict=True)]
        ends += lows + highs
        data.append(
            {"type": "scatter", "mode": "lines", "showlegend": False, "hoverinfo": "skip"}
            | {"x": budgets + budgets[::-1], "y": highs + lows[::-1], "fill": "toself", "name": ""}
            | {"fillcolor": look.colour, "opacity": _BAND, "line": {"width": 0}}
        )
        data.append(
            {"type": "scatter", "mode": "lines+markers", "name": for_plot(look.word)}
            | {"x": budgets, "y": [100 * mean for mean in means]}
            | {"line": {"color": look.colour, "width": 2.5}}
            | {"marker": {"symbol": look.symbol, "size": 9, "color": look.colour}}
            | {"text": [f"± {100 * error:.1f} over {trials} trials" for error in errors]}
            | {"hovertemplate": "%{x} bought labels: %{y:.1f} % %{text}"}
        )
    if (line := _same(curve, visible)) is not None:
        data.append(line)
    more = max(_SPAN - (max(ends) - min(ends)), 1.0) / 2 if ends else 1.0
    layout: Figure = {
        "xaxis": {"title": {"text": f"labels bought, beside the {curve.k:,} there were"}},
        "yaxis": {"title": {"text": "test accuracy, %"}, "automargin": True},
        "hovermode": "closest",
    }
    if ends:
        layout["yaxis"] |= {"range": [min(ends) - more, max(ends) + more]}
    return prepare_figure({"data": data, "layout": layout})


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


def headline(curve: LabelCurve, names: Sequence[str]) -> str:
    """Return what the labels of a choice are worth, in one sentence: that of the best, and RAMBO's beside it.

    Args:
        curve: of a run's settings.
        names: strategies that the figure shows.
    """
    name = best(curve, names)
    rivals = len(_rivals(curve))
    value = None if name is None else label_curve.worth(curve, name, rivals)
    if name is None or value is None:
        return "Random choice was not measured here, so nothing can be said of labels saved."
    sentence = _worth_words(curve, name, value)
    if rivals > 1:
        sentence += (
            f" It is the best of {rivals} strategies. The best of several owes part of its lead to chance, so the "
            "interval is wider than for one strategy alone."
        )
    if name != "rambo" and (own := label_curve.worth(curve, "rambo")) is not None:
        sentence += f" {_worth_words(curve, 'rambo', own)}"
    if _TURNED in curve.strategies and _level(curve, _TURNED) > _level(curve, name):
        sentence += (
            f" {theme.strategy_word(_TURNED)}, a control that takes what RAMBO ranks last, had more than each of them: "
            f"{100 * _level(curve, _TURNED):.1f} %."
        )
    return sentence


def _worth_words(curve: LabelCurve, name: str, value: Worth) -> str:
    """Return what the labels of one strategy are worth, with the interval, or that chance may be all of it."""
    word, whole = theme.strategy_word(name), curve.budget
    if value.labels == math.inf:
        much = f"more than {_largest(curve):,} random ones"
        fewer = f"at least {_largest(curve) - whole:,} fewer labels"
    else:
        much, fewer = f"{value.labels:.0f} random ones", f"{value.labels - whole:.0f} fewer labels"
    trials = count(value.gap.trials, "trial")
    if value.gap.finding == "more":
        low, high = _bound(curve, value.low), _bound(curve, value.high)
        return (
            f"{whole} labels of {word} are worth {much}: the same accuracy with {fewer} "
            f"(95 % interval {low} to {high} labels; {trials})."
        )
    if value.labels <= whole:
        return f"{whole} labels of {word} are worth no more than {whole} random ones ({trials})."
    return (
        f"{whole} labels of {word} are worth {much} on the mean, but {trials} cannot tell that from "
        f"none saved: {value.gap.mean:+.1f} points, 95 % interval {value.gap.low:+.1f} to {value.gap.high:+.1f}."
    )


def _bound(curve: LabelCurve, labels: float) -> str:
    """Return an end of the interval as labels saved."""
    if labels == math.inf:
        return f"over {_largest(curve) - curve.budget}"
    return f"{labels - curve.budget:.0f}"


def _largest(curve: LabelCurve) -> int:
    """Return the largest budget that random choice was given."""
    return max(curve.accuracies[LUCK])
