"""How far random subsets of S_0 are from the validation images: a preview of what the OT head of u_hat learns."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from rambo.config import UtilityModelConfig
from rambo.datasets.disk import map_array
from rambo.datasets.prepared import Prepared
from rambo.figures import theme
from rambo.method.sinkhorn import SharedTransport, shared_kernel_transport
from rambo.runs.atlas import Indices
from rambo.runs.workspace import Run
from rambo.text import count
from rambo.ui import frame, readers
from rambo.ui.components import PreparedFigure, plot, prepare_figure
from rambo.ui.data import address

_SUBSETS, _SMALLEST = 64, 10  # one block of the shared kernel, the whole of S_0 among them
_MOST = 1000  # images of S_0, and of the validation set: 64 subsets of them take half a second


@dataclass(frozen=True)
class Reach:
    """OT of subsets to the validation images.

    Attributes:
        sizes: `s` sizes of the subsets, ascending; the last is all that were looked at.
        transport: their OT.
        space: what the cost is measured in, for a person.
    """

    sizes: Indices
    transport: SharedTransport
    space: str


def show_reach(data: Prepared, run: Run, labeled: Indices, validation: Indices) -> None:
    """Draw a section that, once open, shows OT to the validation images over the size of a subset of S_0.

    Args:
        data: the dataset.
        run: whose pools these are.
        labeled: S_0.
        validation: S_val.
    """
    with st.expander(
        "How far S_0 is from the validation images",
        key=f"data-reach-{run.id}",
        on_change="rerun",
        icon=":material/conversion_path:",
    ) as section:
        if section.open:  # a closed one computes nothing
            with frame.guard():
                _show(data, run, labeled, validation)


def _show(data: Prepared, run: Run, labeled: Indices, validation: Indices) -> None:
    """Draw the chart and what it says."""
    if len(labeled) < 2 or len(validation) == 0:
        st.info("There is nothing to compare: a pool is empty.", icon=":material/info:")
        return
    model = readers.config(run).rambo.utility_model
    extractor = model.extractor
    classes = "; the run adds distances between classes" if _labels_count(model) else ""
    figure, reach = _cached_figure(
        data.fingerprint, extractor, labeled, validation, address.seed() % 100, data
    )
    lower, upper = float(reach.transport.lower[-1]), float(reach.transport.upper[-1])
    looked, whole = int(reach.sizes[-1]), len(labeled)
    of = "S_0 as a whole" if looked == whole else f"{looked:,} of the {whole:,} images of S_0"
    st.markdown(f"**{of}: OT {span(lower, upper)}**")
    plot(
        figure,
        key="data-reach",
        alt=f"Optimal transport cost to the validation images of {_SUBSETS} subsets of S_0 over their size.",
        height=320,
    )
    limits = "" if looked == whole else f" At most {_MOST:,} images of S_0 are looked at."
    if len(validation) > _MOST:
        limits += f" Of the {count(len(validation), 'validation image')} {_MOST:,} are."
    st.caption(
        "Optimal transport (OT) says how much work it is to turn a subset into the validation images: the smaller, the "
        "better the subset stands for them. The OT head of u_hat learns it from subsets like these. This is a preview, "
        "with guaranteed bounds: the exact cost lies within each bar. It is measured "
        f"{reach.space}{classes}.{limits}"
    )


def _labels_count(model: UtilityModelConfig) -> bool:
    """Return whether the ground cost of the run has distances between classes."""
    return bool(model.ground_cost.label_weight)


def span(lower: float, upper: float) -> str:
    """Return `112.4 to 116.1`, with as many digits as tell the two apart."""
    digits = 0 if upper <= 0 else int(np.clip(3 - np.floor(np.log10(upper)), 0, 6))
    return f"{lower:,.{digits}f} to {upper:,.{digits}f}"


@st.cache_resource(show_spinner="Measuring subsets", max_entries=16)
def _cached_figure(
    fingerprint: str,
    extractor: str,
    labeled: Indices,
    validation: Indices,
    seed: int,
    _data: Prepared,
) -> tuple[PreparedFigure, Reach]:
    """Return the figure and what it shows; all but the dataset is the key of the cache."""
    reach = measure(_data, extractor, labeled, validation, seed)
    return _figure(reach), reach


def measure(
    data: Prepared, extractor: str, labeled: Indices, validation: Indices, seed: int
) -> Reach:
    """Return OT of random subsets, of sizes from the smallest to all.

    Args:
        data: the dataset.
        extractor: of the run's u_hat: `auto`, `conv` or `features`.
        labeled: S_0, at least 2.
        validation: S_val, at least 1.
        seed: of the subsets.
    """
    from scipy.spatial.distance import cdist

    rng = np.random.default_rng(seed)
    # k above that would take seconds
    pool, targets = (np.sort(rng.permutation(part)[:_MOST]) for part in (labeled, validation))
    images, space = _described(data, extractor)
    cost = cdist(images(pool), images(targets), "sqeuclidean")
    k = len(pool)
    sizes = np.linspace(min(_SMALLEST, k), k, _SUBSETS).round().astype(np.int64)
    members = np.stack([np.isin(np.arange(k), rng.permutation(k)[:size]) for size in sizes])
    transport = shared_kernel_transport(cost, members, widest=float("inf"))
    return Reach(sizes, transport, space)


def _described(data: Prepared, extractor: str) -> tuple[Any, str]:
    """Return what describes images by index, `a x d` float64, and where that is, for a person.

    Frozen features where the run's u_hat reads them and they are finished, else pixels in [0, 1].
    """
    grey = data.images.shape[1:] == (1, 28, 28)
    files = [] if grey and extractor != "features" else sorted(data.folder.glob("features-*.npy"))
    if finished := [file for file in files if file.with_suffix(".sha256").is_file()]:
        digest = finished[0].with_suffix(".sha256").read_text(encoding="ascii")
        features: NDArray[np.float32] = map_array(finished[0], digest)
        return lambda at: features[at].astype(np.float64), "between frozen features"
    space = "between pixels"
    if extractor == "features" or not grey:
        space += ", because the frozen features that the run reads are not here"
    return lambda at: data.pixels(at).reshape(len(at), -1) / 255, space


def _figure(reach: Reach) -> PreparedFigure:
    """Return OT over size with its bounds; the whole of S_0 stands out."""
    values, lower, upper = (
        array.astype(np.float32)
        for array in (reach.transport.values, reach.transport.lower, reach.transport.upper)
    )
    traces = []
    for name, which, colour, symbol in (
        ("random subsets", slice(None, -1), theme.BLUE, "circle"),
        ("all of it", slice(-1, None), theme.ORANGE, "diamond"),
    ):
        y = values[which]
        bars = {"type": "data", "symmetric": False, "array": upper[which] - y}
        bars |= {"arrayminus": y - lower[which], "color": colour, "thickness": 1.5, "width": 0}
        trace = {"type": "scatter", "mode": "markers", "name": name, "y": y, "error_y": bars}
        trace |= {"x": reach.sizes[which], "customdata": np.stack([lower[which], upper[which]], 1)}
        trace |= {
            "marker": {"color": colour, "symbol": symbol, "size": 7 if name[0] == "r" else 11}
        }
        hover = "%{x:,} images<br>OT %{customdata[0]:,.4~g} to %{customdata[1]:,.4~g}"
        traces.append(trace | {"hovertemplate": hover + "<extra></extra>"})
    layout = {
        "xaxis": {"title": {"text": "images in the subset"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": "OT to the validation images"}},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "margin": {"l": 60, "r": 10, "t": 40, "b": 50},
    }
    return prepare_figure({"data": traces, "layout": layout})
