"""Draft."""

import streamlit as st

from rambo.ui import frame

with frame.page("pages/configure.py", pick=False) as run:
    st.title("configure")
    if run is None:
        frame.no_run("Nothing here yet.")
    else:
        frame.header(run)
