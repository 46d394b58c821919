"""Accuracy against labels, in the settings of the run that comes along.

    python -m benchmarks.label_curve [--strategies random margin ..] [--budgets 0 100 300 400] [--repeats 1]

Writes `data/finished/label_curve.json`, which Home and Compare draw. Every strategy takes its images one step after the
other, so the first images of a choice are what it would have chosen with the smaller budget. A larger budget is that
of random images alone: those of the run, and more of the same pool. What was trained before is found again in the
memory below RAMBO_HOME.
"""

import argparse
import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rambo import config as configs
from rambo.config import Config
from rambo.datasets import catalog
from rambo.events import ignore
from rambo.method.pools import without
from rambo.runs import travel
from rambo.runs.results import Result
from rambo.runs.workspace import Run, Workspace
from rambo.seeding import Streams
from rambo.storage import places
from rambo.training.ensemble import Ensemble
from rambo.worker import trial as trials
from rambo.worker.trial import Trial

BUDGETS = (0, 100, 300, 400)
_LUCK = "random"
_FIRST = 10_000  # place of the first training among those of its role


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.label_curve")
    parser.add_argument("--strategies", nargs="+", default=None)
    parser.add_argument("--budgets", nargs="+", type=int, default=list(BUDGETS))
    parser.add_argument("--repeats", type=int, default=None, help="trainings; those of the run")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    path = places.finished_run()
    assert path is not None
    workspace = Workspace.from_environment()
    if path.stem not in workspace.ids():
        travel.unpack(path, workspace)
    run = workspace.find(path.stem)
    config = configs.restore(run.config)
    names = given.strategies or list(config.strategies)
    rows = [
        {"strategy": result.strategy, "budget": config.budget, "trial": result.trial}
        | {"test_accuracies": result.test_trainings}
        for result in run.results()
    ]
    for number in range(config.trials):
        rows += _measure(workspace, run, config, number, names, given)
        print(f"trial {number + 1} of {config.trials}", flush=True)
    rows.sort(key=lambda row: (row["strategy"], row["budget"], row["trial"]))
    table = {
        "made_by": "python -m benchmarks.label_curve",
        "run": run.id,
        "k": config.k,
        "budget": config.budget,
        "accuracies": rows,
    }
    lines = ",\n".join(json.dumps(row) for row in rows)
    head = json.dumps({**table, "accuracies": []}).removesuffix("[]}")
    target = path.with_name("label_curve.json")
    target.write_text(f"{head}[\n{lines}\n]}}\n", "utf-8")
    print(target)


def _measure(
    workspace: Workspace,
    run: Run,
    config: Config,
    number: int,
    names: Sequence[str],
    given: argparse.Namespace,
) -> list[dict[str, Any]]:
    """Return the test accuracies of a trial: of each strategy with each smaller budget, of random with larger ones."""
    trial = trials.split(config, catalog.prepare(config.dataset.name, workspace.root), number, None)
    assert trial.oracle is not None
    ensemble = Ensemble(
        trial.problem, config.classifier, seed=trial.seed, memo=workspace.memo(), jobs=1
    )
    chosen = {r.strategy: r for r in run.results() if r.trial == number and r.strategy in names}
    cells = [
        (name, budget, _first(trial, result, budget))
        for budget in given.budgets
        for name, result in chosen.items()
        if (0 < budget < config.budget) or name == _LUCK
    ]
    test, repeats = (
        (trial.test, trial.oracle[trial.test]),
        given.repeats or config.evaluation.repeats,
    )
    units: list[Any] = []
    for place, (_, _, images) in enumerate(cells):
        grown, labels = trial.grow(images)
        units += [
            ensemble.fit_unit(
                grown, "evaluation", _FIRST + place, labels=labels, test=test, repeat=r
            )
            for r in range(repeats)
        ]
    outcomes = ensemble.run(units, ignore, lambda: print(".", end="", flush=True))
    accuracies = [outcome.training.accuracies["test"] for outcome in outcomes]
    return [
        {"strategy": name, "budget": budget, "trial": number}
        | {"test_accuracies": accuracies[place * repeats : (place + 1) * repeats]}
        for place, (name, budget, _) in enumerate(cells)
    ]


def _first(trial: Trial, result: Result, budget: int) -> Tensor:
    """Return the first images of a choice, and where it has not enough of them, more at random."""
    chosen = torch.tensor(result.selected)
    rest = without(trial.offer.unlabeled, chosen)
    streams = Streams(trial.seed).child("label curve")
    more = rest[torch.randperm(len(rest), generator=streams.torch("more"))]
    return torch.cat([chosen, more])[:budget]


if __name__ == "__main__":
    main()
