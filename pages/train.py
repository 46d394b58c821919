"""Watch a run: what it does now, how long it takes, what the utility model learns; stop it and resume it."""

import streamlit as st

from rambo.ui import frame, readers
from rambo.ui.train import live

with frame.page("pages/train.py") as run:
    st.title("Train")
    if run is None:
        frame.no_run("There is no run to watch yet.")
    else:
        if readers.status(run)[0] != "unreadable":
            frame.header(run)
        live.show(run)
