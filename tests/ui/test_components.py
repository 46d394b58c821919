"""The Python side of the chart and the gallery: payloads, selection, sprites."""

import base64
import io
import json
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from rambo.errors import DataError
from rambo.ui.components import make_sprites, prepare_figure
from rambo.ui.components import state as selection
from rambo.ui.components.gallery import _slots
from rambo.ui.components.media import packed
from rambo.ui.components.plot import INLINE_LIMIT, plotly_js
from rambo.ui.components.state import as_ids


def payload(app: AppTest, place: int = 0) -> dict:
    return json.loads(app.get("bidi_component")[place].proto.json)


def decoded(spec: dict) -> np.ndarray:
    return np.frombuffer(base64.b64decode(spec["bdata"]), spec["dtype"])


def chart_page() -> None:
    import numpy as np
    import streamlit as st

    from rambo.ui.components import plot

    points = st.session_state.get("points", 5)
    x = np.arange(points, dtype=np.float32)
    trace = {"type": "scatter", "x": x, "y": x**2, "customdata": np.arange(points) + 100}
    st.button("Clear", on_click=lambda: st.session_state.update(map={"selected": None}))
    chosen = plot(
        {"data": [trace]}, key="map", alt="Squares", select=True, highlight=[np.int64(101)]
    )
    st.text(repr(chosen))


def gallery_page() -> None:
    import numpy as np
    import streamlit as st

    from rambo.ui.components import ImageRow, gallery, make_sprites, rows

    sprites = make_sprites(np.zeros((4, 1, 8, 8), np.uint8), [10, 11, 12, 13])
    items = st.session_state.get("items", [13, 10, 12])
    groups = {13: "late", 10: "early"}
    result = gallery(
        sprites,
        items,
        key="grid",
        selected=[10],
        badges={13: "1"},
        captions={10: "<b>"},
        groups=groups,
        on_open=lambda: st.session_state.update(seen=True),
    )
    st.text(f"{result.selected} {result.opened}")
    rows(sprites, [ImageRow([12, 11], "a", "chosen"), ImageRow([])], key="rows")


def test_arrays_travel_as_typed_arrays_and_the_template_is_dropped() -> None:
    x = np.arange(6, dtype=np.float32)
    figure = go.Figure(go.Scatter(x=x, y=[1.0, float("nan"), 3], customdata=np.arange(6)))
    tree = json.loads(prepare_figure(figure).text)
    trace = tree["data"][0]
    np.testing.assert_array_equal(decoded(trace["x"]), x)
    assert trace["x"]["dtype"] == "f4"
    assert decoded(trace["customdata"]).tolist() == list(range(6))
    assert trace["y"] == [1.0, None, 3]
    assert "template" not in tree["layout"]


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.array([-300, 5]), "i2"),
        (np.array([0, 70_000]), "u4"),
        (np.array([0.5]), "f8"),
        (np.array([[1, 2], [3, 4]]), "u1"),
        (np.arange(3, dtype=">f4"), "f4"),
    ],
)
def test_an_array_takes_the_smallest_type_plotly_knows(array: np.ndarray, dtype: str) -> None:
    spec = json.loads(prepare_figure({"data": [{"z": array}]}).text)["data"][0]["z"]
    assert spec["dtype"] == dtype
    np.testing.assert_array_equal(decoded(spec).reshape(array.shape), array)
    assert spec.get("shape") == ("2, 2" if array.ndim == 2 else None)


@pytest.mark.parametrize(
    ("array", "plain"),
    [
        (np.array([], np.float32), []),
        (np.array(["a", "b"]), ["a", "b"]),
        (np.array([True, False]), [True, False]),
        (np.array([2**40]), [2**40]),
        (np.array(["2026-01-01"], "datetime64[D]"), ["2026-01-01"]),
    ],
)
def test_what_has_no_typed_array_stays_a_list(array: np.ndarray, plain: list) -> None:
    assert json.loads(prepare_figure({"data": [{"x": array}]}).text)["data"][0]["x"] == plain


