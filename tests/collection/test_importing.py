"""The import: what joins, what is known, what a version holds, and what is left when it dies."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
import zipfile

import numpy as np
import pytest
from collection_helpers import (
    CLASSES,
    Deadly,
    bring,
    label_of,
    photos,
    picture,
    roles,
    save,
    topics,
)
from PIL import Image

from rambo import collection as own
from rambo.collection import importing, packs, workers
from rambo.collection.images import look_at_file
from rambo.collection.importing import ImportOptions, import_images
from rambo.collection.looks import LIMITS
from rambo.collection.readers.items import Item
from rambo.collection.records import Frame, LabelEntry
from rambo.errors import DataError, RunCancelled, RunLockedError, RunNotFoundError, StoreError
from rambo.events import Noticed, StageAdvanced
from rambo.storage import files


def test_a_folder_of_classes_with_an_unlabeled_one(tmp_path):
    photos(tmp_path / "pets")
    save(tmp_path / "pets" / "loose.png", 99)
    result = bring(tmp_path / "ws", tmp_path / "pets")
    now = result.collection.snapshot()
    assert (result.collection.slug, result.version, result.new) == ("pets", 1, 20)
    assert now.classes == CLASSES
    assert roles(now) == {"labeled": 12, "validation": 3, "test": 0, "unlabeled": 5}
    assert label_of(now, "dog/d1.png") == "dog"
    assert label_of(now, "loose.png") is None
    assert label_of(now, "unlabeled/u2.png") is None
    assert {(e.origin, e.label) for e in now.entries} == {(f"folder {c}", c) for c in CLASSES}
    assert set(zip(now.widths.tolist(), now.heights.tolist(), strict=True)) == {(24, 20)}
    assert (now.frame.width, now.frame.height) == (24, 20)


def test_a_second_import_reads_only_what_is_new(tmp_path, monkeypatch):
    root = photos(tmp_path / "pets")
    bring(tmp_path / "ws", root)
    save(root / "dog" / "new.png", 500)
    folders = []
    real = workers.results
    monkeypatch.setattr(
        importing.workers,
        "results",
        lambda items, *rest: folders.append(items) or real(items, *rest),
    )
    result = bring(tmp_path / "ws", root)
    assert [item.name for item in folders[0]] == ["dog/new.png"]
    assert (result.version, result.new, result.read) == (2, 1, 1)
    again = bring(tmp_path / "ws", root)
    assert (again.version, again.changed, again.read) == (2, False, 0)


def test_every_name_has_a_slug_of_its_own_that_never_changes(tmp_path):
    names = [
        "猫",
        "狗",
        "Кошки",
        "🐱",
        "🐶",
        "Katzen 猫",
        "Katzen 狗",
        "x" * 50,
        "x" * 51,
        "!!!",
        "a!",
    ]
    slugs = [own.slug_of(name) for name in names]
    assert len(set(slugs)) == len(names)
    assert [own.slug_of(slug) for slug in slugs] == slugs, "a slug is its own"
    assert own.slug_of("猫") == "images-" + hashlib.sha256("猫".encode()).hexdigest()[:6]
    assert own.slug_of("My Photos (2)") == own.slug_of("my-photos-2") == "my-photos-2"
    assert own.slug_of("Müller") == own.slug_of("Mu\u0308ller") == "muller"
    assert own.slug_of("  ") == "images"
    for name in ("猫", "狗"):
        root = photos(tmp_path / name, per_class=2, unlabeled=1)
        assert bring(tmp_path / "ws", root).collection.name == name
    assert len(own.slugs(tmp_path / "ws")) == 2


def test_names_that_share_a_slug_are_told(tmp_path):
    root, events = photos(tmp_path / "My Pets", per_class=2, unlabeled=1), []
    bring(tmp_path / "ws", root)
    import_images(tmp_path / "ws", root, ImportOptions(name="my_pets"), emit=events.append)
    assert [event.message for event in events if isinstance(event, Noticed)] == [
        "my_pets joins the collection My Pets (my-pets)"
    ]
    events.clear()
    import_images(tmp_path / "ws", root, ImportOptions(name="my-pets"), emit=events.append)
    assert not [event for event in events if isinstance(event, Noticed)]


def test_an_older_version_reads_as_it_was(tmp_path):
    root = photos(tmp_path / "pets")
    collection = bring(tmp_path / "ws", root).collection
    before = collection.snapshot(1)
    save(root / "unlabeled" / "new.png", 500)
    bring(tmp_path / "ws", root)
    number = int(before.numbers[before.files.index("unlabeled/u0.png")])
    assert collection.add_labels([LabelEntry(number, "fox", "by hand")], "one label") == 3
    again = collection.snapshot(1)
    assert again.files == before.files
    assert again.classes == before.classes
    for column in ("labels", "roles", "numbers", "clusters", "groups"):
        assert np.array_equal(getattr(again, column), getattr(before, column))
    assert collection.snapshot().classes == ("cat", "dog", "fox", "owl")
    assert label_of(collection.snapshot(), "unlabeled/u0.png") == "fox"
    assert [version.kind for version in collection.versions()] == ["import", "import", "labels"]


def test_an_undo_takes_a_version_back_and_can_be_undone(tmp_path):
    collection = bring(tmp_path / "ws", photos(tmp_path / "pets")).collection
    before = collection.snapshot()
    number = int(before.numbers[before.files.index("unlabeled/u0.png")])
    labeled = collection.add_labels([LabelEntry(number, "fox", "by hand")], "one label")
    undone = collection.undo(labeled)
    assert label_of(collection.snapshot(), "unlabeled/u0.png") is None
    assert collection.snapshot().classes == CLASSES
    assert label_of(collection.snapshot(labeled), "unlabeled/u0.png") == "fox"
    with pytest.raises(DataError, match="undone already"):
        collection.undo(labeled)
    collection.undo(undone)
    assert label_of(collection.snapshot(), "unlabeled/u0.png") == "fox"


def test_a_zip_of_the_folder_gives_the_same_images_and_keeps_the_originals(tmp_path):
    root = photos(tmp_path / "pets")
    folder = bring(tmp_path / "a", root).collection.snapshot()
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for path in sorted(root.rglob("*.png")):
            archive.write(path, f"pets/{path.relative_to(root)}")
        archive.writestr("__MACOSX/pets/cat/._c0.png", b"x")
        archive.writestr("pets/.DS_Store", b"x")
    result = bring(tmp_path / "b", tmp_path / "pets.zip")
    packed = result.collection.snapshot()
    assert sorted(packed.ids) == sorted(folder.ids)
    assert {label_of(packed, f"pets/{name}") for name in folder.files if "cat/" in name} == {"cat"}
    assert "2 hidden or system files" in topics(result, "import")[0].sentence
    (tmp_path / "pets.zip").unlink()
    name, data = result.collection.original(0)
    assert data == (root / name.removeprefix("pets/")).read_bytes()


def test_train_validation_and_test_folders_are_understood(tmp_path):
    number = 0
    for split, count in (("train", 4), ("val", 2), ("test", 3)):
        for name in ("a", "b"):
            for place in range(count):
                save(tmp_path / "set" / split / name / f"{place}.png", number)
                number += 1
    save(tmp_path / "set" / "test" / "loose.png", number)
    result = bring(tmp_path / "ws", tmp_path / "set")
    now = result.collection.snapshot()
    assert now.classes == ("a", "b")
    assert roles(now) == {"labeled": 8, "validation": 4, "test": 6, "unlabeled": 1}
    assert result.collection.validation_share == 0
    assert "1 images of test/ lie in no class folder" in topics(result, "import")[0].sentence


def test_a_fixed_test_set_is_never_taught_even_as_a_copy(tmp_path):
    root = photos(tmp_path / "pets")
    save(tmp_path / "held" / "cat" / "x.png", 800)
    (tmp_path / "held" / "cat" / "copy.png").write_bytes((root / "cat" / "c0.png").read_bytes())
    result = bring(tmp_path / "ws", root, test=tmp_path / "held")
    now = result.collection.snapshot()
    assert roles(now)["test"] == 2
    assert now.copies == (("cat/copy.png", now.files.index("cat/c0.png")),)
    assert now.roles[now.files.index("cat/c0.png")] == own.TEST


def test_copies_count_once_and_contradictions_are_nobodys_label(tmp_path):
    root = photos(tmp_path / "pets")
    (root / "dog" / "same.png").write_bytes((root / "cat" / "c0.png").read_bytes())
    (root / "cat" / "twin.png").write_bytes((root / "cat" / "c1.png").read_bytes())
    result = bring(tmp_path / "ws", root)
    now = result.collection.snapshot()
    assert len(now) == 19
    assert label_of(now, "cat/c0.png") is None
    assert label_of(now, "cat/c1.png") == "cat"
    assert [now.files[n] for n in now.contradictions] == ["cat/c0.png"]
    assert "cat/c0.png: cat and dog" in topics(result, "contradictions")[0].sentence
    assert "2 exact copies" in topics(result, "duplicates")[0].sentence


def test_a_later_label_that_disagrees_changes_nothing_and_is_told(tmp_path):
    root = photos(tmp_path / "pets")
    bring(tmp_path / "ws", root)
    (root / "dog" / "again.png").write_bytes((root / "cat" / "c0.png").read_bytes())
    result = bring(tmp_path / "ws", root)
    assert label_of(result.collection.snapshot(), "cat/c0.png") == "cat"
    assert topics(result, "contradictions")[0].files == ("cat/c0.png",)


def test_labels_from_a_table_come_before_folders_and_may_arrive_later(tmp_path):
    root = photos(tmp_path / "pets")
    bring(tmp_path / "ws", root)
    table = tmp_path / "labels.csv"
    table.write_text("﻿label;file\r\nowl;u0.png\r\n;u1.png\r\ncat;nowhere.png\r\n", encoding="utf-8")
    result = bring(tmp_path / "ws", root, labels=table)
    now = result.collection.snapshot()
    assert result.version == 2
    assert label_of(now, "unlabeled/u0.png") == "owl"
    assert label_of(now, "unlabeled/u1.png") is None
    assert label_of(now, "cat/c0.png") == "cat"
    entry = next(entry for entry in now.entries if entry.version == 2)
    assert entry.origin == "labels.csv, row 2"
    assert any("1 rows of labels.csv name no image here: nowhere.png" in r for r in now.remarks)


def test_groups_stay_together(tmp_path):
    root = tmp_path / "clinic"
    lines = ["file,label,patient"]
    for number in range(60):
        save(root / f"{number}.png", number)
        lines.append(f"{number}.png,{'ab'[number % 2]},p{number // 6}")
    table = tmp_path / "table.csv"
    table.write_text("\n".join(lines))
    now = bring(tmp_path / "ws", root, labels=table, group_by="patient").collection.snapshot()
    assert len(now.group_names) == 10
    assert now.group_names[:3] == ("p0", "p1", "p2")
    sides = [set(now.roles[now.groups == group].tolist()) for group in range(10)]
    assert all(len(side) == 1 for side in sides)
    assert roles(now)["validation"] == 12


def test_an_import_that_dies_leaves_the_old_version_and_goes_on_later(tmp_path, monkeypatch):
    root = photos(tmp_path / "pets")
    collection = bring(tmp_path / "ws", root).collection
    for number in range(100):
        save(root / "unlabeled" / f"n{number:03d}.png", 1000 + number)
    real, calls = importing._Import._store, []

    def die(self, *arguments):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(1)
        return real(self, *arguments)

    monkeypatch.setattr(importing._Import, "_store", die)
    with pytest.raises(KeyboardInterrupt):
        bring(tmp_path / "ws", root)
    assert collection.latest() == 1
    assert len(collection.snapshot()) == 19
    assert collection.progress().state == "stopped"
    monkeypatch.setattr(importing._Import, "_store", real)
    result = bring(tmp_path / "ws", root)
    assert (result.version, result.read) == (2, 100 - 2 * workers.CHUNK)
    whole = bring(tmp_path / "other", root).collection
    assert sorted(collection.snapshot().ids) == sorted(whole.snapshot().ids)
    for number in range(119):
        (mine,) = collection.pictures([number])
        assert np.array_equal(
            mine, look_at_file(collection.original(number)[1], collection.frame).pixels
        )


def test_labels_may_come_between_an_import_that_died_and_its_end(tmp_path, monkeypatch):
    root = photos(tmp_path / "pets")
    collection = bring(tmp_path / "ws", root).collection
    for number in range(40):
        save(root / "unlabeled" / f"n{number:03d}.png", 1000 + number)
    real = importing._Import._finish
    monkeypatch.setattr(
        importing._Import, "_finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        bring(tmp_path / "ws", root)
    monkeypatch.setattr(importing._Import, "_finish", real)
    number = int(collection.snapshot().numbers[-1])
    assert collection.add_labels([LabelEntry(number, "fox", "by hand")], "one label") == 2
    assert len(collection.snapshot()) == 19
    result = bring(tmp_path / "ws", root)
    assert (result.version, result.read) == (3, 0)
    assert len(collection.snapshot()) == 59
    assert "fox" in collection.snapshot().classes


def test_a_dead_import_of_another_source_is_forgotten(tmp_path, monkeypatch):
    root, other = photos(tmp_path / "pets"), tmp_path / "more"
    collection = bring(tmp_path / "ws", root).collection
    for number in range(40):
        save(other / "bat" / f"{number}.png", 2000 + number)
    real = importing._Import._finish
    monkeypatch.setattr(
        importing._Import, "_finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        bring(tmp_path / "ws", other, name="pets")
    monkeypatch.setattr(importing._Import, "_finish", real)
    save(root / "cat" / "late.png", 700)
    assert bring(tmp_path / "ws", root).version == 2
    now = collection.snapshot()
    assert len(now) == 20
    assert now.classes == CLASSES
    name = now.files.index("cat/late.png")
    (stored,) = collection.pictures([int(now.numbers[name])])
    assert np.array_equal(stored.transpose(1, 2, 0), np.asarray(picture(700)))


def test_a_full_disk_is_said_without_where_the_workspace_lies(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "full")

    root = photos(tmp_path / "pets")
    monkeypatch.setattr(files, "make_folder", full)
    with pytest.raises(StoreError) as caught:
        import_images(tmp_path / "ws", root, ImportOptions(jobs=1))
    words = "workspace could not be written: the disk is full; free some space and try again"
    assert str(caught.value) == words


@pytest.mark.parametrize("step", ["pictures", "commit"])
def test_a_full_disk_is_told_and_the_old_version_stays(tmp_path, monkeypatch, step):
    root = photos(tmp_path / "pets")
    collection = bring(tmp_path / "ws", root).collection
    save(root / "cat" / "late.png", 700)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        target = (packs, "_write_at") if step == "pictures" else (importing.Draft, "add_file")
        patch.setattr(*target, full)
        with pytest.raises(StoreError, match="the disk is full; free some space"):
            bring(tmp_path / "ws", root)
    assert collection.latest() == 1
    assert len(collection.snapshot()) == 19
    assert collection.progress().state == "failed"
    assert bring(tmp_path / "ws", root).version == 2


def test_a_stop_is_heard_and_what_was_read_is_kept(tmp_path):
    root = photos(tmp_path / "pets", unlabeled=100)
    events = []

    def stop(event):
        events.append(event)
        if isinstance(event, StageAdvanced) and event.step >= workers.CHUNK:
            own.find(tmp_path / "ws", "pets").request_stop()

    with pytest.raises(RunCancelled):
        import_images(tmp_path / "ws", root, ImportOptions(jobs=1), emit=stop)
    collection = own.find(tmp_path / "ws", "pets")
    assert collection.versions() == []
    with pytest.raises(DataError, match="has not come to an end"):
        collection.snapshot()
    result = bring(tmp_path / "ws", root)
    assert 0 < result.read < 115
    assert len(collection.snapshot()) == 115
    assert collection.progress().state == "done"


def test_one_import_at_a_time(tmp_path):
    collection = bring(tmp_path / "ws", photos(tmp_path / "pets")).collection
    with collection.alone():
        assert collection.importing()
        with pytest.raises(RunLockedError, match="pets"):
            bring(tmp_path / "ws", tmp_path / "pets")
    assert not collection.importing()


def test_two_imports_at_once_make_one_collection(tmp_path, monkeypatch):
    root = photos(tmp_path / "pets")
    results, notices = [], []
    started, waiting = threading.Event(), threading.Event()
    real = own.collection.create

    def create(*arguments, **more):
        started.set()
        assert waiting.wait(60)  # the other one looks for the collection in the meantime
        return real(*arguments, **more)

    def hear(event):
        if isinstance(event, Noticed):
            notices.append(event.message)
            waiting.set()

    def second():
        started.wait(60)
        options = ImportOptions(jobs=1)
        results.append(import_images(tmp_path / "ws", root, options, emit=hear, wait=True))

    monkeypatch.setattr(own.collection, "create", create)
    other = threading.Thread(target=second)
    other.start()
    first = bring(tmp_path / "ws", root)
    other.join(60)
    assert own.slugs(tmp_path / "ws") == ["pets"]
    assert (first.version, first.changed, first.new) == (1, True, 19)
    assert [(one.version, one.changed) for one in results] == [(1, False)]
    assert notices == ["the collection pets is being imported elsewhere; waiting for that"]


def test_an_import_whose_process_was_killed_blocks_nobody_and_is_absent_on_with(tmp_path):
    root = photos(tmp_path / "pets", unlabeled=100)
    code = f"""
