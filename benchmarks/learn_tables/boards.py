"""`boards`: what the strategies choose of a small pool, for "Beat the machine".

Each board is 40 labeled images, 200 unlabeled ones and a budget of 20. f is the logistic head on pixels, with which the
page trains too, so that a person and a strategy are judged by the same classifier.
"""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.learn_tables import common
from rambo.events import ignore
from rambo.method.pools import Problem, Selection, union
from rambo.seeding import Streams
from rambo.strategies import STRATEGIES
from rambo.training.call import Call
from rambo.training.ensemble import Ensemble

BOARDS, POOL, DRAWS = 10, 200, 100
CHOOSERS = ("random", "margin", "badge", "filter-only", "rambo")
SETTINGS: dict[str, Any] = {
    "dataset": {"name": common.DATASET},
    "k": 40,
    "budget": 20,
    "strategies": list(CHOOSERS),
    "classifier": {"name": "logistic"},
    "acquisition": {"batch_size": 10, "filter_size": 100},
    "rambo": {
        "initial_size": 20,
        "pairs_per_iteration": 20,
        "offline": {"pairs": 60},
        "utility_model": {"epochs": 10},
    },
}


def make() -> Path:
    """Let every strategy choose on every board."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [_board(number, Path(folder) / "pixels.npy") for number in range(BOARDS)]
    return common.save(
        "boards", {"boards": rows}, {**SETTINGS, "seeds": BOARDS, "pool": POOL, "draws": DRAWS}
    )


def _board(number: int, file: Path) -> dict[str, Any]:
    """Return one board: its pools, the choices, and what luck does."""
    found, problem, ensemble = world(number, file)
    choices = {}
    for name in CHOOSERS:
        call = Call(
            problem,
            found.config.budget,
            found.config,
            streams=Streams(number).child(name),
            ensemble=ensemble,
        )
        choice = STRATEGIES[name](call)
        assert torch.isin(choice.indices, problem.unlabeled).all()
        choices[name] = choice.indices.tolist()
    print(f"  board {number + 1} of {BOARDS}", flush=True)
    return {
        "labeled": problem.labeled.tolist(),
        "unlabeled": problem.unlabeled.tolist(),
        "choices": choices,
        **judge(found, problem.unlabeled, ensemble, choices),
    }


def world(number: int, file: Path) -> tuple[common.Setting, Problem, Ensemble]:
    """Return the setting of a board, its problem with the small pool, and what trains the heads.

    Args:
        number: of the board, its seed.
        file: where the pixels are kept for the heads.
    """
    found = common.setting(SETTINGS, seed=number)
    pixels = found.trial.problem.images.flatten(1).float() / 255
    if not file.exists():
        np.save(file, pixels.numpy())
    problem = dataclasses.replace(
        found.trial.problem,
        unlabeled=found.trial.problem.unlabeled[:POOL],
        features=pixels,
        features_file=str(file),
        reads_features=False,  # u_hat reads images, as in the paper
    )
    ensemble = Ensemble(
        problem, found.config.classifier, seed=number, memo=found.ensemble.memo, jobs=1
    )
    return found, problem, ensemble


def judge(
    found: common.Setting, pool: Tensor, ensemble: Ensemble, choices: dict[str, list[int]]
) -> dict[str, Any]:
    """Return the test accuracy without a choice (``), of every choice, and of random ones, sorted."""
    trial, generator = found.trial, Streams(found.trial.seed).child("learn").torch("luck")
    test = trial.test, trial.oracle[trial.test]
    drawn = [
        pool[torch.randperm(len(pool), generator=generator)[: found.config.budget]]
        for _ in range(DRAWS)
    ]
    units: list[Any] = []
    for chosen in [pool[:0], *map(torch.tensor, choices.values()), *drawn]:
        labels = trial.reveal(Selection(chosen, chosen))
        grown = union(trial.problem.labeled, chosen)
        units.append(ensemble.fit_unit(grown, "evaluation", labels=labels, test=test))
    outcomes = ensemble.run(units, ignore, lambda: None)
    measured = [round(outcome.training.accuracies["test"], 4) for outcome in outcomes]
    names = ["", *choices]
    return {
        "accuracies": dict(zip(names, measured[: len(names)], strict=True)),
        "luck": sorted(measured[len(names) :]),
    }
