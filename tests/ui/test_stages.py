"""Progress, ETA, stepper and sentences, on the real events of tiny runs and on every prefix of them."""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest
from page_helpers import make_done, page_config

from rambo import config as configs
from rambo.estimate.costs import DataSizes
from rambo.estimate.workload import plan
from rambo.events import ClassifierTrained, StageAdvanced, StageFinished, StageStarted
from rambo.runs.record import StoredEvent
from rambo.ui.train import sentences
from rambo.ui.train.stages import Tracker

Record = dict[str, Any]
SIZES = DataSizes(classes=4, pool=100, validation=60, test=40)


def tracker_of(settings: Record, jobs: int = 1) -> Tracker:
    return Tracker(plan(configs.build(settings), SIZES, jobs))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Record, list[StoredEvent]]:
    """The config and the events of a finished run of two trials and four strategies."""
    run = make_done(tmp_path_factory.mktemp("stages") / "runs", trials=2)
    return run.config, run.events()


def test_every_prefix_moves_forward_and_ends_at_all(real: tuple[Record, list[StoredEvent]]) -> None:
    settings, events = real
    tracker, before = tracker_of(settings), 0.0
    for event in events:
        tracker.feed([event])
        assert before <= tracker.progress <= 1
        before = tracker.progress
        for now in (event.time, event.time + 3, event.time - 1e6, event.time + 1e6):
            rest = tracker.remaining(now)
            assert rest is None or rest >= 0
        assert sentences.doing(tracker).endswith(".")
        for trial in (0, 1):
            cells = tracker.cells(trial)
            assert list(cells) == settings["strategies"]
            assert all(len(row) == 4 for row in cells.values())
    assert tracker.progress == pytest.approx(1)
    assert {
        cell.state
        for trial in (0, 1)
        for row in tracker.cells(trial).values()
        for cell in row.values()
    } == {
        "done",
        "none",
    }


def test_all_at_once_is_the_same_as_one_by_one(real: tuple[Record, list[StoredEvent]]) -> None:
    settings, events = real
    for length in (1, 7, 40, len(events) // 2, len(events)):
        slow, fast = tracker_of(settings), tracker_of(settings)
        for event in events[:length]:
            slow.feed([event])
        fast.feed(events[:length])
        assert slow.progress == fast.progress
        assert slow.cells(0) == fast.cells(0)
        now = events[length - 1].time
        assert slow.remaining(now) == fast.remaining(now)


@pytest.mark.parametrize(
    "changes",
    [
        {"strategies": ["random"]},
        {"strategies": ["margin", "random"]},
        {"strategies": ["margin", "rambo"], "rambo": {"initial_size": 24}},
        {
            "strategies": ["rambo"],
            "rambo": {"utility_model": {"transport": False, "bilevel": {"enabled": False}}},
        },
        {"strategies": ["rambo"], "rambo": {"utility_model": {"bilevel": {"refit": True}}}},
    ],
)
def test_other_configs_end_at_all_too(changes: Record, tmp_path: Path) -> None:
    run = make_done(tmp_path / "runs", **changes)
    tracker, shares = tracker_of(run.config), [0.0]
    for event in run.events():
        tracker.feed([event])
        shares.append(tracker.progress)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)


def test_the_time_is_measured_first_and_then_runs_down(
    real: tuple[Record, list[StoredEvent]],
) -> None:
    settings, events = real
    tracker = tracker_of(settings)
    tracker.feed(events[:2])
    assert tracker.remaining(events[1].time) is None
    half = next(n for n in range(len(events)) if _progress(settings, events[:n]) > 0.5)
    tracker = tracker_of(settings)
    tracker.feed(events[:half])
    now = events[half - 1].time
    first = tracker.remaining(now)
    assert first is not None
    assert first > 0
    assert tracker.remaining(now + first / 2) == pytest.approx(first / 2)
    assert tracker.remaining(now + 2 * first) == 0
    assert tracker.remaining(now - 3600) == first  # the clock was set back


def _progress(settings: Record, events: list[StoredEvent]) -> float:
    tracker = tracker_of(settings)
    tracker.feed(events)
    return tracker.progress


def fresh(entry: StoredEvent, cached: bool = False) -> StoredEvent:
    """Return an entry whose training, if it is one, was done or found."""
    if not isinstance(entry.event, ClassifierTrained):
        return entry
    return dataclasses.replace(entry, event=dataclasses.replace(entry.event, cached=cached))


def test_a_steady_run_is_foretold(real: tuple[Record, list[StoredEvent]]) -> None:
    """On a made clock that ticks with the work, the ETA is right from early on."""
    settings, events = real
    probe, clock = tracker_of(settings), []
    for event in events:
        probe.feed([event])
        clock.append(1000 + 200 * probe.progress)
    steady = [
        dataclasses.replace(fresh(entry), time=time)
        for entry, time in zip(events, clock, strict=True)
    ]
    tracker = tracker_of(settings)
    for event in steady:
        tracker.feed([event])
        rest = tracker.remaining(event.time)
        if rest is not None:
            assert rest == pytest.approx(1200 - event.time, abs=12)


def test_clock_jumps_do_not_spoil_the_pace(real: tuple[Record, list[StoredEvent]]) -> None:
    settings, events = real
    half = len(events) // 2
    for jump in (-1e7, 8 * 3600.0):
        moved = [
            dataclasses.replace(e, time=e.time + (jump if n >= 20 else 0))
            for n, e in enumerate(events)
        ]
        tracker = tracker_of(settings)
        tracker.feed(moved[:half])
        rest = tracker.remaining(moved[half - 1].time)
        assert rest is not None
        assert 0 <= rest < 3600


