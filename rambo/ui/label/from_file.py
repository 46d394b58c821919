"""Labels from a file: sent, looked at, then taken, and taken back where that was wrong."""

import streamlit as st

from rambo.collection import intake, limited
from rambo.collection.intake import Preview
from rambo.collection.readers import tables
from rambo.collection.readers.items import display
from rambo.errors import DataError
from rambo.storage.files import RefusedError
from rambo.text import literal
from rambo.ui import frame
from rambo.ui.label import desk
from rambo.ui.label.round_data import Round

_MOST = 200_000_000


@st.fragment
def show(held: Round) -> None:
    """Draw the way of files."""
    with frame.guard():
        st.markdown(
            "A CSV or JSON lines with the file and the label, our own table with one more column, or Label Studio's "
            "JSON export of the tasks from Batch. Rows find their images by name, index or hash, never by their "
            "order; half of the answers today and the rest tomorrow is fine."
        )
        sent = st.file_uploader(
            "File with labels",
            type=["csv", "tsv", "txt", "json", "jsonl", "ndjson"],
            key="label-file",
        )
        with st.container(horizontal=True):
            accept = st.checkbox("Accept new classes", key="label-accept")
            overwrite = st.checkbox("Overwrite labels that disagree", key="label-overwrite")
        if sent is not None:
            shown = _preview(held, sent.name, sent.getvalue(), accept, overwrite)
            _tell(shown)
            st.button(
                "Take these labels" if shown.entries else "Nothing to add",
                type="primary",
                disabled=not shown.entries,
                on_click=_take,
                args=(held, shown),
                key="label-take-file",
            )
        desk.undo_button(held, key="label-undo-file")
        st.caption(
            f"On the command line: `python -m rambo label {held.collection.slug} FILE --run {held.run.id}`, "
            "with `--dry-run` to look first and `--undo` to take the last labels back."
        )


def _preview(held: Round, name: str, data: bytes, accept: bool, overwrite: bool) -> Preview:
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
        raise DataError(str(error), field="file", value=where) from error
    return intake.preview(
        held.collection,
        table,
        request=held.request,
        accept_new_classes=accept,
        overwrite=overwrite,
    )


def _tell(shown: Preview) -> None:
    """Draw the counts, and what each needs."""
    st.success(f"{literal(shown.source)}: {shown.sentence()}", icon=":material/fact_check:")
    for line in shown.details():
        st.caption(literal(line, 500))


def _take(held: Round, shown: Preview) -> None:
    """Store what was shown."""
    with frame.calmly():
        version = intake.take(held.collection, shown)
        frame.notify(f"The collection is version {version}." if version else "Nothing was new.")
