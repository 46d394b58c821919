"""`interpolation`: sets of the last pretraining round with their interpolated and their true utilities (Equation 4)."""

import copy
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.learn_tables import common
from benchmarks.learn_tables.pairs import trained
from rambo.algorithm import augment_utility_samples, split_initial
from rambo.method.pools import union
from rambo.method.utility_model import UtilityModel, fit_utility_model, predict_subsets
from rambo.method.utility_samples import Pair, UtilitySamples, random_pairs
from rambo.training.iteration import evaluate_pool
from rambo.training.offline import warm_start

SHOWN = 12  # pairs of the last round that are trained too
_FIRST = 100_000  # their place among the trained subsets: seeds of their own


def make() -> Path:
    """Pretrain as a run does, and train the sets of the last round."""
    found = common.demo()
    problem, last = found.trial.problem, list(pretraining(found))[-1]
    subsets = [subset for pair in last.pairs[:SHOWN] for subset in pair]
    embedding = predict_subsets(
        last.before, problem, [*subsets, last.labeled, last.grown]
    ).embedding
    distances = torch.stack(
        [(embedding[:-2] - embedding[-2]).norm(dim=1), (embedding[:-2] - embedding[-1]).norm(dim=1)]
    )
    rows = zip(
        subsets,
        distances.T.tolist(),
        last.samples.utilities[-len(last.pairs) :].flatten().tolist(),
        trained(found.ensemble, subsets, _FIRST).tolist(),
        strict=False,
    )
    table = {
        "accuracies": [last.accuracy, last.grown_accuracy],
        "sizes": [len(last.labeled), len(last.grown)],
        "sets": [
            {
                "members": subset.tolist(),
                "distances": [round(d, 6) for d in apart],
                "interpolated": round(value, 6),
                "utilities": truth,
            }
            for subset, apart, value, truth in rows
        ],
    }
    return common.save("interpolation", table, found.config.model_dump(mode="json"))


@dataclasses.dataclass(frozen=True, eq=False)
class Round:
    """What one pretraining round used and left (Algorithm 1, lines 9 to 14)."""

    labeled: Tensor
    grown: Tensor
    accuracy: float
    grown_accuracy: float
    pairs: tuple[Pair, ...]
    before: UtilityModel
    samples: UtilitySamples
    after: UtilityModel


def pretraining(found: common.Setting) -> Iterator[Round]:
    """Yield the pretraining rounds of RAMBO on the tables' problem, one after the other; the last is on S_0."""
    problem, config, call = found.trial.problem, found.config, found.call("rambo")
    offline = warm_start(call.child("offline"))
    model = offline.model
    labeled, slices = split_initial(problem.labeled, config, call.streams.torch("split"))
    current = evaluate_pool(call, labeled, 0, (), offline)
    samples = UtilitySamples.empty()
    for i, batch in enumerate(slices):
        draw = call.streams.child(f"pretraining-{i}")
        grown = union(labeled, batch)
        pairs = random_pairs(problem, labeled, config.rambo.pairs_per_iteration, draw)
        following = evaluate_pool(call, grown, i + 1, pairs, offline)
        accuracies = (current.accuracy, following.accuracy)
        samples += augment_utility_samples(
            model, problem, labeled, grown, *accuracies, pairs, following.transport
        )
        before = copy.deepcopy(model)
        model = fit_utility_model(
            model,
            problem,
            samples,
            draw,
            bilevel_training=model.config.bilevel.enabled,
            phase=f"pretraining-{i + 1}",
        )
        print(f"  pretraining round {i + 1} of {len(slices)}", flush=True)
        yield Round(labeled, grown, *accuracies, pairs, before, samples, model)
        labeled, current = grown, following
