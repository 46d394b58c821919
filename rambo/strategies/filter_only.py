"""Filter-only: RAMBO's margin filter with a random batch, the control that shows what u_hat adds."""

import torch

from rambo.config import Config
from rambo.events import Emit, ignore, stage
from rambo.method.acquisition import filter_for, margins, random_chunks, rank_by
from rambo.method.pools import Problem, Selection, check_budget, union, without
from rambo.seeding import Streams
from rambo.training.ensemble import Ensemble


def filter_only(
    problem: Problem,
    budget: int,
    config: Config,
    *,
    streams: Streams,
    ensemble: Ensemble,
    emit: Emit = ignore,
) -> Selection:
    """Return random batches from the M smallest margins left, step by step as Algorithm 2 without line 5.

    Not in the paper: without this control nothing can be credited to u_hat.
    """
    check_budget(problem, budget)
    predictions = ensemble.predict_pools(emit)
    size = config.acquisition.batch_size
    steps = -(-budget // size)
    chosen = torch.zeros(0, dtype=torch.int64)
    with stage("acquisition", steps, emit) as advance:
        scores = margins(predictions.probabilities)
        remaining = rank_by(problem.unlabeled, scores)
        for j in range(steps):
            wanted = min(size, budget - len(chosen))
            kept = filter_for(config.acquisition.filtered, size, wanted)
            batches = random_chunks(remaining[:kept], wanted, streams.torch(f"step-{j}"))
            chosen, remaining = union(chosen, batches[0]), without(remaining, batches[0])
            advance()
    evidence = {
        "margin": scores[chosen],
        "predicted_class": predictions.probabilities[chosen].argmax(1),
    }
    return Selection(chosen, torch.arange(budget) // size, evidence)
