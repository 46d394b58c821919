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
from rambo import costs, presets
from rambo.config import Config
from rambo.costs import NONE, Costs, DataSizes, Rate, Trainings, count, mean_size
from rambo.datasets.prepared import Prepared
from rambo.utility_samples import draw_pairs, smallest_size

SIZES = DataSizes(classes=10, pool=8000, validation=1000, test=1000)
RATE = Rate(0.02, "by hand", 1e-4)


def demo(**changes: Any) -> Config:
    return configs.build(merged(presets.demo(), changes))


def test_the_demo_preset_is_counted() -> None:
    told = count(demo(), SIZES)
    assert told.per_trial == {"offline": 20, "repeat": 10, "labeled": 4, "evaluation": 4}
    assert told.total == 38
    assert (told.labels_held, told.labels_bought, told.validation) == (200, 200, 1000)
    assert (told.unlabeled, told.trials, told.strategies) == (7800, 1, 4)
    assert (told.slices, told.greedy_steps) == (3, 10)
    assert (told.true_samples, told.interpolated_samples) == (20, 120)
    assert told.transports == 140
    assert told.trainings["offline"] == Trainings(20, 20 * (20 + 199) / 2, 20_000)
    assert told.trainings["labeled"] == Trainings(4, 140 + 160 + 180 + 200, 4 * 1000 + 9000)
    assert told.trainings["evaluation"] == Trainings(4, 4 * 400, 4 * 2000)
    sizes = 20 * 109.5 + 40 * ((20 + 139) / 2 + (20 + 159) / 2 + (20 + 179) / 2)
    assert told.transport_entries == 1000 * sizes


@pytest.mark.parametrize(
    ("strategies", "expected", "steps"),
    [
        (("rambo",), (20, 10, 4, 1), 10),
        (("margin", "rambo"), (20, 10, 4, 2), 10),
        (("filter-only", "margin", "random"), (0, 0, 1, 3), 10),
        (("margin",), (0, 0, 1, 1), 0),
        (("random",), (0, 0, 1, 1), 0),  # for the pages
    ],
)
def test_f_on_s0_counts_once_whoever_needs_it(
    strategies: tuple[str, ...], expected: tuple[int, ...], steps: int
) -> None:
    told = count(demo(strategies=strategies), SIZES)
    assert tuple(told.per_trial[role] for role in costs.ROLES) == expected
    assert told.greedy_steps == steps
    if "rambo" not in strategies:
        assert (told.slices, told.true_samples, told.transports) == (0, 0, 0)
        assert (told.offline_passes, told.pretraining_passes) == (0, 0)


def test_trials_multiply_the_work_and_nothing_else() -> None:
    one, three = count(demo(), SIZES), count(demo(trials=3), SIZES)
    assert three.per_trial == one.per_trial
    assert three.total == 3 * one.total
    once = ("labels_held", "labels_bought", "unlabeled", "slices", "greedy_steps", "strategies")
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
    assert costs.labeled_sizes(config) == expected
    assert count(config).per_trial["labeled"] == len(expected)


@pytest.mark.parametrize(("pool", "classes"), [(200, 10), (24, 4), (3, 4), (2, 2), (50, 100)])
def test_the_mean_size_is_that_of_the_draw(pool: int, classes: int) -> None:
    smallest = smallest_size(pool, classes)
    assert mean_size(pool, classes) == (smallest + max(smallest, pool - 1)) / 2
    pairs = draw_pairs(torch.arange(pool), 3000, smallest, torch.Generator().manual_seed(0))
    drawn = sum(len(first) for first, _ in pairs) / len(pairs)
    assert mean_size(pool, classes) == pytest.approx(drawn, rel=0.05)


def test_sizes_come_from_the_dataset(tiny: Prepared) -> None:
    config = tiny_config()
    sizes = DataSizes.of(config, tiny)
    assert sizes == DataSizes(classes=4, pool=100, validation=60, test=40)
    unfixed = dataclasses.replace(tiny, roles=tiny.roles * (tiny.roles == 2))
    config = tiny_config(dataset={"validation_size": 50})
    assert DataSizes.of(config, unfixed) == DataSizes(classes=4, pool=110, validation=50, test=40)
    thinned = tiny_config(dataset={"corruption": {"imbalance": "glister", "label_noise": 0.2}})
    assert DataSizes.of(thinned, tiny) == DataSizes(classes=4, pool=77, validation=60, test=40)
    told = count(config)  # nobody has looked at the dataset
    assert (told.validation, told.unlabeled) == (50, None)


# Seconds.


def test_trainings_become_seconds() -> None:
    told = count(demo(strategies=("margin", "random")), SIZES)
    stages = costs.stage_seconds(told, RATE, 1)
    assert stages["offline"] == stages["acquisition"] == 0
    assert stages["pretraining"] == pytest.approx(0.02 * (200 + 10_000 / 50))
    assert stages["evaluation"] == pytest.approx(0.02 * 2 * (400 + 2000 / 50))
    assert costs.seconds(told, RATE, 1) == pytest.approx(sum(stages.values()))


def test_offline_trainings_share_the_processes_and_the_labeled_pools_wait() -> None:
    told = dataclasses.replace(count(demo(), SIZES), offline_passes=0.0, transport_entries=0.0)
    one, two = (costs.stage_seconds(told, RATE, jobs) for jobs in (1, 2))
    work = 0.02 * 30 * (109.5 + 1000 / 50)
    assert one["offline"] == pytest.approx(work)
    assert two["offline"] == pytest.approx(work / 2 + work / 30 / 4 + 3)
    assert one["pretraining"] == two["pretraining"]
    assert two["evaluation"] == pytest.approx(one["evaluation"] / 2)


@pytest.mark.parametrize(("jobs", "rounds"), [(1, 3), (2, 2), (3, 1), (8, 1)])
def test_evaluations_go_in_rounds(jobs: int, rounds: int) -> None:
    told = count(demo(strategies=("rambo", "margin", "random")), SIZES)
    one = 0.02 * (400 + 2000 / 50)
    assert costs.stage_seconds(told, RATE, jobs)["evaluation"] == pytest.approx(rounds * one)


def test_what_is_left_takes_less() -> None:
    told = count(demo(), SIZES)
    less = dataclasses.replace(
        told, trainings={**told.trainings, "offline": NONE, "repeat": Trainings(1, 50, 1000)}
    )
    for jobs in (1, 2, 64):
        full, left = (costs.stage_seconds(c, RATE, jobs) for c in (told, less))
        assert left["offline"] < full["offline"]
        assert {n: s for n, s in left.items() if n != "offline"} == {
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
    code = (
        "import sys, rambo.costs, rambo.outline; print({'torch', 'streamlit'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.strip() == "set()"
