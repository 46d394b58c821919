"""Learn: the method step by step, each step something to move; no run needed."""

import streamlit as st

from rambo.ui import frame
from rambo.ui.learn import view

_STYLE = """
<style>
[class*="st-key-learn-numbers"] [data-testid="stMetricValue"] { font-size: 1.7rem; }
@media (max-width: 1150px) {
  .block-container { padding-left: 1.5rem; padding-right: 1.5rem; }
  [class*="st-key-learn-step"] [data-testid="stHorizontalBlock"]:has(> [data-testid="stColumn"]) { flex-wrap: wrap; }
  [class*="st-key-learn-step"] [data-testid="stColumn"] { min-width: 100%; }
}
</style>
"""

with frame.page("pages/learn.py", pick=False):
    st.html(_STYLE)
    st.title("Learn")
    view.show()
