"""Watch a run: what it does now, how long it takes, what the utility model learns; stop it and resume it."""

import functools

import streamlit as st

from rambo.ui import frame, present, readers, state
from rambo.ui.train import live, slides

with frame.page("pages/train.py") as run:
    if run is not None and state.presenting():
        present.show(run, functools.partial(slides.slides, run))
    else:
        st.title("Train")
        if run is None:
            frame.no_run("There is no run to watch yet.")
        else:
            if readers.status(run)[0] != "unreadable":
                frame.header(run, "pages/train.py", trial=live.trial_of(run))
            live.show(run)
