"""The table for people: standard errors, the verdict on u_hat, and how often two trainings agree beside its ranking."""

import dataclasses
import math
import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rambo.runs import report
from rambo.runs.results import Ranking, Result, Summary


def result(
    strategy: str, seed: int, test: float | None, validation: float | None = None, **more: Any
) -> Result:
    return Result(
        trial=seed,
        strategy=strategy,
        seed=seed,
        validation_accuracy=validation,
        test_accuracy=test,
        trainings=3,
        cached_trainings=2,
        **more,
    )


def results(strategy: str, accuracies: list[float | None]) -> list[Result]:
    """Return one result a trial, seeds from 0."""
    return [result(strategy, seed, test, test) for seed, test in enumerate(accuracies)]


def summary(
    rows: list[Result], ranking: Ranking | None = None, config: dict[str, Any] | None = None
) -> Summary:
    return Summary("mini-1", "fashion-mnist-mini", config or {}, "done", rows, ranking or Ranking())


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


HEADER = ["strategy", "validation", "test", "balanced", "test", "trials", "trained", "cached"]


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
        ["rambo", "80.0", "+-", "10.0", "82.0", "+-", "2.0", "-", "2", "6", "4"],
        ["margin", "-", "-", "-", "0", "3", "2"],
        ["random", "-", "50.0", "-", "1", "3", "2"],
    ]
    assert len({len(line) for line in lines[1:]}) == 1  # the columns stand below each other


def test_a_run_without_results_is_a_header() -> None:
    assert len(report.table(summary([])).splitlines()) == 2


AGREE = "two trainings agree on 80 % of 40 pairs; a perfect model would be right in 80 to 89 %"
RANKING = Ranking(
    held_out=0.625, held_out_pairs=8, kendall_tau=0.31, trainings_agree=0.8, agreement_pairs=40
)


def test_ranking_accuracy_stands_beside_how_often_two_trainings_agree() -> None:
    lines = report.table(summary(results("rambo", [0.8]), RANKING)).splitlines()[3:]
    assert lines == [
        "u_hat orders 62 % of 8 held-out pairs as their true utilities do (Kendall tau 0.31 over their sets)",
        AGREE,
    ]
    without_tau = report.ranking_lines(dataclasses.replace(RANKING, kendall_tau=None))
    assert without_tau[0].endswith("as their true utilities do")
    only_agreement = report.ranking_lines(dataclasses.replace(RANKING, held_out=None))
    assert only_agreement == lines[1:]
    assert report.ranking_lines(dataclasses.replace(RANKING, trainings_agree=None)) == lines[:1]
    assert report.ranking_lines(Ranking()) == []


def test_how_often_two_trainings_agree_is_shown_without_held_out_pairs_too() -> None:
    """Always shown: it was measured whether or not pairs were held out."""
    lines = report.ranking_lines(dataclasses.replace(RANKING, held_out=None, held_out_pairs=0))
    assert lines == [AGREE]


def test_figures_are_means_over_the_trials_and_words_that_agree() -> None:
    rows = results("dulo", [0.8, 0.9]) + results("llal", [0.7]) + results("typiclust", [0.7, 0.6])
    figures: dict[int, dict[str, float | int | str]] = {
        0: {"utility samples fitted": 1200, "Kendall tau": 0.25, "space": "pixels"},
        1: {"utility samples fitted": 1300, "Kendall tau": 0.5, "space": "pixels"},
        3: {"space": "features"},
        4: {"space": "embedding"},
    }
    rows = [dataclasses.replace(row, figures=figures.get(n, {})) for n, row in enumerate(rows)]
    text = report.figure_words(rows)
    assert text == {"dulo": "utility samples fitted 1,250; Kendall tau 0.375; space pixels"}
    lines = report.table(summary(rows)).splitlines()
    assert lines[-1] == f"dulo: {text['dulo']}"
    assert len(lines) == 2 + 3 + 1


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, None),
        ({"classifier": {"name": "mnistnet"}, "rambo": {"offline": {"proxy": False}}}, None),
        ({"classifier": {"name": "logistic"}}, "proxy: f is a logistic head"),
        (
            {"strategies": ["dulo"], "rambo": {"offline": {"proxy": True}}},
            "proxy: true utilities are those of logistic",
        ),
        ({"strategies": ["margin"], "rambo": {"offline": {"proxy": True}}}, None),
    ],
)
def test_a_stand_in_is_named_under_the_table(config: dict[str, Any], words: str | None) -> None:
    text = report.proxy_words(config)
    assert (text is None) == (words is None)
    last = report.table(summary(results("margin", [0.5]), config=config)).splitlines()[-1]
    assert last.startswith(words or "margin")


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
def test_the_verdict_needs_an_interval_of_students_t_without_zero(
    noise: list[int], shift: float
) -> None:
    """Of five trials the interval is 2.78 standard errors wide on each side, of nine 2.31."""
    gaps = [shift + value / 10 for value in noise]
    error = statistics.stdev(gaps) / math.sqrt(len(gaps))
    if error == 0:
        return
    low, high = stats.t.interval(0.95, len(gaps) - 1, statistics.fmean(gaps), error)
    line = verdict(gaps) or ""
    if min(abs(low), abs(high)) > 1e-6:  # not on the threshold itself
        assert line.endswith(": u_hat helps here") == (low > 0)
        assert line.endswith("no evidence that u_hat helps here") == (low < 0 < high)
        assert line.endswith("u_hat hurts here") == (high < 0)


