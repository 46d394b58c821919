import concurrent.futures
import contextlib
import errno
import hashlib
import json
import os
import pickle
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from dataset_helpers import Bomb, break_disk

from rambo.datasets import prepared
from rambo.datasets.prepared import POOL, TEST, VALIDATION
from rambo.errors import DataError, StoreError


def content(seed=0, count=12, channels=1):
    draw = np.random.default_rng(seed)
    return {
        "name": "tiny",
        "images": draw.integers(0, 256, (count, channels, 8, 9), dtype=np.uint8),
        "labels": np.arange(count, dtype=np.int64) % 3,
        "roles": (np.arange(count) % 3 == 1).astype(np.uint8),
        "classes": ("a", "b", "ü"),
        "mean": (0.25,) * channels,
        "std": (0.5,) * channels,
        "source": "drawn",
        "licence": "none",
        "origin": f"tiny/{seed}",
    }


def write(workspace, **changes):
    return prepared.write(workspace, **{**content(), **changes})


def hidden(workspace):
    return [path.name for path in (workspace / "datasets").glob(".*")]


def test_written_is_what_is_read(tmp_path):
    columns = content(channels=3)
    written = prepared.write(tmp_path, **columns)
    opened = prepared.open_prepared(written.folder, verify=True)
    assert written.folder == tmp_path / "datasets" / written.fingerprint
    assert len(written.fingerprint) == 32
    for one in (written, opened):
        for key in ("images", "labels", "roles"):
            array = getattr(one, key)
            assert np.array_equal(array, columns[key])
            assert array.dtype == columns[key].dtype
        assert (one.name, one.classes, one.num_classes) == ("tiny", ("a", "b", "ü"), 3)
        assert (one.mean, one.std) == (columns["mean"], columns["std"])
        assert (one.source, one.licence) == ("drawn", "none")
    assert (POOL, VALIDATION, TEST) == (0, 1, 2)
    assert hidden(tmp_path) == []


def test_images_are_private_maps(tmp_path):
    import torch

    dataset = write(tmp_path)
    assert isinstance(dataset.images, np.memmap)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.from_numpy(dataset.images).zero_()
    assert not dataset.images.any()
    assert np.array_equal(
        prepared.open_prepared(dataset.folder, verify=True).images, content()["images"]
    )


def test_any_memory_order_gives_the_same_dataset(tmp_path):
    columns = content()
    fortran = np.asfortranarray(columns["images"])
    reversed_twice = columns["images"][::-1].copy()[::-1]
    fingerprints = {write(tmp_path, images=i).fingerprint for i in (fortran, reversed_twice)}
    assert fingerprints == {write(tmp_path).fingerprint}


def test_fingerprint_covers_all_that_decides_a_result(tmp_path):
    columns = content()
    other = columns["images"].copy()
    other[-1, -1, -1, -1] ^= 1
    variants = [
        {},
        {"images": other},
        {"images": columns["images"].transpose(0, 1, 3, 2)},
        {"images": columns["images"].reshape(12, 1, 9, 8)},
        {"labels": columns["labels"][::-1]},
        {"roles": columns["roles"] * 2},
        {"classes": ("a", "b", "c")},
        {"mean": (0.26,)},
        {"std": (0.51,)},
    ]
    assert len({write(tmp_path, **v).fingerprint for v in variants}) == len(variants)
    words = {"name": "x", "source": "y", "licence": "z"}
    assert (
        write(tmp_path, **words).name == "x"
    )  # equal content: the one there serves, under the name just given


def test_writing_twice_leaves_the_files_alone(tmp_path):
    first = write(tmp_path)
    before = {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in first.folder.iterdir()}
    assert write(tmp_path).folder == first.folder
    assert {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in first.folder.iterdir()} == (
        before
    )


