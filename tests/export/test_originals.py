"""Exports of a person's own images: the files themselves under safe names, and by what they find back."""

import csv
import hashlib
import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rambo import export
from rambo.collection import intake
from rambo.collection.readers import tables
from rambo.errors import ConfigError
from rambo.export import originals, returns

sys.path.append(str(Path(__file__).resolve().parents[1] / "collection"))
from collection_helpers import bring, chosen_run, photos, save

EVIL = '=cmd|\' ü "x".jpg'  # what a file may be called


@pytest.fixture
def mine(tmp_path):
    """A folder with a photo of an odd name, a TIFF, one that is deleted later and one that is changed."""
    root = photos(tmp_path / "pets", unlabeled=1)
    save(root / "unlabeled" / EVIL, 90, (80, 50))
    save(root / "unlabeled" / "scan.tif", 91, (70, 40))
    save(root / "unlabeled" / "gone.png", 92)
    save(root / "unlabeled" / "other.png", 93)
    collection = bring(tmp_path / "home", root).collection
    now = collection.snapshot()
    batch = [row for row, role in enumerate(now.roles) if role == 0]
    run = chosen_run(tmp_path / "home", collection, batch)
    (root / "unlabeled" / "gone.png").unlink()
    save(root / "unlabeled" / "other.png", 94)
    return root, collection, run


