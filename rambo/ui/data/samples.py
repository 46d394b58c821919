"""Random images of a dataset, and a gallery in which each can be opened large."""

from collections.abc import Sequence

import numpy as np
import streamlit as st
from PIL import Image

from rambo.datasets.prepared import LABELED, POOL, Prepared
from rambo.errors import shorten
from rambo.runs.atlas import Indices
from rambo.text import literal
from rambo.ui import pictures
from rambo.ui.components import gallery


def sample(candidates: Indices, size: int, seed: int, part: int) -> list[int]:
    """Return up to `size` of the candidates, in random order; the same seed and part draw the same."""
    order = np.random.default_rng([seed, part]).permutation(len(candidates))[:size]
    return [int(index) for index in candidates[order]]


def of_class(data: Prepared, label: int, size: int, seed: int) -> list[int]:
    """Return up to `size` images of one class that a run may choose or begins with, in random order."""
    mine = np.flatnonzero(np.isin(data.roles, (POOL, LABELED)) & (data.labels == label))
    return sample(mine, size, seed, label)


def show_gallery(data: Prepared, ids: Sequence[int], *, key: str, labeled: bool) -> None:
    """Draw a gallery whose images can be opened.

    Args:
        data: the dataset.
        ids: what to show, distinct dataset indices.
        key: of the gallery.
        labeled: whether their labels may be shown.
    """
    words = {index: f"image {index}" for index in ids}
    if labeled:
        words = {i: f"{word}\n{data.class_of(i)}" for i, word in words.items()}
    result = gallery(
        pictures.sheet(data, ids),
        ids,
        key=key,
        multi=False,
        size=52,
        captions=words,
        max_height=420,
        label="Images",
    )
    if result.opened is not None and result.opened in ids:
        _enlarged(data, result.opened, labeled)


@st.dialog("One image", width="small")
def _enlarged(data: Prepared, index: int, labeled: bool) -> None:
    """Show one image large, with its number and its size."""
    picture = pictures.picture(data, index)
    width, height = picture.size
    factor = max(1, 392 // max(height, width))
    large = picture.resize((width * factor, height * factor), Image.Resampling.NEAREST)
    st.image(
        pictures.data_address(large),
        alt=f"Image {index} of {shorten(data.name)}, {factor} times its size",
    )
    label = literal(data.class_of(index))
    st.markdown(f"**{label}**" if labeled else "Its label is not bought, so it is not shown.")
    scale = f", shown {factor} times as large" if factor > 1 else ""
    st.caption(f"Image {index:,} of the dataset · {height} x {width} pixels{scale}")
