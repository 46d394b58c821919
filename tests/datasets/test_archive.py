import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
from dataset_helpers import refused, roles_of

from rambo.datasets import archive, catalog, prepared
from rambo.datasets.prepared import LABELED, POOL, TEST, UNLABELED, VALIDATION
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
    events = []
    dataset = catalog.prepare(
        "mine/Split.NPZ.npz", tmp_path, data_root=tmp_path / "root", emit=events.append
    )
    assert dataset.classes == ("-5", "7", "9", "300")
    assert dataset.images.shape == (45, 3, 8, 9)
    assert np.array_equal(dataset.images[:30], train["images"].transpose(0, 3, 1, 2))
    assert roles_of(dataset) == [30, 0, 15]
    assert dataset.std[1] == 1e-3
    messages = [event.message for event in events]
    assert messages[0] == "Split.NPZ.npz: its own split is kept: train, test"
    assert "1 of 4 classes (first: 9)" in messages[1]


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
        "neither": ({"z": images}, "holds no images, labels"),
        "half a split": (split, "holds no test_images"),
        "float images": ({**good, "images": images / 127.5 - 1}, "numpy.ptp(images)"),
        "dim float images": ({**good, "images": images / 200}, "without a clear scale"),
        "infinite images": ({**good, "images": np.full(images.shape, np.inf)}, "numpy.nan_to_num"),
        "wide images": ({**good, "images": images.astype(np.int64) * 300}, "images.max() * 255"),
        "negative images": ({**good, "images": images.astype(np.int64) - 9}, "from -9"),
        "flat images": ({**good, "images": images.reshape(60, -1)}, "N x H x W"),
        "two channels": ({**good, "images": np.zeros((60, 8, 8, 2), np.uint8)}, "N x H x W"),
        "channels twice": ({**good, "images": np.zeros((60, 3, 9, 3), np.uint8)}, "transpose"),
        "flat squares": (
            {**good, "images": images[:, :8, :8].reshape(60, -1)},
            "reshape(-1, 8, 8)",
        ),
        "no images": ({"images": images[:0], "labels": labels[:0]}, "uint8"),
        "few images": (npz_arrays(9), "at least 10"),
        "small": ({**good, "images": np.zeros((60, 7, 9), np.uint8)}, "8 to 512"),
        "large": ({**good, "images": np.zeros((60, 9, 513), np.uint8)}, "8 to 512"),
        "short labels": ({**good, "labels": labels[:59]}, "(59,)"),
        "two columns": ({**good, "labels": np.stack([labels, labels], 1)}, "no one-hot rows"),
        "several classes": ({**good, "labels": np.ones((60, 4), int)}, "several classes"),
        "float labels": ({**good, "labels": labels + 0.5}, "with fractions; save the class"),
        "endless label": ({**good, "labels": labels + np.inf}, "<= 2**53, labels, -1)"),
        "no known label": ({**good, "labels": labels * 0 - 1}, "every label is unknown"),
        "object labels": ({**good, "labels": labels.astype(object)}, "labels.astype(str)"),
        "fewer names": (
            {**good, "labels": labels.clip(0), "classes": ["a", "b"]},
            "2 classes are named",
        ),
        "strange name": (
            {**good, "labels": ["a", "c"] * 30, "classes": ["a", "b"]},
            "label c is not",
        ),
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
    monkeypatch.setenv("RAMBO_MAX_GB", "0.01")
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    refused("x.npz", tmp_path, tmp_path, "unpacked", "limit")


def test_a_member_that_only_a_bomb_has_is_refused_unless_the_person_allows_it(
    tmp_path, monkeypatch
):
    draw = np.random.default_rng(0)
    images = np.zeros((20, 500, 500), np.uint8)
    images[:, 0, :20] = draw.integers(0, 256, (20, 20))
    np.savez_compressed(tmp_path / "x.npz", images=images, labels=np.arange(20) % 2)
    refused("x.npz", tmp_path, tmp_path, "times its size")
    monkeypatch.setenv("RAMBO_MAX_GB", "1")
    assert catalog.prepare("x.npz", tmp_path, data_root=tmp_path).num_classes == 2


def same_content():
    """Forms that people have, each without any ambiguity; all hold the same images and labels."""
    draw, y = np.random.default_rng(0), np.arange(80) % 4
    x = draw.integers(0, 200, (80, 12, 12), dtype=np.uint8)
    x[:, 0, 0], x[:, 0, 1] = 255, 0
    grey = {"images": x, "labels": y}
    colour = np.repeat(x[..., None], 3, 3)
    alpha = np.concatenate([colour, np.full_like(x[..., None], 255)], 3)
    return {
        "as documented": grey,
        "one channel last": {**grey, "images": x[..., None]},
        "one channel first": {**grey, "images": x[:, None]},
        "floats in [0, 1]": {**grey, "images": (x / 255).astype(np.float32)},
        "floats to 255": {**grey, "images": x.astype(np.float64)},
        "16 bit": {**grey, "images": x.astype(np.uint16) * 257},
        "int64": {**grey, "images": x.astype(np.int64)},
        "column labels": {**grey, "labels": y[:, None]},
        "a row of labels": {**grey, "labels": y[None]},
        "float labels": {**grey, "labels": y.astype(float)},
        "one-hot labels": {**grey, "labels": np.eye(4, dtype=np.uint8)[y]},
        "labels from 1 with names": {**grey, "labels": y + 1, "class_names": list("0123")},
        "text labels": {**grey, "labels": y.astype(str)},
        "byte labels": {**grey, "labels": y.astype("S1")},
        "Keras' names": {"X": x, "y": y},
        "colour last": {**grey, "images": colour},
        "colour first": {**grey, "images": colour.transpose(0, 3, 1, 2)},
        "opaque": {**grey, "images": alpha},
    }


