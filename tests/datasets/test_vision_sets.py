import gzip
import hashlib
import pickle
import socket
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from dataset_helpers import FILES, Bomb, idx_arrays, refused, roles_of

from rambo.datasets import catalog, vision_sets


def test_mnist_is_train_rows_then_test_rows(mnist, tmp_path):
    dataset = catalog.prepare("mnist", tmp_path, data_root=mnist)
    arrays = list(idx_arrays())
    assert np.array_equal(dataset.images[:, 0], np.concatenate(arrays[::2]))
    assert np.array_equal(dataset.labels, np.concatenate(arrays[1::2]))
    assert roles_of(dataset) == [30, 0, 20]
    assert dataset.classes == tuple("0123456789")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("mnist", "train-images-idx3-ubyte.gz"),
        ("fashion-mnist", "t10k-labels-idx1-ubyte.gz"),
        ("cifar10", "data_batch_5"),
        ("svhn", "train_32x32.mat"),
    ],
)
def test_missing_files_offline_are_listed(tmp_path, offline, name, file):
    root = tmp_path / "root"
    folder = str(root / catalog.CATALOG[name].folder)
    refused(name, tmp_path, root, name, file, folder, "RAMBO_DATA", "no route to host")
    assert offline
    assert set(offline) == {30.0}
    assert socket.getdefaulttimeout() is None


def test_data_root_that_cannot_be_written_is_one_line(tmp_path, offline):
    (tmp_path / "root").write_text("a file where the folder should be")
    for name in ("mnist", "cifar10", "svhn"):
        refused(name, tmp_path, tmp_path / "root", name, "RAMBO_DATA")


def test_a_finished_download_is_read(mnist, tmp_path, monkeypatch):
    raw = mnist / "MNIST" / "raw"
    missing = raw / f"{FILES[0]}.gz"
    data = missing.read_bytes()
    missing.unlink()

    def download(url, download_root, filename, md5):
        plain = filename.removesuffix(".gz")
        packed = data if filename == missing.name else (raw / filename).read_bytes()
        (Path(download_root) / plain).write_bytes(gzip.decompress(packed))

    module = vision_sets.load("torchvision.datasets.mnist")
    monkeypatch.setattr(module, "download_and_extract_archive", download)
    assert len(catalog.prepare("mnist", tmp_path, data_root=mnist).images) == 50


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """A data root with a tiny CIFAR-10 whose md5s torchvision expects."""
    root = tmp_path / "root"
    folder = root / "CIFAR10" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    draw = np.random.default_rng(4)
    md5 = {}
    for file in catalog.CATALOG["cifar10"].files:
        pixels = draw.integers(0, 256, (10, 3072), dtype=np.uint8)
        content = {"data": pixels, "labels": list(range(10)), "label_names": ["x"] * 10}
        (folder / file).write_bytes(pickle.dumps(content))
        md5[file] = hashlib.md5((folder / file).read_bytes()).hexdigest()
    reader = vision_sets.load("torchvision.datasets").CIFAR10
    batches = [[file, md5[file]] for file in md5 if "batch_" in file]
    monkeypatch.setattr(reader, "train_list", batches)
    monkeypatch.setattr(reader, "test_list", [["test_batch", md5["test_batch"]]])
    monkeypatch.setattr(reader, "meta", {**reader.meta, "md5": md5["batches.meta"]})
    return root


def test_cifar10_keeps_channels_first(cifar, tmp_path):
    dataset = catalog.prepare("cifar10", tmp_path, data_root=cifar)
    path = cifar / "CIFAR10" / "cifar-10-batches-py" / "data_batch_1"
    first = pickle.loads(path.read_bytes())["data"]  # noqa: S301 - written above
    assert dataset.images.shape == (60, 3, 32, 32)
    assert np.array_equal(dataset.images[:10], first.reshape(10, 3, 32, 32))
    assert roles_of(dataset) == [50, 0, 10]
    assert dataset.classes[1] == "automobile"


def test_corrupt_cifar10_is_refused_by_md5_and_not_unpickled(cifar, tmp_path, offline):
    marker = tmp_path / "marker"
    path = cifar / "CIFAR10" / "cifar-10-batches-py" / "data_batch_3"
    whole = path.read_bytes()
    path.write_bytes(pickle.dumps(Bomb(marker)))
    refused("cifar10", tmp_path, cifar, "data_batch_3", "md5")
    for data in (whole[:-1], whole + b"x", b""):
        path.write_bytes(data)
        refused("cifar10", tmp_path, cifar, "data_batch_3", "md5")
    assert offline == []  # nothing is fetched over a damaged file without a word
    path.unlink()
    refused("cifar10", tmp_path, cifar, "data_batch_3", "no route to host")
    assert not marker.exists()
    assert not (tmp_path / "datasets").exists()


def test_intact_but_strange_cifar10_is_refused(cifar, tmp_path, monkeypatch):
    path = cifar / "CIFAR10" / "cifar-10-batches-py" / "test_batch"
    path.write_bytes(pickle.dumps({"data": "no pixels"}))
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    reader = vision_sets.load("torchvision.datasets").CIFAR10
    monkeypatch.setattr(reader, "test_list", [["test_batch", md5]])
    refused("cifar10", tmp_path, cifar, "cifar10", "RAMBO_DATA")


@pytest.fixture
def svhn(tmp_path, monkeypatch):
    """A data root with a tiny SVHN; digit 0 is labeled 10, as in the official files."""
    root = tmp_path / "root"
    (root / "SVHN").mkdir(parents=True)
    reader = vision_sets.load("torchvision.datasets").SVHN
    parts = dict(reader.split_list)
    for split, count in (("train", 20), ("test", 10)):
        file = root / "SVHN" / f"{split}_32x32.mat"
        images = np.arange(32 * 32 * 3 * count).reshape(32, 32, 3, count).astype(np.uint8)
        labels = np.arange(count).reshape(-1, 1) % 10 + 1
        scipy.io.savemat(file, {"X": images, "y": labels.astype(np.uint8)})
        md5 = hashlib.md5(file.read_bytes()).hexdigest()
        parts[split] = [parts[split][0], file.name, md5]
    monkeypatch.setattr(reader, "split_list", parts)
    return root


def test_svhn_is_read_from_mat_files(svhn, tmp_path):
    dataset = catalog.prepare("svhn", tmp_path, data_root=svhn)
    assert dataset.images.shape == (30, 3, 32, 32)
    assert dataset.labels[:11].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    images = scipy.io.loadmat(svhn / "SVHN" / "train_32x32.mat")["X"]
    assert np.array_equal(dataset.images[7], images[..., 7].transpose(2, 0, 1))
    assert roles_of(dataset) == [20, 0, 10]
    assert dataset.mean == (0.485, 0.456, 0.406)


def test_damaged_svhn_is_refused(svhn, tmp_path, offline):
    path = svhn / "SVHN" / "test_32x32.mat"
    path.write_bytes(path.read_bytes()[:-7])
    refused("svhn", tmp_path, svhn, "test_32x32.mat", "md5")
    path.unlink()
    refused("svhn", tmp_path, svhn, "test_32x32.mat", "no route to host")
