"""A figure of the pages as one of `plotly.graph_objects`, for a notebook."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from rambo.figures.prepared import Figure, PreparedFigure, prepare_figure

_PAGE = "var(--st-background-color)"  # the colour of the page, which a notebook does not name


def graph(figure: Mapping[str, Any] | PreparedFigure, title: str = "", height: int = 380) -> Any:
    """Return the same figure as a `plotly.graph_objects.Figure`.

    Args:
        figure: a dict with `data` and `layout`, or a prepared figure.
        title: above it.
        height: pixels.
    """
    import plotly.graph_objects as go  # a second, which nobody pays who draws nothing

    text = prepare_figure(figure).text.replace(_PAGE, "white")
    tree = json.loads(text, object_hook=_array)
    layout: Figure = {
        "template": "plotly_white",
        "height": height,
        "title": {"text": title, "font": {"size": 15}},
        "margin": {"l": 56, "r": 24, "t": 80 if title else 40, "b": 48},
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom"},
    }
    for name in ("margin", "legend"):
        layout[name] |= tree["layout"].pop(name, {})
    return go.Figure(data=tree["data"], layout=layout | tree["layout"])


def _array(node: Figure) -> Any:
    """Return plotly's typed array as one of numpy; any other node as it is."""
    if set(node) - {"shape"} != {"dtype", "bdata"}:
        return node
    values = np.frombuffer(base64.b64decode(node["bdata"]), np.dtype(node["dtype"]))
    shape = node.get("shape")
    return values if shape is None else values.reshape([int(side) for side in shape.split(",")])
