"""Charts as one HTML file that needs nothing else: to keep, to mail, to put into a lecture."""

import html
import json
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from rambo.ui.components.plot import PreparedFigure

Section = tuple[str, str, PreparedFigure]  # title, caption, figure

_STYLE = """
body { font-family: system-ui, sans-serif; color: #16203a; background: #fff; max-width: 60rem; margin: 2rem auto; }
h2 { font-size: 1.1rem; margin: 2.5rem 0 0; } p { color: #4a5672; margin: 0.3rem 0; }
"""
_TEMPLATE = {
    "layout": {
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#16203a"},
        "margin": {"l": 60, "r": 20, "t": 50, "b": 50},
        "legend": {"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom"},
        "xaxis": {"gridcolor": "#d5dbe8", "automargin": True, "zeroline": False},
        "yaxis": {"gridcolor": "#d5dbe8", "automargin": True, "zeroline": False},
    }
}


def page(title: str, sections: Iterable[Section]) -> bytes:
    """Return a self-contained HTML page of figures; plotly.js from the installed wheel stands in it once."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style>",
        f"<script>{_plotly_js()}</script></head><body><h1>{html.escape(title)}</h1>",
    ]
    for number, (heading, caption, figure) in enumerate(sections):
        parts.append(f"<h2>{html.escape(heading)}</h2><p>{html.escape(caption)}</p>")
        parts.append(f'<div id="figure-{number}" style="height: 380px"></div>')
        parts.append(f"<script>{_drawing(number, figure)}</script>")
    return "\n".join([*parts, "</body></html>"]).encode()


def _drawing(number: int, figure: PreparedFigure) -> str:
    """Return the call that draws a figure; nothing in its data can end the script."""
    template, data = json.dumps(_TEMPLATE), figure.text.replace("<", "\\u003c")
    return (
        f"(() => {{ const f = {data}; f.layout.template = {template};"
        f' Plotly.newPlot("figure-{number}", f.data, f.layout, {{responsive: true, displaylogo: false}}); }})()'
    )


def _plotly_js() -> str:
    """Return the script inside the plotly wheel."""
    spec = find_spec("plotly")
    assert spec is not None
    assert spec.origin is not None
    return (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_text("utf-8")
