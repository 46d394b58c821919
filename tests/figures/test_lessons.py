"""The figures of Learn from plain numbers, as a notebook draws them."""

import numpy as np
import pytest

from rambo.figures import lesson_curves, lessons, theme
from rambo.figures.graph import graph


def test_a_plan_is_a_line_for_each_image_that_gives_to_another() -> None:
    mass = np.array([[0.5, 0.0], [0.25, 0.25]])
    spots = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    labels = np.array([3, 4, 3, 4])
    figure = graph(lessons.plan(spots, mass, labels, list("abcd"), ["data:,"] * 4, np.ones(2)))
    carried = [
        trace for trace in figure.data if trace.hoverinfo == "text" and trace.mode == "lines"
    ]
    assert [trace.text for trace in carried] == ["50.0 % of the mass"] + ["25.0 % of the mass"] * 2
    assert [trace.line.dash for trace in carried] == ["solid", "dash", "solid"]
    assert carried[0].line.width > carried[1].line.width
    assert len(figure.layout.images) == 4


def test_two_trainings_that_disagree_are_told_by_symbol_and_colour() -> None:
    first, second = np.array([0.02, -0.01, 0.03]), np.array([0.01, 0.01, 0.02])
    figure = graph(lessons.retrained(first, second, np.array([20, 30, 40])))
    agree, differ = figure.data[1:]
    assert list(agree.x) == pytest.approx([2.0, 3.0])
    assert list(differ.x) == pytest.approx([-1.0])
    assert (agree.marker.symbol, differ.marker.symbol) == ("circle", "x")
    assert agree.marker.color != differ.marker.color


def test_who_stands_where_is_ordered_by_accuracy() -> None:
    figure = graph(lessons.standing({"margin": 0.7, "random": 0.6}, 0.65, [0.55, 0.6]))
    assert list(figure.data[1].y) == ["Random", "You", "Margin"]
    assert list(figure.data[1].text) == ["60.0 %", "65.0 %", "70.0 %"]
    assert figure.data[1].marker.color[1] == theme.PINK


def test_descent_has_an_arrow_only_where_there_is_a_slope() -> None:
    places = [-1.0, 0.0, 1.0]
    flat = graph(lessons.pair_loss(places, [1, 1, 1], [0.5] * 3, (0.0, 1.0), None))
    steep = graph(lessons.pair_loss(places, [2, 1, 0], [0.5] * 3, (0.0, 1.0), (1.0, 0.0)))
    assert (len(flat.layout.annotations), len(steep.layout.annotations)) == (0, 1)
    assert (steep.layout.annotations[0].x, steep.layout.annotations[0].y) == (1.0, 0.0)


def test_the_point_at_hand_lies_on_its_curve() -> None:
    figure = graph(lesson_curves.filters([20, 40], [[0.7, 0.8], [0.9, 0.7]], [0.1, 0.2], 40))
    assert (figure.data[2].x[0], figure.data[2].y[0]) == (40, pytest.approx(80.0))
    figures = {"margin": [(0.5, 0.1), (0.6, 0.2)], "badge": [(0.4, 0.1), (0.7, 0.1)]}
    figure = graph(lesson_curves.rounds([1, 5], figures, 0.45, "badge", 5))
    assert (figure.data[-1].x[0], figure.data[-1].y[0]) == (5, pytest.approx(70.0))
    assert [trace.opacity for trace in figure.data[1:3]] == [0.55, 1.0]
