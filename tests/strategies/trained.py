"""A strategy with classifiers that are really trained, called as a trial calls it."""

from tiny import MemoryMemo

from rambo.config import Config
from rambo.events import Emit, ignore
from rambo.method.pools import Problem, Selection
from rambo.seeding import Streams
from rambo.strategies import STRATEGIES
from rambo.training.call import Call
from rambo.training.ensemble import Ensemble


def choose(
    name: str,
    problem: Problem,
    memo: MemoryMemo,
    config: Config,
    *,
    budget: int | None = None,
    seed: int = 0,
    emit: Emit = ignore,
) -> Selection:
    """Return what a strategy chooses with the streams of a trial; the budget is the config's where none is named."""
    return STRATEGIES[name](
        Call(
            problem,
            config.budget if budget is None else budget,
            config,
            streams=Streams(seed).child(name),
            ensemble=Ensemble(problem, config.classifier, seed=seed, memo=memo),
            emit=emit,
        )
    )
