"""The page of terms: every symbol with its words, the paper's place, and the step in which to touch it."""

import streamlit as st

from rambo.ui import state
from rambo.ui.terms import TERMS


def show() -> None:
    """Draw the table of terms."""
    word = st.text_input(
        "Look for",
        key="word",
        bind="query-params",
        placeholder="a symbol or a word, such as margin",
    )
    query = word.strip().lower()
    rows = [
        term
        for term in TERMS.values()
        if query in f"{term.symbol} {term.name} {term.meaning}".lower()
    ]
    if not rows:
        st.info("No term has this in it.", icon=":material/search_off:")
    for term in rows:
        with st.container(border=True, key=f"term-{term.symbol}"):
            st.html(f"<b>{term.marked}</b> &nbsp; {term.name}")
            st.markdown(term.meaning.replace("_", "\\_"))
            with st.container(horizontal=True, vertical_alignment="center"):
                st.caption(f"Paper: {term.paper}")
                if term.step:
                    run = st.query_params.get("run")
                    state.link("pages/learn.py", run, "Touch it", step=term.step)
