"""Who changed a selection last: the person in the browser, or the page.

The browser draws its own clicks at once and must not be set back by an older message that was
already under way. So a payload carries a revision that grows only when the *page* changed the
selection (`st.session_state[key] = {"selected": [...]}`); the browser obeys only a new revision.

The other way round, Streamlit's browser side sends all it knows with every rerun, and so a
selection that the page has cleared meanwhile. So the browser says which revision it obeyed, and
a selection from before the newest one does not count.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st


def as_ids(value: Any) -> list[int] | None:
    """Return `value` as a list of ids, or None if it is no list of whole numbers."""
    if not isinstance(value, list | tuple):
        return None
    if not all(isinstance(item, int) and not isinstance(item, bool) for item in value):
        return None
    return list(value)


def current(key: str, default: list[int] | None) -> list[int] | None:
    """Return the selection of component `key` as this run sees it."""
    state = st.session_state.get(key)
    if not isinstance(state, dict) or "selected" not in state:
        return default
    return as_ids(state["selected"])


def revision(key: str, selected: Sequence[int] | None) -> int:
    """Return the revision of `selected`; it grows when the page, not the browser, changed it."""
    note = _note(key)
    if not note.revision and not note.selection and not selected:
        # Nothing selected so far is no news.
        note.selection = None if selected is None else list(selected)
    if note.selection != selected:
        note.selection = None if selected is None else list(selected)
        note.revision += 1
    return note.revision


def assign(key: str, selected: Sequence[int] | None) -> None:
    """Set the selection of component `key`, in a callback: from here on what the browser sends has to be newer."""
    st.session_state[key] = {"selected": None if selected is None else list(selected)}
    revision(key, selected)


def received(key: str, then: Callable[[], object] | None) -> Callable[[], None]:
    """Return the callback that notes what the browser sent, then calls `then`."""

    def callback() -> None:
        """Note it, unless it is older than what the page set."""
        note, state = _note(key), st.session_state.get(key)
        if isinstance(state, dict) and state.get("obeyed", note.revision) < note.revision:
            st.session_state[key] = dict(state) | {"selected": note.selection}
            return
        note.selection = current(key, None)
        if then is not None:
            then()

    return callback


def ignored() -> None:
    """Listen to what the page only reads later: Streamlit reports a state only if somebody listens."""


@dataclasses.dataclass
class Note:
    """The book-keeping of a component: the selection that the browser has, and the revision of it."""

    selection: list[int] | None = None
    revision: int = 0


def _note(key: str) -> Note:
    """Return the book-keeping of component `key`, which may be changed."""
    note: Note = st.session_state.setdefault(f"_{key}_browser", Note())
    return note
