"""What hides images of a batch, each as a chip with a cross: no filter works out of sight, whichever tab is open."""

import dataclasses
from collections.abc import Callable
from typing import Any

import streamlit as st

from rambo.text import count, literal
from rambo.ui.batch import tagging
from rambo.ui.batch.batch_data import Batch
from rambo.ui.batch.map_view import (
    clear_lasso,
    clear_marks,
    gallery_key,
    lasso_of,
    map_key,
    marks,
)

_WHOLE = (0.0, 1.0)


@dataclasses.dataclass(frozen=True)
class Chip:
    """One filter that is on.

    Attributes:
        name: ends the widget's key.
        label: what it leaves.
        drop: takes it away; called before the page is drawn again.
    """

    name: str
    label: str
    drop: Callable[[], None]


def guesses_key(batch: Batch) -> str:
    """Return the key of the filter by class."""
    return f"guesses-{batch.key}"


def keep(batch: Batch) -> None:
    """Keep the filters while another tab is open: Streamlit forgets the state of what is not drawn."""
    keys = [
        "step",
        "only",
        "margins",
        "sort",
        "as",
        "size",
        "map",
        guesses_key(batch),
        tagging.filter_key(batch),
        map_key(batch),
    ]
    for key in [*keys, gallery_key(batch)]:
        if key in st.session_state:
            st.session_state[key] = st.session_state[key]


def chips(batch: Batch) -> list[Chip]:
    """Return the filters that are on, and the selection."""
    state = st.session_state
    last = int(batch.steps.max(initial=0)) + 1
    step = int(state.get("step") or last)
    result = []
    if batch.stepwise and state.get("only"):
        result.append(Chip("only", f"Only step {step} of {last}", _setter(only=False, step=last)))
    elif batch.stepwise and step < last:
        result.append(Chip("step", f"Up to step {step} of {last}", _setter(step=last)))
    key = guesses_key(batch)
    for guess in state.get(key) or []:
        others = [other for other in state[key] if other != guess]
        word = literal(batch.class_name(guess), 40)
        result.append(Chip(f"guess-{guess}", f"f guesses {word}", _setter(**{key: others})))
    key = tagging.filter_key(batch)
    for tag in state.get(key) or []:
        others = [other for other in state[key] if other != tag]
        noted = tag == tagging.WITH_NOTE
        label = "With a note" if noted else f"Tag {literal(tag, 40)}"
        name = "note" if noted else f"tag-{tag}"
        result.append(Chip(name, label, _setter(**{key: others})))
    low, high = state.get("margins") or _WHOLE
    if (low, high) != _WHOLE:
        label = f"Margin {low:.2f} to {high:.2f}"
        result.append(Chip("margins", label, _setter(margins=_WHOLE)))
    lasso = lasso_of(batch)
    if lasso is not None:
        label = f"Inside the lasso: {count(len(lasso), 'image')}"
        result.append(Chip("lasso", label, lambda: clear_lasso(batch)))
    if marked := marks(batch):
        result.append(Chip("marks", f"{len(marked):,} selected", lambda: clear_marks(batch)))
    return result


def show(batch: Batch) -> None:
    """Draw the chips, if any, in a place that is always there: else all below it would be drawn anew."""
    shelf = chips(batch)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="chips"):
        if not shelf:
            return
        st.caption(":material/filter_alt: On Images:", width="content")
        for chip in shelf:
            st.button(
                chip.label,
                icon=":material/close:",
                icon_position="right",
                key=f"chip-{chip.name}",
                on_click=chip.drop,
                help="Take this away",
            )
        if len(shelf) > 1:
            st.button(
                "Clear all",
                type="tertiary",
                key="chip-all",
                on_click=_drop_all,
                args=(shelf,),
            )


def _drop_all(shelf: list[Chip]) -> None:
    """Take all filters away."""
    for chip in shelf:
        chip.drop()


def _setter(**values: Any) -> Callable[[], None]:
    """Return what writes these values into the session."""

    def write() -> None:
        """Write them."""
        for key, value in values.items():
            st.session_state[key] = value

    return write
