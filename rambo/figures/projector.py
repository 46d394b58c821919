"""A figure for the far end of a room: the same one, with larger letters, points and lines."""

import json
from typing import Any

from rambo.figures.prepared import Figure, PreparedFigure, digest_of

LETTERS = 13  # pixels that a figure has where it says nothing
STANDOFF = 8  # pixels between the numbers of an axis and its name, likewise
_SPACES = ("l", "r", "t", "b")  # of a margin


def enlarged(figure: PreparedFigure, scale: float) -> PreparedFigure:
    """Return a figure whose letters, points, lines and margins are `scale` times as large; its data are the same."""
    tree = json.loads(figure.text)
    for name, node in tree.items():
        tree[name] = _grown(node, scale)
    layout: Figure = tree["layout"]
    size = {"size": LETTERS * scale}
    layout["font"] = size | layout.get("font", {})
    layout["hoverlabel"] = {"font": size} | layout.get("hoverlabel", {})
    for name, axis in layout.items():
        if name.startswith(("xaxis", "yaxis")) and "title" in axis:
            axis["title"] = {"standoff": STANDOFF * scale} | axis["title"]
    text = json.dumps(tree, separators=(",", ":"))
    return PreparedFigure(text, digest_of(text.encode()))


def _grown(node: Any, scale: float, inside: str = "") -> Any:
    """Return a part of a figure, grown.

    Args:
        node: the part.
        scale: how much.
        inside: the name under which it stands.
    """
    if isinstance(node, dict):
        if "bdata" in node:
            return node
        return {name: _grown(value, scale, _place(inside, name)) for name, value in node.items()}
    if isinstance(node, list):
        return node if len(node) > 256 else [_grown(value, scale, inside) for value in node]
    numbers = isinstance(node, int | float) and not isinstance(node, bool)
    return node * scale if numbers and inside in _MEASURES else node


def _place(inside: str, name: str) -> str:
    """Return under which two names a value stands, as far as they tell what it measures."""
    return f"{inside.rpartition('.')[2]}.{name}"


_MEASURES = {
    *(f"{kind}.size" for kind in ("font", "tickfont", "textfont", "marker")),
    *("line.width", "colorbar.thickness", "annotations.xshift", "annotations.yshift"),
    *(f"margin.{side}" for side in _SPACES),
}
