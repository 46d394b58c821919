"""BADGE, GLISTER, CoreSet and margins against a straightforward implementation: `python -m benchmarks.strategies`.

Ours never builds a gradient; the plain ones do what one would write first, and what public toolkits do: explicit
`N x C E` gradient embeddings, a Python loop over the picks, whole sorts. Both choose from the same random embeddings;
whether they choose the same images is a goal.
"""

import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.measure import Goal, Measure, ratio
from benchmarks.report import show
from benchmarks.timing import CPU, interleaved
from rambo.method.acquisition import k_centers, logit_gradients, margins, rank_by, spread_gradients
from rambo.strategies.glister import steepest, step

POOL, LABELED, VALIDATION, WIDTH, CLASSES = 5000, 200, 1000, 512, 10
MARGIN_POOL = 47_500
BUDGET, RATE = 100, 1e-3
GOALS = {"BADGE": (50, 200), "GLISTER": (20, 70), "CoreSet": (5, 15), "Margin": (1, 1.3)}


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


def plain_margin(probabilities: Tensor) -> list[int]:
    """Return the smallest differences of the two highest probabilities, by two sorts."""
    ordered = probabilities.sort(dim=1, descending=True).values
    return (ordered[:, 0] - ordered[:, 1]).sort(stable=True).indices[:BUDGET].tolist()


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

    many = torch.randn(MARGIN_POOL, CLASSES, generator=generator).softmax(1)
    pool = torch.arange(MARGIN_POOL)
    return {
        "BADGE": {"plain": lambda: plain_badge(p, h, draws()), "ours": badge},
        "GLISTER": {
            "plain": lambda: plain_glister(p, h, logits, held_h, held_y),
            "ours": glister,
        },
        "CoreSet": {
            "plain": lambda: plain_coreset(h, labeled_h),
            "ours": lambda: first(k_centers(h, labeled_h)),
        },
        "Margin": {
            "plain": lambda: plain_margin(many),
            "ours": lambda: rank_by(pool, margins(many))[:BUDGET].tolist(),
        },
    }


def measure() -> list[Measure]:
    """Return a measure a strategy."""
    return [_measure(name, both) for name, both in contenders().items()]


def _measure(name: str, both: dict[str, Callable[[], list[int]]]) -> Measure:
    """Return what the picks of one strategy cost, and whether they are the same."""
    picks: dict[str, list[int]] = {}

    def remembering(side: str) -> Callable[[], None]:
        return lambda: picks.update({side: both[side]()})

    seconds = interleaved({side: remembering(side) for side in both})
    same = len(set(picks["plain"]) & set(picks["ours"])) / BUDGET
    embeddings = f", {WIDTH} wide, {LABELED} labeled, {VALIDATION:,} for validation"
    size = f"{MARGIN_POOL:,}" if name == "Margin" else f"{POOL:,}{embeddings}"
    return Measure(
        name=f"Picks of {name}",
        what=f"{BUDGET} picks from a pool of {size}, {CLASSES} classes.",
        clock=CPU,
        seconds=seconds,
        goals=[
            Goal("ours / plain", ratio(seconds["plain"], seconds["ours"]), *GOALS[name]),
            Goal("share of the same picks", same, 1),
        ],
    )


if __name__ == "__main__":
    show(measure())
