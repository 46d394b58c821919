"""Many small images as one picture: a sprite sheet for the gallery."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from rambo.errors import DataError
from rambo.figures.prepared import digest_of

LARGEST_TILE = 96  # pixels; a larger image is scaled down
PHOTO_TILE = 64  # from this size on, JPEG: a sheet of PNG photos would weigh ten times as much
MANY_TILES = 2000  # above it JPEG too: 9,000 tiles in 15 ms and not in 190
LARGEST_SHEET = 8192  # pixels a side; browsers refuse or choke on larger pictures


@dataclass(frozen=True)
class Sprites:
    """A sheet of equal tiles, row by row; keep it in `st.cache_resource`.

    Attributes:
        data: the encoded picture.
        mime: `image/png`, or `image/jpeg` for photos and for very many tiles.
        digest: changes when a pixel or the order of the tiles changes.
        ids: the dataset index shown in tile 0, 1, ...
        width: of one tile, pixels.
        height: of one tile, pixels.
        columns: tiles in a row of the sheet.
    """

    data: bytes
    mime: str
    digest: str
    ids: tuple[int, ...]
    width: int
    height: int
    columns: int

    @cached_property
    def slots(self) -> dict[int, int]:
        """Dataset index -> tile number."""
        return {item: slot for slot, item in enumerate(self.ids)}

    @property
    def rows(self) -> int:
        """Rows of the sheet."""
        return max(1, math.ceil(len(self.ids) / self.columns))


def make_sprites(images: np.ndarray, ids: Sequence[int], columns: int | None = None) -> Sprites:
    """Return the sheet of `images`; the same images in the same order give the same bytes.

    Args:
        images: `n x C x H x W` uint8, C = 1 or 3; sides above 96 pixels are scaled down.
        ids: `n` distinct dataset indices, one per image.
        columns: tiles in a row; about as many as rows where not given.

    Raises:
        DataError: wrong shape or type, repeated ids, or too many tiles for one picture.
    """
    ids = tuple(int(item) for item in ids)
    if images.ndim != 4 or images.shape[1] not in (1, 3) or images.dtype != np.uint8:
        raise DataError(
            field="images",
            value=f"{images.dtype} {images.shape}",
            hint="give uint8 images n x C x H x W with C 1 or 3",
        )
    if len(ids) != len(images) or len(set(ids)) != len(ids):
        raise DataError(
            f"{len(set(ids))} distinct ids",
            field="ids",
            limit=len(images),
            hint=f"give {len(images)}, one an image",
        )
    tiles = _fit(images)
    n, height, width, channels = tiles.shape
    columns = max(1, math.ceil(math.sqrt(n))) if columns is None else columns
    rows = max(1, math.ceil(n / columns))
    if max(columns * width, rows * height) > LARGEST_SHEET:
        raise DataError(
            f"thumbnails of {width} x {height} do not fit one picture",
            field="images",
            value=n,
            limit=LARGEST_SHEET,
            hint="show fewer",
        )
    blank = rows * columns - n
    padded = np.concatenate([tiles, np.zeros((blank, height, width, channels), np.uint8)])
    grid = padded.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    sheet = grid.reshape(rows * height, columns * width, channels)
    picture = Image.fromarray(sheet[:, :, 0] if channels == 1 else sheet)
    photo = n > MANY_TILES or (channels == 3 and max(width, height) >= PHOTO_TILE)
    buffer = io.BytesIO()
    if photo:
        picture.save(buffer, "JPEG", quality=90, subsampling=0)
    else:
        picture.save(buffer, "PNG", compress_level=3)
    data = buffer.getvalue()
    mime = "image/jpeg" if photo else "image/png"
    return Sprites(data, mime, digest_of(data), ids, width, height, columns)


def _fit(images: np.ndarray) -> np.ndarray:
    """Return `images` as `n x H x W x C`, no side above 96 pixels."""
    tiles = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    height, width = tiles.shape[1:3]
    scale = LARGEST_TILE / max(height, width)
    if scale >= 1:
        return tiles
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = [
        np.asarray(Image.fromarray(tile.squeeze(-1) if tile.shape[-1] == 1 else tile).resize(size))
        for tile in tiles
    ]
    return np.stack(small).reshape(len(tiles), size[1], size[0], tiles.shape[-1])
