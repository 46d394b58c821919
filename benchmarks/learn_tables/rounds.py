"""`rounds`: the same budget asked for in one round or in many, for "One round against many".

f is the logistic head on pixels. After every round the labels arrive and f is trained again; with one round the whole
budget is chosen by the f of the 40 labels at hand.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.learn_tables import common
from rambo.method.acquisition import entropies, logit_gradients, margins, rank_by, spread_gradients
from rambo.method.pools import union, without
from rambo.seeding import Streams
from rambo.training import heads

ROUNDS = (1, 2, 4, 5, 10, 20)
CHOOSERS = ("random", "margin", "entropy", "badge")
SEEDS, POOL = 20, 2000
SETTINGS: dict[str, Any] = {
    "dataset": {"name": common.DATASET},
    "k": 40,
    "budget": 200,
    "strategies": ["random"],
    "classifier": {"name": "logistic"},
    "rambo": {"initial_size": 20},
    "acquisition": {"batch_size": 20},
}


def make() -> Path:
    """Simulate every number of rounds for every seed."""
    accuracies: dict[str, list[list[float]]] = {name: [] for name in CHOOSERS}
    start: list[float] = []
    for seed in range(SEEDS):
        world = _World(seed)
        start.append(round(world.accuracy(world.labeled), 4))
        for name in CHOOSERS:
            counts = ROUNDS[:1] if name == "random" else ROUNDS  # no label changes a random choice
            accuracies[name].append([round(world.spend(name, count), 4) for count in counts])
        print(f"  seed {seed + 1} of {SEEDS}", flush=True)
    table = {"rounds": list(ROUNDS), "start": start, "accuracies": accuracies}
    return common.save("rounds", table, {**SETTINGS, "seeds": SEEDS, "pool": POOL})


class _World:
    """One split with all labels, which arrive when they are asked for."""

    def __init__(self, seed: int) -> None:
        found = common.setting(SETTINGS, seed=seed)
        self.settings = found.config.classifier.logistic
        self.budget, self.seed = found.config.budget, seed
        self.labels, self.test = found.trial.oracle, found.trial.test
        self.labeled = found.trial.problem.labeled
        self.pool = found.trial.problem.unlabeled[:POOL].sort().values
        self.features = found.trial.problem.images.flatten(1).float() / 255

    def accuracy(self, subset: Tensor) -> float:
        """Return the test accuracy of f trained on `subset`."""
        guess = self._fit(subset).logits(self.features[self.test])[0].argmax(1)
        return float((guess == self.labels[self.test]).double().mean())

    def spend(self, name: str, rounds: int) -> float:
        """Return the test accuracy once the budget is spent in so many rounds."""
        streams = Streams(self.seed).child(f"{name}-{rounds}")
        labeled, left = self.labeled, self.pool
        for number in range(rounds):
            count = self.budget // rounds
            chosen = self._choose(name, labeled, left, count, streams.torch(f"round-{number}"))
            labeled, left = union(labeled, chosen), without(left, chosen)
        return self.accuracy(labeled)

    def _choose(
        self, name: str, labeled: Tensor, left: Tensor, count: int, generator: torch.Generator
    ) -> Tensor:
        """Return the images that are asked for next."""
        if name == "random":
            return left[torch.randperm(len(left), generator=generator)[:count]]
        probabilities = self._fit(labeled).logits(self.features)[0].softmax(1)
        if name == "margin":
            return rank_by(left, margins(probabilities))[:count]
        if name == "entropy":
            return rank_by(left, -entropies(probabilities))[:count]
        axes = heads.principal_axes(self.features[labeled.sort().values])
        shares = probabilities[left].double()
        picks = spread_gradients(
            logit_gradients(shares, shares.argmax(1)),
            axes.embed(self.features[left]).double(),
            generator,
        )
        return left[torch.tensor([next(picks) for _ in range(count)])]

    def _fit(self, subset: Tensor) -> heads.Heads:
        """Return f trained on `subset`."""
        subset = subset.sort().values
        return heads.fit_heads(
            self.features[subset],
            self.labels[subset],
            torch.ones(1, len(subset), dtype=torch.bool),
            num_classes=10,
            l2=self.settings.l2,
            iterations=self.settings.iterations,
        )
