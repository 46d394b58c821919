"""Learn: the method step by step, each step something to move; no run needed."""

import streamlit as st

from rambo.ui import frame
from rambo.ui.learn import view

with frame.page("pages/learn.py", pick=False):
    st.title("Learn")
    view.show()
