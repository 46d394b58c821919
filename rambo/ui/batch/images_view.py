"""The chosen images as a gallery or a table, linked with the map of all images."""

import dataclasses
import time
from typing import Any

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from rambo.runs.atlas import Indices
from rambo.text import count
from rambo.ui import frame
from rambo.ui.batch import batch_data, batch_table, chips, detail, edited, tagging
from rambo.ui.batch.batch_data import Batch
from rambo.ui.batch.map_view import (
    gallery_key,
    lasso_of,
    marks,
    set_marks,
    settle,
    show_map,
    version,
)
from rambo.ui.components import gallery

SIZES = 32, 112, 56  # least, greatest and first side of a thumbnail, pixels
_PLAYING, _STEP_START = "batch-playing", "batch-step-start"
_PACE = 0.9  # seconds that a replay shows a step
SORTS = ("order of choice", "margin", "class guess", "step")
_PAGE = 500  # images of a page of the gallery or the table
_PLAIN_HEIGHT = 420  # pixels of the plain gallery, which scrolls


@dataclasses.dataclass(frozen=True)
class View:
    """Which chosen images are shown, and in which order.

    Attributes:
        up_to: images chosen in this greedy step (from 0) or before; in a replay the step itself is marked.
        only: only those of that step.
        sort: one of `SORTS`.
        guesses: classes that f guesses; empty for all.
        margins: least and greatest margin.
        inside: ids inside the lasso, or None without one.
        tagged: ids with one of the tags that a person wants to see, or None for all.
    """

    up_to: int
    only: bool = False
    sort: str = SORTS[0]
    guesses: tuple[int, ...] = ()
    margins: tuple[float, float] = (0.0, 1.0)
    inside: frozenset[int] | None = None
    tagged: frozenset[int] | None = None


def arrange(batch: Batch, view: View) -> Indices:
    """Return the dataset indices that a view shows, in its order; equal ones in the order of choice."""
    keep = batch.steps == view.up_to if view.only else batch.steps <= view.up_to
    if view.guesses:
        keep = keep & np.isin(batch.guesses, view.guesses)
    if view.margins != (0.0, 1.0):  # an unknown margin is outside every range but the whole one
        keep = keep & (batch.margins >= view.margins[0]) & (batch.margins <= view.margins[1])
    for ids in (view.inside, view.tagged):
        if ids is not None:
            keep = keep & np.isin(batch.indices, list(ids))
    places = np.flatnonzero(keep)
    keys = {"margin": batch.margins, "class guess": batch.guesses, "step": batch.steps}
    if view.sort in keys:
        places = places[keys[view.sort][places].argsort(kind="stable")]
    order: Indices = batch.indices[places]
    return order


@st.fragment
def show(batch: Batch, oracle: bool) -> None:
    """Draw gallery or table on the left and the map on the right."""
    with frame.guard():
        edited.redraw()
        tagging.settle(batch)
        with st.container(key="batch-images"):
            left, right = st.columns([2, 3], gap="medium")
        with left:  # not above both: a first chip leaves the map where it is
            shelf = st.container()
            view, table, bar = pick_view(batch)
        settle(batch, table)
        with shelf:
            chips.show(batch)
        items = arrange(batch, view)
        with right:  # first, for a browser takes longest to draw it
            opened = show_map(batch, _ringed(batch, view), oracle)
        with left:
            if not len(items) and view.inside is not None:
                st.caption("No chosen image inside the lasso, so all are shown.")
                items = arrange(batch, dataclasses.replace(view, inside=None))
            with bar:
                show_bar(batch, items)
            page = pick_page(batch, items)
            draw = show_table if table else show_gallery
            opened = draw(batch, page, view, oracle) or opened
        if st.session_state.get(_PLAYING):
            st.session_state[_STEP_START] = time.monotonic()
            _keep_playing(int(batch.steps.max(initial=0)) + 1)
        if opened is not None:
            detail.open_on(batch, opened, items.tolist(), oracle=oracle)


