"""A gallery that can be sorted and filtered, hostile captions, and rows of candidates."""

import json
import os

import numpy as np
import streamlit as st

from rambo.ui.components import ImageRow, gallery, make_sprites, rows, strip

N = int(os.environ.get("IMAGES", "40"))
HOSTILE = '<img src=x onerror="window.hacked=1"> **bold** </span><script>window.hacked=1</script>'


@st.cache_resource
def sheet():
    # Image i is one flat colour that spells i.
    ids = np.arange(N) * 7 + 3
    images = np.zeros((N, 3, 8, 8), np.uint8)
    images[:, 0] = (ids % 256)[:, None, None]
    images[:, 1] = (ids // 256)[:, None, None]
    images[:, 2] = 200
    return make_sprites(images, [int(item) for item in ids])


if N:
    sprites = sheet()
    order = st.radio("Order", ["up", "down", "odd"], horizontal=True)
    items = {"up": sprites.ids, "down": sprites.ids[::-1], "odd": sprites.ids[1::2]}[order]
    if st.checkbox("Nothing"):
        items = ()
    st.button("None", on_click=lambda: st.session_state.update(grid={"selected": []}))
    result = gallery(
        sprites,
        items,
        key="grid",
        badges={item: f"{place}" for place, item in enumerate(sprites.ids)},
        captions={sprites.ids[0]: HOSTILE},
        groups={item: ["a <b>", "b"][item % 2] for item in sprites.ids[:6]},
        empty="Nothing <i>here</i>.",
    )
    st.code(json.dumps({"selected": result.selected, "opened": result.opened}))
    rows(
        sprites,
        [
            ImageRow(sprites.ids[:5], HOSTILE, "chosen"),
            ImageRow(sprites.ids[5:9], "two"),
        ],
        key="rows",
    )
    strip(sprites, sprites.ids[:3], key="strip")
st.markdown("page ready")
