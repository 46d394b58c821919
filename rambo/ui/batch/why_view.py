"""The tab Why of the page Batch: the validation images that this batch helps, and how much of each class."""

import dataclasses

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from rambo.datasets.prepared import UNLABELED
from rambo.errors import StoreError
from rambo.runs import paths
from rambo.runs.atlas import VALIDATION_POOL
from rambo.text import count, percent
from rambo.ui import pictures, readers
from rambo.ui.batch.batch_data import Batch
from rambo.ui.components import gallery

_THUMBNAILS = 300
_RIDGE = "ridge"  # the artifact of RAMBO+


@dataclasses.dataclass(frozen=True, eq=False)
class Helped:
    """Validation images in the order of how much a batch does for them.

    Attributes:
        images: dataset indices.
        amount: how much, in images of the batch or in margin, as the way of measuring says.
        helpers: how many chosen images serve each; empty where that is not known.
    """

    images: NDArray[np.int64]
    amount: NDArray[np.float64]
    helpers: NDArray[np.int64]


def by_transport(validation: NDArray[np.int64], mass: NDArray[np.floating]) -> Helped:
    """Return whom OT moves the chosen images to, most mass first.

    Args:
        validation: `B x m` dataset indices, -1 where fewer are served.
        mass: `B x m` shares of each chosen image.
    """
    there = validation >= 0
    images, place = np.unique(validation[there], return_inverse=True)
    amount = np.zeros(len(images))
    np.add.at(amount, place, mass[there])
    helpers = np.bincount(place, minlength=len(images))
    order = np.argsort(-amount, kind="stable")
    return Helped(images[order], amount[order], helpers[order])


def by_margin(
    validation: NDArray[np.int64], before: NDArray[np.floating], after: NDArray[np.floating]
) -> Helped:
    """Return whose margin under the closed-form fit the batch raises, most first; those it lowers are left out.

    Args:
        validation: `v` dataset indices.
        before: `v` margins with S_0 alone.
        after: with the batch, guesses as its labels.
    """
    gain = after.astype(np.float64) - before
    order = np.argsort(-gain, kind="stable")
    order = order[gain[order] > 0]
    return Helped(validation[order], gain[order], np.zeros(0, np.int64))


def class_shares(
    helped: Helped, labels: NDArray[np.int64], validation: NDArray[np.int64], classes: list[str]
) -> pd.DataFrame:
    """Return of each class its share of S_val and its share of what the batch does, in percent.

    Args:
        helped: validation images.
        labels: class ids of all `N`.
        validation: all of S_val.
        classes: names.
    """
    whole = np.bincount(labels[validation], minlength=len(classes)).astype(np.float64)
    own = np.bincount(labels[helped.images], weights=helped.amount, minlength=len(classes))
    return pd.DataFrame(
        {
            "class": classes,
            "of S_val, %": 100 * whole / max(whole.sum(), 1.0),
            "of the help, %": 100 * own / (own.sum() or 1.0),
        }
    )


def show(batch: Batch) -> None:
    """Draw whom the batch helps."""
    margins = _ridge(batch)
    if margins is None and batch.served is None:
        st.info("Whom this batch helps is not recorded for this run.")
        return
    if margins is not None:
        st.markdown(
            "**Of these validation images it makes RAMBO+ surer.** Its closed-form fit raises their margin when the "
            "batch, with guesses as its labels, joins the labels you hold."
        )
        _draw(batch, by_margin(*margins), "margin up by {:.2f}", "ridge")
    if batch.served is not None:
        exact = bool(batch.served["exact"][0])
        st.markdown(
            "**These validation images it serves**: optimal transport moves the chosen images to them"
            f"{'' if exact else ', by the smallest cost, as the exact plan was too large'}. "
            "No label of the batch is read for it."
        )
        helped = by_transport(batch.served["validation"], batch.served["mass"])
        _draw(batch, helped, "{:.2f} images of the batch", "transport")


def _draw(batch: Batch, helped: Helped, words: str, key: str) -> None:
    """Draw the images, most helped first, and the classes they are of."""
    visible = [int(index) for index in helped.images[:_THUMBNAILS]]
    names = batch.labels(visible) or [""] * len(visible)
    captions = {}
    for place, (index, name) in enumerate(zip(visible, names, strict=True)):
        served = (
            f"\nby {count(int(helped.helpers[place]), 'chosen image')}"
            if len(helped.helpers)
            else ""
        )
        captions[index] = f"image {index}\n{name}\n{words.format(helped.amount[place])}{served}"
    left, right = st.columns([3, 2], gap="large")
    with left:
        gallery(
            pictures.sheet(batch.data, visible),
            visible,
            key=f"why-{key}-{batch.run.id}-{batch.trial}-{batch.strategy}",
            size=44,
            readonly=True,
            captions=captions,
            empty="None.",
            max_height=360,
            label="Validation images helped",
        )
        half = int(np.searchsorted(np.cumsum(helped.amount), helped.amount.sum() / 2)) + 1
        if len(helped.images):
            st.caption(
                f"{count(len(helped.images), 'validation image')} in all, most helped first; half of the help goes to "
                f"{half:,} of them ({percent(half / len(helped.images), 0)})."
            )
    with right:
        _classes(batch, helped, key)


def _classes(batch: Batch, helped: Helped, key: str) -> None:
    """Draw how the help divides among the classes."""
    data = batch.data
    if data is None or batch.atlas is None:
        return
    validation = _validation(batch)
    labels = np.asarray(data.labels)
    if (labels[validation] == UNLABELED).any():
        return
    table = class_shares(helped, labels, validation, list(batch.classes))
    columns = {
        name: st.column_config.ProgressColumn(
            format="%.0f", min_value=0, max_value=100, width="small"
        )
        for name in table.columns[1:]
    }
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        height="content" if len(table) <= 12 else 420,
        column_config=columns,
        key=f"why-classes-{key}",
    )
    st.caption("A batch made for S_val as it is would give each class its own share.")


def _validation(batch: Batch) -> NDArray[np.int64]:
    """Return S_val of the trial."""
    assert batch.atlas is not None
    indices: NDArray[np.int64] = batch.atlas.members(VALIDATION_POOL)
    return indices


def _ridge(
    batch: Batch,
) -> tuple[NDArray[np.int64], NDArray[np.floating], NDArray[np.floating]] | None:
    """Return S_val with its margins before and after, where the strategy kept them."""
    name = paths.of_choice(batch.trial, batch.strategy, _RIDGE)
    if not batch.run.has_artifact(name):
        return None
    try:
        arrays = readers.arrays(batch.run, name)
        return arrays["validation"], arrays["margins_before"], arrays["margins_after"]
    except (StoreError, KeyError):
        return None
