"""How often labels are guessed right where f hesitates, and whether guesses order batches as true labels do.

    python -m benchmarks.guesses [DATASET ...] [--seeds 0 1 ..]

The batches are the first b = 50 images that each of six strategies would take. RAMBO+'s ridge fit ranks S_0 with each
of them by its certainty of S_val: with f's guesses as labels, with those of classifiers that have learned the other
half of S_val (`plus.validation=crossed`), and with the true labels. All datasets but the shipped one need RAMBO_DATA;
what a run of RAMBO+ below the same RAMBO_HOME trained is found.
"""

import argparse
import itertools
import statistics
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from rambo import config as configs
from rambo.config import presets
from rambo.datasets import catalog
from rambo.method.acquisition import margins, rank_by
from rambo.method.pools import Selection, union
from rambo.method.ridge import RidgeModel, RidgeView, ridge_view
from rambo.runs.workspace import Workspace
from rambo.seeding import Streams
from rambo.strategies.candidates import RIVALS, candidates
from rambo.strategies.rambo_plus import views_of
from rambo.training.call import Call
from rambo.training.ensemble import Ensemble
from rambo.worker import trial as trials


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a row for each dataset and seed, then means with standard errors."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guesses")
    parser.add_argument("datasets", nargs="*", default=["fashion-mnist-mini"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for dataset in given.datasets:
        rows = []
        for seed in given.seeds:
            rows.append(measure(dataset, seed))
            told = {name: round(value, 2) for name, value in rows[-1].items()}
            print(dataset, seed, told, flush=True)
        for name in rows[0]:
            values = [100 * row[name] for row in rows]
            error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
            print(
                f"{dataset}: {name} {statistics.fmean(values):.0f} +- {error:.0f} % of {len(rows)} seeds"
            )


def measure(dataset: str, seed: int) -> dict[str, float]:
    """Return shares of right guesses, and of pairs of batches in the order that true labels give."""
    workspace = Workspace.from_environment()
    plus = {"weigh": False, "validation": "crossed"}
    config = configs.build({**presets.quick(dataset), "seed": seed, "plus": plus})
    trial = trials.split(config, catalog.prepare(dataset, workspace.root), 0, None)
    problem = trial.problem
    ensemble = Ensemble(problem, config.classifier, seed=trial.seed, memo=workspace.memo())
    streams = Streams(trial.seed).child("rambo-plus")
    call = Call(problem, config.budget, config, streams=streams, ensemble=ensemble)
    predictions = call.predictions()
    whole = ridge_view(problem, predictions.probabilities)
    crossed, _ = views_of(call, whole)
    ranked = rank_by(problem.unlabeled, margins(predictions.probabilities))
    batches = candidates(
        ranked,
        config.acquisition.batch_size,
        predictions,
        "rivals",
        torch.Generator().manual_seed(seed),
        number=len(RIVALS),
        taken=ranked[:0],
        labeled=problem.labeled,
    )
    images = batches.unique()
    labels = trial.reveal(Selection(images, images))
    truth = F.one_hot(labels.clamp_min(0), problem.num_classes)
    sets = [union(problem.labeled, batch) for batch in batches]
    true = certainty((whole.guessed(images, truth),), sets)
    row = {}
    for name in ("margin", "random"):
        batch = batches[RIVALS.index(name)]
        row[f"{name}: f right"] = right((whole,), batch, labels)
        row[f"{name}: crossed right"] = right(crossed, batch, labels)
    row["in order by f"] = in_order(certainty((whole,), sets), true)
    row["in order crossed"] = in_order(certainty(crossed, sets), true)
    return row


def certainty(views: tuple[RidgeView, ...], sets: Sequence[Tensor]) -> Tensor:
    """Return the first statistic of each set."""
    return RidgeModel(views, views[0].certain).utilities(sets)


def right(views: tuple[RidgeView, ...], batch: Tensor, labels: Tensor) -> float:
    """Return the share of a batch whose likeliest class is the true one, mean of the views."""
    hits = [(view.answers[batch].argmax(1) == labels[batch]).float().mean() for view in views]
    return float(torch.stack(hits).mean())


def in_order(scores: Tensor, true: Tensor) -> float:
    """Return the share of pairs of batches that scores put in the order of others."""
    pairs = list(itertools.combinations(range(len(scores)), 2))
    agree = [
        bool((scores[one] > scores[other]) == (true[one] > true[other])) for one, other in pairs
    ]
    return statistics.fmean(agree)


if __name__ == "__main__":
    main()
