"""Filter-only: RAMBO's margin filter with a random batch, the control that shows what u_hat adds."""

import torch
from torch import Tensor

from rambo.events import stage
from rambo.method.acquisition import filter_for, margins, random_chunks, rank_by
from rambo.method.pools import Selection, union, without
from rambo.seeding import Streams
from rambo.training.call import Call


def filter_only(call: Call) -> Selection:
    """Return random batches from the M smallest margins left, step by step as Algorithm 2 without line 5.

    Not in the paper: without this control nothing can be credited to u_hat. The filter is cut into the batches that
    RAMBO would rank, from RAMBO's own stream; only which of them is taken is drawn from this one's.
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
            batch = _batch(call, filtered, count, j)
            chosen, remaining = union(chosen, batch), without(remaining, batch)
            advance()
    evidence = {
        "margin": scores[chosen],
        "predicted_class": predictions.probabilities[chosen].argmax(1),
    }
    return Selection(chosen, torch.arange(budget) // size, evidence)


def _batch(call: Call, filtered: Tensor, count: int, step: int) -> Tensor:
    """Return one of the batches that RAMBO would rank if it had come as far."""
    own = call.streams.torch(f"step-{step}")
    if call.config.evaluation.draws == "first":
        return random_chunks(filtered, count, own)[0]
    cut = Streams(call.ensemble.seed).child("rambo").torch(f"acquisition-{step}")
    batches = random_chunks(filtered, count, cut)
    return batches[int(torch.randint(len(batches), (1,), generator=own))]