def _ringed(batch: Batch, view: View) -> list[int]:
    """Return what the map rings: the selected images, in a replay those of the step."""
    return marks(batch) or (batch.at_step(view.up_to).tolist() if _replayed(batch, view) else [])


def _replayed(batch: Batch, view: View) -> bool:
    """Return whether a person looks at one step, not at the whole choice."""
    return batch.stepwise and (view.only or view.up_to < batch.steps.max())


def pick_view(batch: Batch) -> tuple[View, bool, DeltaGenerator]:
    """Return what a person wants to see, whether as a table, and the row where it is said how much that is."""
    last = int(batch.steps.max(initial=0)) + 1  # on the page and in the address steps count from 1
    step = last
    if last > 1:
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            step = st.slider(
                "Chosen up to greedy step",
                1,
                last,
                value=last,
                key="step",
                bind="query-params",
                help="Replay the choice: move it to the left and come back, or press Play. The last step shown is "
                "marked.",
                width=220,
            )
            _play_button(last)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        sort = st.selectbox("Sort by", SORTS, key="sort", bind="query-params", width=170)
        shape = st.segmented_control(
            "Show as",
            ["Grid", "Table"],
            default="Grid",
            required=True,
            key="as",
            bind="query-params",
        )
    bar = st.container(horizontal=True, vertical_alignment="center", gap="xsmall")
    with bar, st.popover("Filter and size", icon=":material/tune:"):
        only, guesses, margins = _pick_filter(batch, step)
        tagged = tagging.pick_filter(batch)
    lasso = lasso_of(batch)
    inside = None if lasso is None else frozenset(lasso)
    return View(step - 1, only, sort, guesses, margins, inside, tagged), shape == "Table", bar


def _play_button(last: int) -> None:
    """Draw the button that plays the steps one after the other, and stops."""
    playing = bool(st.session_state.get(_PLAYING))
    st.button(
        "Stop" if playing else "Play",
        icon=":material/stop:" if playing else ":material/play_arrow:",
        key="play",
        on_click=_turn_play,
        args=(last,),
        help="Shows the choice grow, a greedy step at a time.",
    )


def _turn_play(last: int) -> None:
    """Begin to play, from the first step where all are shown, or stop."""
    st.session_state[_PLAYING] = not st.session_state.get(_PLAYING)
    if st.session_state[_PLAYING] and st.session_state.get("step", last) >= last:
        st.session_state["step"] = 1


@st.fragment(run_every=_PACE / 3)
def _keep_playing(last: int) -> None:
    """Go on to the next step once this one has been seen; drawn only while a replay plays."""
    if time.monotonic() - st.session_state.get(_STEP_START, 0.0) < _PACE:
        return
    step = int(st.session_state.get("step", last)) + 1
    st.session_state["step"] = min(step, last)
    if step >= last:
        st.session_state[_PLAYING] = False
    st.rerun()


def _pick_filter(batch: Batch, step: int) -> tuple[bool, tuple[int, ...], tuple[float, float]]:
    """Return whether only one step is shown, which guesses, and which margins; the size stays in the session."""
    only = st.checkbox(f"Only step {step}", key="only", disabled=not batch.stepwise)
    there = sorted({int(guess) for guess in batch.guesses if guess >= 0})
    guesses = st.multiselect(
        "Class that f guesses",
        there,
        format_func=batch.class_name,
        key=chips.guesses_key(batch),
        placeholder="All classes",
    )
    low, high = st.slider("Margin", 0.0, 1.0, (0.0, 1.0), 0.01, key="margins")
    st.slider(
        "Size of the thumbnails, pixels",
        *SIZES,
        step=8,
        key="size",
        bind="query-params",
    )
    return only, tuple(guesses), (low, high)


