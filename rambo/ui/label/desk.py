"""Label by keyboard: the component, its answers on disk, and the button that makes them labels."""

import time
from collections.abc import Mapping

import streamlit as st

from rambo.collection import intake
from rambo.collection.answers import Answer, Answers, Kind, seconds_each
from rambo.collection.drafts import Draft
from rambo.collection.readers.items import class_name
from rambo.errors import RamboError
from rambo.text import count, literal
from rambo.ui import frame
from rambo.ui.components.labeler import (
    NOTHING,
    SKIPPED,
    UNANSWERED,
    UNSURE,
    Picture,
    labeler,
    sent,
    wanted,
)
from rambo.ui.label import round_data
from rambo.ui.label.round_data import Round

_AHEAD = 48  # pictures that are sent before they are needed
_BEHIND = 4
_SECONDS = 0.3  # of making new pictures in one rerun; the browser asks again
_SAVED = 400  # tokens that are confirmed
_SAID: dict[int, Kind] = {
    SKIPPED: "skipped",
    UNSURE: "unsure",
    NOTHING: "none of these",
    UNANSWERED: "taken back",
}


@st.fragment
def show(held: Round) -> None:
    """Draw the desk."""
    with frame.guard():
        key = f"labeler-{held.run.id}-{held.strategy}"
        now = round_data.snapshot(held.collection)
        if not now.classes:
            st.info("Name the classes first: add the first one below.", icon=":material/category:")
        answers = Answers(held.collection, held.run.id)
        log = answers.log()
        newest: dict[int, Answer] = {one.image: one for one in log}
        place = {name: code for code, name in enumerate(now.classes)}
        codes = [_code(newest.get(number), place) for number in held.request.numbers]
        files = dict(zip(now.numbers.tolist(), now.files, strict=True))
        labeler(
            held.request.numbers,
            codes,
            key=key,
            classes=now.classes,
            pictures=_pictures(held, codes, wanted(key)),
            saved=[one.token for one in log[-_SAVED:]],
            guesses=held.guesses,
            names=[files.get(number, "") for number in held.request.numbers],
            seconds=seconds_each(log),
            on_answers=lambda: _store(key, held, now.classes),
            on_wanted=lambda: None,
        )
        _finish(held, answers)


def _code(answer: Answer | None, place: Mapping[str, int]) -> int:
    """Return what the browser calls an answer."""
    if answer is None:
        return UNANSWERED
    if answer.kind == "label":
        return place.get(answer.label or "", UNANSWERED)
    return next(code for code, said in _SAID.items() if said == answer.kind)


def _store(key: str, held: Round, classes: tuple[str, ...]) -> None:
    """Put what the browser sent on disk; what fails stays in the browser and is sent again."""
    with frame.calmly():
        asked = set(held.request.numbers)
        Answers(held.collection, held.run.id).add(
            Answer(
                one.token,
                one.image,
                "label" if one.code >= 0 else _SAID[one.code],
                one.label if one.code >= 0 else None,
                one.time,
            )
            for one in sent(key)
            if one.image in asked and (one.label in classes if one.code >= 0 else one.code in _SAID)
        )


def _pictures(held: Round, codes: list[int], lacking: list[int]) -> dict[int, Picture]:
    """Return the pictures the browser needs next, as many as can be made in a moment."""
    numbers = held.request.numbers
    ahead = [number for number, code in zip(numbers, codes, strict=True) if code == UNANSWERED]
    first = numbers.index(ahead[0]) if ahead else len(numbers)
    asked = [number for number in lacking if number in set(numbers)]
    needed = [*asked, *ahead[:_AHEAD], *numbers[max(0, first - _BEHIND) : first]]
    found: dict[int, Picture] = {}
    end = time.monotonic() + _SECONDS
    for number in dict.fromkeys(needed):
        if len(found) >= 6 and time.monotonic() > end:
            break
        found[number] = round_data.picture(str(held.collection.folder), number)
    return found


def _finish(held: Round, answers: Answers) -> None:
    """Draw what turns answers into labels, what adds a class, and what takes labels back."""
    waiting = answers.waiting(round_data.snapshot(held.collection))
    labels = sum(entry.answer == "label" and entry.label is not None for entry in waiting)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.button(
            f"Use {count(labels, 'label')}" if labels else "Use the labels",
            type="primary",
            icon=":material/done_all:",
            disabled=not waiting,
            on_click=_take,
            args=(answers,),
            key="label-take",
            help="Makes a new version of the collection. Until then the answers wait on disk; nothing is lost.",
        )
        undo_button(held, key="label-undo-here")
        st.text_input(
            "Add a class",
            key="label-new-class",
            on_change=_add_class,
            args=(held,),
            placeholder="its name, then Enter",
            width=240,
        )


def _take(answers: Answers) -> None:
    """Make the answers labels."""
    with frame.calmly():
        version = answers.take()
        if version is not None:
            frame.notify(f"The collection is version {version}.", icon=":material/check:")


def undo_button(held: Round, *, key: str) -> None:
    """Draw the button that takes the newest labels back, where there are some."""
    gone = {version.undoes for version in held.collection.versions() if version.kind == "undo"}
    labels = [v for v in held.collection.versions() if v.kind == "labels" and v.number not in gone]
    if labels:
        st.button(
            f"Take version {labels[-1].number} back",
            icon=":material/undo:",
            key=key,
            on_click=_undo,
            args=(held, labels[-1].number),
            help=literal(labels[-1].note, 300),
        )


def _undo(held: Round, version: int) -> None:
    """Take the labels of a version back."""
    with frame.calmly():
        made = intake.undo(held.collection, version)
        frame.notify(f"Version {made} takes the labels of version {version} back.")


def _add_class(held: Round) -> None:
    """Add a class to the collection."""
    with frame.calmly():
        name = class_name(st.session_state["label-new-class"])
        st.session_state["label-new-class"] = ""
        classes = round_data.snapshot(held.collection).classes
        if not name or name in classes:
            return

        def write(draft: Draft) -> None:
            draft.add_remarks("class", [*classes, name])  # in this order: keys stay what they are

        try:
            held.collection.change("classes", f"class {name}", write)
        except RamboError as error:
            frame.notify(literal(error, 300), icon=":material/error:")
