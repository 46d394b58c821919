import gzip
import hashlib
import struct

import numpy as np
import pytest
from dataset_helpers import FILES, idx_arrays, idx_bytes, refused

from rambo.datasets import catalog, idx
from rambo.errors import DataError


@pytest.mark.parametrize("form", ["packed", "plain", "mixed", "both"])
def test_mnist_loads_in_every_form_without_touching_the_folder(mnist, tmp_path, form):
    raw = mnist / "MNIST" / "raw"
    for place, file in enumerate(FILES):
        packed = raw / f"{file}.gz"
        if form in ("plain", "both") or (form == "mixed" and place % 2):
            (raw / file).write_bytes(gzip.decompress(packed.read_bytes()))
            if form != "both":
                packed.unlink()
    before = {path: path.stat().st_mtime_ns for path in mnist.rglob("*")}
    raw.chmod(0o555)
    dataset = catalog.prepare("mnist", tmp_path, data_root=mnist)
    raw.chmod(0o755)
    assert len(dataset.images) == 50
    assert {path: path.stat().st_mtime_ns for path in mnist.rglob("*")} == before


@pytest.mark.parametrize("packed", [True, False])
def test_mutated_idx_files_are_refused_or_harmless(tmp_path, packed):
    array = next(idx_arrays())[:4]
    whole = idx_bytes(array, packed)
    sha256 = hashlib.sha256(idx_bytes(array, packed=False)).hexdigest()
    path = tmp_path / ("images.gz" if packed else "images")
    draw = np.random.default_rng(3)
    refusals = 0
    for turn in range(250):
        changed = bytearray(whole)
        place = draw.integers(20 if turn % 2 else len(whole))  # half of them in the headers
        if turn % 5 == 0:
            del changed[place:]
        elif turn % 5 == 1:
            changed.insert(place, draw.integers(256))
        else:
            changed[place] ^= 1 << draw.integers(8)
        path.write_bytes(changed)
        try:
            values = idx.read_idx(path, 3, sha256)
        except DataError as error:
            refusals += str(path.name) in str(error) and "\n" not in str(error)
        else:
            assert np.array_equal(values, array)  # such as a changed date in gzip's header
            refusals += packed
    assert refusals == 250


def test_idx_header_alone_cannot_ask_for_memory(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(bytes((0, 0, 8, 3)) + struct.pack(">3I", 2**31, 2**31, 2**31))
    with pytest.raises(DataError, match="asks for"):
        idx.read_idx(path, 3)


def test_gzip_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "labels.gz"
    bomb = bytes((0, 0, 8, 1)) + struct.pack(">I", 10) + bytes(200_000_000)
    path.write_bytes(gzip.compress(bomb, 1))
    with pytest.raises(DataError, match="10 bytes"):
        idx.read_idx(path, 1)


@pytest.mark.parametrize(
    ("place", "array"),
    [
        (1, np.full(30, 10, np.uint8)),  # a label beyond 9
        (1, np.zeros(29, np.uint8)),  # one label short
        (0, np.zeros((30, 28, 27), np.uint8)),
    ],
)
def test_files_that_do_not_belong_together_are_refused(mnist, tmp_path, monkeypatch, place, array):
    (mnist / "MNIST" / "raw" / f"{FILES[place]}.gz").write_bytes(idx_bytes(array))
    monkeypatch.setitem(idx.SHA256, "MNIST", (None,) * 4)
    refused("mnist", tmp_path, mnist, FILES[place], "belong together")
    assert not (tmp_path / "datasets").exists()


def test_wrong_hash_names_file_and_expected_hash(mnist, tmp_path, monkeypatch):
    monkeypatch.setitem(idx.SHA256, "MNIST", ("0" * 64,) * 4)
    refused("mnist", tmp_path, mnist, FILES[0], "0" * 64)
