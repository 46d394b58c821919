"""One image in a drawer: its pixels, what f thinks of it, its neighbours, and whom it serves."""

import functools
from collections.abc import Sequence

import numpy as np
import streamlit as st
from PIL import Image

from rambo.errors import shorten
from rambo.figures import maps
from rambo.runs import atlas as atlases
from rambo.runs.atlas import LABELED, UNLABELED_POOL, VALIDATION_POOL
from rambo.text import count, literal, percent
from rambo.ui import frame, pictures
from rambo.ui.batch import batch_data, tagging
from rambo.ui.batch.batch_data import Batch
from rambo.ui.components import gallery, plot, state

LARGE, SMALL = 280, 84  # pixels of the longer side on the page
_NEAREST = 5
_SIMILAR = 18
_AT, _FROM = "detail-image", "detail-from"  # the image shown, and the last one that the arrows know


def open_on(batch: Batch, index: int, order: Sequence[int], *, oracle: bool = False) -> None:
    """Open the drawer on one image; the arrows in it go through `order`."""
    st.session_state[_AT] = int(index)
    _drawer(batch, tuple(int(item) for item in order), oracle)


@st.dialog(
    "One image",
    width="medium",
    position="right",
    icon=":material/image_search:",
    on_dismiss="rerun",
)
def _drawer(batch: Batch, order: tuple[int, ...], oracle: bool) -> None:
    """Draw the image that the session names."""
    with frame.guard():
        index = st.session_state[_AT]
        _arrows(index, order)
        left, right = st.columns([2, 3])
        with left:
            _picture(batch, index, LARGE, "")
        with right:
            show_facts(batch, index, oracle)
        tagging.show(batch, index)
        show_probabilities(batch, index)
        show_similar(batch, index, oracle)
        show_neighbours(batch, index)
        show_served(batch, index)


def _arrows(index: int, order: tuple[int, ...]) -> None:
    """Draw the buttons to the images before and after this one."""
    if index not in order or len(order) < 2:
        if order:
            st.button(
                "Back to the images shown",
                icon=":material/arrow_back:",
                key="detail-back",
                on_click=_go_to,
                args=(st.session_state.get(_FROM, order[0]),),
            )
        return
    at = order.index(index)
    st.session_state[_FROM] = index
    with st.container(horizontal=True, vertical_alignment="center"):
        for word, icon, to, arrow in (
            ("Previous", "back", at - 1, "Left"),
            ("Next", "forward", at + 1, "Right"),
        ):
            st.button(
                word,
                icon=f":material/arrow_{icon}:",
                key=f"detail-{word}",
                shortcut=arrow,
                disabled=not 0 <= to < len(order),
                on_click=_go_to,
                args=(order[to % len(order)],),
            )
        st.caption(f"{at + 1} of {len(order)} shown")


def _go_to(index: int) -> None:
    """Show another image."""
    st.session_state[_AT] = index


def show_facts(batch: Batch, index: int, oracle: bool) -> None:
    """Say which pool the image is from, what f guesses, and when it was chosen."""
    st.markdown(f"## Image {index}")
    place, pool = batch.at(index), _pool(batch, index)
    lines = []
    if place is not None:
        place_words = f"Chosen as number **{place + 1}** of {batch.count}"
        if batch.stepwise:
            place_words += f", in step **{batch.steps[place] + 1}** of {batch.steps.max() + 1}"
        lines.append(f"{place_words}.")
        if np.isfinite(batch.utilities[place]):
            lines.append(f"u_hat of S_j with its batch: **{batch.utilities[place]:.3f}**.")
    elif pool is not None:
        word = {LABELED: "labeled pool S_0", VALIDATION_POOL: "validation images S_val"}
        lines.append(f"Not chosen; from the {word.get(pool, 'unlabeled pool U_0')}.")
    lines += _of_f(batch, index, pool)
    free = pool in (LABELED, VALIDATION_POOL)
    labels = batch.labels([index]) if free or oracle else None
    if labels:
        lines.append(f"{'Label' if free else 'The oracle says'}: **{literal(labels[0])}**.")
    st.markdown("\n\n".join(lines))


def _of_f(batch: Batch, index: int, pool: int | None) -> list[str]:
    """Return what f guesses and how unsure it is."""
    atlas, place = batch.atlas, batch.at(index)
    if atlas is None or pool is None:
        if place is None or batch.guesses[place] < 0:
            return ["What f thinks of it is not recorded."]
        name = literal(batch.class_name(int(batch.guesses[place])))
        return [f"f guesses **{name}**, margin {batch.margins[place]:.3f}."]
    row = int(atlas.rows([index])[0])
    margin = float(atlases.margins(atlas.probabilities[[row]])[0])
    name = literal(batch.class_name(int(atlas.guesses[row])))
    lines = [f"f guesses **{name}**, margin **{margin:.3f}**."]
    if pool == UNLABELED_POOL:
        ordered = batch_data.pool_margins(atlas)
        rank = int(np.searchsorted(ordered, np.float32(margin))) + 1
        lines.append(f"Margin rank **{rank:,}** of {len(ordered):,} in the unlabeled pool.")
    return lines


