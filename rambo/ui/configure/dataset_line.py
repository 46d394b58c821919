"""The dataset of a draft, and the line under its field that says where it stands. Downloads only on a click."""

from dataclasses import dataclass

import streamlit as st

from rambo.collection.splits import few_labels
from rambo.datasets.prepared import LABELED, POOL, TEST, VALIDATION, Prepared
from rambo.errors import RamboError
from rambo.text import count, literal
from rambo.ui import frame, library

_MOST_CLASSES = 10


@dataclass(frozen=True)
class OpenDataset:
    """A dataset that was asked for: the data, or why there is none yet.

    `state` is `ready`, `missing`, `preparing`, `failed` or `unknown`; `message` says more where there is more to say.
    """

    data: Prepared | None
    state: str
    message: str = ""

    @property
    def complaint(self) -> str:
        """Why nothing can be started, in words."""
        return {
            "ready": "",
            "missing": "not on this machine yet: get it first",
            "preparing": "being prepared: one moment",
        }.get(self.state, self.message)


def open_data(name: object) -> OpenDataset:
    """Return the dataset of that name; shipped ones and collections are prepared on the way, others when asked."""
    available = isinstance(name, str) and (
        name in library.names() or name.lower().endswith(".npz") or library.is_own(name)
    )
    if not isinstance(name, str) or not available:
        return OpenDataset(
            None, "unknown", "choose one of the list, or type the path of an .npz file"
        )
    try:
        here = name == library.SHIPPED or library.is_own(name)  # nothing to download or to ask for
        data = library.ensure(name) if here else library.open_named(name)
    except RamboError as error:
        return OpenDataset(None, "failed", str(error))
    if data is not None:
        return OpenDataset(data, "ready")
    standing = library.standing(name)
    return OpenDataset(None, standing.state, standing.message)


def show(name: str, opened: OpenDataset) -> None:
    """Say what the dataset holds, or offer to get it."""
    if opened.data is not None:
        st.caption(_facts(opened.data))
        if opened.data.partly_labeled:
            roles = opened.data.roles
            labeled, own = (int((roles == role).sum()) for role in (LABELED, VALIDATION))
            for sentence in few_labels(labeled, own):
                st.caption(f":material/lightbulb: {literal(sentence, 900)}")
    elif opened.state == "preparing":
        _wait(name)
    elif opened.state in ("missing", "failed"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                "Try again" if opened.state == "failed" else "Get this dataset",
                icon=":material/download:",
                key="configure-prepare",
                on_click=library.retry,
                args=(name,),
            )
            st.caption(
                "Reads its files, and downloads them first where they are missing. It is done once, in the background.",
                width=420,
            )


@st.fragment(run_every=1)
def _wait(name: str) -> None:
    """Look every second whether the dataset is there."""
    with frame.guard():
        st.caption(f":material/hourglass_top: {literal(name)} is being prepared …")
        if library.standing(name).state != "preparing":
            st.rerun()


def _facts(data: Prepared) -> str:
    """Return what a dataset holds, as Markdown."""
    channels, height, width = data.images.shape[1:]
    pool, own, test = (int((data.roles == role).sum()) for role in (POOL, VALIDATION, TEST))
    colour = "grey" if channels == 1 else "colour"
    pools = f"{pool:,} to train on" + (f", {own:,} to check with" if own else "")
    if data.partly_labeled:
        labeled = int((data.roles == LABELED).sum())
        pools = f"{labeled:,} labeled to learn from, {own:,} to check with, {pool:,} to choose from"
    names = ", ".join(literal(name, 30) for name in data.classes[:_MOST_CLASSES])
    more = (
        f" and {len(data.classes) - _MOST_CLASSES:,} more"
        if len(data.classes) > _MOST_CLASSES
        else ""
    )
    return (
        f"{pools}, {test:,} to test with · {height} x {width}, {colour} · "
        f"{count(data.num_classes, 'class', 'classes')}: {names}{more}"
    )
