"""Compare: RAMBO beside its rivals."""

import streamlit as st

from rambo.ui import frame
from rambo.ui.compare import compare_view

with frame.page("pages/compare.py") as run:
    st.title("Compare")
    if run is None:
        frame.no_run("There is nothing to compare yet.")
    else:
        frame.header(run)
        compare_view.show(run)
