"""Foreign images join a prepared copy of a dataset and are in none of its pools."""

from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_config, write_tiny

from rambo.config import CorruptionConfig
from rambo.datasets import catalog, foreign
from rambo.datasets.prepared import FOREIGN, UNLABELED
from rambo.errors import DataError
from rambo.runs.workspace import Workspace, create_run


@pytest.fixture
def source(tmp_path: Path) -> str:
    """Return an archive of 150 bright colour images, 10 x 12 pixels."""
    path = tmp_path / "bright.npz"
    images = np.full((150, 10, 12, 3), (200, 220, 240), np.uint8)
    np.savez(path, images=images, labels=np.arange(150) % 3)
    return str(path)


def test_nothing_is_prepared_without_foreign_images(tmp_path: Path) -> None:
    data = write_tiny(tmp_path)
    assert foreign.with_foreign(data, CorruptionConfig(), tmp_path) is data


def test_foreign_images_follow_the_own_ones_resized_and_without_a_class(
    tmp_path: Path, source: str
) -> None:
    data = write_tiny(tmp_path)
    settings = CorruptionConfig(foreign=0.4, foreign_source=source)
    mixed = foreign.with_foreign(data, settings, tmp_path)
    assert mixed.images.shape == (300, 1, 28, 28)  # as many as the pool's 100
    assert (mixed.images[:200] == data.images).all()
    assert (mixed.images[200:] == 220).all()
    assert (mixed.labels[200:] == UNLABELED).all()
    assert (mixed.roles[200:] == FOREIGN).all()
    assert mixed.classes == data.classes
    assert (mixed.class_of(1), mixed.class_of(250)) == ("upper right", "none of these")
    assert not mixed.partly_labeled
    assert foreign.with_foreign(mixed, settings, tmp_path) is mixed


def test_every_share_has_one_dataset_in_common(tmp_path: Path, source: str) -> None:
    data = write_tiny(tmp_path)
    some, more = (
        foreign.with_foreign(data, CorruptionConfig(foreign=share, foreign_source=source), tmp_path)
        for share in (0.2, 0.6)
    )
    assert some.fingerprint == more.fingerprint != data.fingerprint


def test_a_dataset_is_not_foreign_to_itself(tmp_path: Path, source: str) -> None:
    data = catalog.prepare(source, tmp_path)
    with pytest.raises(DataError, match="name another dataset"):
        foreign.with_foreign(data, CorruptionConfig(foreign=0.2, foreign_source=source), tmp_path)


def test_colour_is_repeated_where_it_is_wanted() -> None:
    grey = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 1, 4, 4)
    assert (foreign.resized(grey, (3, 4, 4)) == grey).all()


def test_what_is_foreign_where_nothing_is_said() -> None:
    assert foreign.default_source("fashion-mnist") == "mnist"
    assert foreign.default_source("mnist") == foreign.default_source("mine") == "fashion-mnist-mini"


def test_a_run_is_made_for_the_dataset_with_its_foreign_images(tmp_path: Path, source: str) -> None:
    data, workspace = write_tiny(tmp_path), Workspace(tmp_path)
    changes = {"corruption": {"foreign": 0.4, "foreign_source": source}}
    mixed = create_run(tiny_config(dataset=changes), data, workspace, "cpu").environment.dataset
    clean = create_run(tiny_config(), data, workspace, "cpu").environment.dataset
    assert clean.fingerprint == data.fingerprint != mixed.fingerprint
