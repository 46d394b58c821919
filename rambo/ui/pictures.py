"""Images of a dataset on a page: as one picture, and as thumbnails on a sheet; grey where the dataset is gone."""

import base64
import io
from collections.abc import Iterable

import numpy as np
import streamlit as st
from PIL import Image

from rambo.datasets.prepared import Images, Prepared
from rambo.errors import DataError
from rambo.ui.components import Sprites, make_sprites

_GREY = 128
_SIDE = 28  # pixels of a grey tile


def picture(data: Prepared | None, index: int) -> Image.Image:
    """Return one image of a dataset; a grey one without the dataset, or where it is damaged."""
    try:
        if data is None:
            return Image.new("L", (_SIDE, _SIDE), _GREY)
        pixels = np.ascontiguousarray(data.pixels(index)[0].transpose(1, 2, 0))
    except DataError:
        _say_damaged()
        return Image.new("L", (_SIDE, _SIDE), _GREY)
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def data_address(picture: Image.Image) -> str:
    """Return an address that carries the picture, for what a page may drop before a browser has fetched it."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def sheet(data: Prepared | None, ids: Iterable[int]) -> Sprites:
    """Return the thumbnails of some images; the same ids in the same order give the same object.

    Args:
        data: the dataset; without it every tile is grey, and so is one whose pixels are damaged.
        ids: distinct dataset indices, at most some thousands.
    """
    indices = np.fromiter(ids, np.int64)
    try:
        return _sheet(data.fingerprint if data else "", indices.tobytes(), _data=data)
    except DataError:
        assert data is not None
        _say_damaged()
        return make_sprites(
            np.concatenate([_tile(data, index) for index in indices]), indices.tolist()
        )


def _say_damaged() -> None:
    """Tell whoever looks that not all they see is what was prepared."""
    st.warning(
        "Some images of this dataset are damaged, so grey tiles stand for them. Prepare it again on the page Data "
        "or with `python -m rambo prepare`.",
        icon=":material/broken_image:",
    )


def _tile(data: Prepared, index: int) -> Images:
    """Return one image, `1 x C x H x W`, grey where it is damaged."""
    try:
        return data.pixels(index)
    except DataError:
        return np.full((1, *data.images.shape[1:]), _GREY, np.uint8)


@st.cache_resource(show_spinner=False, max_entries=64)
def _sheet(fingerprint: str, indices: bytes, *, _data: Prepared | None) -> Sprites:
    """Return the thumbnails; the first two arguments are the key of the cache, bytes as they are hashed at once."""
    ids: list[int] = np.frombuffer(indices, np.int64).tolist()
    if _data is None:
        return make_sprites(np.full((len(ids), 1, _SIDE, _SIDE), _GREY, np.uint8), ids)
    return make_sprites(_data.pixels(ids), ids)
