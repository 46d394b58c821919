"""The ways in for a person's own images: a folder of this machine, or files they send, and what they say of them."""

import dataclasses
from pathlib import Path
from typing import Any

import streamlit as st

from rambo.collection import collection as own
from rambo.collection.looks import SUFFIXES
from rambo.collection.records import Fit
from rambo.collection.splits import DEFAULT_SHARE, SHARE_REASON
from rambo.errors import ConfigError
from rambo.runs import imports
from rambo.runs.imports import ImportRequest
from rambo.text import literal, percent
from rambo.ui import allowed, collections, frame, state, visitor
from rambo.ui.data import address, upload

_FOLDER, _UPLOAD = "A folder or file on this machine", "Files I send from my computer"
_FITS: dict[Fit, str] = {
    "letterbox": "Letterbox: the whole image, the rest grey",
    "crop": "Crop: the middle fills the frame",
}
_DOUBLES = (".jpeg", ".jpe", ".jfif", ".dib", ".tiff")  # other names of a kind
_SHAPES = """
| what you have | how it is read |
| --- | --- |
| a folder or a zip | each sub-folder is a class; loose ones, and a folder `unlabeled`, have none yet |
| a table: `.csv`, `.jsonl`, Label Studio's `.json` | a column with the file and one with the label; rows may lack it |
| `.npz` | `images`, and `labels` if there are any (-1: nobody knows) |
| `.parquet` | Hugging Face's image datasets |
"""


@dataclasses.dataclass(frozen=True)
class _Form:
    """Which form it is: keys of its widgets, and the collection that grows, if one does."""

    key: str
    grows: str | None
    before: ImportRequest | None

    def state(self, name: str) -> str:
        """Return the key of a widget."""
        return f"{self.key}-{name}"


def show_welcome() -> None:
    """Say what happens with a person's own images, and draw the form that starts it."""
    st.header("Use my images")
    st.markdown(
        "Name a folder of pictures, of which a few have a label. RAMBO reads them, says whether anything is wrong "
        "with them, and then chooses which of the others are worth a label. Nothing leaves this machine."
    )
    show_form()


def show_form(*, grows: str | None = None, before: ImportRequest | None = None) -> None:
    """Draw the form that starts an import.

    Args:
        grows: the slug of the collection that gets more images; None for a new one.
        before: what was asked the last time, to begin with.
    """
    form = _Form(f"ways-in-{grows or 'new'}", grows, before)
    with st.container(border=True, key=f"{form.key}-box"):
        if grows is None:
            _name(form)
        folder = _way(form) == _FOLDER
        if folder:
            _path(form)
        else:
            _uploader(form)
        with st.expander("Size, validation images, groups", icon=":material/tune:"):
            _options(form, folder)
        pressed = st.button(
            "Import",
            type="primary",
            icon=":material/download:",
            key=form.state("start"),
            disabled=not visitor.may_edit(),
        )
        with st.expander("What can be read", icon=":material/help:"):
            st.markdown(_SHAPES)
            st.caption(
                f"Images: {', '.join(name[1:].upper() for name in SUFFIXES if name not in _DOUBLES)}, of any size. "
                "Originals of a folder stay where they are and are never changed."
            )
    if pressed:
        with frame.guard():
            _start(form, folder)


def _name(form: _Form) -> None:
    """Draw the field for the collection's name."""
    st.text_input(
        "Name of the collection",
        value=form.before.name if form.before else "",
        key=form.state("name"),
        placeholder="my photos",
        max_chars=60,
        help="A collection is your images and what is known of them. Left empty, it is called as its folder or file.",
    )


def _way(form: _Form) -> str:
    """Return where the images are."""
    if not allowed.folders_open():
        return _UPLOAD
    return st.segmented_control(
        "Where are the images?",
        [_FOLDER, _UPLOAD],
        default=_FOLDER,
        required=True,
        key=form.state("way"),
    )


def _path(form: _Form) -> None:
    """Draw the field for a path; nothing is looked up before the button is pressed."""
    first = form.before.sources[0] if form.before and form.before.sources else ""
    st.text_input(
        "Path of the folder, zip, .npz, table or parquet file",
        value=first,
        key=form.state("path"),
        placeholder="~/photos",
        help="`~` is your home folder. The images stay where they are.",
    )


def _uploader(form: _Form) -> None:
    """Draw the field for files."""
    endings = [*upload.ARCHIVES, *upload.TABLES, *SUFFIXES]
    st.file_uploader(
        "A zip, an .npz, parquet, single images; with a table of labels if you have one",
        type=[ending[1:] for ending in endings],
        accept_multiple_files=True,
        max_upload_size=upload.OWN_MB,
        key=form.state("files"),
    )


