"""The grids of the studies: every cell is a config that works, labels are unique, shared work counts once."""

import copy
import itertools
from typing import Any

import pytest
from tiny import TINY, merged

from rambo import config as configs
from rambo import lineup
from rambo.config import PlusConfig, presets
from rambo.errors import ConfigError
from rambo.estimate import costs
from rambo.estimate.costs import DataSizes, Trainings
from rambo.studies import grid, paper
from rambo.studies.grid import STUDIES, lay, plan_cells

SIZES = DataSizes(classes=10, pool=8000, validation=1000, test=1000)
POOLS = {"fashion-mnist-mini": 8000, "cifar10": 49_000}
ISSUED = list(itertools.product(STUDIES, presets.PRESETS, POOLS))


def planned(
    name: str, preset: str = "demo", dataset: str | None = None, **changes: Any
) -> list[tuple[grid.Cell, configs.Config]]:
    return plan_cells(name, merged(presets.PRESETS[preset](dataset), changes))


@pytest.mark.parametrize(("name", "preset", "dataset"), ISSUED)
def test_every_cell_of_every_study_fits(name: str, preset: str, dataset: str) -> None:
    cells = planned(name, preset, dataset)
    labels = [cell.label for cell, _ in cells]
    assert len(set(labels)) == len(labels) >= 1
    columns = {tuple(cell.place) for cell, _ in cells}
    assert len(columns) == 1, "all cells stand in the same columns"
    for cell, config in cells:
        assert cell.label.isprintable()
        assert config.k + config.budget <= POOLS[dataset]
        assert config.k >= 10
        assert config.initial_size <= config.k
        assert config.dataset.name == dataset
        assert configs.build(configs.describe(config)) == config
    assert len({config.seed for _, config in cells}) == 1, "trials are paired"
    assert len({config.model_dump_json() for _, config in cells}) == len(cells)


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_says_what_it_asks(name: str) -> None:
    kind = STUDIES[name]
    assert kind.name == name
    assert kind.question.endswith("?")
    assert kind.title
    assert kind.source
    if kind.axis:
        assert all(kind.axis in cell.place for cell, _ in planned(name))


def settings_of(name: str, *path: str, **changes: Any) -> list[Any]:
    """Return what a study varies, cell by cell."""
    budgets = []
    for _, config in planned(name, **changes):
        value: Any = config
        for part in path:
            value = getattr(value, part)
        budgets.append(value)
    return budgets


def test_the_grids_are_those_of_the_paper() -> None:
    assert settings_of("budgets", "budget", preset="paper") == [500, 700, 900, 1000]
    assert settings_of("budgets", "budget", preset="paper", dataset="cifar10") == [
        5000,
        7000,
        9000,
        10_000,
    ]
    assert settings_of("pretraining-size", "k", preset="paper") == [100, 200, 300, 400]
    colour = {"preset": "paper", "dataset": "svhn"}
    assert settings_of("pretraining-size", "k", **colour) == [1500, 2500, 3500, 5500]
    assert settings_of("pretraining-size", "rambo", "initial_size", **colour) == [500] * 4
    weights = settings_of("ot-weight", "rambo", "utility_model", "ot_weight")
    assert weights == [0, 0.01, 0.1, 1, 10, 100, 1]
    sizes = settings_of("validation-size", "dataset", "validation_part")
    assert sizes == [50, 100, 200, 400, 600, 800, 1000]
    demo = presets.demo()
    few = plan_cells("validation-size", merged(demo, {"dataset": {"validation_size": 150}}))
    assert [config.dataset.validation_part for _, config in few] == [50, 100, 150]
    noise = settings_of("noisy-oracle", "dataset", "corruption", "label_noise")
    assert noise == [0, 0.2]
    kinds = settings_of("imbalance", "dataset", "corruption", "imbalance")
    assert kinds == ["none", "paper", "glister"]
    assert settings_of("filter-size", "acquisition", "filter_size")[:7] == [
        *(20 * m for m in (1, 2, 5, 10, 20, 50)),
        1_000_000,
    ]
    assert len(planned("runtime")) == 1


