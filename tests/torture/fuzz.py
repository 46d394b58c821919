"""Inputs that nobody meant: settings, ids, tables, archives, images, command lines. A value or words, within 2 s."""

import contextlib
import copy
import functools
import io
import json
import os
import random
import shutil
import sys
import time
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from common import Tally, scratch
from PIL import Image

from rambo.collection import collection as own
from rambo.collection import workers
from rambo.collection.looks import LIMITS
from rambo.collection.readers import sources, tables
from rambo.collection.records import Frame
from rambo.commands import line
from rambo.config import build
from rambo.config.presets import quick
from rambo.errors import RamboError
from rambo.runs.access import sharing
from rambo.runs.audit import _parse
from rambo.runs.workspace import Workspace
from rambo.storage.files import RefusedError, unpack_arrays
from rambo.ui.configure import settings_file

_SECONDS = 2.0
_ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, float("nan"), float("inf"), 10**30, "", "1e5", "\ud800", "\x00", "../../etc", [], {},
    [[]], "=1+1", "a" * 5000, {"k": {}}, [1, "a"],
)  # fmt: skip


def run(limit: int, seed: int) -> list[Tally]:
    """Return what came of so many inputs, shared by all readers."""
    tally = Tally(
        "a fuzzed input", f"a value or a refusal in words, within {_SECONDS:g} s; never a trace"
    )
    draw = random.Random(seed)
    with scratch() as folder:
        os.environ["RAMBO_HOME"] = str(folder)
        kinds: dict[str, Callable[[random.Random], None]] = {
            "settings": _settings,
            "settings file": _file,
            "run id": lambda d: Workspace(folder).find(_text(d)) and None,
            "table": _table,
            "slug": _slug,
            "packed arrays": _arrays,
            "share": _share,
            "line of the log": _line,
            "command": functools.partial(_command, folder),
            **{name: functools.partial(_source, folder, name) for name in _FILES},
        }
        # Its code is imported first: that takes longer than an answer may.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            line.main(["list"])
        names, nowhere = list(kinds), folder / "nowhere"
        nowhere.mkdir()
        with contextlib.chdir(
            nowhere
        ):  # `import .` would else be an import, and what follows real work
            for number in range(limit):
                name = names[number % len(names)]
                begun = random.Random(draw.random())
                tally.check(f"{name} {number}", _one, kinds[name], begun)
    return [tally]


def _one(kind: Callable[[random.Random], None], draw: random.Random) -> str | None:
    begun = time.monotonic()
    try:
        kind(draw)
    except (RamboError, RefusedError) as refusal:
        words = str(refusal)
        if not all(c.isprintable() or unicodedata.category(c) == "Zs" for c in words):
            return f"words that do not print: {words!r}"
    taken = time.monotonic() - begun
    return f"took {taken:.1f} s" if taken > _SECONDS else None


def _text(draw: random.Random) -> str:
    alphabet = "ab-0./\\%;:@\x00\n=+é\u202e\ud800😀"
    return "".join(draw.choice(alphabet) for _ in range(draw.choice((0, 1, 5, 20, 300))))


def _value(draw: random.Random, depth: int = 0) -> Any:
    if depth < 3 and draw.random() < 0.3:
        return {_text(draw): _value(draw, depth + 1) for _ in range(draw.randrange(4))}
    return copy.deepcopy(draw.choice(_ODD))  # what comes next changes it


def _changed(draw: random.Random) -> Any:
    settings = json.loads(json.dumps(quick()))
    for _ in range(draw.randrange(1, 4)):
        node = settings
        while isinstance(node, dict) and node and draw.random() < 0.6:
            name = draw.choice(list(node))
            if not isinstance(node[name], dict):
                node[name] = _value(draw)
                break
            node = node[name]
        else:
            if isinstance(node, dict):
                node[draw.choice(["k", "budget", "seed", "dataset", "compute", _text(draw)])] = (
                    _value(draw)
                )
    return settings


def _settings(draw: random.Random) -> None:
    build(_changed(draw))


