"""What noise and imbalance do to the images a run chooses from: tried out on this page, stored nowhere."""

from dataclasses import dataclass

import numpy as np
import streamlit as st

from rambo.config import CorruptionConfig
from rambo.datasets import corruption
from rambo.datasets.corruption import Imbalance, Indices
from rambo.datasets.prepared import POOL, Labels, Prepared
from rambo.errors import shorten
from rambo.figures import theme
from rambo.runs.workspace import Run
from rambo.text import count, for_plot
from rambo.ui import frame, pictures, readers, state
from rambo.ui.components import ImageRow, PreparedFigure, plot, prepare_figure, rows
from rambo.ui.configure import draft, fields, settings
from rambo.ui.data import address

_THUMBNAILS, _BARS = 12, 30  # images read wrong, and classes
_MOST = 0.5  # of the labels, on the slider
_NOISE, _IMBALANCE = "dataset.corruption.label_noise", "dataset.corruption.imbalance"
_NAMES: dict[Imbalance, str] = {
    "none": "All classes as they are",
    "paper": "3 of 10 keep 80 % (paper)",
    "glister": "3 of 10 keep 10 % (GLISTER)",
}


@dataclass(frozen=True)
class Wrong:
    """A pool with what is wrong with it.

    Attributes:
        pool: what is left of it.
        labels: what the oracle says of all `N` images.
        flipped: those of the pool that it reads wrong, at random.
    """

    pool: Indices
    labels: Labels
    flipped: Indices


def show_errors(data: Prepared, name: str, run: Run | None) -> None:
    """Draw two controls, and what they do to the pool of a dataset.

    Args:
        data: the dataset.
        name: as Configure knows it.
        run: whose settings the controls begin with.
    """
    st.header("Wrong labels and rare classes")
    st.caption(
        "An oracle that errs and classes that are rare, tried out here: nothing is stored. "
        "Validation and test images are left as they are."
    )
    st.fragment(_try_out)(data, name, run)


def _try_out(data: Prepared, name: str, run: Run | None) -> None:
    """Draw the controls and what follows."""
    with frame.guard():
        share, preset = _pick(data, name, run)
        wrong = corrupted(data.fingerprint, share, preset, address.seed(), data)
        left, right = st.columns([7, 5], gap="medium")
        with left:
            _show_counts(data, wrong, share, preset)
        with right:
            _show_flipped(data, wrong)


def _pick(data: Prepared, name: str, run: Run | None) -> tuple[float, Imbalance]:
    """Return the share of wrong labels and the imbalance; draw the way to a run with them."""
    before = readers.config(run).dataset.corruption if run else CorruptionConfig()
    key = f"{data.fingerprint}-{run.id if run else ''}"
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        share = st.slider(
            "Labels the oracle gets wrong",
            0,
            round(100 * _MOST),
            min(round(100 * before.label_noise), round(100 * _MOST)),
            5,
            format="%d %%",
            key=f"data-noise-{key}",
            width=230,
        )
        preset = st.selectbox(
            "Rare classes",
            list(_NAMES),
            index=list(_NAMES).index(before.imbalance),
            format_func=_NAMES.__getitem__,
            help=fields.FIELDS[_IMBALANCE].help,
            key=f"data-imbalance-{key}",
            width=230,
        )
        st.button(
            "Other draw", icon=":material/shuffle:", on_click=address.draw_others, key="data-redraw"
        )
        if st.button("Use these in Configure", icon=":material/arrow_forward:", key="data-use"):
            draft.take({"dataset.name": name, _NOISE: share / 100, _IMBALANCE: preset})
            state.go("pages/configure.py", run.id if run else None, dataset=name)
    return share / 100, preset


@st.cache_resource(show_spinner=False, max_entries=16)
def corrupted(
    fingerprint: str, share: float, preset: Imbalance, seed: int, _data: Prepared
) -> Wrong:
    """Return the images to choose from with what is wrong with them; all but the dataset is the key of the cache."""
    pool, classes = np.flatnonzero(_data.roles == POOL), _data.num_classes
    indices = corruption.keep_imbalanced(pool, _data.labels, preset, classes, seed=seed)
    labels = corruption.flip_labels(_data.labels, indices, share, classes, seed=seed)
    flipped = indices[labels[indices] != _data.labels[indices]]
    return Wrong(indices, labels, np.random.default_rng(seed).permutation(flipped))


