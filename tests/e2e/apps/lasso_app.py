"""A scatter of N points with ids, the count of its selection, and a gallery linked to it."""

import os
import time

import numpy as np
import streamlit as st

from rambo.text import for_plot
from rambo.ui.components import gallery, make_sprites, plot, prepare_figure

N = int(os.environ.get("POINTS", "8000"))


@st.cache_resource
def points():
    xy = np.random.default_rng(0).normal(size=(N, 2)).astype(np.float32)
    ids = np.random.default_rng(1).permutation(N * 3)[:N]
    half = N // 2
    data = [
        {
            "type": "scattergl",
            "mode": "markers",
            "name": name,
            "x": xy[part, 0],
            "y": xy[part, 1],
            "customdata": ids[part],
            "marker": {"size": 4},
        }
        for name, part in [
            (for_plot("<b>pool</b> &"), slice(0, half)),
            ("chosen", slice(half, N)),
        ]
    ]
    return xy, ids, prepare_figure({"data": data, "layout": {}})


@st.cache_resource
def pictures():
    images = np.random.default_rng(2).integers(0, 256, (60, 1, 8, 8), dtype=np.uint8)
    return make_sprites(images, [int(item) for item in points()[1][:60]])


st.set_page_config(layout="wide")
xy, ids, figure = points()
sprites = pictures()
clicked = gallery(sprites, sprites.ids, key="grid", size=32)
began = time.perf_counter()
selected = plot(
    figure, key="map", height=500, alt="All points", select=True, highlight=clicked.selected
)
cost = (time.perf_counter() - began) * 1000
st.button("Clear", on_click=lambda: st.session_state.update(map={"selected": None}))
st.button("Rerun")
run = st.session_state["run"] = st.session_state.get("run", 0) + 1
st.markdown(f"selected: {'none' if selected is None else len(selected)}")
st.markdown(f"plot took {cost:.2f} ms")
if selected is not None:
    st.code(" ".join(map(str, selected)))
st.markdown(f"run {run}")
