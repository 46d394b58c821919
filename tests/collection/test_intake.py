"""Labels that come back: matched by name, index or hash; nothing lost, nothing counted twice, nothing overwritten."""

import csv
import io
import json
import random
import zipfile

import pytest
from collection_helpers import bring, chosen_run, label_of, photos, roles

from rambo import export
from rambo.__main__ import main
from rambo.collection import intake
from rambo.collection.readers import tables
from rambo.errors import DataError
from rambo.export import returns


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A workspace whose collection has 15 labeled and 20 unlabeled images, made once."""
    root = tmp_path_factory.mktemp("labels")
    return root, bring(root / "home", photos(root / "pets", unlabeled=20)).collection


@pytest.fixture
def pets(start):
    """That collection as it was imported: what a test adds is taken back after it."""
    _, collection = start
    yield collection
    while any(
        version.kind == "labels"
        and version.number not in {other.undoes for other in collection.versions()}
        for version in collection.versions()
    ):
        intake.undo(collection)


@pytest.fixture(scope="module")
def run(start):
    root, collection = start
    pool = [row for row, role in enumerate(collection.snapshot().roles) if role == 0]
    return chosen_run(root / "home", collection, pool[::-1])


def look_at(collection, text, run=None, name="labels.csv", **options):
    data = text if isinstance(text, bytes) else text.encode()
    request = None if run is None else returns.request_of(run, collection)
    return intake.preview(collection, tables.parse(data, name), request=request, **options)


def taken(collection, *arguments, **options):
    report = look_at(collection, *arguments, **options)
    return report, intake.take(collection, report)


def tasks_of(run):
    with zipfile.ZipFile(io.BytesIO(export.build(run, "label-studio").data)) as archive:
        return json.loads(archive.read("tasks.json"))


def answered(run):
    """Return Label Studio's export for 18 of 20 tasks, shuffled: one of a class unknown here, one cancelled."""
    tasks = tasks_of(run)
    random.Random(0).shuffle(tasks)
    done = []
    for number, task in enumerate(tasks[:18], 1):
        choice = {"choices": ["owl" if number > 1 else "unclear"]}
        result = {"from_name": "label", "to_name": "image", "type": "choices", "value": choice}
        note = {"id": number, "result": [result] if number < 18 else []}
        note["was_cancelled"] = number == 18
        done.append({"id": 100 + number, "data": task["data"], "annotations": [note]})
    return done


def test_label_studios_export_of_our_tasks_comes_back_with_two_missing(pets, run):
    done = answered(run)
    report, version = taken(pets, json.dumps(done), run, name="labels.json")
    assert report.sentence() == "17 of 20 labels, 1 skipped, 2 missing, 1 of an unknown class"
    assert version == pets.latest()
    now = pets.snapshot()
    by_index = {
        task["data"]["dataset_index"]: task["annotations"][0]["result"][0]["value"]["choices"][0]
        for task in done[:17]
    }
    owls = {index for index, name in by_index.items() if name == "owl"}
    assert {row for row in owls if now.classes[now.labels[row]] == "owl"} == owls
    assert roles(now)["unlabeled"] == 4  # two missing, one skipped, one of an unknown class
    assert all(entry.run == run.id for entry in now.entries if entry.version == version)
    again, nothing = taken(pets, json.dumps(done), run, name="labels.json")
    assert nothing is None
    assert again.same == 16
    assert again.entries == ()


def test_a_german_spreadsheet_in_another_order_finds_the_same_images(pets, run):
    done = answered(run)[:17]
    lines = [
        f"{task['annotations'][0]['result'][0]['value']['choices'][0]};{task['data']['file']}"
        for task in done
    ]
    text = ("\ufefflabel;file\r\n" + "\r\n".join(lines) + "\r\n").encode()
    report, _ = taken(pets, text, run)
    assert report.sentence() == "17 of 20 labels, 3 missing, 1 of an unknown class"
    now = pets.snapshot()
    indices = [task["data"]["dataset_index"] for task in done[1:]]
    assert {now.classes[now.labels[index]] for index in indices} == {"owl"}


