"""A problem of ten made-up images."""

from typing import Any

import torch

from rambo.method.pools import UNLABELED, Problem


def make_problem(**changes: Any) -> Problem:
    """Return ten images: three labeled, four unlabeled, two for validation, one (index 9) in no pool."""
    labels = torch.full((10,), UNLABELED)
    labels[[0, 2, 4, 7, 8]] = torch.tensor([0, 1, 0, 1, 1])
    images = torch.randint(
        0, 256, (10, 2, 3, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    parts: dict[str, Any] = {
        "images": images,
        "labels": labels,
        "labeled": torch.tensor([4, 0, 2]),
        "unlabeled": torch.tensor([1, 3, 5, 6]),
        "validation": torch.tensor([7, 8]),
        "num_classes": 2,
        "source": "nowhere",
        "fingerprint": "none",
        "mean": (0.25, 0.5),
        "std": (0.5, 0.125),
    }
    return Problem(**parts | changes)
