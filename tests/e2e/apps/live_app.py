"""Four charts fed every half second by a fragment, and the time each tick took."""

import time

import numpy as np
import streamlit as st

from rambo.ui.components import plot

st.set_page_config(layout="wide")
st.title("Live")


@st.fragment(run_every=0.5)
def live() -> None:
    tick = st.session_state["tick"] = st.session_state.get("tick", 0) + 1
    began = time.perf_counter()
    x = np.arange(400 + 10 * tick, dtype=np.float32)
    columns = st.columns(2)
    for number in range(4):
        data = [
            {
                "type": "scatter",
                "name": name,
                "x": x,
                "y": (np.sin(x / 40 + number + shift) + tick / 10).astype(np.float32),
            }
            for shift, name in enumerate(["train", "validation"])
        ]
        with columns[number % 2]:
            figure = {"data": data, "layout": {"title": {"text": f"Curve {number}"}}}
            plot(figure, key=f"curve-{number}", height=260, alt=f"Curve {number} over time")
    st.session_state.setdefault("cost", []).append(time.perf_counter() - began)
    cost = np.array(st.session_state["cost"][1:] or [0]) * 1000
    st.markdown(f"ticks {tick}, median {np.median(cost):.1f} ms")


live()
