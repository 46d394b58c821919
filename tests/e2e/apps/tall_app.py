"""Two charts, the second a long way down."""

import streamlit as st

from rambo.ui.components import plot

st.title("Tall")
figure = {"data": [{"type": "scatter", "x": [0, 1], "y": [0, 1]}]}
plot(figure, key="near", alt="near", height=200)
st.container(height=4000, border=False)
plot(figure, key="far", alt="far", height=200)
