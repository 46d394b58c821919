"""The charts of the Train page: pure functions from events to figures.

Each takes the events of one strategy on one trial, by kind, and returns a figure for `components.plot`, or None while
there is nothing to draw.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeVar, cast

import numpy as np

from rambo.events import (
    BatchChosen,
    ClassifierTrained,
    Event,
    HyperStep,
    LabeledPoolGrew,
    RankingAudited,
    TrainingsCompared,
    TransportPredicted,
    UtilityModelEpoch,
    UtilitySamplesAdded,
)
from rambo.figures.prepared import Figure
from rambo.figures.strokes import axes, figure, line, points, thin, word
from rambo.figures.theme import BLUE, GREEN, GREY, ORANGE, PURPLE
from rambo.runs.results import perfect_shares
from rambo.text import for_plot, percent

E = TypeVar("E", bound=Event)


class Kinds:
    """Events by kind, in their order."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        """Hold `events`."""
        self._lists: defaultdict[type[Event], list[Event]] = defaultdict(list)
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        """Take one more."""
        self._lists[type(event)].append(event)

    def of(self, kind: type[E]) -> list[E]:
        """Return those of one kind; shared, look and do not touch."""
        return cast("list[E]", self._lists.get(kind, []))


WIDE = 50.0  # largest loss over the smallest, from which on a logarithmic axis is the better one
_NAMED_PHASES, _MARKED_PHASES = 4, 60  # the others are named where one points
_CLOSE = 30.0  # percent between two lines, below which their names would meet


def ranking(kinds: Kinds) -> Figure | None:
    """Return ranking accuracy on short and long sets over epochs, with chance, audits and a perfect model."""
    epochs = kinds.of(UtilityModelEpoch)
    if not epochs:
        return None
    phases = [phase_words(event.phase) for event in epochs]
    traces = [
        line(name, _percents(epochs, field), colour, dash, "%", phases=phases)
        for name, field, colour, dash in (
            ("short sets (inner)", "inner_ranking_accuracy", BLUE, "solid"),
            ("long sets (outer)", "outer_ranking_accuracy", ORANGE, "dash"),
        )
    ]
    ends = _phase_ends(epochs)
    audits = [
        (ends[audit.phase], 100 * audit.accuracy, audit.pairs)
        for audit in kinds.of(RankingAudited)
        if audit.accuracy is not None and audit.phase in ends
    ]
    if audits:
        x, y, pairs = zip(*(audits[at] for at in thin(len(audits))), strict=True)
        stars = points("held-out pairs", x, y, GREEN, "star", 12)
        hover = "%{y:.0f} % of %{text} held-out pairs<extra></extra>"
        traces.append(stars | {"text": [str(n) for n in pairs], "hovertemplate": hover})
    lines = [(50.0, "50 %:<br>a coin", "dot")]
    band = None
    for compared in kinds.of(TrainingsCompared)[-1:]:
        if compared.agreement is not None:
            low, high = perfect_shares(compared.agreement)
            lines.append((100 * low, f"two<br>trainings<br>{percent(low, 0)}", "dashdot"))
            band = _band(100 * low, 100 * high)
    layout = axes("epochs of u_hat, all phases", "pairs in true order, %")
    layout["yaxis"] |= {"range": [-11, 109], "tickvals": [0, 25, 50, 75, 100]}
    layout["margin"] = {"r": 58}  # for the names of the lines, beside the data
    shapes, words = _marks(epochs, lines)
    return figure(traces, layout, [*shapes, *([band] if band else [])], words)


def _band(low: float, high: float) -> Figure:
    """Return the band in which a perfect model lies, across the figure."""
    place = {"xref": "paper", "x0": 0, "x1": 1, "y0": low, "y1": high}
    look = {"fillcolor": GREY, "opacity": 0.2, "line": {"width": 0}}
    return {"type": "rect", "layer": "below", "name": "a perfect model", **place, **look}


def losses(kinds: Kinds, logarithmic: bool = True) -> Figure | None:
    """Return rank loss and OT loss on short and long sets over epochs.

    Args:
        kinds: the events.
        logarithmic: use a logarithmic axis where the losses span a wide range.
    """
    epochs = kinds.of(UtilityModelEpoch)
    if not epochs:
        return None
    series = [
        ("rank loss, short", "rank_loss", BLUE, "solid"),
        ("rank loss, long", "outer_rank_loss", ORANGE, "dash"),
        ("OT loss, short", "transport_loss", GREEN, "dot"),
        ("OT loss, long", "outer_transport_loss", PURPLE, "dashdot"),
    ]
    log = logarithmic and spans_widely(kinds)
    phases = [phase_words(event.phase) for event in epochs]
    traces = []
    for name, field, colour, dash in series:
        values = [getattr(event, field) for event in epochs]
        if not any(values):
            continue  # OT is off
        if log:
            values = [value if value > 0 else None for value in values]
        traces.append(line(name, values, colour, dash, "", "%{y:.3g}", phases))
    layout = axes("epochs of u_hat, all phases", "loss" + (" (log scale)" if log else ""))
    kind = "log" if log else "linear"
    layout["yaxis"] |= {"type": kind, "uirevision": kind}
    if log:
        layout["yaxis"] |= {
            "dtick": "D1" if _decades(kinds) < 1.5 else 1,
            "exponentformat": "power",
        }
    else:
        layout["yaxis"] |= {"rangemode": "tozero"}
    return figure(traces, layout, *_marks(epochs, []))


def spans_widely(kinds: Kinds) -> bool:
    """Return whether the losses span so wide a range that a logarithmic axis helps."""
    return _decades(kinds) > math.log10(WIDE)


def transport(kinds: Kinds) -> Figure | None:
    """Return predicted against true OT distances of the newest phase, with the diagonal."""
    if not kinds.of(TransportPredicted):
        return None
    newest = kinds.of(TransportPredicted)[-1]
    keep = thin(len(newest.true))
    true = np.asarray(newest.true, np.float32)[keep]
    predicted = np.asarray(newest.predicted, np.float32)[keep]
    if not len(true):
        return None
    low, high = (
        float(edge) for edge in (min(true.min(), predicted.min()), max(true.max(), predicted.max()))
    )
    room = 0.05 * ((high - low) or 1.0)
    ends = [low - room, high + room]
    diagonal = line("perfect prediction", ends, GREY, "dot", "") | {"x": ends, "mode": "lines"}
    diagonal |= {"hovertemplate": None, "hoverinfo": "skip"}
    hover = "true %{x:.3f}<br>predicted %{y:.3f}<extra></extra>"
    cloud = points(phase_words(newest.phase), true, predicted, BLUE, "circle", 7)
    layout = axes("true OT distance", "predicted OT distance")
    return figure([diagonal, cloud | {"hovertemplate": hover, "opacity": 0.85}], layout)


def samples(kinds: Kinds) -> Figure | None:
    """Return the utility samples: set size against validation accuracy, those interpolated in another symbol."""
    fits = kinds.of(ClassifierTrained)
    added = [event for event in kinds.of(UtilitySamplesAdded) if event.phase != "offline"]
    series = []
    for event in added[-1:]:  # each phase tells all samples there are
        series.append(("interpolated", event.sizes, event.utilities, ORANGE, "diamond-open", 7))
    for name, role, colour, symbol in (
        ("trained", "offline", BLUE, "circle"),
        ("trained again", "repeat", PURPLE, "x-thin-open"),
    ):
        mine = [fit for fit in fits if fit.role == role]
        sizes, values = [fit.size for fit in mine], [fit.accuracy or 0.0 for fit in mine]
        if mine:
            series.append((name, sizes, values, colour, symbol, 8))
    if not series:
        return None
    hover = "%{x} images: accuracy %{y:.1f} %<extra></extra>"
    traces = []
    for name, sizes, values, colour, symbol, size in series:
        keep = thin(len(sizes))
        x = np.asarray(sizes, np.int32)[keep]
        y = 100 * np.asarray(values, np.float32)[keep]
        traces.append(points(name, x, y, colour, symbol, size) | {"hovertemplate": hover})
    return figure(traces, axes("images in the set", "validation accuracy (utility), %"))


def labeled(kinds: Kinds) -> Figure | None:
    """Return acc_i, the accuracy of f, over the size of the labeled pool S_i."""
    pools = kinds.of(LabeledPoolGrew)
    if not pools:
        return None
    pools = [pools[at] for at in thin(len(pools))]
    x, y = [pool.labeled for pool in pools], [100 * pool.accuracy for pool in pools]
    trace = line("acc_i", y, BLUE, "solid", "%") | {"x": x, "mode": "lines+markers"}
    hover = "f on %{x} labels: accuracy %{y:.1f} %<extra></extra>"
    layout = axes("labels in S_i", "validation accuracy of f (acc_i), %")
    layout["xaxis"] |= {"tickvals": x} if len(x) <= 8 else {}
    return figure([trace | {"hovertemplate": hover, "marker": {"size": 9}}], layout)


def penalties(kinds: Kinds) -> Figure | None:
    """Return log lambda of every parameter tensor over the hyper-steps, as a heatmap around where it started."""
    steps = kinds.of(HyperStep)
    if not steps:
        return None
    keep = thin(len(steps))
    names = list(steps[-1].log_l2)
    table = np.array([[steps[at].log_l2[name] for at in keep] for name in names], np.float32)
    middle = float(np.median(table[:, 0]))
    reach = float(np.abs(table - middle).max()) or 1.0
    short = [for_plot(short_name(name), 30) for name in names]
    trace = {
        "type": "heatmap",
        "x": [int(at) + 1 for at in keep],
        "y": short,
        "z": table,
        "colorscale": [[0, ORANGE], [0.5, "#b9c1cd"], [1, BLUE]],
        "zmin": middle - reach,
        "zmax": middle + reach,
        "colorbar": {
            "title": {"text": "log lambda", "side": "right"},
            "thickness": 12,
            "outlinewidth": 0,
        },
        "hovertemplate": "%{y}, step %{x}<br>log lambda %{z:.2f}<extra></extra>",
    }
    layout = axes("hyper-steps, all phases", "")
    layout["yaxis"] |= {"autorange": "reversed", "showgrid": False, "type": "category"}
    layout["yaxis"] |= {"dtick": 1, "tickfont": {"size": 10}}
    layout["xaxis"] |= {"showgrid": False}
    return figure([trace], layout)


def batches(kinds: Kinds) -> Figure | None:
    """Return u_hat of every candidate batch of every greedy step, with the chosen one and the runner-up."""
    steps = kinds.of(BatchChosen)
    if not steps:
        return None
    numbers = np.repeat([s.step + 1 for s in steps], [len(s.utilities) for s in steps])
    values = np.concatenate([np.asarray(s.utilities, np.float32) for s in steps])
    keep = thin(len(values))
    hover = "step %{x}: u_hat %{y:.3f}<extra>%{fullData.name}</extra>"
    others = points("candidates", numbers[keep], values[keep], GREY, "line-ew-open", 11)
    second = [s for s in steps if s.runner_up is not None]
    sample, runners = (
        [steps[at] for at in thin(len(steps))],
        [second[at] for at in thin(len(second))],
    )
    traces = [
        others,
        points(
            "runner-up",
            [s.step + 1 for s in runners],
            [s.runner_up for s in runners],
            ORANGE,
            "diamond-open",
            9,
        ),
        points(
            "chosen",
            [s.step + 1 for s in sample],
            [s.utility for s in sample],
            BLUE,
            "star",
            12,
        ),
    ]
    layout = axes("greedy step", "predicted utility of the union (u_hat)")
    layout["xaxis"] |= {"range": [0.4, steps[-1].steps + 0.6]}
    if steps[-1].steps <= 20:
        layout["xaxis"] |= {"dtick": 1}
    return figure([trace | {"hovertemplate": hover} for trace in traces], layout)


def short_name(name: str) -> str:
    """Return a parameter tensor's name, short: `elements.conv1.weight` is `conv1 w`."""
    parts = name.split(".")
    last = {"weight": "w", "bias": "b"}.get(parts[-1], parts[-1])
    middle = parts[-2] if len(parts) > 1 else ""
    if middle.isdigit() and len(parts) > 2:  # of a sequence: its number says nothing alone
        middle = f"{parts[-3]}.{middle}"
    return f"{middle} {last}".strip()


