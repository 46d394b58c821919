"""Labels from a file: sent, looked at, then taken, and taken back where that was wrong."""

import streamlit as st

from rambo.collection import intake, limited
from rambo.collection.intake import Preview
from rambo.collection.readers import tables
from rambo.collection.readers.items import display
from rambo.collection.readers.sources import refusal
from rambo.errors import DataError
from rambo.storage.files import RefusedError
from rambo.text import literal
from rambo.ui import frame, visitor
from rambo.ui.label import desk
from rambo.ui.label.round_data import Round

_MOST = 200_000_000


@st.fragment
def show(current: Round) -> None:
    """Draw the way of files."""
    with frame.guard():
        st.markdown(
            "A CSV or JSON lines with the file and the label, our own table with one more column, Label Studio's "
            "JSON export of the tasks from Batch, or CVAT's annotations.xml. Rows find their images by name, index or "
            "hash, never by their order; half of the answers today and the rest tomorrow is fine."
        )
        file = st.file_uploader(
            "File with labels",
            type=["csv", "tsv", "txt", "json", "jsonl", "ndjson", "xml"],
            key="label-file",
        )
        with st.container(horizontal=True):
            accept = st.checkbox("Accept new classes", key="label-accept")
            overwrite = st.checkbox("Overwrite labels that disagree", key="label-overwrite")
        if file is not None:
            preview = _preview(current, file.name, file.getvalue(), accept, overwrite)
            _tell(preview)
            st.button(
                "Take these labels" if preview.entries else "Nothing to add",
                type="primary",
                disabled=not preview.entries or not visitor.may_edit(),
                on_click=_take,
                args=(current, preview),
                key="label-take-file",
            )
        desk.undo_button(current, key="label-undo-file")
        st.caption(
            f"On the command line: `python -m rambo label {current.collection.slug} FILE --run {current.run.id}`, "
            "with `--dry-run` to look first and `--undo` to take the last labels back."
        )


def _preview(current: Round, name: str, data: bytes, accept: bool, overwrite: bool) -> Preview:
    """Return what a file would change.

    Raises:
        DataError: it cannot be understood.
    """
    where = display(name)[:200]
    if len(data) > _MOST:
        raise DataError("over 200 MB", field="file", value=where, hint="give names and labels only")
    try:
        table = limited.call(tables.parse, data, where)
    except RefusedError as error:
        raise refusal(error, "file", where) from error
    return intake.preview(
        current.collection,
        table,
        request=current.request,
        accept_new_classes=accept,
        overwrite=overwrite,
    )


def _tell(preview: Preview) -> None:
    """Draw the counts, and what each needs."""
    st.success(f"{literal(preview.source)}: {preview.sentence()}", icon=":material/fact_check:")
    for line in preview.details():
        st.caption(literal(line, 500))


def _take(current: Round, preview: Preview) -> None:
    """Store what was shown."""
    with frame.calmly(), visitor.acting("label", current.collection.slug, preview.source):
        version = intake.take(current.collection, preview)
        frame.notify(f"The collection is version {version}." if version else "Nothing was new.")
