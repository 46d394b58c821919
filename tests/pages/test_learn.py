"""The page Learn: every step opens without a run, answers a move, and stands in the address."""

import re
from pathlib import Path

import numpy as np
import pytest
from page_helpers import assert_calm, open_page, words
from streamlit.testing.v1 import AppTest

from rambo.method.transport import exact_transport
from rambo.ui.learn import steps, tables, transport

LEARN = "pages/learn.py"


def metric(app: AppTest, label: str) -> str:
    return next(m.value for m in app.metric if m.label == label)


@pytest.mark.parametrize("step", steps.STEPS, ids=lambda step: step.name)
def test_a_step_opens_alone_and_says_what_to_notice(step: steps.Step, home: Path) -> None:
    app = open_page(LEARN, step=step.name)
    assert_calm(app)
    assert not app.error
    shown = words(app)
    assert step.title in shown
    assert step.notice in shown
    assert step.paper in shown
    assert step.code.partition(":")[0] in shown
    assert not home.exists() or not list(home.glob("*/run.sqlite"))


@pytest.mark.parametrize("step", steps.STEPS, ids=lambda step: step.name)
def test_the_code_named_is_there(step: steps.Step) -> None:
    file, _, names = step.code.partition(": ")
    text = (Path(__file__).parents[2] / file).read_text()
    for name in names.split(", "):
        assert re.search(rf"(def|class) {name}\b", text), name


def test_an_unknown_step_opens_the_first(home: Path) -> None:
    app = open_page(LEARN, step="<script>")
    assert_calm(app)
    assert steps.STEPS[0].title in words(app)


def test_next_and_back_turn_the_page_and_the_address(home: Path) -> None:
    app = open_page(LEARN)
    app.button(key="learn-next").click().run()
    second = [*(step.name for step in steps.STEPS), "terms"][1]
    assert app.query_params["step"] in (second, [second])
    app.button(key="learn-back").click().run()
    assert "step" not in app.query_params
    assert app.button(key="learn-back").disabled


def test_the_terms_are_all_there_and_can_be_looked_up(home: Path) -> None:
    app = open_page(LEARN, step="terms")
    assert_calm(app)
    assert "smallest margins" in words(app)
    app.text_input[0].set_value("budget").run()
    assert "How many labels are bought" in words(app)
    assert "smallest margins" not in words(app)


def test_transport_takes_its_set_from_the_address_and_says_its_distance(home: Path) -> None:
    app = open_page(LEARN, step="transport", s="1.2.3", labels="0.5")
    cost = transport.ground_cost(0.5)[[1, 2, 3]]
    assert metric(app, "OT(S, S_val)") == f"{exact_transport(cost):.2f}"
    assert metric(app, "Images in S") == "3"


def test_swapping_an_image_moves_the_distance_and_the_address(home: Path) -> None:
    app = open_page(LEARN, step="transport")
    before = metric(app, "OT(S, S_val)")
    candidates = tables.table("transport")["labeled"]
    rows = [*transport.START[:-1], 3]
    app.session_state["learn-set"] = {"selected": [candidates[row] for row in rows]}
    app.run()
    value = exact_transport(transport.ground_cost(1.0)[rows])
    assert metric(app, "OT(S, S_val)") == f"{value:.2f}" != before
    text = app.query_params["s"]
    assert (text if isinstance(text, str) else text[0]) == ".".join(map(str, sorted(rows)))


def test_no_image_at_all_is_said_calmly(home: Path) -> None:
    app = open_page(LEARN, step="transport")
    app.session_state["learn-set"] = {"selected": []}
    app.run()
    assert_calm(app)
    assert "Choose at least one image" in words(app)


def test_nonsense_in_the_address_is_the_first_set(home: Path) -> None:
    app = open_page(LEARN, step="transport", s="999.x.-1.\u0663", labels="many")
    assert_calm(app)
    cost = transport.ground_cost(1.0)[list(transport.START)]
    assert metric(app, "OT(S, S_val)") == f"{exact_transport(np.array(cost)):.2f}"


def test_a_missing_table_is_one_sentence_with_the_way_out(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "FOLDER", tmp_path)
    tables.table.cache_clear()
    try:
        app = open_page(LEARN, step="transport")
        assert_calm(app)
        assert "python" in app.error[0].value
        assert "learn" in app.error[0].value
    finally:
        tables.table.cache_clear()
