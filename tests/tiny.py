"""A tiny dataset of real prepared form, a config that trains on it in seconds, a memo in memory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rambo import config as configs
from rambo.config import Config
from rambo.datasets import prepared
from rambo.datasets.prepared import LABELED, POOL, TEST, VALIDATION, Prepared

TINY = {
    "dataset": {"name": "tiny"},
    "k": 24,
    "budget": 12,
    "acquisition": {"batch_size": 4, "filter_size": 12},
    "classifier": {"max_epochs": 3},
    "rambo": {
        "initial_size": 12,
        "pairs_per_iteration": 6,
        "offline": {"pairs": 5, "held_out": 0.4, "repeated_pairs": 2},
        "utility_model": {"epochs": 2, "bilevel": {"inner_steps": 2, "terms": 3}},
    },
    "compute": {"device": "cpu", "jobs": 1},
}


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings with `changes` laid over `base`."""
    result = dict(base)
    for key, value in changes.items():
        result[key] = merged(result.get(key, {}), value) if isinstance(value, Mapping) else value
    return result


def tiny_config(**changes: Any) -> Config:
    """Return the tiny config with nested `changes`."""
    return configs.build(merged(TINY, changes))


def write_tiny(workspace: Path, *, channels: int = 1, size: int = 28) -> Prepared:
    """Write 200 noisy images of 4 classes, each class a bright quadrant: 100 pool, 60 validation, 40 test."""
    rng = np.random.default_rng(7)
    labels = np.tile(np.arange(4), 50).astype(np.int64)
    images = rng.integers(0, 120, (200, channels, size, size), dtype=np.uint8)
    half = size // 2
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 2)
        image[:, row * half : (row + 1) * half, column * half : (column + 1) * half] += 100
    roles = np.repeat([POOL, VALIDATION, TEST], [100, 60, 40]).astype(np.uint8)
    return prepared.write(
        workspace,
        name="tiny",
        images=images,
        labels=labels,
        roles=roles,
        classes=["upper left", "upper right", "lower left", "lower right"],
        mean=[0.3] * channels,
        std=[0.2] * channels,
        source="made by the tests",
        licence="none needed",
        origin=f"tests:tiny:{channels}x{size}",
    )


def partly(
    workspace: Path,
    tiny: Prepared,
    *,
    labeled: Sequence[int],
    validation: Sequence[int] = (),
    test: Sequence[int] = (),
    pool: int = 60,
    **changes: Any,
) -> Prepared:
    """Write the tiny images as a person has them: a few with a label, and the first of the others without.

    Args:
        workspace: where to.
        tiny: the dataset whose images and true labels they are.
        labeled: indices of S_0.
        validation: indices of S_val.
        test: indices of the test set.
        pool: how many are in U_0; all further images are left out.
        changes: other fields, such as `clusters`.
    """
    places = [*labeled, *validation, *test]
    rest = [index for index in range(len(tiny.labels)) if index not in set(places)]
    rows = np.array(places + rest[:pool])
    labels = np.array(tiny.labels)[rows]
    labels[len(places) :] = prepared.UNLABELED
    counts = len(labeled), len(validation), len(test), len(rows) - len(places)
    return prepared.write(
        workspace,
        name="pets",
        images=np.array(tiny.images)[rows],
        labels=labels,
        roles=np.repeat([LABELED, VALIDATION, TEST, POOL], counts).astype(np.uint8),
        classes=tiny.classes,
        mean=tiny.mean,
        std=tiny.std,
        source="made by the tests",
        licence="none needed",
        origin="tests:pets",
        **changes,
    )


class MemoryMemo:
    """Finished units in memory, with what was asked and what was put."""

    def __init__(self) -> None:
        self.results: dict[str, tuple[dict[str, Any], dict[str, np.ndarray]]] = {}
        self.lookups: list[str] = []

    def get(self, key: str) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        self.lookups.append(key)
        return self.results.get(key)

    def put(
        self, key: str, record: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None
    ) -> None:
        self.results[key] = (dict(record), dict(arrays or {}))


# What `rambo plan` prints.
FORECAST_KEYS = {
    *(
        "initial_labels",
        "labels_bought",
        "validation",
        "unlabeled",
        "trials",
        "trainings",
        "per_trial",
    ),
    *("lookups", "cached", "seconds", "stages", "rate", "device", "jobs", "sentence"),
}
