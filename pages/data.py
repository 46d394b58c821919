"""Data: look at the images, and at the pools a run cuts them into."""

import streamlit as st

from rambo.ui import data_view, frame

with frame.page("pages/data.py", pick=False) as run:
    st.title("Data")
    choice = data_view.pick_dataset(run)
    data = data_view.load_dataset(choice, run)
    if data is not None:
        data_view.show_dataset(data, choice, run)
