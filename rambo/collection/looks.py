"""What one look at an image gives, and what an image file may ask for. Reads no image: see `images`."""

import dataclasses
import os
import zlib

import numpy as np
import numpy.typing as npt

from rambo.errors import ConfigError

SUFFIXES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".webp",
    ".bmp",
    ".dib",
    ".tif",
    ".tiff",
    ".gif",
)
_AS_PNG = "save it as JPEG or PNG"
FOREIGN = {  # what people take for images and what is not read: kind, and what to do
    **dict.fromkeys((".heic", ".heif"), f"HEIC, which is not read; {_AS_PNG}"),
    **dict.fromkeys((".avif", ".jxl", ".jp2"), f"an image format that is not read; {_AS_PNG}"),
    **dict.fromkeys((".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2"), f"raw; {_AS_PNG}"),
    **dict.fromkeys((".dcm", ".nii", ".svs", ".czi", ".nd2"), f"a scan; {_AS_PNG}"),
    **dict.fromkeys((".svg", ".psd"), f"a drawing; {_AS_PNG}"),
    **dict.fromkeys(
        (".mp4", ".mov", ".avi", ".mkv"), "a video; save the frames that count as JPEG"
    ),
}
SMALL = 16  # side of the grey picture by which near duplicates are recognised

Pixels = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one file may ask for; a person may raise it.

    Attributes:
        file_bytes: of an image file.
        pixels: decoded.
        jpeg_pixels: in the header of a JPEG, which is decoded at a fraction of that.
        side: longest side.
        total_bytes: of everything in an archive, unpacked.
        ratio: unpacked bytes for a packed one.
        ratio_from: members below this size may have any ratio.
        members: files in an archive or a folder.
    """

    file_bytes: int = 32_000_000
    pixels: int = 16_000_000
    jpeg_pixels: int = 64_000_000
    side: int = 16_384
    total_bytes: int = 2_000_000_000
    ratio: int = 200
    ratio_from: int = 1_000_000
    members: int = 500_000


LIMITS = Limits()


def limits_from_environment(limits: Limits = LIMITS) -> Limits:
    """Return the limits, raised to as many gigabytes as RAMBO_MAX_GB says.

    Raises:
        ConfigError: it is no number.
    """
    text = os.environ.get("RAMBO_MAX_GB")
    return limits if not text else raised(limits, text)


def raised(limits: Limits, text: str) -> Limits:
    """Return the limits with so many gigabytes unpacked, and any ratio of packing.

    Raises:
        ConfigError: `text` is no number of gigabytes.
    """
    try:
        gigabytes = float(text)
    except ValueError:
        gigabytes = 0.0
    if not 0 < gigabytes <= 1e6:
        raise ConfigError(
            field="limit", value=text, limit=0, hint="use a number of gigabytes above 0"
        )
    return dataclasses.replace(limits, total_bytes=int(gigabytes * 1e9), ratio=10**9)


@dataclasses.dataclass(frozen=True, eq=False)
class Look:
    """What one look at an image gives.

    Attributes:
        id: SHA-256 of the file's bytes, or of an array's shape and pixels.
        width: of the original, upright.
        height: of the original, upright.
        mode: of the original.
        grey: no pixel has a colour.
        brightness: mean of the grey picture, 0 to 255.
        contrast: its standard deviation.
        small: `SMALL x SMALL` grey bytes of the whole image, squeezed to a square.
        pixels: `3 x height x width` uint8 in the frame.
    """

    id: str
    width: int
    height: int
    mode: str
    grey: bool
    brightness: float
    contrast: float
    small: bytes
    pixels: Pixels

    @property
    def crc(self) -> int:
        """The CRC-32 of the pixels."""
        return zlib.crc32(self.pixels.tobytes())


def sniff_suffix(data: bytes) -> str:
    """Return the suffix that fits what the bytes are."""
    for start, suffix in (
        (b"\x89PNG", ".png"),
        (b"\xff\xd8", ".jpg"),
        (b"BM", ".bmp"),
        (b"II*\0", ".tif"),
        (b"MM\0*", ".tif"),
        (b"GIF8", ".gif"),
    ):
        if data.startswith(start):
            return suffix
    return ".webp" if data.startswith(b"RIFF") and data[8:12] == b"WEBP" else ".bin"


def shrink_to_8_bit(values: np.ndarray) -> Pixels:
    """Return whole numbers above 8 bits as bytes, by their range and never clipped.

    Choice: 16 bits when anything is above 4,095, 12 bits when above 1,023, 10 bits when above 255
    (cameras and scanners store those in 16), else the bytes themselves.
    """
    top = int(values.max(initial=0))
    if top <= 255:
        return values.astype(np.uint8)
    full = next(limit for limit in (1023, 4095, 65535, 2**32 - 1) if top <= limit)
    return np.round(values.astype(np.float64) * (255 / full)).astype(np.uint8)
