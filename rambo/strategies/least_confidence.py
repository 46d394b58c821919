"""Least confidence: the images whose most probable class is least probable."""

from rambo.config import Config
from rambo.events import Emit, ignore
from rambo.method.acquisition import confidences
from rambo.method.pools import Problem, Selection, check_budget
from rambo.seeding import Streams
from rambo.strategies.picking import lowest
from rambo.training.ensemble import Ensemble


def least_confidence(
    problem: Problem,
    budget: int,
    config: Config,
    *,
    streams: Streams,
    ensemble: Ensemble,
    emit: Emit = ignore,
) -> Selection:
    """Return the `budget` smallest top probabilities of f trained on S_0 (Lewis and Gale 1994).

    Choice: equal confidences in the order of the dataset.
    """
    check_budget(problem, budget)
    return lowest(problem, budget, ensemble.predict_pools(emit), confidences, emit)
