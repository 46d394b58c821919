"""Forms that people have: taken where the meaning is certain, else refused with the line that mends it."""

import json
from pathlib import Path

import numpy as np
import pytest
from collection_helpers import picture, save
from test_hostile_sources import png, zipped

from rambo.collection.looks import LIMITS
from rambo.collection.readers.sources import read_source
from rambo.errors import DataError

Y = np.arange(60) % 3
X = np.stack([np.asarray(picture(n, (28, 28), grey=True)) for n in range(60)])


def labels(source):
    """Return the class of each item by its name without folders."""
    return {item.name.split("/")[-1]: item.label for item in source.items}


def arrays(tmp_path, group=None, **members):
    np.savez(tmp_path / "x.npz", **members)
    return read_source(tmp_path / "x.npz", LIMITS, tmp_path, None, group)


def test_labels_that_a_mask_hides_are_unknown(tmp_path):
    source = arrays(tmp_path, images=X, labels=Y, labeled=np.arange(60) < 30)
    assert [item.label is None for item in source.items] == [False] * 30 + [True] * 30
    assert "30 labels count as unknown, as labeled says" in " ".join(source.remarks)


def test_a_pool_of_its_own_joins_without_labels(tmp_path):
    source = arrays(tmp_path, x_train=X[:20], y_train=Y[:20], x_unlabeled=X[20:])
    assert [item.label for item in source.items].count(None) == 40
    assert {item.role for item in source.items} == {None}


def test_an_array_may_name_the_groups_and_the_classes(tmp_path):
    patients = np.repeat(np.arange(20), 3)
    names = np.array(["a", "b", "c"])
    source = arrays(tmp_path, "patient", data=X, target=Y, target_names=names, Patient=patients)
    assert len({item.group for item in source.items}) == 20
    assert source.classes == ("a", "b", "c")


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"images": X, "mask": Y == 0}, "save labels=numpy.where(mask, labels, -1)"),
        ({"images": X.transpose(1, 2, 0)}, "save numpy.moveaxis(images, -1, 0)"),
        ({"images": X, "classes": np.array(["a", "a", "b"])}, "two classes are called a"),
        ({"images": X, "labels": Y[:20]}, "numpy.pad(labels, (0, 40), constant_values=-1)"),
        ({"images": X, "labels": Y - 2}, "labels -2 and -1 are negative"),
        ({"images": X, "labels": np.where(Y, 1, -1)}, "save (labels > 0).astype(int)"),
    ],
)
def test_what_could_mean_several_things_is_refused_with_a_way_out(tmp_path, members, words):
    with pytest.raises(DataError) as caught:
        arrays(tmp_path, **({"labels": Y} | members))
    assert words in str(caught.value)


FEW = np.arange(60) < 20
HALF_LABELED = {
    "another negative": {"images": X, "labels": np.where(FEW, Y, -100)},
    "NaN made whole": {"images": X, "labels": np.where(FEW, Y, np.iinfo(np.int64).min)},
    "a word": {"images": X, "labels": np.where(FEW, Y.astype(str), "unknown")},
    "zeros and ones": {"images": X, "labels": Y, "labeled": FEW.astype(int)},
    "rows": {"images": X, "labels": Y, "labeled_idx": np.arange(20)},
    "rows of the others": {"images": X, "labels": Y, "unlabeled_indices": np.arange(20, 60)},
    "two pairs": {"labeled_images": X[:20], "labeled_labels": Y[:20], "unlabeled_images": X[20:]},
    "no names": {"arr_0": X, "arr_1": np.where(FEW, Y, -1)},
    "short names": {"img": X, "lbl": np.where(FEW, Y, -1)},
    "humps": {"trainImages": X[:20], "trainLabels": Y[:20], "poolImages": X[20:]},
    "zero rows": {"images": X, "labels": np.where(FEW[:, None], np.eye(3)[Y], 0)},
}


@pytest.mark.parametrize("form", HALF_LABELED)
def test_arrays_say_in_many_ways_that_most_labels_are_unknown(tmp_path, form):
    source = arrays(tmp_path, **HALF_LABELED[form])
    assert [item.label for item in source.items] == [str(y) for y in Y[:20]] + [None] * 40
    assert {item.role for item in source.items} == {None}


def test_an_array_of_words_is_the_split_and_another_one_is_named(tmp_path):
    split = np.array(["train"] * 40 + ["val"] * 10 + ["test"] * 10)
    source = arrays(tmp_path, images=X, labels=Y, split=split, video=Y)
    assert [item.role for item in source.items] == [None] * 40 + ["validation"] * 10 + ["test"] * 10
    assert "not used: video (--group-column video keeps" in " ".join(source.remarks)
    source = arrays(tmp_path, images=X, labels=Y, split=Y, labeled=Y)
    assert {item.role for item in source.items} == {None}
    assert "not used: split, labeled" in " ".join(source.remarks)


