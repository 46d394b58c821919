"""Costs: counts against the formulas of Algorithm 1, seconds against hand arithmetic."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import merged, tiny_config

from rambo import config as configs
from rambo.config import Config, presets
from rambo.datasets.prepared import Prepared
from rambo.estimate import costs, work
from rambo.estimate.costs import Costs, Rate, count
from rambo.estimate.work import NONE, DataSizes, Trainings, mean_size
from rambo.method.sizes import smallest_size
from rambo.method.utility_samples import draw_pairs

SIZES = DataSizes(classes=10, pool=8000, validation=1000, test=1000)
RATE = Rate(0.02, "by hand", 1e-4)


def demo(**changes: Any) -> Config:
    """Return the demo's config, each choice judged once."""
    return configs.build(merged(merged(presets.demo(), {"evaluation": {"repeats": 1}}), changes))


def test_the_demo_preset_is_counted() -> None:
    cost = count(demo(), SIZES)
    expected = {"offline": 20, "repeat": 10, "labeled": 4, "llal": 0, "guesses": 0, "evaluation": 4}
    assert cost.per_trial == expected
    assert cost.total == 38
    assert (cost.initial_labels, cost.labels_bought, cost.validation) == (200, 200, 1000)
    assert (cost.unlabeled, cost.trials, cost.strategies) == (7800, 1, 4)
    assert (cost.slices, cost.greedy_steps) == (3, 10)
    assert (cost.true_samples, cost.interpolated_samples) == (20, 120)
    assert cost.transports == 140
    assert cost.trainings["offline"] == Trainings(20, 20 * (20 + 199) / 2, 20_000)
    assert cost.trainings["labeled"] == Trainings(4, 140 + 160 + 180 + 200, 4 * 1000 + 9000)
    assert cost.trainings["evaluation"] == Trainings(4, 4 * 400, 4 * 2000)
    sizes = 20 * 109.5 + 40 * ((20 + 139) / 2 + (20 + 159) / 2 + (20 + 179) / 2)
    assert cost.transport_entries == 1000 * sizes


@pytest.mark.parametrize(
    ("strategies", "expected", "steps"),
    [
        (("rambo",), (20, 10, 4, 0, 0, 1), 10),
        (("margin", "rambo"), (20, 10, 4, 0, 0, 2), 10),
        (("rambo", "dulo"), (20, 10, 4, 0, 0, 2), 10),
        (("dulo",), (20, 0, 1, 0, 0, 1), 10),
        (("dulo", "llal"), (20, 0, 1, 1, 0, 2), 10),
        (("filter-only", "margin", "random"), (0, 0, 1, 0, 0, 3), 10),
        (("margin",), (0, 0, 1, 0, 0, 1), 0),
        (("llal",), (0, 0, 1, 1, 0, 1), 0),
        (("random",), (0, 0, 1, 0, 0, 1), 0),  # for the pages
    ],
)
def test_f_on_s0_counts_once_whoever_needs_it(
    strategies: tuple[str, ...], expected: tuple[int, ...], steps: int
) -> None:
    cost = count(demo(strategies=strategies), SIZES)
    assert tuple(cost.per_trial[role] for role in costs.ROLES) == expected
    assert cost.greedy_steps == steps
    if "rambo" not in strategies:
        assert (cost.slices, cost.transports, cost.pretraining_passes) == (0, 0, 0)
    if not {"rambo", "dulo"} & set(strategies):
        assert (cost.true_samples, cost.offline_passes, cost.acquisition_passes) == (0, 0, 0)


def test_dulo_learns_from_the_same_trainings_and_from_more_of_its_own() -> None:
    """20 pairs, 4 of them held out; at factor 3 further 40, all fitted: 16 or 56 pairs in minibatches of 16."""
    changes = {"rambo": {"offline": {"pairs": 20}}}
    alone = count(demo(strategies=["dulo"], **changes), SIZES)
    both = count(demo(strategies=["rambo", "dulo"], **changes), SIZES)
    ours = count(demo(strategies=["rambo"], **changes), SIZES)
    assert alone.trainings["offline"] == both.trainings["offline"] == ours.trainings["offline"]
    assert both.offline_passes == 2 * alone.offline_passes == 2 * ours.offline_passes
    assert both.acquisition_passes == 2 * ours.acquisition_passes == 2 * alone.acquisition_passes
    assert alone.transports == alone.interpolated_samples == 0
    assert both.transports == ours.transports
    assert both.pretraining_passes == ours.pretraining_passes
    changes["rivals"] = {"dulo": {"sample_factor": 3}}
    more = count(demo(strategies=["rambo", "dulo"], **changes), SIZES)
    assert more.trainings["offline"] == ours.trainings["offline"].times(3)
    assert (more.true_samples, more.transports) == (120, ours.transports)
    assert ours.offline_passes == pytest.approx(10 * (1 + 1.3) * 200)
    assert more.offline_passes - ours.offline_passes == pytest.approx(10 * (4 + 1.3) * 200)
    without = count(demo(strategies=["rambo"], **changes), SIZES)
    assert without.trainings["offline"] == ours.trainings["offline"]


