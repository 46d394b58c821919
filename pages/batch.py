"""Batch: the chosen images, why they were chosen, what another choice would have meant, and the hand-over."""

import streamlit as st

from rambo.ui import frame
from rambo.ui.batch import batch_view

with frame.page("pages/batch.py") as run:
    st.title("Batch")
    if run is None:
        frame.no_run("A batch is chosen by a run, and there is none yet.")
    else:
        frame.header(run)
        batch_view.show(run)
