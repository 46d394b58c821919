"""What the benchmarks work on: the shipped FashionMNIST images, split as a trial splits them."""

import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rambo import config
from rambo.config import Config
from rambo.datasets import catalog
from rambo.datasets.prepared import Prepared
from rambo.method.pools import Problem
from rambo.method.sizes import smallest_size
from rambo.method.utility_samples import UtilitySamples, draw_pairs
from rambo.seeding import Streams
from rambo.worker import trial


class Forgetful:
    """A memory that keeps nothing, so that every round trains again."""

    def get(self, key: str) -> None:
        """Find nothing."""

    def put(self, key: str, record: Mapping[str, Any], arrays: Any = None) -> None:
        """Keep nothing."""


@functools.cache
def shipped() -> Prepared:
    """Return the shipped images, prepared in a folder that goes with this process."""
    folder = tempfile.TemporaryDirectory()
    data = catalog.prepare("fashion-mnist-mini", Path(folder.name))
    _FOLDERS.append(folder)
    return data


_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []  # each is deleted when this list is


def settings(**changes: Any) -> Config:
    """Return the paper's sizes for FashionMNIST (k = 200, B = 500, b = 50) with all defaults but the `changes`."""
    return config.build({"dataset": {"name": "fashion-mnist-mini"}, **changes})


def problem() -> Problem:
    """Return the first trial's S_0, U_0 and S_val."""
    return trial.split(settings(), shipped(), 0, None).problem


def utility_samples(problem: Problem, pairs: int, seed: int = 0) -> UtilitySamples:
    """Return pairs of subsets of S_0 with utilities of a classifier that needs no training.

    The utility of a subset is the validation accuracy of its nearest neighbours, its transport distance the mean
    distance to them, in units of the mean: true quantities of real sets, in seconds instead of minutes.
    """
    pool, held = problem.labeled, problem.validation
    smallest = smallest_size(len(pool), problem.num_classes)
    drawn = draw_pairs(pool, pairs, smallest, Streams(seed).torch("pairs"))
    apart = torch.cdist(problem.describe_images(held), problem.describe_images(pool))

    def judge(subset: Tensor) -> tuple[float, float]:
        inside = apart.masked_fill(~torch.isin(pool, subset), torch.inf)
        distance, nearest = inside.min(1)
        right = problem.labels[pool[nearest]] == problem.labels[held]
        return float(right.double().mean()), float(distance.mean())

    judged = torch.tensor([[judge(a), judge(b)] for a, b in drawn], dtype=torch.float64)
    utilities, distances = judged.unbind(2)
    return UtilitySamples(drawn, utilities, distances / distances.mean())
