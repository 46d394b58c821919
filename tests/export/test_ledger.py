"""The ledger: what rounds asked, what came back, what it cost, and what the labels brought."""

import json
import math
import sys
from pathlib import Path

import pytest

from rambo.__main__ import main
from rambo.collection.answers import Answer, Answers
from rambo.datasets import catalog
from rambo.errors import ConfigError
from rambo.export import ledger, returns
from rambo.runs import models
from rambo.runs.models import Report, Score
from rambo.runs.workspace import Workspace

sys.path.append(str(Path(__file__).resolve().parents[1] / "collection"))
from collection_helpers import bring, chosen_run, photos


def measured(workspace, correct):
    """Make a final model of the newest version that was right on `correct` of 100 validation images."""
    data = catalog.prepare("collection:pets", workspace.root)
    run = models.create(models.settings(data), data, workspace, "cpu")
    labeled = int(((data.roles == 3) & (data.labels >= 0)).sum())
    score = Score(correct=correct, count=100)
    report = Report(
        classifier="logistic",
        words="a head",
        dataset=data.collection,
        labeled=labeled,
        validation=score,
        judged="validation",
    )
    models.save_report(run, report)
    return score


@pytest.fixture
def two_rounds(tmp_path):
    """A collection with two rounds: 3 of 4 labels came back at the page, then 2 of 3."""
    collection = bring(tmp_path / "home", photos(tmp_path / "pets", unlabeled=12)).collection
    workspace = Workspace(tmp_path / "home")
    scores = [measured(workspace, 60)]
    pool = [row for row, role in enumerate(collection.snapshot().roles) if role == 0]
    runs = []
    for start, batch in ((0, pool[:4]), (100, pool[4:7])):
        run = chosen_run(tmp_path / "home", collection, batch)
        runs.append(run)
        answers = Answers(collection, run.id)
        numbers = returns.request_of(run, collection).numbers
        answers.add(
            Answer(f"{start}-{n}", n, "label", "owl", time=start + 10.0 * at)
            for at, n in enumerate(numbers[:-1])
        )
        answers.add([Answer(f"{start}-s", numbers[-1], "skipped", time=start + 1000.0)])
        answers.take()
        scores.append(measured(workspace, 70 + start // 10))
    return workspace, collection, runs, scores


def test_rounds_say_what_was_asked_what_came_back_and_what_it_cost(two_rounds):
    workspace, collection, runs, _ = two_rounds
    book = ledger.read(workspace, collection)
    assert [(r.number, r.run, len(r.images), r.labels, r.others) for r in book.rounds] == [
        (1, runs[0].id, 4, 3, 1),
        (2, runs[1].id, 3, 2, 1),
    ]
    assert [r.seconds for r in book.rounds] == [20.0, 10.0], "a break of 16 minutes is no work"
    assert [r.cost for r in book.rounds] == [None, None]
    collection.set_price(runs[0].id, 0.5, "EUR")
    book = ledger.read(workspace, collection)
    assert [r.cost for r in book.rounds] == [1.5, 1.0], "a round without a price has the one before"
    collection.set_price(runs[1].id, 2, " EUR ")
    book = ledger.read(workspace, collection)
    assert ([r.cost for r in book.rounds], book.currency) == ([1.5, 4.0], "EUR")
    assert "B " in book.rounds[0].settings
    for price in (-1, math.nan, math.inf, 1e9):
        with pytest.raises(ConfigError, match="is no price"):
            collection.set_price(runs[0].id, price, "")


def test_milestones_say_what_the_labels_brought_with_its_standard_error(two_rounds):
    workspace, collection, runs, scores = two_rounds
    collection.set_price(runs[0].id, 0.5, "EUR")
    first, second, third = ledger.read(workspace, collection).milestones
    assert [(m.bought, m.cost) for m in (first, second, third)] == [(0, 0.0), (3, 1.5), (5, 2.5)]
    assert [m.judges for m in (first, second, third)] == [100] * 3
    assert (first.gain, second.gain) == (None, pytest.approx(0.1))
    assert third.gain == pytest.approx(0.1)
    expected = math.hypot(scores[0].standard_error, scores[1].standard_error)
    assert second.gain_error == pytest.approx(expected)


def test_models_that_were_judged_otherwise_are_not_compared(two_rounds):
    workspace, collection, _, _ = two_rounds
    for run in models.of_collection(workspace, "pets")[:1]:
        report = models.load_report(run)
        models.save_report(
            run, report.model_copy(update={"judged": "test", "test": report.validation})
        )
    assert ledger.read(workspace, collection).milestones[-1].gain is None


def test_a_model_whose_report_is_damaged_is_named_in_the_ledger(two_rounds):
    workspace, collection, _, _ = two_rounds
    run = models.of_collection(workspace, "pets")[0]
    count = len(ledger.read(workspace, collection).milestones)
    path = run.folder / "report.json"
    path.write_text(path.read_text().replace('"count":100', '"count":200'))
    damaged = ledger.read(workspace, collection)
    assert len(damaged.milestones) == count - 1
    (notice,) = damaged.notices
    assert notice.startswith(f"Model {run.id} is not in the ledger: report.json: it is damaged")


def test_an_undone_round_counts_no_label(two_rounds):
    workspace, collection, _, _ = two_rounds
    collection.undo(collection.latest())
    assert [r.labels for r in ledger.read(workspace, collection).rounds] == [3, 0]


def test_the_command_prints_the_ledger_and_notes_a_price(two_rounds, monkeypatch, capsys):
    workspace, _, runs, _ = two_rounds
    monkeypatch.setenv("RAMBO_HOME", str(workspace.root))
    assert main(["ledger", "pets", "--price", "0.25", "--currency", "EUR"]) == 0
    out = capsys.readouterr().out
    assert f"round 1: {runs[0].id}; random" in out
    assert "3 of 4 labels back; 1 skipped or unsure; 20 s at the keyboard; cost 0.75 EUR" in out
    assert "gain +10.0 points, standard error 6.6" in out
    assert main(["ledger", "collection:pets", "--json"]) == 0
    book = json.loads(capsys.readouterr().out)
    assert [entry["price"] for entry in book["rounds"]] == [0.25, 0.25]
    assert main(["ledger", "pets", "--price", "much"]) == 2


def test_the_next_round_has_the_same_settings_on_the_newest_labels(two_rounds, monkeypatch, capsys):
    workspace, collection, runs, _ = two_rounds
    monkeypatch.setenv("RAMBO_HOME", str(workspace.root))
    answers = Answers(collection, runs[1].id)
    last = returns.request_of(runs[1], collection).numbers[-1]
    answers.add([Answer("late", last, "label", "cat")])
    version = collection.latest()
    prices = []
    monkeypatch.setattr(
        "rambo.worker.run_worker.start", lambda config, *_: prices.append(config) or runs[0]
    )
    monkeypatch.setattr("rambo.commands.working.work", lambda run, as_json: 0)
    assert main(["next", runs[1].id, "--budget", "2"]) == 0
    (config,) = prices
    assert (config.dataset.name, config.budget) == ("collection:pets", 2)
    assert config.strategies == tuple(runs[1].config["strategies"]) or list(
        config.strategies
    ) == list(runs[1].config["strategies"])
    assert config.classifier.name == runs[1].config["classifier"]["name"]
    assert collection.latest() == version + 1, "what was answered last is a label before"
    assert "are labels now" in capsys.readouterr().err
