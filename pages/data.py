"""Data: look at the images, and at the pools a run cuts them into."""

import streamlit as st

from rambo.ui import frame
from rambo.ui.data import browse, choice, standing

with frame.page("pages/data.py", pick=False) as run:
    st.title("Data")
    bar = st.container(horizontal=True, vertical_alignment="bottom")
    with bar:
        name = choice.pick_dataset(run)
    if name == choice.OWN:
        name = choice.pick_file()
    data = standing.load_dataset(name, run)
    if data is not None:
        with bar:
            choice.use_button(name, run)
        browse.show_dataset(data, name, run)