# Paired differences.


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.floats(-20, 20), min_size=2, max_size=12))
def test_a_difference_is_a_mean_with_students_interval(gaps: list[float]) -> None:
    gap = report.difference(gaps)
    assert gap is not None
    assert gap.trials == len(gaps)
    assert gap.mean == pytest.approx(float(np.mean(gaps)), abs=1e-9)
    error = np.std(gaps, ddof=1) / math.sqrt(len(gaps))
    assert gap.error == pytest.approx(float(error), rel=1e-6, abs=1e-9)
    if error > 1e-9:
        interval = stats.t.interval(0.95, len(gaps) - 1, np.mean(gaps), error)
        assert (gap.low, gap.high) == pytest.approx(interval, rel=1e-6, abs=1e-9)
        outside = (1 - stats.ttest_1samp(gaps, 0).pvalue) > 0.95 + 1e-9
        evidence = gap.finding in ("more", "less")
        assert not evidence or (outside and len(gaps) >= report.FEWEST)


def test_a_difference_by_hand() -> None:
    """Gaps of 1 to 5: mean 3, deviation root 2.5, t of four degrees of freedom 2.776."""
    gap = report.difference([1.0, 2.0, 3.0, 4.0, 5.0])
    assert gap is not None
    assert (gap.mean, gap.trials) == (3.0, 5)
    assert gap.error == pytest.approx(math.sqrt(0.5))
    assert gap.low == pytest.approx(3 - 2.7764451 * math.sqrt(0.5))
    assert gap.high == pytest.approx(3 + 2.7764451 * math.sqrt(0.5))
    assert gap.finding == "more"
    assert gap.words() == "+3.0 +- 0.7 points of test accuracy over 5 paired trials"


def test_one_gap_has_no_interval_and_none_no_difference() -> None:
    one = report.difference([-0.25])
    assert one == report.Difference(-0.25, None, None, None, 1)
    assert one.finding == "too few"
    assert one.words() == "-0.2 points of test accuracy in one trial"
    assert report.difference([]) is None


@pytest.mark.parametrize(
    ("gaps", "finding"),
    [
        ([9.0] * 4, "too few"),
        ([9.0, 9.1, 9.0, 9.1, 9.0], "more"),
        ([-9.0, -9.1, -9.0, -9.1, -9.0], "less"),
        ([0.0] * 5, "nothing"),
        ([0.1] * 5, "more"),  # no spread at all: the interval is a point
        ([3.0, 3.0, 3.0, 3.0, -3.0], "nothing"),
        # 2.5 standard errors: two are passed, Student's 2.78 of five trials are not
        ([3.0, 0.4, 1.7, 0.8, 3.6], "more"),
        ([4.0, -0.2, 1.2, 0.6, 3.4], "nothing"),
    ],
)
def test_what_a_difference_finds(gaps: list[float], finding: str) -> None:
    gap = report.difference(gaps)
    assert gap is not None
    assert gap.finding == finding


