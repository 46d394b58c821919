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
from rambo.ui import frame, visitor
from rambo.ui.components.labeler import (
    NOTHING,
    SKIPPED,
    UNANSWERED,
    UNSURE,
    Picture,
    answers_of,
    labeler,
    requested_images,
)
from rambo.ui.label import round_data
from rambo.ui.label.round_data import Round

_AHEAD = 48  # pictures that are sent before they are needed
_BEHIND = 4
_SECONDS = 0.3  # of making new pictures in one rerun; the browser asks again
_SAVED = 400  # tokens that are confirmed
_KINDS: dict[int, Kind] = {
    SKIPPED: "skipped",
    UNSURE: "unsure",
    NOTHING: "none of these",
    UNANSWERED: "taken back",
}


@st.fragment
def show(current: Round) -> None:
    """Draw the desk."""
    with frame.guard():
        key = f"labeler-{current.run.id}-{current.strategy}" + f"-{current.trial}" * (
            current.trial > 0
        )
        now = round_data.snapshot(current.collection)
        if not now.classes:
            st.info("Name the classes first: add the first one below.", icon=":material/category:")
        answers = Answers(current.collection, current.run.id)
        log = answers.log()
        newest: dict[int, Answer] = {one.image: one for one in log}
        place = {name: code for code, name in enumerate(now.classes)}
        codes = [_code(newest.get(number), place) for number in current.request.numbers]
        files = dict(zip(now.numbers.tolist(), now.files, strict=True))
        labeler(
            current.request.numbers,
            codes,
            key=key,
            classes=now.classes,
            pictures=_pictures(current, codes, requested_images(key)),
            saved=[one.token for one in log[-_SAVED:]],
            guesses=current.guesses,
            names=[files.get(number, "") for number in current.request.numbers],
            seconds=seconds_each(log),
            on_answers=lambda: _store(key, current, now.classes),
            on_request=lambda: None,
        )
        _finish(current, answers)


def _code(answer: Answer | None, place: Mapping[str, int]) -> int:
    """Return what the browser calls an answer."""
    if answer is None:
        return UNANSWERED
    if answer.kind == "label":
        return place.get(answer.label or "", UNANSWERED)
    return next(code for code, kind in _KINDS.items() if kind == answer.kind)


def _store(key: str, current: Round, classes: tuple[str, ...]) -> None:
    """Put what the browser sent on disk; what fails stays in the browser and is sent again."""
    with frame.calmly():
        visitor.require("label")
        batch = set(current.request.numbers)
        answers = Answers(current.collection, current.run.id)
        stored = {one.token for one in answers.log()}
        arrivals = [
            Answer(
                one.token,
                one.image,
                "label" if one.code >= 0 else _KINDS[one.code],
                one.label if one.code >= 0 else None,
                one.time,
            )
            for one in answers_of(key)
            if one.image in batch
            and one.token not in stored
            and (one.label in classes if one.code >= 0 else one.code in _KINDS)
        ]
        if arrivals:
            more = f"{count(len(arrivals), 'answer')} for {current.run.id}"
            with visitor.acting("label", current.collection.slug, more):
                answers.add(arrivals)


def _pictures(current: Round, codes: list[int], lacking: list[int]) -> dict[int, Picture]:
    """Return the pictures the browser needs next, as many as can be made in a moment."""
    numbers = current.request.numbers
    ahead = [number for number, code in zip(numbers, codes, strict=True) if code == UNANSWERED]
    first = numbers.index(ahead[0]) if ahead else len(numbers)
    urgent = [number for number in lacking if number in set(numbers)]
    needed = [*urgent, *ahead[:_AHEAD], *numbers[max(0, first - _BEHIND) : first]]
    pictures: dict[int, Picture] = {}
    end = time.monotonic() + _SECONDS
    for number in dict.fromkeys(needed):
        if len(pictures) >= 6 and time.monotonic() > end:
            break
        pictures[number] = round_data.picture(str(current.collection.folder), number)
    return pictures


def _finish(current: Round, answers: Answers) -> None:
    """Draw what turns answers into labels, what adds a class, and what takes labels back."""
    waiting = answers.waiting(round_data.snapshot(current.collection))
    labels = sum(entry.answer == "label" and entry.label is not None for entry in waiting)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.button(
            f"Use {count(labels, 'label')}" if labels else "Use the labels",
            type="primary",
            icon=":material/done_all:",
            disabled=not waiting or not visitor.may_edit(),
            on_click=_take,
            args=(answers,),
            key="label-take",
            help="Makes a new version of the collection. Until then the answers wait on disk; nothing is lost.",
        )
        undo_button(current, key="label-undo-here")
        st.text_input(
            "Add a class",
            key="label-new-class",
            disabled=not visitor.may_edit(),
            on_change=_add_class,
            args=(current,),
            placeholder="its name, then Enter",
            width=240,
        )


def _take(answers: Answers) -> None:
    """Make the answers labels."""
    with frame.calmly(), visitor.acting("label", answers.collection.slug) as called:
        version = answers.take()
        if version is not None:
            called(f"{answers.collection.slug}@{version}")
            frame.notify(f"The collection is version {version}.", icon=":material/check:")


def undo_button(current: Round, *, key: str) -> None:
    """Draw the button that takes the newest labels back, where there are some."""
    undone = {version.undoes for version in current.collection.versions() if version.kind == "undo"}
    labels = [
        v for v in current.collection.versions() if v.kind == "labels" and v.number not in undone
    ]
    if labels and visitor.may_edit():
        st.button(
            f"Take version {labels[-1].number} back",
            icon=":material/undo:",
            key=key,
            on_click=_undo,
            args=(current, labels[-1].number),
            help=literal(labels[-1].note, 300),
        )


def _undo(current: Round, version: int) -> None:
    """Take the labels of a version back."""
    with frame.calmly(), visitor.acting("label", current.collection.slug, f"took back {version}"):
        number = intake.undo(current.collection, version)
        frame.notify(f"Version {number} takes the labels of version {version} back.")


def _add_class(current: Round) -> None:
    """Add a class to the collection."""
    with frame.calmly():
        visitor.require("label")
        name = class_name(st.session_state["label-new-class"])
        st.session_state["label-new-class"] = ""
        classes = round_data.snapshot(current.collection).classes
        if not name or name in classes:
            return

        def write(draft: Draft) -> None:
            draft.add_remarks("class", [*classes, name])  # in this order: keys stay what they are

        try:
            with visitor.acting("label", current.collection.slug, f"class {name}"):
                current.collection.change("classes", f"class {name}", write)
        except RamboError as error:
            frame.notify(literal(error, 300), icon=":material/error:")
