"""The figures of the page Learn, from plain numbers: for a notebook as well.

graph(lessons.retrained(first, second, sizes))      # a figure of plotly
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rambo import lineup
from rambo.figures import theme
from rambo.figures.prepared import Figure
from rambo.text import for_plot

Array = NDArray[np.float64]
Place = tuple[float, float]

_CLOUD = "#7b8794"
_ACROSS: Figure = {"color": theme.ORANGE, "dash": "dash"}  # from one class to another


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


def arrow(start: Place, end: Place, colour: str) -> Figure:
    """Return an arrow between two points of the axes, an annotation of a layout."""
    return {
        "x": end[0],
        "y": end[1],
        "ax": start[0],
        "ay": start[1],
        "xref": "x",
        "yref": "y",
        "axref": "x",
        "ayref": "y",
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


def standing(accuracies: Mapping[str, float], yours: float, luck: Sequence[float]) -> Figure:
    """Return test accuracies as points in a row each, random choices as a cloud.

    Args:
        accuracies: by strategy, shares in [0, 1].
        yours: of a person.
        luck: of random choices.
    """
    rows = [(name, lineup.of(name)) for name in accuracies]
    looks = [(accuracies[name], look.word, look.colour, look.symbol) for name, look in rows]
    looks = sorted([*looks, (yours, "You", theme.PINK, "star")], key=lambda look: look[0])
    values = [100 * value for value, *_ in looks]
    cloud = [100 * value for value in luck]
    marker: Figure = {"color": _CLOUD, "size": 7, "opacity": 0.4}
    base: Figure = {"type": "scatter", "hoverinfo": "x", "showlegend": False}
    return {
        "data": [
            base
            | {"mode": "markers", "x": cloud, "marker": marker}
            | {"y": [f"{len(cloud)} random sets"] * len(cloud)},
            base
            | {"mode": "markers+text", "x": values, "cliponaxis": False}
            | {"y": [for_plot(word) for _, word, *_ in looks], "textposition": "middle right"}
            | {"text": [f"{value:.1f} %" for value in values]}
            | {
                "marker": {
                    "color": [colour for *_, colour, _ in looks],
                    "symbol": [symbol for *_, symbol in looks],
                    "size": 14,
                }
            },
        ],
        "layout": {
            "xaxis": axis(
                "test accuracy, %", range=[min(cloud + values) - 1, max(cloud + values) + 3]
            ),
            "yaxis": {"type": "category"},
        },
    }


def shares(yours: float | None, model: float | None, reach: Place) -> Figure:
    """Return how often each is right in a row each; what a perfect model would reach as a bar from least to most."""
    rows = [("a coin", 0.5, theme.GREY), ("u_hat", model, theme.BLUE), ("you", yours, theme.PINK)]
    there = [(name, 100 * value, colour) for name, value, colour in rows if value is not None]
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": [100 * reach[0], 100 * reach[1]],
                "y": ["a perfect model", "a perfect model"],
                "line": {"color": theme.GREEN, "width": 9},
                "marker": {"size": 9},
                "showlegend": False,
            },
            {
                "type": "scatter",
                "mode": "markers+text",
                "x": [value for _, value, _ in there],
                "y": [name for name, _, _ in there],
                "text": [f"{value:.0f} %" for _, value, _ in there],
                "textposition": "middle right",
                "marker": {"size": 14, "color": [colour for *_, colour in there]},
                "showlegend": False,
            },
        ],
        "layout": {
            "xaxis": axis("right in the first training, % of pairs", range=[-3, 108]),
            "yaxis": {"type": "category"},
        },
    }


def pair_loss(
    gaps: Sequence[float],
    losses: Sequence[float],
    chances: Sequence[float],
    now: Place,
    ahead: Place | None,
) -> Figure:
    """Return the RankNet loss of a pair over the gap of its scores, the point where it is, and the step of descent.

    Args:
        gaps: places.
        losses: at each place, in nats.
        chances: P_12 at each place.
        now: gap and loss of the pair.
        ahead: where descent leads; None for no arrow.
    """
    return {
        "data": [
            line(gaps, losses, "loss", color=theme.BLUE, width=3),
            line(gaps, chances, "P_12", color=theme.GREEN, width=2, dash="dash"),
            points([now[0]], [now[1]], "this pair", color=theme.ORANGE, size=14, symbol="diamond"),
        ],
        "layout": {
            "xaxis": axis("s_1 - s_2", range=[gaps[0] - 0.2, gaps[-1] + 0.2]),
            "yaxis": axis("loss and probability", range=[-0.2, 6.3]),
            "annotations": [arrow(now, ahead, theme.ORANGE)] if ahead else [],
        },
    }


def retrained(first: Array, second: Array, sizes: NDArray[np.int64]) -> Figure:
    """Return the gaps of the first and of the second trainings; the colour of a point says whether they agree.

    Args:
        first: `p` differences of the utilities of a pair's sets.
        second: the same of another training.
        sizes: `p`, images of a set.
    """
    alike = np.sign(first) == np.sign(second)
    reach = float(max(np.abs(first).max(), np.abs(second).max()) * 105)
    words = np.array(
        [
            f"two sets of {n} images<br>{100 * a:+.1f} and {100 * b:+.1f} points"
            for n, a, b in zip(sizes, first, second, strict=True)
        ]
    )

    def part(which: NDArray[np.bool_], name: str, colour: str, symbol: str) -> Figure:
        return points(
            (100 * first[which]).tolist(),
            (100 * second[which]).tolist(),
            name,
            words=words[which].tolist(),
            color=colour,
            symbol=symbol,
            size=9,
            opacity=0.8,
        )

    return {
        "data": [
            line([-reach, reach], [-reach, reach], "no noise", color=theme.GREY, dash="dot"),
            part(alike, "the trainings agree", theme.BLUE, "circle"),
            part(~alike, "they do not", theme.ORANGE, "x"),
        ],
        "layout": {
            "xaxis": axis("first training: u_1 - u_2, points", range=[-reach, reach]),
            "yaxis": axis("second training, points", range=[-reach, reach]),
        },
    }


def plan(
    spots: Array,
    mass: Array,
    labels: NDArray[np.int64],
    words: Sequence[str],
    pictures: Sequence[str],
    size: Array,
) -> Figure:
    """Return S and S_val with their images, and the optimal plan as lines whose width is the mass.

    Args:
        spots: `(a + v) x 2`, where the images lie, those of S first.
        mass: `a x v`, what is carried from each image of S to each of S_val.
        labels: `a + v` classes: a line within a class is drawn otherwise.
        words: `a + v`, what an image says on hover.
        pictures: `a + v` addresses of the images.
        size: width and height of an image, in the units of `spots`.
    """
    count, others = mass.shape
    lines = []
    for row, column in np.argwhere(mass > 0):
        a, b = spots[row], spots[count + column]
        same = labels[row] == labels[count + column]
        share = float(mass[row, column] * max(count, others))
        look: Figure = {"color": theme.BLUE, "dash": "solid"} if same else _ACROSS
        carried = line([a[0], b[0]], [a[1], b[1]], "", width=1 + 3.5 * share, **look)
        carried |= {"opacity": 0.75, "hoverinfo": "text", "showlegend": False}
        lines.append(carried | {"text": f"{100 * mass[row, column]:.1f} % of the mass"})
    legend = [
        line([np.nan], [np.nan], "same class", color=theme.BLUE, width=3),
        line([np.nan], [np.nan], "another class", width=3, **_ACROSS),
    ]
    frame: Figure = {"symbol": "square-open", "size": 32, "line": {"width": 2}}
    both = [
        points(
            spots[part, 0].tolist(),
            spots[part, 1].tolist(),
            name,
            words=words[part],
            color=colour,
            **frame,
        )
        for part, name, colour in (
            (slice(0, count), "S", theme.GREEN),
            (slice(count, None), "S_val", theme.PURPLE),
        )
    ]
    low, high = spots.min(0) - size * 0.9, spots.max(0) + size * 0.9
    images = [
        {"source": picture, "x": float(x), "y": float(y), "sizex": float(size[0])}
        | {"sizey": float(size[1]), "xref": "x", "yref": "y", "layer": "above"}
        | {"xanchor": "center", "yanchor": "middle"}
        for picture, (x, y) in zip(pictures, spots, strict=True)
    ]
    return {
        "data": [*lines, *legend, *both],
        "layout": {
            "xaxis": {"visible": False, "range": [low[0], high[0]]},
            "yaxis": {"visible": False, "range": [low[1], high[1]]},
            "images": images,
        },
    }
