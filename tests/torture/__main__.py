"""The campaign: python tests/torture [--size minutes|night] [--seed N] [--only NAME ...] [--write]

Injects faults, says what survived them, and exits 1 where one did not. With `--write` the table in docs/reliability.md
is made from what came out. Sizes are numbers of faults; `--NAME N` sets one.
"""

import argparse
import importlib
import os
import platform
import re
import sys
import time
import warnings
from pathlib import Path

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["PYTHONWARNINGS"] = "ignore"  # of semaphores that a killed process leaves
HERE = Path(__file__).resolve().parent
sys.path[:0] = [
    str(HERE),
    str(HERE.parent),
    str(HERE.parent / "collection"),
    str(HERE.parent.parent),
]

import shim  # noqa: E402
from common import ROOT, Tally  # noqa: E402

SIZES = {  # campaign -> faults in minutes, faults in a night
    "writes": (200, 4000),
    "crashes": (300, 4000),
    "flips": (150, 2000),
    "fuzz": (4000, 60000),
    "sessions": (40, 500),
    "kills": (20, 240),
}


def main() -> int:
    """Run the campaigns and print their table."""
    parser = argparse.ArgumentParser(prog="python tests/torture", description=__doc__)
    parser.add_argument("--size", choices=("minutes", "night"), default="minutes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/reliability.md"
    )
    for campaign in SIZES:
        parser.add_argument(f"--{campaign}", type=int, metavar="N")
    options = parser.parse_args()
    shim.reload_with_it()
    warnings.simplefilter("ignore")
    begun, tallies = time.monotonic(), list[Tally]()
    for campaign in options.only:
        size = getattr(options, campaign)
        limit = SIZES[campaign][options.size == "night"] if size is None else size
        print(f"{campaign}: {limit:,} faults, seed {options.seed}", file=sys.stderr, flush=True)
        tallies += importlib.import_module(campaign).run(limit, options.seed)
    table = render(tallies, options.seed, time.monotonic() - begun)
    print(table)
    if options.write:
        page = ROOT / "docs" / "reliability.md"
        text = page.read_text("utf-8")
        part = re.compile(r"(<!-- campaign -->\n).*?(<!-- /campaign -->)", re.DOTALL)
        page.write_text(part.sub(lambda match: match[1] + table + match[2], text), "utf-8")
    return 1 if any(tally.failures for tally in tallies) else 0


def render(tallies: list[Tally], seed: int, seconds: float) -> str:
    """Return the table as Markdown."""
    injected, survived = sum(t.injected for t in tallies), sum(t.survived for t in tallies)
    lines = ["| fault | right is | injected | survived |", "| --- | --- | ---: | ---: |"]
    lines += [f"| {t.fault} | {t.right} | {t.injected:,} | {t.survived:,} |" for t in tallies]
    lines.append(f"| **all** | | **{injected:,}** | **{survived:,}** |")
    load = os.getloadavg()[0]
    where = (
        f"Seed {seed}, {seconds / 60:.0f} minutes on {os.cpu_count()} cores with a load of {load:.0f} (other work ran "
        f"beside it), Python {platform.python_version()}."
    )
    return "\n".join(lines) + f"\n\n{where}\n"


if __name__ == "__main__":
    sys.exit(main())
