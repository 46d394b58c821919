"""Figures of the embeddings, the class guesses and the margins; pure functions of an atlas, ready for the chart.

    embedded = maps.embedding_map(atlas, maps.pools(atlas, [maps.Group("chosen", ids, colour, "star")]), classes)
    plot(embedded.figure, key="map", alt=embedded.caption, select=True); st.caption(embedded.caption)

Build them once in `st.cache_resource`: a figure that stays the same is sent to the browser once.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rambo.figures import theme
from rambo.figures.prepared import Figure, PreparedFigure, prepare_figure
from rambo.runs import atlas as atlases
from rambo.runs.atlas import LABELED, UNLABELED_POOL, VALIDATION_POOL, Atlas, Indices
from rambo.text import count, for_plot

LIMIT = 10_000  # points; beyond that a lasso takes seconds

_SIZES = {"labeled": 7, "unlabeled": 4, "validation": 5, "chosen": 10}
_BINS = 20
_CLASS_COLOURS = (
    "#2563eb", "#e8590c", "#0f9d76", "#9c36b5", "#b8860b", "#c2255c", "#0b7285", "#5c677d", "#7cb518", "#f06595",
)  # fmt: skip
_LABELS = 25  # class names below an axis
_COMPONENTS = "two principal components"
_NEIGHBOURS = "t-SNE: what f finds alike lies together; how far apart groups lie means little"
_LEGEND = {"x": 0, "xanchor": "left"}  # the chart's own buttons stand on the right


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Points of one colour and symbol.

    Attributes:
        name: in the legend; text of users is made safe here.
        ids: dataset indices in the atlas.
        colour: of the points.
        symbol: of plotly; with the colour, so that colour is never alone.
        size: of a point, pixels.
        opacity: 0 to 1.
        whole: every point is drawn; False allows a sample.
        values: a number of each image, drawn as its colour on a scale, with a bar beside the map; None for `colour`.
        title: of that bar.
    """

    name: str
    ids: Indices
    colour: str
    symbol: str = "circle"
    size: int = 9
    opacity: float = 1.0
    whole: bool = True
    values: NDArray[Any] | None = None
    title: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """A map ready to draw.

    Attributes:
        figure: for `components.plot`; `customdata` is the dataset index.
        caption: what is shown and how many, one or two sentences; also good as `alt`.
        ids: the images that are drawn, sorted.
    """

    figure: PreparedFigure
    caption: str
    ids: Indices


def pools(atlas: Atlas, chosen: Sequence[Group]) -> list[Group]:
    """Return the groups of a map: U_0 without what is chosen, S_val, S_0, and the chosen ones on top."""
    taken = np.concatenate([group.ids for group in chosen]) if chosen else np.zeros(0, np.int64)
    groups = []
    for name, pool in (
        ("unlabeled", UNLABELED_POOL),
        ("validation", VALIDATION_POOL),
        ("labeled", LABELED),
    ):
        ids = np.setdiff1d(atlas.members(pool), taken)
        look = theme.POOL_COLOURS[name], theme.POOL_SYMBOLS[name], _SIZES[name]
        opacity = {"unlabeled": 0.45, "validation": 0.75}.get(name, 0.9)
        groups.append(Group(name, ids, *look, opacity=opacity, whole=name == "labeled"))
    return [*groups, *chosen]


def chosen_group(ids: Indices, name: str = "chosen") -> Group:
    """Return the group of a batch in the colour of what is chosen."""
    look = theme.POOL_COLOURS["chosen"], theme.POOL_SYMBOLS["chosen"], _SIZES["chosen"]
    return Group(name, ids, *look)