def test_llal_trains_one_more_on_s0_and_asks_it_about_the_pool() -> None:
    cost = count(demo(strategies=["llal"], trials=2), SIZES)
    assert cost.trainings["llal"] == Trainings(1, 200, 1000 + 7800).times(2)
    stages = costs.stage_seconds(cost, RATE, 2)
    assert stages["acquisition"] == pytest.approx(2 * 0.02 * (200 + 8800 / 50))
    assert count(demo(strategies=["llal"])).trainings["llal"].evaluated == 1000


def test_an_oracles_draws_are_evaluations_in_rounds_of_their_own() -> None:
    cost = count(demo(strategies=["margin", "random", "badge"], oracle_draws=4, trials=2), SIZES)
    assert cost.per_trial["evaluation"] == 7
    assert cost.trainings["evaluation"] == Trainings(7, 7 * 400, 7 * 2000).times(2)
    one = 2 * 0.02 * (400 + 2000 / 50)
    for jobs, rounds in ((1, 7), (2, 2 + 2), (3, 1 + 2), (8, 2)):
        seconds = costs.stage_seconds(cost, RATE, jobs)["evaluation"] - (3 if jobs > 1 else 0)
        assert seconds == pytest.approx(rounds * one)


def test_logistic_heads_go_at_their_own_rate_and_are_not_trained_twice() -> None:
    network, proxy, heads = (
        count(demo(**changes), SIZES)
        for changes in (
            {},
            {"rambo": {"offline": {"proxy": True}}},
            {"classifier": {"name": "logistic"}},
        )
    )
    assert (network.heads, proxy.heads) == ((), ("offline", "repeat"))
    assert heads.heads == costs.ROLES
    assert [c.per_trial["repeat"] for c in (network, proxy, heads)] == [10, 0, 0]
    rate = dataclasses.replace(RATE, seconds_per_head_image=0.001)
    cost = [
        costs.stage_seconds(
            dataclasses.replace(
                c, offline_passes=0.0, pretraining_passes=0.0, transport_entries=0.0
            ),
            rate,
            1,
        )
        for c in (network, proxy, heads)
    ]
    work = 20 * (109.5 + 1000 / 50)
    assert [t["offline"] for t in cost] == pytest.approx([0.02 * 1.5 * work, *[0.001 * work] * 2])
    labeled = 680 + 13_000 / 50
    assert [t["pretraining"] for t in cost] == pytest.approx(
        [0.02 * labeled, 0.02 * labeled, 0.001 * labeled]
    )
    assert cost[2]["evaluation"] == pytest.approx(cost[0]["evaluation"] / 20)


def test_a_head_of_more_steps_takes_longer() -> None:
    one, ten = (
        costs.head_seconds(demo(classifier={"logistic": {"iterations": n}})) for n in (100, 1000)
    )
    assert one == Rate(1.0, "").seconds_per_head_image
    assert ten == pytest.approx(10 * one)


def test_trials_multiply_the_work_and_nothing_else() -> None:
    one, three = count(demo(), SIZES), count(demo(trials=3), SIZES)
    assert three.per_trial == one.per_trial
    assert three.total == 3 * one.total
    once = (
        "initial_labels",
        "labels_bought",
        "unlabeled",
        "slices",
        "greedy_steps",
        "strategies",
        "heads",
        "draws",
        "repeats",
    )
    for field in dataclasses.fields(Costs):
        a, b = getattr(one, field.name), getattr(three, field.name)
        if field.name == "trainings":
            assert b == {name: role.times(3) for name, role in a.items()}
        elif field.name in {*once, "validation"}:
            assert a == b
        else:
            assert b == pytest.approx(3 * a)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"acquisition": {"batch_size": 50}}, [140, 190, 200]),
        ({"rambo": {"initial_size": 200}}, [200]),
        ({"acquisition": {"batch_size": 500}}, [140, 200]),
        ({}, [140, 160, 180, 200]),
    ],
)
def test_labeled_pools_end_with_all_labels(changes: dict[str, Any], expected: list[int]) -> None:
    config = demo(**changes)
    assert work.pool_sizes(config) == expected
    assert count(config).per_trial["labeled"] == len(expected)


@pytest.mark.parametrize(("pool", "classes"), [(200, 10), (24, 4), (3, 4), (2, 2), (50, 100)])
def test_the_mean_size_is_that_of_the_draw(pool: int, classes: int) -> None:
    smallest = smallest_size(pool, classes)
    assert mean_size(pool, classes) == (smallest + max(smallest, pool - 1)) / 2
    pairs = draw_pairs(torch.arange(pool), 3000, smallest, torch.Generator().manual_seed(0))
    average = sum(len(first) for first, _ in pairs) / len(pairs)
    assert mean_size(pool, classes) == pytest.approx(average, rel=0.05)


