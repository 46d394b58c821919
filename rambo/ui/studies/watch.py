"""A study at work: its state, its cells filling in, and the buttons that stop, resume and delete it."""

import streamlit as st

from rambo.errors import RamboError
from rambo.figures import theme
from rambo.runs import jobs
from rambo.runs.workspace import Run
from rambo.studies.table import CellProgress, StudyTable
from rambo.text import count, literal
from rambo.ui import controls, frame, pace, readers, state, visitor
from rambo.ui.studies import records

_WIDTHS = [4, 2.6, 2, 3.6]  # of a cell's row: what, state, trials, links
_TICK = 2.0  # seconds between two looks
_ENDINGS = {
    "stopped": "Stopped on request. Everything that was finished is kept; Resume goes on from there.",
    "interrupted": "Stopped unexpectedly: the worker process is gone, killed or switched off. Everything that was "
    "finished is kept; Resume goes on from there.",
}


def show(study: Run) -> None:
    """Draw state and cells, and keep them up to date while the study is worked on.

    The rest of the page is drawn anew only when a result came or a state changed.
    """
    table = records.table(study)
    live = table.status in jobs.LIVE
    st.fragment(_body, run_every=_TICK if live else None)(study, _state_of(table))
    if not live:
        pace.await_news(lambda: readers.status(study))


def delete_button(study: Run, run: Run | None) -> None:
    """Draw the button that asks before it deletes a study."""
    if visitor.may_edit() and st.button("Delete", icon=":material/delete:", key="study-delete"):
        controls.confirm_deletion(
            "study",
            f"**{literal(study.id)}** and its log will be gone for good. The runs of its cells stay: they are listed "
            "on Home, and can be deleted there.",
            lambda: records.workspace().delete(study),
            lambda: state.go("pages/studies.py", run.id if run else None),
            subject=study.id,
            key="study-delete",
        )


def done(table: StudyTable) -> int:
    """Return how many cells are done."""
    return sum(cell.status == "done" for cell in table.cells)


def _state_of(table: StudyTable) -> tuple[object, ...]:
    """Return what the page is drawn anew for when it changes."""
    cells = [(cell.run, cell.status, cell.done) for cell in table.cells]
    return table.status, *cells


def _body(study: Run, before: tuple[object, ...]) -> None:
    """Draw everything that changes while a study is worked on."""
    with frame.guard():
        table = records.table(study)
        if _state_of(table) != before:
            st.rerun()
        _state(study, table)
        ended = table.status == "done"
        with st.expander("Cells", expanded=not ended, icon=":material/grid_on:"):
            for place, cell in enumerate(table.cells):
                _cell(place, cell)


def _state(study: Run, table: StudyTable) -> None:
    """Draw the state, how far the study has come, and the buttons that fit."""
    status, message = readers.status(study)
    with st.container(horizontal=True, vertical_alignment="center"):
        frame.badge(status)
        controls.stop_button(study, status, key="study")
        controls.resume_button(study, status, key="study")
        if status not in jobs.LIVE:
            delete_button(study, _run_of_address())
    cells = table.cells
    if status != "done":
        words = f"{done(table)} of {count(len(cells), 'cell')}"
        at_work = [cell for cell in cells if cell.status in jobs.LIVE and cell.run]
        doing = f"  \nNow: {literal(at_work[0].label)}, {_doing(at_work[0].run)}" if at_work else ""
        parts = [min(1.0, cell.done / max(1, cell.total)) for cell in cells]
        st.progress(sum(parts) / max(1, len(cells)), text=f"{words}{doing}")
    if status == "failed":
        st.error(literal(jobs.without_folders(message), 500), icon=":material/error:")
    elif status in _ENDINGS:
        st.info(_ENDINGS[status], icon=":material/info:")


def _doing(name: str | None) -> str:
    """Return what the run of a cell is at, as Markdown."""
    if name is None:
        return "starting"
    run = Run(state.workspace().root / name)
    try:
        now = readers.progress(run)
    except RamboError:
        return "starting"
    if now is None:
        return literal(readers.status(run)[1], 120) or "starting"
    return now.words() if now.trial is None else f"trial {now.trial + 1}: {now.words()}"


def _cell(place: int, cell: CellProgress) -> None:
    """Draw one cell: what it is, how far it is, and where its run is to be seen."""
    what, status, trials, links = st.columns(_WIDTHS, vertical_alignment="center")
    what.markdown(literal(cell.label))
    with status:
        if cell.status in theme.STATES:
            frame.badge(cell.status)
        else:
            st.caption("not begun")
    if cell.run:
        trials.caption(f"{cell.done:,} of {count(cell.total, 'result')}")
        with links, st.container(horizontal=True, key=f"cell-{place}"):
            state.link("pages/train.py", cell.run, "Train")
            state.link("pages/compare.py", cell.run, "Compare")


def _run_of_address() -> Run | None:
    """Return the run in the address, if there is one."""
    typed = state.requested()
    return state.find_run(typed) if typed else None
