"""Measure, render, compare.

python -m benchmarks [NAME ...] [--out FILE]                     measure, and write RESULTS.md
python -m benchmarks render                                      write RESULTS.md again
python -m benchmarks compare OLD.json NEW.json [--fail-below P]  what got faster or slower
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import compare, report, results
from benchmarks.child import CANNOT

NAMES = (
    "classifier_training",
    "members",
    "transport",
    "set_model",
    "bilevel",
    "acquisition",
    "strategies",
    "backends",
)
ASKED = {  # run when they are named
    "app": "needs Chromium, takes ten minutes",
    "own_images": "writes and imports 10,000 photos, takes ten minutes",
    "sessions": "takes six minutes; twenty people at one server",
    "protocol": "needs RAMBO_DATA, takes an hour on two cores; runs where there is a GPU",
    "protocol_cifar10": "needs RAMBO_DATA and a GPU",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for, and return the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if given[:1] == ["compare"]:
            return _compare(given[1:])
        if given == ["render"]:
            report.render_folder()
            return 0
        return _measure(given)
    except results.ResultError as error:
        print(error, file=sys.stderr)
        return 2


def _compare(given: Sequence[str]) -> int:
    """Compare two result files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks compare")
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument(
        "--fail-below", type=float, metavar="PERCENT", help="exit 1 if slower by more"
    )
    options = parser.parse_args(given)
    return compare.show(results.read(options.old), results.read(options.new), options.fail_below)


def _measure(given: Sequence[str]) -> int:
    """Run benchmarks one after the other; what one found is kept before the next begins."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join((*NAMES, *ASKED)))
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="default: a file named after the device"
    )
    options = parser.parse_args(given)
    if unknown := set(options.names) - {*NAMES, *ASKED}:
        parser.error(
            f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join((*NAMES, *ASKED))}"
        )
    machine = results.machine_facts()
    path = options.out or results.default_path(machine)
    names = options.names or [*NAMES, *["protocol"] * bool(machine["gpu"])]
    kept = results.read(path) if path.exists() else results.Results(machine, {})
    kept = kept.merged(results.Results(machine, {}))
    failed = []
    for number, name in enumerate(names, 1):
        print(f"{number}/{len(names)} {name} ... ", end="", flush=True)
        started = time.perf_counter()
        found = _in_a_child(name)
        if isinstance(found, str):
            print(found)
            failed += [name] * found.startswith("FAILED")
            continue
        kept = kept.merged(found)
        results.write(path, kept)
        print(f"{time.perf_counter() - started:.0f} s", flush=True)
    if not options.names:
        for name in [n for n in ASKED if n not in names]:
            print(f"not run unless named: {name} ({ASKED[name]})")
    print(f"kept in {path}")
    if path.resolve().parent == results.FOLDER:
        report.render_folder()
    return int(bool(failed))


def _in_a_child(name: str) -> results.Results | str:
    """Return what one benchmark finds in a fresh process, or in words why it found nothing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "found.json"
        command = [sys.executable, "-m", "benchmarks.child", name, str(path)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode == 0:
            return results.read(path)
    if done.returncode == CANNOT:
        return f"skipped: {done.stdout.strip()}"
    return f"FAILED with exit status {done.returncode}"


if __name__ == "__main__":
    sys.exit(main())