def by_class(atlas: Atlas, ids: Indices, classes: Sequence[str]) -> list[Group]:
    """Return images by the class that f guesses, a colour each; of many classes the rare ones share one."""
    guesses = atlas.guesses[atlas.rows(ids)]
    order = np.argsort(-np.bincount(guesses, minlength=len(classes)), kind="stable")
    common = order[: len(_CLASS_COLOURS)]
    groups = [
        Group(str(classes[c]), ids[guesses == c], colour, size=5, opacity=0.75, whole=False)
        for c, colour in zip(common.tolist(), _CLASS_COLOURS, strict=False)
    ]
    rest = ids[~np.isin(guesses, common)]
    return [*groups, Group("other classes", rest, theme.GREY, size=5, opacity=0.6, whole=False)]


def by_value(
    ids: Indices, values: NDArray[Any], name: str, title: str, *, whole: bool = False
) -> Group:
    """Return images coloured by a number of each, such as its margin or the step that chose it."""
    size = _SIZES["chosen"] if whole else 5
    return Group(
        name, ids, theme.GREY, size=size, opacity=0.85, whole=whole, values=values, title=title
    )


def by_truth(ids: Indices, right: NDArray[np.bool_]) -> list[Group]:
    """Return images by whether f guesses them right; only for those who may see true labels."""
    return [
        Group("f is right", ids[right], theme.GREEN, size=4, opacity=0.5, whole=False),
        Group("f is wrong", ids[~right], "#c2255c", "x", size=6, opacity=0.85, whole=False),
    ]


def embedding_map(
    atlas: Atlas,
    groups: Sequence[Group],
    classes: Sequence[str],
    *,
    limit: int = LIMIT,
    notes: Mapping[int, str] | None = None,
    principal: bool = False,
) -> EmbeddingMap:
    """Return the map of groups of images, the last one on top.

    Choice: by neighbours where the atlas has such a map. Of groups that may be sampled every so-many-th image is kept,
    with the same share in each, so that at most `limit` points are drawn; those of `whole` groups all stay.

    Args:
        atlas: of the trial.
        groups: disjoint, in drawing order, as `pools` gives them.
        classes: class names.
        limit: points drawn at most, unless `whole` groups alone are more.
        notes: dataset index -> a further line of its tooltip.
        principal: by the first two principal components in any case.
    """
    points = atlas.map if principal or atlas.neighbours is None else atlas.neighbours
    fixed = sum(len(group.ids) for group in groups if group.whole)
    rest = sum(len(group.ids) for group in groups if not group.whole)
    share = min(1.0, max(limit - fixed, 0) / max(rest, 1))
    visible = [group.ids if group.whole else thin(group.ids, share) for group in groups]
    data = [
        _trace(atlas, points, group, ids, classes, notes or {})
        for group, ids in zip(groups, visible, strict=True)
        if len(ids)
    ]
    by_components = points is atlas.map
    axes: list[Figure] = [
        {"title": {"text": f"PC {axis + 1} ({part:.0%} of the variance)"}, "zeroline": False}
        for axis, part in enumerate(np.nan_to_num(atlas.explained).tolist())
    ]
    if not by_components:  # t-SNE's coordinates mean nothing of their own
        axes = [{"showgrid": False, "zeroline": False, "showticklabels": False}] * 2
    layout: Figure = {"xaxis": axes[0], "yaxis": axes[1]}
    layout["legend"] = _LEGEND | {"itemsizing": "constant"}
    figure = prepare_figure({"data": data, "layout": layout})
    how = _COMPONENTS if by_components else _NEIGHBOURS
    caption = _caption(groups, visible, fixed + rest, how)
    return EmbeddingMap(figure, caption, np.sort(np.concatenate([*visible, np.zeros(0, np.int64)])))


def thin(ids: Indices, share: float) -> Indices:
    """Return about a share of `ids`, evenly spaced; the same ones each time."""
    size = round(len(ids) * share)
    return ids if size >= len(ids) else ids[np.linspace(0, len(ids) - 1, size).round().astype(int)]