def _options(form: _Form, folder: bool) -> None:
    """Draw what a person may say of the images."""
    before = form.before
    if folder:
        left, right = st.columns(2)
        left.text_input(
            "Table of labels (path)",
            value=before.labels if before else "",
            key=form.state("labels"),
            placeholder="~/labels.csv",
            help="CSV, JSON lines or Label Studio's JSON: one column with the file name, one with the label.",
        )
        right.text_input(
            "A fixed test set (path)",
            value=before.test if before else "",
            key=form.state("test"),
            placeholder="none",
            help="Only if you have one: a folder or file whose images are never chosen and never learned from.",
        )
    st.text_input(
        "What belongs together",
        value=before.group if before else "",
        key=form.state("group"),
        placeholder="nothing",
        help="A column of the table, such as `patient` or `video`, or the word `folder`. Images of one group stay "
        "on one side of a split, and a batch holds only so many of a group as you allow.",
    )
    if form.grows is not None:
        return
    left, right = st.columns(2)
    left.number_input(
        "Working size in pixels",
        16,
        512,
        value=before.size if before else None,
        key=form.state("size"),
        placeholder="as the images, at most 96",
        help="Every image is brought to a square of this side to learn from. The originals are not changed.",
    )
    right.selectbox(
        "An image of another shape",
        list(_FITS),
        index=list(_FITS).index(before.fit) if before else 0,
        format_func=_FITS.__getitem__,
        key=form.state("fit"),
    )
    st.toggle(
        "Choose the share of validation images",
        value=bool(before and before.validation is not None),
        key=form.state("own-share"),
        help=f"Without it: {percent(DEFAULT_SHARE, 0)} of the labels, or the images that the source names.",
    )
    if st.session_state[form.state("own-share")]:
        start = before.validation if before and before.validation is not None else DEFAULT_SHARE
        st.slider(
            "Share of the labels for validation",
            0,
            50,
            round(100 * start),
            5,
            format="%d %%",
            key=form.state("share"),
        )
    st.caption(f"{SHARE_REASON[0].upper()}{SHARE_REASON[1:]}.")


def _start(form: _Form, folder: bool) -> None:
    """Start the import of what the form says, and open its page.

    Raises:
        RamboError: something is missing, or cannot be kept.
    """
    visitor.require("import")
    root = state.workspace().root
    sources, labels, test, stem = _sources(form, folder)
    request = ImportRequest(
        name=form.grows or _named(form, stem),
        sources=sources,
        labels=labels,
        test=test,
        validation=_value(form, "share") / 100 if _value(form, "own-share") else None,
        group=_text(form, "group"),
        size=_value(form, "size"),
        fit=_value(form, "fit") or "letterbox",
    )
    with visitor.acting("import", request.slug, ", ".join(Path(one).name for one in sources)):
        imports.begin(root, request)
    address.forget("dataset", "label", "other", "pool", "more")
    st.query_params["collection"] = request.slug
    st.rerun()


def _sources(form: _Form, folder: bool) -> tuple[tuple[str, ...], str, str, str]:
    """Return sources, table of labels, test set, and what the first source is called.

    Raises:
        RamboError: nothing was given, or it cannot be kept.
    """
    if folder:
        typed = [(name, _text(form, name)) for name in ("path", "labels", "test")]
        if not typed[0][1]:
            raise ConfigError("no path", field="images", hint="type the path of a folder or file")
        path, labels, test = (allowed.source(text, name) if text else "" for name, text in typed)
        return (path,), labels, test, Path(path).stem
    files = _value(form, "files") or []
    if not files:
        raise ConfigError("no files", field="images", hint="choose the files to send")
    with st.spinner("Keeping the files"):
        uploads = upload.keep_all(files, state.workspace().root)
    return uploads.sources, uploads.labels, "", Path(files[0].name).stem


def _named(form: _Form, stem: str) -> str:
    """Return the name of the new collection.

    Raises:
        ConfigError: there is one of that name.
    """
    name = _text(form, "name") or stem or "images"
    slug = own.slug_of(name)
    if slug in own.slugs(state.workspace().root) and not (form.before and form.before.slug == slug):
        namesake = collections.names()[slug]
        raise ConfigError(
            f"there is a collection {literal(namesake)} already",
            field="name",
            value=name,
            hint="give another name, or open that one and add the images to it",
        )
    return name


def _text(form: _Form, name: str) -> str:
    """Return what was typed into a field."""
    return str(_value(form, name) or "").strip()


def _value(form: _Form, name: str) -> Any:
    """Return what a widget holds, or None where it is not drawn."""
    return st.session_state.get(form.state(name))
