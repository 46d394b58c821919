"""The shipped tables of Learn are what the present code makes: a sample of each is made again."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.learn_tables import common, interpolation, pairs, rounds, transport
from rambo.method.utility_samples import random_pairs


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> common.Setting:
    """The setting of the pairs, in a workspace of its own, so that nothing is remembered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAMBO_HOME", str(tmp_path_factory.mktemp("home")))
        return common.quick()


def shipped(name: str) -> Any:
    return json.loads((common.TARGET / f"{name}.json").read_bytes())


def test_one_split_of_the_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAMBO_HOME", str(tmp_path))
    table, world = shipped("rounds"), rounds._World(0)
    assert table["start"][0] == round(world.accuracy(world.labeled), 4)
    for name in rounds.CHOOSERS:
        row = table["accuracies"][name][0][:2]
        counts = rounds.ROUNDS[: len(row)]
        assert row == [round(world.spend(name, count), 4) for count in counts], name


def test_all_sets_of_the_pairs_and_a_training_of_one(quick: common.Setting) -> None:
    table, problem = shipped("pairs"), quick.trial.problem
    assert table["labeled"] == problem.labeled.tolist()
    streams = quick.call("rambo").child("offline").streams
    subsets = random_pairs(problem, problem.labeled, common.PAIRS, streams)
    assert [[s.tolist() for s in pair] for pair in subsets] == [
        row["sets"] for row in table["pairs"]
    ]
    again = pairs.trained(quick.ensemble, [subsets[0][0]])
    assert again[0].tolist() == table["pairs"][0]["utilities"][0]


def test_the_costs_of_transport(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAMBO_HOME", str(tmp_path))
    fresh: dict[str, Any] = {}
    monkeypatch.setattr(common, "save", lambda name, table, settings: fresh.update(table))
    transport.make()
    table = shipped("transport")
    assert {name: table[name] for name in ("labeled", "validation")} == {
        name: fresh[name] for name in ("labeled", "validation")
    }
    for name in ("points", "feature_cost", "label_cost"):
        torch.testing.assert_close(torch.tensor(fresh[name]), torch.tensor(table[name]), msg=name)


def test_a_training_of_a_set_of_equation_4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAMBO_HOME", str(tmp_path))
    first = shipped("interpolation")["sets"][0]
    subset = torch.tensor(first["members"])
    again = pairs.trained(common.demo().ensemble, [subset], interpolation._FIRST)
    assert again[0].tolist() == first["utilities"]
