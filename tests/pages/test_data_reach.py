"""The preview of OT beside the pools of a run: shut it computes nothing, open it says its bounds."""

import re

import pytest
import streamlit as st
from page_helpers import assert_calm, open_page, unescaped, words

from rambo.runs.workspace import Run
from rambo.ui.data import reach

PAGE = "pages/data.py"


def test_a_closed_section_measures_nothing(done: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "measure", lambda *_: pytest.fail("measured behind a closed door"))
    app = open_page(PAGE, done.id)
    assert_calm(app)
    assert "OT" not in unescaped(words(app))


def test_an_open_section_says_the_bounds_once(done: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    measure = reach.measure

    def counted(*arguments: object) -> reach.Reach:
        calls.append(arguments)
        return measure(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(reach, "measure", counted)
    app = open_page(PAGE, done.id)
    app.session_state[f"data-reach-{done.id}"] = True
    app.run()
    assert_calm(app)
    text = unescaped(words(app))
    assert re.search(r"S_0 as a whole: OT [0-9.,]+ to [0-9.,]+", text)
    assert "guaranteed bounds" in text
    assert "between pixels; the run adds distances between classes" in text
    app.run()
    assert len(calls) == 1
    st.cache_resource.clear()
