import dataclasses
import gzip
import hashlib

import numpy as np
import pytest
from dataset_helpers import refused, roles_of

from rambo.datasets import catalog, idx, prepared
from rambo.datasets.prepared import POOL, TEST, VALIDATION
from rambo.errors import shorten
from rambo.events import Noticed
from rambo.storage import places

MINI = "a39592d2c34ae32c72e40fcc14e96128"  # the split is fixed: this must never change


def ship_from(folder, monkeypatch):
    """Let the shipped files lie in `folder`."""
    entry = dataclasses.replace(catalog.CATALOG["fashion-mnist-mini"], folder=str(folder))
    monkeypatch.setitem(catalog.CATALOG, "fashion-mnist-mini", entry)


def test_shipped_split_is_exact_and_fixed(tmp_path):
    dataset = catalog.prepare("fashion-mnist-mini", tmp_path, data_root=tmp_path / "nothing")
    assert dataset.fingerprint == MINI
    assert dataset.images.shape == (10_000, 1, 28, 28)
    assert roles_of(dataset) == [8000, 1000, 1000]  # one role an image: the parts are disjoint
    for role, count in ((POOL, 800), (VALIDATION, 100), (TEST, 100)):
        assert np.bincount(dataset.labels[dataset.roles == role]).tolist() == [count] * 10
    assert dataset.classes[9] == "Ankle boot"
    assert (dataset.mean, dataset.std) == ((0.1307,), (0.3081,))
    assert "MIT" in dataset.licence


def test_shipped_images_keep_their_order(tmp_path):
    dataset = catalog.prepare("fashion-mnist-mini", tmp_path)
    with gzip.open(catalog.SHIPPED / "t10k-images-idx3-ubyte.gz") as file:
        assert file.read()[16:] == dataset.images.tobytes()


def test_readme_of_the_shipped_files_gives_their_hashes():
    readme = (catalog.SHIPPED / "README.md").read_text()
    for file in idx.TEST:
        packed = (catalog.SHIPPED / f"{file}.gz").read_bytes()
        for data in (packed, gzip.decompress(packed)):
            assert hashlib.sha256(data).hexdigest() in readme


def test_second_use_finds_the_first(tmp_path, monkeypatch):
    first = catalog.prepare("fashion-mnist-mini", tmp_path)
    ship_from(tmp_path / "gone", monkeypatch)
    events = []
    again = catalog.prepare("fashion-mnist-mini", tmp_path, emit=events.append)
    assert again.folder == first.folder
    assert events == []


@pytest.mark.parametrize("file", ["images.npy", "labels.npy", "roles.npy", "meta.json"])
def test_a_flipped_bit_is_noticed_and_the_dataset_made_again(tmp_path, file):
    folder = catalog.prepare("fashion-mnist-mini", tmp_path).folder
    data = bytearray((folder / file).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / file).write_bytes(data)
    events = []
    again = catalog.prepare("fashion-mnist-mini", tmp_path, emit=events.append)
    assert again.fingerprint == MINI
    prepared.open_prepared(again.folder, verify=True)
    if file != "meta.json":  # without its description nobody can tell which dataset it was
        assert len(events) == 1
        assert isinstance(events[0], Noticed)
        assert file in events[0].message


def test_damaged_shipped_file_is_named(tmp_path, monkeypatch):
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    for file in idx.TEST:
        data = (catalog.SHIPPED / f"{file}.gz").read_bytes()
        (shipped / f"{file}.gz").write_bytes(data)
    ship_from(shipped, monkeypatch)
    path = shipped / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-100])
    refused("fashion-mnist-mini", tmp_path, tmp_path, "t10k-labels-idx1-ubyte.gz")
    path.unlink()
    refused("fashion-mnist-mini", tmp_path, tmp_path, "t10k-labels-idx1-ubyte.gz", "No such file")
    assert not (tmp_path / "datasets").exists()


def test_data_root_may_come_from_the_environment(mnist, tmp_path, monkeypatch):
    monkeypatch.setenv("RAMBO_DATA", str(mnist))
    assert len(catalog.prepare("mnist", tmp_path).images) == 50
    monkeypatch.setenv("RAMBO_DATA", "")
    assert catalog.default_root() == places.IMPORT_FOLDER / "data" / "downloads"


@pytest.mark.parametrize(
    "name",
    [
        "imagenet",
        "",
        "MNIST",
        "x" * 5000,
        "a\nb\x1b[2J",
        "\u202egnp.evil",
        "\ud800",
        "<script>alert(1)</script>",
        "../../etc/passwd",
    ],
)
def test_unknown_names_are_refused_in_short(tmp_path, name):
    text = refused(name, tmp_path, tmp_path, "unknown", "choose one of", "svhn", ".npz")
    assert text.isprintable()
    assert shorten(name) in text
    assert len(text) < 250


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "\ud800", "a\nb", "../" * 500, "~/x", "/"])
def test_hostile_paths_are_refused_in_short(tmp_path, name):
    text = refused(f"{name}.npz", tmp_path, tmp_path, "no such file")
    assert text.isprintable()
    assert len(text) < 500


def test_catalog_names_and_their_pictures_agree():
    assert list(catalog.CATALOG) == [
        "fashion-mnist-mini",
        "mnist",
        "fashion-mnist",
        "cifar10",
        "svhn",
    ]
    for entry in catalog.CATALOG.values():
        assert len(entry.classes) == 10
        assert len(entry.mean) == len(entry.std) in (1, 3)
