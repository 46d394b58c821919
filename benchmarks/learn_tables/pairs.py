"""`pairs`: 120 pairs of sets, each really trained twice, for "Which set teaches more?" and "RankNet".

The pairs are the offline pairs of a run (Algorithm 1, line 3). What u_hat says of a pair comes from a u_hat that never
saw it: the pairs are cut into five parts, and each part is asked of a model warm-started on the other four.
"""

from pathlib import Path
from typing import Any

import torch

from benchmarks.learn_tables import common
from rambo.method.transport import exact_transport
from rambo.method.utility_model import create_utility_model, fit_utility_model, predict_subsets
from rambo.method.utility_samples import UtilitySamples, random_pairs
from rambo.seeding import Streams
from rambo.training.ensemble import Ensemble
from rambo.training.offline import labeled_ground_cost

PARTS = 5
ROLES = ("offline", "repeat")  # the first training of a subset and the second


def make() -> Path:
    """Train every set twice and ask u_hat."""
    found = common.quick()
    problem = found.trial.problem
    call = found.call("rambo").child("offline")
    pairs = random_pairs(problem, problem.labeled, common.PAIRS, call.streams)
    subsets = [subset for pair in pairs for subset in pair]
    utilities = trained(found.ensemble, subsets)
    ground = labeled_ground_cost(problem, found.config.rambo.utility_model)
    distances = torch.tensor([exact_transport(ground.rows(subset)) for subset in subsets])
    samples = UtilitySamples(
        pairs, utilities[:, 0].view(-1, 2), (distances / distances.mean()).view(-1, 2).double()
    )
    scores = _unseen(found, samples)
    rows = [
        {
            "sets": [subset.tolist() for subset in pair],
            "utilities": utilities[2 * i : 2 * i + 2].tolist(),  # set by training
            "scores": [round(float(score), 5) for score in scores[i]],
        }
        for i, pair in enumerate(pairs)
    ]
    table = {"labeled": problem.labeled.tolist(), "parts": PARTS, "pairs": rows}
    return common.save("pairs", table, found.config.model_dump(mode="json"))


def trained(ensemble: Ensemble, subsets: list[torch.Tensor], first: int = 0) -> torch.Tensor:
    """Return the validation accuracies of two trainings of each subset, `s x 2` float64.

    Args:
        ensemble: trains.
        subsets: what to train on.
        first: place of the first subset among all that are trained so, which decides the seeds.
    """
    units: list[Any] = [
        ensemble.fit_unit(subset, role, first + i)
        for i, subset in enumerate(subsets)
        for role in ROLES
    ]
    outcomes = common.train(ensemble, units)
    return torch.tensor(
        [outcome.training.accuracies["validation"] for outcome in outcomes], dtype=torch.float64
    ).view(-1, 2)


def _unseen(found: common.Setting, samples: UtilitySamples) -> torch.Tensor:
    """Return the predicted utilities of every pair by a u_hat that was fitted without it, `p x 2`."""
    problem, settings = found.trial.problem, found.config.rambo.utility_model
    scores = torch.zeros(len(samples), 2)
    part = torch.arange(len(samples)) % PARTS
    for number in range(PARTS):
        streams = Streams(found.trial.seed).child(f"learn-part-{number}")
        model = fit_utility_model(
            create_utility_model(problem, settings, streams),
            problem,
            samples.take((part != number).nonzero()[:, 0]),
            streams,
            bilevel_training=False,
            phase="offline",
        )
        asked = (part == number).nonzero()[:, 0]
        prediction = predict_subsets(model, problem, samples.take(asked).subsets)
        scores[asked] = prediction.utility.view(-1, 2)
        print(f"  u_hat without part {number + 1} of {PARTS}", flush=True)
    return scores
