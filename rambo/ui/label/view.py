"""The page Label for one run: who asked, and a tab for each way."""

import streamlit as st

from rambo.figures.theme import strategy_word
from rambo.runs.workspace import Run
from rambo.text import count, literal
from rambo.ui import frame, state
from rambo.ui.batch import batch_view
from rambo.ui.label import desk, from_file, model_view, round_data, rounds_view
from rambo.ui.label.round_data import Round

_TABS = ("By keyboard", "From a file", "Final model", "Rounds")


def show(run: Run) -> None:
    """Draw the page for one run."""
    if not round_data.asks(run):
        show_nothing_to_label(run)
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        strategy, trial = batch_view.pick_choice(run)  # nothing, where there is one of each
    with frame.guard():
        current = round_data.load(run, strategy, trial)
        if current is None:
            show_nothing_to_label(run)
        else:
            _show_round(current)


def _show_round(current: Round) -> None:
    """Draw what waits, and the tabs."""
    st.markdown(
        f"**{literal(strategy_word(current.strategy))}** chose **{count(len(current.request.numbers), 'image')}** of "
        f"{literal(current.collection.name)} to be labeled."
    )
    for notice in current.notices:
        st.caption(f":material/info: {literal(notice, 400)}")
    tabs = st.tabs(_TABS, key="label-view", on_change="rerun", bind="query-params")
    for tab, draw in zip(
        tabs, (desk.show, from_file.show, model_view.show, rounds_view.show), strict=True
    ):
        if tab.open:
            with tab:
                draw(current)


def show_nothing_to_label(run: Run) -> None:
    """Say what the page is for where every label is known already."""
    st.info(
        "This run chose from a dataset that knows every label, so it told them itself: there is nothing to label. "
        "With your own images, of which only some have a label, the chosen batch is labeled here: by keyboard, or "
        "from a file such as Label Studio's export. Then the final model is trained and the next round chosen.",
        icon=":material/new_label:",
    )
    with st.container(horizontal=True):
        state.link("pages/data.py", None, "Use my images")
        state.link("pages/batch.py", run.id, "See what was chosen")


def show_no_run() -> None:
    """Say what comes before."""
    frame.no_run("Here the chosen images get their labels; a run has to choose some first.")
