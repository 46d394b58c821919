"""What strategies that rank or pick images share: the stage they announce and the evidence they give."""

import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from rambo.events import stage
from rambo.method.acquisition import margins, rank_by
from rambo.method.pools import Selection
from rambo.training.call import Call
from rambo.training.ensemble import Predictions


def lowest(call: Call, score: Callable[[Tensor], Tensor]) -> Selection:
    """Return the B unlabeled images of the lowest score, lowest first.

    Choice: equal scores in the order of the dataset.

    Args:
        call: what the strategy is given.
        score: from probabilities of f, `N x c`, to scores, `N`.
    """
    predictions = call.predictions()
    with stage("acquisition", 1, call.emit) as advance:
        scores = score(predictions.probabilities)
        chosen = rank_by(call.problem.unlabeled, scores)[: call.budget]
        advance()
    return in_one_step(predictions, chosen)


def first(call: Call, pool: Tensor, picks: Iterator[int]) -> Tensor:
    """Return the first B picks as dataset indices, telling of each.

    Args:
        call: what the strategy is given.
        pool: `m` dataset indices.
        picks: positions in the pool; what they cost is paid inside the stage.
    """
    chosen = []
    with stage("acquisition", call.budget, call.emit) as advance:
        for pick in itertools.islice(picks, call.budget):
            chosen.append(pick)
            advance()
    return pool[torch.tensor(chosen)]


def in_one_step(predictions: Predictions, chosen: Tensor) -> Selection:
    """Return the selection of a strategy without steps: `chosen` with margins and predicted classes."""
    probabilities = predictions.probabilities[chosen]
    evidence = {"margin": margins(probabilities), "predicted_class": probabilities.argmax(1)}
    return Selection(chosen, torch.zeros_like(chosen), evidence)
