"""What strategies that rank or pick images share: the stage they announce and the evidence they give."""

import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from rambo.events import Emit, stage
from rambo.method.acquisition import margins, rank_by
from rambo.method.pools import Problem, Selection
from rambo.training.ensemble import Predictions


def lowest(
    problem: Problem,
    budget: int,
    predictions: Predictions,
    score: Callable[[Tensor], Tensor],
    emit: Emit,
) -> Selection:
    """Return the `budget` unlabeled images of the lowest score, lowest first.

    Choice: equal scores in the order of the dataset.

    Args:
        problem: U_0.
        budget: B.
        predictions: of f trained on S_0.
        score: from probabilities, `N x c`, to scores, `N`.
        emit: hears of the stage.
    """
    with stage("acquisition", 1, emit) as advance:
        chosen = rank_by(problem.unlabeled, score(predictions.probabilities))[:budget]
        advance()
    return in_one_step(predictions, chosen)


def first(pool: Tensor, picks: Iterator[int], budget: int, emit: Emit) -> Tensor:
    """Return the first `budget` picks as dataset indices, telling of each.

    Args:
        pool: `m` dataset indices.
        picks: positions in the pool; what they cost is paid inside the stage.
        budget: B.
        emit: hears of the stage.
    """
    chosen = []
    with stage("acquisition", budget, emit) as advance:
        for pick in itertools.islice(picks, budget):
            chosen.append(pick)
            advance()
    return pool[torch.tensor(chosen)]


def in_one_step(predictions: Predictions, chosen: Tensor) -> Selection:
    """Return the selection of a strategy without steps: `chosen` with margins and predicted classes."""
    probabilities = predictions.probabilities[chosen]
    evidence = {"margin": margins(probabilities), "predicted_class": probabilities.argmax(1)}
    return Selection(chosen, torch.zeros_like(chosen), evidence)
