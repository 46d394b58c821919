"""Compare: RAMBO beside its rivals."""

import functools

import streamlit as st

from rambo.ui import frame, present, state
from rambo.ui.compare import compare_view, slides

with frame.page("pages/compare.py", example=True) as run:
    if run is not None and state.presenting():
        present.show(run, functools.partial(slides.slides, run))
    else:
        st.title("Compare")
        if run is None:
            frame.no_run("There is nothing to compare yet.")
        else:
            frame.header(run, "pages/compare.py", **compare_view.filters(run))
            compare_view.show(run)
