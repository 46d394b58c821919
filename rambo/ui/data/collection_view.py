"""The page of one collection: what it holds, whether it is healthy, its images, how it is split, its versions."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import streamlit as st

from rambo.collection import collection as own
from rambo.collection.collection import Collection
from rambo.collection.records import LABELED, POOL, TEST, UNKNOWN, VALIDATION
from rambo.collection.splits import SHARE_REASON
from rambo.errors import RamboError
from rambo.runs import imports, jobs
from rambo.text import count, literal, moment
from rambo.ui import collections, controls, frame, state, visitor
from rambo.ui.collections import OpenCollection
from rambo.ui.data import arrival, health_view, own_images, rehearsing, ways_in

_ROLES = ((LABELED, "Labeled"), (VALIDATION, "Validation"), (TEST, "Test"), (POOL, "Unlabeled"))
_VERSIONS = 20  # shown at once
_ICONS = {
    "import": ":material/download:",
    "labels": ":material/sell:",
    "split": ":material/call_split:",
    "undo": ":material/undo:",
}


def show_collection(slug: str) -> None:
    """Draw a collection, whatever state it is in."""
    root = state.workspace().root
    standing = imports.standing(root, slug)
    if slug not in own.slugs(root):
        if standing.state == "none":
            st.warning(
                f"There is no collection {literal(slug)}. Choose another one, or import your images.",
                icon=":material/search_off:",
            )
            return
        request = imports.request_of(root, slug)
        st.header(literal(request.name if request else slug, 80))
        arrival.show_standing(slug, standing, whole=False)
        return
    collection = own.find(root, slug)
    try:
        whole = bool(collection.versions())
    except RamboError as error:
        _show_damaged(collection, error)
        return
    if not whole:
        st.header(literal(collection.name, 80))
        if standing.state in ("none", "done"):
            _show_unborn(collection)
        arrival.show_standing(slug, standing, whole=False)
        return
    arrival.show_standing(slug, standing, whole=True)
    try:
        opened = collections.open_newest(collection)
    except RamboError as error:
        _show_damaged(collection, error)
        return
    _show_whole(opened)


def _show_damaged(collection: Collection, error: RamboError) -> None:
    """Say what is wrong with a record, and offer to take it away."""
    st.error(literal(jobs.without_folders(str(error)), 500), icon=":material/error:")
    st.caption(
        "The images of a folder lie where they lay: delete this collection and import them again, or put its folder "
        "back from a copy."
    )
    _delete_button(collection)


def _show_unborn(collection: Collection) -> None:
    """Say that no import has come to its end, and how one does."""
    st.info(
        "No import of this collection has come to its end yet. Import the images again: what was read already is not "
        "read twice.",
        icon=":material/hourglass_empty:",
    )
    ways_in.show_form(grows=collection.slug)
    _delete_button(collection)


def _show_whole(opened: OpenCollection) -> None:
    """Draw a collection that holds images."""
    _head(opened)
    with frame.guard():
        health_view.show_health(opened)
    left, right = st.columns([8, 4], gap="medium")
    with left, frame.guard():
        own_images.show_images(opened)
    with right:
        with frame.guard():
            _show_classes(opened)
        with frame.guard():
            _show_split(opened)
    with frame.guard():
        _show_versions(opened)


def _head(opened: OpenCollection) -> None:
    """Draw name, counts, and what to do next."""
    now = opened.now
    with st.container(gap="small"):
        st.header(literal(opened.name, 80))
        st.caption(
            f"{count(len(now), 'image')}, {count(len(now.classes), 'class', 'classes')}, version {now.version} · "
            f"Working size: {now.frame.sentence()}."
        )
    with st.container(horizontal=True, key="collection-counts"):
        for role, word in _ROLES:
            st.metric(word, f"{len(now.rows(role)):,}", width=150)
    with st.container(horizontal=True, vertical_alignment="center"):
        ready = len(now.classes) >= 2
        if st.button(
            "Open Configure with these",
            type="primary",
            icon=":material/arrow_forward:",
            key="collection-use",
            disabled=not ready,
            help=None if ready else "Two classes are needed first: label a few images of each.",
        ):
            state.go("pages/configure.py", dataset=f"{own.PREFIX}{now.slug}")
        rehearsing.show_button(opened)
        with st.popover("Add images", icon=":material/add_photo_alternate:", width="content"):
            ways_in.show_form(grows=now.slug)
        _delete_button(opened.collection)
    rehearsing.show_waiting(opened)


def _show_classes(opened: OpenCollection) -> None:
    """Draw how many images of each class there are, by role."""
    st.header("Classes")
    now = opened.now
    if not now.classes:
        st.caption("No image has a label, so no class is known.")
        return
    counts = {}
    for role, word in _ROLES[:3]:
        labels = now.labels[(now.roles == role) & (now.labels != UNKNOWN)]
        counts[word.lower()] = np.bincount(labels, minlength=len(now.classes))
    some = {word: column for word, column in counts.items() if column.any()}
    st.dataframe(
        pd.DataFrame({"class": list(now.classes), **some}),
        hide_index=True,
        height=min(38 + 35 * len(now.classes), 400),
        key="collection-classes",
    )
    st.caption(f"{len(now.rows(POOL)):,} more images have no label: nobody knows their class.")


def _show_split(opened: OpenCollection) -> None:
    """Draw the share of the labels that validates, and the way to change it."""
    st.header("Validation images")
    now, key = opened.now, f"collection-share-{opened.now.slug}-{opened.now.version}"
    labels = len(now.rows(LABELED)) + len(now.rows(VALIDATION))
    if labels < 2:
        st.caption("With fewer than two labels there is nothing to set aside.")
        return
    share = st.slider(
        "Share of the labels that validates",
        0,
        50,
        min(50, round(100 * opened.share)),
        5,
        format="%d %%",
        key=key,
    )
    st.caption(
        f"{SHARE_REASON[0].upper()}{SHARE_REASON[1:]}. Now {len(now.rows(VALIDATION)):,} of {labels:,} labels "
        "validate, class by class; images of one group, and near duplicates, stay together."
    )
    st.button(
        "Draw them anew",
        icon=":material/call_split:",
        key="collection-redraw",
        disabled=share == round(100 * opened.share) or not visitor.may_edit(),
        on_click=_redraw,
        args=(opened.collection, key),
        help="Makes a new version; the one before can be brought back below.",
    )


def _redraw(collection: Collection, key: str) -> None:
    """Draw S_val by the share on the slider."""
    share = st.session_state[key] / 100
    with frame.calmly(), visitor.acting("label", collection.slug, f"{100 * share:.0f} % validate"):
        version = collection.set_validation_share(share)
        frame.notify(f"Version {version}: the validation images were drawn anew.")


def _show_versions(opened: OpenCollection) -> None:
    """Draw what was done to the collection, the newest first, each to be taken back."""
    st.header("Versions")
    st.caption(
        "Every change makes a version, and every run names the one it used. Taking one back makes a version too."
    )
    versions = sorted(opened.versions, key=lambda version: version.number, reverse=True)
    for version in versions[:_VERSIONS]:
        live = version.number in opened.live
        with st.container(
            horizontal=True, vertical_alignment="center", key=f"version-{version.number}"
        ):
            words = f"{_ICONS.get(version.kind, '')} **{version.number}** &nbsp; {literal(version.note, 160)}"
            st.markdown(words if live else f"~~{words}~~ &nbsp; taken back", width="stretch")
            st.caption(_when(version.time), width="content")
            first = version.kind == "import" and version.number == versions[-1].number
            if live and not first and visitor.may_edit():
                st.button(
                    "Take back",
                    icon=":material/undo:",
                    type="tertiary",
                    key=f"undo-{version.number}",
                    on_click=_undo,
                    args=(opened.collection, version.number),
                )
    if len(versions) > _VERSIONS:
        st.caption(f"and {count(len(versions) - _VERSIONS, 'earlier version')}")


def _when(seconds: float) -> str:
    """Return a time of a version in this machine's own time zone."""
    return moment(datetime.fromtimestamp(seconds, UTC).isoformat())


def _undo(collection: Collection, version: int) -> None:
    """Take a version back."""
    with frame.calmly(), visitor.acting("label", collection.slug, f"took back {version}"):
        number = collection.undo(version)
        frame.notify(f"Version {number}: version {version} is taken back.")


def _delete_button(collection: Collection) -> None:
    """Draw the button that asks before it deletes."""
    if visitor.may_edit() and st.button(
        "Delete", icon=":material/delete:", key="collection-delete"
    ):
        controls.confirm_deletion(
            "collection",
            f"**{literal(collection.slug)}** with its labels and versions will be gone for good. Images of a folder "
            "stay where they are; those that came in a zip or were sent are deleted. Runs that used it stay.",
            lambda: _delete(collection),
            lambda: state.go("pages/data.py", dataset=":new"),
            subject=collection.slug,
            key="collection-delete",
        )


def _delete(collection: Collection) -> None:
    """Delete a collection and what was asked of it."""
    own.delete(collection)
    imports.forget(state.workspace().root, collection.slug)
