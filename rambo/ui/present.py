"""Present mode: one figure at a time in large type, turned by the arrow keys; the address says which one.

if run is not None and state.presenting():
    present.show(run, slides)            # a function that gives the slides of now; `frame.header` has the link
"""

import dataclasses
from collections.abc import Callable, Sequence

import streamlit as st

from rambo.figures.prepared import PreparedFigure
from rambo.figures.projector import enlarged
from rambo.runs import jobs
from rambo.runs.workspace import Run
from rambo.ui import frame, pace, readers, state, terms
from rambo.ui.components import plot

_SCALE = 1.7  # of the letters in a figure
_HEIGHT = 560  # pixels of a chart; `style.css` gives it what the window has left
_SECONDS = 2  # between two looks at a run that is worked on


@dataclasses.dataclass(frozen=True)
class Slide:
    """One thing to look at.

    Attributes:
        name: in keys.
        title: what it is about, or the question it answers.
        words: one or two sentences; `{S_0}` becomes a symbol that explains itself.
        draw: draws the figure.
    """

    name: str
    title: str
    words: str
    draw: Callable[[], None]


_NOTHING = Slide(
    "nothing",
    "Nothing to present yet",
    "This run has drawn nothing that a slide could show. Leave, and watch it on Train.",
    lambda: None,
)


def show(run: Run, slides: Callable[[], Sequence[Slide]]) -> None:
    """Draw the slide of the address; of a run that is worked on, as it grows.

    Args:
        run: what the slides are about.
        slides: gives those of now.
    """
    live = readers.status(run)[0] in jobs.LIVE
    st.fragment(_body, run_every=pace.every(_SECONDS) if live else None)(run, slides, live)
    if not live:
        pace.await_news(lambda: readers.status(run))


def chart(figure: PreparedFigure | None, *, key: str, alt: str, waits: str = "") -> None:
    """Draw a figure as large as the window.

    Args:
        figure: as the page has it, or None while there is nothing.
        key: unique among the slides.
        alt: what it shows, for those who do not see it.
        waits: what to say while there is nothing.
    """
    if figure is None:
        st.info(waits or "There is nothing to show here yet.", icon=":material/hourglass_top:")
        return
    with st.container(key=f"present-chart-{key}"):
        large = _large(figure.digest, _figure=figure)
        plot(large, key=f"present-{key}", alt=alt, height=_HEIGHT, file_name=key, keys=False)


@st.cache_resource(show_spinner=False, max_entries=32)
def _large(digest: str, *, _figure: PreparedFigure) -> PreparedFigure:
    """Return the figure for a projector; its digest is the key of the cache."""
    return enlarged(_figure, _SCALE)


def _body(run: Run, slides: Callable[[], Sequence[Slide]], live: bool) -> None:
    """Draw one slide and the way to the others."""
    with frame.guard():
        if (readers.status(run)[0] in jobs.LIVE) != live or not state.presenting():
            st.rerun()
        pages = slides()
        at = _at(len(pages))
        with st.container(key="present"):
            with frame.guard():
                _slide(pages[at] if pages else _NOTHING)
            _turn(at, len(pages))


def _slide(slide: Slide) -> None:
    """Draw one slide."""
    st.title(slide.title, anchor=False)
    terms.caption(slide.words)
    slide.draw()


def _at(count: int) -> int:
    """Return the place of the address among the slides, from 0; the nearest where there is none such."""
    typed = st.query_params.get("present", "")
    number = int(typed) if typed.isascii() and typed.isdigit() and len(typed) < 6 else 1
    return min(max(number, 1), max(count, 1)) - 1


def _turn(at: int, count: int) -> None:
    """Draw the buttons, all of which have a key; those of a remote control too, which nobody sees."""
    with st.container(key="present-turn", horizontal=True, vertical_alignment="center"):
        st.markdown(f"{at + 1} of {count}" if count else "")
        for word, icon, key, to in (
            ("Back", ":material/arrow_back:", "Left", at - 1),
            ("Next", ":material/arrow_forward:", "Right", at + 1),
        ):
            st.button(
                word,
                icon=icon,
                key=f"present-{word.lower()}",
                shortcut=key,
                disabled=not 0 <= to < count,
                on_click=_go,
                args=(to,),
            )
        st.button(
            "Leave",
            icon=":material/close:",
            key="present-leave",
            shortcut="Esc",
            on_click=_leave,
        )
    with st.container(key="present-remote"):
        for key, to in (("PageUp", at - 1), ("PageDown", at + 1), ("Home", 0), ("End", count - 1)):
            reachable = 0 <= to < count
            st.button(
                key,
                key=f"present-{key}",
                shortcut=key,
                disabled=not reachable,
                on_click=_go,
                args=(to,),
            )


def _go(to: int) -> None:
    """Turn to a slide."""
    st.query_params["present"] = str(to + 1)


def _leave() -> None:
    """Go back to the page as it always is."""
    if state.presenting():
        del st.query_params["present"]
