"""Figures as one HTML file that needs nothing else: to keep, to mail, to put into a lecture."""

import html
import json
import re
from collections.abc import Iterable

from rambo.figures import theme
from rambo.ui.components import PreparedFigure, plotly_js

Section = tuple[str, str, PreparedFigure]  # title, caption, figure

_STYLE = """
body { font-family: system-ui, sans-serif; color: #16203a; background: #fff; max-width: 60rem; margin: 2rem auto; }
h2 { font-size: 1.1rem; margin: 2.5rem 0 0; } p { color: #4a5672; margin: 0.3rem 0; }
"""
_AXIS = {"gridcolor": "#d5dbe8", "automargin": True, "zeroline": False, "separatethousands": True}
_TEMPLATE = {
    "layout": {
        "colorway": [theme.BLUE, theme.ORANGE, theme.GREEN, theme.PURPLE, theme.GREY],
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#16203a"},
        "margin": {"l": 60, "r": 20, "t": 50, "b": 50},
        "legend": {"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom"},
        "xaxis": _AXIS,
        "yaxis": _AXIS,
    }
}


def page(title: str, sections: Iterable[Section], *, height: int = 380) -> bytes:
    """Return a self-contained HTML page of figures; the script that draws them stands in it once.

    Args:
        title: of the page.
        sections: the figures in their order, each with its words.
        height: of a figure, pixels.

    Raises:
        DataError: the package plotly is not there.
    """
    script = plotly_js().read_text("utf-8")
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style>",
        f"<script>{script}</script></head><body><h1>{html.escape(title)}</h1>",
    ]
    for number, (heading, caption, figure) in enumerate(sections):
        parts.append(f"<h2>{html.escape(heading)}</h2>")
        parts.append(f"<p>{html.escape(caption)}</p>" if caption else "")
        parts.append(f'<div id="figure-{number}" style="height: {height}px"></div>')
        parts.append(f"<script>{_drawing(number, figure)}</script>")
    return "\n".join([*parts, "</body></html>"]).encode()


def _drawing(number: int, figure: PreparedFigure) -> str:
    """Return the call that draws a figure; nothing in its data can end the script."""
    data = _coloured(figure.text).replace("<", "\\u003c").replace("\u2028", "\\u2028")
    return (
        f"(() => {{ const f = {data}; f.layout.template = {json.dumps(_TEMPLATE)};"
        f' Plotly.newPlot("figure-{number}", f.data, f.layout, {{responsive: true, displaylogo: false}}); }})()'
    )


def _coloured(text: str) -> str:
    """Return a figure's JSON with plain colours for those of the page's theme."""
    text = text.replace("var(--st-primary-color)", theme.BLUE)
    text = text.replace("var(--st-background-color)", "#ffffff")
    return re.sub(r"var\(--st-[\w-]+\)", theme.GREY, text)
