"""The page Learn: every step opens without a run, answers a move, and stands in the address."""

import re
from pathlib import Path

import numpy as np
import pytest
from page_helpers import assert_calm, open_page, words
from streamlit.testing.v1 import AppTest

from rambo.method.transport import exact_transport
from rambo.ui.learn import (
    beat,
    bilevel,
    filters,
    interpolation,
    ranknet,
    rounds,
    steps,
    tables,
    transport,
    which,
)

LEARN = "pages/learn.py"


def metric(app: AppTest, label: str) -> str:
    return next(m.value for m in app.metric if m.label == label)


def param(app: AppTest, name: str) -> str:
    value = app.query_params[name]
    return value if isinstance(value, str) else value[0]


@pytest.mark.parametrize("step", steps.STEPS, ids=lambda step: step.name)
def test_a_step_opens_alone_and_says_what_to_notice(step: steps.Step, home: Path) -> None:
    app = open_page(LEARN, step=step.name)
    assert_calm(app)
    assert not app.error
    text = words(app)
    assert step.title in text
    assert step.notice in text
    assert step.paper in text
    assert step.code.partition(":")[0] in text
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
    assert param(app, "step") == second
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
    candidates = tables.read(tables.Transport).labeled
    rows = [*transport.START[:-1], 3]
    app.session_state["learn-set"] = {"selected": [candidates[row] for row in rows]}
    app.run()
    value = exact_transport(transport.ground_cost(1.0)[rows])
    assert metric(app, "OT(S, S_val)") == f"{value:.2f}" != before
    assert param(app, "s") == ".".join(map(str, sorted(rows)))


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
    tables._read.cache_clear()
    try:
        app = open_page(LEARN, step="transport")
        assert_calm(app)
        assert "python" in app.error[0].value
        assert "learn" in app.error[0].value
    finally:
        tables._read.cache_clear()


def test_train_says_what_the_core_would(home: Path) -> None:
    app = open_page(LEARN, step="beat", board="3")
    assert_calm(app)
    train = app.button(key="learn-beat-train")
    assert train.disabled
    choice = tables.read(tables.Boards).boards[2].choices["badge"]
    app.session_state["learn-beat-2"] = {"selected": choice}
    app.run()
    assert len(param(app, "pick").split(".")) == beat.BUDGET
    app.text_input(key="learn-beat-name").set_value("Ada *B*")
    app.button(key="learn-beat-train").click().run()
    assert_calm(app)
    accuracy = f"{100 * beat.rivals(2)['badge']:.1f}\u00a0%"
    assert accuracy in words(app)
    assert "Ada" in app.success[0].value
    assert accuracy in app.success[0].value


def test_the_best_of_the_class_is_seen_by_everybody_and_kept_by_the_first(home: Path) -> None:
    beat.best().enter(0, 0.6, "Ada")
    beat.best().enter(0, 0.6, "Bob")
    beat.best().enter(0, 0.5, "Cleo")
    assert beat.best().of(0) == (0.6, "Ada")
    assert beat.best().of(1) is None
    assert "Ada" in open_page(LEARN, step="beat").success[0].value


def test_a_choice_in_the_address_is_the_choice(home: Path) -> None:
    app = open_page(LEARN, step="beat", pick="5.6.7.9999.x.5")
    assert "3 of 20 chosen" in words(app)


def test_each_board_keeps_its_own_choice_and_the_address_has_that_of_the_one_shown(
    home: Path,
) -> None:
    app = open_page(LEARN, step="beat", board="3", pick="5.6.7")
    assert "3 of 20 chosen" in words(app)
    third = app.session_state["learn-beat-2"]["selected"]
    assert third == [tables.read(tables.Boards).boards[2].unlabeled[place] for place in (5, 6, 7)]
    app.slider(key="board").set_value(2).run()
    assert "0 of 20 chosen" in words(app)
    assert "pick" not in app.query_params
    second = tables.read(tables.Boards).boards[1].unlabeled[:2]
    app.session_state["learn-beat-1"] = {"selected": second}
    app.run()
    assert param(app, "pick") == "0.1"
    app.slider(key="board").set_value(3).run()
    assert param(app, "pick") == "5.6.7"
    assert app.session_state["learn-beat-2"]["selected"] == third
    app.slider(key="board").set_value(2).run()
    assert "2 of 20 chosen" in words(app)
    assert param(app, "pick") == "0.1"
    app.button(key="learn-beat-clear").click().run()
    app.slider(key="board").set_value(3).run()
    app.slider(key="board").set_value(2).run()
    assert "0 of 20 chosen" in words(app)