def test_the_ablation_has_all_eight_combinations_and_the_controls() -> None:
    *cells, (frozen, control), (last, controls) = planned("ablation")
    switches = set()
    for cell, config in cells:
        model = config.rambo.utility_model
        switches_of = (model.bilevel.enabled, model.transport, model.loss == "rank")
        words = ["on" if on else "off" for on in switches_of]
        assert [cell.place[part] for part in grid.PARTS] == words
        assert (
            cell.label.split(" + ")
            == [part for part, on in zip(grid.PARTS, switches_of, strict=True) if on]
            or cell.label == "none of them"
        )
        assert config.strategies == ("rambo",)
        switches.add(switches_of)
    assert len(switches) == 8
    assert frozen.label == grid.FROZEN
    full = dict(cells[0][1].rambo.utility_model.bilevel)
    assert dict(control.rambo.utility_model.bilevel) == full | {"learn_lambda": False}
    assert dict(control) == dict(cells[0][1]) | {"rambo": control.rambo}, "nothing else differs"
    assert (last.label, controls.strategies) == ("controls", lineup.CONTROLS)
    assert set(last.place.values()) == {"-"}


def test_the_value_of_u_hat_brings_its_own_strategies_and_draws() -> None:
    ((cell, config),) = planned("utility-value", strategies=["badge"])
    assert config.strategies == ("rambo", *lineup.CONTROLS, "lowest")
    assert (config.oracle_draws, cell.place) == (10, {"draws": 10})
    ((cell, config),) = planned("utility-value", oracle_draws=25)
    assert (config.oracle_draws, cell.label) == (25, "best of 25")


def test_equal_sizes_make_one_cell() -> None:
    cells = plan_cells("budgets", merged(TINY, {"budget": 1}))
    assert [config.budget for _, config in cells] == [1, 2]
    assert [cell.label for cell, _ in cells] == ["B = 1", "B = 2"]
    cells = plan_cells("pretraining-size", merged(TINY, {"k": 4, "rambo": {"initial_size": 2}}))
    assert [config.k for _, config in cells] == [4, 6, 8]


def test_an_unknown_study_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="study what: unknown; choose one of: utility-value, "):
        plan_cells("what", {})
    with pytest.raises(ConfigError) as caught:
        plan_cells("x\n" * 500, {})
    assert str(caught.value).isprintable()


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^k 1 is too small; use at least 2$"):
        plan_cells("budgets", {"k": 1})


def test_a_cell_that_does_not_fit_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        plan_cells("budgets", {"budget": 800_000})
    text = str(caught.value)
    assert text.startswith("budget 1120000 is too large; use at most 1000000")
    assert text.endswith("(study budgets, B = 1,120,000)")


def test_changes_are_laid_over_settings_and_leave_them_as_they_were() -> None:
    settings: dict[str, Any] = {"a": 1, "b": {"c": 2, "d": {"e": [3]}}}
    before = copy.deepcopy(settings)
    laid = lay(settings, {"b": {"d": {"f": 4}, "c": 5}, "g": {"h": 6}, "a": [7]})
    assert laid == {"a": [7], "b": {"c": 5, "d": {"e": [3], "f": 4}}, "g": {"h": 6}}
    assert settings == before
    assert lay(settings, {}) == settings
    assert lay({}, settings) == settings


def test_all_is_every_strategy() -> None:
    assert grid.strategies(["all"]) == list(lineup.names())
    assert grid.strategies(["margin", "rambo"]) == ["margin", "rambo"]


# What a study trains.


def counts(cells: list[tuple[grid.Cell, configs.Config]]) -> dict[str, int]:
    return {role: trainings.count for role, trainings in grid.count(cells, SIZES).items()}


def test_what_cells_have_in_common_counts_once() -> None:
    """The demo has 20 offline trainings, 10 repeats, f on 4 pools; a choice is evaluated thrice in every cell."""
    one = {"offline": 20, "repeat": 10, "labeled": 4, "llal": 0, "guesses": 0}
    assert counts(planned("budgets")) == one | {"evaluation": 3 * 4 * 4}
    # The controls ask for f on S_0, which RAMBO trains too.
    assert counts(planned("ablation")) == one | {"evaluation": 3 * (9 + 3)}
    assert counts(planned("ot-weight")) == one | {"evaluation": 3 * (6 + 3)}
    # Parts of one validation set judge the same trainings. Another k makes others, and so does another oracle.
    assert counts(planned("validation-size")) == one | {"evaluation": 3 * 7 * 4}
    assert counts(planned("noisy-oracle"))["offline"] == 40
    assert counts(planned("pretraining-size"))["offline"] == 80
    trials = counts(planned("budgets", trials=3))
    assert trials == {role: 3 * number for role, number in (one | {"evaluation": 48}).items()}


