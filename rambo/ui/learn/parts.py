"""What the steps of Learn share: how a step is described, and its numbers."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import streamlit as st


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of the page.

    Attributes:
        name: in the address.
        title: in the menu.
        question: what one finds out here.
        notice: what to notice, one sentence.
        paper: where it stands in the paper.
        code: where it stands in the code.
        terms: the symbols it uses, keys of `rambo.ui.terms`.
        show: draws the step.
        keys: what it writes into the address itself; widgets that are bound to the address look after their own.
    """

    name: str
    title: str
    question: str
    notice: str
    paper: str
    code: str
    terms: Sequence[str]
    show: Callable[[], None]
    keys: Sequence[str] = ()


def numbers(values: Mapping[str, tuple[str, str]]) -> None:
    """Draw a row of numbers: label -> value and what it means."""
    with st.container(horizontal=True, key=f"learn-numbers-{abs(hash(tuple(values)))}"):
        for label, (value, meaning) in values.items():
            st.metric(label, value, help=meaning, width="content")
