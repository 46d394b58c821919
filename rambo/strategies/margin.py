"""Margin sampling: the images whose two most probable classes are closest."""

import torch

from rambo.acquisition import margins, rank_by
from rambo.config import Config
from rambo.ensemble import Ensemble
from rambo.events import Emit, ignore, stage
from rambo.pools import Problem, Selection, check_budget
from rambo.seeding import Streams


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
    predictions = ensemble.predict_pools(emit)
    with stage("acquisition", 1, emit) as advance:
        scores = margins(predictions.probabilities)
        chosen = rank_by(problem.unlabeled, scores)[:budget]
        advance()
    evidence = {
        "margin": scores[chosen],
        "predicted_class": predictions.probabilities[chosen].argmax(1),
    }
    return Selection(chosen, torch.zeros(budget, dtype=torch.int64), evidence)
