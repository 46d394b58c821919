"""The map of all images with its lasso, and what gallery, table and map know of each other's selection."""

from collections.abc import Hashable, Sequence

import numpy as np
import streamlit as st

from rambo.figures import maps
from rambo.runs.atlas import LABELED, UNLABELED_POOL, VALIDATION_POOL, Atlas, Indices
from rambo.text import count
from rambo.ui.batch import batch_data, edited
from rambo.ui.batch.batch_data import Batch
from rambo.ui.components import Sprites, gallery, plot, state

COLOURS = ("pool", "class f guesses", "margin", "greedy step", "right or wrong")
PLACES = ("neighbours", "components")
_SMALL, _MOST = (
    32,
    1000,
)  # side up to which all drawn images fit on one sheet, else how many chosen ones
_OTHERS = 60  # images inside the lasso that were not chosen


def gallery_key(batch: Batch) -> str:
    """Return the key of the gallery of a batch."""
    return f"gallery-{batch.key}"


def map_key(batch: Batch) -> str:
    """Return the key of the map of a batch."""
    return f"map-{batch.key}"


def version(batch: Batch) -> int:
    """Return a number that grows when the selection is cleared."""
    return int(st.session_state.get(f"cleared-{batch.key}", 0))


def settle(batch: Batch, table: bool) -> None:
    """Take over what was selected in the gallery; a gallery that is not drawn has no say."""
    selection = st.session_state.get(gallery_key(batch))
    if table:
        st.session_state.pop(gallery_key(batch), None)
    elif isinstance(selection, dict) and isinstance(selection.get("selected"), list):
        set_marks(batch, selection["selected"])


def marks(batch: Batch) -> list[int]:
    """Return the images selected in gallery or table."""
    return list(st.session_state.get(f"marked-{batch.key}", []))


def set_marks(batch: Batch, ids: Sequence[int]) -> None:
    """Note the images selected in gallery or table."""
    st.session_state[f"marked-{batch.key}"] = [int(item) for item in ids]


def lasso_of(batch: Batch) -> list[int] | None:
    """Return the images inside the lasso, or None without one."""
    selection = st.session_state.get(map_key(batch))
    return selection.get("selected") if isinstance(selection, dict) else None


def clear_lasso(batch: Batch) -> None:
    """Forget the lasso."""
    state.assign(map_key(batch), None)


def clear_marks(batch: Batch) -> None:
    """Forget the selected images."""
    state.assign(gallery_key(batch), [])
    st.session_state[f"cleared-{batch.key}"] = version(batch) + 1
    set_marks(batch, [])


def show_map(batch: Batch, ringed: Sequence[int], oracle: bool) -> int | None:
    """Draw the map with its lasso; return an image that was opened below it."""
    if batch.atlas is None:
        st.info("There is no map of the images for this trial.", icon=":material/map:")
        return None
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        colours = pick_colours(batch, oracle)
        principal = pick_places(batch.atlas)
    embedded = map_of(batch, colours, principal=principal)
    lasso = plot(
        embedded.figure,
        key=map_key(batch),
        alt=embedded.caption,
        height=540,
        select=True,
        highlight=ringed,
        file_name=f"map-{batch.run.id}-{batch.strategy}",
        thumbnails=thumbnails_of(batch, embedded.ids),
    )
    st.caption(embedded.caption)
    if lasso is None:
        st.caption("Draw a lasso on the map to see the images inside it.")
        return None
    return show_lasso(batch, lasso, oracle)


def show_lasso(batch: Batch, lasso: Sequence[int], oracle: bool) -> int | None:
    """Say what is inside the lasso, and show what was not chosen there."""
    assert batch.atlas is not None
    ids = np.array([item for item in lasso if item in batch.in_atlas], np.int64)
    pool = batch.atlas.pool[batch.atlas.rows(ids)]
    others = np.setdiff1d(ids[pool == UNLABELED_POOL], batch.indices)
    chosen = np.isin(ids, batch.indices).sum()
    st.markdown(
        f"**Inside the lasso: {count(len(ids), 'image')}**: {chosen:,} chosen, {len(others):,} unlabeled, "
        f"{(pool == LABELED).sum():,} labeled, {(pool == VALIDATION_POOL).sum():,} validation."
    )
    ranked = batch_data.ranked_pool(batch.atlas, np.setdiff1d(batch.atlas.indices, others))
    own = batch.indices[np.isin(batch.indices, ids)]
    edited.make_lasso_buttons(batch, [*own.tolist(), *ranked.tolist()])
    if not len(others):
        return None
    nearest = ranked[:_OTHERS].tolist()
    st.caption(f"Not chosen, the {len(nearest)} smallest margins of {len(others):,}:")
    return gallery(
        batch_data.sheet(batch, nearest),
        nearest,
        key="lasso-others",
        multi=False,
        size=36,
        captions=batch_data.captions(batch, nearest, oracle=oracle),
        label="Unlabeled images inside the lasso",
        max_height=170,
    ).opened


