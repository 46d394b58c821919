"""A Plotly chart that stays mounted: drawn once with `newPlot`, then updated with `react`.

`st.plotly_chart` of Streamlit 1.67 rebuilds a chart whose figure changed: it blinks and loses
the zoom. This component keeps its node, zoom, legend and lasso while a fragment feeds it.
"""

import base64
import gzip
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import streamlit as st

from rambo.errors import DataError
from rambo.ui.components import media, state

INLINE_LIMIT = 64_000  # characters; a larger figure is fetched once and not sent with each run
_HERE = Path(__file__).parent
_SHORT = {"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4"}
_SHORT |= {"uint32": "u4", "float32": "f4", "float64": "f8"}  # numpy name -> plotly.js name


class PlotlyFigure(Protocol):
    """What `plot` needs of `plotly.graph_objects.Figure`."""

    def to_plotly_json(self) -> dict[str, Any]:
        """Return the figure as a tree of dicts, lists and arrays."""


@dataclass(frozen=True)
class PreparedFigure:
    """A figure already written as JSON; keep it in `st.cache_resource` and hand it to `plot`.

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
    return PreparedFigure(text, media.digest_of(text.encode()))


def plot(
    figure: "Mapping[str, Any] | PlotlyFigure | PreparedFigure",
    *,
    key: str,
    alt: str,
    height: int = 320,
    select: bool = False,
    highlight: Sequence[int] | None = None,
    on_select: Callable[[], object] | None = None,
    file_name: str | None = None,
) -> list[int] | None:
    """Draw `figure`, and return the ids inside the person's lasso or box.

    Colours, fonts and grid follow the light or dark theme wherever the figure does not say
    otherwise; a colour may also be written `"var(--st-primary-color)"`. Plotly reads HTML in names
    and titles: pass those from data through `text.for_plot`. Zoom, legend and lasso
    outlive new data. A figure that did not change is neither sent nor drawn again; one that
    never changes should be a `PreparedFigure` from `st.cache_resource`.

    The selection is `st.session_state[key] = {"selected": [ids] | None}`; a page (in a callback,
    before this call) and AppTest may assign it.

    Args:
        figure: a dict, a plotly `Figure`, or `prepare_figure(...)`. Give points that can be
            selected or highlighted an integer `customdata` each. At most three charts of a page
            may use `scattergl`: a browser grants 16 WebGL contexts.
        key: unique on the page; it is the chart's identity and must not change with the data.
        alt: one sentence saying what the chart shows, for screen readers.
        height: pixels.
        select: start with the lasso tool; box and lasso report ids.
        highlight: ids (`customdata`) ringed on top of the chart.
        on_select: called before the rerun that a changed selection starts.
        file_name: name, without suffix, of the PNG download; `key` by default.

    Returns:
        Sorted distinct ids; `[]` for a lasso around nothing; None without a selection (nothing
        drawn yet, cleared by a double click or Escape, or `select=False`).
    """
    prepared = prepare_figure(figure)
    selected = state.current(key, None) if select else None
    inline = len(prepared.text) <= INLINE_LIMIT
    data = {
        "module": media.publish_file(_HERE / "plot.js"),
        "plotly": media.publish_file(plotly_js()),
        "figure": prepared.text if inline else None,
        "url": None
        if inline
        else media.publish(prepared.packed, "application/gzip", prepared.digest),
        "digest": prepared.digest,
        "alt": alt,
        "height": height,
        "file": file_name or key,
        "select": select,
        "selected": selected,
        "revision": state.revision(key, selected) if select else 0,
        "highlight": [int(item) for item in highlight] if highlight is not None else [],
    }
    result = _component(
        key=key,
        data=data,
        height=height,
        on_selected_change=state.received(key, on_select),
    )
    return state.as_ids(result.get("selected")) if select else None


@cache
def plotly_js() -> Path:
    """Return the script inside the plotly wheel, without importing plotly, which takes a second.

    Raises:
        DataError: the package is not there.
    """
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise DataError("charts need the package plotly; install requirements.txt")
    return Path(spec.origin).parent / "package_data" / "plotly.min.js"


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


_component = st.components.v2.component(
    "rambo_plot",
    js=(_HERE / "loader.js").read_text("utf-8"),
    css=(_HERE / "plot.css").read_text("utf-8"),
    isolate_styles=False,  # plotly.js puts its style sheet into the document, not a shadow root
)
