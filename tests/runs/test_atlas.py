"""The atlas as pages ask it: neighbours, margins and class shares, against what is computed by hand."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_config

from rambo.config import describe
from rambo.errors import DataError, StoreError
from rambo.method import acquisition
from rambo.runs.atlas import (
    LABELED,
    UNLABELED_POOL,
    VALIDATION_POOL,
    Atlas,
    class_shares,
    load_atlas,
    margins,
    nearest,
    rows_of,
)
from rambo.runs.environment import Environment
from rambo.runs.workspace import Workspace


@pytest.fixture
def atlas() -> Atlas:
    """Six images on a line and one at the origin: index 10 at 1, 20 at 2, ... 60 at 6, 70 at 0."""
    place = np.array([1, 2, 3, 4, 5, 6, 0], np.float32)
    probabilities = np.array(
        [[0.7, 0.2, 0.1]] * 3 + [[0.1, 0.1, 0.8]] * 2 + [[0.4, 0.4, 0.2]] * 2, np.float32
    )
    return Atlas(
        indices=np.arange(10, 80, 10),
        pool=np.array([0, 1, 2, 0, 1, 2, 0], np.uint8),
        probabilities=probabilities,
        embeddings=np.stack([place, np.zeros(7, np.float32)], 1),
        map=np.zeros((7, 2), np.float32),
        explained=np.array([1, 0], np.float32),
    )


@pytest.mark.parametrize(
    ("index", "pool", "count", "indices", "distances"),
    [
        (20, LABELED, 2, [10, 40], [1, 2]),
        (20, LABELED, 9, [10, 40, 70], [1, 2, 2]),  # equally far: the first in the dataset
        (20, UNLABELED_POOL, 1, [50], [3]),  # never itself
        (20, VALIDATION_POOL, 5, [30, 60], [1, 4]),
        (40, LABELED, 1, [10], [3]),
        (40, LABELED, 0, [], []),
        (40, 7, 3, [], []),
    ],
)
def test_nearest_by_hand(
    atlas: Atlas, index: int, pool: int, count: int, indices: list[int], distances: list[float]
) -> None:
    neighbours, far = nearest(atlas, index, pool, count)
    assert neighbours.tolist() == indices
    assert far.tolist() == distances


def test_nearest_by_angle(atlas: Atlas) -> None:
    corner = dataclasses.replace(
        atlas,
        embeddings=np.array([[1, 0], [9, 9], [0, 2], [5, 1], [-3, 0], [1, 1], [0, 0]], np.float32),
    )
    neighbours, far = nearest(corner, 10, LABELED, 5, metric="cosine")
    assert neighbours.tolist() == [40, 70]
    np.testing.assert_allclose(far, [1 - 5 / np.sqrt(26), 1])  # no angle at the origin
    neighbours, far = nearest(corner, 10, UNLABELED_POOL, 5, metric="cosine")
    assert neighbours.tolist() == [20, 50]
    np.testing.assert_allclose(far, [1 - np.sqrt(0.5), 2])
    assert nearest(corner, 20, VALIDATION_POOL, 1, metric="cosine")[0].tolist() == [60]


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_nearest_agrees_with_torch(metric: Any) -> None:
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(200, 16)).astype(np.float32)
    pool = rng.integers(0, 3, 200).astype(np.uint8)
    many = Atlas(np.arange(200) * 3, pool, embeddings, embeddings, embeddings[:, :2], pool[:2])
    values = torch.from_numpy(embeddings).double()
    for index in (0, 90, 597):
        own = values[index // 3]
        far = (
            (values - own).norm(dim=1)
            if metric == "euclidean"
            else 1 - torch.cosine_similarity(values, own[None])
        )
        far[(torch.from_numpy(pool) != 2) | (torch.arange(200) == index // 3)] = torch.inf
        expected = far.topk(9, largest=False)
        neighbours, distances = nearest(many, index, 2, 9, metric=metric)
        assert neighbours.tolist() == (3 * expected.indices).tolist()
        np.testing.assert_allclose(distances, expected.values.numpy(), rtol=1e-9)


def test_an_image_outside_the_pools_is_refused(atlas: Atlas) -> None:
    for index in (0, 15, 80, -1):
        with pytest.raises(DataError, match=f"image {index} is not in this trial's pools"):
            nearest(atlas, index, LABELED, 1)


def test_rows_are_found_for_any_order() -> None:
    ordered = np.array([2, 5, 9])
    assert rows_of(ordered, [9, 2, 2]).tolist() == [2, 0, 0]
    assert rows_of(ordered, []).tolist() == []
    with pytest.raises(DataError, match="image 10 is"):
        rows_of(ordered, [5, 10])


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_margins_are_those_of_the_acquisition(classes: int) -> None:
    generator = torch.Generator().manual_seed(classes)
    probabilities = (3 * torch.randn(500, classes, generator=generator)).softmax(1)
    probabilities[0], probabilities[1] = 1 / classes, torch.eye(classes)[1]
    ours = margins(probabilities.numpy())
    assert ours.dtype == np.float32
    assert ours.tolist() == acquisition.margins(probabilities).tolist()


def test_class_shares_and_members_by_hand(atlas: Atlas) -> None:
    assert atlas.guesses.tolist() == [0, 0, 0, 2, 2, 0, 0]
    assert class_shares(atlas, [20, 50, 50, 10]).tolist() == [0.5, 0, 0.5]
    assert class_shares(atlas, []).tolist() == [0, 0, 0]
    assert atlas.members(LABELED).tolist() == [10, 40, 70]
    assert class_shares(atlas, atlas.members(UNLABELED_POOL)).tolist() == [0.5, 0, 0.5]


@pytest.mark.parametrize("neighbours", [None, np.ones((7, 2), np.float32)])
def test_an_atlas_is_loaded_as_it_was_kept(
    atlas: Atlas, tmp_path: Path, neighbours: np.ndarray | None
) -> None:
    """With a map by neighbours or, as older versions kept it, without."""
    atlas = dataclasses.replace(atlas, neighbours=neighbours)
    run = Workspace(tmp_path).create(describe(tiny_config()), Environment())
    with pytest.raises(StoreError, match="trial-3/atlas"):
        load_atlas(run, 3)
    fields = {field.name: getattr(atlas, field.name) for field in dataclasses.fields(Atlas)}
    stored = {name: array for name, array in fields.items() if array is not None}
    run.save_arrays("trial-3/atlas", stored | {"of_later": np.zeros(1)})
    loaded = load_atlas(run, 3)
    for name, array in stored.items():
        np.testing.assert_array_equal(getattr(loaded, name), array)
    assert loaded.lacking is None, "an older RAMBO did not note it"
    run.save_arrays("trial-4/atlas", stored | {"lacking": np.array([3])})
    assert load_atlas(run, 4).lacking == 3
    assert (loaded.neighbours is None) == (neighbours is None)
