"""A study in words, tables, figures and prices: the pure parts of the page Studies."""

import dataclasses
import json
from typing import Any

import pytest
from tiny import tiny_config

from rambo import config as configs
from rambo.estimate import costs
from rambo.estimate.costs import DataSizes
from rambo.figures import study_chart, study_tables
from rambo.runs.report import Difference
from rambo.studies import grid
from rambo.studies.paper import Reported
from rambo.studies.table import Accuracy, CellProgress, StudyRow, StudyTable, Verdict
from rambo.ui.configure import settings
from rambo.ui.studies import costing, setup
from rambo.ui.studies.setup import Choices


def row(cell: str, strategy: str, test: float | None, **changes: Any) -> StudyRow:
    """Return a row as `study.table` gives it."""
    entry = StudyRow(
        cell=cell,
        place={},
        strategy=strategy,
        trials=5,
        test=Accuracy() if test is None else Accuracy(test, 0.01),
        validation=Accuracy() if test is None else Accuracy(test + 0.02, 0.02),
        trainings=3,
        cached_trainings=1,
        wasted=None,
        seconds={},
        reported=None,
    )
    return dataclasses.replace(entry, **changes)


def table_of(axis: str, places: dict[str, Any], rows: list[StudyRow]) -> StudyTable:
    """Return a study as `study.table` gives it."""
    cells = [
        CellProgress(label, {axis or "all": value}, None, "waiting", 0, 1)
        for label, value in places.items()
    ]
    return StudyTable(
        study="",
        name="",
        title="",
        source="",
        question="",
        axis=axis,
        dataset="mnist",
        config=configs.describe(tiny_config()),
        status="done",
        cells=cells,
        rows=rows,
        verdicts=[],
    )


def chart(study: StudyTable, metric: str = "test") -> dict[str, Any]:
    """Return the figure as JSON."""
    tree: dict[str, Any] = json.loads(study_chart.figure(study, metric).text)
    return tree


PAPER = Reported(71.4, 0.2, "Table 6")


def test_a_numeric_axis_has_a_scale_and_each_strategy_one_line() -> None:
    rows = [
        row(cell, s, a)
        for cell, s, a in (
            ("B = 5", "rambo", 0.5),
            ("B = 9", "rambo", 0.7),
            ("B = 5", "random", 0.4),
        )
    ]
    tree = chart(table_of("B", {"B = 5": 5, "B = 9": 9}, rows))
    ours, random = tree["data"]
    assert (ours["x"], ours["y"]) == ([5, 9], [50, 70])
    assert ours["error_y"]["array"] == [1, 1]
    assert (ours["name"], random["name"]) == ("RAMBO", "Random")
    assert random["x"] == [5]
    assert tree["layout"]["xaxis"]["tickvals"] == [5, 9]
    assert ours["marker"]["symbol"] != random["marker"]["symbol"]


def test_the_switch_draws_the_other_accuracy() -> None:
    study = table_of("B", {"B = 5": 5}, [row("B = 5", "rambo", 0.5)])
    assert chart(study, "validation")["data"][0]["y"] == [52]
    assert "validation" in chart(study, "validation")["layout"]["yaxis"]["title"]["text"]


def test_controls_of_an_axis_they_do_not_depend_on_go_across() -> None:
    places = {"lambda_OT = 0": 0, "lambda_OT = 1": 1, "controls": "-"}
    rows = [row("lambda_OT = 0", "rambo", 0.5, reported=PAPER), row("lambda_OT = 1", "rambo", 0.6)]
    rows += [row("controls", "margin", 0.55)]
    tree = chart(table_of("lambda_OT", places, rows))
    ours, theirs, margin = tree["data"]
    assert ours["x"] == [0, 1]
    assert (theirs["x"], theirs["y"]) == ([0], [71.4])
    assert theirs["marker"]["symbol"].endswith("-open")
    assert "paper" in theirs["name"]
    assert (margin["x"], margin["y"], margin["line"]["dash"]) == (
        [0, 1],
        [pytest.approx(55)] * 2,
        "dash",
    )
    assert tree["layout"]["xaxis"]["ticktext"] == ["0", "1"]


