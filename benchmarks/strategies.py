"""BADGE, GLISTER and CoreSet against a straightforward implementation: `python -m benchmarks.strategies [--json]`.

Ours never builds a gradient; the plain ones do what one would write first, and what public toolkits do: explicit
`N x C E` gradient embeddings, and a Python loop over the picks. Both choose from the same random embeddings; whether
they choose the same images is in the answer. Takes some five minutes on an idle core.
"""

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import itertools
import json
import statistics
import sys
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.timing import interleaved, machine, spread
from rambo.acquisition import k_centers, logit_gradients, spread_gradients
from rambo.strategies.glister import steepest, step

POOL, LABELED, VALIDATION, WIDTH, CLASSES = 5000, 200, 1000, 512, 10
BUDGET, ROUNDS, RATE = 100, 5, 1e-3
GOALS = {"BADGE": 50, "GLISTER": 20, "CoreSet": 5}


def plain_badge(probabilities: Tensor, embeddings: Tensor, generator: torch.Generator) -> list[int]:
    """Return k-means++ over explicit gradient embeddings, distances to the newest center at every pick."""
    guesses = F.one_hot(probabilities.argmax(1), CLASSES)
    gradients = ((probabilities - guesses)[:, :, None] * embeddings[:, None, :]).flatten(1)
    chosen = [int(gradients.norm(dim=1).argmax())]
    nearest = ((gradients - gradients[chosen[0]]) ** 2).sum(1)
    while len(chosen) < BUDGET:
        chosen.append(int(torch.multinomial(nearest.double(), 1, generator=generator)))
        nearest = torch.minimum(nearest, ((gradients - gradients[chosen[-1]]) ** 2).sum(1))
    return chosen


def plain_coreset(points: Tensor, centers: Tensor) -> list[int]:
    """Return k-center greedy, distances to the newest center by `cdist` at every pick."""
    nearest = torch.cdist(points, centers).amin(1)
    chosen: list[int] = []
    while len(chosen) < BUDGET:
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, torch.cdist(points, points[chosen[-1:]])[:, 0])
    return chosen


def plain_glister(
    probabilities: Tensor,
    embeddings: Tensor,
    logits: Tensor,
    validation: Tensor,
    labels: Tensor,
) -> list[int]:
    """Return GLISTER over explicit gradients of weights and biases, of the pool and of S_val."""

    def gradients(p: Tensor, h: Tensor, y: Tensor) -> Tensor:
        biases = p - F.one_hot(y, CLASSES)
        return torch.cat([biases, (biases[:, :, None] * h[:, None, :]).flatten(1)], 1)

    pool = gradients(probabilities, embeddings, probabilities.argmax(1))
    remaining, chosen = list(range(POOL)), []
    while len(chosen) < BUDGET:
        mean = gradients(logits.softmax(1), validation, labels).mean(0)
        best = remaining[int((pool[remaining] @ mean).argmax())]
        chosen.append(best)
        remaining.remove(best)
        biases, weights = pool[best, :CLASSES], pool[best, CLASSES:].view(CLASSES, WIDTH)
        logits = logits - RATE * (validation @ weights.T + biases)
    return chosen


def contenders() -> dict[str, dict[str, Callable[[], list[int]]]]:
    """Return ours and the plain implementation of every strategy, over the same made-up predictions of one f."""
    generator = torch.Generator().manual_seed(0)
    count = POOL + LABELED + VALIDATION
    embeddings = torch.randn(count, WIDTH, generator=generator).relu()
    head = torch.randn(WIDTH, CLASSES, generator=generator) / WIDTH**0.5
    probabilities = (3 * embeddings @ head).softmax(1)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    (p, labeled_p, held_p), (h, labeled_h, held_h), (_, labeled_y, held_y) = (
        values.split([POOL, LABELED, VALIDATION]) for values in (probabilities, embeddings, labels)
    )

    def first(picks: Iterator[int]) -> list[int]:
        return list(itertools.islice(picks, BUDGET))

    def draws() -> torch.Generator:
        return torch.Generator().manual_seed(1)

    def badge() -> list[int]:
        exact = p.double()
        gradients = logit_gradients(exact, exact.argmax(1))
        return first(spread_gradients(gradients, h.double(), draws()))

    def with_one(rows: Tensor) -> Tensor:
        return F.pad(rows, (0, 1), value=1.0)

    logits = step(
        held_p.log(),
        with_one(held_h),
        logit_gradients(labeled_p, labeled_y),
        with_one(labeled_h),
        RATE,
    )

    def glister() -> list[int]:
        gradients = logit_gradients(p, p.argmax(1))
        return first(steepest(gradients, with_one(h), logits, with_one(held_h), held_y, RATE))

    return {
        "BADGE": {"ours": badge, "plain": lambda: plain_badge(p, h, draws())},
        "GLISTER": {
            "ours": glister,
            "plain": lambda: plain_glister(p, h, logits, held_h, held_y),
        },
        "CoreSet": {
            "ours": lambda: first(k_centers(h, labeled_h)),
            "plain": lambda: plain_coreset(h, labeled_h),
        },
    }


def main() -> None:
    """Measure and print a Markdown section, or with `--json` one object."""
    torch.set_num_threads(1)
    picks: dict[tuple[str, str], list[int]] = {}

    def remembering(name: str, side: str, work: Callable[[], list[int]]) -> Callable[[], None]:
        return lambda: picks.update({(name, side): work()})

    seconds = {
        name: interleaved(
            {side: remembering(name, side, work) for side, work in both.items()}, ROUNDS
        )
        for name, both in contenders().items()
    }
    same = {name: picks[name, "ours"] == picks[name, "plain"] for name in seconds}
    ratio = {
        name: statistics.median(values["plain"]) / statistics.median(values["ours"])
        for name, values in seconds.items()
    }
    if "--json" in sys.argv[1:]:
        print(json.dumps({"seconds": seconds, "ratio": ratio, "same": same, "goals": GOALS}))
        return
    print(f"{machine()}\n")
    print(
        f"Pool {POOL:,}, {LABELED} labeled, {VALIDATION:,} for validation, {WIDTH} wide, {CLASSES} classes, "
        f"B = {BUDGET}: CPU seconds, median of {ROUNDS} (range)\n"
    )
    print("| strategy | ours | plain | ratio | goal | same picks |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, values in seconds.items():
        print(
            f"| {name} | {spread(values['ours'])} | {spread(values['plain'])} | {ratio[name]:.0f}x "
            f"| {GOALS[name]}x | {'yes' if same[name] else 'NO'} |"
        )


if __name__ == "__main__":
    main()
