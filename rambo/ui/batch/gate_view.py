"""What no strategy was allowed to choose, why, and how to overrule it: the tab Gate of Batch, and a part of Data."""

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from rambo.datasets.prepared import Prepared
from rambo.runs import paths
from rambo.runs.workspace import Run
from rambo.text import count, percent
from rambo.ui import pictures, readers, state
from rambo.ui.components import gallery
from rambo.ui.configure import draft

_THUMBNAILS = 500


def is_there(run: Run, trial: int) -> bool:
    """Return whether a gate decided in this trial."""
    return run.has_artifact(_place(trial))


def show(run: Run, trial: int, data: Prepared | None) -> None:
    """Draw what the gate left out, most unlike first, and the way to overrule it.

    Args:
        run: whose gate it was.
        trial: of it.
        data: the images, where they are there.
    """
    arrays = readers.arrays(run, _place(trial))
    ids, likeness = arrays["indices"], arrays["likeness"]
    out = order_out(likeness, arrays["left_out"])
    exempt = ids[arrays["kept_anyway"]]
    spared = int((~np.isin(exempt, readers.config(run).acquisition.gate.keep)).sum())
    st.markdown(sentence(len(ids), len(out), len(exempt), spared))
    if not len(out):
        return
    visible = [int(index) for index in ids[out[:_THUMBNAILS]]]
    words = {
        int(ids[place]): f"image {ids[place]}\n{reason(float(likeness[place]))}"
        for place in out[:_THUMBNAILS]
    }
    result = gallery(
        pictures.sheet(data, visible),
        visible,
        key=f"gate-{run.id}-{trial}",
        size=48,
        captions=words,
        max_height=420,
        label="Images left out",
    )
    if len(out) > len(visible):
        st.caption(f"The {len(visible):,} least alike of {len(out):,} are shown.")
    _overrule(run, sorted(int(index) for index in result.selected))


def _overrule(run: Run, selected: list[int]) -> None:
    """Draw the way to a run in which these images may be chosen all the same."""
    before = readers.config(run).acquisition.gate.keep
    word = count(len(selected), "image") if selected else "some"
    if st.button(
        f"Set up a run that keeps {word}",
        icon=":material/undo:",
        disabled=not selected,
        key=f"gate-keep-{run.id}",
        help="Select images that do belong. A run of the same settings is set up in which they may be chosen; what was "
        "trained before is found again.",
    ):
        draft.take_run(run)
        draft.take({"acquisition.gate.keep": sorted({*before, *selected})})
        state.go("pages/configure.py")


def sentence(whole: int, excluded: int, exempt: int, spared: int = 0) -> str:
    """Return what the gate decided, in words.

    Args:
        whole: images of U_0.
        excluded: left out.
        exempt: that it would have left out and that stayed.
        spared: how many of these nobody asked for.
    """
    if not excluded and not exempt:
        return f"The gate kept all **{count(whole, 'unlabeled image')}**: none looks unlike S_0 and S_val."
    reasons = {"as the settings ask": exempt - spared}
    reasons["since the budget could not be spent without them"] = spared
    stayed = [f"{number:,} {why}" for why, number in reasons.items() if number]
    anyway = f" Of those it would have left out, stayed: {' and '.join(stayed)}." if stayed else ""
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


def _place(trial: int) -> str:
    """Return the name of the trial's artifact."""
    return paths.of_trial(trial, paths.GATE)
