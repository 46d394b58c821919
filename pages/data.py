"""Data: look at the images, bring your own, and look at the pools a run cuts them into."""

import streamlit as st

from rambo.ui import frame
from rambo.ui.data import browse, choice, collection_view, standing, ways_in

with frame.page("pages/data.py", pick=False) as run:
    st.title("Data")
    bar = st.container(horizontal=True, vertical_alignment="bottom")
    with bar:
        name = choice.pick_dataset(run)
    if name == choice.NEW:
        ways_in.show_welcome()
    elif (slug := choice.collection_of(name)) is not None:
        collection_view.show_collection(slug)
    else:
        if name == choice.OWN:
            name = choice.pick_file()
        data = standing.load_dataset(name, run)
        if data is not None:
            with bar:
                choice.use_button(name, run)
            browse.show_dataset(data, name, run)
