"""One training step of the utility model against a forward pass a set: `python -m benchmarks.set_model`.

Ours is the library's own step: every image of S_0 is embedded once, all sets are one product with the membership
matrix. The plain way puts the images of each set through the network for that set alone.
"""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import data
from benchmarks.measure import Goal, Measure, ratio
from benchmarks.report import show
from benchmarks.timing import CPU, interleaved, scaled
from rambo.config import UtilityModelConfig
from rambo.method import utility_model
from rambo.method.networks import SetNetwork, SetPrediction
from rambo.method.pools import Problem
from rambo.method.utility_model import UtilityModel
from rambo.method.utility_samples import UtilitySamples
from rambo.seeding import Streams

GOALS = {50: (30, 48), 500: (100, 300)}  # pairs -> wanted, aim
REPEATED = 20  # steps of ours a round: one takes a fiftieth of a second


class SetBySet(nn.Module):
    """The same function of the same weights, one set after the other."""

    def __init__(self, network: SetNetwork) -> None:
        """Share the weights of `network`."""
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor, membership: Tensor) -> SetPrediction:
        """Return the predictions for `s` sets; the labeled pool, which all are compared with, is embedded once."""
        network = self.network
        reference = network.refer(network.elements(inputs))
        parts = []
        for row in membership:
            elements = network.elements(inputs[row > 0])
            average = elements.new_full((1, len(elements)), 1 / len(elements))
            parts.append(network.predict_pooled(network.pooling(elements, average), reference))
        return SetPrediction(*(torch.cat(values) for values in zip(*parts, strict=True)))


class _Silent:
    """Takes the place of the report that the library makes after each epoch."""

    def epoch(self, number: int) -> None:
        """Say nothing."""


def sides(problem: Problem, samples: UtilitySamples) -> dict[str, UtilityModel]:
    """Return two models of the same weights whose step is one epoch of one minibatch of all pairs."""
    config = UtilityModelConfig(epochs=1, minibatch_pairs=len(samples))
    model = utility_model.create_utility_model(problem, config, Streams(0))
    return {
        "set by set": dataclasses.replace(model, network=SetBySet(model.network)),
        "ours": model,
    }


def step(model: UtilityModel, problem: Problem, samples: UtilitySamples) -> Callable[[], None]:
    """Return the library's training step on all pairs, dropout and Adam included."""
    task = utility_model._task(problem, samples, problem.network_inputs(problem.labeled))
    return lambda: utility_model._fit_ordinary(model, task, Streams(0), _Silent())


def gradient(model: UtilityModel, problem: Problem, samples: UtilitySamples) -> Tensor:
    """Return the gradient of L_Total by all weights, without dropout."""
    task = utility_model._task(problem, samples, problem.network_inputs(problem.labeled))
    model.network.eval()
    loss = utility_model._total(model.network(task.inputs, task.membership), task, model.config)
    found = torch.autograd.grad(loss, list(model.network.parameters()))
    return torch.cat([part.flatten() for part in found])


def disagreement(problem: Problem, samples: UtilitySamples) -> float:
    """Return how far the two gradients are apart, relative to their length."""
    plain, ours = (gradient(model, problem, samples) for model in sides(problem, samples).values())
    return float((plain - ours).norm() / ours.norm())


def measure() -> list[Measure]:
    """Return a measure for 50 pairs and one for 500."""
    problem = data.problem()
    return [_measure(problem, data.utility_samples(problem, pairs)) for pairs in GOALS]


def _measure(problem: Problem, samples: UtilitySamples) -> Measure:
    """Return what one step on these pairs costs."""
    pairs, images = len(samples), len(problem.labeled)
    steps = {name: step(model, problem, samples) for name, model in sides(problem, samples).items()}
    apart = disagreement(problem, samples)
    with FlopCounterMode(display=False) as counter:
        steps["ours"]()
    needed = counter.get_total_flops()
    repeated = {**steps, "ours": lambda: [steps["ours"]() for _ in range(REPEATED)]}
    seconds = scaled(interleaved(repeated), {"ours": 1 / REPEATED})
    return Measure(
        name=f"Utility model, a step on {pairs} pairs",
        what=f"One training step of u_hat on {pairs} pairs of subsets of {images} FashionMNIST images.",
        clock=CPU,
        seconds=seconds,
        goals=[
            Goal("ours / set by set", ratio(*seconds.values()), *GOALS[pairs]),
            Goal("relative distance of the gradients", apart, 1e-4, at_most=True),
        ],
        flops=dict.fromkeys(seconds, needed),
        note=(
            "The arithmetic needed is that of ours: every image once, forward and backward. A round of ours is "
            f"{REPEATED} steps."
        ),
    )


if __name__ == "__main__":
    show(measure())
