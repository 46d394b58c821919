"""From a file's bytes to one small upright picture of three channels, with distrust.

Size and format are read from the header before a pixel is decoded; a JPEG is decoded at a fraction
of its size where that is enough. Metadata (a place, a camera) is never kept.
"""

import hashlib
import io
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from rambo.collection.looks import LIMITS, SMALL, Limits, Look, Pixels, shrink_to_8_bit
from rambo.collection.records import Frame
from rambo.storage.files import RefusedError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
_GREY = (128, 128, 128)  # of a letterbox: neither dark nor bright
_WHITE = 255  # behind what is transparent
_SAMPLE = 64  # side of the sample that tells brightness, contrast and colour
_NEAR = 3  # times the frame: from there on a better filter takes over


def look_at_file(data: bytes, frame: Frame, limits: Limits = LIMITS) -> Look:
    """Return what the bytes of an image file show.

    Raises:
        RefusedError: they are no image of a known format, too large, or damaged; says which.
    """
    if len(data) > limits.file_bytes:
        raise RefusedError(
            f"{len(data) / 1e6:.0f} MB",
            f"an image file may have {limits.file_bytes / 1e6:.0f} MB",
            limits.file_bytes,
        )
    if not data:
        raise RefusedError("the file is empty", "copy it again from where it came")
    picture, size, mode = _decode(data, limits, want=(frame.width, frame.height))
    return _look(picture, size, mode, frame, hashlib.sha256(data).hexdigest())


def look_at_array(pixels: Pixels, frame: Frame) -> Look:
    """Return what an array shows.

    Args:
        pixels: `H x W` or `H x W x 3` uint8.
        frame: the working size.
    """
    solid = np.ascontiguousarray(pixels)
    picture = Image.fromarray(solid)
    return _look(picture.convert("RGB"), picture.size, picture.mode, frame, _array_id(solid))


def to_png(pixels: Pixels) -> bytes:
    """Return an array as a PNG file, pixel by pixel."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def stored_original(data: bytes, key: str) -> bytes | None:
    """Return the stored original that has the id `key`, or None where these bytes are damaged.

    An array has the id of its pixels. It was stored as a PNG file and comes back as that of the same pixels, so damage
    around them heals.
    """
    if hashlib.sha256(data).hexdigest() == key:
        return data
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            pixels = np.asarray(image)
    except Exception:  # a decoder raises a dozen kinds of errors, and all mean the same
        return None
    return to_png(pixels) if _array_id(pixels) == key else None


def _array_id(pixels: npt.NDArray[Any]) -> str:
    """Return the SHA-256 of an array's shape and pixels."""
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def header_size(data: bytes, limits: Limits = LIMITS) -> tuple[int, int] | None:
    """Return width and height from a file's header, or None where it has none that can be read."""
    try:
        with opened(data, limits) as image:
            return image.size
    except RefusedError:
        return None


