"""The chosen images as rows of a table, each with its thumbnail."""

import numpy as np
import pandas as pd
import streamlit as st

from rambo.datasets.prepared import Prepared
from rambo.runs.atlas import Indices
from rambo.runs.notes import ImageNote
from rambo.ui import pictures, terms
from rambo.ui.batch import tagging
from rambo.ui.batch.batch_data import Batch

# How the columns are drawn, narrow enough for half a page.
COLUMNS = {
    "thumbnail": st.column_config.ImageColumn("", width=40),
    "order": st.column_config.NumberColumn("#", width=30, help="1 was chosen first"),
    "image": st.column_config.NumberColumn(width=55, format="%d", help="Row in the dataset"),
    "margin": st.column_config.ProgressColumn(
        width=100, min_value=0, max_value=1, format="%.3f", help=terms.words("margin")
    ),
    "step": st.column_config.NumberColumn(width=40, help="The greedy step, from 1"),
    "u_hat": st.column_config.NumberColumn(
        width=60,
        format="%.3f",
        help=f"Of S_j with the batch of its step. {terms.words('u_hat')} {terms.words('S_j')}",
    ),
}


def table_of(batch: Batch, page: Indices, oracle: bool) -> pd.DataFrame:
    """Return the table of some chosen images, with thumbnails."""
    at = [batch.at(int(index)) or 0 for index in page]
    table = pd.DataFrame(
        {
            "thumbnail": thumbnails(batch, page),
            "order": np.array(at, np.int64) + 1,
            "image": page,
            "guess": [batch.class_name(int(guess)) for guess in batch.guesses[at]],
            "margin": batch.margins[at],
            "step": batch.steps[at] + 1,
        }
    )
    if np.isfinite(batch.utilities).any():
        table["u_hat"] = batch.utilities[at]
    labels = batch.labels(page.tolist()) if oracle else None
    if labels is not None:
        table["oracle"] = labels
    images = tagging.load(batch)
    entries = [images.get(int(index), ImageNote()) for index in page]
    if any(entry != ImageNote() for entry in entries):
        table["tags"] = [", ".join(entry.tags) for entry in entries]
        table["note"] = [entry.note for entry in entries]
    return table


def thumbnails(batch: Batch, page: Indices) -> list[str]:
    """Return each image as a data address."""
    fingerprint = batch.data.fingerprint if batch.data is not None else ""
    return _thumbnails(fingerprint, tuple(page.tolist()), _data=batch.data)


@st.cache_resource(show_spinner=False, max_entries=32)
def _thumbnails(fingerprint: str, ids: tuple[int, ...], *, _data: Prepared | None) -> list[str]:
    """Return the addresses; the first two arguments are the key of the cache."""
    images = []
    for index in ids:
        picture = pictures.picture(_data, index)
        picture.thumbnail((96, 96))
        images.append(pictures.data_address(picture))
    return images
