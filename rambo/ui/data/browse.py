"""What a dataset holds: its facts, its images by class, and how many each class has."""

import numpy as np
import streamlit as st

from rambo.datasets.prepared import LABELED, POOL, TEST, VALIDATION, Prepared
from rambo.errors import shorten
from rambo.figures import theme
from rambo.runs.workspace import Run
from rambo.text import count, for_plot, literal
from rambo.ui import frame, pictures, readers
from rambo.ui.batch import gate_view
from rambo.ui.components import ImageRow, PreparedFigure, plot, prepare_figure, rows
from rambo.ui.data import address, choice, errors, pools, samples

_BY_CLASS, _IN_CLASS = 10, 96  # images shown of each class, and of a single one
_CLASSES, _BARS = 15, 30  # classes shown at once
_ROLES = (
    (LABELED, "labeled"),
    (POOL, "to choose from"),
    (VALIDATION, "validation"),
    (TEST, "test"),
)


def show_dataset(data: Prepared, name: str, run: Run | None) -> None:
    """Draw the dataset, and the pools of the run it was opened from."""
    _facts(data)
    if name == choice.RUN and run is not None:
        with frame.guard():
            pools.show_pools(data, run)
        with frame.guard():
            _show_gate(data, run)
    left, right = st.columns([8, 4], gap="medium")
    with left, frame.guard():
        _show_images(data)
    with right, frame.guard():
        st.header("Classes")
        _show_counts(data)
    with right, frame.guard():
        pools.show_cut(data, run if name == choice.RUN else None)
    if data.partly_labeled:
        return
    with frame.guard():
        errors.show_errors(
            data, choice.dataset_name(name, run), run if name == choice.RUN else None
        )


def _show_gate(data: Prepared, run: Run) -> None:
    """Draw what the gate of the run left out of its pool, where it had one and has decided."""
    trials = [t for t in range(readers.config(run).trials) if gate_view.is_there(run, t)]
    if not trials:
        return
    st.header("Left out by the gate")
    trial = trials[0]
    if len(trials) > 1:
        trial = st.selectbox(
            "Trial", trials, format_func=lambda t: str(t + 1), key="data-gate-trial", width=180
        )
    gate_view.show(run, trial, data)


def _facts(data: Prepared) -> None:
    """Draw what the dataset is."""
    total, channels, height, width = data.images.shape
    sizes = [(word, int(np.sum(data.roles == role))) for role, word in _ROLES]
    parts = ", ".join(f"{size:,} {word}" for word, size in sizes if size)
    colour = "grey" if channels == 1 else "colour"
    with st.container(gap=None):
        st.markdown(
            f"**{literal(data.name, 80)}** &nbsp; {count(total, 'image')} of {height} x {width} pixels, "
            f"{colour}, in {count(data.num_classes, 'class', 'classes')}: {parts}."
        )
        st.caption(f"Source: {literal(data.source, 200)} · Licence: {literal(data.licence)}")


def _show_images(data: Prepared) -> None:
    """Draw random images of every class, or more of one class."""
    st.header("Images")
    names = ["All classes", *(shorten(name, 60) for name in data.classes)]
    label, seed = address.number("label", data.num_classes), address.seed()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "Class",
            range(len(names)),
            index=0 if label is None else label + 1,
            format_func=names.__getitem__,
            key=f"data-class-{data.fingerprint}",
            on_change=_pick_class,
            args=(f"data-class-{data.fingerprint}",),
            width=260,
        )
        st.button("Other images", icon=":material/shuffle:", on_click=address.draw_others)
    if label is None:
        sample = {
            label: samples.of_class(data, label, _BY_CLASS, seed)
            for label in range(min(_CLASSES, data.num_classes))
        }
        st.caption(
            "A few of each class, drawn at random. Choose a class to see more and to open an image."
        )
        lines = [ImageRow(ids, shorten(data.classes[c], 60)) for c, ids in sample.items()]
        sprites = pictures.sheet(data, [index for ids in sample.values() for index in ids])
        rows(sprites, lines, key="data-rows", size=36)
        if data.num_classes > _CLASSES:
            st.caption(f"The first {_CLASSES} of {data.num_classes:,} classes.")
    else:
        ids = samples.of_class(data, label, _IN_CLASS, seed)
        st.caption("Double click an image, or press Enter on it, to see it large.")
        samples.show_gallery(data, ids, key="data-class", labeled=True)
    if data.partly_labeled:
        st.caption(
            "Images that you labeled, and those that validate; the class of all others is not known yet."
        )
        return
    st.caption(
        "These classes come with the dataset. RAMBO does not know them: it reads a label only when it is bought."
    )


def _show_counts(data: Prepared) -> None:
    """Draw how many images of each class there are."""
    figure, classes = _count_figure(data.fingerprint, data)
    plot(
        figure,
        key="data-counts",
        alt=f"Images of each of {classes} classes: to choose from, for validation and for the test.",
        height=max(240, 110 + 27 * classes),
    )
    if classes < data.num_classes:
        st.caption(f"The first {classes} of {data.num_classes:,} classes.")


def _pick_class(key: str) -> None:
    """Put the class into the address."""
    address.forget("label")
    if st.session_state[key]:
        st.query_params["label"] = str(st.session_state[key] - 1)


@st.cache_resource(show_spinner=False, max_entries=16)
def _count_figure(fingerprint: str, _data: Prepared) -> tuple[PreparedFigure, int]:
    """Return bars of the images in each class by role, and how many classes they show; built once."""
    classes = min(_BARS, _data.num_classes)
    colours = {LABELED: theme.GREEN, POOL: theme.BLUE, VALIDATION: theme.PURPLE, TEST: theme.GREY}
    bars = []
    for role, word in _ROLES:
        labels = _data.labels[(_data.roles == role) & (_data.labels >= 0)]
        counts = np.bincount(labels, minlength=_data.num_classes)[:classes]
        if counts.any():
            bar = {"type": "bar", "orientation": "h", "name": word, "x": counts}
            bar |= {"y": np.arange(classes), "marker": {"color": colours[role]}}
            bars.append(bar | {"hovertemplate": "%{x:,} " + word + "<extra></extra>"})
    names = [for_plot(name, 24) for name in _data.classes[:classes]]
    ticks = {"tickvals": list(range(classes)), "ticktext": names, "autorange": "reversed"}
    legend = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "normal"}
    layout = {
        "barmode": "stack",
        "yaxis": ticks | {"automargin": True, "showgrid": False, "fixedrange": True},
        "xaxis": {"title": {"text": "images"}, "fixedrange": True},
        "legend": legend,
        "margin": {"l": 10, "r": 10, "t": 40, "b": 40},
        "bargap": 0.3,
    }
    return prepare_figure({"data": bars, "layout": layout}), classes
