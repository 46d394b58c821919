"""A Plotly chart that stays mounted: drawn once with `newPlot`, then updated with `react`.

`st.plotly_chart` of Streamlit 1.67 rebuilds a chart whose figure changed: it blinks and loses
the zoom. This component keeps its node, zoom, legend and lasso while a fragment feeds it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from rambo.errors import DataError
from rambo.figures.prepared import PlotlyFigure, PreparedFigure, prepare_figure
from rambo.figures.sprites import Sprites
from rambo.ui.components import media, state

INLINE_LIMIT = 64_000  # characters; a larger figure is fetched once and not sent with each run
_HERE = Path(__file__).parent


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
    keys: bool = True,
    thumbnails: Sprites | None = None,
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
        keys: arrows move the chart while it has the focus; False where they turn the page.
        thumbnails: pictures by id (`customdata`), shown beside the pointer; fetched with the first hover.

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
        "keys": keys,
        "selected": selected,
        "revision": state.revision(key, selected) if select else 0,
        "highlight": [int(item) for item in highlight] if highlight is not None else [],
        "thumbnails": None if thumbnails is None else _addresses(thumbnails),
    }
    result = _component(
        key=key,
        data=data,
        height=height,
        on_selected_change=state.received(key, on_select),
        on_obeyed_change=state.ignored,
    )
    return state.as_ids(result.get("selected")) if select else None


def _addresses(thumbnails: Sprites) -> dict[str, str | int]:
    """Return where the sheet lies and how it is cut; ids by tile are a file too, so that no rerun sends them again."""
    ids = np.fromiter(thumbnails.slots, np.int32, len(thumbnails.slots)).tobytes()
    return {
        "sheet": media.publish(thumbnails.data, thumbnails.mime, thumbnails.digest),
        "ids": media.publish(ids, "application/octet-stream", media.digest_of(ids)),
        "width": thumbnails.width,
        "height": thumbnails.height,
        "columns": thumbnails.columns,
    }


@cache
def plotly_js() -> Path:
    """Return the script inside the plotly wheel, without importing plotly, which takes a second.

    Raises:
        DataError: the package is not there.
    """
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise DataError(
            "is missing, and charts need it",
            field="package plotly",
            hint="install requirements.txt",
        )
    return Path(spec.origin).parent / "package_data" / "plotly.min.js"


_component = st.components.v2.component(
    "rambo_plot",
    js=(_HERE / "loader.js").read_text("utf-8"),
    css=(_HERE / "plot.css").read_text("utf-8"),
    isolate_styles=False,  # plotly.js puts its style sheet into the document, not a shadow root
)
