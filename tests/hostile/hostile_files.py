"""Files that mean harm or come from a hard life, made from a seed: every family of docs/reliability.md's uploads.

`images` fills a folder, `members` a zip; `archives`, `arrays` and `tables` write one file a case.
"""

import base64
import io
import json
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, PngImagePlugin

RED, SIDE = (200, 30, 40), 48
Case = tuple[
    str, bytes, tuple[int, ...] | None
]  # name, bytes, the colour to be shown; None: to be refused


def packed(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def plain(mode: str = "RGB", colour: object = RED, size: tuple[int, int] = (SIDE, SIDE)):
    return Image.new(mode, size, colour)


def noisy(seed: int, size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    shape = (size[1], size[0], 3)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(width: int, height: int, *, depth: int = 8, colour: int = 2, body: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = zlib.compress(body or bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(*part) for part in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    )


def jpeg_of(width: int, height: int) -> bytes:
    data = bytearray(packed(noisy(1), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def _bombs() -> list[Case]:
    """Image bombs: to be refused by their header, or by what decoding them may take."""
    whole = packed(plain())
    text = chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(80_000_000)))
    colour = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(80_000_000)))
    gif = bytearray(packed(plain("P", 1), "GIF"))
    gif[6:10] = struct.pack("<HH", 65535, 65535)
    bmp = bytearray(packed(plain(), "BMP"))
    bmp[18:26] = struct.pack("<ii", 2**30, 2**30)
    webp = bytearray(packed(plain(), "WEBP", lossless=True))
    webp[21:25] = struct.pack("<I", 0x0FFFFFFF)
    tiff = packed(plain("1", 0, (20_000, 20_000)), "TIFF", compression="group4")
    return [
        ("bomb-huge-header.png", png_of(2**31 - 1, 2**31 - 1), None),
        ("bomb-81-megapixels.png", png_of(9000, 9000), None),
        ("bomb-169-megapixels-1-bit.png", png_of(13_000, 13_000, depth=1, colour=0), None),
        ("bomb-long.png", png_of(60_000, 100), None),
        ("bomb-side.jpg", jpeg_of(65_535, 65_535), None),
        ("bomb-256-megapixels.jpg", jpeg_of(16_000, 16_000), None),
        ("bomb-screen.gif", bytes(gif), None),
        ("bomb.bmp", bytes(bmp), None),
        ("bomb.webp", bytes(webp), None),
        ("bomb-fax.tif", tiff, None),
        ("bomb-text-chunk.png", whole[:33] + text + whole[33:], None),
        ("bomb-colour-profile.png", whole[:33] + colour + whole[33:], None),
        ("bomb-negative.bmp", bytes(bmp[:18]) + struct.pack("<ii", -5, -5) + bytes(bmp[26:]), None),
    ]


def _forms() -> list[Case]:
    """Forms that are taken, each with the colour it shows (a uniform one, so that no filter has a say)."""
    exif = Image.Exif()
    exif[0x0112] = 6
    place = Image.Exif()
    place[0x8825] = {1: "N", 2: (1.0, 2.0, 3.0)}
    frames = [plain("RGB", RED), plain("RGB", (0, 0, 255))]
    grey16 = Image.fromarray(np.full((SIDE, SIDE), 257 * 90, np.uint16))
    float32 = Image.fromarray(np.full((SIDE, SIDE), 0.5, np.float32))
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "<script>alert(1)</script>")
    more = {"save_all": True, "append_images": frames[1:]}
    return [
        ("form-turned.jpg", packed(plain(), "JPEG", exif=exif, quality=95), RED),
        ("form-place.jpg", packed(plain(), "JPEG", exif=place, quality=95), RED),
        ("form-progressive.jpg", packed(plain(), "JPEG", progressive=True, quality=95), RED),
        ("form-cmyk.jpg", packed(plain("CMYK", (0, 255, 255, 0)), "JPEG", quality=95), (255, 0, 0)),
        ("form-grey.jpg", packed(plain("L", 77), "JPEG"), (77, 77, 77)),
        ("form-1-bit.png", packed(plain("1", 1)), (255, 255, 255)),
        ("form-grey.png", packed(plain("L", 77)), (77, 77, 77)),
        ("form-grey-alpha.png", packed(plain("LA", (0, 0))), (255, 255, 255)),
        ("form-alpha.png", packed(plain("RGBA", (*RED, 0))), (255, 255, 255)),
        ("form-half-alpha.png", packed(plain("RGBA", (0, 0, 0, 128))), (127, 127, 127)),
        ("form-palette.png", packed(plain().quantize(4)), RED),
        ("form-palette-alpha.png", packed(plain("P", 0), transparency=0), (255, 255, 255)),
        ("form-16-bit.png", packed(grey16), (90, 90, 90)),
        ("form-16-bit.tif", packed(grey16, "TIFF"), (90, 90, 90)),
        ("form-float.tif", packed(float32, "TIFF"), (128, 128, 128)),
        ("form-cmyk.tif", packed(plain("CMYK", (0, 255, 255, 0)), "TIFF"), (255, 0, 0)),
        ("form-lzw.tif", packed(plain(), "TIFF", compression="tiff_lzw"), RED),
        ("form-animated.gif", packed(frames[0], "GIF", **more), RED),
        ("form-animated.webp", packed(frames[0], "WEBP", lossless=True, **more), RED),
        ("form-animated.png", packed(frames[0], "PNG", **more), RED),
        ("form-animated.tif", packed(frames[0], "TIFF", **more), RED),
        ("form-alpha.webp", packed(plain("RGBA", (*RED, 0)), "WEBP", lossless=True), (255,) * 3),
        ("form-8-bit.bmp", packed(plain("P", 0).convert("L"), "BMP"), (0, 0, 0)),
        ("form-one-pixel.png", packed(plain(size=(1, 1))), RED),
        ("form-4000-to-1.png", packed(plain(size=(4000, 1))), (128, 128, 128)),
        ("form-comment.png", packed(plain(), pnginfo=info), RED),
    ]