@pytest.mark.parametrize("form", same_content())
def test_common_forms_are_taken_as_they_are(tmp_path, form):
    forms = same_content()
    np.savez(tmp_path / "x.npz", **forms[form])
    dataset = catalog.prepare("x.npz", tmp_path, data_root=tmp_path)
    assert np.array_equal(dataset.images[:, 0], forms["as documented"]["images"])
    assert dataset.labels.tolist() == forms["as documented"]["labels"].tolist()
    assert dataset.classes == ("0", "1", "2", "3")


@pytest.mark.parametrize("names", [("train", "test", "val"), ("", "", "")])
def test_the_split_of_medmnist_and_of_keras_is_kept(tmp_path, names):
    arrays = npz_arrays(60)
    x, y = arrays["images"], arrays["labels"]
    parts = {"train": slice(0, 40), "val": slice(40, 50), "test": slice(50, 60)}
    pattern = "{split}_{kind}" if names[0] else "{short}_{split}"
    saved = {}
    for split, rows in parts.items():
        for kind, short, array in (("images", "x", x), ("labels", "y", y)):
            saved[pattern.format(split=split, kind=kind, short=short)] = array[rows]
    np.savez(tmp_path / "x.npz", **saved)
    dataset = catalog.prepare("x.npz", tmp_path, data_root=tmp_path)
    assert roles_of(dataset) == [40, 10, 10]
    assert dataset.labels.tolist() == np.unique(y, return_inverse=True)[1].tolist()


@pytest.mark.parametrize(
    "unknown", [-1, np.nan, "", "None", 255], ids=["-1", "NaN", "empty", "None", "255"]
)
def test_an_unknown_label_is_never_a_class(tmp_path, unknown):
    arrays = npz_arrays(90, classes=(0, 1, 2))
    labels = arrays["labels"].astype(
        str if isinstance(unknown, str) else float if unknown is np.nan else int
    )
    labels = labels.astype(np.uint8) if unknown == 255 else labels.astype(object)
    labels[30:] = unknown
    kind = "U8" if isinstance(unknown, str) else np.uint8 if unknown == 255 else float
    np.savez(tmp_path / "x.npz", images=arrays["images"], labels=labels.astype(kind))
    dataset = catalog.prepare("x.npz", tmp_path, data_root=tmp_path)
    assert dataset.classes == ("0", "1", "2")
    assert dataset.labels[:30].tolist() == [0, 1, 2] * 10
    assert set(dataset.labels[30:].tolist()) == {UNLABELED}
    assert roles_of(dataset) == [60, 6, 0]
    assert int((dataset.roles == LABELED).sum()) == 24
    assert dataset.partly_labeled


@pytest.mark.parametrize(
    ("kind", "unknown"), [(float, np.nan), (float, -1), (int, -1), (np.uint8, 255), (bool, 0)]
)
def test_a_one_hot_row_that_only_says_unknown_is_no_class(tmp_path, kind, unknown):
    arrays = npz_arrays(90, classes=(0, 1, 2))
    rows = np.eye(3)[arrays["labels"]]
    rows[30:] = unknown
    np.savez(tmp_path / "x.npz", images=arrays["images"], labels=rows.astype(kind))
    dataset = catalog.prepare("x.npz", tmp_path, data_root=tmp_path)
    assert dataset.labels[:30].tolist() == [0, 1, 2] * 10
    assert set(dataset.labels[30:].tolist()) == {UNLABELED}


@pytest.mark.parametrize("strange", [np.nan, np.inf, 0.5, -1])
def test_the_way_out_of_rows_that_are_not_one_hot_mislabels_nobody(tmp_path, strange):
    arrays = npz_arrays(60)
    rows = np.eye(10)[arrays["labels"] % 10]
    rows[7, 3] = strange
    np.savez(tmp_path / "x.npz", images=arrays["images"], labels=rows)
    refused("x.npz", tmp_path, tmp_path, "-1 where nobody knows")


def test_the_way_out_of_an_infinite_label_leads_in(tmp_path):
    arrays = npz_arrays(60, classes=(0, 1, 2))
    labels = arrays["labels"].astype(float)
    labels[3] = np.inf
    np.savez(tmp_path / "x.npz", images=arrays["images"], labels=labels)
    hint = "numpy.where(numpy.abs(labels) <= 2**53, labels, -1)"
    refused("x.npz", tmp_path, tmp_path, f"save {hint} if nobody knows it")
    mended = eval(hint, {"numpy": np, "labels": labels})
    np.savez(tmp_path / "y.npz", images=arrays["images"], labels=mended)
    dataset = catalog.prepare("y.npz", tmp_path, data_root=tmp_path)
    assert np.flatnonzero(dataset.labels == UNLABELED).tolist() == [3]


