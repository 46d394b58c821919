"""A figure for a projector: larger letters, points and lines, and the very same data."""

import json

import numpy as np
import pytest

from rambo.figures.prepared import prepare_figure
from rambo.figures.projector import LETTERS, STANDOFF, enlarged

FIGURE = {
    "data": [
        {
            "type": "scatter",
            "x": np.arange(300, dtype=np.float32),
            "y": [1, 2, 3],
            "marker": {"size": 10, "line": {"width": 2}, "color": 5},
            "line": {"width": 3, "dash": "dot"},
        },
        {"type": "heatmap", "z": [[1.0, 2.0]], "colorbar": {"thickness": 12}},
    ],
    "layout": {
        "margin": {"r": 58},
        "xaxis": {"range": [0, 4], "tickfont": {"size": 11}},
        "yaxis2": {"title": {"text": "margin"}},
        "shapes": [{"x0": 7, "line": {"width": 1.5}}],
        "annotations": [{"x": 2, "xshift": 2, "font": {"size": 11}}],
    },
}


def test_what_is_measured_in_pixels_grows_and_nothing_else() -> None:
    before = json.loads(prepare_figure(FIGURE).text)
    after = json.loads(enlarged(prepare_figure(FIGURE), 2).text)
    line, heat = after["data"]
    assert line["marker"] == {"size": 20, "line": {"width": 4}, "color": 5}
    assert line["line"] == {"width": 6, "dash": "dot"}
    assert (line["x"], line["y"]) == (before["data"][0]["x"], [1, 2, 3])
    assert heat == {"type": "heatmap", "z": [[1.0, 2.0]], "colorbar": {"thickness": 24}}
    layout = after["layout"]
    assert layout["font"] == layout["hoverlabel"]["font"] == {"size": 2 * LETTERS}
    assert layout["margin"] == {"r": 116}
    assert layout["xaxis"] == {"range": [0, 4], "tickfont": {"size": 22}}
    assert layout["yaxis2"] == {"title": {"text": "margin", "standoff": 2 * STANDOFF}}
    assert layout["shapes"] == [{"x0": 7, "line": {"width": 3}}]
    assert layout["annotations"] == [{"x": 2, "xshift": 4, "font": {"size": 22}}]


def test_another_size_has_another_digest() -> None:
    figure = prepare_figure(FIGURE)
    assert len({figure.digest, enlarged(figure, 1.5).digest, enlarged(figure, 2).digest}) == 3


@pytest.mark.parametrize("scale", [1, 1.7])
def test_it_reads_as_a_figure_of_plotly(scale: float) -> None:
    from rambo.figures.graph import graph

    figure = graph(enlarged(prepare_figure(FIGURE), scale))
    assert figure.layout.xaxis.tickfont.size == pytest.approx(11 * scale)
