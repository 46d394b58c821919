import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
from dataset_helpers import refused, roles_of

from rambo.datasets import archive, catalog
from rambo.datasets.prepared import POOL, TEST, VALIDATION
from rambo.errors import DataError


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
    monkeypatch.setattr(archive, "MAX_BYTES", 10_000_000)
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
            assert len(str(error).splitlines()) == 1
            refusals += 1
        else:
            assert found.fingerprint == expected  # such as a changed date
    assert refusals > 100
