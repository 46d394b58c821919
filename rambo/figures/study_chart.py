"""The figure of a study, drawn as the paper draws its own: means with bars of one standard error. Pure functions."""

from collections.abc import Sequence

from rambo import lineup
from rambo.figures import study_tables, theme
from rambo.figures.prepared import Figure, PreparedFigure, prepare_figure
from rambo.studies.paper import Reported
from rambo.studies.table import StudyRow, StudyTable
from rambo.text import for_plot

_NUMBERS = {"B", "k", "S_val"}  # axes with a scale; the values of others stand side by side
_TITLES = {
    "B": "B, labels bought",
    "k": "k, labels held",
    "S_val": "images to check with",
    "lambda_OT": "weight of optimal transport",
    "M": "M, images that pass the margin filter",
    "noise": "",
    "imbalance": "",
}
_ROW = 30  # pixels of a row of a table's figure
_DODGE = 0.05  # of a place, between strategies that would hide each other
_BELOW = 0.3  # of a row, where the paper's figure stands


def figure(table: StudyTable, metric: str) -> PreparedFigure:
    """Return the figure of a study.

    Args:
        table: as `study.table` gives it.
        metric: `test` or `validation`.
    """
    rows = [row for row in table.rows if row.accuracy(metric).mean is not None]
    tree = _along(table, rows, metric) if table.axis else _by_row(table, rows, metric)
    return prepare_figure(tree)


def height(table: StudyTable) -> int:
    """Return how many pixels high the figure of a study should be."""
    return 400 if table.axis else max(220, 110 + _ROW * len(table.rows))


def _along(table: StudyTable, rows: Sequence[StudyRow], metric: str) -> Figure:
    """Return lines along the study's axis; what the axis does not touch is a dashed line across."""
    axis = table.axis
    places = {cell.label: cell.place[axis] for cell in table.cells}
    inside = [label for label, value in places.items() if value != "-"]
    numeric = axis in _NUMBERS
    at = {label: float(places[label]) if numeric else place for place, label in enumerate(inside)}
    names = list(dict.fromkeys(row.strategy for row in rows))
    moving = [name for name in names if any(r.strategy == name and r.cell in at for r in rows)]
    data: list[Figure] = []
    for number, name in enumerate(names):
        own = [row for row in rows if row.strategy == name]
        if name in moving:
            dodge = 0.0 if numeric else _DODGE * (number - (len(moving) - 1) / 2)
            own = [row for row in own if row.cell in at]
            data.append(_line(name, own, [at[row.cell] + dodge for row in own], metric))
            data += _paper_line(name, own, [at[row.cell] + dodge for row in own])
        elif at:
            data += _across(name, own[0], (min(at.values()), max(at.values())), metric)
    horizontal: Figure = {"title": {"text": _TITLES.get(axis, "")}, "automargin": True}
    if numeric:
        horizontal |= {"tickvals": list(at.values())}
    else:
        words = [for_plot(_tick(places[label], label)) for label in inside]
        horizontal |= {"tickvals": list(range(len(inside))), "ticktext": words}
        horizontal |= {"range": [-0.5, len(inside) - 0.5]}
    vertical = {"title": {"text": _metric_title(metric)}, "automargin": True}
    return {"data": data, "layout": {"xaxis": horizontal, "yaxis": vertical}}


def _tick(value: object, label: str) -> str:
    """Return what stands at a place that has no scale."""
    return (
        f"{value:g}"
        if isinstance(value, int | float) and "=" in label
        else label.partition("= ")[2] or label
    )


def _line(name: str, rows: Sequence[StudyRow], x: Sequence[float], metric: str) -> Figure:
    """Return the line of one strategy."""
    colour = lineup.of(name).colour
    symbol = lineup.of(name).symbol
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": for_plot(theme.strategy_word(name)),
        "x": list(x),
        "y": _means(rows, metric),
        "error_y": {"array": _errors(rows, metric), "color": colour},
        "marker": {"symbol": symbol, "size": 10, "color": colour},
        "line": {"color": colour, "width": 2},
        "text": [_value_words(row, metric) for row in rows],
        "hovertemplate": "%{text}",
    }


def _paper_line(name: str, rows: Sequence[StudyRow], x: Sequence[float]) -> list[Figure]:
    """Return the paper's figures of one strategy as hollow markers, where it has any."""
    pairs = [(row.reported, place) for row, place in zip(rows, x, strict=True) if row.reported]
    if not pairs:
        return []
    reported = [one for one, _ in pairs]
    trace = _paper(reported, for_plot(f"{theme.strategy_word(name)}, paper"), name)
    y, error = [one.mean for one in reported], {"array": [one.error for one in reported]}
    return [trace | {"x": [place for _, place in pairs], "y": y, "error_y": error}]


