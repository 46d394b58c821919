"""The hypergradient of the real u_hat objective against full unrolling: `python -m benchmarks.bilevel`.

Both objectives are those that the library's bilevel fit hands to its first hyper-step, caught on their way.
"""

import statistics
from typing import Any
from unittest import mock

import torch

from benchmarks import data
from benchmarks.measure import Goal, Measure, ratio
from benchmarks.report import show
from benchmarks.timing import CPU, interleaved, spread
from rambo.config import BilevelConfig, UtilityModelConfig
from rambo.method import bilevel, utility_model
from rambo.method.pools import Problem
from rambo.method.utility_samples import UtilitySamples
from rambo.seeding import Streams

PAIRS, STEPS, SEEDS = 50, 100, 5
UNROLL, NEUMANN, INNER = (
    "inner solve, all of it unrolled",
    "inner solve + Neumann",
    "inner solve alone",
)
Objectives = tuple[Any, ...]  # what `utility_model.hyper_step` takes before its config


def objectives(
    problem: Problem, samples: UtilitySamples, config: UtilityModelConfig, seed: int = 0
) -> Objectives:
    """Return inner and outer objective, weights, velocity and lambda of the first hyper-step after a warm start."""
    streams, caught = Streams(seed), list[Objectives]()
    model = utility_model.create_utility_model(problem, config, streams)
    with mock.patch.object(utility_model, "hyper_step", _catching(caught)):
        for phase in ("offline", "bilevel"):
            model = utility_model.fit_utility_model(
                model,
                problem,
                samples,
                streams.child(phase),
                bilevel_training=phase == "bilevel",
                phase=phase,
            )
    return caught[0]


def _catching(caught: list[Objectives]) -> Any:
    """Return a hyper-step that notes what it is given and moves nothing."""

    def hyper_step(*arguments: Any) -> Any:
        inner, outer, weights, velocity, hyper, _ = arguments
        caught.append((inner, outer, weights, velocity, tuple(h.detach().clone() for h in hyper)))
        return tuple(map(torch.zeros_like, hyper)), weights, velocity

    return hyper_step


def hypergradient(given: Objectives, config: BilevelConfig, method: str) -> torch.Tensor:
    """Return the library's hypergradient by a method, the inner solve included."""
    config = config.model_copy(update={"hypergradient": method})
    return torch.stack(utility_model.hyper_step(*given, config)[0])


def cosine(given: Objectives, config: BilevelConfig) -> float:
    """Return the cosine between Neumann's hypergradient and the unrolled one."""
    pair = (hypergradient(given, config, method) for method in ("neumann", "unroll"))
    return float(torch.cosine_similarity(*pair, dim=0))


def measure() -> list[Measure]:
    """Return a measure for T = 100 inner steps and one for the default T."""
    problem, config = data.problem(), UtilityModelConfig()
    given = [
        objectives(problem, data.utility_samples(problem, PAIRS, seed), config, seed)
        for seed in range(SEEDS)
    ]
    settings = config.bilevel
    return [
        _measure(given, settings.model_copy(update={"inner_steps": STEPS}), ""),
        _measure(given, settings, ", the default"),
    ]


def _measure(given: list[Objectives], config: BilevelConfig, told: str) -> Measure:
    """Return what a hyper-step costs by each method, and how near Neumann's is to unrolling for every seed."""
    first = given[0]
    inner, _, weights, velocity, hyper = first
    descent = bilevel.Descent(config.inner_steps, config.inner_learning_rate, config.momentum)
    seconds = interleaved(
        {
            UNROLL: lambda: hypergradient(first, config, "unroll"),
            NEUMANN: lambda: hypergradient(first, config, "neumann"),
            INNER: lambda: bilevel.descend(inner, weights, velocity, hyper, descent),
        }
    )
    cost = ratio(seconds[NEUMANN], seconds[INNER])
    cosines = [cosine(one, config) for one in given]
    middle = statistics.median(cosines)
    return Measure(
        name=f"Hypergradient, T = {config.inner_steps}{told}",
        what=(
            f"One hyper-step of u_hat on {PAIRS} pairs over {data.settings().k} FashionMNIST images: "
            f"T = {config.inner_steps} inner steps from warm weights, at most {config.terms} Neumann terms."
        ),
        clock=CPU,
        seconds=seconds,
        goals=[
            Goal("(inner + Neumann) / inner", cost, 1.5, 1.1, at_most=True),
            Goal(f"cosine to full unrolling, median of {SEEDS} seeds", middle, 0.95, 0.99),
        ],
        note=f"Cosines of pairs, weights and dropout masks of {SEEDS} seeds: {spread(cosines)}.",
    )


if __name__ == "__main__":
    show(measure())
