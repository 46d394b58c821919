"""How often true pairs are put in order: by a second training, by RAMBO+'s statistics, and by the paper's warm u_hat.

    python -m benchmarks.ranking [DATASET ...] [--seeds 0 1 ..] [--pairs 60] [--without-network]

Needs RAMBO_DATA for all datasets but the shipped one. Trains two classifiers for each set of each pair into the memory
below RAMBO_HOME, so it goes on where it was stopped, and a run of the same seed and number of pairs finds them again.
What was measured once stands in `true_pairs.json`, so another statistic is tried on the same pairs in seconds.
"""

import argparse
import hashlib
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rambo import config as configs
from rambo.config import presets
from rambo.datasets import catalog
from rambo.events import ignore
from rambo.method import losses
from rambo.method.pools import Problem
from rambo.method.ridge import STATISTICS, fit_weights, in_units_of_pairs, ridge_view
from rambo.method.utility_model import create_utility_model, fit_utility_model, predict_subsets
from rambo.method.utility_samples import Pair, UtilitySamples, random_pairs
from rambo.runs.workspace import Workspace
from rambo.seeding import Streams
from rambo.training.ensemble import Ensemble
from rambo.worker import trial as trials

KEPT = Path(__file__).parent / "true_pairs.json"
PARTS = 5  # every pair is judged by what learned from the other four parts
Row = dict[str, float | int | str]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table of the datasets and seeds that were asked for, with means."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ranking")
    parser.add_argument("datasets", nargs="*", default=["fashion-mnist-mini"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument(
        "--without-network", action="store_true", help="leave the paper's u_hat out"
    )
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = []
    for dataset in given.datasets:
        for seed in given.seeds:
            rows.append(measure(dataset, seed, given.pairs, network=not given.without_network))
            print(rows[-1], flush=True)
        own = [row for row in rows if row["dataset"] == dataset]
        for name in [name for name, value in own[0].items() if isinstance(value, float)]:
            values = [float(row[name]) for row in own]
            error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
            spread = "" if error is None else f" +- {100 * error:.1f}"
            print(
                f"{dataset}: {name} {100 * statistics.fmean(values):.1f}{spread} % of {len(values)} seeds"
            )


def measure(dataset: str, seed: int, count: int, *, network: bool) -> Row:
    """Return the share of pairs in true order, against each of two trainings and their mean of both shares."""
    workspace = Workspace.from_environment()
    settings = presets.quick(dataset)
    settings["rambo"]["offline"]["pairs"] = count
    config = configs.build({**settings, "seed": seed})
    trial = trials.split(config, catalog.prepare(dataset, workspace.root), 0, None)
    problem = trial.problem
    ensemble = Ensemble(problem, config.classifier, seed=trial.seed, memo=workspace.memo())
    pairs, utilities = offline_pairs(ensemble, dataset, seed, count)
    subsets = [subset for pair in pairs for subset in pair]
    row: Row = {"dataset": dataset, "seed": seed, "pairs": count}
    agreed = losses.agreement(utilities[:, :, 0], utilities[:, :, 1])
    row["two trainings"] = float("nan") if agreed is None else agreed
    view = in_units_of_pairs(ridge_view(problem), pairs)
    told = view.statistics(subsets).view(count, 2, -1)
    for place, name in enumerate(STATISTICS):
        row[name] = share(told[:, :, place], utilities)
    row["learned weights"] = share(_weighed(told, utilities), utilities)
    row["close pairs twice"] = share(_weighed(told, utilities, close_twice=True), utilities)
    half = torch.randperm(len(problem.validation), generator=Streams(seed).torch("halves"))
    part = in_units_of_pairs(ridge_view(problem).part(half[: len(half) // 2]), pairs)
    told_by_half = part.statistics(subsets).view(count, 2, -1)
    row["learned on half of S_val"] = share(_weighed(told_by_half, utilities), utilities)
    if network:
        row["paper's u_hat, warm"] = share(_asked(problem, config, pairs, utilities), utilities)
    return row


def offline_pairs(
    ensemble: Ensemble, dataset: str, seed: int, count: int
) -> tuple[tuple[Pair, ...], Tensor]:
    """Return the pairs that RAMBO's offline initialisation draws, and their true utilities `p x 2 x 2`."""
    problem, streams = ensemble.problem, Streams(ensemble.seed).child("rambo").child("offline")
    pairs = random_pairs(problem, problem.labeled, count, streams)
    subsets = [subset for pair in pairs for subset in pair]
    return pairs, true_utilities(ensemble, subsets, f"{dataset}, seed {seed}, {count} pairs")


def true_utilities(
    ensemble: Ensemble, subsets: Sequence[Tensor], name: str, labels: Tensor | None = None
) -> Tensor:
    """Return the validation accuracies of two trainings of both sets of each pair, `p x 2 x 2`: set, training.

    Args:
        ensemble: trains what is not in the file of those that were measured.
        subsets: the sets of the pairs in turn.
        name: of these pairs in the file.
        labels: class ids of all `N`, where some of the sets were not bought.
    """
    digest = hashlib.sha256(
        json.dumps(
            [
                ensemble.problem.fingerprint,
                ensemble.seed,
                ensemble.config.model_dump(mode="json"),
                [subset.tolist() for subset in subsets],
            ]
        ).encode()
    ).hexdigest()
    known = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    if known.get(name, {}).get("sha256") != digest:
        units = [
            ensemble.fit_unit(subset, role, i, labels=labels)
            for i, subset in enumerate(subsets)
            for role in ("offline", "repeat")
        ]
        outcomes = ensemble.run(units, ignore, lambda: None)
        accuracies = [outcome.training.accuracies["validation"] for outcome in outcomes]
        known = json.loads(KEPT.read_text()) if KEPT.exists() else {}  # others may have written
        known[name] = {"sha256": digest, "accuracies": accuracies}
        lines = [f"{json.dumps(key)}: {json.dumps(known[key])}" for key in sorted(known)]
        KEPT.write_text("{" + ",\n".join(lines) + "}\n")
    return torch.tensor(known[name]["accuracies"], dtype=torch.float64).view(-1, 2, 2)


def share(scores: Tensor, utilities: Tensor) -> float:
    """Return the share of pairs that scores `p x 2` put in the order of one training, mean of both."""
    both = [losses.ranking_accuracy(scores, utilities[:, :, i]) for i in range(2)]
    return statistics.fmean(one for one in both if one is not None)


def _parts(count: int) -> list[tuple[Tensor, Tensor]]:
    """Return for each part the pairs to learn from and those to judge."""
    order = torch.arange(count)
    return [(order[order % PARTS != part], order[order % PARTS == part]) for part in range(PARTS)]


def _weighed(told: Tensor, utilities: Tensor, *, close_twice: bool = False) -> Tensor:
    """Return scores by weights learned on other pairs: on first trainings, on the mean of both for the closer half."""
    scores = torch.zeros(len(told), 2)
    for others, part in _parts(len(told)):
        learned = utilities[others, :, 0].clone()
        if close_twice:
            apart = (learned[:, 0] - learned[:, 1]).abs()
            closest = apart.argsort(stable=True)[: len(others) // 2]
            learned[closest] = utilities[others[closest]].mean(2)
        scores[part] = told[part] @ fit_weights(told[others], learned)
    return scores


def _asked(
    problem: Problem, config: configs.Config, pairs: tuple[Pair, ...], utilities: Tensor
) -> Tensor:
    """Return scores by a u_hat that was warm-started on the first trainings of other pairs, OT off."""
    settings: Any = config.rambo.utility_model.model_copy(update={"transport": False})
    nothing = torch.ones(len(pairs), 2, dtype=torch.float64)
    samples = UtilitySamples(pairs, utilities[:, :, 0], nothing)
    scores = torch.zeros(len(pairs), 2)
    for number, (others, part) in enumerate(_parts(len(pairs))):
        streams = Streams(config.seed).child(f"part-{number}")
        model = fit_utility_model(
            create_utility_model(problem, settings, streams),
            problem,
            samples.take(others),
            streams,
            bilevel_training=False,
            phase="offline",
        )
        asked = samples.take(part).subsets
        scores[part] = predict_subsets(model, problem, asked).utility.view(-1, 2)
    return scores


if __name__ == "__main__":
    main()