def _disguises() -> list[Case]:
    """Wrong suffixes (read by what they are), and other kinds of files that call themselves images."""
    image = packed(plain())
    script = b"<script>alert(1)</script>"
    cases: list[Case] = [
        ("disguise-png.jpg", image, RED),
        ("disguise-jpeg.png", packed(plain(), "JPEG", quality=95), RED),
        ("disguise-webp.gif", packed(plain(), "WEBP", lossless=True), RED),
        ("disguise-with-a-zip.png", image + b"PK\x05\x06" + bytes(18), RED),
        ("disguise-with-html.png", image + script, RED),
        ("disguise-with-php.gif", packed(plain(), "GIF") + b"<?php x ?>", RED),
    ]
    others = {
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        "html": b"<!doctype html>" + script,
        "xml-bomb": b'<!DOCTYPE l [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><l>&b;</l>',
        "pdf": b"%PDF-1.7\n%\xe2\xe3",
        "zip": b"PK\x03\x04" + bytes(40),
        "elf": b"\x7fELF" + bytes(60),
        "pickle": b"\x80\x04cos\nsystem\n(S'touch owned'\ntR.",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "icon": b"\0\0\1\0\1\0" + bytes(40),
        "jpeg2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40),
        "photoshop": b"8BPS\0\1" + bytes(40),
        "pcx": b"\n\5\1\10" + bytes(124),
        "empty": b"",
        "zeros": bytes(4000),
        "text": b"hello",
    }
    return cases + [(f"disguise-{name}.png", data, None) for name, data in others.items()]


