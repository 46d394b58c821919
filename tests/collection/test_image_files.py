"""One image file at a time: every mode and format with the pixels it must give, and what is refused by its header."""

import io
import re
import resource
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from collection_helpers import picture
from PIL import Image

from rambo.collection.images import look_at_array, look_at_file, opened, picture_within
from rambo.collection.looks import Limits
from rambo.collection.records import Frame
from rambo.storage.files import RefusedError

FRAME = Frame(16, 16)


def packed(image, form="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def pixels(data, frame=FRAME):
    return look_at_file(data, frame).pixels.transpose(1, 2, 0)


def plain(colour, mode="RGB", size=(16, 16)):
    return Image.new(mode, size, colour)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "GIF", "WEBP", "JPEG"])
def test_every_format_gives_its_colours(form):
    options = {"lossless": True} if form == "WEBP" else {"quality": 95} if form == "JPEG" else {}
    values = pixels(packed(plain((200, 40, 90)), form, **options)).reshape(-1, 3)
    assert np.abs(values.astype(int) - (200, 40, 90)).max() <= 3


def sixteen(values):
    return packed(Image.fromarray(np.array(values, dtype=np.uint16)))


EXPECTED = {
    "grey": (packed(plain(77, "L")), (77, 77, 77)),
    "one bit": (packed(plain(1, "1")), (255, 255, 255)),
    "palette": (
        packed(plain((10, 20, 30)).convert("P", palette=Image.Palette.ADAPTIVE)),
        (10, 20, 30),
    ),
    "clear alpha is white": (packed(plain((9, 9, 9, 0), "RGBA")), (255, 255, 255)),
    "half alpha": (packed(plain((0, 0, 0, 127), "RGBA")), (128, 128, 128)),
    "grey with alpha": (packed(plain((50, 255), "LA")), (50, 50, 50)),
    "cmyk": (packed(plain((0, 255, 255, 0), "CMYK"), "TIFF"), (255, 0, 0)),
    "16 bit": (sixteen(np.full((16, 16), 65535)), (255, 255, 255)),
    "16 bit, half": (sixteen(np.full((16, 16), 32896)), (128, 128, 128)),
    "12 bit in 16": (sixteen(np.full((16, 16), 4095)), (255, 255, 255)),
    "float in [0, 1]": (
        packed(Image.fromarray(np.full((16, 16), 0.5, np.float32)), "TIFF"),
        (127, 127, 127),
    ),
    "transparent palette": (
        packed(plain(0, "P"), transparency=0),
        (255, 255, 255),
    ),
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_every_mode_gives_the_pixels_written_down_here(kind):
    data, colour = EXPECTED[kind]
    assert np.unique(pixels(data).reshape(-1, 3), axis=0).tolist() == [list(colour)]


def test_16_bit_is_scaled_and_not_clipped():
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    values = pixels(sixteen(ramp))[..., 0].astype(int)
    assert np.abs(values - ramp / 257).max() <= 1


@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_orientation_is_applied_and_nothing_of_it_kept(turn):
    upright = np.zeros((16, 16, 3), np.uint8)
    upright[:8, :8] = (250, 0, 0)
    upright[:8, 8:] = (0, 250, 0)
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    image = Image.fromarray(upright)
    exif = Image.Exif()
    exif[0x0112] = turn
    stored = image.transpose(undo[turn]) if turn in undo else image
    assert np.array_equal(pixels(packed(stored, exif=exif)), upright)


def test_a_turned_photo_has_its_upright_size():
    exif = Image.Exif()
    exif[0x0112] = 6
    look = look_at_file(packed(picture(1, (90, 60)), "JPEG", exif=exif), FRAME)
    assert (look.width, look.height) == (60, 90)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_counts(form):
    frames = [plain((255, 0, 0)), plain((0, 0, 255))]
    data = packed(frames[0], form, save_all=True, append_images=frames[1:])
    assert np.abs(pixels(data)[8, 8].astype(int) - (255, 0, 0)).max() < 8


def test_an_extreme_shape_and_a_single_pixel_are_read():
    assert np.unique(pixels(packed(plain((9, 9, 9), size=(4000, 1))))).tolist() == [9, 128]
    assert np.unique(pixels(packed(plain((7, 7, 7), size=(1, 1))))).tolist() == [7]


def test_a_wrong_suffix_does_not_matter_but_another_kind_of_file_does():
    for data in (b"<svg onload='x'/>", b"%PDF-1.4", b"PK\x03\x04zip", b"<html>", b"\0" * 99):
        with pytest.raises(RefusedError, match="no PNG, JPEG"):
            look_at_file(data, FRAME)
    with pytest.raises(RefusedError, match="empty"):
        look_at_file(b"", FRAME)


def test_half_a_file_is_refused_and_never_half_shown():
    for form in ("PNG", "JPEG", "WEBP", "BMP", "TIFF"):
        whole = packed(picture(3, (200, 150)), form)
        with pytest.raises(RefusedError):
            look_at_file(whole[: len(whole) // 2], FRAME)


def test_mutated_files_are_read_or_refused_in_a_line():
    draw = np.random.default_rng(4)
    refused = 0
    for form in ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"):
        whole = packed(picture(3, (40, 30)), form)
        for _ in range(60):
            data = bytearray(whole)
            for _ in range(3):
                data[int(draw.integers(len(data)))] = int(draw.integers(256))
            try:
                assert look_at_file(bytes(data), FRAME).pixels.shape == (3, 16, 16)
            except RefusedError as error:
                assert len(str(error).splitlines()) == 1
                refused += 1
    assert refused > 60


def png_header(width, height):
    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def jpeg_header(width, height):
    data = bytearray(packed(picture(1, (64, 64)), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        png_header(9000, 9000),
        png_header(2**31 - 1, 2**31 - 1),
        png_header(20_000, 100),
        jpeg_header(65_500, 65_500),
        jpeg_header(16_000, 16_000),
        packed(plain(0, "1", (5000, 5000)), "TIFF", compression="group4"),
    ],
    ids=["large", "huge", "long", "jpeg side", "jpeg pixels", "fax"],
)
def test_a_decompression_bomb_is_refused_by_its_header(data):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    with pytest.raises(RefusedError, match="too large"):
        look_at_file(data, FRAME)
    assert time.perf_counter() - started < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32_000  # kB


def test_a_text_bomb_inside_a_png_is_refused():
    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    bomb = chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(80_000_000)))
    whole = packed(plain((1, 2, 3)))
    with pytest.raises(RefusedError):
        look_at_file(whole[:33] + bomb + whole[33:], FRAME)


def test_a_large_jpeg_is_decoded_at_a_fraction_and_a_large_file_is_refused():
    data = packed(plain((120, 130, 140), size=(6000, 4000)), "JPEG")  # 24 million pixels
    look = look_at_file(data, FRAME)
    assert (look.width, look.height) == (6000, 4000)
    assert np.abs(look.pixels[:, 8, 8].astype(int) - (120, 130, 140)).max() <= 2
    with pytest.raises(RefusedError, match="may have 0 MB"):
        look_at_file(data, FRAME, Limits(file_bytes=1000))


def test_the_same_bytes_are_the_same_image_and_shape_counts_for_arrays():
    data = packed(picture(1))
    assert look_at_file(data, FRAME).id == look_at_file(data, Frame(32, 32)).id
    array = np.arange(64, dtype=np.uint8)
    ids = {look_at_array(array.reshape(shape), FRAME).id for shape in ((8, 8), (4, 16), (16, 4))}
    assert len(ids) == 3


def test_brightness_contrast_and_colour_are_told():
    dark = look_at_file(packed(plain((3, 3, 3))), FRAME)
    assert (dark.brightness, dark.contrast, dark.grey) == (3.0, 0.0, True)
    bright = look_at_file(packed(picture(5)), FRAME)
    assert bright.contrast > 20
    assert not bright.grey


def test_a_picture_to_look_at_is_upright_small_and_of_three_channels():
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    picture = picture_within(packed(plain(128, "L", (900, 300)), "JPEG", exif=exif), 640)
    assert (picture.mode, picture.size) == ("RGB", (213, 640))


@pytest.mark.parametrize("open_it", [opened, lambda data: picture_within(data, 64)])
def test_what_pages_and_exports_open_has_a_known_format_and_a_fair_size(open_it):
    with pytest.raises(RefusedError, match="no PNG, JPEG"):
        open_it(packed(plain(0), "PPM"))
    with pytest.raises(RefusedError, match="too large"):
        open_it(packed(plain(0, "1", (5000, 4000))))


def test_image_files_are_opened_in_one_place():
    """The script that travels with a model opens what its owner gives it, far from here."""
    code = Path(__file__).parents[2] / "rambo"
    openers = {
        path.relative_to(code).as_posix()
        for path in code.rglob("*.py")
        if re.search(r"\bImage\.open\(", path.read_text())
    }
    assert openers == {"collection/images.py", "worker/classify_script.py"}