TABLES = {
    "one-hot": ("file,cat,dog\na0.png,1,0\na1.png,0,1\n", ["cat", "dog"]),
    "floats": ("file,label\na0.png,1.0\na1.png,2.0\na2.png,nan\n", ["1", "2"]),
    "capitals": ("File Name,Class Label\nA0.PNG,cat\na1.png,dog\n", ["cat", "dog"]),
    "addresses": ("url,label\nhttps://x.org/a/a0.png?x=1,cat\ns3://b/a1.png,dog\n", ["cat", "dog"]),
    "german": ("Dateiname;Klasse\na0.png;Katze\na1.png;Hund\n", ["Katze", "Hund"]),
    "object": (json.dumps({"a0.png": "cat", "a1.png": "dog"}), ["cat", "dog"]),
    "lists": (
        json.dumps(
            [
                {"file": "a0.png", "choice": {"choices": ["cat"]}},
                {"file": "a1.png", "choice": ["dog"]},
                {"file": "a2.png", "choice": ["cat", "dog"]},
            ]
        ),
        ["cat", "dog"],
    ),
}


@pytest.mark.parametrize("form", TABLES)
def test_tables_are_read_by_what_their_columns_mean(tmp_path, form):
    text, classes = TABLES[form]
    for number in range(3):
        save(tmp_path / "set" / f"a{number}.png", number)
    (tmp_path / "labels").write_text(text)
    source = read_source(tmp_path / "set", LIMITS, tmp_path, tmp_path / "labels")
    assert labels(source) == {"a0.png": classes[0], "a1.png": classes[1], "a2.png": None}


def test_a_table_of_labels_inside_a_zip_or_folder_is_used_where_it_is_the_only_one(tmp_path):
    pictures = [("set/images/1.png", png(1)), ("set/images/2.png", png(2))]
    table = ("set/labels.csv", "file,label\nimages/1.png,cat\n2.png,dog\n")
    path = zipped(tmp_path / "a.zip", [*pictures, table])
    assert labels(read_source(path, LIMITS, tmp_path)) == {"1.png": "cat", "2.png": "dog"}
    other = ("annotations.csv", "file,label\n1.png,owl\n")
    source = read_source(zipped(tmp_path / "b.zip", [*pictures, table, other]), LIMITS, tmp_path)
    assert set(labels(source).values()) == {None}
    assert "not used: set/labels.csv, annotations.csv" in " ".join(source.remarks)
    foreign = zipped(tmp_path / "c.zip", [("cat/1.png", png(1)), ("labels.csv", "a,b\n1,2\n")])
    assert labels(read_source(foreign, LIMITS, tmp_path)) == {"1.png": "cat"}


@pytest.mark.parametrize(
    ("files", "classes", "roles"),
    [
        (["labeled/cat/1.png", "labeled/dog/2.png", "unlabeled/3.png"], ["cat", "dog", None], {}),
        (
            ["cat/train/1.png", "cat/test/2.png", "dog/test/3.png"],
            ["cat", "cat", "dog"],
            {"2", "3"},
        ),
        (
            ["training_set/cat/1.png", "training_set/dog/2.png", "test_set/cat/3.png"],
            ["cat", "dog", "cat"],
            {"3"},
        ),
    ],
)
def test_folders_say_class_and_split(tmp_path, files, classes, roles):
    for number, name in enumerate(files):
        save(tmp_path / "set" / name, number)
    source = read_source(tmp_path / "set", LIMITS, tmp_path)
    assert labels(source) == {f"{n}.png": label for n, label in enumerate(classes, 1)}
    tests = {item.name.split("/")[-1][0] for item in source.items if item.role == "test"}
    assert tests == set(roles)


def test_tables_of_any_name_are_labels_where_folders_name_no_class(tmp_path):
    """Kaggle's, Roboflow's and COCO's archives hold their labels so; a machine's answers are none."""
    for place, name in enumerate(["train/1.png", "train/2.png", "valid/1.png", "test/4.png"]):
        save(tmp_path / "set" / name, place)
    (tmp_path / "set/train/_classes.csv").write_text(
        "filename, cat, dog\n1.png, 1, 0\n2.png, 0, 1\n"
    )
    (tmp_path / "set/valid/_classes.csv").write_text("filename, cat, dog\n1.png, 0, 1\n")
    (tmp_path / "set/sample_submission.csv").write_text("id,label\n4,cat\n")
    source = read_source(tmp_path / "set", LIMITS, tmp_path)
    assert {item.name: (item.label, item.role) for item in source.items} == {
        "train/1.png": ("cat", None),
        "train/2.png": ("dog", None),
        "valid/1.png": ("dog", "validation"),
        "test/4.png": (None, "test"),
    }
    remarks = " ".join(source.remarks)
    assert "not used: sample_submission.csv" in remarks
    assert "lie in no class folder" not in remarks


def test_files_that_people_take_for_images_are_named_with_what_to_do(tmp_path):
    save(tmp_path / "set/cat/1.png", 1)
    (tmp_path / "set/cat/IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (tmp_path / "set/cat/clip.avi").write_bytes(b"RIFF\0\0\0\0AVI LIST")
    zipped(tmp_path / "a.zip", [("a/1.png", png(1)), ("a/IMG_1.HEIC", b"x"), ("a/clip.avi", b"x")])
    for path in (tmp_path / "set", tmp_path / "a.zip"):
        source = read_source(path, LIMITS, tmp_path)
        reasons = {Path(bad.file).name: bad.reason for bad in source.refused}
        assert reasons["IMG_1.HEIC"] == "HEIC, which is not read; save it as JPEG or PNG"
        assert "save the frames" in reasons["clip.avi"]
        assert len(source.items) == 1
