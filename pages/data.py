"""Data: look at the images, and at the pools a run cuts them into."""

import streamlit as st

from rambo.ui import data_view, frame

with frame.page("pages/data.py", pick=False) as run:
    st.title("Data")
    bar = st.container(horizontal=True, vertical_alignment="bottom")
    with bar:
        choice = data_view.pick_dataset(run)
    if choice == data_view.OWN:
        choice = data_view.pick_file()
    data = data_view.load_dataset(choice, run)
    if data is not None:
        with bar:
            data_view.use_button(choice, run)
        data_view.show_dataset(data, choice, run)
