"""Random: the baseline everything has to beat."""

import torch

from rambo.config import Config
from rambo.events import Emit, ignore, stage
from rambo.method.pools import Problem, Selection, check_budget
from rambo.seeding import Streams
from rambo.training.ensemble import Ensemble


def random(
    problem: Problem,
    budget: int,
    config: Config,
    *,
    streams: Streams,
    ensemble: Ensemble,
    emit: Emit = ignore,
) -> Selection:
    """Return `budget` unlabeled images drawn uniformly without replacement (Section 5.2)."""
    check_budget(problem, budget)
    with stage("acquisition", 1, emit) as advance:
        order = torch.randperm(len(problem.unlabeled), generator=streams.torch("draw"))
        chosen = problem.unlabeled[order[:budget]]
        advance()
    return Selection(chosen, torch.zeros(budget, dtype=torch.int64))