def test_sizes_come_from_the_dataset(tiny: Prepared) -> None:
    config = tiny_config()
    sizes = DataSizes.of(config, tiny)
    assert sizes == DataSizes(classes=4, pool=100, validation=60, test=40)
    unfixed = dataclasses.replace(tiny, roles=tiny.roles * (tiny.roles == 2))
    config = tiny_config(dataset={"validation_size": 50})
    assert DataSizes.of(config, unfixed) == DataSizes(classes=4, pool=110, validation=50, test=40)
    thinned = tiny_config(dataset={"corruption": {"imbalance": "glister", "label_noise": 0.2}})
    assert DataSizes.of(thinned, tiny) == DataSizes(classes=4, pool=77, validation=60, test=40)
    cost = count(config)  # nobody has looked at the dataset
    assert (cost.validation, cost.unlabeled) == (50, None)


# Seconds.


def test_trainings_become_seconds() -> None:
    cost = count(demo(strategies=("margin", "random")), SIZES)
    stages = costs.stage_seconds(cost, RATE, 1)
    assert stages["offline"] == stages["acquisition"] == 0
    assert stages["pretraining"] == pytest.approx(0.02 * (200 + 10_000 / 50))
    assert stages["evaluation"] == pytest.approx(0.02 * 2 * (400 + 2000 / 50))
    assert costs.seconds(cost, RATE, 1) == pytest.approx(sum(stages.values()))


def test_offline_trainings_share_the_processes_and_the_labeled_pools_wait() -> None:
    cost = dataclasses.replace(count(demo(), SIZES), offline_passes=0.0, transport_entries=0.0)
    one, two = (costs.stage_seconds(cost, RATE, jobs) for jobs in (1, 2))
    work = 0.02 * 30 * (109.5 + 1000 / 50)
    assert one["offline"] == pytest.approx(work)
    assert two["offline"] == pytest.approx(work / 2 + work / 30 / 4 + 3)
    assert one["pretraining"] == two["pretraining"]
    assert two["evaluation"] == pytest.approx(one["evaluation"] / 2)


@pytest.mark.parametrize(("jobs", "rounds"), [(1, 3), (2, 2), (3, 1), (8, 1)])
def test_evaluations_go_in_rounds(jobs: int, rounds: int) -> None:
    cost = count(demo(strategies=("rambo", "margin", "random")), SIZES)
    one = 0.02 * (400 + 2000 / 50)
    assert costs.stage_seconds(cost, RATE, jobs)["evaluation"] == pytest.approx(rounds * one)


def test_repeated_evaluations_share_the_processes() -> None:
    cost = count(demo(strategies=("margin", "random"), evaluation={"repeats": 3}), SIZES)
    assert cost.per_trial["evaluation"] == 6
    one = 0.02 * (400 + 2000 / 50)
    for jobs, rounds in ((1, 6), (4, 2), (6, 1)):
        seconds = costs.stage_seconds(cost, RATE, jobs)["evaluation"] - (3 if jobs > 1 else 0)
        assert seconds == pytest.approx(rounds * one)


def test_what_is_left_takes_less() -> None:
    cost = count(demo(), SIZES)
    less = dataclasses.replace(
        cost, trainings={**cost.trainings, "offline": NONE, "repeat": Trainings(1, 50, 1000)}
    )
    for jobs in (1, 2, 64):
        full, remaining_seconds = (costs.stage_seconds(c, RATE, jobs) for c in (cost, less))
        assert remaining_seconds["offline"] < full["offline"]
        assert {n: s for n, s in remaining_seconds.items() if n != "offline"} == {
            n: s for n, s in full.items() if n != "offline"
        }


@pytest.mark.parametrize(
    "switch",
    [
        {"transport": False},
        {"bilevel": {"enabled": False}},
        {"bilevel": {"inner_steps": 1}},
        {"bilevel": {"terms": 1}},
        {"epochs": 1},
    ],
)
def test_every_switch_that_saves_work_saves_seconds(switch: dict[str, Any]) -> None:
    full = costs.seconds(count(demo(), SIZES), RATE, 2)
    assert costs.seconds(count(demo(rambo={"utility_model": switch}), SIZES), RATE, 2) < full


def test_a_refit_costs_seconds() -> None:
    full, refit = (
        count(demo(rambo={"utility_model": {"bilevel": {"refit": on}}}), SIZES).pretraining_passes
        for on in (False, True)
    )
    minibatches = 2 + 3 + 4  # of 16 pairs, of 20, 40 and 60
    assert refit - full == pytest.approx(10 * (minibatches + 3 * 1.3) * 200)


def test_no_torch_is_imported() -> None:
    code = "import sys, rambo.estimate.costs, rambo.estimate.outline; print({'torch', 'streamlit'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.strip() == "set()"