def pick_page(batch: Batch, items: Indices) -> Indices:
    """Return the images of one page; a page holds 500."""
    pages = -(-len(items) // _PAGE)
    if pages < 2:
        return items
    number = st.pagination(pages, key=f"page-{batch.key}-{pages}")
    return items[(number - 1) * _PAGE : number * _PAGE]


def show_bar(batch: Batch, items: Indices) -> None:
    """Say how many images are shown and selected, and offer what makes them the batch."""
    marked = marks(batch)
    caption = f"{len(items):,} of {count(batch.count, 'image')} shown"
    st.caption(caption + (f", {len(marked):,} selected" if marked else ""), width="content")
    edited.make_buttons(batch, items.tolist(), marked)


def show_gallery(batch: Batch, page: Indices, view: View, oracle: bool) -> int | None:
    """Draw thumbnails; return the image that was opened."""
    steps = {index: batch.step_of[index] for index in page.tolist()}
    mark = f"chosen in step {view.up_to + 1}"
    marked = {index: mark for index, step in steps.items() if step == view.up_to}
    badges = _badges(batch, steps, oracle) if batch.stepwise or oracle else {}
    result = gallery(
        batch_data.sheet(batch, (batch.indices if batch.count <= 2000 else page).tolist()),
        page.tolist(),
        key=gallery_key(batch),
        selected=marks(batch),
        size=int(st.session_state.get("size", SIZES[2])),
        badges=tagging.badges(batch, page.tolist(), badges),
        captions=tagging.captions(batch, batch_data.captions(batch, page.tolist(), oracle=oracle)),
        groups=marked if _replayed(batch, view) else None,
        empty="No chosen image passes the filter.",
        label="Chosen images",
        max_height=560,
    )
    set_marks(batch, result.selected)
    st.caption("Click selects and rings the image on the map; double click or Enter opens it.")
    return result.opened


def show_plain(batch: Batch) -> None:
    """Draw the images chosen so far, for a choice that is going on."""
    ids = batch.indices.tolist()[-_PAGE:]
    gallery(
        batch_data.sheet(batch, ids),
        ids,
        key="so-far",
        readonly=True,
        badges={index: str(step + 1) for index, step in batch.step_of.items()},
        captions=batch_data.captions(batch, ids),
        max_height=_PLAIN_HEIGHT,
    )


def show_table(batch: Batch, page: Indices, view: View, oracle: bool) -> int | None:
    """Draw the rows of the images; return the image that was opened."""
    ids, marked = page.tolist(), marks(batch)
    chosen = set(marked)
    rows = [place for place, item in enumerate(ids) if item in chosen]
    key = f"table-{hash((batch.key, tuple(ids), version(batch)))}"  # rows mean images: new rows, new table
    event: Any = st.dataframe(
        batch_table.table_of(batch, page, oracle),
        key=key,
        hide_index=True,
        height=560,
        row_height=40,
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": rows, "columns": [], "cells": []}},
        column_config=dict(batch_table.COLUMNS),
    )
    picked = [ids[row] for row in event["selection"]["rows"] if row < len(ids)]
    hidden = [item for item in marked if item not in set(ids)]
    if set(picked + hidden) != set(marked):
        set_marks(batch, hidden + picked)
        st.rerun(scope="fragment")  # what stands above the table counts them
    if st.button(
        "Open the image",
        icon=":material/image_search:",
        disabled=len(picked) == 0,
        help="Select a row first; of several the last one is opened.",
        key="open-row",
    ):
        return picked[-1]
    return None


def _badges(batch: Batch, steps: dict[int, int], oracle: bool) -> dict[int, str]:
    """Return the step of each image; with the oracle a cross where f guesses wrong."""
    badges = {index: str(step + 1) for index, step in steps.items()}
    labels = batch.labels(list(steps)) if oracle else None
    if labels is None:
        return badges
    guesses = {
        int(i): batch.class_name(int(g)) for i, g in zip(batch.indices, batch.guesses, strict=True)
    }
    wrong = {i for i, label in zip(steps, labels, strict=True) if guesses[i] != label}
    return {i: f"{badge} ✗" if i in wrong else badge for i, badge in badges.items()}