import os, pathlib, signal
from rambo.collection import importing, workers
from rambo.events import StageAdvanced
def die(event):
    if isinstance(event, StageAdvanced) and event.step >= workers.CHUNK:
        os.kill(os.getpid(), signal.SIGKILL)
folder = pathlib.Path({str(tmp_path)!r})
importing.import_images(folder / "ws", folder / "pets", importing.ImportOptions(jobs=1), emit=die)
"""
    killed = subprocess.run([sys.executable, "-c", code], timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert own.find(tmp_path / "ws", "pets").progress().state == "stopped"
    result = import_images(tmp_path / "ws", root, ImportOptions(jobs=1), wait=True)
    assert own.slugs(tmp_path / "ws") == ["pets"]
    assert 0 < result.read < 115
    assert len(result.collection.snapshot()) == 115


def test_processes_read_the_same_as_one(tmp_path):
    root = photos(tmp_path / "pets", per_class=30)
    (root / "cat" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    one = bring(tmp_path / "a", root)
    many = import_images(tmp_path / "b", root, ImportOptions(jobs=2))
    first, second = one.collection.snapshot(), many.collection.snapshot()
    assert first.ids == second.ids
    assert first.files == second.files
    assert np.array_equal(first.roles, second.roles)
    assert first.unreadable == second.unreadable
    pictures = [list(r.collection.pictures(first.numbers.tolist())) for r in (one, many)]
    assert np.array_equal(*pictures)


def test_a_decoder_that_crashes_loops_or_eats_memory_costs_one_image(tmp_path):
    """The child of its chunk dies; each image of the chunk is then read again by itself."""
    root = photos(tmp_path / "pets")
    keys = ["cat/c0.png", "crash", "dog/d0.png", "loop", "eat", "owl/o0.png"]
    items = [Item(key, key, key.encode(), "") for key in keys]
    work = workers.Work(Deadly(str(root)), Frame(16, 16), LIMITS, store=False, seconds=1)
    ((chunk, looks),) = workers.results(items, work, jobs=1)
    assert [item.key for item in chunk] == keys
    assert [result.reason for result in looks] == [
        "",
        "reading it crashed, or took over 1 s; save it again as PNG",
        "",
        "reading it crashed, or took over 1 s; save it again as PNG",
        "it needs more memory than one image may have; save it smaller",
        "",
    ]


def test_an_original_that_was_changed_is_not_shown_for_another(tmp_path):
    root = photos(tmp_path / "pets")
    collection = bring(tmp_path / "ws", root).collection
    now = collection.snapshot()
    number = int(now.numbers[now.files.index("cat/c0.png")])
    assert collection.original(number) == ("cat/c0.png", (root / "cat" / "c0.png").read_bytes())
    save(root / "cat" / "c0.png", 900)
    with pytest.raises(DataError, match=r"cat/c0\.png is gone or was changed"):
        collection.original(number)


def test_a_changed_file_is_another_image(tmp_path):
    root = photos(tmp_path / "pets")
    collection = bring(tmp_path / "ws", root).collection
    first = collection.snapshot()
    save(root / "cat" / "c0.png", 900)
    now = bring(tmp_path / "ws", root).collection.snapshot()
    assert len(now) == len(first)
    assert now.ids[now.files.index("cat/c0.png")] != first.ids[first.files.index("cat/c0.png")]


def test_a_damaged_picture_is_made_again_from_its_original(tmp_path):
    collection = bring(tmp_path / "ws", photos(tmp_path / "pets")).collection
    (before,) = collection.pictures([3])
    pack = collection.folder / "pictures.bin"
    data = bytearray(pack.read_bytes())
    data[3 * before.size + 100] ^= 1
    pack.write_bytes(data)
    (after,) = collection.pictures([3])
    assert np.array_equal(before, after)


def test_a_flipped_bit_in_the_record_is_an_error(tmp_path):
    collection = bring(tmp_path / "ws", photos(tmp_path / "pets")).collection
    with collection.writing() as db:
        db.execute("UPDATE labels SET label = 'dog' WHERE entry = 1")
    with pytest.raises(StoreError, match="damaged"):
        collection.snapshot()


def test_names_are_looked_up_and_never_joined(tmp_path):
    collection = bring(tmp_path / "ws", photos(tmp_path / "pets")).collection
    assert own.find(tmp_path / "ws", "pets").folder == collection.folder
    for name in ("../collections/pets", "pets/", "PETS", "", ".", "pets\0", "no"):
        with pytest.raises(RunNotFoundError, match="no such collection"):
            own.find(tmp_path / "ws", name)
    assert own.parse("collection:pets@12") == ("pets", 12)
    assert own.parse("collection:pets") == ("pets", None)
    assert own.parse("collection:../x") is None


def test_two_collections_of_one_name_do_not_mix_unless_asked(tmp_path):
    bring(tmp_path / "ws", photos(tmp_path / "a" / "pets"))
    save(tmp_path / "b" / "pets" / "ant" / "1.png", 900)
    result = bring(tmp_path / "ws", tmp_path / "b" / "pets", name="Pets of Ann!")
    assert result.collection.slug == "pets-of-ann"
    assert own.slugs(tmp_path / "ws") == ["pets", "pets-of-ann"]


def test_nothing_readable_makes_no_collection(tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"none of the 1 files could be read.*a\.png"):
        bring(tmp_path / "ws", tmp_path / "bad")
    assert own.slugs(tmp_path / "ws") == []


def test_deleting_leaves_the_persons_files(tmp_path):
    root = photos(tmp_path / "pets")
    collection = bring(tmp_path / "ws", root).collection
    own.delete(collection)
    assert own.slugs(tmp_path / "ws") == []
    assert len(list(root.rglob("*.png"))) == 19


def test_another_validation_share_is_a_version_of_its_own(tmp_path):
    collection = bring(tmp_path / "ws", photos(tmp_path / "pets", per_class=10)).collection
    assert roles(collection.snapshot())["validation"] == 6
    collection.set_validation_share(0.5)
    assert roles(collection.snapshot())["validation"] == 15
    assert roles(collection.snapshot(1))["validation"] == 6


def test_large_photos_are_brought_to_one_size_by_the_rule_that_is_named(tmp_path):
    wide = Image.new("RGB", (400, 200), (250, 0, 0))
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
    wide.save(tmp_path / "set" / "a" / "wide.png")
    wide.rotate(90, expand=True).save(tmp_path / "set" / "b" / "tall.png")
    letterbox = bring(tmp_path / "ws", tmp_path / "set").collection
    crop = bring(tmp_path / "ws", tmp_path / "set", name="crop", fit="crop", size=32).collection
    assert (letterbox.frame.width, letterbox.frame.height) == (96, 96)
    first, _ = letterbox.pictures([0, 1])
    assert first[:, 48, 48].tolist() == [250, 0, 0]
    assert first[:, 2, 48].tolist() == [128, 128, 128]
    (whole, _) = crop.pictures([0, 1])
    assert whole.shape == (3, 32, 32)
    assert np.unique(whole[0]).tolist() == [250]
    assert "filled with grey" in letterbox.frame.sentence()
    assert "cut off" in crop.frame.sentence()