def phase_words(phase: str) -> str:
    """Return what people call a phase: `offline`, `round 2`."""
    kind, _, number = phase.partition("-")
    return (
        f"round {number.replace('-refit', ', refit')}" if kind == "pretraining" else for_plot(phase)
    )


def _decades(kinds: Kinds) -> float:
    """Return how many powers of ten the losses span."""
    fields = ("rank_loss", "outer_rank_loss", "transport_loss", "outer_transport_loss")
    values = [
        getattr(e, name)
        for e in kinds.of(UtilityModelEpoch)
        for name in fields
        if getattr(e, name) > 0
    ]
    return math.log10(max(values) / min(values)) if values else 0.0


def _percents(epochs: Sequence[UtilityModelEpoch], field: str) -> list[float | None]:
    """Return a share of every epoch in percent; a gap where nothing could be ranked."""
    return [
        None if getattr(event, field) is None else 100 * getattr(event, field) for event in epochs
    ]


def _phase_ends(epochs: Sequence[UtilityModelEpoch]) -> dict[str, int]:
    """Return the last epoch of each phase, counted over all phases; a refit ends its phase."""
    ends: dict[str, int] = {}
    for number, event in enumerate(epochs, 1):
        ends[event.phase] = ends[event.phase.removesuffix("-refit")] = number
    return ends