def test_one_cell_counts_as_its_run() -> None:
    cells = planned("runtime", strategies=["rambo", "llal", "dulo"], oracle_draws=2)
    expected = costs.count(cells[0][1], SIZES).trainings
    assert grid.count(cells, SIZES) == expected
    assert expected["llal"].count == 1


def test_llal_counts_once_for_all_budgets() -> None:
    assert counts(planned("budgets", strategies=["llal", "random"])) == {
        "offline": 0,
        "repeat": 0,
        "labeled": 1,
        "llal": 1,
        "guesses": 0,
        "evaluation": 24,
    }


def test_rambo_plus_stands_beside_each_part_left_out_and_everybody_it_should_beat() -> None:
    # What a form asks for is one of the cells, whatever it asks for.
    *cells, (controls, rivals) = planned("plus", plus={"weigh": False, "pick": "lowest"})
    whole = PlusConfig()
    changes = [
        {
            name: value
            for name, value in c.plus.model_dump().items()
            if value != getattr(whole, name)
        }
        for _, c in cells
    ]
    assert changes == [
        {},
        {"weigh": False},
        {"repeats": 2},
        {"candidates": "random"},
        {"filter_factor": 4},
        {"candidates": "pool"},
        {"candidates": "pool", "pick": "random"},
        {"candidates": "rivals"},
        {"caution": 1},
        {"validation": "half"},
        {"validation": "crossed"},
        {"pick": "random"},
        {"pick": "lowest"},
    ]
    assert {c.strategies for _, c in cells} == {("rambo-plus",)}
    assert controls.label == "controls"
    assert rivals.strategies == ("rambo", "lowest", "filter-only", "margin", "random", "badge")


def test_dirty_pools_are_seen_with_and_without_the_gate() -> None:
    *cells, without, gated, once = planned("dirty-pool")
    pairs = [(c.dataset.corruption.foreign, c.acquisition.gate.by) for _, c in cells]
    pools = [*itertools.product((0.0, 0.2, 0.4, 0.6), ("off", "classifier"))]
    assert pairs == [*pools, (0.0, "off"), (0.0, "classifier")]
    assert [c.dataset.corruption.imbalance for _, c in cells] == ["none"] * 8 + ["glister"] * 2
    assert {c.dataset.corruption.copies for _, c in cells} == {0}
    assert {c.dataset.corruption.copies for _, c in (without, gated, once)} == {0.4}
    rules = [(c.acquisition.gate.by, c.acquisition.per_cluster) for _, c in (without, gated, once)]
    assert rules == [("off", None), ("classifier", None), ("off", 1)]
    assert once[0].place == {"pool": "40 % near copies", "gate": "one label a picture"}
    changes = {
        "dataset": {"corruption": {"foreign": 0.3}},
        "acquisition": {"gate": {"by": "transport"}},
    }
    cells = plan_cells("dirty-pool", merged(presets.demo(), changes))
    assert [cell.label for cell, _ in cells] == ["30 % foreign, no gate", "30 % foreign, gate"]
    assert cells[1][1].acquisition.gate.by == "transport"
    copied = merged(presets.demo(), {"dataset": {"corruption": {"copies": 0.2}}})
    assert {cell.place["pool"] for cell, _ in plan_cells("dirty-pool", copied)} == {
        "20 % near copies"
    }


@pytest.mark.parametrize("name", STUDIES)
def test_the_order_of_the_cells_does_not_matter(name: str) -> None:
    """A cell that trains nothing offline must not stand for one that does."""
    cells = planned(name)
    assert grid.count(cells, SIZES) == grid.count(cells[::-1], SIZES)


def test_nothing_trains_nothing() -> None:
    assert set(grid.count([], SIZES).values()) == {Trainings()}


# What the paper has beside a cell.


def reported(name: str, preset: str = "paper", **changes: Any) -> list[Any]:
    """Return the paper's figure for RAMBO, and for random, in every cell."""
    kind = STUDIES[name]
    return [
        [kind.reported(config.dataset.name, config, s) for s in ("rambo", "random", "margin")]
        for _, config in planned(name, preset, **changes)
    ]


def test_the_ablation_stands_beside_its_table() -> None:
    *cells, frozen, controls = reported("ablation", dataset="mnist")
    assert frozen[0] is None, "the paper has no such row"
    for (row, _, nothing), switches in zip(cells, itertools.product((1, 0), repeat=3), strict=True):
        assert row == paper.ablation("mnist", switches)
        assert nothing is None
    assert controls[1] == paper.ablation("mnist", None)


