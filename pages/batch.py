"""Batch: the chosen images, why they were chosen, what another choice would have meant, and the hand-over."""

import functools

import streamlit as st

from rambo.ui import frame, present, state
from rambo.ui.batch import batch_view, slides

with frame.page("pages/batch.py", example=True) as run:
    if run is not None and state.presenting():
        present.show(run, functools.partial(slides.slides, run))
    else:
        with st.container(
            horizontal=True, vertical_alignment="center", gap="small", key="batch-head"
        ):
            st.title("Batch", width="content")
            if run is not None:
                frame.header(run, "pages/batch.py", **batch_view.filters())
        if run is None:
            frame.no_run("A batch is chosen by a run, and there is none yet.")
        else:
            batch_view.show(run)
