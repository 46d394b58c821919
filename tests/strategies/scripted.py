"""A strategy over ten to twenty made-up images, with an f that says what the test tells it to say."""

from typing import Any

import torch
from problems import make_problem
from tiny import tiny_config
from torch import Tensor

from rambo.events import Emit, ignore
from rambo.method.pools import UNLABELED, Problem, Selection, union
from rambo.seeding import Streams
from rambo.strategies import STRATEGIES
from rambo.training.call import Call
from rambo.training.ensemble import Predictions


class ScriptedEnsemble:
    """An ensemble that trains nothing."""

    def __init__(self, predictions: Predictions) -> None:
        self.predictions = predictions

    def predict_pools(self, emit: Emit) -> Predictions:
        return self.predictions


def small_problem(
    labeled: dict[int, int], unlabeled: list[int], validation: dict[int, int], classes: int = 3
) -> Problem:
    """Return a problem whose bought labels are given by index; all other indices up to 39 are in no pool."""
    labels = torch.full((40,), UNLABELED)
    for index, label in (labeled | validation).items():
        labels[index] = label
    return make_problem(
        images=torch.zeros(40, 1, 2, 2, dtype=torch.uint8),
        labels=labels,
        labeled=torch.tensor(list(labeled), dtype=torch.int64),
        unlabeled=torch.tensor(unlabeled),
        validation=torch.tensor(list(validation)),
        num_classes=classes,
    )


def only_pools(problem: Problem, values: Tensor) -> Tensor:
    """Return float32 `values` with NaN outside the three pools, as `predict_pools` does."""
    pools = union(problem.labeled, problem.unlabeled, problem.validation)
    visible = torch.full_like(values, torch.nan, dtype=torch.float32)
    visible[pools] = values[pools].float()
    return visible


def choose(
    name: str,
    problem: Problem,
    budget: int,
    probabilities: Tensor,
    embeddings: Tensor | None = None,
    *,
    seed: int = 0,
    **changes: Any,
) -> Selection:
    """Return what the strategy chooses where f says this."""
    features = probabilities if embeddings is None else embeddings
    predictions = Predictions(
        only_pools(problem, probabilities), only_pools(problem, features), 0.5
    )
    return STRATEGIES[name](
        Call(
            problem,
            budget,
            tiny_config(**changes),
            streams=Streams(seed),
            ensemble=ScriptedEnsemble(predictions),  # type: ignore[arg-type]
            emit=ignore,
        )
    )


def random_probabilities(classes: int, seed: int = 0) -> Tensor:
    """Return probabilities of 40 images."""
    draw = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(40, classes, generator=draw)).softmax(1)


def random_embeddings(width: int, seed: int = 1) -> Tensor:
    """Return embeddings of 40 images, as after a ReLU."""
    return torch.randn(40, width, generator=torch.Generator().manual_seed(seed)).relu()
