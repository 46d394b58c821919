"""Bytes that are the same each time: zip archives, PNG images and `.npy` arrays."""

import io
import zipfile
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip archive can name
_UNIX = 3
_MODE = 0o100644  # an ordinary file that its owner may write and all may read


def to_zip(members: Mapping[str, bytes]) -> bytes:
    """Return a zip archive of files by name: sorted, without times, owners or rights of their own."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(members):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system, info.external_attr = _UNIX, _MODE << 16
            archive.writestr(info, members[name], zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def to_png(image: NDArray[np.uint8]) -> bytes:
    """Return one image as a lossless PNG without metadata.

    Args:
        image: `C x H x W`, C 1 (grey) or 3 (red, green, blue).
    """
    pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
    return buffer.getvalue()


def to_jpeg(picture: Image.Image) -> bytes:
    """Return a picture to look at as a JPEG without metadata."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def to_npy(numbers: list[int]) -> bytes:
    """Return whole numbers as an int64 `.npy` file."""
    buffer = io.BytesIO()
    np.save(buffer, np.array(numbers, np.int64), allow_pickle=False)
    return buffer.getvalue()
