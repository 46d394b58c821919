"""Data: choose a dataset, have it prepared, look at its images, and see how a run cuts it into pools."""

import hashlib
import os
import re
import secrets
import time
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import streamlit as st
from PIL import Image

from rambo import checks, files
from rambo import config as configs
from rambo.config import shorten
from rambo.datasets import catalog
from rambo.datasets.prepared import POOL, TEST, VALIDATION, Images, Prepared
from rambo.errors import DataError, RamboError, StoreError
from rambo.store import Run
from rambo.ui import frame, library, readers, state, theme
from rambo.ui.components import Sprites, gallery, make_sprites, plot, rows
from rambo.ui.text import count, for_plot, literal

_RUN, OWN = ":run", ":own"  # choices beside the names of the catalog
_UPLOAD_MB = 200
_BY_CLASS, _IN_CLASS, _IN_POOL = 10, 96, 240  # images shown of each class, of one class, of a pool
_CLASSES = 15  # classes shown at once
_MEGABYTES = {"mnist": 12, "fashion-mnist": 31, "cifar10": 170, "svhn": 246}  # to download
_ROLES = ((POOL, "to choose from"), (VALIDATION, "validation"), (TEST, "test"))
_POOLS = {  # codes of the atlas
    "labeled": (0, "Labeled S_0", "The k images whose labels the run has bought to learn from."),
    "unlabeled": (1, "Unlabeled U_0", "The images it may choose. RAMBO does not see their labels."),
    "validation": (2, "Validation", "Images with bought labels on which classifiers are compared."),
}


# Choose.


def pick_dataset(run: Run | None) -> str:
    """Return what the person wants to look at: `:run`, a name of the catalog, or `:own`."""
    words = {_RUN: f"Images of run {run.id}"} if run else {}
    words |= {name: name for name in library.names()} | {OWN: "My own images (.npz file)"}
    asked = st.query_params.get("dataset") or next(iter(words))
    return st.selectbox(
        "Dataset",
        list(words),
        index=list(words).index(asked if asked in words else OWN),
        format_func=words.__getitem__,
        key="data-choice",
        on_change=_remember_choice,
        width=420,
    )


def pick_file() -> str:
    """Return the path of a file on this machine, typed or uploaded, or an empty text."""
    asked = st.query_params.get("dataset", OWN)
    st.session_state.setdefault("data-path", "" if asked == OWN else asked)
    left, right = st.columns(2, gap="large")
    typed = left.text_input(
        "Path of an .npz file on this machine",
        key="data-path",
        on_change=_remember_path,
        placeholder="my-images.npz",
        help="It holds `images` (uint8, N x H x W or N x H x W x 3) and `labels` (whole numbers).",
    )
    right.file_uploader(
        "or send it from your computer",
        type="npz",
        key="data-upload",
        on_change=_take_upload,
        max_upload_size=_UPLOAD_MB,
    )
    return _located(typed.strip()) if typed.strip() else ""


def _located(typed: str) -> str:
    """Return the absolute path of an `.npz` file that is there, so that a worker in another folder finds it."""
    for candidate in (Path(typed), catalog.default_root() / typed):
        if _is_archive(candidate):
            return str(candidate.absolute())
    return typed


def _is_archive(path: str | Path) -> bool:
    """Return whether there is such an `.npz` file; no other file is ever opened, whatever is typed."""
    try:
        return Path(path).suffix.lower() == ".npz" and Path(path).is_file()
    except (OSError, ValueError):
        return False


def _remember_choice() -> None:
    """Put the choice into the address; filters of the dataset before belong to that one."""
    _forget("label", "other", "pool")
    st.query_params["dataset"] = st.session_state["data-choice"]


def _remember_path() -> None:
    """Put the path into the address."""
    _forget("label", "other")
    st.query_params["dataset"] = st.session_state["data-path"].strip() or OWN


