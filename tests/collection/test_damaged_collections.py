"""A collection of which a bit was flipped or a file was lost: the same answer, or words."""

import zipfile

import numpy as np
import pytest
from collection_helpers import bring, photos

from rambo.collection.answers import Answer, Answers
from rambo.errors import DataError, StoreError


def flip(path, byte, mask=1):
    """Let one bit of a file be another one."""
    data = bytearray(path.read_bytes())
    data[byte] ^= mask
    path.write_bytes(data)


@pytest.fixture
def packed(tmp_path):
    """A collection whose originals came inside a zip."""
    root = photos(tmp_path / "pets")
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for file in sorted(root.rglob("*.png")):
            archive.write(file, file.relative_to(root))
    return bring(tmp_path / "ws", tmp_path / "pets.zip").collection


@pytest.fixture
def arrays(tmp_path):
    """A collection whose originals were arrays, and these."""
    images = np.random.default_rng(0).integers(0, 256, (12, 12, 12), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", images=images, labels=np.arange(12) % 2)
    return bring(tmp_path / "ws", tmp_path / "x.npz").collection, images


def test_a_flipped_bit_in_a_packed_original_is_said(packed):
    pack = packed.folder / "originals.bin"
    where = packed._whereabouts(2)
    assert packed.original(2)[1] == pack.read_bytes()[where.packed[0] :][: where.packed[1]]
    flip(pack, where.packed[0] + where.packed[1] // 2)
    with pytest.raises(DataError, match=r"the original of cat/c2\.png is damaged; restore"):
        packed.original(2)
    with pytest.raises(DataError, match="is damaged"):
        packed.original_kind(2, whole=True)
    assert packed.original(1)[0] == "cat/c1.png"


def test_a_glance_at_a_damaged_head_looks_at_the_whole(packed):
    assert packed.original_kind(2, whole=False)[0] == ".png"
    flip(packed.folder / "originals.bin", packed._whereabouts(2).packed[0] + 1)
    with pytest.raises(DataError, match="is damaged"):
        packed.original_kind(2, whole=False)


def test_an_original_that_was_an_array_is_compared_by_its_pixels(arrays):
    collection, images = arrays
    pack = collection.folder / "originals.bin"
    whole, (at, size) = pack.read_bytes(), collection._whereabouts(5).packed
    right = collection.original(5)
    answers = []
    for byte in range(at, at + size, 3):
        flip(pack, byte)
        try:
            answers.append(collection.original(5) == right)
        except DataError as error:
            assert "is damaged; restore" in str(error)
            answers.append(None)
        pack.write_bytes(whole)
    assert False not in answers
    assert answers.count(None) > len(answers) // 2


def test_where_an_original_lies_is_read_with_its_seal(packed):
    with packed.writing() as db:
        db.execute("UPDATE images SET packed_at = packed_at + 1 WHERE image = 2")
    with pytest.raises(StoreError, match="record is damaged"):
        packed.original(2)


def test_a_lost_pack_of_originals_is_said_in_words(packed):
    (packed.folder / "originals.bin").unlink()
    for look in (lambda: packed.original(2), lambda: packed.original_kind(2, whole=False)):
        with pytest.raises(DataError, match=r"cat/c2\.png is lost; restore") as caught:
            look()
        assert str(packed.folder) not in str(caught.value)


@pytest.mark.parametrize("name", ["collection", "answers"])
def test_a_high_bit_in_the_schema_is_said_in_words(packed, name):
    """SQLite names what it cannot read, in bytes that are no UTF-8 then."""
    answers = Answers(packed, "round-1")
    answers.add([Answer("a", 1, "label", "cat")])
    look = {"collection": packed.versions, "answers": answers.log}[name]
    right, path = look(), packed.folder / f"{name}.sqlite"
    data, refusals = path.read_bytes(), 0
    for place in range(data.index(b"CREATE TABLE"), data.index(b"CREATE TABLE") + 60):
        path.write_bytes(data)
        flip(path, place, 0x80)
        try:
            assert look() == right
        except StoreError as error:
            refusals += "damaged" in str(error)
    assert refusals > 20


@pytest.mark.parametrize("kind", ["packed", "arrays"])
def test_lost_pictures_are_made_again_from_the_originals(kind, request):
    collection = request.getfixturevalue(kind)
    collection = collection[0] if isinstance(collection, tuple) else collection
    numbers = collection.snapshot().numbers.tolist()
    before = list(collection.pictures(numbers))
    (collection.folder / "pictures.bin").unlink()
    assert np.array_equal(before, list(collection.pictures(numbers)))
    (collection.folder / "originals.bin").unlink()
    with pytest.raises(DataError, match="is lost"):
        list(collection.pictures(numbers))
