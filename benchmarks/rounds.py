"""What RAMBO's rounds do to its ranking, as in the paper and with each change that keeps them from unlearning.

    python -m benchmarks.rounds [DATASET ..] [--seeds 0 1 ..] [--pairs 60] [--cells LABEL ..] [--proxy]

Needs RAMBO_DATA for all datasets but the shipped one. Trains what the offline initialisation of the preset `quick`
trains, two in five of its pairs held out, into the memory below RAMBO_HOME: `benchmarks.ranking` of the same seeds
leaves all but two trainings a seed there. With `--proxy` f is a logistic head on frozen features, hundreds a second.
No image is chosen.
"""

import argparse
import statistics
from collections.abc import Mapping, Sequence

import torch

from rambo import checks
from rambo import config as configs
from rambo.algorithm import pretrain
from rambo.config import presets
from rambo.datasets import catalog
from rambo.datasets.features import frozen_features
from rambo.events import Event, RankingAudited
from rambo.runs.workspace import Workspace
from rambo.seeding import Streams
from rambo.studies.grid import ROUNDS, lay
from rambo.training.call import Call
from rambo.training.ensemble import Ensemble
from rambo.worker import trial as trials

_HELD_OUT = 0.4  # of the pairs: 24 of 60 a seed


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the share of held-out pairs in true order after each phase, seed by seed, and means."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rounds")
    parser.add_argument("datasets", nargs="*", default=["fashion-mnist-mini"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--cells", nargs="+", choices=tuple(ROUNDS), default=list(ROUNDS))
    parser.add_argument("--proxy", action="store_true", help="f is a logistic head")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for dataset in given.datasets:
        found: dict[tuple[str, str], list[float]] = {}
        for seed in given.seeds:
            for label in given.cells:
                changes = ROUNDS[label]
                if given.proxy:
                    changes = lay(changes, {"classifier": {"name": "logistic"}})
                for phase, share in measure(dataset, seed, given.pairs, changes).items():
                    found.setdefault((label, phase), []).append(share)
                    print(
                        f"{dataset}, seed {seed}, {label}, {phase}: {100 * share:.1f}", flush=True
                    )
        print(table(found))


def measure(dataset: str, seed: int, pairs: int, changes: configs.Settings) -> Mapping[str, float]:
    """Return the share of held-out pairs in true order after each phase."""
    workspace = Workspace.from_environment()
    offline = {"pairs": pairs, "held_out": _HELD_OUT, "repeated_pairs": 0}
    settings = lay(presets.quick(dataset), {"seed": seed, "rambo": {"offline": offline}})
    config = configs.build(lay(settings, changes))
    data = catalog.prepare(dataset, workspace.root)
    features, file = None, ""
    if checks.wants_features(config, data):
        values, _ = frozen_features(data, config.dataset, data_root=None, device="cpu")
        features, file = torch.from_numpy(values), str(getattr(values, "filename", ""))
    problem = trials.split(config, data, 0, features, file).problem
    ensemble = Ensemble(problem, config.classifier, seed=seed, memo=workspace.memo())
    heard: list[Event] = []
    call = Call(
        problem,
        config.budget,
        config,
        streams=Streams(seed).child("rambo"),
        ensemble=ensemble,
        emit=heard.append,
    )
    pretrain(call)
    return {
        event.phase: event.accuracy
        for event in heard
        if isinstance(event, RankingAudited) and event.accuracy is not None
    }


def table(found: Mapping[tuple[str, str], Sequence[float]]) -> str:
    """Return means and standard errors as Markdown, a row a cell."""
    phases = list(dict.fromkeys(phase for _, phase in found))
    lines = [f"| rounds | {' | '.join(phases)} | seeds |", f"| --- |{' --- |' * (len(phases) + 1)}"]
    for label in dict.fromkeys(label for label, _ in found):
        own = [found[label, phase] for phase in phases if (label, phase) in found]
        cells = " | ".join(_spread(values) for values in own)
        lines.append(f"| {label} | {cells} | {len(own[0])} |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    """Return `66.0 +- 2.1` in percent."""
    mean = f"{100 * statistics.fmean(values):.1f}"
    if len(values) < 2:
        return mean
    return f"{mean} +- {100 * statistics.stdev(values) / len(values) ** 0.5:.1f}"


if __name__ == "__main__":
    main()