def test_fill_up_and_clear(home: Path) -> None:
    app = open_page(LEARN, step="beat", pick="1.2.3")
    app.button(key="learn-beat-fill").click().run()
    assert "20 of 20 chosen" in words(app)
    assert not app.button(key="learn-beat-train").disabled
    app.button(key="learn-beat-clear").click().run()
    assert "0 of 20 chosen" in words(app)
    assert "pick" not in app.query_params


def test_the_hypergradient_and_its_check_stand_side_by_side(home: Path) -> None:
    app = open_page(LEARN, step="bilevel")
    app.slider(key="lambda").set_value(-2.0).run()
    now = bilevel.evaluate(bilevel.task(0), -2.0)
    assert metric(app, "Hypergradient") == f"{now.hypergradient:+.4f}"
    assert metric(app, "By finite differences") == f"{now.hypergradient:+.4f}"
    app.slider(key="steps").set_value(20).run()
    there = bilevel.walk(bilevel.task(0), -2.0, 20)[-1]
    assert (
        metric(app, "Loss on long pairs") == f"{bilevel.evaluate(bilevel.task(0), there).outer:.3f}"
    )


def test_guessing_shows_both_trainings_and_counts(home: Path) -> None:
    app = open_page(LEARN, step="which", pair="7")
    assert_calm(app)
    assert "Guess first" in words(app)
    utilities = which.shipped().utilities[6]
    app.button(key="learn-guess-A").click().run()
    text = words(app)
    for value in utilities.flatten():
        assert f"{100 * value:.1f}\u00a0%" in text
    gaps = which.shipped().utilities[:, 0] - which.shipped().utilities[:, 1]
    agree = which.agreement(gaps)
    assert f"Two trainings agree in {100 * agree:.0f}\u00a0%" in text
    assert "no ceiling" in text
    right = utilities[0, 0] > utilities[1, 0]
    assert ("you 100\u00a0%" if right else "you 0\u00a0%") in text
    assert app.button(key="learn-guess-B").disabled
    app.button(key="learn-pair-next").click().run()
    assert "Guess first" in words(app)
    assert app.slider(key="pair").value == 8


def test_the_gap_moves_the_loss(home: Path) -> None:
    app = open_page(LEARN, step="ranknet", gap="-2.0", truth="1.0")
    now = ranknet.rank_pair(-2.0, 1.0)
    assert metric(app, "Loss") == f"{now.loss:.3f}"
    assert metric(app, "Gradient") == f"{now.gradient:+.3f}"
    app.slider(key="gap").set_value(2.0).run()
    assert metric(app, "Loss") == f"{ranknet.rank_pair(2.0, 1.0).loss:.3f}"


def test_a_set_has_its_interpolated_and_its_true_utility(home: Path) -> None:
    app = open_page(LEARN, step="interpolation", set="3")
    sets = interpolation.shipped()
    alpha, value = interpolation.interpolate(sets.distances[2], sets.accuracies)
    assert metric(app, "alpha") == f"{alpha:.3f}"
    assert metric(app, "Interpolated utility") == f"{100 * value:.1f}\u00a0%"
    assert metric(app, "True utility") == f"{100 * sets.utilities[2].mean():.1f}\u00a0%"
    app.toggle(key="own").set_value(True).run()
    app.slider(key="near").set_value(0.0).run()
    assert metric(app, "alpha") == "1.000"
    assert metric(app, "Interpolated utility") == f"{100 * sets.accuracies[0]:.1f}\u00a0%"


def test_m_changes_the_chosen_images(home: Path) -> None:
    app = open_page(LEARN, step="filter")
    app.select_slider(key="M").set_value(filters.sizes()[0]).run()
    assert metric(app, "As margin chooses") == "200 of 200"
    app.select_slider(key="M").set_value(filters.sizes()[-1]).run()
    row = filters.shipped()[filters.sizes()[-1]]
    assert metric(app, "Test accuracy") == f"{100 * np.mean(row.test_accuracies):.1f}\u00a0%"
    shared = set(row.chosen) & set(filters.shipped()[filters.sizes()[0]].chosen)
    assert metric(app, "As margin chooses") == f"{len(shared)} of 200"


def test_the_rounds_say_what_asking_once_costs(home: Path) -> None:
    app = open_page(LEARN, step="rounds", rounds="10", strategy="entropy")
    table = rounds.accuracies("entropy")
    at = tables.read(tables.Rounds).rounds.index(10)
    mean, _ = rounds.mean_and_error(table[:, at])
    gain, error = rounds.mean_and_error(table[:, at] - table[:, 0])
    assert metric(app, "Test accuracy").startswith(f"{100 * mean:.1f} ±")
    assert metric(app, "Against one round") == f"{100 * gain:+.1f} ± {100 * error:.1f}"
    assert metric(app, "Labels a round") == "20"
