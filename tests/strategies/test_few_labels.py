"""Every strategy where little is known: unknown labels, classes without a label, two labels, no validation images."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import MemoryMemo, partly, tiny_config

from rambo import checks, lineup
from rambo.config import Config
from rambo.datasets import prepared
from rambo.datasets.prepared import Prepared
from rambo.errors import ConfigError
from rambo.method.pools import UNLABELED, Problem, Selection, digest
from rambo.seeding import Streams
from rambo.strategies import STRATEGIES
from rambo.training.call import Call
from rambo.training.ensemble import Ensemble
from rambo.training.units import FitUnit
from rambo.worker import trial

QUICK: dict[str, Any] = {
    "budget": 6,
    "classifier": {"max_epochs": 1},
    "rambo": {
        "initial_size": None,
        "pairs_per_iteration": 2,
        "offline": {"pairs": 2, "repeated_pairs": 1},
        "utility_model": {"epochs": 1},
    },
}
NEEDS_VALIDATION = {"rambo", "rambo-plus", "lowest", "dulo", "glister"}
every_strategy = pytest.mark.parametrize("name", STRATEGIES)


class Watched(Ensemble):
    """An ensemble that remembers the labels of every training."""

    def run(self, units: Any, emit: Any, done: Any) -> Any:
        fits = [getattr(unit, "fit", unit) for unit in units]
        self.labels_read = [
            *getattr(self, "labels_read", []),
            *(f.labels for f in fits if isinstance(f, FitUnit)),
        ]
        return super().run(units, emit, done)


def config_for(name: str, data: Prepared) -> Config:
    return checks.fit(tiny_config(**QUICK, strategies=[name]), data)


def choose(name: str, data: Prepared, memo: MemoryMemo) -> tuple[Selection, Problem, Watched]:
    config = config_for(name, data)
    checks.check(config, data)
    problem = trial.split(config, data, 0, None).problem
    ensemble = Watched(problem, config.classifier, seed=0, memo=memo)
    call = Call(problem, config.budget, config, streams=Streams(0).child(name), ensemble=ensemble)
    return STRATEGIES[name](call), problem, ensemble


@pytest.fixture(scope="module")
def pets(tiny: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """20 labels of all four classes, 12 more to check with, 60 unknown."""
    folder = tmp_path_factory.mktemp("pets")
    return partly(folder, tiny, labeled=range(20), validation=range(20, 32))


@every_strategy
def test_an_unknown_label_reaches_no_training_and_no_guess(
    name: str, pets: Prepared, shared_memo: MemoryMemo
) -> None:
    selection, problem, ensemble = choose(name, pets, shared_memo)
    chosen = selection.indices
    assert len(set(chosen.tolist())) == 6
    assert (np.array(pets.labels)[chosen.numpy()] == UNLABELED).all()
    assert torch.equal(problem.labeled, torch.arange(20))
    trained = [labels.min() for labels in getattr(ensemble, "labels_read", [])]
    assert len(trained) > 0 or name == "random"
    assert min(trained, default=0) >= 0
    assert problem.num_classes == 4
    guesses = selection.evidence.get("predicted_class", torch.zeros(6))
    assert guesses.min() >= 0
    assert guesses.max() <= 3


@every_strategy
def test_the_choice_is_the_same_where_somebody_knows_the_labels(
    name: str, pets: Prepared, tiny: Prepared, shared_memo: MemoryMemo, tmp_path: Path
) -> None:
    """The very images with the true labels in the file instead of -1: nobody looks at them."""
    ours, problem, _ = choose(name, pets, shared_memo)
    labels = np.array(tiny.labels)[:92]
    relabeled = prepared.write(
        tmp_path,
        name="pets",
        images=np.array(pets.images),
        labels=labels,
        roles=np.array(pets.roles),
        classes=pets.classes,
        mean=pets.mean,
        std=pets.std,
        source="made by the tests",
        licence="none needed",
        origin="tests:relabeled",
    )
    assert (np.array(relabeled.labels)[32:] >= 0).all()
    assert (np.array(pets.labels)[32:] == UNLABELED).all()
    other = dataclasses.replace(problem, source=str(relabeled.folder), fingerprint="other")
    config = config_for(name, pets)
    ensemble = Ensemble(other, config.classifier, seed=0, memo=MemoryMemo())
    theirs = STRATEGIES[name](
        Call(other, config.budget, config, streams=Streams(0).child(name), ensemble=ensemble)
    )
    assert theirs.indices.tolist() == ours.indices.tolist()
    assert digest(*theirs.evidence.values()) == digest(*ours.evidence.values())


@every_strategy
def test_a_class_without_a_label_is_no_error(
    name: str, tiny: Prepared, shared_memo: MemoryMemo, tmp_path: Path
) -> None:
    """Class 3 is in no seed and in no validation set."""
    labeled = [index for index in range(40) if index % 4 != 3]
    data = partly(tmp_path, tiny, labeled=labeled[:18], validation=labeled[18:])
    selection, problem, _ = choose(name, data, shared_memo)
    assert set(problem.labels[problem.labeled].tolist()) == {0, 1, 2}
    assert len(set(selection.indices.tolist())) == 6
    assert all(values.isfinite().all() for values in selection.evidence.values())


@every_strategy
def test_two_labels_are_enough(
    name: str, tiny: Prepared, shared_memo: MemoryMemo, tmp_path: Path
) -> None:
    data = partly(tmp_path, tiny, labeled=[0, 1], validation=range(4, 12))
    selection, problem, _ = choose(name, data, shared_memo)
    assert len(problem.labeled) == 2
    assert len(set(selection.indices.tolist())) == 6
    assert all(values.isfinite().all() for values in selection.evidence.values())


@every_strategy
def test_without_validation_images_a_strategy_runs_or_says_what_is_missing(
    name: str, tiny: Prepared, shared_memo: MemoryMemo, tmp_path: Path
) -> None:
    data = partly(tmp_path, tiny, labeled=range(6))
    if lineup.of(name).reads_validation:
        assert name in NEEDS_VALIDATION
        with pytest.raises(
            ConfigError, match=f"strategies {name}.*no validation images.*leave {name} out"
        ):
            choose(name, data, shared_memo)
        return
    assert name not in NEEDS_VALIDATION
    selection, problem, _ = choose(name, data, shared_memo)
    assert len(problem.validation) == 0
    assert len(set(selection.indices.tolist())) == 6
    assert all(values.isfinite().all() for values in selection.evidence.values())
