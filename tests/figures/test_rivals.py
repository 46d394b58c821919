"""Strategies side by side: the arithmetic behind the page Compare."""

import json
from typing import Any

import numpy as np
import pytest

from rambo.figures import rivals
from rambo.runs.results import Result, restore


def result(
    strategy: str, test: float | None, validation: float | None = 0.5, **more: Any
) -> Result:
    fields = {"test_accuracy": test, "validation_accuracy": validation, **more}
    return restore(0, strategy, {"trainings": 3, "cached_trainings": 2, **fields})


RESULTS = [
    result("rambo", 0.80),
    result("margin", 0.70),
    result("rambo", 0.84),
    result("margin", None, None),
]


def test_accuracies_are_means_with_standard_errors() -> None:
    table = rivals.accuracies(RESULTS, "test_accuracy")
    assert list(table) == ["rambo", "margin"]
    assert table["rambo"].values == (0.80, 0.84)
    assert table["rambo"].mean == pytest.approx(0.82)
    assert table["rambo"].error == pytest.approx(np.std([0.80, 0.84], ddof=1) / np.sqrt(2))
    assert table["rambo"].words() == "82.0\u00a0±\u00a02.0\u00a0%"
    assert table["margin"].trials == 1
    assert table["margin"].error is None
    assert table["margin"].words() == "70.0\u00a0%"
    assert rivals.TrialAccuracies(()).words() == "-"


def test_the_table_has_a_row_for_each_strategy() -> None:
    table = rivals.accuracy_table(RESULTS)
    assert table["strategy"].tolist() == ["RAMBO", "Margin"]
    assert table["test accuracy"].tolist() == ["82.0\u00a0±\u00a02.0\u00a0%", "70.0\u00a0%"]
    assert table["trials"].tolist() == [2, 1]
    assert table["trained"].tolist() == [6, 6]
    assert table["reused"].tolist() == [4, 4]


def test_the_figure_draws_every_trial_and_the_mean() -> None:
    traces = json.loads(rivals.accuracy_figure(RESULTS).text)["data"]
    assert [trace["x"] for trace in traces] == [[70.0], [80.0, 84.0], [82.0]]
    assert traces[2]["error_x"]["array"][0] == pytest.approx(2.0)
    assert [trace["y"][0] for trace in traces] == [0, 1, 1]


def test_the_band_is_the_sampling_error_of_the_test_images_and_the_axis_is_never_narrow() -> None:
    figure = json.loads(rivals.accuracy_figure([result("rambo", 0.8)], 1000).text)
    low, high = figure["data"][0]["x"]
    assert (high - low) / 2 == pytest.approx(100 * 1.96 * (0.8 * 0.2 / 1000) ** 0.5, rel=0.01)
    left, right = figure["layout"]["xaxis"]["range"]
    assert right - left >= 10
    assert rivals.sampling_error(1.0, 10) > 0.1, "ten of ten are no certainty"


def test_a_run_without_evaluations_has_an_empty_figure() -> None:
    assert json.loads(rivals.accuracy_figure([result("rambo", None)]).text)["data"] == []


def test_the_jaccard_index_is_shared_over_either() -> None:
    chosen = {
        "rambo": np.array([1, 2, 3]),
        "margin": np.array([2, 3, 4, 5]),
        "random": np.array([9]),
    }
    table = rivals.jaccard(chosen)
    assert table.loc["RAMBO", "RAMBO"] == 1.0
    assert table.loc["RAMBO", "Margin"] == table.loc["Margin", "RAMBO"] == pytest.approx(2 / 5)
    assert table.loc["RAMBO", "Random"] == 0.0


def test_owners_keep_the_order_of_choice() -> None:
    split = rivals.owners(np.array([7, 1, 5, 3]), np.array([3, 9, 7, 2]))
    assert split.first.tolist() == [1, 5]
    assert split.second.tolist() == [9, 2]
    assert split.both.tolist() == [7, 3]


def test_the_controls_are_asked_for() -> None:
    assert rivals.missing_controls(["rambo", "random"]) == ["filter-only", "margin"]
    assert rivals.missing_controls(["random", "margin", "filter-only"]) == []


def test_the_overlap_as_a_figure_has_the_numbers_of_its_table() -> None:
    chosen = {"rambo": np.array([1, 2, 3]), "margin": np.array([2, 3, 4, 5])}
    figure = json.loads(rivals.overlap_figure(chosen).text)
    assert [word["text"] for word in figure["layout"]["annotations"]] == [
        "1.00",
        "0.40",
        "0.40",
        "1.00",
    ]
    assert figure["data"][0]["x"] == ["RAMBO", "Margin"]
