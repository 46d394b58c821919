"""Configure: choose data, budgets and method, see what it will cost, start."""

import streamlit as st

from rambo.ui import frame, readers
from rambo.ui.configure import cost_card, dataset_line, draft, fields, fill, forms, settings

with frame.page("pages/configure.py", pick=False) as run:
    st.title("Set up a run")
    complaint = draft.take_address()
    now = draft.current()
    fill.pick_start(now, run)
    if complaint:
        frame.warn(complaint, icon=":material/link_off:")
    name = now.values["dataset.name"]
    opened = dataset_line.open_data(name)
    devices = readers.devices()
    checked = settings.check(now.values, opened.data, devices.names if devices else None)
    if opened.complaint:
        checked.complaints["dataset.name"] = opened.complaint
    form, card = st.columns([4, 3], gap="medium")
    with form:
        below = {fields.DATA: lambda: dataset_line.show(name, opened)}
        draw = forms.show if forms.pick_depth() else forms.show_few
        draw(forms.FieldContext.of(now, checked, opened.data), below)
        fill.transfer(now, checked.config)
    with card:
        cost_card.show(checked.config, opened.data, checked.complaints)
