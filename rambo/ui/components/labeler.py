"""Labels by keyboard: one picture at a time, the next ones fetched ahead, every answer sent at once.

The browser shows the next picture without asking the server. It keeps each answer until the server says that it is
on disk, also over a reload, and sends it again where it is not.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from rambo.ui.components import media

_HERE = Path(__file__).parent
UNANSWERED, SKIPPED, UNSURE, NOTHING = -1, -2, -3, -4  # codes; from 0 on a class


@dataclass(frozen=True)
class Picture:
    """One encoded picture."""

    data: bytes
    mime: str
    digest: str


@dataclass(frozen=True)
class LabelerAnswer:
    """An answer as the browser sends it.

    Attributes:
        token: names it.
        image: its id.
        code: from 0 on a class, one of the codes above, or `UNANSWERED`: taken back.
        label: the class by its name, which outlives a new order of the classes; else empty.
        time: seconds since 1970.
    """

    token: str
    image: int
    code: int
    label: str
    time: float


def labeler(
    queue: Sequence[int],
    codes: Sequence[int],
    *,
    key: str,
    classes: Sequence[str],
    pictures: Mapping[int, Picture],
    saved: Sequence[str],
    guesses: Sequence[str] = (),
    names: Sequence[str] = (),
    seconds: float | None = None,
    on_answers: Callable[[], None],
    on_request: Callable[[], None],
) -> None:
    """Show the images of `queue` one after the other.

    Answers arrive as `st.session_state[key]["answers"]`, see `sent`; the pictures that the browser lacks as
    `st.session_state[key]["wanted"]`, a list of ids.

    Args:
        queue: ids of the images, in order.
        codes: what is on disk for each.
        key: unique on the page, and the same after a reload: the browser keeps unsaved answers under it.
        classes: the names; the first ones have keys.
        pictures: by id, those that the browser may need next.
        saved: tokens of the newest answers on disk.
        guesses: what f says of each image, shown only after a person's own answer; none to show nothing.
        names: of the images, for screen readers and as a caption.
        seconds: an answer takes, for the pace; None where not known.
        on_answers: called before the rerun that new answers start: put them on disk.
        on_request: called before the rerun that missing pictures start.
    """
    data = {
        "queue": list(queue),
        "codes": list(codes),
        "classes": list(classes),
        "pictures": [
            [image, media.publish(picture.data, picture.mime, picture.digest)]
            for image, picture in pictures.items()
        ],
        "saved": list(saved),
        "guesses": list(guesses),
        "names": list(names),
        "seconds": seconds,
        "storage": f"rambo-{key}",
    }
    _component(key=key, data=data, on_answers_change=on_answers, on_wanted_change=on_request)


def answers_of(key: str) -> list[LabelerAnswer]:
    """Return the answers that the browser sent; what is no answer is left out."""
    return [
        LabelerAnswer(
            one["token"], one["image"], one["code"], str(one.get("label") or ""), float(one["time"])
        )
        for one in _list(key, "answers")
        if isinstance(one, Mapping)
        and isinstance(one.get("token"), str)
        and 0 < len(one["token"]) <= 64
        and all(isinstance(one.get(name), int) for name in ("image", "code"))
        and isinstance(one.get("time"), int | float)
    ]


def requested_images(key: str) -> list[int]:
    """Return the images whose pictures the browser lacks."""
    return [one for one in _list(key, "wanted") if isinstance(one, int)]


def _list(key: str, name: str) -> list[Any]:
    """Return what the browser sent under a name."""
    state = st.session_state.get(key)
    value = state.get(name) if isinstance(state, Mapping) else None
    return list(value) if isinstance(value, list | tuple) else []


_component = st.components.v2.component(
    "rambo_labeler",
    js=(_HERE / "labeler.js").read_text("utf-8"),
    css=(_HERE / "labeler.css").read_text("utf-8"),
)
