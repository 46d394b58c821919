"""The preview of OT on the page Data: its bounds are true, and what it measures between is said."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from scipy.spatial.distance import cdist

from rambo.datasets import prepared
from rambo.datasets.disk import file_hash
from rambo.datasets.prepared import POOL, VALIDATION, Prepared
from rambo.method.transport import exact_transport
from rambo.ui.data import reach


@pytest.fixture(autouse=True)
def _fresh_caches() -> Iterator[None]:
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


def images_of(folder: Path, *shape: int, pool: int = 60, validation: int = 40) -> Prepared:
    rng = np.random.default_rng(0)
    total = pool + validation
    return prepared.write(
        folder,
        name="made up",
        images=rng.integers(0, 255, (total, *shape), dtype=np.uint8),
        labels=np.arange(total, dtype=np.int64) % 2,
        roles=np.repeat([POOL, VALIDATION], [pool, validation]).astype(np.uint8),
        classes=("a", "b"),
        mean=[0.1] * shape[0],
        std=[0.1] * shape[0],
        source="",
        licence="",
        origin="made-up/1",
    )


def test_the_whole_of_s_0_lies_in_its_bounds(tmp_path: Path) -> None:
    data = images_of(tmp_path, 1, 28, 28)
    pool, validation = np.arange(60), np.arange(60, 100)
    reached = reach.measure(data, "auto", pool, validation, seed=1)
    assert reached.space == "between pixels"
    assert len(reached.sizes) == 64
    assert (reached.sizes[0], reached.sizes[-1]) == (10, 60)
    flat = data.images.reshape(100, -1) / 255
    exact = exact_transport(cdist(flat[:60], flat[60:], "sqeuclidean"))
    assert reached.transport.lower[-1] <= exact <= reached.transport.upper[-1]
    assert reached.transport.values[-1] == pytest.approx(exact, rel=0.02)
    again = reach.measure(data, "auto", pool, validation, seed=1)
    np.testing.assert_array_equal(again.transport.values, reached.transport.values)


def test_a_tiny_pool_is_measured_too(tmp_path: Path) -> None:
    data = images_of(tmp_path, 1, 28, 28)
    reached = reach.measure(data, "auto", np.arange(2), np.arange(60, 61), seed=0)
    assert set(reached.sizes) == {2}
    assert np.isfinite(reached.transport.upper).all()


def test_large_pools_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "_MOST", 20)
    data = images_of(tmp_path, 1, 28, 28)
    assert reach.measure(data, "auto", np.arange(60), np.arange(60, 100), seed=0).sizes[-1] == 20


def test_colour_images_are_described_by_finished_features(tmp_path: Path) -> None:
    data = images_of(tmp_path, 3, 8, 8)
    pool, validation = np.arange(60), np.arange(60, 100)
    missing = reach.measure(data, "auto", pool, validation, seed=0)
    assert "features that the run reads are not here" in missing.space
    features = np.random.default_rng(1).random((100, 5), dtype=np.float32)
    file = data.folder / "features-resnet18-64.npy"
    np.save(file, features)
    assert (
        reach.measure(data, "auto", pool, validation, seed=0).space == missing.space
    )  # not finished
    file.with_suffix(".sha256").write_text(file_hash(file), encoding="ascii")
    there = reach.measure(data, "auto", pool, validation, seed=0)
    assert there.space == "between frozen features"
    exact = exact_transport(cdist(features[:60], features[60:], "sqeuclidean"))
    assert there.transport.lower[-1] <= exact <= there.transport.upper[-1]


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ((112.41, 116.09), "112.4 to 116.1"),
        ((0.012341, 0.012977), "0.01234 to 0.01298"),
        ((51234.2, 52000.9), "51,234 to 52,001"),
        ((0.0, 0.0), "0 to 0"),
    ],
)
def test_bounds_in_words(bounds: tuple[float, float], words: str) -> None:
    assert reach.span(*bounds) == words
