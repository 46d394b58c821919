"""Other settings of RAMBO+ on clean pools, seed by seed, less what `benchmarks.clean_pool` measured on the same seeds.

    python -m benchmarks.plus_settings [DATASET ...] [--seeds 0 1 ..] [--set PATH=VALUE ..] [--only-show]

Each seed is a run of RAMBO+ alone with the sizes of the preset `quick` below RAMBO_HOME, one trial, begun or gone on
with; `--set` names fields of `plus`. All runs of RAMBO+ found there are added to `plus_settings.json`, whose rows are
named by what they change. All datasets but the shipped one need RAMBO_DATA.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import clean_pool, seeds
from benchmarks.seeds import BySeed
from rambo import __main__ as command
from rambo import checks
from rambo import config as configs
from rambo.config import PlusConfig, presets
from rambo.datasets import catalog
from rambo.datasets.prepared import Prepared
from rambo.runs.results import Result
from rambo.runs.workspace import Workspace, summary

KEPT = Path(__file__).parent / "plus_settings.json"
RIVALS = ("badge", clean_pool.OURS, "RAMBO+, certainty alone", "margin", "rambo", "random")


def main(arguments: Sequence[str] | None = None) -> None:
    """Work through datasets and seeds, and print means, standard errors and paired differences."""
    given = seeds.parse("plus_settings", arguments)
    workspace = Workspace.from_environment()
    settings = [word for pair in given.set for word in ("--set", pair)]
    for dataset in given.datasets:
        for seed in () if given.only_show else given.seeds:
            asked = ["--preset", "quick", "--dataset", dataset, "--seed", str(seed)]
            asked += ["--trials", "1", "--jobs", "1", "--strategy", "rambo-plus", *settings]
            command.main(["run", *asked])
        config = configs.build(presets.quick(dataset))
        sizes = clean_pool.sizes(config)
        data = catalog.prepare(dataset, workspace.root)
        found = seeds.gather(KEPT, sizes, results(workspace, data, config))
        print(f"{dataset}, k = {config.k:,}, B = {config.budget:,}:")
        print(table(found, seeds.gather(clean_pool.KEPT, sizes, {})))


def results(
    workspace: Workspace, data: Prepared, asked: configs.Config
) -> dict[str, dict[int, Result]]:
    """Return the evaluated results of RAMBO+ at these sizes, by what its settings change, then by seed."""
    found: dict[str, dict[int, Result]] = {}
    wanted = checks.with_own_validation(asked, data)
    for run in workspace.runs():
        if run.environment.dataset.fingerprint != data.fingerprint:
            continue
        own = configs.restore(run.config)
        same = {field: getattr(wanted, field) for field in clean_pool.MAY_DIFFER}
        if own.model_copy(update=same) != wanted:
            continue
        for result in summary(run).results:
            if result.strategy == "rambo-plus" and result.test_accuracy is not None:
                found.setdefault(changes(own.plus), {})[result.seed] = result
    return found


def changes(plus: PlusConfig) -> str:
    """Return what differs from the defaults, as the command line writes it."""
    default = PlusConfig().model_dump()
    differing = {k: v for k, v in plus.model_dump().items() if v != default[k]}
    return ", ".join(f"{k}={str(v).lower()}" for k, v in sorted(differing.items())) or "as it is"


def table(found: Mapping[str, BySeed], rivals: Mapping[str, BySeed]) -> str:
    """Return a row for each setting as Markdown, with its test points less each rival's on the same seeds."""
    others = [name for name in RIVALS if name in rivals]
    lines = [f"| plus | trials | test % | {' | '.join(f'less {name}' for name in others)} |"]
    lines.append("| --- " * (3 + len(others)) + "|")
    for name, own in found.items():
        tests = seeds.accuracies(own, lambda one: one.test_accuracy)
        apart = [seeds.gaps(own, rivals[other]) for other in others]
        cells = [name, str(len(tests)), seeds.spread(tests)]
        cells += [seeds.spread(gaps, 1) if gaps else "-" for gaps in apart]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
