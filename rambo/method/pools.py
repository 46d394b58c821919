"""The problem a query strategy sees: resident images, bought labels, disjoint index pools.

There is one resident dataset; every pool is an int64 index tensor into it. A label that was not bought reads
`UNLABELED`, so a strategy cannot peek.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rambo.calls import public
from rambo.errors import BudgetError, DataError

UNLABELED = -1


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """One round of active learning, without the labels nobody has paid for.

    Attributes:
        images: `N x C x H x W` uint8, resident (memory-mapped from `source`).
        labels: `N` int64 class ids; `UNLABELED` outside `labeled` and `validation`.
        labeled: `k` int64 indices, S_0.
        unlabeled: int64 indices, U_0.
        validation: int64 indices, S_val.
        num_classes: number of classes `c`.
        source: folder of the prepared dataset, from which worker processes map the images.
        fingerprint: content hash of the prepared dataset; part of every content key.
        mean: mean of `images / 255` per channel, for normalising.
        std: standard deviation of `images / 255` per channel.
        features: `N x d` float32 frozen features, or None where pixels serve (28 x 28 grey).
        features_file: where these lie, so that worker processes map them; empty where there are none.
        reads_features: whether u_hat and OT read the frozen features and not the pixels.
        judged_by: the whole S_val, sorted, where `validation` is a part of it; else None. Classifiers are measured on
            all of it, so that one training serves every part; strategies read the part alone.
    """

    images: Tensor
    labels: Tensor
    labeled: Tensor
    unlabeled: Tensor
    validation: Tensor
    num_classes: int
    source: str
    fingerprint: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    features: Tensor | None = None
    features_file: str = ""
    reads_features: bool = True
    judged_by: Tensor | None = None

    def __post_init__(self) -> None:
        """Check that pools are disjoint and that no unbought label is readable."""
        pools = torch.cat([self.labeled, self.unlabeled, self.validation])
        if len(pools.unique()) < len(pools):
            raise DataError(
                "labeled, unlabeled and validation overlap",
                field="pools",
                hint="each image belongs to one",
            )
        unbought = torch.ones(len(self.labels), dtype=torch.bool)
        judges = self.validation if self.judged_by is None else self.judged_by
        unbought[torch.cat([self.labeled, judges])] = False
        if (self.labels[unbought] != UNLABELED).any():
            raise DataError(
                "an image nobody bought carries one", field="labels", hint="set it to UNLABELED"
            )

    def describe_images(self, indices: Tensor) -> Tensor:
        """Return fixed descriptors of the images: frozen features, else pixels in [0, 1].

        Choice: the space of the OT cost never moves with a classifier in training.

        Args:
            indices: `a` int64 indices.

        Returns:
            `a x d` float32.
        """
        if self.features is not None and self.reads_features:
            return self.features[indices]
        return self.images[indices].flatten(1).float() / 255

    def network_inputs(self, indices: Tensor) -> Tensor:
        """Return what the element network of u_hat reads: frozen features, else normalised images.

        Args:
            indices: `a` int64 indices.

        Returns:
            `a x d` or `a x C x H x W` float32.
        """
        if self.features is not None and self.reads_features:
            return self.features[indices]
        return normalise(self.images[indices], self.mean, self.std)


@public
@dataclasses.dataclass(frozen=True, eq=False)
class Selection:
    """What a query strategy answers: the chosen images in order, and its evidence.

    Attributes:
        indices: `B` dataset indices in the order of choice.
        steps: `B` greedy step of each, from 0; all 0 where the strategy has no steps.
        evidence: columns of `B` numbers beside the indices (margin, predicted class, predicted utility of the batch).
        arrays: named groups of tensors worth keeping (the utility model's weights, embeddings), by file name.
        ranking: the utility model's final ranking figures; empty where there is no utility model.
        figures: what else a strategy reports of its choice, by a name a person can read.
    """

    indices: Tensor
    steps: Tensor
    evidence: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    arrays: Mapping[str, Mapping[str, Tensor]] = dataclasses.field(default_factory=dict)
    ranking: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    figures: Mapping[str, float | int | str] = dataclasses.field(default_factory=dict)


def check_budget(problem: Problem, budget: int) -> None:
    """Refuse a budget the unlabeled pool cannot serve.

    Raises:
        BudgetError: `budget` is below 1 or above the pool.
    """
    if not 1 <= budget <= len(problem.unlabeled):
        raise BudgetError(
            f"does not fit the {len(problem.unlabeled)} unlabeled images",
            field="budget",
            value=budget,
            limit=len(problem.unlabeled),
            hint=f"use 1 to {len(problem.unlabeled)}",
        )


def union(*pools: Tensor) -> Tensor:
    """Return the members of all `pools`, which must be disjoint, in the given order."""
    return torch.cat(pools)


def without(pool: Tensor, removed: Tensor) -> Tensor:
    """Return `pool` less the members of `removed`, order kept."""
    return pool[~torch.isin(pool, removed)]


def membership_matrix(subsets: Sequence[Tensor], universe: Tensor) -> Tensor:
    """Return the row-normalised membership of each subset in `universe`: average pooling is one matrix product.

    Args:
        subsets: `s` index tensors, each within `universe`, none empty.
        universe: `N` distinct indices.

    Returns:
        `s x N` float32; row `i` holds `1 / a_i` at the members of subset `i`.

    Raises:
        DataError: a subset is empty or leaves the universe.
    """
    order = universe.argsort()
    matrix = torch.zeros(len(subsets), len(universe))
    for row, subset in enumerate(subsets):
        position = torch.searchsorted(universe[order], subset).clamp(max=len(universe) - 1)
        columns = order[position]
        if len(subset) == 0 or (universe[columns] != subset).any():
            raise DataError(
                "is empty or has members outside the universe",
                field="subset",
                value=row,
                hint="give it members of the universe",
            )
        matrix[row, columns] = 1 / len(subset)
    return matrix


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return uint8 images as float32 with about zero mean and unit deviation per channel.

    Args:
        images: `a x C x H x W` uint8.
        mean: `C` means of `images / 255`.
        std: `C` deviations of `images / 255`.
    """
    shape = (1, -1, 1, 1)
    scale, shift = torch.tensor(std).view(shape) * 255, torch.tensor(mean).view(shape) * 255
    return (images.float() - shift.to(images.device)) / scale.to(images.device)


def digest(*tensors: Tensor) -> str:
    """Return a content hash of the tensors: their types, shapes and bytes."""
    sha = hashlib.sha256()
    for tensor in tensors:
        sha.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        sha.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()
