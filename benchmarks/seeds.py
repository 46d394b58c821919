"""What the accuracy benchmarks share: a study a seed, so results grow seed by seed, and means that pair the seeds."""

import argparse
import json
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rambo import config as configs
from rambo.runs import report
from rambo.runs.results import Result
from rambo.runs.workspace import Workspace, summary
from rambo.studies import study

BySeed = Mapping[int, Result]
WASTED = "labels wasted"


def parse(name: str, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what was asked for: `datasets`, `seeds`, `set` and `only_show`.

    Args:
        name: of the benchmark.
        arguments: of the command line; those of the process if not given.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument("datasets", nargs="*", default=["fashion-mnist"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE")
    parser.add_argument("--only-show", action="store_true", help="print what there is")
    return parser.parse_args(arguments)


def evaluated(
    workspace: Workspace, name: str, fingerprint: str
) -> Iterator[tuple[str, configs.Settings, Result]]:
    """Yield cell, settings and result of everything that the studies of one dataset have evaluated.

    Args:
        workspace: whose studies are asked.
        name: of the study.
        fingerprint: of the prepared dataset.
    """
    for told in study.workspace_of(workspace).runs():
        same = told.environment.dataset.fingerprint == fingerprint
        if told.config.get("study") != name or not same:
            continue
        for label, run in study.runs(told).items():
            config = run.config
            for result in summary(run).results:
                if result.test_accuracy is not None:
                    yield label, config, result


def gather(path: Path, sizes: str, found: Mapping[str, BySeed]) -> dict[str, dict[int, Result]]:
    """Return results of the same sizes that were measured anywhere, and keep those found here among them.

    A night on one machine and a night on another count together, so a file of accuracies goes with the project.

    Args:
        path: of the file, JSON: sizes, row, seed, then validation and test accuracy, and labels wasted where told.
        sizes: names the data and the settings under which the seeds are alike.
        found: by row, then by seed.
    """
    kept = json.loads(path.read_text()) if path.exists() else {}
    rows = kept.setdefault(sizes, {})
    for row, by_seed in found.items():
        for seed, result in by_seed.items():
            values = [result.validation_accuracy, result.test_accuracy]
            if WASTED in result.figures:
                values.append(result.figures[WASTED])
            rows.setdefault(row, {})[str(seed)] = values
    if found:
        path.write_text(_lines({size: _lines(kept[size]) for size in kept}) + "\n")
    return {
        row: {
            int(seed): Result(
                trial=0,
                strategy=row,
                seed=int(seed),
                validation_accuracy=values[0],
                test_accuracy=values[1],
                figures=dict(zip([WASTED], values[2:], strict=False)),
            )
            for seed, values in by_seed.items()
        }
        for row, by_seed in rows.items()
    }


def _lines(values: Mapping[str, Any]) -> str:
    """Return a JSON object with a line for each value; a text is an object already."""
    texts = {
        key: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        for key, value in values.items()
    }
    return "{" + ",\n".join(f"{json.dumps(key)}: {texts[key]}" for key in sorted(texts)) + "}"


def gaps(ours: BySeed, theirs: BySeed) -> list[float]:
    """Return the differences in test points of the seeds that both have."""
    both = sorted(set(ours) & set(theirs))
    pairs = [(ours[seed].test_accuracy, theirs[seed].test_accuracy) for seed in both]
    return [100 * (mine - other) for mine, other in pairs if mine is not None and other is not None]


def accuracies(found: BySeed, of: Callable[[Result], float | None]) -> list[float]:
    """Return the accuracies there are, in order of the seeds."""
    values = [of(found[seed]) for seed in sorted(found)]
    return [value for value in values if value is not None]


def spread(values: Iterable[float], scale: float = 100) -> str:
    """Return `82.3 +- 0.3`, mean and standard error."""
    scaled = [scale * value for value in values]
    error = f" +- {report.standard_error(scaled):.1f}" if len(scaled) > 1 else ""
    return f"{statistics.fmean(scaled):.1f}{error}"
