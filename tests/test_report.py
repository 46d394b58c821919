"""The table for people: standard errors, the verdict on u_hat, the noise ceiling beside every ranking figure."""

import math
import statistics
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rambo import report


def result(
    strategy: str, seed: int, test: float | None, validation: float | None = None
) -> dict[str, Any]:
    return {
        "strategy": strategy,
        "seed": seed,
        "validation_accuracy": validation,
        "test_accuracy": test,
        "trainings": 3,
        "cached_trainings": 2,
    }


def results(strategy: str, accuracies: list[float | None]) -> list[dict[str, Any]]:
    """Return one result a trial, seeds from 0."""
    return [result(strategy, seed, test, test) for seed, test in enumerate(accuracies)]


def summary(rows: list[dict[str, Any]], ranking: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "run": "mini-1",
        "dataset": "fashion-mnist-mini",
        "results": rows,
        "ranking": ranking or {},
    }


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], "-"),
        ([None, None], "-"),
        ([0.5], "50.0"),
        ([None, 0.8125], "81.2"),
        ([0.0, 0.0], "0.0 +- 0.0"),
        ([0.80, 0.84], "82.0 +- 2.0"),
        ([0.79, None, 0.81, 0.83], "81.0 +- 1.2"),
    ],
)
def test_percent_is_a_mean_with_its_standard_error(values: list[float | None], text: str) -> None:
    assert report.percent(values) == text


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=12))
def test_standard_error_is_that_of_the_mean(values: list[float]) -> None:
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    expected = math.sqrt(variance / len(values))
    assert report.standard_error(values) == pytest.approx(expected, rel=1e-6, abs=1e-9)


HEADER = ["strategy", "validation", "test", "trials", "trained", "cached"]


def test_the_table_has_one_row_a_strategy_in_the_order_of_the_results() -> None:
    rows = [
        result("rambo", 0, 0.80, 0.90),
        result("rambo", 1, 0.84, 0.70),
        result("margin", 0, None, None),
        result("random", 0, 0.5, None),
    ]
    lines = report.table(summary(rows)).splitlines()
    assert lines[0] == "run mini-1 on fashion-mnist-mini"
    assert lines[1].replace("%", "").split() == HEADER
    assert [line.split() for line in lines[2:]] == [
        ["rambo", "80.0", "+-", "10.0", "82.0", "+-", "2.0", "2", "6", "4"],
        ["margin", "-", "-", "0", "3", "2"],
        ["random", "-", "50.0", "1", "3", "2"],
    ]
    assert len({len(line) for line in lines[1:]}) == 1  # the columns stand below each other


def test_a_run_without_results_is_a_header() -> None:
    assert len(report.table(summary([])).splitlines()) == 2


RANKING = {
    "held_out": 0.625,
    "held_out_pairs": 8,
    "kendall_tau": 0.31,
    "noise_ceiling": 0.8,
    "ceiling_pairs": 40,
}


def test_ranking_accuracy_stands_beside_the_noise_ceiling() -> None:
    lines = report.table(summary(results("rambo", [0.8]), RANKING)).splitlines()[3:]
    assert lines == [
        "u_hat orders 62 % of 8 held-out pairs as their true utilities do (Kendall tau 0.31 over their sets)",
        "two independent trainings agree on 80 % of 40 pairs (noise ceiling)",
    ]
    without_tau = report.ranking_lines(RANKING | {"kendall_tau": None})
    assert without_tau[0].endswith("as their true utilities do")
    only_ceiling = report.ranking_lines(RANKING | {"held_out": None})
    assert only_ceiling == lines[1:]
    assert report.ranking_lines(RANKING | {"noise_ceiling": None}) == lines[:1]
    assert report.ranking_lines({}) == []


def test_the_noise_ceiling_is_shown_without_held_out_pairs_too() -> None:
    """SPEC: always show the noise ceiling; it was measured whether or not pairs were held out."""
    lines = report.ranking_lines(RANKING | {"held_out": None, "held_out_pairs": 0})
    assert lines == ["two independent trainings agree on 80 % of 40 pairs (noise ceiling)"]


def verdict(gaps: list[float]) -> str | None:
    """Return the verdict for given gaps in points of test accuracy."""
    control = [0.8] * len(gaps)
    ours = [0.8 + gap / 100 for gap in gaps]
    return report.compare(results("rambo", ours), results("filter-only", control))


@pytest.mark.parametrize(
    ("gaps", "text"),
    [
        (
            [1.0, 3.0, 2.0, 1.0, 3.0],
            "+2.0 +- 0.4 points of test accuracy over 5 paired trials: u_hat helps here",
        ),
        (
            [-1.0, -3.0, -2.0, -1.0, -3.0],
            "-2.0 +- 0.4 points of test accuracy over 5 paired trials: u_hat hurts here",
        ),
        ([2.0, -1.0, 1.0, -2.0, 1.0], "over 5 paired trials: no evidence that u_hat helps here"),
        ([9.0, 9.1, 9.0, 9.1], "over 4 paired trials: too few to say"),
        ([-9.0, -9.1], "over 2 paired trials: too few to say"),
        ([9.0], "+9.0 points of test accuracy in one trial: too few to say"),
    ],
)
def test_the_verdict_on_u_hat(gaps: list[float], text: str) -> None:
    line = verdict(gaps)
    assert line is not None
    assert line.startswith("rambo minus filter-only: ")
    assert line.endswith(text)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.integers(-30, 30), min_size=5, max_size=9), st.floats(-3, 3))
def test_the_verdict_needs_two_standard_errors(noise: list[int], shift: float) -> None:
    gaps = [shift + value / 10 for value in noise]
    mean = statistics.fmean(gaps)
    error = statistics.stdev(gaps) / math.sqrt(len(gaps))
    line = verdict(gaps) or ""
    if abs(abs(mean) - 2 * error) > 1e-6:  # not on the threshold itself
        assert line.endswith("u_hat helps here") == (mean > -2 * error)
        assert line.endswith("no evidence that u_hat helps here") == (abs(mean) < 2 * error)
        assert line.endswith("u_hat hurts here") == (mean < -2 * error)


def test_only_trials_that_both_finished_are_compared() -> None:
    ours = results("rambo", [0.9, None, 0.7, 0.6])
    control = [
        result("filter-only", 7, 0.1),
        result("filter-only", 2, 0.6),
        result("filter-only", 3, None),
    ]
    line = report.compare(ours, control)
    assert (
        line
        == "rambo minus filter-only: +10.0 points of test accuracy in one trial: too few to say"
    )
    assert report.compare(ours[:2], control) is None
    assert report.compare(ours, []) is None
    assert report.compare([], control) is None


def test_pairs_are_matched_by_seed_and_not_by_place() -> None:
    ours = results("rambo", [0.2, 0.4, 0.6, 0.8, 1.0])
    control = results("filter-only", [0.1, 0.3, 0.5, 0.7, 0.9])[::-1]
    line = report.compare(ours, control)
    assert line is not None
    assert "+10.0 +- 0.0 points" in line


def test_the_table_ends_in_the_verdict_where_the_control_was_run() -> None:
    rows = results("rambo", [0.8, 0.9]) + results("filter-only", [0.7, 0.9])
    assert report.table(summary(rows)).splitlines()[-1].startswith("rambo minus filter-only: +5.0")
    assert "minus" not in report.table(summary(results("rambo", [0.8, 0.9])))