def _across(name: str, row: StudyRow, ends: tuple[float, float], metric: str) -> list[Figure]:
    """Return a dashed line across for a strategy that the axis does not touch, and one for the paper's figure."""
    colour = lineup.of(name).colour
    base: Figure = {"type": "scatter", "x": list(ends)}
    shared = {"color": colour, "width": 2}
    ours = base | {
        "mode": "lines+markers",
        "name": for_plot(theme.strategy_word(name)),
        "y": _means([row], metric) * 2,
        "error_y": {"array": [0, (_errors([row], metric))[0]], "color": colour},
        "line": shared | {"dash": "dash"},
        "marker": {
            "symbol": lineup.of(name).symbol,
            "size": 8,
            "color": colour,
        },
        "text": [_value_words(row, metric)] * 2,
        "hovertemplate": "%{text}",
    }
    if row.reported is None:
        return [ours]
    label = for_plot(f"{theme.strategy_word(name)}, paper")
    theirs = _paper([row.reported] * 2, label, name)
    theirs |= {"x": list(ends), "y": [row.reported.mean] * 2}
    return [ours, theirs | {"mode": "lines", "line": {"color": colour, "width": 1, "dash": "dot"}}]


def _by_row(table: StudyTable, rows: Sequence[StudyRow], metric: str) -> Figure:
    """Return a horizontal point for each row of the table, the first on top."""
    ticks = [_row_name(table, row) for row in rows]
    at = {id(row): len(rows) - 1 - place for place, row in enumerate(rows)}
    data: list[Figure] = []
    for name in dict.fromkeys(row.strategy for row in rows):
        own = [row for row in rows if row.strategy == name]
        colour = lineup.of(name).colour
        symbol = lineup.of(name).symbol
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": for_plot(theme.strategy_word(name)),
                "showlegend": len(table.cells) > 1,
                "x": _means(own, metric),
                "y": [at[id(row)] for row in own],
                "error_x": {"array": _errors(own, metric), "color": colour},
                "marker": {"symbol": symbol, "size": 12, "color": colour},
                "text": [_value_words(row, metric) for row in own],
                "hovertemplate": "%{text}",
            }
        )
        if pairs := [(row.reported, at[id(row)]) for row in own if row.reported]:
            label = for_plot(f"{theme.strategy_word(name)}, paper")
            reported = [one for one, _ in pairs]
            x, error = [one.mean for one in reported], {"array": [one.error for one in reported]}
            y = [place - _BELOW for _, place in pairs]
            data.append(_paper(reported, label, name) | {"x": x, "y": y, "error_x": error})
    vertical: Figure = {"tickvals": list(range(len(rows))), "ticktext": ticks[::-1]}
    vertical |= {"range": [-0.7, max(len(rows), 1) - 0.4], "automargin": True, "fixedrange": True}
    horizontal = {"title": {"text": _metric_title(metric)}, "automargin": True}
    return {"data": data, "layout": {"xaxis": horizontal, "yaxis": vertical}}


def _row_name(table: StudyTable, row: StudyRow) -> str:
    """Return what stands at a row: the cell, or who chose where that is what tells rows apart."""
    word = theme.strategy_word(row.strategy)
    alone = sum(other.cell == row.cell for other in table.rows) == 1
    if len(table.cells) == 1 or row.cell == "controls":
        return for_plot(word)
    return for_plot(row.cell if alone else f"{row.cell} · {word}")


def _paper(figures: Sequence[Reported], label: str, name: str) -> Figure:
    """Return what all of the paper's points have in common: hollow, and named as the paper's."""
    colour = lineup.of(name).colour
    symbol = lineup.of(name).symbol
    return {
        "type": "scatter",
        "mode": "markers",
        "name": label,
        "marker": {"symbol": f"{symbol}-open", "size": 10, "color": colour},
        "text": [
            for_plot(
                f"paper, {one.source}: {study_tables.reported(one)} validation accuracy",
                160,
            )
            for one in figures
        ],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _means(rows: Sequence[StudyRow], metric: str) -> list[float]:
    """Return mean accuracies in percent."""
    return [100 * (row.accuracy(metric).mean or 0.0) for row in rows]


def _errors(rows: Sequence[StudyRow], metric: str) -> list[float]:
    """Return standard errors in points; 0, which draws no bar, for single trials."""
    return [100 * (row.accuracy(metric).error or 0.0) for row in rows]


def _value_words(row: StudyRow, metric: str) -> str:
    """Return what a point says when it is pointed at."""
    trials = "1 trial" if row.trials == 1 else f"{row.trials} trials"
    few = ", too few to say" if study_tables.too_few(row) else ""
    return for_plot(f"{row.cell}: {study_tables.measured(row, metric)}, {trials}{few}", 160)


def _metric_title(metric: str) -> str:
    """Return the title of the axis of accuracies."""
    return f"{study_tables.METRICS[metric].lower()}, %"
