"""The gate in a trial: one pool for every strategy, overruled where a person says so, never below the budget."""

from pathlib import Path

import numpy as np
import pytest
import torch
from test_trial import Desk
from tiny import MemoryMemo, tiny_config, write_tiny

from rambo.config import GateConfig
from rambo.datasets import foreign
from rambo.events import Noticed, StageStarted
from rambo.method.pools import UNLABELED
from rambo.seeding import Streams
from rambo.worker import trial as trials
from rambo.worker.gating import GatedPool, gate_pool

SETTINGS = GateConfig(by="classifier", axes=8, folds=2)


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> trials.Trial:
    """Return a trial half of whose unlabeled images are white."""
    workspace = tmp_path_factory.mktemp("dirty")
    path = workspace / "white.npz"
    images = np.random.default_rng(0).integers(180, 255, (60, 28, 28), dtype=np.uint8)
    np.savez(path, images=images, labels=np.arange(60) % 2)
    changes = {"dataset": {"corruption": {"foreign": 0.5, "foreign_source": str(path)}}}
    config = tiny_config(**changes)
    data = foreign.with_foreign(write_tiny(workspace), config.dataset.corruption, workspace)
    return trials.split(config, data, 0, None)


def decide(trial: trials.Trial, budget: int = 10, **changes: object) -> GatedPool:
    settings = SETTINGS.model_copy(update=changes)
    return gate_pool(trial.problem, budget, settings, Streams(0))


def test_the_share_of_foreign_images_is_that_of_the_unlabeled_pool(dirty: trials.Trial) -> None:
    own = dirty.problem.unlabeled < 200
    assert len(own) == 76
    assert int((~own).sum()) == 38
    assert (dirty.oracle[dirty.problem.unlabeled][~own] == UNLABELED).all()
    assert (dirty.problem.labeled < 200).all()
    assert (dirty.problem.validation < 200).all()


def test_strategies_see_what_the_gate_leaves(dirty: trials.Trial) -> None:
    gated = decide(dirty)
    assert (gated.problem.unlabeled < 200).float().mean() > 0.95
    assert len(gated.problem.unlabeled) + int(gated.excluded.sum()) == 76
    assert "leaves out" in gated.sentence


def test_a_person_overrules_the_gate(dirty: trials.Trial) -> None:
    before = decide(dirty)
    expected = before.unlabeled[before.excluded][:3]
    after = decide(dirty, keep=tuple(expected.tolist()))
    assert torch.isin(expected, after.problem.unlabeled).all()
    assert int(after.excluded.sum()) == int(before.excluded.sum()) - 3
    assert int(after.exempt.sum()) == 3
    assert after.spared == 0


def test_a_budget_can_always_be_spent(dirty: trials.Trial) -> None:
    gated = decide(dirty, budget=60)
    assert len(gated.problem.unlabeled) == 60
    assert gated.spared == int(gated.exempt.sum()) > 0
    assert f"{gated.spared} it would have left out stay" in gated.sentence
    likeness, images = gated.gate.likeness, gated.excluded
    assert float(likeness[images].max()) <= float(likeness[gated.exempt].min())


def test_an_image_of_no_class_is_paid_for_and_teaches_nothing(dirty: trials.Trial) -> None:
    chosen = torch.cat([dirty.problem.unlabeled[:2], dirty.problem.unlabeled[-3:]])
    grown, labels = dirty.grow(chosen)
    assert grown.tolist() == [*dirty.problem.labeled.tolist(), *chosen[:2].tolist()]
    assert (labels[grown] >= 0).all()
    assert trials._wasted(dirty, chosen, tiny_config(dataset={"corruption": {"foreign": 0.5}})) == {
        "labels wasted": 3
    }


def test_a_pool_without_foreign_images_is_split_as_ever(tmp_path: Path) -> None:
    data = write_tiny(tmp_path)
    trial = trials.split(tiny_config(), data, 0, None)
    assert int(trial.problem.unlabeled.max()) < 100
    assert trials._wasted(trial, trial.problem.unlabeled[:4], tiny_config()) == {}


def test_more_foreign_images_take_the_places_of_the_same_own_ones() -> None:
    unlabeled, strangers = torch.arange(100), torch.arange(200, 300)
    some, more = (
        trials._mix_in_foreign(unlabeled, strangers, share, Streams(3)) for share in (0.2, 0.6)
    )
    assert (len(some), int((some >= 200).sum())) == (100, 20)
    assert (len(more), int((more >= 200).sum())) == (100, 60)
    assert set(more[more < 200].tolist()) < set(some[some < 200].tolist())
    few = trials._mix_in_foreign(unlabeled, strangers[:20], 0.5, Streams(3))
    assert (len(few), int((few >= 200).sum())) == (40, 20)  # the share holds, the pool shrinks


def test_one_gate_decides_for_every_strategy_of_a_trial_and_a_resumed_one(
    dirty: trials.Trial,
) -> None:
    changes = {
        "strategies": ["margin", "random"],
        "dataset": {"corruption": {"foreign": 0.5}},
        "acquisition": {"gate": {"by": "classifier", "axes": 8, "folds": 2}},
    }
    desk, memo = Desk(), MemoryMemo()
    once = tiny_config(**(changes | {"strategies": ["margin"]}))
    for config in (once, tiny_config(**changes)):
        trials.run_trial(dirty, 0, config, keeper=desk, memo=memo, device="cpu", jobs=1)
    stored = desk.arrays[0, "gate"]
    out = set(stored["indices"][stored["left_out"]].tolist())
    assert out
    for name in ("margin", "random"):
        assert not out & set(desk.selections[0, name].indices.tolist())
        assert desk.records[0, name].figures["left out by the gate"] == len(out)
        assert "labels wasted" in desk.records[0, name].figures
    messages = [event.message for _, _, event in desk.events if isinstance(event, Noticed)]
    assert sum("the gate leaves out" in message for message in messages) == 2
    stages = [event.stage for _, _, event in desk.events if isinstance(event, StageStarted)]
    assert stages[0] == "gate"  # a minute on a large pool: a person sees what is going on
