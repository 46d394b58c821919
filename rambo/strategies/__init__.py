"""Query strategies under one contract: a function from a `Call` to a `Selection`.

    select(call) -> Selection

One round means one call, so a strategy has no state. `STRATEGIES` names them all; `tests/strategies/test_contract.py`
holds every one to: exactly `budget` distinct unlabeled images, same seed same answer, inputs untouched, blind to
labels nobody bought.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from rambo.algorithm import rambo
from rambo.method.pools import Selection
from rambo.strategies.activeft import activeft
from rambo.strategies.badge import badge
from rambo.strategies.coreset import coreset
from rambo.strategies.dulo import dulo
from rambo.strategies.entropy import entropy
from rambo.strategies.filter_only import filter_only
from rambo.strategies.glister import glister
from rambo.strategies.least_confidence import least_confidence
from rambo.strategies.llal import llal
from rambo.strategies.lowest import lowest
from rambo.strategies.margin import margin
from rambo.strategies.others import load, strategy
from rambo.strategies.probcover import probcover
from rambo.strategies.rambo_plus import rambo_plus
from rambo.strategies.random import random
from rambo.strategies.typiclust import typiclust
from rambo.training.call import Call

__all__ = ["STRATEGIES", "Strategy", "find", "strategy"]


class Selector(Protocol):
    """The contract."""

    def __call__(self, call: Call, /) -> Selection:
        """Return `call.budget` distinct indices of `call.problem.unlabeled`, in order of choice."""


STRATEGIES: dict[str, Selector] = {
    "rambo": rambo,
    "filter-only": filter_only,
    "margin": margin,
    "random": random,
    "lowest": lowest,
    "rambo-plus": rambo_plus,
    "entropy": entropy,
    "least-confidence": least_confidence,
    "badge": badge,
    "coreset": coreset,
    "glister": glister,
    "llal": llal,
    "dulo": dulo,
    "typiclust": typiclust,
    "probcover": probcover,
    "activeft": activeft,
}


def find(name: str, files: Iterable[Path] = ()) -> Selector:
    """Return a strategy: ours, or one of other people, whose code runs now if it has not yet.

    Args:
        name: of the strategy.
        files: where it came from when the run was made.

    Raises:
        ConfigError: nobody brings it, or its code fails.
    """
    return STRATEGIES[name] if name in STRATEGIES else load(name, files)
