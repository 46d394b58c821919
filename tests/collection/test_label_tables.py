"""Tables: columns by meaning, rows by name, every way of saying that nobody knows; Label Studio, Hugging Face."""

import base64
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from collection_helpers import bring, label_of, picture, roles, save

from rambo.collection.looks import LIMITS
from rambo.collection.readers import tables
from rambo.collection.readers.sources import read_source
from rambo.errors import DataError
from rambo.storage.files import RefusedError

FORMS = {
    "plain": b"file,label\na.png,cat\nb.png,dog\nc.png,\n",
    "semicolons, mark, other order": "﻿label;file\r\ncat;a.png\r\ndog;b.png\r\n;c.png\r\n".encode(),
    "tabs": b"image_path\tclass\na.png\tcat\nb.png\tdog\nc.png\tNaN\n",
    "Latin": "file,label,Größe\na.png,cat,1\nb.png,dog,2\nc.png,null,3\n".encode("cp1252"),
    "UTF-16 without a mark": "file,label\na.png,cat\nb.png,dog\nc.png,\n".encode("utf-16-le"),
    "UTF-32": "file,label\na.png,cat\nb.png,dog\nc.png,\n".encode("utf-32"),
    "UTF-16": "file,label\na.png,cat\nb.png,dog\nc.png,-1\n".encode("utf-16"),
    "other columns": b"Index,File Name,Category,width\n0,a.png,cat,3\n1,b.png,dog,3\n2,c.png,?,3\n",
    "quoted": b'"file","label"\n"a.png","cat"\n"b.png","dog"\n"c.png",""\n',
    "no header": b"a.png,cat\nb.png,dog\nc.png,\n",
    "lines": b'{"file_name": "a.png", "label": "cat"}\n{"file_name": "b.png", "label": "dog"}\n\n'
    b'{"file_name": "c.png"}\n',
    "list": b'[{"image": "a.png", "choice": "cat"}, {"image": "b.png", "choice": "dog"}, '
    b'{"image": "c.png", "choice": null}]',
    "a line for Excel": b"sep=;\r\nfile;label\r\na.png;cat\r\nb.png;dog\r\nc.png;\r\n",
    "comments above": b"# from the clinic\n#file,label\na.png,cat\nb.png,dog\nc.png,unknown\n",
    "commas in a quoted header": b'file;label;"notes, free, any"\na.png;cat;x\nb.png;dog;y\nc.png;;z\n',
    "lines in quotes": b'file,note,label\na.png,"one\ntwo, ""three""",cat\nb.png,"x\n",dog\nc.png,,\n',
    "decimal commas": b"Dateiname;Wert;Klasse\na.png;0,5;cat\nb.png;0,1;dog\nc.png;0,2;\n",
    "pipes and humps": b"imageId|classId\na.png|cat\nb.png|dog\nc.png|\n",
    "blanks, no header": b"a.png cat\nb.png dog\nc.png -1\n",
    "class first, no header": b"cat,a.png\ndog,b.png\n,c.png\n",
    "a split, no header": b"a.png,cat,train\nb.png,dog,train\nc.png,,train\n",
    "an index of pandas": b",file,label\n0,a.png,cat\n1,b.png,dog\n2,c.png,\n",
    "file to record": b'{"a.png": {"label": "cat"}, "b.png": {"label": "dog"}, "c.png": {}}',
    "a list under a key": b'{"info": "x", "data": [{"file": "a.png", "class": "cat"}, '
    b'{"file": "b.png", "class": "dog"}, {"file": "c.png"}]}',
    "pairs under a key": b'{"labels": [["a.png", "cat"], ["b.png", "dog"], ["c.png", null]]}',
    "one record": b'{"file": "a.png", "label": "cat"}\n{"file": "b.png", "label": "dog"}\n{"file": "c.png"}',
    "a line separator in a text": '{"file": "a.png", "label": "cat", "x": "\u2028"}\n'
    '{"file": "b.png", "label": "dog"}\n{"file": "c.png"}'.encode(),
}
COCO = {
    "images": [{"id": n, "file_name": f"{n}.png"} for n in range(4)],
    "categories": [
        {"id": 0, "name": "pets", "supercategory": "none"},
        {"id": 7, "name": "cat", "supercategory": "pets"},
        {"id": 9, "name": "dog", "supercategory": "pets"},
    ],
    "annotations": [
        {"image_id": 0, "category_id": 7, "bbox": [0, 0, 1, 1]},
        {"image_id": 0, "category_id": 7, "bbox": [2, 2, 1, 1]},
        {"image_id": 1, "category_id": 9},
        {"image_id": 2, "category_id": 7},
        {"image_id": 2, "category_id": 9},
    ],
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_tables_say_the_same(form):
    table = tables.parse(FORMS[form], "labels")
    assert [(row.file, row.label) for row in table.rows] == [
        ("a.png", "cat"),
        ("b.png", "dog"),
        ("c.png", None),
    ]
    assert table.has_labels


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"colour,size\nred,3\n", "the columns are colour, size: rename"),
        (b'[{"file": "a.png", "label": "cat"}, {"fi', "no whole JSON"),
        (b'{"file": "a.png"}\n{"fil', "line 2 is no whole JSON record"),
        (b"[1, 2]", "no list of records"),
        (b"file,label\na.png,\0\n", "null bytes"),
        (b"PK\x03\x04....", "an Excel file"),
        (b"a.png,cat,red\nb.png,dog,red\n", "put a line such as file,label above it"),
        (b'{"shapes": [], "version": "5"}', "a JSON object with shapes, version"),
        (json.dumps(COCO | {"categories": []}).encode(), "category 7, which are not both there"),
    ],
)
def test_tables_that_say_nothing_are_refused_with_the_way_out(data, words):
    with pytest.raises(RefusedError, match=r"[;:]") as caught:
        tables.parse(data, "labels")
    assert words in str(caught.value)


