"""Many who watch at once are answered more seldom, and those who left do not count."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from rambo.ui import pace


class Clock:
    """A time that moves when it is told to."""

    now = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace, "_sessions", {})
    monkeypatch.setattr(pace, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def arrival(monkeypatch: pytest.MonkeyPatch, session: str) -> float:
    """Return the pace that a session gets when it opens a page."""
    context = SimpleNamespace(session_id=session)
    monkeypatch.setattr(pace, "get_script_run_ctx", lambda **_: context)
    return pace.every(2)


def test_a_few_get_the_full_pace_and_the_twentieth_a_quarter(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    paces = [arrival(monkeypatch, f"session {n}") for n in range(20)]
    assert paces[:5] == [2] * 5
    assert paces[9] == 4
    assert paces[19] == 8
    assert arrival(monkeypatch, "session 0") == 8  # who opens another page is no new session


def test_who_left_does_not_count(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(20):
        arrival(monkeypatch, f"session {n}")
    clock.now += 61
    assert arrival(monkeypatch, "session 3") == 2


def test_a_call_outside_a_page_is_no_session(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "get_script_run_ctx", lambda **_: None)
    assert [pace.every(2) for _ in range(20)] == [2] * 20


def test_a_page_at_rest_is_drawn_anew_once_something_happens(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Callable[[], None]] = []
    again: list[bool] = []
    monkeypatch.setattr(pace, "get_script_run_ctx", lambda **_: None)
    monkeypatch.setattr(
        pace,
        "st",
        SimpleNamespace(
            fragment=lambda look, run_every: lambda: looks.append(look),
            rerun=lambda: again.append(True),
        ),
    )
    standing = ["stopped"]
    pace.await_news(lambda: standing[0])
    looks[0]()
    assert again == []
    standing[0] = "running"
    looks[0]()
    assert again == [True]
