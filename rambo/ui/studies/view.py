"""The body of the page Studies: a new study and the earlier ones, or the one in the address."""

import streamlit as st

from rambo.errors import RunNotFoundError
from rambo.runs.workspace import Run
from rambo.studies.grid import STUDIES
from rambo.studies.table import StudyTable
from rambo.text import count, literal, moment
from rambo.ui import controls, frame, readers, state
from rambo.ui.configure import dataset_line, draft
from rambo.ui.studies import cost_card, form, records, results, setup, watch
from rambo.ui.studies.records import Listed
from rambo.ui.studies.results import dataset_word

_PAGE = "pages/studies.py"
_LISTED = 10  # earlier studies in sight
_WIDTHS = [5, 2.6, 2.4, 1.8]  # of their rows: what, state, how far, link


def show(run: Run | None) -> None:
    """Draw the study in the address, or else what sets one up and lists the earlier ones.

    Args:
        run: of the address, which every link keeps.
    """
    name = st.query_params.get("study")
    if not name:
        _show_new(run)
        return
    try:
        study = records.find(name)
    except RunNotFoundError as error:
        st.error(literal(error, 200), icon=":material/search_off:")
        _link(run, "See all studies")
        return
    _show_study(study, run)


def _show_new(run: Run | None) -> None:
    """Draw the form, its price, and the earlier studies."""
    st.caption(
        "A study asks one question of the paper: it runs every cell of one table or figure with the same trials, and "
        "lays your numbers beside the printed ones."
    )
    earlier = records.listing()
    if not earlier:
        st.info(
            "No studies yet. Pick a question, look at the price, and start.",
            icon=":material/science:",
        )
    now = form.choices()
    opened = dataset_line.open_data(now.dataset)
    devices = readers.devices()
    names = devices.names if devices else None
    checked = setup.check(now, draft.current().values, opened.data, names)
    if opened.complaint:
        checked.complaints["dataset.name"] = opened.complaint
    left, right = st.container(key="studies-wide").columns([5, 6], gap="large")
    with left:
        st.header("Which question")
        form.show_questions()
    with right:
        st.header("On what")
        form.show_settings(now, opened, checked)
        cost_card.show(now, checked, opened.data, run)
    if earlier:
        _show_earlier(earlier, run)


def _show_earlier(earlier: list[Listed], run: Run | None) -> None:
    """List the studies there are, the newest first."""
    st.header("Studies so far")
    pages = -(-len(earlier) // _LISTED)
    if "studies-page" in st.session_state:  # fewer pages than before: the last one there is
        st.session_state["studies-page"] = min(st.session_state["studies-page"], pages)
    first = (st.session_state.get("studies-page", 1) - 1) * _LISTED
    for listed in earlier[first : first + _LISTED]:
        with frame.guard():
            _row(listed, run)
    if pages > 1:
        st.pagination(pages, key="studies-page")


def _row(listed: Listed, run: Run | None) -> None:
    """Draw one earlier study."""
    study = listed.run
    with st.container(border=True, key=f"study-row-{study.run}"):
        what, badge, far, link = st.columns(_WIDTHS, vertical_alignment="center")
        with what, st.container(gap=None):
            kind = STUDIES.get(listed.name)
            title = kind.title if kind else listed.name or study.run
            st.markdown(f"**{literal(title)}** · {literal(dataset_word(study.dataset or '-'), 60)}")
            source = f"{literal(kind.source)} · " if kind else ""
            st.caption(f"{source}{moment(study.created)} · {literal(study.run)}")
        with badge:
            frame.badge(study.status)
        if listed.cells:
            far.caption(f"{listed.done:,} of {count(listed.cells, 'cell')}")
        with link:
            _link(run, "Open", study=study.run)


def _show_study(study: Run, run: Run | None) -> None:
    """Draw one study: what it asks, how it goes, what it found."""
    status, message = readers.status(study)
    _link(run, "All studies, or a new one")
    if status == "unreadable":
        st.error(literal(message, 500), icon=":material/broken_image:")
        watch.delete_button(study, run)
        return
    table = None
    with frame.guard():
        records.planned(study)
        table = records.table(study)
    if table is None:
        watch.delete_button(study, run)
        return
    _header(study, table)
    watch.show(study)
    with frame.guard():
        results.show(study)
    controls.show_log(study, status, "study")


def _header(study: Run, table: StudyTable) -> None:
    """Draw the question and what it is asked of."""
    config = table.base
    st.header(literal(table.title))
    st.markdown(f"{literal(table.question, 300)} &nbsp; :gray[{literal(table.source)}]")
    st.caption(
        f"Study {literal(study.id)} · {literal(dataset_word(table.dataset), 60)} · k = {config.k:,}, "
        f"B = {config.budget:,}, b = {config.acquisition.batch_size:,} · "
        f"{count(config.trials, 'trial')} from seed {config.seed:,} · {moment(study.created())}"
    )


def _link(run: Run | None, label: str, **address: str) -> None:
    """Draw a link to this page that keeps the run."""
    state.link(_PAGE, run.id if run else None, label, **address)
