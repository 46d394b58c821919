"""The gate in a trial: one rule for every strategy, outside all of them."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from rambo.config import GateConfig
from rambo.method.gate import Gate, look
from rambo.method.pools import Problem
from rambo.seeding import Streams


@dataclasses.dataclass(frozen=True, eq=False)
class GatedPool:
    """U_0 with what the gate says of it.

    Attributes:
        problem: S_0, what is left of U_0, and S_val.
        unlabeled: all of U_0, `m` indices.
        gate: what it decided on each.
        exempt: `m` bool, of those it would have left out.
        spared: how many of these nobody asked for: without them less than a budget would be left.
    """

    problem: Problem
    unlabeled: Tensor
    gate: Gate
    exempt: Tensor
    spared: int = 0

    @property
    def excluded(self) -> Tensor:
        """Which of U_0 no strategy may choose, `m` bool."""
        return self.gate.excluded & ~self.exempt

    @property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """What a page needs to show the decision and its reason."""
        return {
            "indices": self.unlabeled.numpy(),
            "likeness": self.gate.likeness.numpy(),
            "left_out": self.excluded.numpy(),
            "kept_anyway": self.exempt.numpy(),
            "foreign_share": np.array([self.gate.foreign_share]),
        }

    @property
    def sentence(self) -> str:
        """What happened, in words."""
        count, whole = int(self.excluded.sum()), len(self.unlabeled)
        if not count and not self.spared:
            return f"the gate keeps all {whole:,} unlabeled images: none is unlike S_0 and S_val"
        short = (
            f"; {self.spared:,} it would have left out stay, the likest first, since B could not be spent without them"
            if self.spared
            else ""
        )
        return (
            f"the gate leaves out {count:,} of {whole:,} unlabeled images, which look unlike S_0 and S_val; "
            f"acquisition.gate.keep names those to keep anyway{short}"
        )


def gate_pool(problem: Problem, budget: int, settings: GateConfig, streams: Streams) -> GatedPool:
    """Return the pool that every strategy of a trial chooses from.

    Choice: where less than a budget would be left, the images most like S_val stay until it can be spent.

    Args:
        problem: S_0, U_0 and S_val.
        budget: B.
        settings: how to decide; not off.
        streams: decides the folds.
    """
    assert settings.by != "off"
    labeled = torch.cat([problem.labeled, problem.validation])
    unlabeled = problem.unlabeled
    gate = look(
        problem.describe_images(labeled).numpy(),
        problem.describe_images(unlabeled).numpy(),
        settings.by,
        axes=settings.axes,
        folds=settings.folds,
        alpha=settings.wrong,
        seed=streams.take("gate") % 2**32,
    )
    anyway = torch.isin(unlabeled, torch.tensor(settings.keep, dtype=torch.int64))
    missing = max(0, budget - int((~gate.excluded | anyway).sum()))
    order = gate.likeness.argsort(descending=True, stable=True)
    spared = order[(gate.excluded & ~anyway)[order]][:missing]
    anyway[spared] = True
    anyway &= gate.excluded
    candidates = dataclasses.replace(problem, unlabeled=unlabeled[~gate.excluded | anyway])
    return GatedPool(candidates, unlabeled, gate, anyway, len(spared))
