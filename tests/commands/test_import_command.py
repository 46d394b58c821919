"""`rambo import` and `rambo collections`, as a person types them."""

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rambo.__main__ import main
from rambo.collection import find
from rambo.runs import imports


@pytest.fixture
def pets(tmp_path, monkeypatch):
    draw = np.random.default_rng(0)
    for number in range(12):
        folder = tmp_path / "pets" / (("cat", "dog")[number % 2] if number < 8 else "pool")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 256, (12, 10, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (tmp_path / "pets" / "cat" / "bad.jpg").write_bytes(b"no")
    monkeypatch.setenv("RAMBO_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "pets"


def test_the_report_is_printed_and_the_next_step_named(pets, capsys):
    assert main(["import", "pets", "--jobs", "1"]) == 0
    printed = capsys.readouterr()
    assert "12 images: 6 labeled, 2 validation, 0 test, 4 unlabeled" in printed.out
    assert "1 file gave no image (damaged" in printed.out
    assert "cat/bad.jpg" in printed.out
    assert "collection:pets is version 1; 12 new images" in printed.err
    assert "rambo run --dataset collection:pets" in printed.err
    assert main(["import", "pets", "--jobs", "1"]) == 0
    assert "is as it was: version 1; 0 new images" in capsys.readouterr().err
    assert main(["collections"]) == 0
    assert capsys.readouterr().out.startswith("collection:pets  version 1  12 images")
    assert main(["collections", "pets", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["versions"][0]["kind"] == "import"
    assert main(["prepare", "pets"]) == 0
    assert "pets: 12 images, 2 classes" in capsys.readouterr().err


def test_options_reach_the_collection(pets, tmp_path, capsys):
    (tmp_path / "t.csv").write_text("file;label;who\n10.png;fox;p1\n11.png;fox;p1\n")
    options = "--name zoo --labels t.csv --validation 0.5 --group-column who --size 16 --fit crop"
    assert main(["import", "pets", *options.split(), "--jobs", "1", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["dataset"] == "collection:zoo"
    sentences = " ".join(line["sentence"] for line in answer["health"])
    assert "in 1 groups: 6 labeled, 4 validation, 0 test, 2 unlabeled" in sentences
    assert "16 x 16 pixels" in sentences
    assert "cut off" in sentences


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("nothing", "nothing is there"),
        ("pets --fit x", "use letterbox or crop"),
        ("pets --size big", "--size big: use a number"),
        ("pets --size 4", "use a working size of 16 to 512"),
        ("pets --validation 2", "validation share 2"),
        ("pets --max-gb none", "use a number of gigabytes"),
        ("pets --labels none.csv", "table none.csv"),
        ("pets --group-column who", "no table with a column who"),
        ("pets/cat/0.png", "it is a single image"),
    ],
)
def test_wrong_input_is_one_line(pets, capsys, arguments, words):
    assert main(["import", *arguments.split(), "--jobs", "1"]) == 2
    printed = capsys.readouterr()
    assert words in printed.err
    assert len([line for line in printed.err.splitlines() if line.startswith("rambo:")]) == 1
    assert printed.out == ""


def test_what_was_sent_to_be_imported_is_kept_once(pets, monkeypatch, capsys):
    """The page keeps what it is sent until the import is done; a person's own file is never touched."""
    home = Path(os.environ["RAMBO_HOME"])
    staging = home / imports.STAGING
    staging.mkdir(parents=True)
    parcel, own = staging / "pets.zip", home.parent / "mine.zip"
    for path in (parcel, own):
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(pets.rglob("*.png")):
                archive.write(file, file.relative_to(pets))
    assert main(["import", str(parcel), str(own), "--name", "sent", "--jobs", "1"]) == 0
    assert not parcel.exists()
    assert own.exists()
    collection = find(home, "sent")
    assert collection.original(0)[1].startswith(b"\x89PNG")
    parcel.write_bytes(b"hello")
    assert main(["import", str(parcel), "--name", "broken", "--jobs", "1"]) == 2
    assert parcel.exists(), "a failed import may be tried again"
    imports.release(home, [home / "collections" / "sent" / "collection.sqlite", ""])
    assert len(collection.snapshot()) > 0, "nothing else is deleted"