def test_what_was_kept_says_nothing_of_the_pace(real: tuple[Record, list[StoredEvent]]) -> None:
    settings, events = real
    tracker = tracker_of(settings)
    offline = list(itertools.takewhile(lambda e: not isinstance(e.event, StageFinished), events))
    tracker.feed(dataclasses.replace(fresh(e, cached=True), time=5.0) for e in offline)
    assert tracker.progress > 0
    assert tracker.remaining(6.0) is None


@pytest.mark.parametrize("share", [0.1, 0.4, 0.7, 0.95])
def test_a_new_attempt_tells_the_unfinished_again(
    real: tuple[Record, list[StoredEvent]], share: float
) -> None:
    """What the first attempt finished stays; within the second one nothing falls back."""
    settings, events = real
    cut = int(share * len(events))
    first = events[:cut]
    where = first[-1].place
    again = next(n for n, e in enumerate(events) if e.place == where)
    second = [dataclasses.replace(e, attempt=2, time=e.time + 900) for e in events[again:]]
    tracker = tracker_of(settings)
    tracker.feed(first)
    reached, shares = tracker.progress, []
    for event in second:
        tracker.feed([event])
        shares.append(tracker.progress)
    assert shares == sorted(shares)
    assert shares[0] <= reached
    assert shares[0] >= reached - max(tracker.plan.pieces[where].values()) * 3 / tracker.total
    assert shares[-1] == pytest.approx(1)


def test_before_the_first_event(real: tuple[Record, list[StoredEvent]]) -> None:
    tracker = tracker_of(real[0])
    assert tracker.progress == 0
    assert tracker.remaining(1e9) is None
    assert sentences.doing(tracker) == sentences.READY
    assert {cell.state for row in tracker.cells(0).values() for cell in row.values()} == {
        "waiting",
        "none",
    }


def test_the_sentences_name_what_goes_on(real: tuple[Record, list[StoredEvent]]) -> None:
    settings, events = real
    tracker, shares = tracker_of(settings), []
    for event in events:
        tracker.feed([event])
        shares.append(sentences.doing(tracker))
    whole = "\n".join(shares)
    for part in (
        "Trial 1 of 2, RAMBO: classifiers are trained on random subsets",
        "optimal transport",
        "u_hat learns to rank from the true utilities: epoch 2 of 2",
        "u_hat learns from interpolated utilities, round 1 of 3: epoch 1 of 2",
        "round 3 of 3",
        "batch 2 of 3 is being chosen",
        "Trial 2 of 2, Margin",
        "fresh classifier is trained for each strategy: 1 of 4",
    ):
        assert part in whole


def test_features_come_before_the_first_trial(real: tuple[Record, list[StoredEvent]]) -> None:
    tracker = tracker_of(real[0])
    for event in (StageStarted("features", 4), StageAdvanced("features", 1, 4)):
        tracker.feed([StoredEvent(1, 1, None, None, 1.0, event)])
    assert sentences.doing(tracker) == "Images are turned into frozen features: 1 of 4."
    assert tracker.progress == 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.1, "a few seconds left"),
        (42, "about 40 s left"),
        (59.9, "about 60 s left"),
        (80, "about 1 min 20 s left"),
        (120, "about 2 min left"),
        (599, "about 10 min left"),
        (1234, "about 21 min left"),
        (5400, "about 1 h 30 min left"),
        (36_000, "about 10 h left"),
        (3_600_000, "about 1000 h left"),
    ],
)
def test_remaining_times_in_words(seconds: float, words: str) -> None:
    assert sentences.remaining(seconds) == words


def test_ago() -> None:
    assert sentences.ago(-5) == "0 s ago"
    assert sentences.ago(17.4) == "17 s ago"
    assert sentences.ago(130) == "2 minutes ago"


def test_the_plan_counts_what_the_config_asks_for() -> None:
    stages = plan(page_config(trials=2), SIZES, 1)
    assert len(stages.pieces) == 2 * (4 + 1)
    assert stages.fits == 2 * 5 + 2 * 2
    assert stages.iterations == 3
    assert list(stages.pieces[0, "rambo"]) == [
        "offline",
        "warm start",
        "pretraining",
        "acquisition",
    ]


def test_dulo_alone_has_the_offline_trainings_and_llal_one_more() -> None:
    stages = plan(page_config(strategies=["llal", "dulo", "random"], trials=1), SIZES, 1)
    dulo, llal = stages.pieces[0, "dulo"], stages.pieces[0, "llal"]
    assert list(dulo) == ["classifier", "offline", "warm start", "acquisition"]
    assert dulo["offline"] > dulo["classifier"]
    assert llal["acquisition"] == llal["classifier"] > 0.05
    assert stages.fits == 2 * 5
    assert stages.iterations == 0


def test_without_a_learner_nothing_is_trained_offline() -> None:
    stages = plan(page_config(strategies=["margin", "random"], trials=1), SIZES, 1)
    assert (stages.fits, stages.iterations) == (0, 0)
    assert list(stages.pieces[0, "margin"]) == ["classifier", "acquisition"]


def test_dulo_beside_rambo_finds_its_trainings() -> None:
    alone = plan(page_config(strategies=["rambo"], trials=1), SIZES, 1)
    both = plan(page_config(strategies=["rambo", "dulo", "llal"], trials=1), SIZES, 1)
    assert both.pieces[0, "rambo"] == alone.pieces[0, "rambo"]
    assert both.pieces[0, "dulo"]["offline"] < alone.pieces[0, "rambo"]["offline"]
    assert both.fits == alone.fits
