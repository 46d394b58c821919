"""Inputs that nobody meant: settings, ids, tables, archives, images, addresses. A value or a refusal, within 2 s."""

import copy
import io
import json
import os
import random
import time
import unicodedata
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from common import Tally, scratch
from PIL import Image

from rambo.collection import collection as own
from rambo.collection.readers import tables
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
        kinds: list[Callable[[random.Random], None]] = [
            _settings, _file, lambda d: Workspace(folder).find(_text(d)) and None, _table, _slug, _arrays, _share,
            _line,
        ]  # fmt: skip
        for number in range(limit):
            kind = kinds[number % len(kinds)]
            begun = random.Random(draw.random())
            tally.check(f"{getattr(kind, '__name__', 'run id')} {number}", _one, kind, begun)
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


def images(draw: random.Random) -> bytes:
    """Return a mutated picture in a zip, for readers of archives."""
    picture, packed = io.BytesIO(), io.BytesIO()
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(picture, "PNG")
    with zipfile.ZipFile(packed, "w") as bundle:
        bundle.writestr("a/x.png", _mutated(picture.getvalue(), draw))
    return _mutated(packed.getvalue(), draw)
