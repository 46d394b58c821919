"""A collection of which a bit was flipped or a file was lost: the same answer, or words."""

import random
import zipfile

import numpy as np
import pytest
from collection_helpers import bring, photos, save

from rambo.collection import snapshots
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


def view(collection):
    """Return all that is read of a collection, to be compared."""
    now = collection.snapshot()
    parts = [(part.tolist() if hasattr(part, "tolist") else part) for part in vars(now).values()]
    answers = [Answers(collection, run).log() for run in ("round-1", "round-2")]
    facts = (collection.name, collection.frame, collection.validation_share, collection.prices())
    return parts, collection.versions(), facts, answers, collection.original(2)


@pytest.mark.parametrize("name", ["collection", "answers"])
def test_no_flipped_bit_of_a_record_changes_an_answer_in_silence(packed, name):
    for place in range(8):
        Answers(packed, f"round-{1 + place % 2}").add([Answer(f"t{place}", place, "label", "cat")])
    packed.set_price("round-1", 0.5, "EUR")
    right, path = view(packed), packed.folder / f"{name}.sqlite"
    data, draw, refusals = path.read_bytes(), random.Random(5), 0
    full = [place for place, byte in enumerate(data) if byte]
    for _ in range(250):
        flip(path, draw.choice(full), 1 << draw.randrange(8))
        try:
            assert view(packed) == right
        except (StoreError, DataError):
            refusals += 1
        for file in packed.folder.glob(f"{name}.sqlite*"):
            file.unlink()
        path.write_bytes(data)
    assert refusals > 50


def test_a_damaged_name_of_a_fact_does_not_read_as_unknown(packed):
    packed.set_price("round-1", 0.5, "EUR")
    right = {"frame": packed.frame, "prices": packed.prices(), "validation_share": 0.2}
    for name, value in right.items():
        with packed.writing() as db:
            db.execute("UPDATE facts SET name = 'x' || name WHERE name = ?", (name,))
        for look in (lambda: packed.validation_share, lambda: packed.frame, packed.prices):
            with pytest.raises(StoreError, match="damaged"):
                look()
        with packed.writing() as db:
            db.execute("UPDATE facts SET name = ? WHERE name = ?", (name, f"x{name}"))
        part = getattr(packed, name)
        assert (part() if callable(part) else part) == value


def test_damaged_clusters_are_computed_again(tmp_path):
    root = photos(tmp_path / "pets")
    save(root / "unlabeled" / "twin.png", 0, (48, 40))
    collection = bring(tmp_path / "ws", root).collection
    before = collection.snapshot().clusters
    assert len(np.unique(before)) == len(before) - 1
    for change in ("SET numbers = zeroblob(9)", "SET change = change + 8"):
        with collection.writing() as db:
            db.execute(f"UPDATE clusters {change}")
        assert np.array_equal(collection.snapshot().clusters, before)
    with collection.writing() as db:
        db.execute("UPDATE smalls SET small = zeroblob(256) WHERE image = 3")
    with pytest.raises(StoreError, match="damaged"):
        collection.snapshot()


def test_where_nobody_looked_for_repeated_pictures_reading_does_not(packed, monkeypatch):
    """It would look at every picture whenever the collection is opened: half a minute for 100,000."""
    with packed.writing() as db:
        db.execute("DELETE FROM clusters")
    monkeypatch.setattr(snapshots, "_clusters_anew", lambda db, change: pytest.fail("it looked"))
    clusters = packed.snapshot().clusters
    assert len(set(clusters.tolist())) == len(clusters)


def test_a_damaged_source_is_said_by_what_reads_it(tmp_path):
    root = photos(tmp_path / "pets")
    collection = bring(tmp_path / "ws", root).collection
    with collection.writing() as db:
        db.execute("UPDATE sources SET place = place || 'x'")
    with pytest.raises(StoreError, match="damaged"):
        collection.original(0)
    with pytest.raises(StoreError, match="damaged"):
        bring(tmp_path / "ws", root)


def test_a_collection_of_an_older_version_has_no_seals_and_grows(tmp_path):
    root = photos(tmp_path / "pets")
    collection = bring(tmp_path / "ws", root).collection
    before = collection.snapshot()
    with collection.writing() as db:
        db.execute("DROP TABLE seals")
    assert collection.original(0)[0] == "cat/c0.png"
    assert np.array_equal(collection.snapshot().clusters, before.clusters)
    save(root / "cat" / "new.png", 77)
    assert bring(tmp_path / "ws", root).new == 1
    with collection.writing() as db:
        assert db.execute("SELECT part, number FROM seals").fetchall() == [("smalls", 19)]
