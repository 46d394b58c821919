"""Clean pools: RAMBO+ with each part left out, its controls, RAMBO and its rivals, seed by seed.

    python -m benchmarks.clean_pool [DATASET ...] [--seeds 0 1 ..] [--set PATH=VALUE ..] [--only-show]

Each seed is a study `plus` of one trial with the sizes of the preset `quick` below RAMBO_HOME, begun or gone on with;
`benchmarks.ranking` of the same seeds and 60 pairs leaves most of its offline trainings there. What is measured is
added to `clean_pool.json`. All datasets but the shipped one need RAMBO_DATA.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import seeds
from benchmarks.seeds import BySeed
from rambo import __main__ as command
from rambo import checks
from rambo import config as configs
from rambo.config import presets
from rambo.datasets import catalog
from rambo.datasets.prepared import Prepared
from rambo.runs.results import Result
from rambo.runs.workspace import Workspace
from rambo.studies.grid import PLUS

KEPT = Path(__file__).parent / "clean_pool.json"
OURS = f"RAMBO+, {PLUS}"
MAY_DIFFER = ("strategies", "plus", "seed", "trials", "compute")


def main(arguments: Sequence[str] | None = None) -> None:
    """Work through datasets and seeds, and print means, standard errors and paired differences."""
    given = seeds.parse("clean_pool", arguments)
    workspace = Workspace.from_environment()
    settings = [word for pair in given.set for word in ("--set", pair)]
    for dataset in given.datasets:
        wanted = presets.quick(dataset)
        for pair in given.set:
            configs.assign(wanted, *pair.split("=", 1))
        for seed in () if given.only_show else given.seeds:
            asked = ["--preset", "quick", "--dataset", dataset, "--seed", str(seed)]
            asked += ["--trials", "1", "--jobs", "1", *settings]
            command.main(["study", "plus", *asked])
        config = configs.build(wanted)
        print(f"{dataset}, k = {config.k:,}, B = {config.budget:,}:")
        data = catalog.prepare(dataset, workspace.root)
        print(table(seeds.gather(KEPT, sizes(config), results(workspace, data, config))))


def results(
    workspace: Workspace, data: Prepared, asked: configs.Config
) -> dict[str, dict[int, Result]]:
    """Return the evaluated results of all studies of these sizes, by strategy or cell, then by seed."""
    found: dict[str, dict[int, Result]] = {}
    wanted = checks.with_own_validation(asked, data)  # as a study keeps them
    for label, settings, result in seeds.evaluated(workspace, "plus", data.fingerprint):
        own = configs.restore(settings)
        # Who chooses, the seed and the machine may differ; all else has to be what was asked for.
        same = {field: getattr(wanted, field) for field in MAY_DIFFER}
        if own.model_copy(update=same) == wanted:
            name = f"RAMBO+, {label}" if result.strategy == "rambo-plus" else result.strategy
            found.setdefault(name, {})[result.seed] = result
    return found


def sizes(config: configs.Config) -> str:
    """Return what a reader sees of the settings, and a digest of all that the seeds must share."""
    settings = config.model_dump(mode="json", exclude=set(MAY_DIFFER))
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    return f"{config.dataset.name}, k = {config.k}, B = {config.budget}, settings {digest}"


def table(found: Mapping[str, BySeed]) -> str:
    """Return a row for each strategy and cell as Markdown, the best first, with RAMBO+ less it on the same seeds."""
    lines = ["| strategy | test % | validation % | trials | RAMBO+ less it, test points |"]
    lines.append("| --- | --- | --- | --- | --- |")
    tests = {
        name: seeds.accuracies(own, lambda one: one.test_accuracy) for name, own in found.items()
    }
    for name in sorted(found, key=lambda name: -sum(tests[name]) / len(tests[name])):
        judged = seeds.accuracies(found[name], lambda one: one.validation_accuracy)
        apart = seeds.gaps(found.get(OURS, {}), found[name]) if name != OURS else []
        cells = [name, seeds.spread(tests[name]), seeds.spread(judged) if judged else "-"]
        cells += [str(len(tests[name])), seeds.spread(apart, 1) if apart else ""]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
