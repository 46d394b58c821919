"""The shipped tables of Learn are what the present code makes: a sample of each is made again.

Of another kind of CPU the last bits of a float differ, and what is trained for long drifts apart: samples are what is
trained briefly, or not at all.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.learn_tables import (
    boards,
    common,
    filters,
    interpolation,
    pairs,
    rounds,
    transport,
)
from rambo.algorithm import spend
from rambo.config import AcquisitionConfig
from rambo.events import ignore
from rambo.method.utility_samples import random_pairs
from rambo.seeding import Streams
from rambo.strategies import STRATEGIES
from rambo.training.call import Call

NEAR = 0.03  # of an accuracy whose choice hangs on the last bits


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workspace of its own, so that nothing is remembered."""
    monkeypatch.setenv("RAMBO_HOME", str(tmp_path))


def shipped(name: str) -> Any:
    return json.loads((common.TARGET / f"{name}.json").read_bytes())


def trained(setting: common.Setting, members: list[int], number: int) -> float:
    """Return the accuracy of the first training of a set.

    Args:
        setting: trains.
        members: of the set.
        number: its place among all sets that are trained so.
    """
    unit = setting.ensemble.fit_unit(torch.tensor(members), pairs.ROLES[0], number)
    (outcome,) = setting.ensemble.run([unit], ignore, lambda: None)
    return outcome.training.accuracies["validation"]


def test_one_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but what RAMBO chose: that costs more than all other tests here."""
    monkeypatch.setattr(boards, "DRAWS", 0)
    setting, problem, ensemble = boards.world(0, tmp_path / "pixels.npy")
    board = shipped("boards")["boards"][0]
    assert board["labeled"] == problem.labeled.tolist()
    assert board["unlabeled"] == problem.unlabeled.tolist()
    for name in ("random", "margin", "filter-only"):
        streams = Streams(0).child(name)
        call = Call(problem, 20, setting.config, streams=streams, ensemble=ensemble)
        assert STRATEGIES[name](call).indices.tolist() == board["choices"][name], name
    again = boards.judge(setting, problem.unlabeled, ensemble, board["choices"])["accuracies"]
    assert again == pytest.approx(board["accuracies"], abs=0.002)


def test_the_choices_of_every_filter_size() -> None:
    table = shipped("filters")
    run, setting = common.finished()
    model, scores = filters._u_hat(run, setting), filters._margins(run, setting)
    for row in table["filters"]:
        acquisition = AcquisitionConfig(
            batch_size=table["batch_size"], filter_size=row["filter_size"]
        )
        config = setting.config.model_copy(update={"acquisition": acquisition})
        call = dataclasses.replace(setting, config=config).call("rambo")
        assert spend(call, model, scores)[0].tolist() == row["chosen"], row["filter_size"]
        assert scores[row["chosen"]].tolist() == pytest.approx(row["margins"], abs=1e-4)


def test_one_split_of_the_rounds() -> None:
    table, world = shipped("rounds"), rounds._World(0)
    assert table["start"][0] == pytest.approx(world.accuracy(world.labeled), abs=0.002)
    for name in rounds.CHOOSERS:
        row = table["accuracies"][name][0][:2]
        again = [world.spend(name, count) for count in rounds.ROUNDS[: len(row)]]
        assert again == pytest.approx(row, abs=NEAR if name == "badge" else 0.002), name


def test_all_sets_of_the_pairs_and_a_training_of_the_smallest() -> None:
    setting = common.quick()
    table, problem = shipped("pairs"), setting.trial.problem
    assert table["labeled"] == problem.labeled.tolist()
    streams = setting.call("rambo").child("offline").streams
    subsets = random_pairs(problem, problem.labeled, common.PAIRS, streams)
    assert [[s.tolist() for s in pair] for pair in subsets] == [
        row["sets"] for row in table["pairs"]
    ]
    sets = [members for row in table["pairs"] for members in row["sets"]]
    utilities = [first for row in table["pairs"] for first, _ in row["utilities"]]
    number = min(range(len(sets)), key=lambda place: len(sets[place]))
    assert trained(setting, sets[number], number) == pytest.approx(utilities[number], abs=0.002)


def test_a_training_of_the_smallest_set_of_equation_4() -> None:
    sets = shipped("interpolation")["sets"]
    number = min(range(len(sets)), key=lambda place: len(sets[place]["members"]))
    again = trained(common.demo(), sets[number]["members"], interpolation._FIRST + number)
    assert again == pytest.approx(sets[number]["utilities"][0], abs=0.002)


def test_the_costs_of_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh: dict[str, Any] = {}
    monkeypatch.setattr(common, "save", lambda name, table, settings: fresh.update(table))
    transport.make()
    table = shipped("transport")
    assert {name: table[name] for name in ("labeled", "validation")} == {
        name: fresh[name] for name in ("labeled", "validation")
    }
    for name in ("points", "feature_cost", "label_cost"):
        torch.testing.assert_close(torch.tensor(fresh[name]), torch.tensor(table[name]), msg=name)