def class_balance(
    parts: Mapping[str, tuple[NDArray[np.float64], str]], classes: Sequence[str]
) -> PreparedFigure:
    """Return bars of class shares side by side.

    Args:
        parts: name -> shares by class (`neighbours.class_shares`) and colour.
        classes: class names.
    """
    places = list(range(len(classes)))  # numbers: two long names may look alike
    few = slice(None, None, -(-len(classes) // _LABELS) or 1)  # of many classes some are named
    names = [for_plot(name, 24) for name in classes]
    ticks: Figure = {"tickvals": places[few], "ticktext": names[few]}
    # Slanted and never dropped: Plotly leaves out a label that would cross the chart's edge.
    ticks |= {"tickangle": -45, "ticklabeloverflow": "allow", "automargin": True}
    data = [
        {
            "type": "bar",
            "name": for_plot(name),
            "x": places,
            "y": np.asarray(shares, np.float32),
            "marker": {"color": colour},
            "hovertext": names,
            "hovertemplate": "%{hovertext}: %{y:.1%}<extra>" + for_plot(name) + "</extra>",
        }
        for name, (shares, colour) in parts.items()
    ]
    layout: Figure = {
        "barmode": "group",
        "legend": _LEGEND,
        "xaxis": {"title": {"text": "class that f guesses"}} | ticks,
        "yaxis": {"title": {"text": "share of the images"}, "tickformat": ".0%"},
    }
    return prepare_figure({"data": data, "layout": layout})


def margin_histogram(parts: Mapping[str, tuple[NDArray[Any], str]]) -> PreparedFigure:
    """Return how margins spread, as shares of each part, in 20 equal bins from 0 to 1.

    Args:
        parts: name -> margins (NaN left out) and colour.
    """
    edges = np.linspace(0, 1, _BINS + 1)
    middles = ((edges[:-1] + edges[1:]) / 2).astype(np.float32)
    data = []
    for name, (values, colour) in parts.items():
        finite = values[np.isfinite(values)]
        shares = np.histogram(finite, edges)[0] / max(len(finite), 1)
        trace = {
            "type": "bar",
            "name": for_plot(name),
            "x": middles,
            "y": shares.astype(np.float32),
        }
        trace |= {"marker": {"color": colour}}
        trace["hovertemplate"] = (
            f"margin about %{{x:.3f}}: %{{y:.1%}}<extra>{for_plot(name)}</extra>"
        )
        data.append(trace)
    layout: Figure = {
        "barmode": "group",
        "legend": _LEGEND,
        "bargap": 0.08,
        "xaxis": {"title": {"text": "margin (small = f hesitates)"}, "range": [0, 1]},
        "yaxis": {"title": {"text": "share of the images"}, "tickformat": ".0%"},
    }
    return prepare_figure({"data": data, "layout": layout})


def candidate_strip(
    utilities: Sequence[float], chosen: float, *, yours: float | None = None, word: str = "u_hat"
) -> PreparedFigure:
    """Return all candidates' predicted utilities on one line, the chosen one marked, and a batch of one's own."""
    others = list(utilities)
    if chosen in others:
        others.remove(chosen)
    look = {"symbol": "line-ns-open", "size": 18, "color": theme.GREY, "line": {"width": 2}}
    star = {"symbol": theme.POOL_SYMBOLS["chosen"], "size": 14}
    star |= {"color": theme.POOL_COLOURS["chosen"]}
    hover = f"{word} %{{x:.3f}}<extra></extra>"
    data = [
        {"name": "other candidates", "x": others, "y": [0] * len(others), "marker": look},
        {"name": "chosen", "x": [chosen], "y": [0], "marker": star},
    ]
    if yours is not None:
        mark = {"symbol": "diamond-open", "size": 15, "color": theme.ORANGE, "line": {"width": 3}}
        data.append({"name": "your batch", "x": [yours], "y": [0], "marker": mark})
    base = {"type": "scatter", "mode": "markers", "hovertemplate": hover}
    layout: Figure = {
        "xaxis": {"title": {"text": f"{word} of S_j with the candidate, no unit"}},
        "yaxis": {"visible": False, "fixedrange": True, "range": [-1, 1]},
        "legend": _LEGEND,
    }
    return prepare_figure({"data": [base | trace for trace in data], "layout": layout})


def probability_bars(probabilities: NDArray[Any], classes: Sequence[str]) -> PreparedFigure:
    """Return f's class probabilities of one image, the likeliest on top; ten classes at most."""
    order = np.argsort(-np.asarray(probabilities), kind="stable")[:10][::-1]
    names = [for_plot(classes[i] if i < len(classes) else f"class {i}", 24) for i in order]
    values = np.asarray(probabilities, np.float64)[order]
    places = list(range(len(order)))
    trace: Figure = {
        "type": "bar",
        "orientation": "h",
        "x": values,
        "y": places,
        "hovertext": names,
    }
    trace |= {"text": [f"{value:.1%}" for value in values], "textposition": "outside"}
    trace |= {"cliponaxis": False, "marker": {"color": theme.BLUE}}
    trace["hovertemplate"] = "%{hovertext}: %{x:.2%}<extra></extra>"
    layout: Figure = {
        "xaxis": {"tickformat": ".0%", "range": [0, 1.12], "tickvals": [0, 0.25, 0.5, 0.75, 1]},
        "yaxis": {"tickvals": places, "ticktext": names, "fixedrange": True},
        "showlegend": False,
        "margin": {"t": 4, "l": 8, "r": 8, "b": 8},
    }
    return prepare_figure({"data": [trace], "layout": layout})


def _trace(
    atlas: Atlas,
    points: NDArray[Any],
    group: Group,
    ids: Indices,
    classes: Sequence[str],
    notes: Mapping[int, str],
) -> Figure:
    """Return the points of one group."""
    rows = atlas.rows(ids)
    margins = atlases.margins(atlas.probabilities[rows])
    names = [for_plot(name, 24) for name in classes]
    guesses = atlas.guesses[rows].tolist()
    texts = [
        f"{names[guess] if guess < len(names) else guess}, margin {margin:.3f}"
        + (f"<br>{for_plot(notes[index])}" if index in notes else "")
        for index, guess, margin in zip(ids.tolist(), guesses, margins.tolist(), strict=True)
    ]
    marker: Figure = {"symbol": group.symbol, "size": group.size, "color": group.colour}
    marker |= {
        "opacity": group.opacity,
        "line": {"width": 0.6, "color": "var(--st-background-color)"},
    }
    if group.size <= _SIZES["unlabeled"]:
        marker["line"] = {"width": 0}
    if group.values is not None:
        places = {int(index): place for place, index in enumerate(group.ids)}
        marker["color"] = np.asarray(group.values, np.float32)[[places[int(i)] for i in ids]]
        marker |= {"colorscale": "Viridis", "showscale": True}
        marker["colorbar"] = {"title": {"text": group.title}, "thickness": 12, "len": 0.7}
    return {
        "type": "scattergl",
        "mode": "markers",
        "name": for_plot(group.name),
        "x": points[rows, 0],
        "y": points[rows, 1],
        "customdata": ids.astype(np.int32),
        "text": texts,
        "marker": marker,
        "hovertemplate": "image %{customdata}: %{text}<extra>" + for_plot(group.name) + "</extra>",
    }


def _caption(
    groups: Sequence[Group], visible: Sequence[Indices], total: int, how: str = _COMPONENTS
) -> str:
    """Return what the map shows, in words."""
    visible_count = sum(map(len, visible))
    text = f"Map of {count(visible_count, 'image')} by f's last layer ({how})"
    if visible_count == total:
        return f"{text}: all of them are shown."
    parts = [
        f"{len(ids):,} of {len(group.ids):,} {group.name}"
        if len(ids) < len(group.ids)
        else f"all {len(ids):,} {group.name}"
        for group, ids in zip(groups, visible, strict=True)
        if len(group.ids)
    ]
    return f"{text}: {', '.join(parts)}."