def test_a_table_study_has_a_row_for_each_result_with_the_first_on_top() -> None:
    rows = [row("OT", "rambo", 0.5, reported=PAPER), row("none of them", "rambo", 0.4)]
    rows += [row("controls", "random", 0.3)]
    tree = chart(table_of("", {"OT": "-", "none of them": "-", "controls": "-"}, rows))
    ours, theirs, random = tree["data"]
    assert ours["y"] == [2, 1]
    assert random["y"] == [0]
    assert 1.5 < theirs["y"][0] < 2
    assert tree["layout"]["yaxis"]["ticktext"] == ["Random", "none of them", "OT"]


def test_a_figure_of_hostile_names_has_no_markup() -> None:
    evil = "<img src=x onerror=alert(1)>"
    text = study_chart.figure(table_of("", {evil: 1, "b": 2}, [row(evil, evil, 0.5)]), "test").text
    assert "<img" not in text


@pytest.mark.parametrize("axis", ["", "B", "M"])
def test_a_study_without_accuracies_draws_an_empty_figure(axis: str) -> None:
    assert chart(table_of(axis, {"one": 1}, []))["data"] == []
    missing = row("one", "rambo", None)
    assert chart(table_of(axis, {"one": 1}, [missing]))["data"] == []


def test_the_table_says_where_there_are_too_few_trials_and_what_the_paper_has() -> None:
    rows = [
        row("a", "rambo", 0.5, trials=4),
        dataclasses.replace(row("b", "rambo", 0.6, reported=PAPER), test=Accuracy(0.625)),
    ]
    table = study_tables.results(table_of("", {"a": 1, "b": 2}, rows))
    assert table["trials"].tolist() == ["4, too few", "5"]
    assert table["test"].tolist() == ["50.0\u00a0±\u00a01.0\u00a0%", "62.5\u00a0%"]
    assert table["paper"].tolist() == ["-", "71.4\u00a0±\u00a00.2\u00a0%"]
    assert "paper" not in study_tables.results(table_of("", {"a": 1}, rows[:1]))


def test_the_papers_figures_share_an_axis_only_where_the_labels_are_as_many() -> None:
    config = configs.describe(tiny_config())
    far = Reported(71.4, 0.2, "Table 3: k 200, B 500")
    near = Reported(71.4, 0.2, f"Table 3: k {config['k']}, B {config['budget']}")
    for reported, same in ((far, False), (near, True), (PAPER, True), (None, False)):
        study = table_of("", {"a": 1}, [row("a", "rambo", 0.5, reported=reported)])
        assert study_tables.same_sizes(study) == same
    study = table_of("", {"a": 1}, [row("a", "rambo", 0.5, reported=far)])
    assert "validation accuracies" in study_tables.reported_words(study)
    assert study_tables.reported_words(study_tables.without_paper(study)) == ""
    assert len(chart(study)["data"]) == 2
    assert len(chart(study_tables.without_paper(study))["data"]) == 1


def test_runtimes_stand_in_the_order_of_the_stages_above_the_papers_minutes() -> None:
    seconds = {"evaluation": 2.0, "offline": 120.0, "acquisition": 0.5}
    study = table_of("", {"all": 1}, [row("all", "rambo", 0.5, seconds=seconds)])
    table = study_tables.runtimes(study)
    assert list(table.columns) == ["strategy", "offline", "acquisition", "evaluation", "reused"]
    assert table["offline"].tolist() == ["2 min", "50 min"]
    assert table["reused"].tolist() == ["1 of 4", "-"]
    assert len(study_tables.runtimes(dataclasses.replace(study, dataset="tiny"))) == 1


def test_verdicts_are_told_in_the_words_of_the_pages() -> None:
    sentence = study_tables.verdict_words(
        Verdict(
            "RAMBO minus filter-only",
            Difference(0.2, 0.3, -0.5, 0.9, 5),
            "RAMBO minus filter-only: +0.2 +- 0.3 points: no evidence",
        )
    )
    assert sentence == "RAMBO minus Filter only: +0.2\u00a0±\u00a00.3\u00a0points: no evidence"


# Setting up.


def chosen(**changes: Any) -> Choices:
    """Return choices that make a study."""
    values: dict[str, Any] = {
        "study": "budgets",
        "source": "quick",
        "dataset": "fashion-mnist-mini",
    }
    values |= {"trials": 5, "k": 200, "budget": 500, "seed": 0, "strategies": ("rambo", "margin")}
    return Choices(**values | changes)


