"""Tags and notes of images: what may be typed, that two windows lose nothing, and that no damage goes unseen."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from store_helpers import CONFIG, refusal, unwritable

from rambo.errors import ConfigError, StoreError
from rambo.runs import notes
from rambo.runs.environment import Environment
from rambo.runs.notes import ImageNote
from rambo.runs.workspace import Workspace

EMPTY = ImageNote()


@pytest.fixture
def run(tmp_path):
    return Workspace(tmp_path / "runs").create(CONFIG, Environment(classes=("a", "b")))


def test_what_is_said_of_an_image_is_read_back_and_taken_back(run):
    assert notes.load(run) == {}
    entry = ImageNote(("blurry", "two objects"), "Looks like a boot.\nAsk Ana.")
    assert notes.save(run, 7, EMPTY, entry) == entry
    assert notes.load(run) == {7: entry}
    notes.save(run, 7, entry, EMPTY)
    assert notes.load(run) == {}


def test_tags_and_notes_are_put_in_order():
    assert notes.check_tags(["  very \t blurry ", "", "very blurry", "e\u0301t\u00e9"]) == (
        "very blurry",
        "\u00e9t\u00e9",
    )
    assert notes.check_note(" one  \r\n\ttwo\n\n") == "one\n two"
    assert notes.check_tags(["<b>bold</b>", "=1+1"]) == ("<b>bold</b>", "=1+1")


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (["x" * 41], "tag xxxxxxxxxxxxxxxxx... has 41 characters; use at most 40"),
        (["a\0b"], "U\\+0000; leave it out"),
        (["a\u202eb"], "U\\+202E; leave it out"),
        (["a\ud800"], "U\\+D800; leave it out"),
        (["a,b"], "tag a,b has a comma or a semicolon; give two tags"),
        ([f"t{i}" for i in range(21)], "tags 21 has too many; give an image at most 20"),
    ],
)
def test_a_hostile_tag_is_refused_in_one_sentence(run, tags, words):
    with pytest.raises(ConfigError, match=words) as caught:
        notes.save(run, 1, EMPTY, ImageNote(tuple(tags)))
    assert "\n" not in str(caught.value)
    assert notes.load(run) == {}


@pytest.mark.parametrize(("text", "words"), [("x" * 2001, "2,001"), ("a\x1b[31m", "U\\+001B")])
def test_a_hostile_note_is_refused_in_one_sentence(run, text, words):
    with pytest.raises(ConfigError, match=words):
        notes.save(run, 1, EMPTY, ImageNote(note=text))
    assert notes.load(run) == {}


def test_two_windows_take_nothing_from_each_other(run):
    first = notes.save(run, 1, EMPTY, ImageNote(("a", "b")))
    notes.save(run, 1, first, ImageNote(("b", "c"), "from here"))
    merged = notes.save(run, 1, first, ImageNote(("a", "b", "d")))
    assert merged == ImageNote(("b", "c", "d"), "from here")
    with pytest.raises(StoreError, match="changed in another window meanwhile; take over"):
        notes.save(run, 1, first, ImageNote(("a", "b"), "from there"))
    assert notes.load(run)[1].note == "from here"
    assert notes.save(run, 1, merged, ImageNote(merged.tags, "both")).note == "both"


def test_many_at_once_lose_no_tag(run):
    def save(number):
        return notes.save(run, number % 4, EMPTY, ImageNote((f"tag {number}",)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(save, range(40)))
    tags = {tag for entry in notes.load(run).values() for tag in entry.tags}
    assert tags == {f"tag {number}" for number in range(40)}


def test_no_flipped_bit_goes_unseen(run):
    entry = ImageNote(("blurry",), "see")
    notes.save(run, 7, EMPTY, entry)
    path = run.folder / "notes.json"
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            assert notes.load(run) == {7: entry}, bit
        except StoreError as error:
            assert "tags and notes" in str(error)


def test_a_file_with_what_nobody_could_type_is_refused(run):
    for entry in (ImageNote(("a,b",)), ImageNote((" a",)), ImageNote(note="x" * 2001)):
        (run.folder / "notes.json").write_bytes(notes.pack({1: entry}))
        assert "notes.json" in refusal(lambda: notes.load(run))
    (run.folder / "notes.json").write_text(json.dumps({"images": {"-1": {}}, "sha256": ""}))
    assert "tags and notes" in refusal(lambda: notes.load(run))


def test_a_folder_that_is_read_only_says_so(run):
    entry = notes.save(run, 1, EMPTY, ImageNote(("a",)))
    with unwritable(run.folder):
        words = refusal(lambda: notes.save(run, 1, entry, EMPTY))
    assert notes.load(run) == {1: entry}
    assert "access is denied" in words
    assert "save it again" in words
