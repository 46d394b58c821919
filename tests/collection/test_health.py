"""The health report: each kind of trouble in one line, with names and a way out."""

import numpy as np
from collection_helpers import bring, photos, picture, save, topics
from PIL import Image

from rambo.collection import health


def test_the_first_line_counts_and_errors_come_before_the_rest(tmp_path):
    result = bring(tmp_path / "ws", photos(tmp_path / "pets"))
    assert result.health[0].sentence.startswith(
        "19 images: 12 labeled, 3 validation, 0 test, 4 unlabeled. Working size: 24 x 20 pixels"
    )
    assert topics(result, "classes")[0].sentence == "3 classes: cat 5, dog 5, owl 5."
    rank = {"error": 0, "warning": 1, "info": 2}
    order = [rank[line.severity] for line in result.health[1:]]
    assert order == sorted(order)


def test_near_duplicates_that_cross_a_split_are_named(tmp_path):
    root = photos(tmp_path / "pets")
    noisy = np.asarray(picture(0)).astype(int) + np.random.default_rng(0).integers(
        -2, 3, (20, 24, 3)
    )
    (root / "test" / "cat").mkdir(parents=True)
    for folder in ("cat", "dog"):
        (root / "train").mkdir(exist_ok=True)
        (root / folder).rename(root / "train" / folder)
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(root / "test" / "cat" / "near.png")
    result = bring(tmp_path / "ws", root)
    assert "1 of 20 images nearly repeats another one" in topics(result, "duplicates")[0].sentence
    (line,) = topics(result, "crossings")
    assert line.files == ("test/cat/near.png",)
    assert (
        "1 test image is nearly the same as one of the labeled or validation images"
        in line.sentence
    )
    assert "group column" in line.way_out


def test_small_dark_and_empty_images_are_named(tmp_path):
    root = photos(tmp_path / "pets", per_class=6)
    save(root / "cat" / "tiny.png", 600, size=(5, 4))
    dark = np.asarray(picture(601)).astype(int) // 14
    Image.fromarray(dark.astype(np.uint8)).save(root / "cat" / "dark.png")
    Image.new("RGB", (24, 20), (90, 90, 90)).save(root / "cat" / "empty.png")
    lines = topics(bring(tmp_path / "ws", root), "odd images")
    named = {line.files: line.sentence for line in lines}
    ways = {line.files: line.way_out for line in lines}
    assert ways[("cat/dark.png",)] == "Look at it; a label for it may be wasted."
    assert ways[("cat/empty.png",)] == "Take it out; a label for it is wasted."
    assert "much smaller" in named[("cat/tiny.png",)]
    assert "nearly black" in named[("cat/dark.png",)]
    assert "one plain colour" in named[("cat/empty.png",)]


def test_unreadable_files_are_named_by_reason(tmp_path):
    root = photos(tmp_path / "pets")
    (root / "cat" / "empty.png").write_bytes(b"")
    (root / "cat" / "text.png").write_bytes(b"text")
    (root / "dog" / "text.jpg").write_bytes(b"text")
    whole = (root / "dog" / "d0.png").read_bytes()
    (root / "dog" / "half.png").write_bytes(whole[: len(whole) // 2])
    lines = topics(bring(tmp_path / "ws", root), "unreadable")
    assert sorted(line.files for line in lines) == [
        ("cat/empty.png",),
        ("cat/text.png", "dog/text.jpg"),
        ("dog/half.png",),
    ]
    assert all(line.way_out.endswith(".") for line in lines)


def test_the_text_marks_what_needs_a_person(tmp_path):
    save(tmp_path / "one" / "cat" / "a.png", 1)
    text = health.to_text(bring(tmp_path / "ws", tmp_path / "one").health)
    assert text.splitlines()[1].startswith("STOP  1 class is known")
    assert "look  " in text
