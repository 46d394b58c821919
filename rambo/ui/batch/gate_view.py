"""The tab Gate of the page Batch: what no strategy was allowed to choose, why, and how to overrule it."""

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from rambo.runs import paths
from rambo.text import count, percent
from rambo.ui import pictures, readers
from rambo.ui.batch.batch_data import Batch
from rambo.ui.components import gallery

_THUMBNAILS = 500


def is_there(batch: Batch) -> bool:
    """Return whether a gate decided in this trial."""
    return batch.run.has_artifact(_place(batch))


def show(batch: Batch) -> None:
    """Draw what the gate left out, most unlike first."""
    arrays = readers.arrays(batch.run, _place(batch))
    ids, likeness = arrays["indices"], arrays["likeness"]
    out = order_out(likeness, arrays["left_out"])
    st.markdown(sentence(len(ids), len(out), int(arrays["kept_anyway"].sum())))
    if not len(out):
        return
    visible = [int(index) for index in ids[out[:_THUMBNAILS]]]
    words = {
        int(ids[place]): f"image {ids[place]}\n{reason(float(likeness[place]))}"
        for place in out[:_THUMBNAILS]
    }
    result = gallery(
        pictures.sheet(batch.data, visible),
        visible,
        key=f"gate-{batch.run.id}-{batch.trial}",
        size=48,
        captions=words,
        max_height=420,
        label="Images left out",
    )
    if len(out) > len(visible):
        st.caption(f"The {len(visible):,} least alike of {len(out):,} are shown.")
    if result.selected:
        st.caption("To let these be chosen all the same, start a run with this setting:")
        st.code(f"acquisition.gate.keep = {sorted(result.selected)}", language=None)
    else:
        st.caption("Select images that do belong: the setting that keeps them appears here.")


def sentence(whole: int, excluded: int, exempt: int) -> str:
    """Return what the gate decided, in words."""
    if not excluded:
        return f"The gate kept all **{count(whole, 'unlabeled image')}**: none looks unlike S_0 and S_val."
    anyway = (
        f" {count(exempt, 'image')} it would have left out stayed, as the settings ask."
        if exempt
        else ""
    )
    return (
        f"The gate left **{excluded:,}** of {whole:,} unlabeled images out, before any strategy chose: "
        f"they look unlike S_0 and S_val.{anyway}"
    )


def reason(likeness: float) -> str:
    """Return why an image was left out."""
    return f"only {percent(likeness)} of S_0 and S_val look as unlike the others as this"


def order_out(likeness: NDArray[np.float64], excluded: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the places of what was left out, most unlike first."""
    places = np.flatnonzero(excluded)
    ordered: NDArray[np.int64] = places[np.argsort(likeness[places], kind="stable")]
    return ordered


def _place(batch: Batch) -> str:
    """Return the name of the trial's artifact."""
    return paths.of_trial(batch.trial, paths.GATE)
