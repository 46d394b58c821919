"""`transport`: OTDD costs between some images of S_0 and some of S_val, for "Optimal transport".

The class Gaussians behind the label distances are those of a whole S_0 and S_val, as in a run; 30 and 10 images of five
classes are shown.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.learn_tables import common
from rambo.config import presets
from rambo.training.offline import labeled_ground_cost

CLASSES = (0, 1, 5, 8, 9)  # T-shirt, trouser, sandal, bag, ankle boot
LABELED, VALIDATION = 6, 2  # images of each class that are shown


def make() -> Path:
    """Compute the costs and a map of the images."""
    found = common.setting(presets.quick(common.DATASET))
    problem = found.trial.problem
    weights = found.config.rambo.utility_model
    rows = _first(problem.labeled, problem.labels, LABELED)
    columns = _first(problem.validation, problem.labels, VALIDATION)
    pool = problem.labeled.sort().values
    parts: dict[str, Any] = {}
    for name, features, labels in (("feature_cost", 1.0, 0.0), ("label_cost", 0.0, 1.0)):
        cost = weights.ground_cost.model_copy(
            update={"feature_weight": features, "label_weight": labels}
        )
        ground = labeled_ground_cost(
            dataclasses.replace(problem, labeled=pool),
            weights.model_copy(update={"ground_cost": cost}),
        )
        place = torch.searchsorted(problem.validation.sort().values, columns).numpy()
        assert (problem.validation == problem.validation.sort().values).all()
        parts[name] = np.round(ground.rows(rows)[:, place], 4).tolist()
    both = problem.describe_images(torch.cat([rows, columns])).double().numpy()
    axes = np.linalg.svd(both - both.mean(0), full_matrices=False)[2][:2]
    points = (both - both.mean(0)) @ axes.T
    table = {
        "labeled": rows.tolist(),
        "validation": columns.tolist(),
        "points": np.round(points, 4).tolist(),
        **parts,
    }
    return common.save("transport", table, {**presets.quick(common.DATASET), "seed": 0})


def _first(pool: torch.Tensor, labels: torch.Tensor, count: int) -> torch.Tensor:
    """Return the first images of each class shown, sorted."""
    parts = [pool[labels[pool] == label][:count] for label in CLASSES]
    return torch.cat(parts).sort().values
