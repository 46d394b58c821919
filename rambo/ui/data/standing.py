"""Load a dataset, or say where it stands and how to get it."""

import time

import streamlit as st

from rambo.datasets import catalog
from rambo.datasets.prepared import Prepared
from rambo.runs.workspace import Run
from rambo.text import literal
from rambo.ui import frame, library, readers
from rambo.ui.data import choice

_MEGABYTES = {"mnist": 12, "fashion-mnist": 31, "cifar10": 170, "svhn": 246}  # to download


def load_dataset(name: str, run: Run | None) -> Prepared | None:
    """Return the dataset, or draw where it stands and how to get it."""
    if not name:
        st.info("Type the path of a file, or send one.", icon=":material/upload_file:")
        return None
    if name == choice.RUN and run is not None:
        return readers.dataset(run)
    if name == library.SHIPPED:
        return library.ensure(name)
    own = library.is_own(name)
    if name not in catalog.CATALOG and not own and not choice.is_archive(name):
        st.warning(
            f"There is no .npz file {literal(name, 200)} on this machine. "
            "Check the path, or send the file from your computer.",
            icon=":material/search_off:",
        )
        return None
    data = library.open_named(name)
    if data is None:
        _show_standing(name)
    return data


def _show_standing(name: str) -> None:
    """Draw where a dataset stands that is not ready, with the way out."""
    standing = library.standing(name)
    if standing.state == "preparing":
        began = st.session_state.setdefault(f"data-began-{name}", time.time())
        _show_preparing(name, began)
    elif standing.state == "failed":
        st.session_state.pop(f"data-began-{name}", None)
        st.error(literal(standing.message, 500), icon=":material/error:")
        st.button("Try again", icon=":material/refresh:", on_click=library.retry, args=(name,))
    elif name in catalog.CATALOG:
        _show_missing(name)
    else:
        st.info("This file has not been read yet.", icon=":material/description:")
        st.button("Read it", type="primary", on_click=library.retry, args=(name,))


def _show_missing(name: str) -> None:
    """Say that a dataset is not on this machine, and how it comes here, with the internet and without."""
    entry = catalog.CATALOG[name]
    st.info(
        f"**{name}** is not ready on this machine yet. RAMBO takes its files from the data folder, "
        f"or downloads them once (about {_MEGABYTES[name]} MB, needs the internet).",
        icon=":material/cloud_download:",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Get it", type="primary", on_click=library.retry, args=(name,))
        st.caption(f"{literal(entry.source, 200)} · Licence: {literal(entry.licence)}")
    with st.expander("Without internet"):
        st.markdown(
            f"Put {', '.join(f'`{file}`' for file in entry.files)} into the folder `{entry.folder}` below "
            "`data/downloads`, or below the folder that `RAMBO_DATA` names. Then choose **Get it**."
        )


@st.fragment(run_every=1)
def _show_preparing(name: str, began: float) -> None:
    """Show that another process prepares the dataset, until it ends."""
    with frame.guard():
        if library.standing(name).state != "preparing":
            st.rerun()
        doing = "the file is read and checked"
        if name in catalog.CATALOG:
            doing = "the files are read, checked and, where they are missing, downloaded"
        st.info(
            f"Preparing for {max(time.time() - began, 0):.0f} s: {doing}. "
            "You may leave this page and come back.",
            icon=":material/hourglass_top:",
        )
