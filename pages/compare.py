"""Compare: RAMBO beside its rivals."""

import streamlit as st

from rambo.ui import frame
from rambo.ui.compare import compare_view

_STYLE = """
<style>
@media (max-width: 1150px) {
  .block-container { padding-left: 1.5rem; padding-right: 1.5rem; }
  [class*="st-key-compare-wide"] [data-testid="stHorizontalBlock"] { flex-wrap: wrap; }
  [class*="st-key-compare-wide"] [data-testid="stColumn"] { min-width: 100%; }
}
</style>
"""

with frame.page("pages/compare.py") as run:
    st.html(_STYLE)
    st.title("Compare")
    if run is None:
        frame.no_run("There is nothing to compare yet.")
    else:
        frame.header(run)
        compare_view.show(run)