def test_the_digest_follows_the_content() -> None:
    def figure(top: float) -> dict:
        return {"data": [{"y": np.array([1, top])}], "layout": {"title": {"text": "t"}}}

    first = prepare_figure(figure(2.0))
    assert prepare_figure(figure(2.0)).digest == first.digest
    assert prepare_figure(figure(2.5)).digest != first.digest
    assert prepare_figure(first) is first


def test_a_chart_sends_its_figure_and_ids() -> None:
    app = AppTest.from_function(chart_page).run()
    assert not app.exception
    data_of_cells = payload(app)
    assert json.loads(data_of_cells["figure"])["data"][0]["type"] == "scatter"
    assert data_of_cells["url"] is None
    assert data_of_cells["highlight"] == [101]
    assert data_of_cells["alt"] == "Squares"
    assert data_of_cells["plotly"].endswith(".gz")
    assert app.text[0].value == "None"
    # The script travels by address, not with every message.
    assert len(app.get("bidi_component")[0].proto.js_content) < 2_000


def test_a_large_figure_is_fetched_and_not_sent() -> None:
    app = AppTest.from_function(chart_page)
    app.session_state["points"] = 20_000
    data_of_cells = payload(app.run())
    assert data_of_cells["figure"] is None
    assert "/media/" in data_of_cells["url"]
    assert len(json.dumps(data_of_cells)) < 2_000 < INLINE_LIMIT
    again = payload(app.run())
    assert (again["url"], again["digest"]) == (data_of_cells["url"], data_of_cells["digest"])


def test_a_chart_selection_is_state_and_the_page_can_clear_it() -> None:
    app = AppTest.from_function(chart_page).run()
    before = payload(app)["revision"]
    app.session_state["map"] = {"selected": [102, 104]}
    app.run()
    assert app.text[0].value == "[102, 104]"
    assert payload(app)["selected"] == [102, 104]
    assert payload(app)["revision"] == before + 1  # the page's own change: the browser must obey
    app.run()
    assert payload(app)["revision"] == before + 1
    app.session_state["map"] = {"selected": []}  # a lasso around nothing is not "no lasso"
    assert app.run().text[0].value == "[]"
    app.button[0].click().run()
    assert app.text[0].value == "None"
    assert payload(app)["selected"] is None


@pytest.mark.parametrize("value", ["12", [1.5], [True], {"a": 1}, None, [None]])
def test_a_selection_that_is_no_list_of_ids_counts_as_none(value: object) -> None:
    assert as_ids(value) is None


def test_the_gallery_sends_ids_with_their_slots() -> None:
    app = AppTest.from_function(gallery_page).run()
    assert not app.exception
    assert len(app.get("bidi_component")[0].proto.js_content) < 2_000
    data_of_cells = payload(app)
    assert data_of_cells["cells"]["ids"] == [13, 10, 12]
    assert data_of_cells["cells"]["slots"] == [3, 0, 2]
    assert data_of_cells["cells"]["badges"] == ["1", None, None]
    assert data_of_cells["cells"]["captions"] == [None, "<b>", None]
    assert data_of_cells["groupNames"] == ["early", "late"]
    assert data_of_cells["cells"]["groups"] == [1, 0, None]
    assert app.text[0].value == "[10] None"


def test_sorting_keeps_the_sheet_and_moves_the_slots() -> None:
    app = AppTest.from_function(gallery_page).run()
    first = payload(app)
    app.session_state["items"] = [10, 12, 13]
    second = payload(app.run())
    assert second["cells"]["slots"] == [0, 2, 3]
    assert (second["url"], second["digest"]) == (first["url"], first["digest"])


def test_gallery_selection_and_opening_come_from_session_state() -> None:
    app = AppTest.from_function(gallery_page).run()
    app.session_state["grid"] = {"selected": [12, 13], "opened": 12}
    app.run()
    assert app.text[0].value == "[12, 13] 12"
    assert payload(app)["selected"] == [12, 13]


def test_rows_carry_label_and_mark() -> None:
    data_of_cells = payload(AppTest.from_function(gallery_page).run(), place=1)
    assert data_of_cells["rows"][0] == {
        "ids": [12, 11],
        "slots": [2, 1],
        "label": "a",
        "mark": "chosen",
    }
    assert data_of_cells["rows"][1]["ids"] == []


