"""How often the candidate batches of Algorithm 2 are put in the order that training finds.

    python -m benchmarks.candidates [DATASET ...] [--seeds 0 1 ..] [--pairs 60]

The M smallest margins are cut into batches of b at random, again and again, and the batches of one cut are paired, so
the two of a pair share no image. S_0 with each of them is trained twice with its true labels. The weights of RAMBO+
come from the offline pairs of `benchmarks.ranking`; the paper's u_hat is the one that a run of `benchmarks.clean_pool`
below the same RAMBO_HOME chose with, after its rounds, and is left out where there is none.
"""

import argparse
import statistics
from collections.abc import Sequence

import torch
from torch import Tensor

from benchmarks import ranking
from rambo import config as configs
from rambo.config import presets
from rambo.datasets import catalog
from rambo.method import losses
from rambo.method.acquisition import margins, random_chunks, rank_by
from rambo.method.pools import Selection, union
from rambo.method.ridge import fit_weights, in_units_of_pairs, ridge_view
from rambo.runs import whatif
from rambo.runs.workspace import Run, Workspace
from rambo.seeding import Streams
from rambo.studies import study
from rambo.training.ensemble import Ensemble
from rambo.worker import trial as trials

OFFLINE = 60  # pairs that teach the weights, as in `benchmarks.ranking`


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a row for each dataset and seed, then the means."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.candidates")
    parser.add_argument("datasets", nargs="*", default=["fashion-mnist-mini"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--pairs", type=int, default=60)
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for dataset in given.datasets:
        rows = []
        for seed in given.seeds:
            rows.append(measure(dataset, seed, given.pairs))
            print(
                dataset,
                seed,
                {name: round(value, 3) for name, value in rows[-1].items()},
                flush=True,
            )
        for name in rows[0]:
            values = [row[name] for row in rows if name in row]
            print(
                f"{dataset}: {name} {100 * statistics.fmean(values):.1f} % of {len(values)} seeds"
            )


def measure(dataset: str, seed: int, count: int) -> dict[str, float]:
    """Return the share of pairs in true order by who ranks them, and how far two utilities of a pair lie apart."""
    workspace = Workspace.from_environment()
    config = configs.build({**presets.quick(dataset), "seed": seed})
    data = catalog.prepare(dataset, workspace.root)
    trial = trials.split(config, data, 0, None)
    problem = trial.problem
    ensemble = Ensemble(problem, config.classifier, seed=trial.seed, memo=workspace.memo())
    probabilities = ensemble.predict_pools(lambda event: None).probabilities
    scores = margins(probabilities)
    filtered = rank_by(problem.unlabeled, scores)[: config.acquisition.filtered]
    pairs = batch_pairs(filtered, config.acquisition.batch_size, count, Streams(trial.seed))
    batches = [batch for pair in pairs for batch in pair]
    sets = [union(problem.labeled, batch) for batch in batches]
    labels = trial.reveal(Selection(filtered, filtered))
    name = f"{dataset}, seed {seed}, {count} pairs of candidates"
    utilities = ranking.true_utilities(ensemble, sets, name, labels)
    agreed = losses.agreement(utilities[:, :, 0], utilities[:, :, 1])
    row = {"two trainings": float("nan") if agreed is None else agreed}
    row["smaller margins"] = ranking.share(
        -torch.stack([scores[batch].mean() for batch in batches]).view(-1, 2), utilities
    )
    for kind, told in by_set(ensemble, probabilities, sets, dataset, seed).items():
        row[kind] = ranking.share(told.view(-1, 2), utilities)
    if (run := _trained(workspace, data.fingerprint, config)) is not None:
        u_hat = whatif.load(run, 0).predict([members.numpy() for members in sets])
        row["the paper's u_hat"] = ranking.share(torch.from_numpy(u_hat).view(-1, 2), utilities)
    means = utilities.mean(2)
    row["mean gap of a pair"] = float((means[:, 0] - means[:, 1]).abs().mean())
    return row


def batch_pairs(
    filtered: Tensor, size: int, count: int, streams: Streams
) -> list[tuple[Tensor, Tensor]]:
    """Return pairs of batches without a common image, as the cuts of one greedy step have them.

    Args:
        filtered: the M smallest margins.
        size: b.
        count: of pairs.
        streams: decides the cuts.
    """
    pairs: list[tuple[Tensor, Tensor]] = []
    cut = 0
    while len(pairs) < count:
        batches = random_chunks(filtered, size, streams.torch(f"candidates-{cut}"))
        pairs += list(zip(batches[::2], batches[1::2], strict=False))
        cut += 1
    return pairs[:count]


def by_set(
    ensemble: Ensemble,
    probabilities: Tensor,
    sets: Sequence[Tensor],
    dataset: str,
    seed: int,
) -> dict[str, Tensor]:
    """Return what RAMBO+ says of each set: by certainty alone, and by weights learned on the offline pairs."""
    pairs, utilities = ranking.offline_pairs(ensemble, dataset, seed, OFFLINE)
    view = in_units_of_pairs(ridge_view(ensemble.problem, probabilities), pairs)
    subsets = [subset for pair in pairs for subset in pair]
    weights = fit_weights(view.statistics(subsets).view(OFFLINE, 2, -1), utilities[:, :, 0])
    told = view.statistics(sets)
    return {"certainty": told @ view.certain, "learned weights (RAMBO+)": told @ weights}


def _trained(workspace: Workspace, fingerprint: str, config: configs.Config) -> Run | None:
    """Return the run of a study whose u_hat chose in this trial, or None."""
    for told in study.workspace_of(workspace).runs():
        if told.environment.dataset.fingerprint != fingerprint:
            continue
        for run in study.runs(told).values():
            own = configs.restore(run.config)
            if own.seed == config.seed and any(one.strategy == "rambo" for one in run.results()):
                return run
    return None


if __name__ == "__main__":
    main()
