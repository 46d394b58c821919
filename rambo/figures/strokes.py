"""The strokes that charts are made of: lines and points of at most `POINTS` points, axes, words, in plotly's dicts."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rambo.figures.prepared import Figure

POINTS = 500  # of a series that are drawn


def thin(count: int, limit: int = POINTS) -> np.ndarray:
    """Return at most `limit` evenly spaced positions of `count`, the first and the last among them."""
    if count <= limit:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, limit).round().astype(np.int64))


def word(x: float, y: float, text: str, xref: str, yref: str) -> Figure:
    """Return a small annotation above and right of a point."""
    place = {"x": x, "y": y, "xref": xref, "yref": yref, "xanchor": "left", "yanchor": "bottom"}
    look = {"font": {"size": 11}, "bgcolor": "var(--st-background-color)", "borderpad": 1}
    return {"text": text, "showarrow": False, "xshift": 2, **look, **place}


def line(
    name: str,
    values: Sequence[float | None],
    colour: str,
    dash: str,
    unit: str,
    form: str = "",
    phases: Sequence[str] = (),
) -> Figure:
    """Return a line over 1, 2, ..., thinned; where one points, it tells the phase of each value."""
    keep = thin(len(values))
    template, phase = form or "%{y:.0f}", ", %{text}" if phases else ""
    texts = {"text": [phases[at] for at in keep]} if phases else {}
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(values) < 3 else "lines",
        "name": name,
        "x": [int(at) + 1 for at in keep],
        "y": [values[at] for at in keep],
        "line": {"color": colour, "dash": dash, "width": 2},
        "hovertemplate": f"epoch %{{x}}{phase}: {template} {unit}<extra>{name}</extra>",
        **texts,
    }


def points(name: str, x: Any, y: Any, colour: str, symbol: str, size: int) -> Figure:
    """Return points."""
    marker = {
        "color": colour,
        "symbol": symbol,
        "size": size,
        "line": {"width": 1.5, "color": colour},
    }
    return {"type": "scatter", "mode": "markers", "name": name, "x": x, "y": y, "marker": marker}


def axes(x: str, y: str) -> Figure:
    """Return a layout with titled axes."""
    return {"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}}}


def figure(
    traces: list[Figure],
    layout: Figure,
    shapes: Sequence[Figure] = (),
    words: Sequence[Figure] = (),
) -> Figure:
    """Return a figure."""
    whole = {**layout, "shapes": list(shapes), "annotations": list(words)}
    return {"data": traces, "layout": whole | {"showlegend": len(traces) > 1}}
