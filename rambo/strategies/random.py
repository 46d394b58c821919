"""Random: the baseline everything has to beat."""

import torch

from rambo.events import stage
from rambo.method.pools import Selection
from rambo.training.call import Call


def random(call: Call) -> Selection:
    """Return B unlabeled images drawn uniformly without replacement (Section 5.2)."""
    pool = call.problem.unlabeled
    with stage("acquisition", 1, call.emit) as advance:
        order = torch.randperm(len(pool), generator=call.streams.torch("draw"))
        chosen = pool[order[: call.budget]]
        advance()
    return Selection(chosen, torch.zeros_like(chosen))
