"""The way to a rehearsal from a collection: its labeled part is prepared, then the same budget is played inside it."""

import streamlit as st

from rambo import config as configs
from rambo.collection import collection as own
from rambo.collection.records import LABELED, POOL
from rambo.config import presets
from rambo.text import literal
from rambo.ui import controls, frame, library, state, visitor
from rambo.ui.collections import OpenCollection

_FEWEST = 12  # labels, two of a class: below that a rehearsal is refused
_HELP = (
    "Plays a budget of as many labels as you have, made smaller, inside the images you labeled, with their labels "
    "hidden: so you see on your own images which strategy wins, before you pay. Uses the quick settings; Configure "
    "offers the same with your own settings and budget."
)


def show_button(opened: OpenCollection) -> None:
    """Draw the button."""
    now = opened.now
    labels = len(now) - len(now.rows(POOL))
    enough = labels >= _FEWEST and len(now.classes) >= 2 and len(now.rows(POOL)) > 0
    if st.button(
        "Rehearse on my labels",
        icon=":material/theater_comedy:",
        key="collection-rehearse",
        disabled=not enough or not visitor.may_edit(),
        help=_HELP
        if enough
        else f"Needs {_FEWEST} labels or more of two classes, and images without one.",
    ):
        st.session_state[_key(opened)] = True


def show_waiting(opened: OpenCollection) -> None:
    """Start the rehearsal that was asked for, as soon as the images are prepared."""
    if st.session_state.get(_key(opened)):
        _wait(opened)


@st.fragment(run_every=1)
def _wait(opened: OpenCollection) -> None:
    """Prepare the images in the background, then open the run."""
    with frame.guard():
        name = f"{own.PREFIX}{opened.now.slug}"
        data = library.ensure(name)
        if data is None:
            standing = library.standing(name)
            if standing.state == "failed":
                st.session_state[_key(opened)] = False
                st.error(literal(standing.message, 500), icon=":material/error:")
            else:
                st.info("Making the images ready to learn from.", icon=":material/hourglass_top:")
            return
        st.session_state[_key(opened)] = False
        run = controls.rehearse(_config(opened, name), data)
        state.go("pages/train.py", run.id)


def _config(opened: OpenCollection, name: str) -> configs.Config:
    """Return the quick settings with a budget that fits.

    Choice: as many labels as are there to learn from: 500 beside 24 would leave a rehearsal a seed of two images.
    """
    settings = presets.quick(name)
    budget = min(settings["budget"], max(2, len(opened.now.rows(LABELED))))
    batch = min(settings["acquisition"]["batch_size"], max(1, budget // 2))
    return configs.build(settings | {"budget": budget, "acquisition": {"batch_size": batch}})


def _key(opened: OpenCollection) -> str:
    """Return where it is remembered that a rehearsal was asked for."""
    return f"rehearse-{opened.now.slug}"