def test_an_item_without_a_tile_is_named() -> None:
    sprites = make_sprites(np.zeros((1, 1, 2, 2), np.uint8), [4])
    with pytest.raises(DataError, match="image 5 is not on the sprite sheet"):
        _slots(sprites, [4, 5])


def tile(sprites, item: int) -> np.ndarray:
    sheet = np.asarray(Image.open(io.BytesIO(sprites.data)))
    row, column = divmod(sprites.slots[item], sprites.columns)
    h, w = sprites.height, sprites.width
    return sheet[row * h : (row + 1) * h, column * w : (column + 1) * w]


@pytest.mark.parametrize("channels", [1, 3])
def test_tile_i_is_image_i(channels: int) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (11, channels, 6, 9), dtype=np.uint8)
    ids = [int(item) for item in rng.permutation(100)[:11]]
    sprites = make_sprites(images, ids)
    assert sprites.ids == tuple(ids)
    for place, item in enumerate(ids):
        expected = images[place].transpose(1, 2, 0)
        np.testing.assert_array_equal(
            tile(sprites, item), expected if channels == 3 else expected[:, :, 0]
        )


def test_sheets_are_deterministic_and_named_by_content() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 8), dtype=np.uint8)
    first, again = make_sprites(images, range(5)), make_sprites(images.copy(), range(5))
    assert (first.data, first.digest) == (again.data, again.digest)
    assert make_sprites(images[::-1].copy(), range(5)).digest != first.digest
    assert (first.mime, first.columns, first.rows) == ("image/png", 3, 2)


def test_photos_are_scaled_down_and_sent_as_jpeg() -> None:
    images = np.zeros((3, 3, 300, 200), np.uint8)
    images[1] = 255
    sprites = make_sprites(images, [7, 8, 9])
    assert (sprites.width, sprites.height, sprites.mime) == (64, 96, "image/jpeg")
    assert tile(sprites, 8).min() > 240
    assert tile(sprites, 7).max() < 15


def test_no_images_make_an_empty_sheet() -> None:
    sprites = make_sprites(np.zeros((0, 1, 8, 8), np.uint8), [])
    assert sprites.slots == {}
    assert sprites.data


@pytest.mark.parametrize(
    ("images", "ids", "message"),
    [
        (np.zeros((2, 2, 8, 8), np.uint8), [0, 1], "n x C x H x W"),
        (np.zeros((2, 3, 8, 8), np.float32), [0, 1], "uint8"),
        (np.zeros((2, 1, 8, 8), np.uint8), [0], "distinct ids"),
        (np.zeros((2, 1, 8, 8), np.uint8), [3, 3], "distinct ids"),
        (np.zeros((9000, 1, 96, 96), np.uint8), range(9000), "show fewer"),
    ],
)
def test_bad_images_are_refused(images: np.ndarray, ids: list, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make_sprites(images, ids)


def test_plotly_js_is_packed_once() -> None:
    data, digest = packed(plotly_js())
    assert len(data) < 2_000_000
    assert packed(plotly_js())[1] == digest


def test_a_selection_that_the_page_cleared_does_not_come_back_with_the_next_rerun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session: dict[str, Any] = {}
    monkeypatch.setattr(st, "session_state", session)
    keys: list[str] = []
    receive = selection.received("map", lambda: keys.append("called"))
    assert selection.revision("map", selection.current("map", None)) == 0
    session["map"] = {"selected": [3, 5], "obeyed": 0}
    receive()
    assert selection.revision("map", selection.current("map", None)) == 0, "the browser's own"
    session["map"] = {"selected": None}  # the page clears it
    assert selection.revision("map", selection.current("map", None)) == 1
    session["map"] = {"selected": [3, 5], "obeyed": 0}  # the browser has not heard of it
    receive()
    assert session["map"]["selected"] is None
    assert selection.revision("map", selection.current("map", None)) == 1
    session["map"] = {"selected": [3, 5], "obeyed": 1}  # drawn once more, afterwards
    receive()
    assert selection.current("map", None) == [3, 5]
    assert keys == ["called", "called"]