@pytest.mark.parametrize(("dataset", "table"), [("cifar10", "Table 1"), ("svhn", "Table 5")])
def test_tables_1_and_5_have_a_preset_of_their_k(dataset: str, table: str) -> None:
    (first, *_), *_ = reported("ablation", "paper-ablation", dataset=dataset)
    assert first is not None
    assert first.source == f"{table}: k 3,500, B 5,000"
    for _, config in planned("ablation", "paper-ablation", dataset=dataset):
        assert (config.k, config.initial_size, config.slices) == (3500, 500, 3)


@pytest.mark.parametrize(
    "changes",
    [{"k": 60}, {"budget": 400}, {"dataset": "fashion-mnist-mini"}, {"dataset": "cifar10"}],
)
def test_the_ablation_of_other_sizes_or_images_stands_alone(changes: dict[str, Any]) -> None:
    """k = 60 had Table 3's 83.1 beside it, and so had a part of the images."""
    if "k" in changes:
        changes = changes | {"rambo": {"initial_size": 10}}
    assert all(row == [None] * 3 for row in reported("ablation", **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"classifier": {"name": "logistic"}},
        {"classifier": {"max_epochs": 5}},
        {"acquisition": {"batch_size": 50, "gate": {"by": "classifier"}}},
        {"acquisition": {"batch_size": 50, "filter_size": 1000}},
        {"dataset": {"validation_part": 20}},
        {"dataset": {"corruption": {"label_noise": 0.5}}},
        {"rambo": {"initial_size": 50, "offline": {"proxy": True}}},
        {"rambo": {"initial_size": 50, "utility_model": {"pooling": "attention"}}},
    ],
)
def test_another_method_on_the_papers_sizes_stands_alone(changes: dict[str, Any]) -> None:
    """Proxies, gated pools and other networks had Table 3's figures beside them."""
    assert not any(beside("ablation", "fashion-mnist", changes))


@pytest.mark.parametrize(
    "changes",
    [{"k": 600}, {"classifier": {"name": "logistic"}}, {"dataset": {"validation_part": 20}}],
)
def test_weights_of_another_k_or_another_f_stand_alone(changes: dict[str, Any]) -> None:
    assert any(beside("ot-weight", "cifar10", {}))
    assert not any(beside("ot-weight", "cifar10", changes))


def beside(name: str, dataset: str, changes: dict[str, Any]) -> list[Any]:
    """Return what stands beside RAMBO and random in all cells, with changes to the paper's constants."""
    cells = plan_cells(name, merged(presets.paper(dataset), changes))
    reported = STUDIES[name].reported
    return [reported(dataset, config, who) for _, config in cells for who in ("rambo", "random")]


@pytest.mark.parametrize("study", ["ot-weight", "rounds"])
def test_cells_differ_whatever_the_settings_turn_off(study: str) -> None:
    off = {"initial_size": 50, "utility_model": {"transport": False, "bilevel": {"enabled": False}}}
    models = [
        config.rambo for cell, config in planned(study, rambo=off) if cell.label != "controls"
    ]
    assert len(set(map(repr, models))) == len(models)
    assert all(model.utility_model.transport for model in models)


def test_figures_of_other_settings_are_not_shown() -> None:
    full = paper.ablation("fashion-mnist", (1, 1, 1))
    assert [row[0] for row in reported("budgets")] == [full, None, None, None]
    assert [row[0] for row in reported("pretraining-size")] == [None, full, None, None]
    assert [row[0] for row in reported("noisy-oracle")] == [full, None]
    assert [row[0] for row in reported("imbalance")] == [full, None, None]
    assert [row[1] for row in reported("noisy-oracle")] == [
        paper.ablation("fashion-mnist", None),
        None,
    ]
    assert reported("validation-size") == [[None] * 3] * 7


def test_weights_stand_beside_table_6() -> None:
    changes: dict[str, Any] = {"dataset": "cifar10", "budget": 5000}
    accuracies = [row[0] for row in reported("ot-weight", **changes)]
    assert accuracies[:6] == [
        paper.ot_weight("cifar10", 5000, weight) for weight in (0, 0.01, 0.1, 1, 10, 100)
    ]
    assert None not in accuracies[:6]
    assert all(row[1] is None for row in reported("ot-weight", **changes))
