"""Studies: the paper's tables and figures, set up, watched and read."""

import streamlit as st

from rambo.ui import frame
from rambo.ui.studies import view

_STYLE = """
<style>
input[placeholder="empty"] + [data-testid="stNumberInputClearButton"] { display: none; }
.st-key-studies-cost [data-testid="stMetricValue"] { font-size: 1.7rem; }
.st-key-studies-cost h4 { font-size: 1.25rem; padding-top: 0; }
[class*="st-key-study-row"] [data-testid="stVerticalBlock"] { gap: 0.2rem; }
@media (max-width: 1150px) {
  .block-container { padding-left: 1.5rem; padding-right: 1.5rem; }
  [class*="st-key-studies-wide"] > [data-testid="stHorizontalBlock"] { flex-wrap: wrap; }
  [class*="st-key-studies-wide"] > [data-testid="stHorizontalBlock"] > [data-testid="stColumn"] { min-width: 100%; }
}
</style>
"""

with frame.page("pages/studies.py", pick=False) as run:
    st.html(_STYLE)
    st.title("Studies")
    view.show(run)
