"""Forms that people have: taken where the meaning is certain, else refused with the line that mends it."""

import json

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
    ],
)
def test_what_could_mean_several_things_is_refused_with_a_way_out(tmp_path, members, words):
    with pytest.raises(DataError) as caught:
        arrays(tmp_path, labels=Y, **members)
    assert words in str(caught.value)


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