CONFIGURED = settings.of(tiny_config(strategies=["badge"]))


def test_a_preset_with_the_forms_numbers_makes_the_cells() -> None:
    checked = setup.check(chosen(k=120, seed=7), CONFIGURED, None)
    assert checked.complaints == {}
    assert [cell.label for cell, _ in checked.cells] == [
        "B = 500",
        "B = 700",
        "B = 900",
        "B = 1,000",
    ]
    for _, config in checked.cells:
        assert (config.k, config.seed, config.trials) == (120, 7, 5)
        assert config.strategies == ("rambo", "margin") or list(config.strategies) == [
            "rambo",
            "margin",
        ]
        assert config.initial_size == 30  # a quarter of k: the preset's own belongs to its k


def test_the_settings_of_configure_are_taken_whole() -> None:
    now = chosen(source="configure", dataset="tiny", k=24, budget=12, trials=1)
    checked = setup.check(now, CONFIGURED, None)
    config = checked.cells[0][1]
    assert (config.classifier.max_epochs, config.dataset.name) == (3, "tiny")
    assert config.rambo.initial_size == 12


def test_wasted_labels_have_a_column_where_labels_can_be_wasted() -> None:
    clean = row("a", "margin", 0.8)
    dirty = row("b", "margin", 0.7, wasted=245.4)
    assert "labels wasted" not in study_tables.results(table_of("foreign", {"a": 0}, [clean]))
    table = study_tables.results(table_of("foreign", {"a": 0, "b": 0.4}, [clean, dirty]))
    assert table["labels wasted"].tolist() == ["-", "245"]


def test_a_study_that_names_its_strategies_needs_none() -> None:
    names = {name for name in grid.STUDIES if setup.names_strategies(name)}
    assert names == {
        "utility-value",
        "ablation",
        "rounds",
        "plus",
        "ot-weight",
        "filter-size",
    }
    assert setup.check(chosen(study="ablation", strategies=()), CONFIGURED, None).complaints == {}
    assert "strategies" in setup.check(chosen(strategies=()), CONFIGURED, None).complaints


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"trials": 0}, "trials"),
        ({"k": None}, "k"),
        ({"seed": -1}, "seed"),
        ({"budget": 2_000_000}, "budget"),
        ({"source": "paper", "dataset": "mine.npz"}, "source"),
        ({"budget": 600_000}, "study"),  # twice as much is beyond the limit: a cell says it
    ],
)
def test_a_bad_value_is_told_beside_its_field(changes: dict[str, Any], field: str) -> None:
    checked = setup.check(chosen(**changes), CONFIGURED, None)
    assert field in checked.complaints
    assert checked.cells == []
    assert "Traceback" not in checked.complaints[field]


# Prices.


def test_what_cells_share_is_priced_once() -> None:
    base = configs.describe(tiny_config(trials=2))
    planned = grid.plan_cells("ablation", base)
    counted = costing.whole(planned, DataSizes())
    apart = [costs.count(config, DataSizes()) for _, config in planned]
    assert counted.trainings["offline"].count == 20  # 5 pairs in 2 trials, for all eight cells
    assert counted.trainings["evaluation"].count == sum(
        c.trainings["evaluation"].count for c in apart
    )
    assert counted.total < sum(cost.total for cost in apart)
    assert counted.pretraining_passes == sum(cost.pretraining_passes for cost in apart)
    rate = costs.Rate(1e-3, "measured")
    assert costs.seconds(counted, rate, 1) < sum(costs.seconds(cost, rate, 1) for cost in apart)


def test_the_price_is_a_plain_sentence() -> None:
    planned = grid.plan_cells("budgets", configs.describe(tiny_config(budget=10, trials=2)))
    counted = costing.whole(planned, DataSizes())
    words = costing.sentence(planned, counted, 600.0, local=False)
    assert words.startswith(
        "4 cells, each a run of 2 trials that holds 24 labels and buys 10 to 20:"
    )
    assert f"{counted.total} classifiers" in words
    assert "about 10 min" in words
    assert "not here yet" in words
    alone = grid.plan_cells("runtime", configs.describe(tiny_config()))
    words = costing.sentence(alone, costing.whole(alone, DataSizes()), None, local=True)
    assert words.startswith("One run of 1 trial that")
    assert "about" not in words
