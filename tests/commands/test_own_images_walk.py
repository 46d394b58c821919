"""The way of a person with a folder of pictures, typed: import it, rehearse, choose a batch, export it."""

import csv
import hashlib
import io
import json
import zipfile

import numpy as np
from PIL import Image

from rambo.__main__ import main

IMAGES, LABELS, BUDGET = 600, 30, 30
CLASSES = ("low", "middle", "high")
CHEAP = ["--strategy", "margin", "random", "--jobs", "1", "--set", "classifier.max_epochs=3"]


def test_a_folder_with_30_labels_becomes_a_zip_of_30_pictures_for_annotators(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("RAMBO_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    folder = tmp_path / "scans"
    for place in range(IMAGES):
        pixels = draw.integers(0, 256, (28, 28), dtype=np.uint8)
        pixels[9 * (place % 3) : 9 * (place % 3) + 9] //= 4
        home = folder / (CLASSES[place % 3] if place < LABELS else "unlabeled")
        home.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(home / f"scan {place}.png")
    assert main(["import", "scans", "--jobs", "1"]) == 0
    report = capsys.readouterr().out
    assert "600 images: 24 labeled, 6 validation, 0 test, 570 unlabeled" in report
    assert "3 classes: high 10, low 10, middle 10" in report

    name = "collection:scans"
    assert main(["rehearse", name, "--budget", f"{BUDGET}", "--trials", "1", *CHEAP]) == 0
    rehearsal = capsys.readouterr().out
    assert "on rehearsal:collection:scans@1" in rehearsal
    words = {line.split()[0] for line in rehearsal.splitlines() if line}
    assert {"margin", "random"} <= words
    assert "too few trials to say" in rehearsal

    assert main(["run", "--dataset", name, "--budget", f"{BUDGET}", *CHEAP]) == 0
    choice = capsys.readouterr()
    assert "waiting for labels" in choice.out + choice.err
    assert main(["list", "--json"]) == 0
    (run,) = [run for run in json.loads(capsys.readouterr().out) if run["dataset"] == f"{name}@1"]
    assert main(["export", run["run"], "--format", "zip", "--out", "batch.zip"]) == 0

    with zipfile.ZipFile("batch.zip") as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("images/metadata.csv").decode())))
        assert len({row["file_name"] for row in rows}) == len(rows) == BUDGET
        for row in rows:
            data = archive.read(f"images/{row['file_name']}")
            assert Image.open(io.BytesIO(data)).size == (28, 28)
            original = (folder / row["original_file"]).read_bytes()
            assert hashlib.sha256(data).digest() == hashlib.sha256(original).digest()
            assert row["original_file"].startswith("unlabeled/")
