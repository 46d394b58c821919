"""Label: the chosen images get their labels, the final model is trained, and the next round begins."""

import streamlit as st

from rambo.ui import frame
from rambo.ui.label import view

with frame.page("pages/label.py") as run:
    st.title("Label")
    if run is None:
        view.show_no_run()
    else:
        frame.header(run)
        view.show(run)
