"""Margin sampling: the images whose two most probable classes are closest."""

from rambo.config import Config
from rambo.events import Emit, ignore
from rambo.method.acquisition import margins
from rambo.method.pools import Problem, Selection, check_budget
from rambo.seeding import Streams
from rambo.strategies.picking import lowest
from rambo.training.ensemble import Ensemble


def margin(
    problem: Problem,
    budget: int,
    config: Config,
    *,
    streams: Streams,
    ensemble: Ensemble,
    emit: Emit = ignore,
) -> Selection:
    """Return the `budget` smallest margins of f trained on S_0 (Roth and Small 2006, B.1).

    Choice: equal margins in the order of the dataset.
    """
    check_budget(problem, budget)
    return lowest(problem, budget, ensemble.predict_pools(emit), margins, emit)