def test_gaps_are_paired_by_seed_in_points_where_both_were_evaluated() -> None:
    ours = results("rambo", [0.9, None, 0.7, 0.6])
    theirs = [
        result("margin", 3, 0.65, 0.1),
        result("margin", 0, 0.8, 0.2),
        result("margin", 1, 0.5, 0.3),
        result("margin", 9, 0.1, 0.4),
    ]
    assert report.paired(ours, theirs) == pytest.approx([10.0, -5.0])
    assert report.paired(ours, theirs, "validation_accuracy") == pytest.approx([70.0, 50.0])
    assert report.paired(ours, []) == report.paired([], theirs) == []


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


def judged(strategy: str, *accuracies: float | None) -> list[Result]:
    """Return results of one strategy, one a trial."""
    return [
        Result(trial=i, strategy=strategy, seed=i, test_accuracy=accuracy)
        for i, accuracy in enumerate(accuracies)
    ]


def test_a_rehearsal_names_its_winner_only_with_evidence() -> None:
    clear = [
        *judged("margin", 0.8, 0.81, 0.79, 0.8, 0.82),
        *judged("random", 0.7, 0.7, 0.7, 0.7, 0.7),
    ]
    assert report.rehearsal_verdict(clear) == (
        "On your own images, margin sampling won: +10.4 +- 0.5 points of test accuracy over 5 paired trials "
        "against random choice."
    )
    noisy = [
        *judged("margin", 0.9, 0.6, 0.8, 0.7, 0.75),
        *judged("random", 0.7, 0.7, 0.7, 0.7, 0.7),
    ]
    words = report.rehearsal_verdict(noisy, test_images=12)
    assert words is not None
    assert words.startswith(
        "On your own images, no strategy is clearly ahead; margin sampling did best"
    )
    assert "this may be chance. Only 12 images judged" in words
    name = {"dataset": {"name": "rehearsal:collection:pets"}}
    summary = Summary("mini-1", "rehearsal:collection:pets", name, "done", noisy, Ranking())
    assert report.table(summary, 12).endswith("Only 12 images judged, so look twice.")
    short = [*judged("margin", 0.8, 0.8), *judged("random", 0.7, 0.71)]
    assert "too few trials to say" in str(report.rehearsal_verdict(short))


def test_a_rehearsal_where_random_is_best_says_so_and_an_unfinished_one_nothing() -> None:
    results = [
        *judged("margin", 0.6, 0.61, 0.59, 0.6, 0.6),
        *judged("random", 0.7, 0.7, 0.71, 0.7, 0.7),
        *judged("badge", 0.65, 0.65, 0.65, 0.65, 0.66),
    ]
    words = str(report.rehearsal_verdict(results))
    assert words.startswith("On your own images, random choice won")
    assert words.endswith("wide enough for all 2 comparisons) against BADGE.")
    assert report.rehearsal_verdict(judged("margin", None, None)) is None


def test_a_winner_picked_among_many_needs_more_evidence() -> None:
    gaps = [1.0, 2.0, 3.0, 0.5, 4.0]
    alone, among = report.difference(gaps), report.difference(gaps, among=12)
    assert alone is not None
    assert among is not None
    assert (alone.finding, among.finding) == ("more", "nothing")
    assert alone.mean == among.mean


def test_holm_by_hand() -> None:
    """Of four differences the smallest p is multiplied by 4, the next by 3; none is below one before it."""
    differences = [
        dataclasses.replace(report.Difference(1.0, 0.5, 0.1, 1.9, 5), p=p)
        for p in (0.04, 0.011, 0.03, 0.012)
    ]
    corrected = report.holm([*differences, report.Difference(9.0, None, None, None, 1)])
    assert [one.adjusted for one in corrected] == pytest.approx([0.06, 0.044, 0.06, 0.044, None])
    assert [one.finding for one in corrected] == ["nothing", "more", "nothing", "more", "too few"]
    assert differences[0].finding == "more", "alone it would have been evidence"
    assert corrected[0].family_words == "; p 0.04, 0.06 by Holm among 4 differences"


def test_one_difference_is_not_adjusted() -> None:
    alone = report.difference([1.0, 2.0, 1.5, 1.2, 1.9])
    assert alone is not None
    assert alone.p == pytest.approx(0.00142, abs=1e-5)
    assert report.holm([alone]) == [alone]


def test_the_table_has_balanced_accuracy_where_single_classes_were_counted() -> None:
    rows = [result("rambo", 0, 0.8, 0.9)]
    rows[0] = dataclasses.replace(rows[0], test_classes=[1.0, 0.5, None, 0.6])
    assert report.table(summary(rows)).splitlines()[2].split()[3] == "70.0"
