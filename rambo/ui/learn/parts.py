"""What the steps of Learn share: how a step is described, and small pieces of figures."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from rambo.figures.prepared import Figure

TEXT = "var(--st-text-color)"


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of the page.

    Attributes:
        name: in the address.
        title: in the menu.
        question: what one finds out here.
        notice: what to notice, one sentence.
        paper: where it stands in the paper.
        code: where it stands in the code.
        terms: the symbols it uses, keys of `rambo.ui.terms`.
        show: draws the step.
        keys: what it writes into the address itself; widgets that are bound to the address look after their own.
    """

    name: str
    title: str
    question: str
    notice: str
    paper: str
    code: str
    terms: Sequence[str]
    show: Callable[[], None]
    keys: Sequence[str] = ()


def numbers(values: Mapping[str, tuple[str, str]]) -> None:
    """Draw a row of numbers: label -> value and what it means."""
    with st.container(horizontal=True, key=f"learn-numbers-{abs(hash(tuple(values)))}"):
        for label, (value, meaning) in values.items():
            st.metric(label, value, help=meaning, width="content")


def line(x: Sequence[float], y: Sequence[float], name: str, **look: Any) -> Figure:
    """Return a line; `look` goes to plotly's `line`."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": list(x),
        "y": list(y),
        "name": name,
        "line": look,
    }


def points(
    x: Sequence[float], y: Sequence[float], name: str, *, words: Sequence[str] = (), **look: Any
) -> Figure:
    """Return points; `look` goes to plotly's `marker`, `words` are shown on hover."""
    trace: Figure = {
        "type": "scatter",
        "mode": "markers",
        "x": list(x),
        "y": list(y),
        "name": name,
        "marker": look,
    }
    if words:
        trace |= {"text": list(words), "hoverinfo": "text"}
    return trace


def arrow(
    start: tuple[float, float],
    end: tuple[float, float],
    colour: str,
    axes: tuple[str, str] = ("x", "y"),
) -> Figure:
    """Return an arrow between two points of the axes, an annotation of a layout."""
    return {
        "x": end[0],
        "y": end[1],
        "ax": start[0],
        "ay": start[1],
        "xref": axes[0],
        "yref": axes[1],
        "axref": axes[0],
        "ayref": axes[1],
        "showarrow": True,
        "arrowhead": 3,
        "arrowsize": 1.2,
        "arrowwidth": 2.5,
        "arrowcolor": colour,
        "text": "",
    }


def axis(title: str, **more: Any) -> Figure:
    """Return an axis with a title."""
    return {"title": {"text": title}, **more}