def _show_counts(data: Prepared, wrong: Wrong, share: float, preset: Imbalance) -> None:
    """Draw how many images of each class the oracle tells of, and say what became of the pool."""
    before, after = int(np.sum(data.roles == POOL)), len(wrong.pool)
    figure, classes = _count_figure(data.fingerprint, share, preset, address.seed(), data, wrong)
    plot(
        figure,
        key="data-errors",
        alt=f"Images to choose from in {classes} classes as the oracle reads them, beside what they were.",
        height=max(240, 110 + 27 * classes),
    )
    absent = f", {before - after:,} of rare classes are left out" if after < before else ""
    read = ""
    if len(wrong.flipped):
        read = f" The oracle gets {settings.wrong_words(share)} wrong: {count(len(wrong.flipped), 'label')}."
    st.caption(
        f"Of {count(before, 'image')} to choose from {after:,} stay{absent}.{read} "
        "Each trial of a run draws its own."
    )


def _show_flipped(data: Prepared, wrong: Wrong) -> None:
    """Draw some images that the oracle reads wrong."""
    if not len(wrong.flipped):
        st.info(
            "No label is wrong. Move the slider to see which would be.", icon=":material/check:"
        )
        return
    ids = [int(index) for index in wrong.flipped[:_THUMBNAILS]]
    st.caption("Some that it reads wrong:")
    sprites = pictures.sheet(data, ids)
    lines = [ImageRow([index], _misread(data, wrong, index)) for index in ids]
    rows(sprites, lines, key="data-flipped", size=36)


def _misread(data: Prepared, wrong: Wrong, index: int) -> str:
    """Return `Sneaker read as Bag`, for a component that shows text as it is."""
    true, mistaken = (data.classes[int(labels[index])] for labels in (data.labels, wrong.labels))
    return f"{shorten(true, 40)} read as {shorten(mistaken, 40)}"


@st.cache_resource(show_spinner=False, max_entries=16)
def _count_figure(
    fingerprint: str,
    share: float,
    preset: Imbalance,
    seed: int,
    _data: Prepared,
    _wrong: Wrong,
) -> tuple[PreparedFigure, int]:
    """Return bars of what the oracle says of the pool, ticks where the classes were, and how many classes they show."""
    classes, places = min(_BARS, _data.num_classes), np.arange(min(_BARS, _data.num_classes))

    def counted(labels: Labels) -> Labels:
        """Return images by class, of the classes that are shown."""
        return np.bincount(labels, minlength=_data.num_classes)[:classes]

    right = _wrong.labels[_wrong.pool] == _data.labels[_wrong.pool]
    labels = _wrong.labels[_wrong.pool]
    bars = [
        {"type": "bar", "orientation": "h", "name": name, "x": counted(labels[which]), "y": places}
        | {"marker": {"color": colour}, "hovertemplate": "%{x:,} " + name + "<extra></extra>"}
        for name, which, colour in (
            ("read right", right, theme.BLUE),
            ("read wrong", ~right, theme.ORANGE),
        )
    ]
    before = {"type": "scatter", "mode": "markers", "name": "before", "y": places}
    before |= {"x": counted(_data.labels[_data.roles == POOL])}
    before |= {"hovertemplate": "%{x:,} before<extra></extra>"}
    mark = {"symbol": "line-ns-open", "size": 16, "color": theme.GREY, "line": {"width": 3}}
    ticks = {"tickvals": list(range(classes)), "autorange": "reversed"}
    ticks |= {"ticktext": [for_plot(name, 24) for name in _data.classes[:classes]]}
    layout = {
        "barmode": "stack",
        "yaxis": ticks | {"automargin": True, "showgrid": False, "fixedrange": True},
        "xaxis": {"title": {"text": "images to choose from"}, "fixedrange": True},
        "legend": {
            "orientation": "h",
            "y": 1.02,
            "yanchor": "bottom",
            "x": 0,
            "traceorder": "normal",
        },
        "margin": {"l": 10, "r": 10, "t": 40, "b": 40},
        "bargap": 0.3,
    }
    return prepare_figure({"data": [*bars, before | {"marker": mark}], "layout": layout}), classes