def _take_upload() -> None:
    """Keep an uploaded file, and begin to prepare it."""
    sent = st.session_state["data-upload"]
    if sent is None:
        return
    try:
        path = keep_upload(sent, sent.name, state.workspace().root)
        st.session_state["data-path"] = str(path)
        _remember_path()
        library.ensure(str(path))
    except RamboError as error:
        st.toast(literal(error, 300), icon=":material/error:")


def keep_upload(sent: BinaryIO, name: str, root: Path) -> Path:
    """Return `<root>/uploads/<sha256>/<name>.npz` with the bytes of `sent`, whole or not there at all.

    Raises:
        DataError: more than 200 MB.
        StoreError: the disk refuses.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", Path(name).stem.lower()).strip("-")[:40] or "images"
    beside = root / "uploads" / f".{secrets.token_hex(8)}.part"
    try:
        files.make_folder(beside.parent)
        sha, size = hashlib.sha256(), 0
        with beside.open("xb") as file:
            while block := sent.read(1 << 20):
                size += len(block)
                if size > _UPLOAD_MB << 20:
                    raise DataError(
                        f"the file is larger than {_UPLOAD_MB} MB; type its path instead"
                    )
                sha.update(block)
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        target = root / "uploads" / sha.hexdigest() / f"{plain}.npz"
        files.make_folder(target.parent)
        beside.replace(target)
        files.sync_folder(target.parent)
    except OSError as error:
        told = files.explain(error, "send the file again")
        raise StoreError(f"the file could not be kept: {told}") from error
    finally:
        beside.unlink(missing_ok=True)
    return target


# Load.


def load_dataset(choice: str, run: Run | None) -> Prepared | None:
    """Return the dataset, or draw where it stands and how to get it."""
    if not choice:
        st.info("Type the path of a file, or send one.", icon=":material/upload_file:")
        return None
    if choice == _RUN and run is not None:
        return readers.dataset(run)
    if choice == library.SHIPPED:
        return library.ensure(choice)
    if choice not in catalog.CATALOG and not _is_archive(choice):
        st.warning(
            f"There is no .npz file {literal(choice, 200)} on this machine. "
            "Check the path, or send the file from your computer.",
            icon=":material/search_off:",
        )
        return None
    data = library.open_named(choice)
    if data is None:
        _show_standing(choice)
    return data


def _show_standing(name: str) -> None:
    """Draw where a dataset stands that is not ready, with the way out."""
    standing = library.standing(name)
    if standing.state == "preparing":
        began = st.session_state.setdefault(f"data-began-{name}", time.time())
        _show_preparing(name, began)
    elif standing.state == "failed":
        st.session_state.pop(f"data-began-{name}", None)
        st.error(literal(standing.told, 500), icon=":material/error:")
        st.button("Try again", icon=":material/refresh:", on_click=_again, args=(name,))
    elif name in catalog.CATALOG:
        _show_missing(name)
    else:
        st.info("This file has not been read yet.", icon=":material/description:")
        st.button("Read it", type="primary", on_click=_again, args=(name,))


def _show_missing(name: str) -> None:
    """Say that a dataset is not on this machine, and how it comes here, with the internet and without."""
    entry = catalog.CATALOG[name]
    st.info(
        f"**{name}** is not ready on this machine yet. RAMBO takes its files from the data folder, "
        f"or downloads them once (about {_MEGABYTES[name]} MB, needs the internet).",
        icon=":material/cloud_download:",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Get it", type="primary", on_click=_again, args=(name,))
        st.caption(f"{literal(entry.source, 200)} · Licence: {literal(entry.licence)}")
    with st.expander("Without internet"):
        st.markdown(
            f"Put {', '.join(f'`{file}`' for file in entry.files)} into the folder `{entry.folder}` below "
            "`data/downloads`, or below the folder that `RAMBO_DATA` names. Then choose **Get it**."
        )


@st.fragment(run_every=1)
def _show_preparing(name: str, began: float) -> None:
    """Show that another process prepares the dataset, until it ends."""
    with frame.guard():
        if library.standing(name).state != "preparing":
            st.rerun()
        st.info(
            f"Preparing for {time.time() - began:.0f} s: the files are read, checked and, where they are "
            "missing, downloaded. You may leave this page and come back.",
            icon=":material/hourglass_top:",
        )


def _again(name: str) -> None:
    """Prepare a dataset, also after it failed."""
    library.retry(name)
    library.ensure(name)


# Show.


def show_dataset(data: Prepared, choice: str, run: Run | None) -> None:
    """Draw the dataset, and the pools of the run it was opened from."""
    _facts(data)
    if choice == _RUN and run is not None:
        with frame.guard():
            _show_pools(data, run)
    left, right = st.columns([8, 4], gap="medium")
    with left, frame.guard():
        _show_images(data)
    with right, frame.guard():
        st.subheader("Classes")
        _show_counts(data)
    with right, frame.guard():
        _show_cut(data, run if choice == _RUN else None)


def use_button(choice: str, run: Run | None) -> None:
    """Draw the way on: a run of this dataset."""
    name = readers.config(run)["dataset"]["name"] if choice == _RUN and run else choice
    if st.button("Use this dataset", type="primary", icon=":material/arrow_forward:"):
        state.go("pages/configure.py", run.id if run else None, dataset=name)


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
    st.subheader("Images")
    names = ["All classes", *(shorten(name, 60) for name in data.classes)]
    label, seed = _number("label", data.num_classes), _number("other", 10_000) or 0
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
        st.button("Other images", icon=":material/shuffle:", on_click=_others, args=(seed,))
    if label is None:
        sample, sprites = _overview(data.fingerprint, seed, data)
        st.caption(
            "A few of each class, drawn at random. Choose a class to see more and to open an image."
        )
        lines = [{"ids": ids, "label": shorten(data.classes[c], 60)} for c, ids in sample.items()]
        rows(sprites, lines, key="data-rows", size=36)
        if data.num_classes > _CLASSES:
            st.caption(f"The first {_CLASSES} of {data.num_classes:,} classes.")
    else:
        ids, sprites = _of_class(data.fingerprint, label, seed, data)
        st.caption("Double click an image, or press Enter on it, to see it large.")
        _open(data, sprites, ids, key="data-class", known=True)
    st.caption(
        "These classes come with the dataset. RAMBO does not know them: it reads a label only when it is bought."
    )


def _show_counts(data: Prepared) -> None:
    """Draw how many images of each class there are."""
    figure, shown = _count_figure(data.fingerprint, data)
    plot(
        figure,
        key="data-counts",
        alt=f"Images of each of {shown} classes: to choose from, for validation and for the test.",
        height=max(240, 110 + 27 * shown),
    )
    if shown < data.num_classes:
        st.caption(f"The first {shown} of {data.num_classes:,} classes.")


def _show_cut(data: Prepared, run: Run | None) -> None:
    """Draw how many images each pool gets for a k and a size of the validation set."""
    st.subheader("How it is cut")
    given = readers.config(run) if run else configs.describe(configs.build({}))
    fixed, pool, test = (int(np.sum(data.roles == role)) for role in (VALIDATION, POOL, TEST))
    key, size = f"{data.fingerprint}-{run.id if run else ''}", fixed
    left, right = st.columns(2, vertical_alignment="bottom")
    start = min(given["k"], max(1, pool - 1))
    k = left.number_input("k, labels to begin with", 1, value=start, key=f"data-k-{key}")
    if not fixed:
        start = min(given["dataset"]["validation_size"], max(1, pool // 10))
        size = right.number_input("Validation images", 1, value=start, key=f"data-size-{key}")
    settings = {"k": k, "budget": 1, "dataset": {"validation_size": max(1, size)}}
    try:
        checks.check(configs.build(settings), data)
    except RamboError as error:
        st.warning(literal(error, 300), icon=":material/warning:")
        return
    rest = pool - k - (0 if fixed else size)
    parts = (("Labeled S_0", k), ("Unlabeled U_0", rest), ("Validation", size), ("Test", test))
    columns = [*st.columns(2), *st.columns(2)]
    for column, (word, number) in zip(columns, parts, strict=True):
        column.metric(word, f"{number:,}")
    st.caption(
        "The dataset's own split fixes the validation images."
        if fixed
        else f"This dataset names no validation images: each trial draws {size:,} of its {pool:,} images, "
        "every class in proportion."
    )


def _show_pools(data: Prepared, run: Run) -> None:
    """Draw the pools a run works with, as its first trial drew them."""
    st.subheader("The pools of this run")
    try:
        atlas = readers.arrays(run, "trial-0/atlas")
    except StoreError:
        st.info(
            "The pools show here once the run has trained its first classifier on them.",
            icon=":material/hourglass_top:",
        )
        return
    sizes = {name: int(np.sum(atlas["pool"] == code)) for name, (code, _, _) in _POOLS.items()}
    asked = st.query_params.get("pool")
    with st.container(horizontal=True, vertical_alignment="center"):
        name = st.segmented_control(
            "Pool",
            list(_POOLS),
            default=asked if asked in _POOLS else "labeled",
            format_func=lambda name: f"{_POOLS[name][1]} ({sizes[name]:,})",
            required=True,
            key=f"data-pool-{run.id}",
            on_change=_pick_pool,
            args=(f"data-pool-{run.id}",),
            label_visibility="collapsed",
        )
        seed = _number("other", 10_000) or 0
        st.button(
            "Others", icon=":material/shuffle:", on_click=_others, args=(seed,), key="data-more"
        )
    code, _, told = _POOLS[name or "labeled"]
    ids, sprites = _of_pool(str(run.folder), run.created(), code, seed, data, atlas)
    trials = readers.config(run)["trials"]
    first = " Pools of the first trial." if trials > 1 else ""
    st.caption(f"{told} {len(ids):,} of {sizes[name or 'labeled']:,} are shown.{first}")
    _open(data, sprites, ids, key=f"data-pool-{name}", known=name != "unlabeled")


def _open(data: Prepared, sprites: Sprites, ids: tuple[int, ...], *, key: str, known: bool) -> None:
    """Draw a gallery whose images can be opened.

    Args:
        data: the dataset.
        sprites: a sheet with all `ids`.
        ids: what to show.
        key: of the gallery.
        known: whether their labels may be shown.
    """
    words = {index: f"image {index}" for index in ids}
    if known:
        words = {i: f"{told}\n{data.classes[int(data.labels[i])]}" for i, told in words.items()}
    result = gallery(
        sprites, ids, key=key, multi=False, size=52, captions=words, max_height=420, label="Images"
    )
    if result.opened in ids:
        _enlarged(data, result.opened, known)


@st.dialog("One image", width="small")
def _enlarged(data: Prepared, index: int, known: bool) -> None:
    """Show one image large, with its number and its size."""
    pixels = np.ascontiguousarray(data.images[index].transpose(1, 2, 0))
    height, width, channels = pixels.shape
    factor = max(1, 392 // max(height, width))
    picture = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
    large = picture.resize((width * factor, height * factor), Image.Resampling.NEAREST)
    st.image(large, alt=f"Image {index} of {shorten(data.name)}, {factor} times its size")
    label = literal(data.classes[int(data.labels[index])])
    st.markdown(f"**{label}**" if known else "Its label is not bought, so it is not shown.")
    scale = f", shown {factor} times as large" if factor > 1 else ""
    st.caption(f"Image {index:,} of the dataset · {height} x {width} pixels{scale}")


# The filters in the address.


def _number(name: str, limit: int) -> int | None:
    """Return a whole number below `limit` from the address, or None."""
    value = st.query_params.get(name, "")
    return int(value) if re.fullmatch(r"[0-9]{1,6}", value) and int(value) < limit else None


def _pick_class(key: str) -> None:
    """Put the class into the address."""
    _forget("label")
    if st.session_state[key]:
        st.query_params["label"] = str(st.session_state[key] - 1)


def _pick_pool(key: str) -> None:
    """Put the pool into the address."""
    st.query_params["pool"] = st.session_state[key]


def _others(seed: int) -> None:
    """Draw other images: the next seed."""
    st.query_params["other"] = str((seed + 1) % 10_000)


def _forget(*names: str) -> None:
    """Take filters out of the address."""
    for name in names:
        if name in st.query_params:
            del st.query_params[name]


# What is computed once. The keys are the fingerprint and the seed; `_data` is not hashed.


def _drawn(candidates: np.ndarray, size: int, seed: int, part: int) -> tuple[int, ...]:
    """Return up to `size` of the candidates, in random order; the same seed draws the same."""
    order = np.random.default_rng([seed, part]).permutation(len(candidates))[:size]
    return tuple(int(index) for index in candidates[order])


def _sheet(data: Prepared, ids: tuple[int, ...]) -> Sprites:
    """Return the thumbnails of some images."""
    images: Images = np.asarray(data.images[list(ids)])
    return make_sprites(images, ids)


@st.cache_resource(show_spinner=False, max_entries=16)
def _overview(
    fingerprint: str, seed: int, _data: Prepared
) -> tuple[dict[int, tuple[int, ...]], Sprites]:
    """Return a few images of the first classes by class, and their sheet."""
    mine = _data.roles == POOL
    sample = {
        label: _drawn(np.flatnonzero(mine & (_data.labels == label)), _BY_CLASS, seed, label)
        for label in range(min(_CLASSES, _data.num_classes))
    }
    return sample, _sheet(_data, tuple(index for ids in sample.values() for index in ids))


@st.cache_resource(show_spinner=False, max_entries=32)
def _of_class(
    fingerprint: str, label: int, seed: int, _data: Prepared
) -> tuple[tuple[int, ...], Sprites]:
    """Return images of one class, and their sheet."""
    found = np.flatnonzero((_data.roles == POOL) & (_data.labels == label))
    ids = _drawn(found, _IN_CLASS, seed, label)
    return ids, _sheet(_data, ids)


@st.cache_resource(show_spinner=False, max_entries=32)
def _of_pool(
    folder: str, created: str, code: int, seed: int, _data: Prepared, _atlas: dict[str, np.ndarray]
) -> tuple[tuple[int, ...], Sprites]:
    """Return images of one pool of a run, and their sheet."""
    ids = _drawn(_atlas["indices"][_atlas["pool"] == code], _IN_POOL, seed, code)
    return ids, _sheet(_data, ids)


@st.cache_resource(show_spinner=False, max_entries=16)
def _count_figure(fingerprint: str, _data: Prepared) -> tuple[dict[str, Any], int]:
    """Return bars of the images in each class by role, and how many classes they show."""
    shown = min(30, _data.num_classes)
    colours = {POOL: theme.BLUE, VALIDATION: theme.PURPLE, TEST: theme.GREY}
    bars = []
    for role, word in _ROLES:
        counts = np.bincount(_data.labels[_data.roles == role], minlength=_data.num_classes)[:shown]
        if counts.any():
            bar = {"type": "bar", "orientation": "h", "name": word, "x": counts}
            bar |= {"y": np.arange(shown), "marker": {"color": colours[role]}}
            bars.append(bar | {"hovertemplate": "%{x:,} " + word + "<extra></extra>"})
    names = [for_plot(name, 24) for name in _data.classes[:shown]]
    ticks = {"tickvals": list(range(shown)), "ticktext": names, "autorange": "reversed"}
    layout = {
        "barmode": "stack",
        "yaxis": ticks | {"automargin": True, "showgrid": False, "fixedrange": True},
        "xaxis": {"title": {"text": "images"}, "fixedrange": True},
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
    return {"data": bars, "layout": layout}, shown
