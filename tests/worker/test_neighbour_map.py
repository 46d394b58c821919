"""The map by neighbours: what lies together in many dimensions does so in the plane, and small pools have none."""

import numpy as np
import pytest

from rambo.worker import neighbour_map as module
from rambo.worker.neighbour_map import neighbour_map
from rambo.worker.pictures import principal_map


def clusters(count: int, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Return embeddings of clusters whose centres no plane keeps apart, and the cluster of each."""
    rng = np.random.default_rng(0)
    centres = 8 * np.eye(count, 20)
    owner = np.arange(count * each) % count
    return (centres[owner] + rng.normal(size=(len(owner), 20))).astype(np.float32), owner


def own_share(points: np.ndarray, owner: np.ndarray) -> float:
    """Return how often an image's nearest neighbour on a map is of its own cluster."""
    distances = np.square(points[:, None] - points[None]).sum(2)
    np.fill_diagonal(distances, np.inf)
    return float((owner[distances.argmin(1)] == owner).mean())


@pytest.mark.parametrize("placed", [4000, 120])
def test_neighbours_stay_neighbours(placed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All placed by t-SNE, or most of them after their neighbours; better than two components in both cases."""
    monkeypatch.setattr(module, "PLACED", placed)
    embeddings, owner = clusters(8, 40)
    start, _ = principal_map(embeddings)
    points = neighbour_map(embeddings, start)
    assert points is not None
    assert points.shape == (320, 2)
    assert points.dtype == np.float32
    assert np.sqrt(np.square(points).mean()) == pytest.approx(1, rel=1e-4)
    assert own_share(points, owner) > 0.95 > own_share(start, owner)


def test_the_same_images_give_the_same_map() -> None:
    embeddings, _ = clusters(4, 20)
    start, _ = principal_map(embeddings)
    first, again = neighbour_map(embeddings, start), neighbour_map(embeddings, start)
    assert first is not None
    assert again is not None
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("embeddings", [np.ones((80, 4), np.float32), np.eye(20, dtype=np.float32)])
def test_images_all_alike_or_few_have_none(embeddings: np.ndarray) -> None:
    assert neighbour_map(embeddings, principal_map(embeddings)[0]) is None