def picture_within(data: bytes, side: int, limits: Limits = LIMITS) -> Image.Image:
    """Return the upright RGB picture in a file, at most `side` pixels in either direction.

    Raises:
        RefusedError: it is no image of a known format, too large, or damaged; says which.
    """
    picture, _, _ = _decode(data, limits, want=(side // 2, side // 2))
    picture.thumbnail((side, side))
    return picture


def opened(data: bytes, limits: Limits = LIMITS) -> Image.Image:
    """Return an image of a known format and a fair size, of which nothing but the header is read.

    Choice: the one place that opens an image file of a person's, so that formats and limits are the same everywhere.

    Raises:
        RefusedError: its header says that it is none.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow's own, looser limit
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_large(limits, "its header promises far more") from error
    except Exception as error:  # struct, syntax, value, OS and memory errors of ten decoders
        raise RefusedError(
            "damaged, or no PNG, JPEG, WebP, BMP, TIFF or GIF", "copy it again or save it as PNG"
        ) from error
    width, height = image.size
    most = limits.jpeg_pixels if image.format == "JPEG" else limits.pixels
    if max(width, height) > limits.side or width * height > most or min(width, height) < 1:
        raise _too_large(limits, f"{width:,} x {height:,} pixels")
    return image


def _too_large(limits: Limits, size: str) -> RefusedError:
    """Return the refusal of an image with too many pixels."""
    return RefusedError(
        f"too large: {size}",
        f"use at most {limits.pixels / 1e6:.0f} million pixels and sides of {limits.side:,}",
        limits.pixels,
    )


def _decode(
    data: bytes, limits: Limits, want: tuple[int, int]
) -> tuple[Image.Image, tuple[int, int], str]:
    """Return the upright RGB picture, the size of the original and its mode."""
    image = opened(data, limits)
    mode, (width, height) = image.mode, image.size
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            if image.format == "JPEG":
                longest = 2 * max(want)  # twice: the rest is done by a better filter
                image.draft(None, (longest, longest))
            if image.size[0] * image.size[1] > limits.pixels:
                raise _too_large(limits, f"{width:,} x {height:,} pixels")
            image.load()
            picture = _to_rgb(ImageOps.exif_transpose(image))
    except RefusedError:
        raise
    except Exception as error:
        reason = "it ends too early" if "truncated" in str(error).lower() else "damaged"
        raise RefusedError(reason, "copy it again from where it came") from error
    return picture, (height, width) if turned else (width, height), mode


def _to_rgb(image: Image.Image) -> Image.Image:
    """Return any mode as RGB; what is transparent stands on white, 16 bit go by their range."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        if image.mode == "F":
            values = _stretch(values)
        return Image.fromarray(shrink_to_8_bit(values.clip(0))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layered = image.convert("RGBA")
        ground = Image.new("RGBA", layered.size, (_WHITE, _WHITE, _WHITE, 255))
        return Image.alpha_composite(ground, layered).convert("RGB")
    return image.convert("RGB")


def _stretch(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a float image as 0..255: from [0, 1] or [0, 255], else from its own range."""
    if not np.isfinite(values).all():
        raise RefusedError("it holds numbers that are not finite", "save it as 8-bit")
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        return values * 255
    if low >= 0 and high <= 255:
        return values
    return (values - low) * (255 / max(high - low, 1e-12))


def _look(picture: Image.Image, size: tuple[int, int], mode: str, frame: Frame, key: str) -> Look:
    """Return the record of an upright RGB picture."""
    sample = picture.resize([min(side, _SAMPLE) for side in picture.size], Image.Resampling.NEAREST)
    colours = np.asarray(sample, dtype=np.int16)
    values = np.asarray(sample.convert("L"), dtype=np.float64)
    picture = _nearer(picture, frame)
    small = picture.convert("L").resize((SMALL, SMALL), Image.Resampling.BOX)
    fitted = np.asarray(_fit(picture, frame), dtype=np.uint8)
    return Look(
        id=key,
        width=size[0],
        height=size[1],
        mode=mode,
        grey=bool((np.ptp(colours, axis=2) == 0).all()),
        brightness=float(values.mean()),
        contrast=float(values.std()),
        small=small.tobytes(),
        pixels=np.ascontiguousarray(fitted.transpose(2, 0, 1)),
    )


def _nearer(picture: Image.Image, frame: Frame) -> Image.Image:
    """Return a large picture averaged down to a few times the frame."""
    factor = min(picture.width // frame.width, picture.height // frame.height) // _NEAR
    return picture.reduce(factor) if factor > 1 else picture


def _fit(picture: Image.Image, frame: Frame) -> Image.Image:
    """Return the picture in the frame, by its rule."""
    size = (frame.width, frame.height)
    if picture.size == size:
        return picture
    filter_ = Image.Resampling.LANCZOS
    if frame.fit == "crop":
        return ImageOps.fit(picture, size, filter_)
    scale = min(frame.width / picture.width, frame.height / picture.height)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    ground = Image.new("RGB", size, _GREY)
    place = ((frame.width - width) // 2, (frame.height - height) // 2)
    ground.paste(picture.resize((width, height), filter_), place)
    return ground