def show_probabilities(batch: Batch, index: int) -> None:
    """Draw f's class probabilities."""
    if batch.atlas is None or _pool(batch, index) is None:
        return
    probabilities = batch.atlas.probabilities[batch.atlas.rows([index])[0]]
    st.markdown("**Class probabilities of f**")
    rows = min(10, len(probabilities))
    figure = maps.probability_bars(probabilities, batch.classes)
    alt = f"Class probabilities of image {index}"
    plot(figure, key="detail-bars", alt=alt, height=74 + 22 * rows)


def show_similar(batch: Batch, index: int, oracle: bool) -> None:
    """Show the images without a label that f finds most alike, chosen or not; a click opens one."""
    if batch.atlas is None or _pool(batch, index) is None:
        return
    ids, _ = atlases.nearest(batch.atlas, index, UNLABELED_POOL, _SIMILAR)
    st.markdown("**Most similar images of the pool**; a click opens one")
    key = f"similar-{batch.key}-{index}"
    gallery(
        batch_data.sheet(batch, ids.tolist()),
        ids.tolist(),
        key=key,
        multi=False,
        size=52,
        badges={image: "chosen" for image in ids.tolist() if batch.at(image) is not None},
        captions=batch_data.captions(batch, ids.tolist(), oracle=oracle),
        label="Most similar images of the pool",
        on_change=functools.partial(_follow, key),
        on_open=functools.partial(_follow, key),
        empty="There are none.",
    )


def _follow(key: str) -> None:
    """Go to the image that was clicked in a gallery, and leave nothing selected there."""
    clicked = st.session_state.get(key) or {}
    target = clicked.get("opened") or next(iter(clicked.get("selected") or ()), None)
    if target is not None:
        _go_to(int(target))
        state.assign(key, [])


def show_neighbours(batch: Batch, index: int) -> None:
    """Show the labeled and the validation images that f finds most alike."""
    if batch.atlas is None or _pool(batch, index) is None:
        return
    for pool, title in (
        (LABELED, "Nearest labeled images, with the labels that were bought"),
        (VALIDATION_POOL, "Nearest validation images"),
    ):
        ids, distances = atlases.nearest(batch.atlas, index, pool, _NEAREST)
        st.markdown(f"**{title}**")
        _row(batch, ids.tolist(), [f"distance {value:.2f}" for value in distances])


def show_served(batch: Batch, index: int) -> None:
    """Show the validation images that a chosen image is matched with in the optimal transport."""
    place = batch.at(index)
    if place is None:
        return
    st.markdown("**Validation images it serves**")
    if batch.served is None:
        st.caption("Not recorded for this run.")
        return
    images, mass = batch.served["validation"][place], batch.served["mass"][place]
    there = images >= 0
    how = (
        "in the optimal transport from the labeled and chosen images to the validation images"
        if bool(batch.served["exact"][0])
        else "by the smallest cost; the exact transport was too large to solve"
    )
    st.caption(f"Where its mass goes {how}: {count(int(there.sum()), 'image')}.")
    _row(batch, images[there].tolist(), [percent(float(part), 0) for part in mass[there]])


def _row(batch: Batch, ids: Sequence[int], captions: Sequence[str]) -> None:
    """Show images whose labels are known, side by side."""
    labels = batch.labels(ids) or [""] * len(ids)
    if not ids:
        st.caption("None.")
        return
    columns = st.columns(_NEAREST)
    for column, index, label, word in zip(columns, ids, labels, captions, strict=False):
        with column:
            _picture(batch, index, SMALL, f"{label} · {word}")


def _picture(batch: Batch, index: int, side: int, caption: str) -> None:
    """Show one image enlarged, pixel by pixel."""
    picture = pictures.picture(batch.data, index)
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    sampling = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
    alt = shorten(f"Image {index}, {caption}" if caption else f"Image {index}", 80)
    source = pictures.data_address(picture.resize(size, sampling))
    st.image(source, caption=literal(caption, 80) or None, alt=alt)


def _pool(batch: Batch, index: int) -> int | None:
    """Return the pool of an image, or None where the atlas does not know it."""
    if batch.atlas is None or index not in batch.in_atlas:
        return None
    return int(batch.atlas.pool[batch.atlas.rows([index])[0]])
