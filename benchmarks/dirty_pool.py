"""Dirty pools at one share of foreign images: what is wasted, and what the gate and RAMBO+ make of it.

    python -m benchmarks.dirty_pool [--seeds 0 1 ..] [--foreign 0.4] [--gate classifier] [--set PATH=VALUE ..]

Needs RAMBO_DATA with FashionMNIST and MNIST. The pool is 6,000 images: 7,200 of FashionMNIST's training images less
1,000 for S_val and 200 for S_0, digits in the places of a share of the rest; the test set is all 10,000. Each seed is
a study `dirty-pool` of one trial below RAMBO_HOME, begun or gone on with, so all that was trained before is found. All
runs of that pool which are there count, and are added to `dirty_pool.json`.
"""

import argparse
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks import clean_pool, plus_settings, seeds
from benchmarks.seeds import BySeed
from rambo import __main__ as command
from rambo import config as configs
from rambo.config import presets
from rambo.datasets import catalog
from rambo.datasets.prepared import TEST
from rambo.runs.results import Result
from rambo.runs.workspace import Workspace, summary

KEPT = Path(__file__).parent / "dirty_pool.json"
STRATEGIES = ("margin", "badge", "rambo-plus", "filter-only", "random")
_TRAINING = 7_200


def main(arguments: Sequence[str] | None = None) -> None:
    """Work through the seeds, and print means, standard errors and paired differences."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dirty_pool")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--foreign", type=float, default=0.4)
    parser.add_argument("--gate", choices=("classifier", "transport"), default="classifier")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE")
    parser.add_argument("--only-show", action="store_true", help="print what there is")
    given = parser.parse_args(arguments)
    workspace = Workspace.from_environment()
    archive = clothes(workspace.root)
    dirt = {
        "dataset.corruption.foreign": str(given.foreign),
        "dataset.corruption.foreign_source": "mnist",
    }
    changes = dict(pair.split("=", 1) for pair in given.set)
    settings = {**dirt, "acquisition.gate.by": given.gate, **changes}
    for seed in () if given.only_show else given.seeds:
        asked = ["--dataset", str(archive), "--seed", str(seed), "--trials", "1", "--jobs", "1"]
        for path, value in settings.items():
            asked += ["--set", f"{path}={value}"]
        command.main(["study", "dirty-pool", *asked, "--strategy", *STRATEGIES])
    wanted = presets.quick(str(archive))
    for path, value in (dirt | changes).items():
        configs.assign(wanted, path, value)
    found = results(workspace, configs.build(wanted), given.gate)
    name = f"{archive.name}, {100 * given.foreign:g} % foreign, {given.gate}"
    print(table(seeds.gather(KEPT, name, found)))


def clothes(root: Path) -> Path:
    """Return the archive of FashionMNIST's first 7,200 training images in a fixed random order, and its test set."""
    path = root.absolute() / "clothes.npz"
    if not path.exists():
        data = catalog.prepare("fashion-mnist", root)
        training = np.flatnonzero(data.roles != TEST)
        some = np.sort(np.random.default_rng(0).permutation(len(training))[:_TRAINING])
        parts = {"train": training[some], "test": np.flatnonzero(data.roles == TEST)}
        arrays = {f"{name}_images": data.images[rows, 0] for name, rows in parts.items()}
        arrays |= {f"{name}_labels": data.labels[rows] for name, rows in parts.items()}
        np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def results(
    workspace: Workspace, wanted: configs.Config, gate: str
) -> dict[str, dict[int, Result]]:
    """Return the evaluated results of all runs of that pool at these sizes, by strategy and gate, then by seed."""
    found: dict[str, dict[int, Result]] = {}
    for run in workspace.runs():
        own = configs.restore(run.config)
        by = own.acquisition.gate.by
        # With the gate or without it; how it decides is one of the settings.
        looked = own.acquisition.gate.model_copy(update={"by": wanted.acquisition.gate.by})
        same = {field: getattr(wanted, field) for field in clean_pool.MAY_DIFFER}
        same["acquisition"] = own.acquisition.model_copy(update={"gate": looked})
        if by not in ("off", gate) or own.model_copy(update=same) != wanted:
            continue
        for result in summary(run).results:
            if result.test_accuracy is not None:
                changes = plus_settings.changes(own.plus)
                ours = f"rambo-plus ({changes})" if result.strategy == "rambo-plus" else None
                row = f"{ours or result.strategy}, {'no gate' if by == 'off' else 'gate'}"
                found.setdefault(row, {})[result.seed] = result
    return found


def table(found: Mapping[str, BySeed]) -> str:
    """Return means, and each way of RAMBO+ behind the gate less every other row on the same seeds, as Markdown."""
    lines = ["| | labels wasted | test % | trials |", "| --- | --- | --- | --- |"]
    for row, by_seed in sorted(found.items()):
        wasted = [str(by_seed[seed].figures.get(seeds.WASTED, "-")) for seed in sorted(by_seed)]
        tests = seeds.accuracies(by_seed, lambda one: one.test_accuracy)
        lines.append(f"| {row} | {', '.join(wasted)} | {seeds.spread(tests)} | {len(tests)} |")
    lines += ["", "| paired difference | test points | trials |", "| --- | --- | --- |"]
    asked = [
        (first, second)
        for first, second in itertools.permutations(sorted(found), 2)
        if first.startswith("rambo-plus") and first.endswith(", gate")
    ]
    asked += [(f"{name}, gate", f"{name}, no gate") for name in STRATEGIES if name != "rambo-plus"]
    for first, second in asked:
        apart = seeds.gaps(found.get(first, {}), found.get(second, {}))
        if apart:
            lines.append(f"| {first} - {second} | {seeds.spread(apart, 1)} | {len(apart)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
