"""A figure as the JSON that plotly.js reads: for the pages' chart, for a notebook, for a file."""

import base64
import gzip
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, Protocol

import numpy as np

# A figure or a part of one: its fields are plotly.js's, not ours.
Figure = dict[str, Any]

_SHORT = {"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4"}
_SHORT |= {"uint32": "u4", "float32": "f4", "float64": "f8"}  # numpy name -> plotly.js name


def digest_of(data: bytes) -> str:
    """Return 16 hexadecimal digits that change when `data` changes."""
    return blake2b(data, digest_size=8).hexdigest()


class PlotlyFigure(Protocol):
    """What `plot` needs of `plotly.graph_objects.Figure`."""

    def to_plotly_json(self) -> Figure:
        """Return the figure as a tree of dicts, lists and arrays."""


@dataclass(frozen=True)
class PreparedFigure:
    """A figure already written as JSON; keep it in `st.cache_resource` and hand it to the chart.

    Attributes:
        text: the JSON of `{"data": [...], "layout": {...}}`, arrays as base64.
        digest: changes when the figure changes; the browser redraws only then.
    """

    text: str
    digest: str

    @cached_property
    def packed(self) -> bytes:
        """The text, compressed, as the browser fetches it."""
        return gzip.compress(self.text.encode(), compresslevel=1, mtime=0)


def prepare_figure(figure: "Mapping[str, Any] | PlotlyFigure | PreparedFigure") -> PreparedFigure:
    """Return `figure` as JSON with its digest.

    Numpy arrays travel as plotly's own `{"dtype", "bdata"}`, about half the size of a list; give
    `float32` and `int32` where that is enough. A template is dropped: the theme takes its place.

    Args:
        figure: a dict with `data` and `layout`, or a plotly `Figure`.
    """
    if isinstance(figure, PreparedFigure):
        return figure
    tree = figure if isinstance(figure, Mapping) else figure.to_plotly_json()
    layout = {name: value for name, value in tree.get("layout", {}).items() if name != "template"}
    plain = {"data": _plain(list(tree.get("data", []))), "layout": _plain(layout)}
    text = json.dumps(plain, separators=(",", ":"), allow_nan=False)
    return PreparedFigure(text, digest_of(text.encode()))


def _plain(value: Any) -> Any:
    """Return `value` with arrays as base64 and without what JSON has no word for."""
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None  # a gap in a line
    if value is None or isinstance(value, str | int | float):
        return value
    if hasattr(value, "to_numpy"):  # a pandas column
        return _plain(value.to_numpy())
    if hasattr(value, "to_plotly_json"):  # a trace object inside a dict
        return _plain(value.to_plotly_json())
    return str(value)  # dates, paths


def _array(array: np.ndarray) -> Any:
    """Return `array` as plotly's typed array, or as a list where plotly has no such type."""
    if array.size == 0 or array.ndim not in (1, 2):
        return _plain(array.tolist())
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8:
        smallest = np.result_type(np.min_scalar_type(array.min()), np.min_scalar_type(array.max()))
        array = array.astype(smallest)
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    short = _SHORT.get(array.dtype.name)
    if short is None:
        return _plain(array.tolist())
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    spec = {"dtype": short, "bdata": base64.b64encode(little.tobytes()).decode("ascii")}
    if array.ndim == 2:
        spec["shape"] = f"{array.shape[0]}, {array.shape[1]}"
    return spec