def test_our_own_table_comes_back_with_one_more_column(pets, run):
    rows = list(csv.DictReader(io.StringIO(export.build(run, "csv").data.decode())))
    out = io.StringIO()
    writer = csv.DictWriter(out, [*rows[0], "label"])
    writer.writeheader()
    for row in reversed(rows[:5]):
        writer.writerow(row | {"label": "dog"})
    report, _ = taken(pets, out.getvalue(), run)
    assert report.sentence() == "5 of 20 labels, 15 missing"
    now = pets.snapshot()
    assert [now.classes[now.labels[int(row["dataset_index"])]] for row in rows[:5]] == ["dog"] * 5
    assert now.labels[int(rows[5]["dataset_index"])] == -1


def test_rows_name_images_by_file_or_by_hash_without_a_run(pets):
    now = pets.snapshot()
    digest = now.ids[now.files.index("unlabeled/u1.png")]
    report, _ = taken(
        pets, "file,label\nu0.png,cat\nsomewhere/unlabeled/u2.png,owl\nnobody.png,cat\n"
    )
    assert report.sentence() == "2 labels, 1 of no image here"
    assert "no such image in this collection: nobody.png" in report.details()
    report, _ = taken(pets, f"sha256,label\n{digest},dog\n{'0' * 64},dog\n")
    assert report.sentence() == "1 label, 1 of no image here"
    now = pets.snapshot()
    assert [label_of(now, f"unlabeled/u{n}.png") for n in range(4)] == ["cat", "dog", "owl", None]


def test_rows_that_name_another_run_are_of_no_image_here(pets, run):
    text = f"run_id,dataset_index,label\n{run.id},{15},owl\nelsewhere,16,owl\n"
    report = look_at(pets, text, run)
    assert report.sentence() == "1 of 20 labels, 19 missing, 1 of no image here"


def test_places_in_a_dataset_need_the_run(pets):
    with pytest.raises(DataError, match="say which run asked for them"):
        look_at(pets, "dataset_index,label\n3,cat\n")


def test_a_label_that_is_there_stays_unless_it_is_overwritten(pets):
    text = "file,label\nc0.png,owl\nc1.png,cat\n"
    report, version = taken(pets, text)
    assert report.sentence() == "2 labels, 1 contradicts a label, 1 there already"
    assert label_of(pets.snapshot(), "cat/c0.png") == "cat"
    assert len(pets.snapshot().contradictions) == 1
    assert taken(pets, text)[1] is None, "the same file twice adds nothing"
    report, version = taken(pets, text, overwrite=True)
    assert report.sentence() == "2 labels, 1 replaces a label, 1 there already"
    assert label_of(pets.snapshot(), "cat/c0.png") == "owl"
    assert taken(pets, text, overwrite=True)[1] is None
    assert intake.undo(pets) == version + 1
    assert label_of(pets.snapshot(), "cat/c0.png") == "cat"


def test_two_people_who_disagree_leave_the_image_unlabeled_until_one_settles_it(pets):
    tasks = [
        {
            "id": 1,
            "data": {"image": "/pets/unlabeled/u3.png"},
            "annotations": [
                {"completed_by": who, "result": [{"value": {"choices": [name]}}]}
                for who, name in (("ann", "cat"), ("ben", "dog"))
            ],
        }
    ]
    report, _ = taken(pets, json.dumps(tasks))
    assert report.torn == ("unlabeled/u3.png",)
    now = pets.snapshot()
    assert label_of(now, "unlabeled/u3.png") is None
    assert len(now.contradictions) == 1
    assert taken(pets, json.dumps(tasks))[1] is None, "the same file twice adds nothing"
    taken(pets, "file,label,annotator\nu3.png,cat,ann\n")
    assert label_of(pets.snapshot(), "unlabeled/u3.png") == "cat"
    assert pets.snapshot().contradictions == ()


def test_a_new_class_is_taken_only_where_it_is_accepted(pets):
    text = "file,label\nu0.png,fox\nu1.png,CAT\n"
    report, _ = taken(pets, text)
    assert report.sentence() == "2 labels, 1 of an unknown class"
    assert pets.snapshot().classes == ("cat", "dog", "owl")
    assert label_of(pets.snapshot(), "unlabeled/u1.png") == "cat"
    report, _ = taken(pets, text, accept_new_classes=True)
    assert report.sentence() == "2 labels, 1 of a new class, 1 there already"
    assert label_of(pets.snapshot(), "unlabeled/u0.png") == "fox"


