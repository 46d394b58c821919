"""Watch a run: what it does now, how long it takes, what the utility model learns; stop it and resume it."""

import streamlit as st

from rambo.ui import frame, readers
from rambo.ui.train import live

# Beside the menu two charts need this much, or their labels lie on each other.
_STYLE = """
<style>
@media (max-width: 1150px) {
  .st-key-train-charts [data-testid="stHorizontalBlock"]:has(> [data-testid="stColumn"]) { flex-wrap: wrap; }
  .st-key-train-charts [data-testid="stColumn"] { min-width: 100%; }
}
</style>
"""

with frame.page("pages/train.py") as run:
    st.html(_STYLE)
    st.title("Train")
    if run is None:
        frame.no_run("There is no run to watch yet.")
    else:
        if readers.status(run)[0] != "unreadable":
            frame.header(run)
        live.show(run)
