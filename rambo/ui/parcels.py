"""Runs that travel: one brought from another machine, one to take along."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import streamlit as st

from rambo.runs import travel
from rambo.runs.run import Run
from rambo.text import literal
from rambo.ui import downloads, frame, state, visitor

LIMIT_MB = 500  # of a file that a page takes; the command line takes any


def bring() -> None:
    """Let an editor send a run that was packed elsewhere."""
    if not visitor.may_edit():
        return
    with st.expander("Bring a run from another machine", icon=":material/move_to_inbox:"):
        st.caption(
            "A file that somebody made with **Take the whole run along** on the page Batch, or with the command "
            "rambo pack. Its images come along where they are not from the catalog."
        )
        file = st.file_uploader(
            "Packed run",
            type="zip",
            key="parcel",
            max_upload_size=LIMIT_MB,
            accept_multiple_files=False,
        )
        with frame.guard():
            if file is not None and st.button("Unpack it", type="primary", key="parcel-unpack"):
                with visitor.acting("import") as called, st.spinner("Checking every file in it"):
                    parcel = _unpack(file)
                    called(parcel.run)
                for notice in parcel.notices:
                    frame.notify(notice)
                state.go("pages/batch.py", parcel.run)


def _unpack(stream: BinaryIO) -> travel.Parcel:
    """Return the run in an upload; the upload itself is not kept."""
    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        while block := stream.read(1 << 20):
            file.write(block)
        file.flush()
        return travel.unpack(Path(file.name), state.workspace())


def take(run: Run) -> None:
    """Offer the whole run as one file."""
    with st.expander("Take the whole run along", icon=":material/luggage:"):
        st.caption(
            "Settings, results, maps and images of your own in one file: another machine opens it on Home, "
            "with every page as here. No path and no address of this machine is in it. On the command line:"
        )
        st.code(f"python -m rambo pack {run.id} --out {run.id}.zip", language="bash")
        pictures = st.checkbox(
            "With my images",
            value=True,
            key="pack-images",
            help="Images of the catalog never travel: the other machine has them, or gets them.",
        )
        downloads.button(
            f"Download the run {'with' if pictures else 'without'} my images",
            _packer(run, pictures=pictures),
            f"{literal(run.id, 80)}.zip",
            "application/zip",
            key="pack-download",
            icon=":material/download:",
        )


def _packer(run: Run, *, pictures: bool) -> Callable[[], bytes]:
    """Return what packs a run; it is called in a thread without a session."""
    workspace = state.workspace()  # the bytes are made in another thread

    def pack() -> bytes:
        with tempfile.TemporaryDirectory(prefix="rambo-") as folder:
            target = Path(folder) / f"{run.id}.zip"
            travel.pack(run, workspace, target, pictures=pictures)
            return target.read_bytes()

    return visitor.noting(pack, run.id, "the whole run")
