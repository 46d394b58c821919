"""Events are small frozen records of JSON types, and a stage announces its end only when it ended."""

import dataclasses
import json
import types
import typing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rambo import events
from rambo.errors import RunCancelled
from rambo.events import Event, StageAdvanced, StageFinished, StageStarted, ignore, stage

KINDS = [kind for kind in Event.__subclasses__() if kind is not events.Unknown]
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(),
    float: FLOATS,
    bool: st.booleans(),
    str: st.text(),
    float | None: FLOATS | st.none(),
    list[int]: st.lists(st.integers(), max_size=4),
    list[float]: st.lists(FLOATS, max_size=4),
    list[str]: st.lists(st.text(), max_size=3),
    list[list[int]]: st.lists(st.lists(st.integers(), max_size=3), max_size=3),
    dict[str, float]: st.dictionaries(st.text(), FLOATS, max_size=3),
}


def instances(kind: type[Event]) -> st.SearchStrategy[Event]:
    """Return any event of a kind; a field of a type that JSON cannot hold is a KeyError here."""
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{f.name: VALUES[hints[f.name]] for f in dataclasses.fields(kind)})


def test_all_events_of_the_module_are_direct_children_of_event() -> None:
    named = {k for k in vars(events).values() if isinstance(k, type) and issubclass(k, Event)}
    assert named == {Event, events.Unknown, *KINDS}
    assert len(KINDS) >= 14


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data())
def test_an_event_round_trips_through_json_with_only_its_fields(
    kind: type[Event], data: st.DataObject
) -> None:
    event = data.draw(instances(kind))
    text = json.dumps(event.record(), allow_nan=False)
    answer = json.loads(text)
    assert set(answer) == {field.name for field in dataclasses.fields(kind)}
    assert events.restore(event.kind, answer) == event


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_is_frozen_and_leaves_the_record_its_own_columns(kind: type[Event]) -> None:
    names = {field.name for field in dataclasses.fields(kind)}
    assert not names & {"seq", "attempt", "trial", "time", "kind"}
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_a_record_shares_no_list_with_its_event() -> None:
    event = events.UtilitySamplesAdded("offline", [3, 3], [0.5, 0.25])
    event.record()["sizes"].append(4)
    assert event.sizes == [3, 3]


def test_a_stage_tells_its_start_every_step_and_its_end() -> None:
    collected: list[Event] = []
    with stage("offline", 2, collected.append) as advance:
        assert collected == [StageStarted("offline", 2)]
        advance()
        advance()
    finished = collected.pop()
    assert collected == [
        StageStarted("offline", 2),
        StageAdvanced("offline", 1, 2),
        StageAdvanced("offline", 2, 2),
    ]
    assert isinstance(finished, StageFinished)
    assert finished.stage == "offline"
    assert 0 <= finished.seconds < 60


def test_stages_may_nest_and_count_for_themselves() -> None:
    collected: list[Event] = []
    with stage("outer", 1, collected.append) as outer:
        with stage("inner", 2, collected.append) as inner:
            inner()
        outer()
    stages = [(type(event).__name__, event.record()["stage"]) for event in collected]
    assert stages == [
        ("StageStarted", "outer"),
        ("StageStarted", "inner"),
        ("StageAdvanced", "inner"),
        ("StageFinished", "inner"),
        ("StageAdvanced", "outer"),
        ("StageFinished", "outer"),
    ]
    assert [e.step for e in collected if isinstance(e, StageAdvanced)] == [1, 1]


def test_a_stage_that_fails_is_not_finished() -> None:
    collected: list[Event] = []

    def fail() -> None:
        with stage("offline", 2, collected.append) as advance:
            advance()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert collected == [StageStarted("offline", 2), StageAdvanced("offline", 1, 2)]


@pytest.mark.parametrize("stop_at", [StageStarted, StageAdvanced, StageFinished])
def test_a_listener_stops_the_work_at_any_event(stop_at: type[Event]) -> None:
    collected: list[type[Event]] = []

    def emit(event: Event) -> None:
        collected.append(type(event))
        if isinstance(event, stop_at):
            raise RunCancelled

    def work() -> None:
        with stage("offline", 1, emit) as advance:
            advance()

    with pytest.raises(RunCancelled):
        work()
    order = [StageStarted, StageAdvanced, StageFinished]
    assert collected == order[: order.index(stop_at) + 1]


def test_the_default_listener_takes_any_event() -> None:
    assert isinstance(ignore, types.FunctionType)
    assert ignore(events.Noticed("a note")) is None


def test_events_of_other_versions_break_nothing() -> None:
    more = events.restore("StageStarted", {"stage": "a", "total": 3, "colour": "red"})
    assert more == StageStarted("a", 3)
    newer = events.restore("Sparkled", {"strength": 3})
    assert (newer.kind, newer.record()) == ("Sparkled", {"strength": 3})
    older = events.restore("StageStarted", {"stage": "a"})
    assert (older.kind, older.record()) == ("StageStarted", {"stage": "a"})
    assert not isinstance(older, StageStarted)
    assert events.restore("Unknown", {"name": "x", "fields": {}}).kind == "Unknown"


def test_the_gap_is_what_the_chosen_batch_is_ahead_by() -> None:
    chosen = events.BatchChosen(0, 1, [7], 0.75, 0.5, [0.75, 0.5], [[7], [8]], [0.75, 0.5], [0, 0])
    assert chosen.gap == 0.25
    assert dataclasses.replace(chosen, runner_up=None).gap is None