def _torn(seed: int) -> list[Case]:
    """Files that end too early, one a format, and noise behind a good start."""
    rng = np.random.default_rng(seed)
    cases: list[Case] = []
    for form, suffix in (
        ("PNG", "png"),
        ("JPEG", "jpg"),
        ("WEBP", "webp"),
        ("BMP", "bmp"),
        ("TIFF", "tif"),
    ):
        whole = packed(noisy(seed, (200, 150)), form)
        cases.append((f"torn-half.{suffix}", whole[: len(whole) // 2], None))
        noise = rng.integers(0, 256, 3000, dtype=np.uint8).tobytes()
        cases.append((f"torn-noise.{suffix}", whole[:8] + noise, None))
    return cases


def images(seed: int) -> list[Case]:
    """Return image files: name, bytes, and the colour to be shown or None where they are to be refused."""
    return [*_bombs(), *_forms(), *_disguises(), *_torn(seed)]


ESCAPES = [
    *("../{}.png", "../../../../tmp/{}.png", "a/../../{}.png", "a/b/../../../{}.png", "..//{}.png"),
    *("/{}.png", "//host/share/{}.png", "/etc/{}.png", "C:/{}.png", "c:{}.png", "C:/../{}.png"),
    *("./../{}.png", "a/..", "..", "../", "a/../..", "{}/../../x.png", "../{}/", "Z:/a/{}.png"),
]
INSIDE = [
    *("%2e%2e/{}.png", "a/%2e%2e%2f{}.png", "....//{}.png", "a/.../{}.png", "{}.png ", "{}.png."),
    *("a /{}.png", "CON/{}.png", "NUL.png", "aux/{}.png", "ab:c/{}.png", "{}\n.png", "{}\t.png"),
    *(
        "{}\u202egnp.exe.png",
        "{}\u200b.png",
        "{}\uff0e\uff0e\uff0f.png",
        "ü{}.png",
        "u\u0308{}.png",
    ),
    *("<b>{}.png", "{}'\";--.png", "=cmd|'{}'.png", "![]({}).png", "$(touch {}).png", "🙂/{}.png"),
    *("-{}.png", "{}" + "x" * 230 + ".png", "~/{}.png", "a/./{}.png", "a//{}.png"),
]


def members() -> list[tuple[str, str]]:
    """Return names for members of a zip, and whether each `leads out` or stays `inside`."""
    names = []
    for place, name in enumerate(ESCAPES):
        text = name.format(place)
        names += [(text, "leads out"), (text.replace("/", "\\"), "leads out")]
    return names + [(name.format(place + 100), "inside") for place, name in enumerate(INSIDE)]


def zipped(path: Path, parts: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as archive:
        warnings.simplefilter("ignore")  # of two members of one name
        for name, data in parts:
            archive.writestr(name, data)
    return path


def odd_members(path: Path) -> list[str]:
    """Write a zip with a good image and members that are no plain files; return the names of these."""
    kinds = {
        "link.png": stat.S_IFLNK,
        "pipe.png": stat.S_IFIFO,
        "character.png": stat.S_IFCHR,
        "block.png": stat.S_IFBLK,
        "socket.png": stat.S_IFSOCK,
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/good.png", packed(noisy(5)))
        for name, kind in kinds.items():
            member = zipfile.ZipInfo(f"cat/{name}")
            member.external_attr = (kind | 0o777) << 16
            archive.writestr(member, "/etc/passwd")
        archive.writestr("cat/secret.png", packed(noisy(6)))
        archive.writestr("cat/method.png", packed(noisy(7)))
        archive.writestr("cat/inner.png", zipped_bytes([("a.png", packed(noisy(8)))]))
        archive.writestr("cat/zeros.png", bytes(30_000_000))
        archive.writestr("cat/sum.png", packed(noisy(9)))
    data = bytearray(path.read_bytes())
    _patch(data, b"cat/secret.png", 8, b"\1\0")  # encrypted
    _patch(data, b"cat/method.png", 10, b"\x63\0")  # a method that nobody has
    _patch(data, b"cat/sum.png", 16, b"abcd")
    path.write_bytes(data)
    return [*(f"cat/{name}" for name in kinds)] + [
        f"cat/{name}.png" for name in ("secret", "method", "inner", "zeros", "sum")
    ]


def zipped_bytes(parts: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts:
            archive.writestr(name, data)
    return buffer.getvalue()


def _patch(data: bytearray, name: bytes, offset: int, value: bytes) -> None:
    """Overwrite a field of the last directory entry of a name."""
    at = data.rindex(name) - 46 + offset
    data[at : at + len(value)] = value


def _end(data: bytearray, offset: int, value: bytes) -> bytes:
    """Return a zip with a field of its end record overwritten."""
    at = data.rindex(b"PK\x05\x06") + offset
    data[at : at + len(value)] = value
    return bytes(data)


def _repeated(count: int, size: int, *, claim: int | None = None) -> bytes:
    """Return a zip whose directory names one member `count` times, each said to have `size` bytes."""
    data = zipped_bytes([("cat/a.png", packed(noisy(1)))])
    start, end = data.index(b"PK\x01\x02"), data.rindex(b"PK\x05\x06")
    entry = bytearray(data[start:end])
    entry[24:28] = struct.pack("<I", size)
    directory = bytes(entry) * count
    number = min(0xFFFF, count if claim is None else claim)
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, number, number, len(directory), start, 0)
    return data[:start] + directory + tail


def archives(folder: Path) -> list[Path]:
    """Write zips that are bombs, lies or ruins; each is refused, or its members are."""
    good = zipped_bytes([("cat/a.png", packed(noisy(1)))])
    zeros = zipped_bytes([("cat/a.png", bytes(60_000_000))])
    small = bytearray(zipped_bytes([("cat/a.png", bytes(50_000_000))]))
    at = small.rindex(b"PK\x01\x02")
    small[at + 24 : at + 28] = struct.pack("<I", 10)
    huge = zipped_bytes([("cat/a.png", b"x")]).replace(
        b"\1\0\0\0\1\0\0\0", b"\1\0\0\0\xfe\xff\xff\xff"
    )
    nested = good
    for level in range(5):
        nested = zipped_bytes([(f"{level}.zip", nested)] * 1 + [(f"{level}.png", nested)])
    files = {
        "ratio-1000": zeros,
        "nested": nested,
        "a-million-members": _repeated(600_000, 1),
        "a-million-members-said-one": _repeated(600_000, 1, claim=1),
        "overlapping": _repeated(1500, 900_000),
        "three-gigabytes": _repeated(3400, 900_000),
        "size-too-small": bytes(small),
        "size-too-large": huge,
        "end-missing": good[:-30],
        "half": good[: len(good) // 2],
        "start-only": b"PK\x03\x04" + bytes(100),
        "directory-elsewhere": _end(bytearray(good), 16, struct.pack("<I", 2**31)),
        "directory-too-long": _end(bytearray(good), 12, struct.pack("<I", 2**31)),
        "disk-seven": _end(bytearray(good), 4, struct.pack("<HH", 7, 7)),
        "count-lies": _end(bytearray(good), 8, struct.pack("<HH", 60_000, 60_000)),
        "directory-of-noise": good[: good.index(b"PK\x01\x02")]
        + np.random.default_rng(0).integers(0, 256, 90, dtype=np.uint8).tobytes()
        + good[good.rindex(b"PK\x05\x06") :],
        "comment-with-an-end": _end(bytearray(good), 20, struct.pack("<H", 22))
        + b"PK\x05\x06"
        + bytes(18),
        "zip64-lies": good[: good.rindex(b"PK\x05\x06")]
        + struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 2**40, 2**40, 2**40, 0)
        + struct.pack("<4sIQI", b"PK\6\7", 0, good.rindex(b"PK\x05\x06"), 1)
        + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0),
    }
    return _write(folder, files, "zip")


def _npy(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + data


def arrays(folder: Path) -> list[Path]:
    """Write `.npz` files that are bombs, lies or ruins; each is refused."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (20, 8, 8), dtype=np.uint8), np.arange(20) % 2
    whole = io.BytesIO()
    np.savez(whole, images=x, labels=y)
    good = whole.getvalue()
    label = good[good.index(b"PK\x03\x04", 10) :]
    labels = io.BytesIO()
    np.save(labels, y)

    def with_images(member: bytes) -> bytes:
        return zipped_bytes([("images.npy", member), ("labels.npy", labels.getvalue())])

    shape = "{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}".format
    objects = np.empty(3, object)
    objects[:] = [x, x, x]
    stream = io.BytesIO()
    np.save(stream, objects, allow_pickle=True)
    files = {
        "shape-lies": with_images(_npy(shape("|u1", "(1000000, 1000, 1000)"), bytes(100))),
        "shape-overflows": with_images(_npy(shape("<f8", "(4611686018427387904, 8)"), bytes(100))),
        "shape-negative": with_images(_npy(shape("|u1", "(-1, 8, 8)"), bytes(64))),
        "shape-empty": with_images(_npy(shape("|u1", "(0, 8, 8)"))),
        "shape-nothing": with_images(_npy(shape("|u1", "()"), b"1")),
        "shape-text": with_images(_npy(shape("|u1", "'eight'"), bytes(64))),
        "ratio-1000": with_images(_npy(shape("|u1", "(60000, 32, 32)"), bytes(61_440_000))),
        "item-of-2-gigabytes": with_images(_npy(shape("|V2000000000", "(20,)"), bytes(100))),
        "sub-array": with_images(
            _npy(shape("(8000,8000)u1", "(20,)").replace("'(", "'("), bytes(9))
        ),
        "objects": with_images(stream.getvalue()),
        "pickle": with_images(b"\x80\x04cos\nsystem\n(S'touch owned'\ntR."),
        "version-nine": with_images(_npy(shape("|u1", "(20, 8, 8)"), bytes(1280), b"\x09\x00")),
        "header-of-brackets": with_images(
            b"\x93NUMPY\x01\x00" + struct.pack("<H", 60_000) + b"(" * 60_000
        ),
        "header-code": with_images(_npy("__import__('os').system('touch owned')", bytes(64))),
        "header-cut": with_images(b"\x93NUMPY\x01\x00\xff\xff{'descr'"),
        "no-magic": with_images(b"hello"),
        "empty-member": with_images(b""),
        "data-cut": with_images(_npy(shape("|u1", "(20, 8, 8)"), bytes(100))),
        "data-too-long": with_images(_npy(shape("|u1", "(20, 8, 8)"), bytes(5000))),
        "labels-only": label,
        "noise": rng.integers(0, 256, 4000, dtype=np.uint8).tobytes(),
        "half": good[: len(good) // 2],
        "text": b"images and labels",
        "empty": b"",
        "no-arrays": zipped_bytes([("readme.txt", b"hello")]),
        "not-numbers": zipped_bytes(
            [("images.npy", _npy(shape("<M8[s]", "(2, 4, 4)"), bytes(256)))]
        ),
        "named-out": zipped_bytes([("../images.npy", good), ("/labels.npy", labels.getvalue())]),
    }
    return _write(folder, files, "npz")


def tables(folder: Path) -> list[Path]:
    """Write tables and parquet files that are bombs, lies or ruins; each is refused, or every row of it is."""
    bomb = "data:image/png;base64," + base64.b64encode(png_of(9000, 9000)).decode()
    csv = {
        "nulls": b"file,label\na.png,\0x\n",
        "quote": b'file,label\n"a.png,x\nb.png,y\n',
        "one-cell-of-2-megabytes": b"file,label\n" + b"a" * 2_000_000 + b",x\n",
        "50000-columns": b",".join(b"c%d" % n for n in range(50_000))
        + b"\n"
        + b"," * 49_999
        + b"\n",
        "noise": np.random.default_rng(1).integers(0, 256, 5000, dtype=np.uint8).tobytes(),
        "utf-16-half": "file,label\na.png,x\n".encode("utf-16")[:-1],
        "leads-out": b"file,label\n../../../../etc/passwd,x\n/etc/hostname,y\n",
        "addresses": b"file,label\nhttp://127.0.0.1:9/a.png,x\nfile:///etc/passwd,y\n",
        "no-columns": b"a\nb\nc\n",
        "empty": b"",
    }
    record = {"file_name": "a.png", "label": "x"}
    texts = {
        "deep": b"[" * 200_000,
        "deep-records": b'{"a":' * 50_000,
        "long-number": b'[{"file": ' + b"9" * 9000 + b"}]",
        "half": json.dumps([record] * 50).encode()[:-40],
        "bare": b"17",
        "of-lists": b"[[1], [2]]",
        "bomb-inside": json.dumps([{"image": bomb, "label": "x"}]).encode(),
        "broken-picture": json.dumps(
            [{"image": "data:image/png;base64,@@@@", "label": "x"}]
        ).encode(),
        "nothing-in-tasks": b'[{"data": {}, "annotations": [null, 3, {"result": [4]}]}]',
        "nan": b'[{"file": NaN, "label": Infinity}]',
    }
    lines = {"half": json.dumps(record).encode() + b'\n{"file', "of-numbers": b"1\n2\n"}
    written = (
        _write(folder, csv, "csv") + _write(folder, texts, "json") + _write(folder, lines, "jsonl")
    )
    return written + _write(folder, _parquets(), "parquet")


def _parquets() -> dict[str, bytes]:
    def of(table: pa.Table, **options: object) -> bytes:
        sink = io.BytesIO()
        pq.write_table(table, sink, **options)
        return sink.getvalue()

    images = pa.array([packed(noisy(n)) for n in range(4)], pa.binary())
    good = of(pa.table({"image": images, "label": ["a", "b", "a", "b"]}))
    footer = bytearray(good)
    footer[-40:-20] = bytes(20)
    rows = pa.array(np.zeros(5000, np.int32))  # one value of a megabyte, 5,000 times
    zeros = pa.DictionaryArray.from_arrays(rows, pa.array([bytes(1_000_000)], pa.binary()))
    return {
        "start-only": b"PAR1" + bytes(100) + b"PAR1",
        "half": good[: len(good) // 2],
        "footer": bytes(footer),
        "footer-length": good[:-8] + struct.pack("<I", 2**31 - 1) + b"PAR1",
        "5-gigabytes": of(
            pa.table({"image": zeros, "label": ["a"] * 5000}),
            compression="zstd",
            store_schema=False,
        ),
        "no-images": of(pa.table({"a": [1, 2], "label": ["a", "b"]})),
        "numbers": of(pa.table({"image": [1, 2], "label": ["a", "b"]})),
        "nulls": of(pa.table({"image": pa.array([None, None], pa.binary()), "label": ["a", "b"]})),
        "no-rows": of(
            pa.table({"image": pa.array([], pa.binary()), "label": pa.array([], pa.string())})
        ),
    }


def _write(folder: Path, files: dict[str, bytes], suffix: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / f"{name}.{suffix}").write_bytes(data)
    return [folder / f"{name}.{suffix}" for name in files]


Writer = Callable[[Path], list[Path]]