def _marks(
    epochs: Sequence[UtilityModelEpoch], lines: Sequence[tuple[float, str, str]]
) -> tuple[list[Figure], list[Figure]]:
    """Return shapes and annotations: where phases begin, and named horizontal lines."""
    shapes: list[Figure] = []
    words: list[Figure] = []
    heights = sorted(height for height, _, _ in lines)
    close = len(heights) > 1 and heights[-1] - heights[0] < _CLOSE
    for height, text, dash in lines:
        style = {"color": GREY, "width": 1.5, "dash": dash}
        place = {"xref": "paper", "x0": 0, "x1": 1, "y0": height, "y1": height}
        shapes.append({"type": "line", "layer": "below", "line": style, **place})
        side = "middle" if not close else "top" if height == heights[0] else "bottom"
        words.append(word(1, height, text, "paper", "y") | {"yanchor": side, "align": "left"})
    starts = [
        (number, event.phase)
        for number, event in enumerate(epochs)
        if not number or event.phase != epochs[number - 1].phase
    ]
    for number, phase in starts if len(starts) <= _MARKED_PHASES else []:
        place = {"yref": "paper", "x0": number + 0.5, "x1": number + 0.5, "y0": 0, "y1": 1}
        if number:
            shapes.append({"type": "line", "layer": "below", "line": {"width": 0.5}, **place})
        if len(starts) <= _NAMED_PHASES:
            words.append(word(number + (0.5 if number else 1), 0, phase_words(phase), "x", "paper"))
    return shapes, words