def unpacked(run, form, **options):
    result = export.build(run, form, **options)
    with zipfile.ZipFile(io.BytesIO(result.data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}, result


def rows_of(data):
    return {row["original_file"]: row for row in csv.DictReader(io.StringIO(data.decode()))}


def test_originals_are_handed_over_as_they_are_and_what_is_absent_is_said(mine):
    root, collection, run = mine
    files, result = unpacked(run, "zip")
    rows = rows_of(files["manifest.csv"])
    assert len(rows) == 5
    photo = next(row for name, row in rows.items() if name.endswith('"x".jpg'))
    content = (root / "unlabeled" / EVIL).read_bytes()
    assert files[f"images/{photo['file']}"] == content
    assert photo["file"] == f"{int(photo['dataset_index']):06d}.jpg"
    assert photo["image_hash"] == hashlib.sha256(content).hexdigest()
    scan = Image.open(io.BytesIO(files[f"images/{rows['unlabeled/scan.tif']['file']}"]))
    assert (scan.format, scan.size) == ("PNG", (70, 40))
    frame = collection.frame
    for name in ("unlabeled/gone.png", "unlabeled/other.png"):
        stand_in = Image.open(io.BytesIO(files[f"images/{rows[name]['file']}"]))
        assert stand_in.size == (frame.width, frame.height)
    notice = result.notices[-1]
    assert notice.startswith("2 originals are gone or changed since the import (unlabeled/gone.png")
    assert notice in files["README.txt"].decode()
    assert notice in json.loads(files["run.json"])["notices"]
    assert all("cmd" not in name for name in files), "no name derives from a person's own"


def test_the_working_size_is_an_option(mine):
    _, collection, run = mine
    files, result = unpacked(run, "label-studio", pictures="working")
    pictures = [data for name, data in files.items() if name.startswith("images/")]
    sizes = {Image.open(io.BytesIO(data)).size for data in pictures}
    assert sizes == {(collection.frame.width, collection.frame.height)}
    assert "original" not in " ".join(result.notices)
    with pytest.raises(ConfigError, match="choose one of: originals, working"):
        export.build(run, "zip", pictures="best")


def test_more_than_fits_into_one_archive_comes_at_the_working_size(mine, monkeypatch):
    _, _, run = mine
    monkeypatch.setattr(originals, "_MOST", 100)
    files, result = unpacked(run, "cvat")
    assert [name for name in files if name.endswith(".jpg")] == []
    assert "over 0 GB for one archive" in result.notices[-1]
    monkeypatch.undo()
    csv_ = export.build(run, "csv")
    assert "GB" not in " ".join(csv_.notices), "a table hands over no picture"
    assert sum(row["file"].endswith(".jpg") for row in rows_of(csv_.data).values()) == 1


def test_cvat_gets_images_and_a_tag_for_each_class(mine):
    files, _ = unpacked(mine[2], "cvat")
    tags = json.loads(files["labels.json"])
    assert [tag["name"] for tag in tags] == ["cat", "dog", "owl"]
    assert {tag["type"] for tag in tags} == {"tag"}
    assert sum(name.startswith("images/") for name in files) == 5


def test_a_large_photo_is_inlined_at_a_size_to_look_at(tmp_path):
    root = photos(tmp_path / "pets", unlabeled=0)
    noise = np.random.default_rng(0).integers(0, 256, (1000, 2400, 3), dtype=np.uint8)
    (root / "unlabeled").mkdir()
    Image.fromarray(noise).save(root / "unlabeled" / "large.png")
    collection = bring(tmp_path / "home", root).collection
    run = chosen_run(tmp_path / "home", collection, [15])
    files, _ = unpacked(run, "label-studio")
    (task,) = json.loads(files["tasks-inline.json"])
    assert task["data"]["image"].startswith("data:image/jpeg;base64,")
    assert len(task["data"]["image"]) < 3_000_000 < len(files["images/000015.png"])


def test_answers_find_their_images_by_hash_by_name_alone_or_by_cvats_name(mine, tmp_path):
    from rambo.runs.workspace import Workspace

    _, collection, run = mine
    rows = list(rows_of(export.build(run, "csv").data).values())
    workspace = Workspace(tmp_path / "home")

    def names_in(text):
        table = tables.parse(text.encode(), "answers")
        asking = returns.asking(table, workspace, collection)
        request = None if asking is None else returns.request_of(asking.run, collection)
        return asking, intake.preview(collection, table, request=request)

    hashes = "".join(f"{row['image_hash']},cat\n" for row in rows)
    asking, preview = names_in("image_hash,label\n" + hashes)
    assert (asking, preview.labels, preview.foreign) == (None, 5, ())
    names = "".join(f"dog;{row['file']}\n" for row in reversed(rows))
    asking, preview = names_in("label;file\n" + names)
    assert (asking.run.id, asking.guessed, preview.sentence()) == (run.id, True, "5 of 5 labels")
    tags = "".join(
        f'<image id="{n}" name="{row["file"]}"><tag label="owl"/></image>'
        for n, row in enumerate(rows[:-1])
    )
    asking, preview = names_in(
        f"<?xml version='1.0' encoding='utf-8'?><annotations>{tags}</annotations>"
    )
    assert preview.sentence() == "4 of 5 labels, 1 missing"
    asking, preview = names_in("label;file\nowl;999999.jpg\n")
    assert asking is None
    assert preview.sentence() == "0 labels, 1 of no image here"


def test_two_batches_that_both_hold_the_files_are_not_guessed_between(mine, tmp_path):
    from rambo.runs.workspace import Workspace

    _, collection, run = mine
    places = [row.dataset_index for row in export.rows(run)]
    chosen_run(tmp_path / "home", collection, places[:3])
    table = tables.parse(f"file,label\n{places[0]:06d}.png,cat\n".encode(), "answers")
    assert returns.asking(table, Workspace(tmp_path / "home"), collection) is None
    assert returns.asking(table, Workspace(tmp_path / "home"), collection, run).run is run


def test_originals_that_are_lost_or_damaged_leave_the_working_size_and_are_named(tmp_path):
    root = photos(tmp_path / "pets", unlabeled=3)
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for file in sorted(root.rglob("*.png")):
            archive.write(file, file.relative_to(root))
    collection = bring(tmp_path / "home", tmp_path / "pets.zip").collection
    now = collection.snapshot()
    batch = [row for row, role in enumerate(now.roles) if role == 0]
    run = chosen_run(tmp_path / "home", collection, batch)
    pack = collection.folder / "originals.bin"
    data = bytearray(pack.read_bytes())
    data[-20] ^= 1
    pack.write_bytes(data)
    assert export.build(run, "zip").notices[-1].startswith("1 original is gone or changed")
    pack.unlink()
    files, result = unpacked(run, "zip")
    assert result.notices[-1].startswith("3 originals are gone or changed")
    sizes = {
        Image.open(io.BytesIO(files[name])).size for name in files if name.startswith("images/0")
    }
    assert sizes == {(collection.frame.width, collection.frame.height)}
