"""The images of a collection, a page at a time: the browser gets the thumbnails that it shows, and no others."""

from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from rambo.collection.records import LABELED, POOL, TEST, UNKNOWN, VALIDATION, Snapshot
from rambo.errors import RamboError, shorten
from rambo.text import count, literal
from rambo.ui import collections
from rambo.ui.collections import OpenCollection
from rambo.ui.components import gallery
from rambo.ui.data import address

_PAGE = 600  # thumbnails of a page: a sheet of some hundred kilobytes
_ROLES = {"labeled": LABELED, "validation": VALIDATION, "test": TEST, "unlabeled": POOL}
_ALL = "all images"
_WORDS = {LABELED: "labeled", VALIDATION: "validation", TEST: "test", POOL: "no label yet"}

Rows = NDArray[np.int64]


def show_images(opened: OpenCollection) -> None:
    """Draw the images of a role and a class, in the order of their files."""
    st.header("Images")
    now = opened.now
    with st.container(horizontal=True, vertical_alignment="bottom"):
        role = _pick_role(now)
        label = _pick_class(now)
    rows = matching(now, role, label)
    pages = max(1, -(-len(rows) // _PAGE))
    key = f"own-page-{now.slug}-{role}-{label}"
    if key in st.session_state:
        st.session_state[key] = min(st.session_state[key], pages)
    page = st.pagination(pages, key=key) if pages > 1 else 1
    first = (page - 1) * _PAGE
    part = rows[first : first + _PAGE]
    span = f"{first + 1:,} to {first + len(part):,} of " if pages > 1 else ""
    st.caption(
        f"{span}{count(len(rows), 'image')}, in the order of their files. Double click one, or press Enter on it, to "
        "see its original."
    )
    show_gallery(opened, part.tolist(), key=f"own-images-{now.slug}", opens="own")


def matching(now: Snapshot, role: str | None, label: int | None) -> Rows:
    """Return the rows of a role and a class; None stands for all."""
    keep = np.ones(len(now), dtype=bool)
    if role is not None:
        keep &= now.roles == _ROLES[role]
    if label is not None:
        keep &= now.labels == label
    return np.flatnonzero(keep)


def _pick_role(now: Snapshot) -> str | None:
    """Return the role to look at, or None for all."""
    sizes = {word: len(now.rows(role)) for word, role in _ROLES.items()}
    options = [_ALL, *(word for word, size in sizes.items() if size)]
    requested = st.query_params.get("pool")
    chosen = st.selectbox(
        "Show",
        options,
        index=options.index(requested) if requested in options else 0,
        format_func=lambda word: _ALL if word == _ALL else f"{word} ({sizes[word]:,})",
        key=f"own-role-{now.slug}-{now.version}",
        on_change=_remember,
        args=("pool", f"own-role-{now.slug}-{now.version}"),
        width=220,
    )
    return None if chosen == _ALL else chosen


def _pick_class(now: Snapshot) -> int | None:
    """Return the class to look at, or None for all."""
    if not now.classes:
        return None
    requested = address.number("label", len(now.classes))
    chosen = st.selectbox(
        "Class",
        range(-1, len(now.classes)),
        index=0 if requested is None else requested + 1,
        format_func=lambda label: "any" if label < 0 else shorten(now.classes[label], 60),
        key=f"own-class-{now.slug}-{now.version}",
        on_change=_remember,
        args=("label", f"own-class-{now.slug}-{now.version}"),
        width=220,
    )
    return None if chosen < 0 else chosen


def _remember(name: str, key: str) -> None:
    """Put a filter into the address."""
    address.forget(name)
    if st.session_state[key] not in (_ALL, -1):
        st.query_params[name] = str(st.session_state[key])


def show_gallery(
    opened: OpenCollection,
    rows: Sequence[int],
    *,
    key: str,
    opens: str,
    more: Mapping[int, str] | None = None,
) -> None:
    """Draw some images, each to be opened.

    Args:
        opened: the collection.
        rows: of the newest version, distinct.
        key: of the gallery.
        opens: tells the openers of one page apart.
        more: what else to say of a row.
    """
    now, added = opened.now, more or {}
    result = gallery(
        collections.sheet(opened, rows),
        rows,
        key=key,
        multi=False,
        size=64,
        captions={row: f"{_caption(now, row)}\n{added.get(row, '')}".strip() for row in rows},
        max_height=420,
        label="Images",
    )
    if result.opened is not None and result.opened in rows:
        _enlarged(opened, result.opened, added.get(result.opened, ""))


def _caption(now: Snapshot, row: int) -> str:
    """Return the name of an image and what is known of it."""
    label = now.labels[row]
    label_word = "no label yet" if label == UNKNOWN else now.classes[label]
    return f"{shorten(now.files[row], 100)}\n{label_word}"


@st.dialog("One image", width="small")
def _enlarged(opened: OpenCollection, row: int, more: str) -> None:
    """Show one image large, with what is known of it."""
    now = opened.now
    try:
        st.image(collections.original(opened, row), alt=shorten(now.files[row], 100))
    except RamboError as error:
        st.warning(literal(error, 300), icon=":material/broken_image:")
    label = now.labels[row]
    words = "No label yet" if label == UNKNOWN else literal(now.classes[label])
    st.markdown(f"**{words}** &nbsp; {_WORDS[int(now.roles[row])] if label != UNKNOWN else ''}")
    st.caption(
        f"{literal(now.files[row], 200)} · {now.widths[row]:,} x {now.heights[row]:,} pixels, {literal(now.modes[row])}"
    )
    number = int(now.numbers[row])
    for entry in [entry for entry in now.entries if entry.image == number][-5:]:
        answer = entry.answer if entry.label is None else entry.label
        by = f", {literal(entry.annotator, 40)}" if entry.annotator else ""
        st.caption(
            f"version {entry.version}: {literal(answer)} from {literal(entry.origin, 100)}{by}"
        )
    if more:
        st.caption(literal(more, 300))
