"""The sessions that may send files: where people log in, only their page knows who they are."""

from streamlit.runtime.scriptrunner import get_script_run_ctx

_MOST = 10_000  # sessions that are remembered
_sessions: dict[str, None] = {}


def note(*, may_send: bool) -> None:
    """Remember whether the session whose page is drawn just now may send files."""
    context = get_script_run_ctx(suppress_warning=True)
    if context is None:
        return
    _sessions.pop(context.session_id, None)
    if may_send:
        _sessions[context.session_id] = None
        while len(_sessions) > _MOST:
            _sessions.pop(next(iter(_sessions)), None)


def may_send(session: str) -> bool:
    """Return whether an editor looks at a page in this session."""
    return session in _sessions