def _mutated(data: bytes, draw: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(draw.randrange(1, 8)):
        way, at = draw.randrange(4), draw.randrange(len(out) or 1)
        if way == 0 and out:
            out[at % len(out)] = draw.randrange(256)
        elif way == 1:
            del out[at : at + draw.randrange(40)]
        elif way == 2:
            out[at:at] = draw.randbytes(draw.randrange(40))
        else:
            out = out[:at] if draw.random() < 0.2 else out
    return bytes(out)


def _file(draw: random.Random) -> None:
    settings_file.read_file(_mutated(json.dumps(_changed(draw)).encode("utf-8", "replace"), draw))


def _table(draw: random.Random) -> None:
    kinds = {
        "a.csv": b"file,label\na.png,cat\nb.png,=1+1\n,\n",
        "a.jsonl": b'{"file": "a.png", "label": 3}\n{"file": "b", "label": null}\n',
        "a.json": json.dumps(
            [{"data": {"image": "a.png"}, "annotations": [{"result": []}]}]
        ).encode(),
    }
    name = draw.choice(list(kinds))
    tables.parse(_mutated(kinds[name], draw), name)


def _slug(draw: random.Random) -> None:
    own.parse(f"collection:{_text(draw)}@{draw.choice(('', '1', '-1', '9' * 400, 'a'))}")
    own.slug_of(_text(draw) or "a")


def _arrays(draw: random.Random) -> None:
    from rambo.storage.files import pack_arrays

    unpack_arrays(_mutated(pack_arrays({"x": np.arange(9, dtype=np.float32)}), draw))


def _share(draw: random.Random) -> None:
    sharing(
        draw.choice(("lan", "proxy", _text(draw))),
        [_text(draw)],
        draw.choice(("8501", _text(draw))),
        _text(draw),
    )


def _line(draw: random.Random) -> None:
    line = b'{"when": "a", "who": "b", "what": "c", "subject": "d", "more": "", "chain": "0"}'
    _parse(_mutated(line, draw))


def _picture(form: str) -> bytes:
    data = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(data, form)
    return data.getvalue()


def _zip(draw: random.Random) -> bytes:
    """Return a zip of a picture and a table, each whole or mutated."""
    form, packed = draw.choice(("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")), io.BytesIO()
    with zipfile.ZipFile(
        packed, "w", draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    ) as bundle:
        bundle.writestr(f"a/x.{form.lower()}", _mutated(_picture(form), draw))
        bundle.writestr(
            draw.choice(("b/y.png", f"b{_text(draw)}".replace("\ud800", ""))), _picture("PNG")
        )
        bundle.writestr("labels.csv", _mutated(b"file,label\na/x.png,cat\nb/y.png,dog\n", draw))
    return packed.getvalue()


def _npz(draw: random.Random) -> bytes:
    """Return arrays of images and labels, of many kinds and shapes."""
    kind = draw.choice((np.uint8, np.float32, np.float64, np.int64, np.uint16, np.bool_))
    count = draw.choice((0, 1, 5))
    shape = draw.choice(((count, 4, 4), (count, 3, 4, 4), (count, 4, 4, 3), (count,), (4,), ()))
    images = np.random.default_rng(0).random(shape) * draw.choice((1.0, 255.0, -1.0, 1e30))
    labels = draw.choice(
        (
            np.arange(count),
            np.array(["a"] * count),
            np.full(count, np.nan),
            np.eye(count),
            np.zeros((count, 1)),
        )
    )
    packed = io.BytesIO()
    with np.errstate(invalid="ignore", over="ignore"):
        arrays = {
            "images": np.asarray(images).astype(kind),
            draw.choice(("labels", "y", "z")): labels,
        }
    draw.choice((np.savez, np.savez_compressed))(packed, **arrays)
    return packed.getvalue()


def _parquet(draw: random.Random) -> bytes:
    """Return a table with pictures inside, in one of the ways that others write."""
    picture, packed = _mutated(_picture("PNG"), draw), io.BytesIO()
    inside: list[Any] = draw.choice(
        ([{"bytes": picture, "path": "a.png"}] * 3, [picture] * 3, ["a.png"] * 3, [None] * 3)
    )
    labels: list[Any] = draw.choice(
        ([0, 1, 0], ["cat", None, "dog"], [[0], [1], []], [1.5, 2.0, None])
    )
    pq.write_table(pa.table({"image": inside, "label": labels}), packed)
    return packed.getvalue()


def _rows(draw: random.Random) -> bytes:
    """Return a table that names pictures, or holds them."""
    return draw.choice(
        (
            b"file,label\na.png,cat\n",
            b"path;class\n/etc/passwd;x\n",
            b"image,label\ndata:image/png;base64,AAAA,1\n",
        )
    )


_FILES = {"zip": _zip, "npz": _npz, "parquet": _parquet, "csv": _rows}


def _source(folder: Path, ending: str, draw: random.Random) -> None:
    """Read a mutated file as an import does, and every picture of it."""
    place = folder / f"sources-{os.getpid()}"
    place.mkdir(exist_ok=True)
    try:
        path = place / f"upload.{ending}"
        data = _FILES[ending](draw)
        path.write_bytes(_mutated(data, draw) if draw.random() < 0.7 else data)
        source = sources.read_source(path, LIMITS, place)
        work = workers.Work(source.loader, Frame(8, 8), LIMITS, store=True)
        for payload in source.loader.load([item.key for item in source.items]):
            workers._read_one(payload, work)
    finally:
        shutil.rmtree(place)


_COMMANDS = (
    ("show", "R"), ("show", "R", "--json"), ("export", "R"), ("export", "R", "--format", "csv", "--out", "T"),
    ("pack", "R", "--out", "T"),
    ("export", "R", "--format", "T", "--out", "T"), ("unpack", "T"), ("list", "--json"),
    ("collections", "T"), ("audit", "--json"),
    ("collections", "T", "--version", "T"), ("import", "T"), ("import", "T", "--name", "T"), ("label", "T", "T"),
    ("ledger", "T"), ("next", "T"), ("prepare", "T"), ("resume", "R"), ("train", "T"), ("work", "T"), ("rehearse", "T"),
    ("run", "--dataset", "no-such", "--set", "S"), ("run", "--dataset", "no-such", "--k", "T", "--budget", "T"),
    ("study", "T"), ("study", "budget", "--dataset", "no-such", "--set", "S"), ("T", "T"), ("plan", "T"), (),
)  # fmt: skip


_PATHS = (
    "k",
    "budget",
    "seed",
    "trials",
    "acquisition.batch_size",
    "rambo.offline.pairs",
    "dataset.noise",
    "compute",
)


def _command(folder: Path, draw: random.Random) -> None:
    """Run a command with words that nobody meant: it ends with 0, 1 or 2 and without a trace."""

    def word(kind: str) -> str:
        if kind == "S":
            value = draw.choice(("T", "-1", "1e400", "nan", "true", "[]", "{}", ""))
            return f"{draw.choice((*_PATHS, _text(draw)))}={_text(draw) if value == 'T' else value}"
        if kind in ("T", "R"):
            return draw.choice(
                (
                    _text(draw),
                    "20260101-000000-aaaa",
                    "../no",
                    "-1",
                    "--json",
                    str(folder / "no"),
                    "nothing.zip",
                )
            )
        return kind

    # What a shell can hand over: no NUL, and bytes that are no UTF-8 as Python writes them.
    arguments = [
        word(kind).replace("\x00", "").replace("\ud800", "\udcff")
        for kind in draw.choice(_COMMANDS)
    ]
    # `import /` would be a real import, for as long as it takes.
    arguments = ["nothing" if word and Path(word).is_absolute() else word for word in arguments]
    complaints, before, begun = io.StringIO(), sys.stdin, time.monotonic()
    sys.stdin = io.TextIOWrapper(io.BytesIO(_text(draw).encode("utf-8", "surrogatepass")))
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(complaints):
            code = line.main(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdin = before
    output = complaints.getvalue()
    if code not in (0, 1, 2) or "Traceback" in output or "unforeseen" in output:
        raise AssertionError(f"{arguments!r} ended with {code}: {output[-300:]}")
    if (taken := time.monotonic() - begun) > _SECONDS:
        raise AssertionError(f"{arguments!r} took {taken:.1f} s")
