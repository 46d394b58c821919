"""The curves of the page Learn, from plain numbers: what a hyper-parameter, a filter or another round changes."""

from collections.abc import Mapping, Sequence

import numpy as np

from rambo import lineup
from rambo.figures import theme
from rambo.figures.lessons import Array, Place, arrow, axis, line, points
from rambo.figures.prepared import Figure


def bilevel(
    grid: Sequence[float],
    inner: Sequence[float],
    outer: Sequence[float],
    trail: Sequence[Place],
    now_inner: float,
    downhill: Place,
) -> Figure:
    """Return both losses over log lambda, the walk, and the arrow against the hypergradient.

    Args:
        grid: log lambda of the curves.
        inner: loss on short pairs there.
        outer: loss on long pairs there.
        trail: log lambda and outer loss of each step of the walk.
        now_inner: inner loss at its end.
        downhill: where the arrow ends.
    """
    now = trail[-1]
    steps, losses = [place for place, _ in trail], [loss for _, loss in trail]
    walk = points(steps, losses, "the walk", color=theme.ORANGE, size=8)
    walk |= {"mode": "lines+markers", "line": {"color": theme.ORANGE, "width": 1}}
    here: Figure = {"color": theme.ORANGE, "size": 15, "symbol": "diamond"}
    short: Figure = {"color": theme.GREEN, "size": 10, "symbol": "square"}
    return {
        "data": [
            line(grid, inner, "short pairs (inner)", color=theme.GREEN, width=2, dash="dash"),
            line(grid, outer, "long pairs (outer)", color=theme.BLUE, width=3),
            walk,
            points([now[0]], [now[1]], "now", **here),
            points([now[0]], [now_inner], "now, short", **short),
        ],
        "layout": {
            "xaxis": axis("log lambda", range=[grid[0] - 0.3, grid[-1] + 0.3]),
            "yaxis": axis("mean squared error", range=[0, 1.08 * max(outer)]),
            "annotations": [arrow(now, downhill, theme.ORANGE)],
        },
    }


def filters(
    sizes: Sequence[int], accuracies: Sequence[Sequence[float]], margins: Sequence[float], now: int
) -> Figure:
    """Return test accuracy and mean margin over M.

    Args:
        sizes: of the filter.
        accuracies: of each size's trainings, shares in [0, 1].
        margins: mean of each size's choice.
        now: the size at hand.
    """
    trained = [(m, 100 * a) for m, row in zip(sizes, accuracies, strict=True) for a in row]
    means = [100 * float(np.mean(row)) for row in accuracies]
    curve = line(sizes, means, "test accuracy", color=theme.BLUE, width=3)
    right = line(sizes, margins, "mean margin (right)", color=theme.PURPLE, width=2, dash="dash")
    here: Figure = {"color": theme.ORANGE, "size": 15, "symbol": "diamond"}
    return {
        "data": [
            points(
                [m for m, _ in trained],
                [a for _, a in trained],
                "one training",
                color=theme.GREY,
                size=7,
            ),
            curve | {"mode": "lines+markers"},
            points([now], [means[list(sizes).index(now)]], "now", **here),
            right | {"yaxis": "y2"},
        ],
        "layout": {
            "xaxis": axis(
                "M",
                type="log",
                tickvals=list(sizes),
                ticktext=[f"{m:,}" for m in sizes],
                tickangle=-45,
            ),
            "yaxis": axis("test accuracy, %"),
            "yaxis2": axis(
                "margin",
                overlaying="y",
                side="right",
                showgrid=False,
                rangemode="tozero",
                tickformat=".2f",
            ),
        },
    }


def equation_4(
    places: Array,
    values: Array,
    truth: Array,
    counts: Sequence[int],
    ends: tuple[tuple[float, int], tuple[float, int]],
    now: Place,
    at: int | None,
) -> Figure:
    """Return the line of Equation 4, the sets on it, and their true utilities.

    Args:
        places: `s`, where a set lies between S_i (0) and S_{i+1} (1).
        values: `s` interpolated utilities.
        truth: `s x 2` utilities of two trainings.
        counts: `s`, images of a set.
        ends: accuracy and size of S_i and of S_{i+1}.
        now: place and interpolated utility at hand.
        at: the set at hand, or None where its distances are made up.
    """
    words = [f"{count} images" for count in counts]
    accuracies = [100 * accuracy for accuracy, _ in ends]
    look: Figure = {"words": words, "size": 8}
    data = [
        line([0, 1], accuracies, "Equation 4", color=theme.BLUE, width=3),
        points(places.tolist(), (100 * values).tolist(), "interpolated", color=theme.BLUE, **look),
        points(
            places.tolist(),
            (100 * truth.mean(1)).tolist(),
            "true",
            color=theme.GREY,
            symbol="diamond",
            opacity=0.6,
            **look,
        ),
        points(
            [now[0]],
            [100 * now[1]],
            "this set, interpolated",
            color=theme.ORANGE,
            size=16,
            symbol="star",
        ),
    ]
    if at is not None:
        hollow: Figure = {
            "color": theme.ORANGE,
            "size": 12,
            "symbol": "diamond-open",
            "line": {"width": 2},
        }
        two = (100 * truth[at]).tolist()
        twice = points([places[at]] * 2, two, "this set, true (two trainings)", **hollow)
        dotted = {"color": theme.ORANGE, "width": 2, "dash": "dot"}
        data.append(twice | {"mode": "lines+markers", "line": dotted})
    ticks = [f"S_i<br>{ends[0][1]} images", "halfway", f"S_i+1<br>{ends[1][1]} images"]
    return {
        "data": data,
        "layout": {
            "xaxis": axis(
                "where the set lies by u_hat's distances",
                tickvals=[0, 0.5, 1],
                ticktext=ticks,
                range=[-0.08, 1.08],
            ),
            "yaxis": axis("utility, % of S_val right"),
        },
    }


def rounds(
    options: Sequence[int],
    figures: Mapping[str, Sequence[Place]],
    random: float,
    name: str,
    count: int,
) -> Figure:
    """Return the accuracy over the rounds for each strategy, one of them in full colour.

    Args:
        options: numbers of rounds.
        figures: strategy -> mean and standard error for each number, shares in [0, 1].
        random: mean of random choice, which needs no rounds.
        name: the strategy at hand.
        count: the number of rounds at hand.
    """
    straight = lineup.of("random")
    ends, level = [options[0], options[-1]], [100 * random] * 2
    data = [line(ends, level, straight.word, color=straight.colour, dash="dot")]
    for other, row in figures.items():
        strategy = lineup.of(other)
        means = [100 * mean for mean, _ in row]
        data.append(
            line(options, means, strategy.word, color=strategy.colour, width=3)
            | {"mode": "lines+markers", "marker": {"symbol": strategy.symbol, "size": 9}}
            | {"error_y": {"array": [100 * e for _, e in row], "color": strategy.colour}}
            | {"opacity": 1.0 if other == name else 0.55}
        )
    mean = figures[name][list(options).index(count)][0]
    data.append(points([count], [100 * mean], "now", color=theme.PINK, size=17, symbol="star"))
    ticks: Figure = {"tickvals": list(options), "ticktext": [str(option) for option in options]}
    return {
        "data": data,
        "layout": {
            "xaxis": axis("rounds", type="log", **ticks),
            "yaxis": axis("test accuracy, %"),
        },
    }
