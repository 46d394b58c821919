"""Bars take any sequence of events, and say what happened."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_events import KINDS, instances

from rambo import events
from rambo.events import Event
from rambo.worker.progress import LogLines, ProgressBars

Screen = Callable[[], str]


@pytest.fixture
def screen(capsys: pytest.CaptureFixture[str]) -> Screen:
    """What a person has seen since the last look; nothing is ever written to standard output."""

    def look() -> str:
        captured = capsys.readouterr()
        assert captured.out == ""
        return captured.err

    return look


TOTALS = st.sampled_from([0, 1, 2, 7])
STAGES = (
    st.builds(events.StageStarted, st.sampled_from(["offline", "acquisition"]), TOTALS)
    | st.builds(events.StageAdvanced, st.just("offline"), st.integers(0, 9), TOTALS)
    | st.builds(events.StageFinished, st.just("offline"), st.just(1.0))
)


@settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(STAGES | st.sampled_from(KINDS).flatmap(instances), max_size=10))
def test_no_sequence_of_events_breaks_the_bars(screen: Screen, sequence: list[Event]) -> None:
    bars = ProgressBars()
    for event in sequence:
        bars(event)
    bars.close()
    bars.close()
    screen()


def test_a_stage_is_a_bar_that_ends_full(screen: Screen) -> None:
    bars = ProgressBars()
    with events.stage("pretraining", 3, bars) as advance:
        for _ in range(3):
            advance()
    last = screen().replace("\r", "\n").strip().splitlines()[-1]
    assert last.startswith("pretraining")
    assert "3/3" in last
    assert "100%" in last


def test_a_stage_of_one_step_draws_nothing(screen: Screen) -> None:
    bars = ProgressBars()
    for total in (0, 1):
        with events.stage("classifier", total, bars) as advance:
            bars(events.LabeledPoolGrew(0, 24, 0.5))
            advance()
    assert screen() == ""


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (events.StrategySelected("margin", 500, 2.0), "margin chose 500 images"),
        (events.StrategyEvaluated("random", 0.5, 0.8125), "random: test accuracy 81.2 %"),
        (events.Noticed("the copy was damaged"), "note: the copy was damaged"),
    ],
)
def test_milestones_are_lines_of_their_own(screen: Screen, event: Event, text: str) -> None:
    ProgressBars()(event)
    assert screen() == text + "\n"


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (events.LabeledPoolGrew(1, 100, 0.715), "100 labels, accuracy 71.5 %"),
        (events.RankingAudited("offline", 8, 0.75, None), "u_hat orders 75 % of 8 held-out pairs"),
        (events.RankingAudited("offline", 8, 1.0, 1.0), "u_hat orders 100 % of 8 held-out pairs"),
        (events.BatchChosen(4, 10, [1], 0.5, None, [0.5], [[1]], [0.5], [0.1]), "batch 5 of 10"),
    ],
)
def test_notes_stand_beside_the_bar(screen: Screen, event: Event, text: str) -> None:
    bars = ProgressBars()
    bars(events.StageStarted("pretraining", 5))
    bars(event)
    bars.close()
    assert text in screen()


def test_a_new_stage_closes_the_bar_of_one_that_failed(screen: Screen) -> None:
    bars = ProgressBars()
    bars(events.StageStarted("offline", 5))
    bars(events.StageAdvanced("offline", 1, 5))
    bars(events.StageStarted("acquisition", 4))
    bars(events.StageAdvanced("acquisition", 1, 4))
    bars.close()
    screen_text = screen()
    assert "\x1b[A" not in screen_text  # no bar was drawn below one that was still open
    lines = screen_text.replace("\r", "\n").splitlines()
    assert any(line.startswith("offline") and "1/5" in line for line in lines)
    assert any(line.startswith("acquisition") and "1/4" in line for line in lines)


LOGGED = [
    (events.StageStarted("offline", 50), "offline: 50 steps"),
    (events.StageFinished("offline", 3.14), "offline done in 3.1 s"),
    (events.LabeledPoolGrew(1, 150, 0.75), "f on 150 labels: accuracy 75.0 %"),
    (events.TrainingsCompared(40, 0.675), "two trainings agree on 68 % of 40 pairs"),
    (
        events.RankingAudited("pretraining-2", 12, 0.5, 0.1),
        "pretraining-2: u_hat orders 50 % of 12 held-out pairs",
    ),
    (events.StrategySelected("margin", 200, 1.0), "margin chose 200 images"),
    (events.StrategyEvaluated("margin", 0.8, 0.78), "margin: test accuracy 78.0 %"),
    (events.Noticed("the disk is nearly full"), "note: the disk is nearly full"),
]


@pytest.mark.parametrize(("event", "line"), LOGGED, ids=lambda value: type(value).__name__)
def test_a_log_line_says_what_happened_and_when(screen: Screen, event: Event, line: str) -> None:
    LogLines()(event)
    moment, _, sentence = screen().rstrip("\n").partition(" ")
    assert len(moment.split(":")) == 3
    assert sentence == line


def test_what_is_not_worth_a_line_is_not_logged(screen: Screen) -> None:
    log = LogLines()
    log(events.StageAdvanced("offline", 1, 50))
    log(events.RankingAudited("offline", 0, None, None))
    log(events.TrainingsCompared(0, None))
    assert screen() == ""