def test_a_target_that_appears_meanwhile_is_used(tmp_path, monkeypatch):
    first = write(tmp_path)
    inode = first.folder.stat().st_ino
    answers = iter([False, True])  # as if it was not there yet when the writer looked
    monkeypatch.setattr(prepared, "_usable", lambda folder: next(answers))
    assert write(tmp_path).folder.stat().st_ino == inode
    assert hidden(tmp_path) == []


def test_a_damaged_target_is_replaced(tmp_path):
    first = write(tmp_path)
    (first.folder / "meta.json").write_text("{}")
    again = write(tmp_path)
    assert again.folder == first.folder
    assert prepared.open_prepared(first.folder, verify=True).fingerprint == first.fingerprint
    assert hidden(tmp_path) == []


def test_many_writers_at_once_agree(tmp_path):
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        folders = {d.folder for d in threads.map(lambda _: write(tmp_path), range(24))}
    assert len(folders) == 1
    assert hidden(tmp_path) == []
    prepared.open_prepared(folders.pop(), verify=True)


def test_every_flipped_byte_is_found(tmp_path):
    folder = prepared.write(tmp_path, **content(count=18)).folder
    draw = np.random.default_rng(1)
    flips = 0
    for path in sorted(folder.iterdir()):
        with path.open("r+b", buffering=0) as file:
            for place, byte in enumerate(path.read_bytes()):
                os.pwrite(file.fileno(), bytes([byte ^ 1 << draw.integers(8)]), place)
                with pytest.raises(DataError) as caught:
                    prepared.open_prepared(folder, verify=True)
                os.pwrite(file.fileno(), bytes([byte]), place)
                assert path.name in str(caught.value)
                assert "\n" not in str(caught.value)
                flips += 1
    assert flips > 2000
    prepared.open_prepared(folder, verify=True)


def test_cut_and_garbled_arrays_are_refused_without_verifying(tmp_path):
    folder = write(tmp_path).folder
    draw = np.random.default_rng(2)
    for path in sorted(folder.glob("*.npy")):
        whole = path.read_bytes()
        for length in draw.integers(0, len(whole), 20):
            path.write_bytes(whole[:length])
            with pytest.raises(DataError, match=path.name):
                prepared.open_prepared(folder)
        for _ in range(60):  # the header is text: some changes are harmless, none may escape
            changed = bytearray(whole)
            changed[draw.integers(128)] = draw.integers(256)
            path.write_bytes(changed)
            with contextlib.suppress(DataError):
                prepared.open_prepared(folder)
        path.unlink()
        with pytest.raises(DataError, match=path.name):
            prepared.open_prepared(folder)
        path.write_bytes(whole)


def test_nothing_is_ever_unpickled(tmp_path):
    marker = tmp_path / "marker"
    folder = write(tmp_path).folder
    objects = np.array([Bomb(marker)] * 12, dtype=object)
    np.save(folder / "labels.npy", objects, allow_pickle=True)
    with pytest.raises(DataError, match=r"labels\.npy"):
        prepared.open_prepared(folder)
    (folder / "labels.npy").write_bytes(pickle.dumps(Bomb(marker)))
    with pytest.raises(DataError, match=r"labels\.npy"):
        prepared.open_prepared(folder)
    np.savez(folder / "labels.npz", labels=np.arange(12))
    (folder / "labels.npz").rename(folder / "labels.npy")
    with pytest.raises(DataError, match=r"labels\.npy"):
        prepared.open_prepared(folder)
    assert not marker.exists()