def test_coco_gives_the_one_class_of_an_image_and_says_where_there_are_several():
    table = tables.parse(json.dumps(COCO).encode(), "coco")
    assert [row.label for row in table.rows] == ["cat", "dog", None, None]
    assert table.classes == ("cat", "dog")
    assert "1 image has no tag; 1 image has several tags" in table.remarks[0]


def test_what_is_taken_for_no_class_and_what_may_group_is_said():
    table = tables.parse(b"file,label,patient\na.png,none,p\nb.png,dog,p\n", "t")
    assert [row.label for row in table.rows] == [None, "dog"]
    remarks = " ".join(table.remarks)
    assert "none is no class: 1 image called so count" in remarks
    assert "--group-column patient keeps what belongs together" in remarks
    assert "no column is called label" in tables.parse(b"file,size\na.png,3\n", "t").remarks[0]


def test_rows_find_images_by_as_much_of_the_path_as_they_have():
    paths = [["train", "1", "x.png"], ["train", "2", "x.png"], ["a", "photo 1.jpg"], ["b", "ü.png"]]
    rows = [
        ("2/x.png", 1),
        ("C:\\data\\train\\1\\x.png", 0),
        ("x.png", None),
        ("photo 1", 2),
        ("u\u0308.png", 3),
        ("0a1b2c3d-photo 1.jpg", 2),
        ("none.png", None),
    ]
    table = tables.Table(
        "t", tuple(tables.AnswerRow(name, None, "c", "") for name, _ in rows), True
    )
    matches = tables.Matches(table, paths)
    places = {row.file: place for place, row in matches.pairs()}
    assert places == {name: place for name, place in rows if place is not None}
    assert matches.ambiguous == ["x.png"]
    assert matches.missing == ["none.png"]


def task(number, file, *choices, cancelled=False, truth=False):
    notes = [
        {
            "id": 7,
            "completed_by": {"id": place, "email": f"p{place}@lab"},
            "was_cancelled": cancelled,
            "ground_truth": truth and place == 0,
            "result": [{"type": "choices", "value": {"choices": [choice]}}] if choice else [],
        }
        for place, choice in enumerate(choices)
    ]
    return {"id": number, "data": {"image": file}, "annotations": notes}


def test_label_studio_answers_skips_and_disagreements(tmp_path):
    for number, name in enumerate("abcdef"):
        save(tmp_path / "set" / f"{name}.png", number)
    export = [
        task(1, "/data/local-files/?d=set%2Fa.png", "cat"),
        task(2, "/data/upload/3/0a1b2c3d-b.png", "dog"),
        task(3, "https://host/x/c.png?v=1", "cat", "dog"),
        task(4, "d.png", "cat", cancelled=True),
        task(5, "e.png"),
        task(6, "f.png", "dog", "cat", truth=True),
    ]
    (tmp_path / "set" / "export.json").write_text(json.dumps(export))
    result = bring(tmp_path / "ws", tmp_path / "set" / "export.json")
    now = result.collection.snapshot()
    labels = {name: label_of(now, f"{name}.png") for name in "abcdef"}
    assert labels == {"a": "cat", "b": "dog", "c": None, "d": None, "e": None, "f": "dog"}
    assert [now.files[list(now.numbers).index(n)] for n in now.contradictions] == ["c.png"]
    assert [(e.answer, e.annotator) for e in now.entries if e.answer != "label"] == [
        ("skipped", "p0@lab")
    ]
    assert "1 annotation was skipped; 1 task has no answer" in " ".join(now.remarks)