def test_true_and_false_are_1_and_0_beside_numbers_and_two_names(tmp_path):
    arrays = npz_arrays(90, classes=(0, 1))
    yes, words = arrays["labels"] == 1, np.array(["False", "True"])
    np.savez(tmp_path / "named.npz", images=arrays["images"], labels=yes, classes=["no", "yes"])
    named = catalog.prepare("named.npz", tmp_path, data_root=tmp_path)
    assert (
        np.array(named.classes)[named.labels].tolist()
        == np.array(["no", "yes"])[yes.astype(int)].tolist()
    )
    np.savez(tmp_path / "bare.npz", images=arrays["images"], labels=yes)
    np.savez(tmp_path / "words.npz", images=arrays["images"], labels=yes, classes=words[::-1])
    for file in ("bare.npz", "words.npz"):
        data = catalog.prepare(file, tmp_path, data_root=tmp_path)
        assert np.array(data.classes)[data.labels].tolist() == words[yes.astype(int)].tolist()


def test_a_word_for_unknown_that_the_file_declares_as_a_class_is_one(tmp_path):
    arrays = npz_arrays(90, classes=(0, 1, 2))
    names = np.array(["-1", "none", "dog"])
    np.savez(
        tmp_path / "x.npz",
        images=arrays["images"],
        labels=names[arrays["labels"]],
        class_names=names,
    )
    dataset = catalog.prepare("x.npz", tmp_path, data_root=tmp_path)
    assert dataset.classes == ("-1", "none", "dog")
    assert dataset.labels.tolist() == arrays["labels"].tolist()


def test_groups_stay_on_one_side_and_names_are_kept(tmp_path):
    arrays = npz_arrays(300, classes=(0, 1, 2))
    groups = np.array([f"p{n // 10}" for n in range(300)])
    names = np.array([f"{n}.png" for n in range(300)])
    np.savez(tmp_path / "x.npz", **arrays, groups=groups, files=names)
    dataset = catalog.prepare("x.npz", tmp_path, data_root=tmp_path)
    sides = {group: set(dataset.roles[groups == group].tolist()) for group in groups.tolist()}
    assert all(len(roles) == 1 for roles in sides.values())
    assert all(count >= 30 for count in roles_of(dataset))
    assert dataset.names().files == tuple(names.tolist())
    assert [dataset.names().groups[g] for g in dataset.groups] == groups.tolist()


def test_repeated_images_are_told_at_once(tmp_path):
    arrays = npz_arrays(10, classes=(0, 1))
    np.savez(
        tmp_path / "x.npz",
        images=np.repeat(arrays["images"], 6, 0),
        labels=np.repeat(arrays["labels"], 6),
    )
    events = []
    dataset = catalog.prepare("x.npz", tmp_path, data_root=tmp_path, emit=events.append)
    assert dataset.clusters.tolist() == np.repeat(np.arange(10), 6).tolist()
    assert "50 of 60 images repeat another one" in events[-1].message
    assert "to learn from" not in events[-1].message
    for picture in range(10):
        assert len(set(dataset.roles[dataset.clusters == picture].tolist())) == 1
    assert set(dataset.roles.tolist()) == {POOL, VALIDATION, TEST}


def test_classes_of_one_picture_are_cut_through_and_it_is_told(tmp_path):
    arrays = npz_arrays(2, classes=(0, 1))
    np.savez(
        tmp_path / "x.npz",
        images=np.repeat(arrays["images"], 30, 0),
        labels=np.repeat(arrays["labels"], 30),
    )
    events = []
    dataset = catalog.prepare("x.npz", tmp_path, data_root=tmp_path, emit=events.append)
    assert set(dataset.roles.tolist()) == {POOL, VALIDATION, TEST}
    assert "12 validation and test images repeat an image to learn from" in events[-1].message


def test_what_an_older_reader_prepared_is_not_taken_for_this_one(tmp_path):
    np.savez(tmp_path / "x.npz", **npz_arrays())
    data = catalog.prepare("x.npz", tmp_path, data_root=tmp_path)
    origin = catalog.origin_of("x.npz", tmp_path)
    prepared._adopt(
        data.folder,
        origin.replace(f"npz/{archive.RECIPE}/", f"npz/{archive.RECIPE - 1}/"),
        data.name,
    )
    assert prepared.find(tmp_path, origin) is None
    again = catalog.prepare("x.npz", tmp_path, data_root=tmp_path)
    assert again.folder == data.folder
    assert prepared.find(tmp_path, origin) == data.folder


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
            dataset = catalog.prepare("x.npz", tmp_path, data_root=tmp_path)
        except DataError as error:
            assert len(str(error).splitlines()) == 1
            refusals += 1
        else:
            assert dataset.fingerprint == expected  # such as a changed date
    assert refusals > 100