def test_several_goes_add_up_and_each_can_be_undone(pets):
    first = taken(pets, "file,label\nu0.png,cat\n")[1]
    second = taken(pets, "file,label\nu0.png,cat\nu1.png,dog\n")[1]
    assert (label_of(pets.snapshot(), "unlabeled/u0.png"), second) == ("cat", first + 1)
    intake.undo(pets, first)
    now = pets.snapshot()
    assert label_of(now, "unlabeled/u0.png") is None
    assert label_of(now, "unlabeled/u1.png") == "dog"
    with pytest.raises(DataError, match="is undone already"):
        intake.undo(pets, first)


def test_a_labeled_image_is_in_no_pool_of_the_next_round(pets, start):
    from rambo.datasets import catalog, prepared

    taken(pets, "file,label\nu0.png,cat\nu4.png,owl\n")
    data = catalog.prepare("collection:pets", start[0] / "home")
    files = data.names().files
    pool = {files[row] for row in range(len(files)) if data.roles[row] == prepared.POOL}
    assert len(pool) == 18
    assert pool.isdisjoint({"unlabeled/u0.png", "unlabeled/u4.png"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[{"data": {"image": "u0.png"}, "annot', "no whole JSON"),
        ('{"file": "u0.png", "label": "cat"}\n{"file": "u1', "line 2 is no whole JSON record"),
        ("file,label,note\nu0.png,cat,\nu1.png,ca", "stops in the middle"),
        ('file,label\nu0.png,cat\nu1.png,"ca\n', "quote is opened and never closed"),
        ('file,label\nu0.png,cat\nu1.png,"ca', "quote is opened and never closed"),
        ("file,label\nu0.png,cat\n".encode("utf-16")[:-3], "stops in the middle of a letter"),
        ("file,colour\nu0.png,cat\n", "no column of labels"),
    ],
)
def test_a_file_that_stops_in_the_middle_or_has_no_labels_is_refused(pets, tmp_path, text, words):
    from rambo.collection.readers.sources import read_table

    path = tmp_path / "labels.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=words):
        intake.preview(pets, read_table(path))


def test_words_that_say_there_is_no_label_are_no_class(pets):
    text = "file,label\nu0.png,skipped\nu1.png,Not sure\nu2.png,none of these\nu3.png,owl\n"
    preview, version = taken(pets, text)
    assert (preview.skipped, preview.unsure, preview.nothing, preview.labels) == (1, 1, 1, 1)
    assert preview.new_classes == ()
    assert {
        e.answer
        for e in pets.snapshot(version).entries
        if e.image in {e.image for e in preview.entries}
    } == {"skipped", "unsure", "none of these", "label"}
    taken(pets, "file,label\nu0.png,skipped\n", accept_new_classes=True)
    assert "skipped" not in pets.snapshot().classes


def test_a_preview_of_an_older_version_is_not_taken(pets):
    old = look_at(pets, "file,label\nu0.png,cat\n")
    taken(pets, "file,label\nu1.png,cat\n")
    with pytest.raises(DataError, match="changed since this was shown"):
        intake.take(pets, old)


def test_two_thousand_answers_come_in_within_seconds(tmp_path):
    import time

    import numpy as np

    images = np.random.default_rng(0).integers(0, 256, (2000, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "many.npz", images=images, classes=["a", "b"], labels=np.full(2000, -1))
    collection = bring(tmp_path / "home", tmp_path / "many.npz").collection
    files = collection.snapshot().files
    text = "file,label\n" + "".join(f"{name},{'ab'[i % 2]}\n" for i, name in enumerate(files))
    began = time.monotonic()
    report, _ = taken(collection, text)
    assert report.labels == 2000
    assert time.monotonic() - began < 10
    assert roles(collection.snapshot())["unlabeled"] == 0


def test_the_command_finds_the_run_in_the_file_and_takes_the_labels_back(
    pets, run, start, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("RAMBO_HOME", str(start[0] / "home"))
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(answered(run)))
    before = pets.latest()
    assert main(["label", "pets", str(path), "--dry-run"]) == 0
    out = capsys.readouterr()
    assert out.out.startswith("17 of 20 labels, 1 skipped, 2 missing, 1 of an unknown class\n")
    assert (out.err, pets.latest()) == ("nothing was changed\n", before)
    assert main(["label", "collection:pets", str(path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["labels"], report["batch"], report["stored"]) == (17, 20, before + 1)
    assert main(["label", "pets", "--undo"]) == 0
    assert f"collection:pets is version {before + 2}" in capsys.readouterr().err
    assert roles(pets.snapshot())["unlabeled"] == 20
    assert main(["label", "nobody", str(path)]) == 2
    assert main(["label", "pets"]) == 2