def test_find_goes_by_origin_and_passes_over_what_it_cannot_read(tmp_path):
    assert prepared.find(tmp_path, "tiny/0") is None
    folder = write(tmp_path).folder
    datasets = tmp_path / "datasets"
    (datasets / "0-file").write_text("x")
    for name, text in {"1": "", "2": "[" * 100_000, "3": "{}", "4": "\xff\xfe"}.items():
        (datasets / name).mkdir()
        (datasets / name / "meta.json").write_text(text, encoding="latin-1")
    (datasets / "5").mkdir()
    forged = json.loads((folder / "meta.json").read_text())
    (datasets / "5" / "meta.json").write_text(json.dumps({**forged, "origin": "wanted"}))
    (datasets / ".6").mkdir()
    (datasets / ".6" / "meta.json").write_bytes((folder / "meta.json").read_bytes())
    assert prepared.find(tmp_path, "tiny/0") == folder
    assert prepared.find(tmp_path, "wanted") is None  # its seal is broken
    assert prepared.find(tmp_path, "tiny/1") is None


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "free that much"),
        (errno.EDQUOT, "free that much"),
        (errno.EROFS, "may be written"),
        (errno.EACCES, "may be written"),
        (errno.EIO, "may be written"),
    ],
)
@pytest.mark.parametrize("step", ["mkdir", "open", "write", "fsync", "rename", "replace"])
def test_a_disk_that_fails_leaves_nothing_and_says_what_is_needed(
    tmp_path, monkeypatch, number, words, step
):
    if step != "mkdir":
        (tmp_path / "datasets").mkdir()  # so that the arrays are the first to reach the disk
    with monkeypatch.context() as patch:
        break_disk(patch, step, number)
        with pytest.raises(StoreError, match=words) as caught:
            write(tmp_path)
    assert "1 MB" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.glob("datasets/*")) == []
    assert list(tmp_path.glob("datasets/.*")) == []
    assert write(tmp_path).num_classes == 3


def test_a_workspace_that_is_no_folder_is_refused(tmp_path):
    (tmp_path / "datasets").write_text("")
    with pytest.raises(StoreError, match="cannot store"):
        write(tmp_path)
    assert prepared.find(tmp_path, "tiny/0") is None


def test_leftovers_of_killed_writers_go_after_a_day(tmp_path):
    datasets = tmp_path / "datasets"
    old, new, foreign = (datasets / n for n in (f".{'a' * 32}-1", f".{'b' * 32}-2", ".foreign"))
    for folder in (old, new, foreign):
        folder.mkdir(parents=True)
        (folder / "images.npy").write_bytes(b"x")
    before = time.time() - 100_000
    for folder in (old, foreign):
        os.utime(folder, (before, before))
    write(tmp_path)
    assert [f.exists() for f in (old, new, foreign)] == [False, True, True]


