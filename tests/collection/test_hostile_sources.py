"""Folders, zips and tables that mean harm, or come from a life: each has a rule and a message with the file's name."""

import io
import os
import stat
import struct
import time
import zipfile

import numpy as np
import pytest
from collection_helpers import bring, label_of, photos, picture, roles, save, topics

from rambo.collection.looks import LIMITS, Limits
from rambo.collection.readers import archives
from rambo.collection.readers.sources import read_source
from rambo.errors import DataError


def png(number=0):
    buffer = io.BytesIO()
    picture(number).save(buffer, "PNG")
    return buffer.getvalue()


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


ESCAPES = [
    "../a.png",
    "a/../../b.png",
    "/abs.png",
    "C:\\x.png",
    "..\\..\\w.png",
    "\\\\host\\s\\u.png",
]


def test_names_that_lead_out_of_a_zip_are_refused_and_nothing_is_written_there(tmp_path):
    inside = tmp_path / "in"
    inside.mkdir()
    zipped(inside / "x.zip", [(name, png()) for name in ESCAPES] + [("cat/ok.png", png(1))])
    before = sorted(p for p in tmp_path.rglob("*"))
    source = read_source(inside / "x.zip", LIMITS, tmp_path)
    assert [item.name for item in source.items] == ["cat/ok.png"]
    assert len(source.refused) == len(ESCAPES)
    assert {bad.reason for bad in source.refused} == {
        "its name leads out of the archive; pack it again without paths"
    }
    assert sorted(p for p in tmp_path.rglob("*")) == before


