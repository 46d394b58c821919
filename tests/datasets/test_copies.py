"""Near copies join a prepared copy of a dataset, are found by the rule of collections, and fill a pool by scenes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_config

from rambo import errors
from rambo.config import Config, CorruptionConfig
from rambo.datasets import catalog, copies, foreign
from rambo.datasets.prepared import COPY, POOL, Prepared
from rambo.worker import trial as trials


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("copies")


@pytest.fixture(scope="module")
def data(workspace: Path) -> Prepared:
    """The shipped images with a near copy of as many as its pool has."""
    clean = catalog.prepare("fashion-mnist-mini", workspace)
    return foreign.with_foreign(clean, CorruptionConfig(copies=0.4), workspace)


def settings(**changes: object) -> Config:
    return tiny_config(
        dataset={"name": "fashion-mnist-mini", "corruption": {"copies": 0.4}}, **changes
    )


def test_copies_follow_the_own_images_in_scenes_with_their_labels(
    data: Prepared, workspace: Path
) -> None:
    clean = catalog.prepare("fashion-mnist-mini", workspace)
    own, copied = len(clean.images), data.roles == COPY
    assert copied.sum() == (clean.roles == POOL).sum() == len(data.images) - own
    assert copied[own:].all()
    originals = copies.scenes(data)
    assert originals is not None
    assert (originals[:own] == np.arange(own)).all()
    assert np.isin(originals[own:], np.flatnonzero(clean.roles == POOL)).all()
    assert (data.labels == data.labels[originals]).all()
    frames = np.unique(originals[own:], return_counts=True)[1]
    assert sorted(frames)[1:] == [copies.FRAMES - 1] * (len(frames) - 1)
    gap = np.abs(data.images[own:].astype(int) - data.images[originals[own:]])
    assert 0 < gap.mean() < 8
    assert gap.max() <= 0.03 * 255 + 4 + 1
    assert copies.scenes(clean) is None
    assert copies.with_copies(clean, 0.0, workspace) is clean
    assert copies.with_copies(data, 0.2, workspace) is data
    assert copies.with_copies(clean, 0.2, workspace).fingerprint == data.fingerprint


def test_the_rule_for_collections_finds_them(data: Prepared) -> None:
    originals, clusters = copies.scenes(data), data.clusters
    assert originals is not None
    assert clusters is not None
    copied = np.flatnonzero(data.roles == COPY)
    assert (clusters[copied] == clusters[originals[copied]]).mean() > 0.97


def test_a_share_of_the_pool_is_copies_of_what_is_in_it(data: Prepared) -> None:
    trial = trials.split(settings(acquisition={"per_cluster": None}), data, 0, None)
    pool, originals = trial.problem.unlabeled, trial.scenes
    assert originals is not None
    copied = pool[originals[pool] != pool]
    assert (len(pool), len(copied)) == (len(pool.unique()), round(0.4 * len(pool)))
    assert torch.isin(originals[copied], pool).all()
    frames = originals[copied].unique(return_counts=True)[1]
    # The dataset's last scene may be short, and the share may cut another.
    assert frames.sort().values[2:].tolist() == [copies.FRAMES - 1] * (len(frames) - 2)
    clean = trials.split(tiny_config(dataset={"name": "fashion-mnist-mini"}), data, 0, None)
    assert len(clean.problem.unlabeled) == len(pool)
    assert clean.problem.labeled.equal(trial.problem.labeled)


def test_an_oracle_says_the_same_of_a_picture_and_its_copies(data: Prepared) -> None:
    noisy = {"name": "fashion-mnist-mini", "corruption": {"copies": 0.4, "label_noise": 0.5}}
    trial = trials.split(tiny_config(dataset=noisy), data, 0, None)
    pool, originals, oracle = trial.problem.unlabeled, trial.scenes, trial.oracle
    assert originals is not None
    assert oracle is not None
    assert oracle[pool].equal(oracle[originals[pool]])
    assert not oracle.equal(torch.from_numpy(data.labels))


def test_a_label_of_a_scene_that_has_one_is_wasted_and_the_rule_saves_it(data: Prepared) -> None:
    config = settings(acquisition={"per_cluster": None})
    trial = trials.split(config, data, 0, None)
    assert trial.scenes is not None
    pool = trial.problem.unlabeled
    scene = pool[trial.scenes[pool] == trial.scenes[pool].mode().values]
    assert trials._wasted(trial, scene[:5], config) == {"labels wasted": 4}
    ruled = trials.split(settings(), data, 0, None)
    assert ruled.restriction is not None
    assert np.isin(scene.numpy(), ruled.restriction.candidates).sum() <= 1


def test_copies_and_foreign_images_are_not_mixed() -> None:
    with pytest.raises(errors.ConfigError, match="not mixed with foreign images") as refused:
        tiny_config(dataset={"corruption": {"copies": 0.4, "foreign": 0.2}})
    assert refused.value.field == "dataset.corruption.copies"
