"""Filter-only: RAMBO's margin filter with a random batch, the control that shows what u_hat adds."""

import torch

from rambo.events import stage
from rambo.method.acquisition import filter_for, margins, random_chunks, rank_by
from rambo.method.pools import Selection, union, without
from rambo.training.call import Call


def filter_only(call: Call) -> Selection:
    """Return random batches from the M smallest margins left, step by step as Algorithm 2 without line 5.

    Not in the paper: without this control nothing can be credited to u_hat.
    """
    predictions, budget = call.predictions(), call.budget
    acquisition, size = call.config.acquisition, call.config.acquisition.batch_size
    steps = -(-budget // size)
    chosen = torch.zeros(0, dtype=torch.int64)
    with stage("acquisition", steps, call.emit) as advance:
        scores = margins(predictions.probabilities)
        remaining = rank_by(call.problem.unlabeled, scores)
        for j in range(steps):
            count = min(size, budget - len(chosen))
            filtered = remaining[: filter_for(acquisition.filtered, size, count)]
            batch = random_chunks(filtered, count, call.streams.torch(f"step-{j}"))[0]
            chosen, remaining = union(chosen, batch), without(remaining, batch)
            advance()
    evidence = {
        "margin": scores[chosen],
        "predicted_class": predictions.probabilities[chosen].argmax(1),
    }
    return Selection(chosen, torch.arange(budget) // size, evidence)
