"""What the tests of strategies share: one problem, a memo for a module, and an f that says what a test scripts."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny import MemoryMemo
from torch import Tensor

from rambo.config import Config
from rambo.events import ignore
from rambo.method.pools import Problem, Selection
from rambo.seeding import Streams
from rambo.strategies import STRATEGIES
from rambo.training.call import Call
from rambo.training.ensemble import Ensemble, Predictions

ChooseWhere = Callable[..., Selection]


@pytest.fixture
def choose_where(
    problem: Problem, memo: MemoryMemo, monkeypatch: pytest.MonkeyPatch
) -> ChooseWhere:
    """Return a function that lets a strategy choose where f says what a test scripts, and trains nothing."""

    def choose(
        name: str,
        budget: int,
        config: Config,
        *,
        probabilities: Tensor | None = None,
        features: Tensor | None = None,
        seed: int = 0,
        emit: Any = ignore,
    ) -> Selection:
        if probabilities is None:
            probabilities = torch.eye(4).repeat(50, 1)
        predictions = Predictions(probabilities, torch.zeros(200, 1), 0.5)
        monkeypatch.setattr(Ensemble, "predict_pools", lambda self, emit: predictions)
        variant = problem if features is None else dataclasses.replace(problem, features=features)
        ensemble = Ensemble(variant, config.classifier, seed=0, memo=memo)
        return STRATEGIES[name](
            Call(variant, budget, config, streams=Streams(seed), ensemble=ensemble, emit=emit)
        )

    return choose
