"""Make the tables that are named, or all of them."""

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from benchmarks.learn_tables import boards, filters, interpolation, pairs, rounds, transport

TABLES = {
    "boards": boards.make,
    "transport": transport.make,
    "rounds": rounds.make,
    "pairs": pairs.make,
    "interpolation": interpolation.make,
    "filters": filters.make,
}


def main() -> None:
    """Make them one after the other."""
    torch.set_num_threads(1)
    names = sys.argv[1:] or list(TABLES)
    if unknown := set(names) - set(TABLES):
        sys.exit(f"no such table: {', '.join(sorted(unknown))}; choose of {', '.join(TABLES)}")
    for name in names:
        print(f"{name}: {TABLES[name]()}", flush=True)


if __name__ == "__main__":
    main()