def test_pictures_inlined_in_a_table_are_stored(tmp_path):
    buffer = io.BytesIO()
    picture(3).save(buffer, "PNG")
    inline = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    (tmp_path / "export.json").write_text(json.dumps([task(1, inline, "cat")]))
    collection = bring(tmp_path / "ws", tmp_path / "export.json").collection
    assert collection.original(0)[1] == buffer.getvalue()
    assert collection.snapshot().classes == ("cat",)


def test_a_hugging_face_image_folder(tmp_path):
    root = tmp_path / "set"
    lines = {"train": ["file_name,label"], "test": ["file_name,label"]}
    for number in range(12):
        split = "train" if number < 9 else "test"
        save(root / split / "images" / f"{number}.png", number)
        lines[split].append(f"images/{number}.png,{'ab'[number % 2]}")
    for split, rows in lines.items():
        (root / split / "metadata.csv").write_text("\n".join(rows))
    now = bring(tmp_path / "ws", root).collection.snapshot()
    assert now.classes == ("a", "b")
    assert roles(now) == {"labeled": 7, "validation": 2, "test": 3, "unlabeled": 0}


def parquet(path, names=True, plain=False):
    images, labels = [], []
    for number in range(9):
        buffer = io.BytesIO()
        picture(number).save(buffer, "PNG")
        images.append(
            buffer.getvalue() if plain else {"bytes": buffer.getvalue(), "path": f"{number}.png"}
        )
        labels.append(number % 3 if number < 6 else -1)
    table = pa.table(
        {
            "image": images,
            "label": labels,
            "note": ["x"] * 9,
            "patient": [f"p{n // 3}" for n in range(9)],
        }
    )
    if names:
        features = {"label": {"names": ["cat", "dog", "owl"], "_type": "ClassLabel"}}
        text = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": text})
    pq.write_table(table, path, row_group_size=4)


@pytest.mark.parametrize("plain", [False, True])
def test_parquet_of_hugging_face(tmp_path, plain):
    (tmp_path / "data").mkdir()
    parquet(tmp_path / "data" / "train-00000-of-00001.parquet", plain=plain)
    result = bring(tmp_path / "ws", tmp_path / "data", group_by="patient")
    now = result.collection.snapshot()
    assert now.classes == ("cat", "dog", "owl")
    assert [None if n < 0 else now.classes[n] for n in now.labels] == ["cat", "dog", "owl"] * 2 + [
        None
    ] * 3
    assert now.group_names == ("p0", "p1", "p2")
    assert any("not used: note" in remark for remark in now.remarks)
    (first_picture,) = result.collection.pictures([4])
    assert np.array_equal(first_picture.transpose(1, 2, 0), np.asarray(picture(4)))


def test_bad_parquet_is_refused_by_name(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(DataError, match=r"x\.parquet: it is no whole parquet file"):
        read_source(tmp_path / "x.parquet", LIMITS, tmp_path)
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "y.parquet")
    with pytest.raises(DataError, match=r"no column of images; it has text"):
        read_source(tmp_path / "y.parquet", LIMITS, tmp_path)


def test_an_npz_with_names_groups_and_a_table_by_index(tmp_path):
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (30, 12, 12), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", images=images, groups=np.arange(30) // 3, more=np.arange(4))
    (tmp_path / "t.csv").write_text("dataset_index,label\n0,cat\n5,dog\n99,cat\n")
    result = bring(tmp_path / "ws", tmp_path / "x.npz", labels=tmp_path / "t.csv")
    now = result.collection.snapshot()
    assert [(int(n), now.classes[now.labels[n]]) for n in np.flatnonzero(now.labels >= 0)] == [
        (0, "cat"),
        (5, "dog"),
    ]
    assert len(now.group_names) == 10
    assert any("not used: more" in remark for remark in now.remarks)
    assert any("1 rows of t.csv name no image here: 99" in remark for remark in now.remarks)
    first_picture = next(result.collection.pictures([7]))
    assert np.array_equal(first_picture[0], images[7])
    assert result.collection.original(7)[1].startswith(b"\x89PNG")