def test_discard_removes_all_and_bears_repetition(tmp_path):
    folder = write(tmp_path).folder
    prepared.discard(folder)
    prepared.discard(folder)
    assert not folder.exists()
    assert hidden(tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": content()["images"][:, 0]}, "images"),
        ({"images": content()["images"].astype(np.float32)}, "float32"),
        ({"images": content()["images"][:0]}, "images"),
        ({"labels": content()["labels"][:5]}, "labels"),
        ({"labels": content()["labels"].astype(np.int32)}, "int32"),
        ({"labels": content()["labels"] - 2}, "0 to 2"),
        ({"labels": content()["labels"] - 1, "roles": np.ones(12, np.uint8)}, "no label"),
        ({"labels": content()["labels"] + 1}, "0 to 2"),
        ({"roles": content()["roles"] + 3}, "role"),
        ({"groups": np.zeros(11, np.int64)}, "groups"),
        ({"clusters": np.zeros(12, np.int32)}, "clusters"),
        ({"roles": content()["roles"][:, None]}, "roles"),
        ({"mean": (0.1, 0.2)}, "channels"),
        ({"std": (0.0,)}, "number"),
        ({"mean": (float("nan"),)}, "number"),
        ({"classes": ("a", "b", "\ud800")}, "text"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, changes, words):
    with pytest.raises(DataError, match=words) as caught:
        write(tmp_path, **changes)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_only_features_import_torch():
    code = (
        "import sys, rambo.datasets.prepared, rambo.datasets.catalog; "
        "sys.exit(any(m in sys.modules for m in ('torch', 'torchvision', 'scipy', 'PIL')))"
    )
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_unknown_labels_groups_and_names_come_back(tmp_path):
    labels = content()["labels"].copy()
    pool = content()["roles"] == POOL
    labels[pool] = prepared.UNLABELED
    names = prepared.Names(files=tuple(f"{n}.png" for n in range(12)), groups=("a", "b"))
    groups, clusters = np.arange(12) % 2, np.arange(12) // 2
    data = write(tmp_path, labels=labels, groups=groups, clusters=clusters, names=names)
    again = prepared.open_prepared(data.folder, verify=True)
    assert again.labels.tolist() == labels.tolist()
    assert again.groups.tolist() == groups.tolist()
    assert again.clusters.tolist() == clusters.tolist()
    assert again.names() == names
    assert again.partly_labeled
    assert not write(tmp_path).partly_labeled
    assert write(tmp_path).names() is None


def test_damaged_names_are_noticed(tmp_path):
    data = write(tmp_path, names=prepared.Names(files=("a.png",) * 12))
    path = data.folder / "names.json"
    path.write_bytes(path.read_bytes().replace(b"a.png", b"b.png", 1))
    with pytest.raises(DataError, match=r"names\.json"):
        prepared.open_prepared(data.folder).names()
    with pytest.raises(DataError, match=r"names\.json"):
        prepared.open_prepared(data.folder, verify=True)


def test_a_dataset_of_an_older_release_opens(tmp_path):
    """Its description knows neither collections nor optional arrays, and its seal covers what it knows."""
    data = write(tmp_path)
    fields = json.loads((data.folder / "meta.json").read_bytes())
    assert set(fields["sha256"]) == {"images", "labels", "roles", "blocks"}
    (data.folder / "blocks.npy").unlink()
    del fields["sha256"]["blocks"]
    old = {key: value for key, value in fields.items() if key not in ("collection", "seal")}
    seal = hashlib.sha256(json.dumps(old, sort_keys=True).encode()).hexdigest()
    (data.folder / "meta.json").write_text(json.dumps(old | {"seal": seal}))
    again = prepared.open_prepared(data.folder, verify=True)
    assert (again.groups, again.clusters, again.collection) == (None, None, "")
    np.testing.assert_array_equal(again.pixels([3, 0]), data.images[[3, 0]])
    flip(data.folder / "images.npy", -1)
    with pytest.raises(DataError, match="do not match their hash"):
        prepared.open_prepared(data.folder).pixels([0])


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["labels", "roles", "blocks"])
def test_a_changed_label_role_or_hash_is_refused_at_once(tmp_path, name):
    data = write(tmp_path)
    flip(data.folder / f"{name}.npy", -1)
    with pytest.raises(DataError, match=f"{name}.npy: its bytes do not match their hash"):
        prepared.open_prepared(data.folder)


def test_pixels_are_held_against_the_hash_of_their_block(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (500, 1, 28, 28), np.uint8)
    data = write(
        tmp_path,
        images=images,
        labels=np.arange(500, dtype=np.int64) % 2,
        roles=np.zeros(500, np.uint8),
    )
    assert data.blocks.shape == (7, 16)  # 83 images of 784 bytes in 64 KiB
    flip(data.folder / "images.npy", -1)
    opened = prepared.open_prepared(data.folder)
    np.testing.assert_array_equal(opened.pixels([0, 300, 7]), images[[0, 300, 7]])
    assert opened.trusted == {0, 3}
    with pytest.raises(DataError, match=r"images\.npy: its bytes do not match their hash"):
        opened.pixels([2, 498])  # of the block of the last image
    with pytest.raises(DataError, match="do not match"):
        prepared.open_prepared(data.folder, verify=True)


def test_the_same_bytes_under_another_name_keep_the_name_just_given(tmp_path):
    data = write(tmp_path)
    assert prepared.renamed(data, "mine").name == "mine"
    assert prepared.open_prepared(data.folder, verify=True).name == "mine"
