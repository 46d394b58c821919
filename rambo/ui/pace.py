"""How often the live parts of a page come again: more seldom where many people watch, so the worker keeps its cores."""

import time
from collections.abc import Callable

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

_FEW = 5  # sessions that get the full pace
_ABSENCE = 60.0  # seconds after which a session that asked for nothing has left
_REST = 5.0  # seconds between two looks at what nobody works on
_sessions: dict[str, float] = {}


def note() -> None:
    """Remember that the session whose page is drawn just now is there."""
    context = get_script_run_ctx(suppress_warning=True)
    if context is not None:
        _sessions[context.session_id] = time.monotonic()


def every(seconds: float) -> float:
    """Return the seconds between two answers of a live part, given those for a few people.

    Choice: the n-th session is answered n/5 times as seldom, so twenty sessions cost what twelve would.
    """
    note()
    since = time.monotonic() - _ABSENCE
    for session in [session for session, moment in list(_sessions.items()) if moment < since]:
        _sessions.pop(session, None)
    return seconds * max(1.0, len(_sessions) / _FEW)


def await_news(standing: Callable[[], object]) -> None:
    """Draw the page anew once something at rest stands otherwise: another person may have resumed it.

    Args:
        standing: says how it stands; quick, and equal as long as nothing happened.
    """
    before = standing()

    def look() -> None:
        note()
        if standing() != before:
            st.rerun()

    st.fragment(look, run_every=every(_REST))()


class Turns:
    """Counts how often a fragment is drawn: the first time belongs to the whole page, and to the click it answers.

    A page that begins anew in the middle forgets the click, so Start would do nothing.
    """

    def __init__(self) -> None:
        """Begin before the first time."""
        self._turn = 0

    def rerun_if(self, changed: bool) -> None:
        """Count, and draw the whole page anew if what it shows has changed; the first time that waits for the next."""
        self._turn += 1
        if changed and self._turn > 1:
            st.rerun()
