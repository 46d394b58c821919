"""Draft."""

import streamlit as st

from rambo.ui import frame

with frame.page("pages/train.py", pick=True) as run:
    st.title("train")
    if run is None:
        frame.no_run("Nothing here yet.")
    else:
        frame.header(run)
