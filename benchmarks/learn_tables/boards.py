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

from benchmarks.learn_tables import common
from rambo.seeding import Streams
from rambo.strategies import STRATEGIES
from rambo.training.call import Call
from rambo.training.ensemble import Ensemble

BOARDS, POOL = 10, 200
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
    return common.save("boards", {"boards": rows}, {**SETTINGS, "seeds": BOARDS, "pool": POOL})


def _board(number: int, file: Path) -> dict[str, Any]:
    """Return one board: its pools and the choices."""
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
    }
