"""A version of a collection as a prepared dataset: the same bytes each time, unknown labels never a class."""

import numpy as np
import pytest
from PIL import Image

from rambo import collection as own
from rambo.collection.importing import ImportOptions, import_images
from rambo.collection.records import LabelEntry
from rambo.datasets import catalog, collections, prepared
from rambo.datasets.prepared import LABELED, POOL, TEST, UNLABELED, VALIDATION
from rambo.errors import DataError, RunNotFoundError


@pytest.fixture
def pets(tmp_path):
    """A workspace with a collection of 20 images, 10 of them labeled, in colour."""
    draw = np.random.default_rng(0)
    for number in range(20):
        folder = tmp_path / "pets" / (("cat", "dog")[number % 2] if number < 10 else "pool")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 256, (12, 10, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return import_images(tmp_path, tmp_path / "pets", ImportOptions(jobs=1)).collection


def test_roles_are_the_same_numbers_in_both_rooms():
    assert (own.POOL, own.VALIDATION, own.TEST, own.LABELED) == (POOL, VALIDATION, TEST, LABELED)
    assert own.UNKNOWN == UNLABELED


def test_a_collection_is_a_dataset_by_name(pets, tmp_path):
    now = pets.snapshot()
    data = catalog.prepare("collection:pets", tmp_path)
    assert data.images.shape == (20, 3, 12, 10)
    assert data.classes == ("cat", "dog")
    assert np.array_equal(data.labels, now.labels)
    assert np.array_equal(data.roles, now.roles)
    assert set(data.labels[data.roles == POOL].tolist()) == {UNLABELED}
    assert [int((data.roles == role).sum()) for role in (LABELED, VALIDATION, POOL)] == [8, 2, 10]
    assert data.collection == "pets@1"
    assert data.partly_labeled
    names = data.names()
    assert names.files == now.files
    assert names.ids == now.ids
    first = Image.open(tmp_path / "pets" / names.files[3])
    assert np.array_equal(data.images[3].transpose(1, 2, 0), np.asarray(first))
    taught = data.images[:] / 255
    assert data.mean == pytest.approx(taught[data.roles != VALIDATION].mean(axis=(0, 2, 3)))


def test_a_version_gives_the_same_bytes_after_others_came(pets, tmp_path):
    before = catalog.prepare("collection:pets", tmp_path)
    number = int(pets.snapshot().numbers[-1])
    pets.add_labels([LabelEntry(number, "fox", "by hand")], "one label")
    after = catalog.prepare("collection:pets", tmp_path)
    assert after.classes == ("cat", "dog", "fox")
    assert after.collection == "pets@2"
    assert catalog.pinned("collection:pets", tmp_path) == "collection:pets@2"
    assert catalog.pinned("collection:pets@1", tmp_path) == "collection:pets@1"
    assert catalog.pinned("mnist", tmp_path) == "mnist"
    assert catalog.prepare("collection:pets@1", tmp_path).folder == before.folder
    prepared.discard(before.folder)
    again = catalog.prepare("collection:pets@1", tmp_path)
    assert again.fingerprint == before.fingerprint
    origin = catalog.origin_of("collection:pets@1", workspace=tmp_path)
    assert prepared.find(tmp_path, origin) == again.folder


def test_another_size_reads_the_originals_again(pets, tmp_path):
    data = collections.prepare(pets, tmp_path, frame=own.Frame(24, 20))
    assert data.images.shape == (20, 3, 24, 20)
    (tmp_path / "pets" / "cat" / "0.png").unlink()
    assert catalog.prepare("collection:pets", tmp_path).images.shape == (20, 3, 12, 10)
    with pytest.raises(DataError, match=r"cat/0\.png is gone or was changed"):
        collections.prepare(pets, tmp_path, frame=own.Frame(16, 16))


def test_grey_images_have_one_channel(tmp_path):
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (12, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", images=images, labels=np.arange(12) % 2)
    import_images(tmp_path, tmp_path / "x.npz", ImportOptions(jobs=1))
    data = catalog.prepare("collection:x", tmp_path)
    assert np.array_equal(data.images[:, 0], images)


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("collection:none", RunNotFoundError, "no such collection"),
        ("collection:pets@7", DataError, "no version 7; it has versions 1 to 1"),
        ("collection:../pets", DataError, "no collection is called so"),
        ("collection:", DataError, "no collection is called so"),
        ("collection:pets@-1", DataError, "no collection is called so"),
    ],
)
def test_names_that_mean_nothing_are_refused(pets, tmp_path, name, error, words):
    with pytest.raises(error, match=words):
        catalog.prepare(name, tmp_path)
    assert catalog.origin_of(name, workspace=tmp_path) is None


def test_without_a_single_class_the_way_out_is_told(tmp_path):
    np.savez(
        tmp_path / "x.npz", images=np.random.default_rng(0).integers(0, 256, (9, 12, 12), np.uint8)
    )
    import_images(tmp_path, tmp_path / "x.npz", ImportOptions(jobs=1))
    with pytest.raises(DataError, match="no class is known; label a few images"):
        catalog.prepare("collection:x", tmp_path)
