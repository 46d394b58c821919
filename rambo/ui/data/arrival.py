"""How an import stands: live while it works, and the way on where it ended early."""

import streamlit as st

from rambo.collection.records import ImportProgress
from rambo.runs import imports
from rambo.runs.imports import ImportState
from rambo.text import count, duration, literal
from rambo.ui import frame, state, visitor
from rambo.ui.data import ways_in


def show_standing(slug: str, standing: ImportState, *, whole: bool) -> None:
    """Draw where an import stands, if there is anything to say.

    Args:
        slug: of the collection.
        standing: of its newest import.
        whole: whether an earlier import has made a version.
    """
    if standing.state == "running":
        _show_running(slug)
    elif standing.state == "failed":
        st.error(literal(standing.message, 500), icon=":material/error:")
        if whole:
            st.caption("The collection is as it was.")
        _offer(slug, "Try again", whole)
    elif standing.state == "stopped":
        st.info(_stopped(standing.progress), icon=":material/pause_circle:")
        _offer(slug, "Go on", whole)


def _stopped(progress: ImportProgress | None) -> str:
    """Return what became of an import that was stopped."""
    far = f" after {progress.step:,} of {count(progress.total, 'file')}" if progress else ""
    return f"The import was stopped{far}. What was read is kept and is not read twice."


def _offer(slug: str, again: str, whole: bool) -> None:
    """Draw the ways on: the same once more, another one, or none."""
    root = state.workspace().root
    before = imports.request_of(root, slug)
    with st.container(horizontal=True):
        if before is not None:
            st.button(
                again,
                type="primary",
                icon=":material/refresh:",
                key="import-again",
                disabled=not visitor.may_edit(),
                on_click=_again,
                args=(slug,),
            )
        st.button(
            "Leave it",
            icon=":material/close:",
            key="import-forget",
            disabled=not visitor.may_edit(),
            on_click=_forget,
            args=(slug, whole),
            help="Forgets this import."
            + (" The collection stays as it is." if whole else " Images of a folder stay there."),
        )
    if not whole:
        st.header("Change something and import again")
        ways_in.show_form(before=before)


def _again(slug: str) -> None:
    """Start the same import once more."""
    with frame.calmly():
        root = state.workspace().root
        before = imports.request_of(root, slug)
        if before is not None:
            with visitor.acting("import", slug, "again"):
                imports.begin(root, before)


def _forget(slug: str, whole: bool) -> None:
    """Forget the import; without a collection there is nothing left to stay at."""
    with frame.calmly():
        with visitor.acting("delete", slug, "an import that ended early"):
            imports.forget(state.workspace().root, slug)
        if not whole:
            st.query_params.pop("collection", None)
            st.query_params["dataset"] = ":new"


@st.fragment(run_every=1)
def _show_running(slug: str) -> None:
    """Draw how far the import is, until it ends."""
    with frame.guard():
        now = imports.standing(state.workspace().root, slug)
        if now.state != "running":
            st.rerun()
        share, words = _words(now.progress)
        st.progress(share, text=words)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                "Stop",
                icon=":material/stop:",
                key="import-stop",
                disabled=not visitor.may_edit(),
                on_click=_stop,
                args=(slug,),
                help="Ends at the next safe point. What was read is kept.",
            )
            st.caption("You may leave this page and come back: the import goes on.")


def _words(progress: ImportProgress | None) -> tuple[float, str]:
    """Return the share that is done, and how far that is in words."""
    if progress is None or not progress.total:
        return 0.0, "Looking at what is there"
    share = min(1.0, progress.step / progress.total)
    if progress.step >= progress.total:
        return 1.0, f"All {count(progress.total, 'file')} read; looking for images that repeat"
    eta = "" if progress.eta_seconds is None else f", {duration(progress.eta_seconds)} left"
    return share, f"{progress.step:,} of {count(progress.total, 'file')} read{eta}"


def _stop(slug: str) -> None:
    """Ask the import to end."""
    with frame.calmly(), visitor.acting("stop", slug, "an import"):
        imports.stop(state.workspace().root, slug)
        frame.notify("Stopping: what is read just now is finished first.")
