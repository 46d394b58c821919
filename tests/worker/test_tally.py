"""What a choice cost, counted over the attempts of a stopped and resumed run."""

from rambo.events import (
    ClassifierTrained,
    Event,
    StageAdvanced,
    StageFinished,
    StageStarted,
    ignore,
)
from rambo.runs.record import StoredEvent
from rambo.worker.tally import Tally


def fit(role: str, index: int, *, cached: bool) -> ClassifierTrained:
    return ClassifierTrained(role, index, 20, 0.5, 3, 0.1, cached)


def entries(*moments: tuple[int, float, Event]) -> list[StoredEvent]:
    """Return events with the attempt and the moment of each."""
    return [
        StoredEvent(i + 1, n, 0, "rambo", time, event) for i, (n, time, event) in enumerate(moments)
    ]


def counted(tally: Tally, *events: Event) -> tuple[int, int]:
    for event in events:
        tally(event)
    return tally.trainings, tally.cached_trainings


def test_events_pass_through() -> None:
    emitted: list[Event] = []
    events = [StageStarted("offline", 1), fit("offline", 0, cached=False)]
    assert counted(Tally(emitted.append), *events) == (1, 0)
    assert emitted == events


def test_a_training_of_an_earlier_attempt_counts_as_trained_and_once() -> None:
    past = entries(
        (1, 0.0, StageStarted("offline", 3)),
        (1, 1.0, fit("offline", 0, cached=False)),
        (1, 2.0, fit("offline", 1, cached=True)),  # another run's
        (2, 8.0, StageStarted("offline", 3)),
        (2, 9.0, fit("offline", 0, cached=True)),
    )
    now = [
        StageStarted("offline", 3),
        fit("offline", 1, cached=True),
        fit("offline", 0, cached=True),
        fit("offline", 2, cached=False),
    ]
    assert counted(Tally(ignore, past), *now) == (2, 1)
    assert counted(Tally(ignore), *now) == (1, 2)
    missing = [
        *now[:2],
        fit("offline", 0, cached=False),
        now[3],
    ]  # trained again, as the memory lost it
    assert counted(Tally(ignore, past), *missing) == (2, 1)


def test_trainings_of_one_place_are_told_apart_by_their_stage_and_their_order() -> None:
    past = entries(
        (1, 0.0, StageStarted("pretraining", 1)),
        (1, 1.0, fit("labeled", 0, cached=False)),
        (1, 2.0, fit("labeled", 0, cached=True)),
    )
    twice = [StageStarted("pretraining", 1), *[fit("labeled", 0, cached=True)] * 2]
    elsewhere = [StageStarted("classifier", 1), fit("labeled", 0, cached=True)]
    assert counted(Tally(ignore, past), *twice, *elsewhere) == (1, 2)


def test_only_the_first_of_a_name_is_asked_for() -> None:
    tally = Tally(ignore, entries((1, 0.0, StageStarted("evaluation", 2))))
    counted(tally, StageStarted("evaluation", 2), fit("evaluation", 0, cached=False))
    counted(tally, fit("evaluation", 1, cached=True))
    assert tally.trained("evaluation", "evaluation", 0)
    assert not tally.trained("evaluation", "evaluation", 1)


def test_seconds_are_those_of_all_attempts() -> None:
    """A stage that was stopped took until the last event of its attempt."""
    past = entries(
        (1, 100.0, StageStarted("offline", 3)),
        (1, 104.0, StageAdvanced("offline", 1, 3)),
        (2, 200.0, StageStarted("offline", 3)),
        (2, 203.0, StageFinished("offline", 2.5)),
        (2, 203.0, StageStarted("acquisition", 3)),
        (2, 210.0, StageAdvanced("acquisition", 1, 3)),
    )
    tally = Tally(ignore, past)
    for event in (
        StageStarted("offline", 3),
        StageFinished("offline", 0.25),
        StageStarted("acquisition", 3),
        StageFinished("acquisition", 1.0004),
    ):
        tally(event)
    assert tally.seconds == {"offline": 6.75, "acquisition": 8.0}


def test_a_clock_set_back_takes_no_seconds_away() -> None:
    past = entries(
        (1, 100.0, StageStarted("offline", 3)), (1, 40.0, StageAdvanced("offline", 1, 3))
    )
    tally = Tally(ignore, past)
    tally(StageFinished("offline", 2.0))
    assert tally.seconds == {"offline": 2.0}