def thumbnails_of(batch: Batch, points: Indices) -> Sprites | None:
    """Return the pictures of the drawn points, shown on hover; of large images only those that were chosen."""
    if batch.data is None:
        return None
    small = max(batch.data.images.shape[2:]) <= _SMALL
    return batch_data.sheet(batch, (points if small else batch.indices[:_MOST]).tolist())


def pick_colours(batch: Batch, oracle: bool) -> str:
    """Return what the colours of the map say, one of `COLOURS`."""
    offered = [
        name
        for name in COLOURS
        if (name != "greedy step" or batch.stepwise) and (name != "right or wrong" or oracle)
    ]
    key = "map-colours"
    if st.session_state.get(key) not in offered:
        st.session_state[key] = offered[0]
    return st.selectbox(
        "Colour by",
        offered,
        key=key,
        width=250,
        format_func=lambda name: f"Colour by {name}",
        label_visibility="collapsed",
    )


def pick_places(atlas: Atlas) -> bool:
    """Return whether the map goes by principal components; later trials and runs of older versions have no other."""
    if atlas.neighbours is None:
        return True
    shape = st.segmented_control(
        "Places by",
        PLACES,
        default=PLACES[0],
        required=True,
        key="map",
        bind="query-params",
        label_visibility="collapsed",
        help="Neighbours: t-SNE, images that f finds alike lie together. Components: the two directions along which "
        "f's last layer varies most.",
    )
    return shape != PLACES[0]


def map_of(
    batch: Batch, colours: str = COLOURS[0], *, principal: bool = False
) -> maps.EmbeddingMap:
    """Return the map of a batch, made once for each way to colour it and to place the images.

    Args:
        batch: with an atlas.
        colours: one of `COLOURS`; `right or wrong` needs the dataset.
        principal: by principal components, not by neighbours.
    """
    return _map(batch.stamp, colours, principal, _batch=batch)


@st.cache_resource(show_spinner=False, max_entries=16)
def _map(stamp: Hashable, colours: str, principal: bool, *, _batch: Batch) -> maps.EmbeddingMap:
    """Return the map; all but the batch are the key of the cache."""
    assert _batch.atlas is not None
    ids = np.array([item for item in _batch.indices if int(item) in _batch.in_atlas], np.int64)
    groups = _groups(_batch, _batch.atlas, ids, colours)
    steps = _batch.step_of if _batch.stepwise else {}
    notes = {index: f"chosen in step {step + 1}" for index, step in steps.items()}
    return maps.embedding_map(
        _batch.atlas, groups, _batch.classes, notes=notes, principal=principal
    )


def _groups(batch: Batch, atlas: Atlas, chosen: Indices, colours: str) -> list[maps.Group]:
    """Return the groups of a map, the chosen images on top."""
    stars = maps.chosen_group(chosen)
    others = np.setdiff1d(atlas.indices, chosen)
    if colours == "class f guesses":
        return [*maps.by_class(atlas, others, batch.classes), stars]
    if colours == "margin":
        margins = batch_data.margins_of(atlas)[atlas.rows(others)]
        return [maps.by_value(others, margins, "not chosen", "margin"), stars]
    if colours == "greedy step":
        steps = np.array([batch.step_of[int(index)] + 1 for index in chosen])
        pools = maps.pools(atlas, [stars])[:-1]
        return [*pools, maps.by_value(chosen, steps, "chosen", "step", whole=True)]
    labels = batch.labels(others) if colours == "right or wrong" else None
    if labels is not None:
        guesses = atlas.guesses[atlas.rows(others)].tolist()
        pairs = zip(guesses, labels, strict=True)
        right = np.array([batch.class_name(guess) == label for guess, label in pairs], bool)
        return [*maps.by_truth(others, right), stars]
    return maps.pools(atlas, [stars])
