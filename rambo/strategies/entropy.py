"""Entropy sampling: the images over which f is most undecided among all classes."""

from rambo.config import Config
from rambo.events import Emit, ignore
from rambo.method.acquisition import entropies
from rambo.method.pools import Problem, Selection, check_budget
from rambo.seeding import Streams
from rambo.strategies.picking import lowest
from rambo.training.ensemble import Ensemble


def entropy(
    problem: Problem,
    budget: int,
    config: Config,
    *,
    streams: Streams,
    ensemble: Ensemble,
    emit: Emit = ignore,
) -> Selection:
    """Return the `budget` largest entropies of f trained on S_0, in nats (Settles 2009, Section 3.1).

    Choice: equal entropies in the order of the dataset.
    """
    check_budget(problem, budget)
    return lowest(problem, budget, ensemble.predict_pools(emit), lambda p: -entropies(p), emit)
