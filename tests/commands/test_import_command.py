"""`rambo import` and `rambo collections`, as a person types them."""

import json

import numpy as np
import pytest
from PIL import Image

from rambo.__main__ import main


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
    shown = capsys.readouterr()
    assert "12 images: 6 labeled, 2 validation, 0 test, 4 unlabeled" in shown.out
    assert "1 file gave no image (damaged" in shown.out
    assert "cat/bad.jpg" in shown.out
    assert "collection:pets is version 1; 12 new images" in shown.err
    assert "rambo run --dataset collection:pets" in shown.err
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
    told = json.loads(capsys.readouterr().out)
    assert told["dataset"] == "collection:zoo"
    sentences = " ".join(line["sentence"] for line in told["health"])
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
    shown = capsys.readouterr()
    assert words in shown.err
    assert len([line for line in shown.err.splitlines() if line.startswith("rambo:")]) == 1
    assert shown.out == ""
