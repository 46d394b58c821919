"""Home: what RAMBO is, the demo, and all runs. Imported as `app` by the server, this file is the server's own part."""

import streamlit as st

from rambo.storage import places

places.require_posix()

from rambo.ui import door, frame, home, warm  # noqa: E402

if __name__ == "app":
    warm.begin()
    app = st.App(__file__, middleware=door.layers())
else:
    with frame.page("app.py", pick=False):
        home.show_welcome()
        home.show_collections()
        home.show_runs()
