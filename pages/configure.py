"""Configure: choose data, budgets and method, see what it will cost, start."""

import streamlit as st

from rambo.text import literal
from rambo.ui import frame, readers
from rambo.ui.configure import cost_card, dataset_line, draft, fields, fill, forms, settings

# The card stays in sight beside a long form; only fields that may be left empty offer to be emptied.
_STYLE = """
<style>
[data-testid="stColumn"]:has(.st-key-cost-card) {
  position: sticky; top: 3.5rem; align-self: flex-start; max-height: calc(100vh - 4rem); overflow-y: auto;
}
[class*="st-key-group-"] { padding-bottom: 0.8rem; }
[class*="st-key-group-"] h4 { padding-bottom: 0; }
input[placeholder="empty"] + [data-testid="stNumberInputClearButton"] { display: none; }
.st-key-cost-card [data-testid="stMetricValue"] { font-size: 1.7rem; }
.st-key-cost-card h4, .st-key-outline-card h4 { font-size: 1.25rem; padding-top: 0; }
.st-key-outline-card p { font-size: 0.95rem; }
@media (max-width: 1150px) {
  .block-container { padding-left: 1.5rem; padding-right: 1.5rem; }
}
@media (min-width: 761px) and (max-width: 1150px) {
  [data-testid="stHorizontalBlock"]:has(> [data-testid="stColumn"] .st-key-cost-card) { flex-wrap: nowrap; }
  [data-testid="stColumn"]:has(.st-key-cost-card) { min-width: 16.5rem; }
  [data-testid="stColumn"]:has([class*="st-key-group-"]) { min-width: 0; }
}
</style>
"""

with frame.page("pages/configure.py", pick=False) as run:
    st.html(_STYLE)
    st.title("Set up a run")
    complaint = draft.take_address()
    now = draft.current()
    fill.pick_start(now, run)
    if complaint:
        st.warning(literal(complaint, 200), icon=":material/link_off:")
    name = now.values["dataset.name"]
    opened = dataset_line.open_data(name)
    devices = readers.devices()
    checked = settings.check(now.values, opened.data, devices.names if devices else None)
    if opened.complaint:
        checked.complaints["dataset.name"] = opened.complaint
    form, card = st.columns([5, 3], gap="medium")
    with form:
        below = {fields.DATA: lambda: dataset_line.show(name, opened)}
        forms.show(forms.Look.of(now, checked, opened.data), below)
        fill.transfer(now, checked.config)
    with card:
        cost_card.show(checked.config, opened.data, checked.complaints)