def test_links_and_encrypted_members_of_a_zip_are_refused_by_name(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cat/ok.png", png())
        link = zipfile.ZipInfo("cat/link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("cat/secret.png", png(1))
    data = bytearray(path.read_bytes())
    at = data.rindex(b"cat/secret.png") - 46 + 8
    data[at] |= 1
    path.write_bytes(data)
    source = read_source(path, LIMITS, tmp_path)
    assert {bad.file: bad.reason.split(";")[0] for bad in source.refused} == {
        "cat/link.png": "it is a link or a device, not a file",
        "cat/secret.png": "it is encrypted",
    }


def test_bombs_in_zips_are_refused_before_anything_is_unpacked(tmp_path):
    bomb = zipped(tmp_path / "b.zip", [("cat/zeros.png", bytes(30_000_000)), ("cat/a.png", png())])
    source = read_source(bomb, LIMITS, tmp_path)
    assert "only a bomb" in source.refused[0].reason
    started = time.perf_counter()
    with pytest.raises(DataError, match="unpacked; the limit is 0 GB"):
        read_source(bomb, Limits(total_bytes=1_000_000), tmp_path)
    many = zipped(tmp_path / "m.zip", [(f"{n}.png", b"") for n in range(300)])
    with pytest.raises(DataError, match="300 files inside; use at most 200"):
        read_source(many, Limits(members=200), tmp_path)
    assert time.perf_counter() - started < 1


def test_a_lying_directory_of_a_zip_is_refused_unopened(tmp_path, monkeypatch):
    many = zipped(tmp_path / "m.zip", [(f"{n:0200d}.png", b"") for n in range(3000)])
    data = bytearray(many.read_bytes())
    at = data.rindex(b"PK\x05\x06")
    data[at + 8 : at + 12] = struct.pack("<HH", 1, 1)
    many.write_bytes(data)
    monkeypatch.setattr(archives.zipfile, "ZipFile", None)
    with pytest.raises(DataError, match="files inside"):
        read_source(many, LIMITS, tmp_path)


def test_a_member_that_is_damaged_costs_itself_only(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(4):
            archive.writestr(f"cat/{number}.png", png(number))
    data = bytearray(path.read_bytes())
    data[data.index(b"cat/1.png") + 60] ^= 255
    path.write_bytes(data)
    now = bring(tmp_path / "ws", path).collection.snapshot()
    assert len(now) == 3
    assert [(bad.file, bad.reason) for bad in now.unreadable] == [
        ("cat/1.png", "the archive is damaged here; save it again")
    ]


def test_links_out_of_a_folder_are_named_and_links_inside_are_copies(tmp_path):
    root = photos(tmp_path / "pets")
    secret = save(tmp_path / "secret.png", 700)
    (root / "cat" / "out.png").symlink_to(secret)
    (root / "cat" / "in.png").symlink_to(root / "cat" / "c0.png")
    (root / "away").symlink_to(tmp_path)
    (root / "cat" / "loop").symlink_to(root / "cat")
    result = bring(tmp_path / "ws", root)
    now = result.collection.snapshot()
    assert len(now) == 19
    assert {bad.file for bad in now.unreadable} == {"away", "cat/out.png", "cat/loop"}
    assert "copy the file itself" in topics(result, "unreadable")[0].way_out.lower()
    assert [name for name, _ in now.copies] == ["cat/in.png"]


def test_an_original_behind_a_link_made_later_is_not_read(tmp_path):
    root = photos(tmp_path / "pets")
    collection = bring(tmp_path / "ws", root).collection
    outside = save(tmp_path / "x.png", 0)
    (root / "cat" / "c0.png").unlink()
    (root / "cat" / "c0.png").symlink_to(outside)
    with pytest.raises(DataError, match="gone or was changed"):
        collection.original(0)


def test_what_systems_leave_everywhere_is_passed_over(tmp_path):
    root = photos(tmp_path / "pets")
    for junk in (
        ".DS_Store",
        "cat/Thumbs.db",
        "cat/.hidden.png",
        "__MACOSX/cat/c.png",
        "cat/desktop.ini",
    ):
        (root / junk).parent.mkdir(parents=True, exist_ok=True)
        (root / junk).write_bytes(png(999))
    (root / "readme.txt").write_text("mine")
    (root / "cat" / "no_suffix").write_bytes(png(998))
    (root / "empty").mkdir()
    os.mkfifo(root / "cat" / "pipe.png")
    result = bring(tmp_path / "ws", root)
    now = result.collection.snapshot()
    assert len(now) == 20
    assert label_of(now, "cat/no_suffix") == "cat"
    assert now.classes == ("cat", "dog", "owl")
    sentences = " ".join(line.sentence for line in topics(result, "import"))
    assert "5 hidden or system files were passed over" in sentences
    assert "1 file is no image and was not used: readme.txt" in sentences


def test_names_with_any_characters_are_kept_apart_and_shown_safely(tmp_path):
    root = tmp_path / "set"
    names = [
        "ü.png",
        "u\u0308.png",
        "a\nb.png",
        "<b>.png",
        "\u202egnp.exe.png",
        "🙂.png",
        "x" * 200 + ".png",
        "A.png",
        "a.png",
    ]
    for number, name in enumerate(names):
        save(root / "c" / name, number)
    (root / "c" / os.fsdecode(b"\xff\xfe.png")).write_bytes(png(50))
    collection = bring(tmp_path / "ws", root).collection
    now = collection.snapshot()
    assert len(now) == 10
    assert len(set(now.files)) == 10
    assert all(name.isprintable() for name in now.files)
    for number in now.numbers.tolist():
        assert collection.original(number)[1].startswith(b"\x89PNG")


def test_two_members_of_one_name_never_merge(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = zipped(tmp_path / "x.zip", [("c/a.png", png(1)), ("c/a.png", png(2))])
    now = bring(tmp_path / "ws", path).collection.snapshot()
    assert now.files == ("c/a.png", "c/a.png (2)")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: root.mkdir(), "holds no image"),
        (lambda root: save(root / "notes.txt", 1, format="BMP").write_text("hi"), "notes.txt"),
        (lambda root: root.write_bytes(b"hello"), "of an unknown kind"),
        (lambda root: root.write_bytes(b"PK\x03\x04" + bytes(50)), "no zip file"),
        (lambda root: None, "nothing is there"),
    ],
    ids=["empty", "only text", "unknown", "half a zip", "missing"],
)
def test_what_holds_no_image_is_refused_by_name(tmp_path, make, words):
    root = tmp_path / "source"
    make(root)
    with pytest.raises(DataError, match="source") as caught:
        bring(tmp_path / "ws", root)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_one_class_and_a_class_with_one_image_are_told(tmp_path):
    for number in range(3):
        save(tmp_path / "one" / "cat" / f"{number}.png", number)
    result = bring(tmp_path / "ws", tmp_path / "one")
    assert topics(result, "classes")[0].severity == "error"
    assert "1 class is known" in topics(result, "classes")[0].sentence
    save(tmp_path / "one" / "dog" / "d.png", 9)
    result = bring(tmp_path / "ws", tmp_path / "one")
    assert [line.severity for line in topics(result, "classes")] == ["warning", "info"]
    assert "1 of 2 classes have fewer than two labels: dog" in topics(result, "classes")[0].sentence


def test_2000_classes_are_read_and_told(tmp_path):
    path = tmp_path / "many.npz"
    draw = np.random.default_rng(0)
    np.savez(
        path, images=draw.integers(0, 256, (2000, 8, 8), dtype=np.uint8), labels=np.arange(2000)
    )
    result = bring(tmp_path / "ws", path)
    assert len(result.collection.snapshot().classes) == 2000
    assert "RAMBO reads up to 1,000" in topics(result, "classes")[0].sentence


def test_a_table_cannot_point_out_of_its_folder(tmp_path):
    secret = save(tmp_path / "secret.png", 1)
    save(tmp_path / "set" / "ok.png", 2)
    rows = [
        "file,label",
        "ok.png,a",
        f"{secret},b",
        "../secret.png,b",
        "sub/../../secret.png,b",
        "gone.png,b",
    ]
    (tmp_path / "set" / "t.csv").write_text("\n".join(rows))
    now = bring(tmp_path / "ws", tmp_path / "set" / "t.csv").collection.snapshot()
    assert now.files == ("ok.png",)
    assert len(now.unreadable) == 4
    assert roles(now)["labeled"] == 1
