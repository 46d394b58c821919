"""The finished run that comes with rambo: every page has something to show before anything was started."""

import streamlit as st

from rambo.errors import DataError
from rambo.runs import travel
from rambo.storage import places
from rambo.ui import state, visitor


def offer_finished(*, key: str = "finished") -> None:
    """Draw the button that opens the shipped run, where there is one."""
    path = places.finished_run()
    if path is None or not (visitor.may_edit() or path.stem in state.workspace().ids()):
        return
    if st.button("Look at a finished run", icon=":material/visibility:", key=key):
        with st.spinner("Unpacking it"):
            run = open_finished()
        state.go("pages/batch.py", run)


def open_finished() -> str:
    """Return the id of the shipped run, which joins the workspace the first time it is asked for.

    Raises:
        RamboError: it is not there, or the workspace cannot be written.
    """
    path = places.finished_run()
    if path is None:
        raise DataError(
            "no finished run came with this rambo",
            field="data/finished",
            hint="start the demo instead",
        )
    workspace = state.workspace()
    if path.stem in workspace.ids():
        return path.stem
    with visitor.acting("import", path.stem, "the shipped run"):
        return travel.unpack(path, workspace).run
