import gzip
import hashlib
import io
import pickle
import socket
import struct
import urllib.error
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from rambo import vision
from rambo.config import shorten
from rambo.datasets import catalog, prepared
from rambo.datasets.prepared import POOL, TEST, VALIDATION
from rambo.errors import DataError
from rambo.events import Noticed

FILES = catalog.IDX_TRAIN + catalog.IDX_TEST
MINI = "a39592d2c34ae32c72e40fcc14e96128"  # the split is fixed: this must never change


def refused(name, workspace, root, *words):
    """Prepare, expect one line of refusal with all `words`, and return it."""
    with pytest.raises(DataError) as caught:
        catalog.prepare(name, workspace, data_root=root)
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text
    return text


def roles_of(dataset):
    return [int((dataset.roles == role).sum()) for role in (POOL, VALIDATION, TEST)]


# --- the shipped dataset ----------------------------------------------------------------------


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
    for file in catalog.IDX_TEST:
        packed = (catalog.SHIPPED / f"{file}.gz").read_bytes()
        for data in (packed, gzip.decompress(packed)):
            assert hashlib.sha256(data).hexdigest() in readme


def test_second_use_finds_the_first(tmp_path, monkeypatch):
    first = catalog.prepare("fashion-mnist-mini", tmp_path)
    monkeypatch.setattr(catalog, "SHIPPED", tmp_path / "gone")
    heard = []
    again = catalog.prepare("fashion-mnist-mini", tmp_path, emit=heard.append)
    assert again.folder == first.folder
    assert heard == []


@pytest.mark.parametrize("file", ["images.npy", "labels.npy", "roles.npy", "meta.json"])
def test_a_flipped_bit_is_noticed_and_the_dataset_made_again(tmp_path, file):
    folder = catalog.prepare("fashion-mnist-mini", tmp_path).folder
    data = bytearray((folder / file).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / file).write_bytes(data)
    heard = []
    again = catalog.prepare("fashion-mnist-mini", tmp_path, emit=heard.append)
    assert again.fingerprint == MINI
    prepared.open_prepared(again.folder, verify=True)
    if file != "meta.json":  # without its description nobody can tell which dataset it was
        assert len(heard) == 1
        assert isinstance(heard[0], Noticed)
        assert file in heard[0].message


def test_damaged_shipped_file_is_named(tmp_path, monkeypatch):
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    for file in catalog.IDX_TEST:
        data = (catalog.SHIPPED / f"{file}.gz").read_bytes()
        (shipped / f"{file}.gz").write_bytes(data)
    monkeypatch.setattr(catalog, "SHIPPED", shipped)
    path = shipped / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-100])
    refused("fashion-mnist-mini", tmp_path, tmp_path, "t10k-labels-idx1-ubyte.gz")
    path.unlink()
    refused("fashion-mnist-mini", tmp_path, tmp_path, "t10k-labels-idx1-ubyte.gz", "No such file")
    assert not (tmp_path / "datasets").exists()


