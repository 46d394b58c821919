"""Studies: the paper's tables and figures, set up, watched and read."""

import streamlit as st

from rambo.ui import frame
from rambo.ui.studies import view

with frame.page("pages/studies.py", pick=False) as run:
    st.title("Studies")
    view.show(run)
