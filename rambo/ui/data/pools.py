"""How a dataset is cut into pools: for a k, and as the first trial of a run did it."""

import numpy as np
import streamlit as st

from rambo import checks
from rambo import config as configs
from rambo.datasets import corruption
from rambo.datasets.prepared import LABELED as LABELED_IMAGES
from rambo.datasets.prepared import POOL, TEST, VALIDATION, Prepared
from rambo.errors import RamboError, StoreError
from rambo.runs import paths
from rambo.runs.atlas import LABELED, UNLABELED_POOL, VALIDATION_POOL
from rambo.runs.workspace import Run
from rambo.text import literal
from rambo.ui import readers
from rambo.ui.configure.settings import wrong_words
from rambo.ui.data import address, reach, samples

_THUMBNAILS = 240  # images of a pool
_POOLS = {  # name in the address -> value of `Atlas.pool`, heading, meaning
    "labeled": (
        LABELED,
        "Labeled S_0",
        "The k images whose labels the run has bought to learn from.",
    ),
    "unlabeled": (
        UNLABELED_POOL,
        "Unlabeled U_0",
        "The images it may choose. RAMBO does not see their labels.",
    ),
    "validation": (
        VALIDATION_POOL,
        "Validation",
        "Images with bought labels on which classifiers are compared.",
    ),
}


def show_cut(data: Prepared, run: Run | None) -> None:
    """Draw how many images each pool gets for a k and a size of the validation set."""
    st.header("How it is cut")
    if data.partly_labeled:
        _show_own_cut(data)
        return
    config = readers.config(run) if run else configs.build({})
    fixed, pool, test = (int(np.sum(data.roles == role)) for role in (VALIDATION, POOL, TEST))
    key, size = f"{data.fingerprint}-{run.id if run else ''}", fixed
    left, right = st.columns(2, vertical_alignment="bottom")
    start = min(config.k, max(1, pool - 1))
    k = left.number_input("k, labels to begin with", 1, value=start, key=f"data-k-{key}")
    if not fixed:
        start = min(config.dataset.validation_size, max(1, pool // 10))
        size = right.number_input("Validation images", 1, value=start, key=f"data-size-{key}")
    imbalance = config.dataset.corruption.imbalance
    cut = {"validation_size": max(1, size), "corruption": {"imbalance": imbalance}}
    try:
        config = configs.build({"k": k, "budget": 1, "dataset": cut})
        checks.check(config, data)
    except RamboError as error:
        st.warning(literal(error, 300), icon=":material/warning:")
        return
    rest = corruption.pool_size(config.dataset, data) - k
    parts = (("Labeled S_0", k), ("Unlabeled U_0", rest), ("Validation", size), ("Test", test))
    with st.container(key="data-cut"):
        columns = [*st.columns(2), *st.columns(2)]
    for column, (word, number) in zip(columns, parts, strict=True):
        column.metric(word, f"{number:,}")
    st.caption(
        "The validation images are fixed: every trial uses the same."
        if fixed
        else f"This dataset names no validation images: each trial draws {size:,} of its {pool:,} images, "
        "every class in proportion."
    )
    if imbalance != "none":
        st.caption(
            "Some classes of this run are rare: the unlabeled images are this many, or more."
        )


def _show_own_cut(data: Prepared) -> None:
    """Draw how a dataset with unknown labels is cut: by what is known of each image."""
    parts = (
        ("Labeled S_0", LABELED_IMAGES),
        ("Unlabeled U_0", POOL),
        ("Validation", VALIDATION),
        ("Test", TEST),
    )
    with st.container(key="data-cut"):
        columns = [*st.columns(2), *st.columns(2)]
    for column, (word, role) in zip(columns, parts, strict=True):
        column.metric(word, f"{int(np.sum(data.roles == role)):,}")
    st.caption(
        "All labeled images are S_0, so k is how many there are. Nobody knows the labels of the others: a run chooses "
        "a batch of them and waits."
    )


def show_pools(data: Prepared, run: Run) -> None:
    """Draw the pools a run works with, as its first trial drew them."""
    st.header("The pools of this run")
    try:
        atlas = readers.arrays(run, paths.of_trial(0, paths.ATLAS))
    except StoreError:
        st.info(
            "The pools show here once the run has trained its first classifier on them.",
            icon=":material/hourglass_top:",
        )
        return
    sizes = {name: int(np.sum(atlas["pool"] == code)) for name, (code, *_) in _POOLS.items()}
    requested = st.query_params.get("pool")
    with st.container(horizontal=True, vertical_alignment="center"):
        name = st.segmented_control(
            "Pool",
            list(_POOLS),
            default=requested if requested in _POOLS else "labeled",
            format_func=lambda name: f"{_POOLS[name][1]} ({sizes[name]:,})",
            required=True,
            key=f"data-pool-{run.id}",
            on_change=_pick_pool,
            args=(f"data-pool-{run.id}",),
            label_visibility="collapsed",
        )
        st.button(
            "Others", icon=":material/shuffle:", on_click=address.draw_others, key="data-more"
        )
    code, _, words = _POOLS[name]
    ids = samples.sample(atlas["indices"][atlas["pool"] == code], _THUMBNAILS, address.seed(), code)
    trials = readers.config(run).trials
    first = " Pools of the first trial." if trials > 1 else ""
    st.caption(f"{words} {len(ids):,} of {sizes[name]:,} are shown.{first}")
    if wrong := readers.config(run).dataset.corruption.label_noise:
        st.caption(
            f":material/error_outline: The oracle of this run errs: of the labels it tells it gets "
            f"{wrong_words(wrong)} wrong. The classes shown here are the true ones."
        )
    samples.show_gallery(data, ids, key=f"data-pool-{name}", labeled=name != "unlabeled")
    labeled, validation = (
        atlas["indices"][atlas["pool"] == code] for code in (LABELED, VALIDATION_POOL)
    )
    reach.show_reach(data, run, labeled, validation)


def _pick_pool(key: str) -> None:
    """Put the pool into the address."""
    st.query_params["pool"] = st.session_state[key]