# --- splits -----------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=60))
def test_split_of_any_histogram(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    np.random.default_rng(0).shuffle(labels)
    size = len(labels) // 10
    roles = catalog.stratified_roles(labels, size)
    shares = [np.bincount(labels[roles == r], minlength=len(counts)) for r in (0, 1, 2)]
    pool, validation, test = shares
    large = np.array(counts) >= 3
    assert (validation[large] >= 1).all()
    exact = size * np.array(counts) / len(labels)
    assert test.sum() == size
    assert size <= validation.sum() <= size + large.sum()
    assert (validation <= np.maximum(np.floor(exact) + 1, large)).all()
    assert (test <= np.floor(exact) + 1).all()
    assert (pool[large] >= 1).all()
    assert np.array_equal(roles, catalog.stratified_roles(labels, size))


def test_split_is_the_same_on_every_machine():
    roles = catalog.stratified_roles(np.arange(200) % 4, 20)
    assert np.flatnonzero(roles == VALIDATION)[:6].tolist() == [17, 47, 49, 55, 56, 61]


# --- IDX files --------------------------------------------------------------------------------


def idx(array, packed=True):
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    data = header + array.tobytes()
    return gzip.compress(data, mtime=0) if packed else data


def idx_arrays():
    draw = np.random.default_rng(0)
    for count in (30, 20):
        yield draw.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        yield (np.arange(count) % 10).astype(np.uint8)


@pytest.fixture
def mnist(tmp_path, monkeypatch):
    """A data root with a tiny MNIST of .gz files whose hashes are the expected ones."""
    root = tmp_path / "root"
    (root / "MNIST" / "raw").mkdir(parents=True)
    for file, array in zip(FILES, idx_arrays(), strict=True):
        (root / "MNIST" / "raw" / f"{file}.gz").write_bytes(idx(array))
    sums = tuple(hashlib.sha256(idx(a, packed=False)).hexdigest() for a in idx_arrays())
    monkeypatch.setitem(catalog.IDX_SHA256, "mnist", sums)
    return root


@pytest.fixture
def offline(monkeypatch):
    """No download of torchvision's succeeds; returns the socket timeouts it ran under."""
    timeouts = []

    def fail(*args, **kwargs):
        timeouts.append(socket.getdefaulttimeout())
        raise urllib.error.URLError("no route\nto host")

    utils = vision.load("torchvision.datasets.utils")
    for module in (
        vision.load("torchvision.datasets.mnist"),
        vision.load("torchvision.datasets.cifar"),
    ):
        monkeypatch.setattr(module, "download_and_extract_archive", fail)
    monkeypatch.setattr(vision.load("torchvision.datasets.svhn"), "download_url", fail)
    monkeypatch.setattr(utils, "_urlretrieve", fail)
    return timeouts


def test_mnist_is_train_rows_then_test_rows(mnist, tmp_path):
    dataset = catalog.prepare("mnist", tmp_path, data_root=mnist)
    arrays = list(idx_arrays())
    assert np.array_equal(dataset.images[:, 0], np.concatenate(arrays[::2]))
    assert np.array_equal(dataset.labels, np.concatenate(arrays[1::2]))
    assert roles_of(dataset) == [30, 0, 20]
    assert dataset.classes == tuple("0123456789")


@pytest.mark.parametrize("form", ["packed", "plain", "mixed", "both"])
def test_mnist_loads_in_every_form_without_touching_the_folder(mnist, tmp_path, form):
    raw = mnist / "MNIST" / "raw"
    for place, file in enumerate(FILES):
        packed = raw / f"{file}.gz"
        if form in ("plain", "both") or (form == "mixed" and place % 2):
            (raw / file).write_bytes(gzip.decompress(packed.read_bytes()))
            if form != "both":
                packed.unlink()
    before = {path: path.stat().st_mtime_ns for path in mnist.rglob("*")}
    raw.chmod(0o555)
    dataset = catalog.prepare("mnist", tmp_path, data_root=mnist)
    raw.chmod(0o755)
    assert len(dataset.images) == 50
    assert {path: path.stat().st_mtime_ns for path in mnist.rglob("*")} == before


def test_data_root_may_come_from_the_environment(mnist, tmp_path, monkeypatch):
    monkeypatch.setenv("RAMBO_DATA", str(mnist))
    assert len(catalog.prepare("mnist", tmp_path).images) == 50
    monkeypatch.setenv("RAMBO_DATA", "")
    assert catalog.default_root() == catalog.PROJECT / "data" / "downloads"


@pytest.mark.parametrize("packed", [True, False])
def test_mutated_idx_files_are_refused_or_harmless(tmp_path, packed):
    array = next(idx_arrays())[:4]
    whole = idx(array, packed)
    sha256 = hashlib.sha256(idx(array, packed=False)).hexdigest()
    path = tmp_path / ("images.gz" if packed else "images")
    draw = np.random.default_rng(3)
    refusals = 0
    for turn in range(250):
        changed = bytearray(whole)
        place = draw.integers(20 if turn % 2 else len(whole))  # half of them in the headers
        if turn % 5 == 0:
            del changed[place:]
        elif turn % 5 == 1:
            changed.insert(place, draw.integers(256))
        else:
            changed[place] ^= 1 << draw.integers(8)
        path.write_bytes(changed)
        try:
            found = catalog.read_idx(path, 3, sha256)
        except DataError as error:
            refusals += str(path.name) in str(error) and "\n" not in str(error)
        else:
            assert np.array_equal(found, array)  # such as a changed date in gzip's header
            refusals += packed
    assert refusals == 250


def test_idx_header_alone_cannot_ask_for_memory(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(bytes((0, 0, 8, 3)) + struct.pack(">3I", 2**31, 2**31, 2**31))
    with pytest.raises(DataError, match="asks for"):
        catalog.read_idx(path, 3)


def test_gzip_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "labels.gz"
    bomb = bytes((0, 0, 8, 1)) + struct.pack(">I", 10) + bytes(200_000_000)
    path.write_bytes(gzip.compress(bomb, 1))
    with pytest.raises(DataError, match="10 bytes"):
        catalog.read_idx(path, 1)


@pytest.mark.parametrize(
    ("place", "array"),
    [
        (1, np.full(30, 10, np.uint8)),  # a label beyond 9
        (1, np.zeros(29, np.uint8)),  # one label short
        (0, np.zeros((30, 28, 27), np.uint8)),
    ],
)
def test_files_that_do_not_belong_together_are_refused(mnist, tmp_path, monkeypatch, place, array):
    (mnist / "MNIST" / "raw" / f"{FILES[place]}.gz").write_bytes(idx(array))
    monkeypatch.setitem(catalog.IDX_SHA256, "mnist", (None,) * 4)
    refused("mnist", tmp_path, mnist, FILES[place], "belong together")
    assert not (tmp_path / "datasets").exists()


def test_wrong_hash_names_file_and_expected_hash(mnist, tmp_path, monkeypatch):
    monkeypatch.setitem(catalog.IDX_SHA256, "mnist", ("0" * 64,) * 4)
    refused("mnist", tmp_path, mnist, FILES[0], "0" * 64)


# --- downloads --------------------------------------------------------------------------------


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

    module = vision.load("torchvision.datasets.mnist")
    monkeypatch.setattr(module, "download_and_extract_archive", download)
    assert len(catalog.prepare("mnist", tmp_path, data_root=mnist).images) == 50


# --- CIFAR-10 and SVHN ------------------------------------------------------------------------


class Bomb:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


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
    reader = vision.load("torchvision.datasets").CIFAR10
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
    reader = vision.load("torchvision.datasets").CIFAR10
    monkeypatch.setattr(reader, "test_list", [["test_batch", md5]])
    refused("cifar10", tmp_path, cifar, "cifar10", "RAMBO_DATA")


@pytest.fixture
def svhn(tmp_path, monkeypatch):
    """A data root with a tiny SVHN; digit 0 is labeled 10, as in the official files."""
    root = tmp_path / "root"
    (root / "SVHN").mkdir(parents=True)
    reader = vision.load("torchvision.datasets").SVHN
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


# --- .npz files -------------------------------------------------------------------------------


def npz_arrays(count=60, colour=False, classes=(-5, 7, 300)):
    draw = np.random.default_rng(5)
    shape = (count, 8, 9, 3) if colour else (count, 8, 9)
    labels = np.array(classes)[np.arange(count) % len(classes)]
    return {"images": draw.integers(0, 256, shape, dtype=np.uint8), "labels": labels}


def test_npz_of_images_and_labels(tmp_path):
    arrays = npz_arrays()
    np.savez_compressed(tmp_path / "my data.npz", **arrays, extra=np.arange(3))
    dataset = catalog.prepare(str(tmp_path / "my data.npz"), tmp_path)
    assert dataset.name == "my data"
    assert dataset.classes == ("-5", "7", "300")
    assert dataset.labels.tolist() == [0, 1, 2] * 20
    assert np.array_equal(dataset.images[:, 0], arrays["images"])
    assert roles_of(dataset) == [48, 6, 6]
    for role in (VALIDATION, TEST):
        assert np.bincount(dataset.labels[dataset.roles == role]).tolist() == [2, 2, 2]
    pool = arrays["images"][dataset.roles == POOL] / 255
    assert dataset.mean == pytest.approx((pool.mean(),))
    assert dataset.std == pytest.approx((pool.std(),))


def test_npz_with_its_own_split_below_the_data_root(tmp_path):
    train, test = npz_arrays(30, True), npz_arrays(15, True, (7, 9))
    train["images"][..., 1] = 77  # a flat channel
    (tmp_path / "root" / "mine").mkdir(parents=True)
    np.savez(
        tmp_path / "root" / "mine" / "Split.NPZ.npz",
        train_images=np.asfortranarray(train["images"]),
        train_labels=train["labels"].astype(">i2"),
        test_images=test["images"],
        test_labels=test["labels"].astype(np.uint64),
    )
    heard = []
    dataset = catalog.prepare(
        "mine/Split.NPZ.npz", tmp_path, data_root=tmp_path / "root", emit=heard.append
    )
    assert dataset.classes == ("-5", "7", "9", "300")
    assert dataset.images.shape == (45, 3, 8, 9)
    assert np.array_equal(dataset.images[:30], train["images"].transpose(0, 3, 1, 2))
    assert roles_of(dataset) == [30, 0, 15]
    assert dataset.std[1] == 1e-3
    assert "1 of 4 classes (first: 9)" in heard[0].message


def test_npz_path_is_first_taken_from_the_working_folder(tmp_path, monkeypatch):
    for folder, count in (("here", 30), ("root", 40)):
        (tmp_path / folder).mkdir()
        np.savez(tmp_path / folder / "x.npz", **npz_arrays(count))
    for here, count in (("here", 30), ("root", 40)):
        monkeypatch.chdir(tmp_path / here)
        dataset = catalog.prepare("x.npz", tmp_path, data_root=tmp_path / "root")
        assert len(dataset.images) == count
    monkeypatch.chdir(tmp_path)
    assert len(catalog.prepare("x.npz", tmp_path, data_root=tmp_path / "root").images) == 40


def test_npz_is_known_by_its_content(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **npz_arrays())
    first = catalog.prepare(str(path), tmp_path)
    moved = path.rename(tmp_path / "b.npz")
    assert catalog.prepare(str(moved), tmp_path).folder == first.folder
    np.savez(path, **npz_arrays(70))
    assert catalog.prepare(str(path), tmp_path).fingerprint != first.fingerprint


def bad_forms():
    good = npz_arrays()
    images, labels = good["images"], good["labels"]
    split = {"train_images": images, "train_labels": labels, "test_labels": labels}
    return {
        "no labels": ({"images": images}, "holds no labels"),
        "neither": ({"x": images}, "holds no images, labels"),
        "half a split": (split, "holds no test_images"),
        "float images": ({**good, "images": images / 255.0}, "float64"),
        "wide images": ({**good, "images": images.astype(np.int64)}, "int64"),
        "flat images": ({**good, "images": images.reshape(60, -1)}, "N x H x W"),
        "four channels": ({**good, "images": np.zeros((60, 8, 8, 4), np.uint8)}, "N x H x W"),
        "channels first": ({**good, "images": np.zeros((60, 3, 9, 9), np.uint8)}, "N x H x W"),
        "no images": ({"images": images[:0], "labels": labels[:0]}, "uint8"),
        "few images": (npz_arrays(9), "at least 10"),
        "small": ({**good, "images": np.zeros((60, 7, 9), np.uint8)}, "8 to 512"),
        "large": ({**good, "images": np.zeros((60, 9, 513), np.uint8)}, "8 to 512"),
        "short labels": ({**good, "labels": labels[:59]}, "(59,)"),
        "column labels": ({**good, "labels": labels[:, None]}, "one whole number"),
        "float labels": ({**good, "labels": labels * 1.0}, "float64"),
        "text labels": ({**good, "labels": labels.astype(str)}, "whole numbers"),
        "boolean labels": ({**good, "labels": labels > 0}, "bool"),
        "object labels": ({**good, "labels": labels.astype(object)}, "object"),
        "record labels": ({**good, "labels": np.zeros(60, "i4,i4")}, "whole numbers"),
        "one class": ({**good, "labels": labels * 0}, "2 to 1000 classes"),
        "many classes": (npz_arrays(1001, classes=range(1001)), "2 to 1000 classes"),
        "huge label": ({**good, "labels": np.full(60, 2**64 - 1, np.uint64)}, "2**63"),
        "two sizes": (
            {**split, "test_images": np.zeros((60, 9, 9), np.uint8)},
            "differ in size",
        ),
    }


@pytest.mark.parametrize("form", bad_forms())
def test_bad_npz_forms_are_refused(tmp_path, form):
    arrays, words = bad_forms()[form]
    np.savez(tmp_path / "bad.npz", **arrays)
    refused("bad.npz", tmp_path, tmp_path, "bad.npz", words)
    assert not (tmp_path / "datasets").exists()


def test_things_that_are_no_npz_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    np.save(tmp_path / "x.npy", np.arange(3))
    forms = [b"", b"x", b"PK\x05\x06", (tmp_path / "x.npy").read_bytes(), pickle.dumps([1])]
    for data in forms:
        path.write_bytes(data)
        refused("x.npz", tmp_path, tmp_path, "x.npz")
    (tmp_path / "folder.npz").mkdir()
    refused("folder.npz", tmp_path, tmp_path, "no such file")
    refused("absent.npz", tmp_path, tmp_path, "no such file")


def npy(shape, descr, data=b""):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


@pytest.mark.parametrize(
    "member",
    [
        npy("(10000000000000, 8, 8)", "|u1"),
        npy("(60, 8, 9)", "|u1", bytes(60 * 72 - 1)),
        npy("(60, 8, 9)", "|u1", bytes(60 * 72 + 1)),
        npy("(-60, -8, 9)", "|u1", bytes(60 * 72)),
        npy("(" * 60, "|u1"),
        npy("(60, 8, 9)", "|O", pickle.dumps([1])),
        npy("(60, 8, 9)", "__import__"),
        b"\x93NUMPY\x09\x00" + bytes(200),
        b"no array",
        b"",
    ],
)
def test_lying_members_are_refused(tmp_path, member):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("images.npy", member)
        labels = io.BytesIO()
        np.save(labels, np.arange(60) % 2)
        archive.writestr("labels.npy", labels.getvalue())
    refused("x.npz", tmp_path, tmp_path, "x.npz")


def test_unpacked_size_is_checked_before_reading(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "x.npz", **npz_arrays(), more=np.zeros(10_000_000, np.uint8))
    monkeypatch.setattr(catalog, "MAX_BYTES", 10_000_000)
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    refused("x.npz", tmp_path, tmp_path, "unpacked", "limit")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_mutated_npz_files_are_refused_or_harmless(tmp_path, save):
    path = tmp_path / "x.npz"
    save(path, **npz_arrays(12, classes=(0, 1)))
    whole = path.read_bytes()
    expected = catalog.prepare("x.npz", tmp_path, data_root=tmp_path).fingerprint
    draw = np.random.default_rng(6)
    refusals = 0
    for turn in range(200):
        changed = bytearray(whole)
        place = int(draw.integers(-200 if turn % 2 else -len(whole), 0))  # half at the directory
        if turn % 5 == 0:
            del changed[place:]
        elif turn % 5 == 1:
            changed.insert(place, int(draw.integers(256)))
        else:
            changed[place] = int(draw.integers(256))
        path.write_bytes(changed)
        try:
            found = catalog.prepare("x.npz", tmp_path, data_root=tmp_path)
        except DataError as error:
            assert len(str(error).splitlines()) == 1  # noqa: PT017 - most are refused, not all
            refusals += 1
        else:
            assert found.fingerprint == expected  # such as a changed date
    assert refusals > 100


# --- names ------------------------------------------------------------------------------------


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
