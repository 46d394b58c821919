"""One greedy step over a 50,000-image pool: `python -m benchmarks.acquisition`.

Cached: every image was embedded once, a step is sums and one pass through rho. Naive: every union S_j u batch goes
through the whole set network again; it is timed on a few candidates and scaled to all of them.
"""

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import statistics

import torch

from benchmarks.timing import interleaved, machine, spread
from rambo.acquisition import random_chunks
from rambo.config import UtilityModelConfig
from rambo.pools import UNLABELED, Problem, union
from rambo.seeding import Streams
from rambo.utility_model import create_utility_model, embed_elements, predict_unions

POOL, LABELED, BATCH, TIMED = 50_000, 200, 50, 5


def main() -> None:
    """Measure and print a Markdown section."""
    torch.set_num_threads(1)
    total = POOL + LABELED + 1
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (total, 1, 28, 28), dtype=torch.uint8, generator=generator)
    labels = torch.full((total,), UNLABELED)
    labels[:LABELED] = 0
    order = torch.arange(total)
    problem = Problem(
        images=images,
        labels=labels,
        labeled=order[:LABELED],
        unlabeled=order[LABELED:-1],
        validation=order[-1:],
        num_classes=10,
        source="",
        fingerprint="",
        mean=(0.3,),
        std=(0.3,),
    )
    model = create_utility_model(problem, UtilityModelConfig(), Streams(0))
    batches = random_chunks(problem.unlabeled, BATCH, generator)
    elements = embed_elements(model, problem)

    @torch.no_grad()
    def naive() -> None:
        for batch in batches[:TIMED]:
            inputs = problem.network_inputs(union(problem.labeled, batch))
            model.network(inputs, torch.full((1, len(inputs)), 1 / len(inputs)))

    seconds = interleaved(
        {
            "embedding pass, once": lambda: embed_elements(model, problem),
            "greedy step, cached, M = 10 b": lambda: predict_unions(
                model, elements, problem.labeled, batches[:10]
            ),
            "greedy step, cached": lambda: predict_unions(
                model, elements, problem.labeled, batches
            ),
            "greedy step, re-embedding": naive,
        }
    )
    scale = len(batches) / TIMED
    seconds["greedy step, re-embedding"] = [scale * s for s in seconds["greedy step, re-embedding"]]
    print(f"{machine()}\n")
    print(
        f"Pool {POOL:,}, labeled {LABELED}, b = {BATCH}: {len(batches):,} candidate batches, median of 5 (range)\n"
    )
    print("| what | CPU milliseconds |\n| --- | --- |")
    for name, values in seconds.items():
        print(f"| {name} | {spread([1000 * s for s in values])} |")
    median = {name: statistics.median(values) for name, values in seconds.items()}
    step = median["greedy step, re-embedding"] / median["greedy step, cached"]
    once = median["embedding pass, once"] + 10 * median["greedy step, cached"]
    print(
        f"\nRatio of one step: {step:,.0f}x; of ten steps with the embedding pass counted: "
        f"{10 * median['greedy step, re-embedding'] / once:,.0f}x."
    )


if __name__ == "__main__":
    main()
