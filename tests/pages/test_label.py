"""The page Label: answers on disk at once, labels from a file looked at first, a model, the next round."""

import json
import sys
from pathlib import Path

import pytest
from page_helpers import assert_calm, open_page, words

from rambo import collection as own
from rambo.collection.answers import Answer, Answers
from rambo.runs import audit
from rambo.ui import visitor
from rambo.ui.components import labeler
from rambo.ui.label import round_data

sys.path.append(str(Path(__file__).resolve().parents[1] / "collection"))
from collection_helpers import bring, chosen_run, label_of, photos, roles


@pytest.fixture
def pets(home, tmp_path):
    return bring(home, photos(tmp_path / "pets", unlabeled=8)).collection


@pytest.fixture
def run(home, pets):
    return chosen_run(
        home, pets, [row for row, role in enumerate(pets.snapshot().roles) if role == 0]
    )


def payload(app):
    (component,) = [
        part for part in app.get("bidi_component") if "queue" in json.loads(part.proto.json)
    ]
    return json.loads(component.proto.json)


def play(app, run, *answers):
    """Send answers as the browser does."""
    app.session_state[f"labeler-{run.id}-random"] = {"answers": list(answers)}
    return app


def test_the_desk_shows_the_batch_in_order_and_what_is_on_disk(pets, run):
    numbers = list(round_data.returns.request_of(run, pets).numbers)
    Answers(pets, run.id).add(
        [
            Answer("a", numbers[0], "label", "dog"),
            Answer("b", numbers[1], "unsure"),
            Answer("c", numbers[2], "label", "cat"),
            Answer("d", numbers[2], "taken back"),
        ]
    )
    app = open_page("pages/label.py", run.id)
    assert_calm(app)
    cells = payload(app)
    assert cells["queue"] == numbers
    assert cells["codes"] == [1, labeler.UNSURE, -1, -1, -1, -1, -1, -1]
    assert cells["classes"] == ["cat", "dog", "owl"]
    assert cells["saved"] == ["a", "b", "c", "d"]
    assert cells["names"][0] == "unlabeled/u0.png"
    assert {image for image, _ in cells["pictures"]} == set(numbers)
    assert "8 images" in words(app)


def test_answers_become_labels_and_are_taken_back_by_a_click(pets, run):
    numbers = round_data.returns.request_of(run, pets).numbers
    Answers(pets, run.id).add(
        [Answer(str(n), image, "label", "owl") for n, image in enumerate(numbers[:3])]
    )
    app = open_page("pages/label.py", run.id)
    assert app.button(key="label-take").label == "Use 3 labels"
    app.button(key="label-take").click().run()
    assert_calm(app)
    assert roles(pets.snapshot())["unlabeled"] == 5
    assert app.button(key="label-take").disabled
    app.button(key="label-undo-here").click().run()
    assert_calm(app)
    assert roles(pets.snapshot())["unlabeled"] == 8
    assert app.button(key="label-take").label == "Use 3 labels", "the answers are still there"


def test_what_the_browser_sends_is_checked_before_it_is_stored(pets, run, monkeypatch):
    from rambo.ui.label import desk

    current = round_data.Round(run, pets, "random", round_data.returns.request_of(run, pets), ())
    state = {}
    monkeypatch.setattr(labeler.st, "session_state", state)
    image = current.request.numbers[0]
    good = {"token": "t1", "image": image, "code": 2, "label": "owl", "time": 5.0}
    state["k"] = {
        "answers": [
            good,
            good | {"token": "t2", "label": "fox"},  # no such class
            good | {"token": "t3", "image": 0},  # was not asked for
            good | {"token": ""},
            good | {"token": "t4", "code": "cat"},
            "nonsense",
            good | {"token": "t5", "code": -1, "image": current.request.numbers[1]},
        ]
    }
    desk._store("k", current, ("cat", "dog", "owl"))
    desk._store("k", current, ("cat", "dog", "owl"))
    assert [(one.token, one.kind, one.label) for one in Answers(pets, run.id).log()] == [
        ("t1", "label", "owl"),
        ("t5", "taken back", None),
    ]
    acts = [(act.what, act.subject, act.more) for act in audit.read(pets.folder.parents[1])[0]]
    assert acts == [("label", "pets", f"2 answers for {run.id}")], "sent twice, given once"


def test_a_class_is_added_where_one_is_missing(pets, run):
    app = open_page("pages/label.py", run.id)
    app.text_input(key="label-new-class").input("fox").run()
    assert_calm(app)
    assert payload(app)["classes"] == ["cat", "dog", "owl", "fox"]
    assert own.find(pets.folder.parents[1], "pets").snapshot().classes[-1] == "fox"


def test_a_file_is_looked_at_before_it_is_taken(pets, run):
    app = open_page("pages/label.py", run.id, **{"label-view": "From a file"})
    text = b"file,label\nu0.png,cat\nu1.png,fox\n"
    app.file_uploader(key="label-file").upload("labels.csv", text, "text/csv").run()
    assert_calm(app)
    assert "2 of 8 labels, 6 missing, 1 of an unknown class" in words(app)
    assert roles(pets.snapshot())["unlabeled"] == 8
    app.button(key="label-take-file").click().run()
    assert_calm(app)
    assert label_of(pets.snapshot(), "unlabeled/u0.png") == "cat"
    assert app.button(key="label-take-file").disabled
    app.button(key="label-undo-file").click().run()
    assert label_of(pets.snapshot(), "unlabeled/u0.png") is None


def test_a_file_that_cannot_be_read_is_refused_in_words(pets, run):
    app = open_page("pages/label.py", run.id, **{"label-view": "From a file"})
    app.file_uploader(key="label-file").upload("x.json", b'[{"data": {', "application/json").run()
    assert_calm(app)
    assert "no whole JSON" in words(app)


def test_the_ledger_counts_what_came_back_and_the_next_round_is_one_click(pets, run):
    numbers = round_data.returns.request_of(run, pets).numbers
    answers = Answers(pets, run.id)
    answers.add(
        [
            Answer(str(n), image, "label", "owl", time=1000.0 + 30 * n)
            for n, image in enumerate(numbers[:5])
        ]
    )
    answers.take()
    app = open_page("pages/label.py", run.id, **{"label-view": "Rounds"})
    assert_calm(app)
    (row,) = app.dataframe[0].value.to_dict("records")
    assert (row["run"], row["asked"], row["labels back"]) == (run.id, 8, 5)
    assert row["time at the keyboard"] == "2 min"
    app.button(key="next-round").click().run()
    assert app.session_state["configure-draft"].values["dataset.name"] == "collection:pets"


def test_a_run_that_knows_every_label_says_what_the_page_is_for(done):
    app = open_page("pages/label.py", done.id)
    assert_calm(app)
    assert "there is nothing to label" in words(app)


def test_a_model_is_started_once_and_its_figures_are_shown(pets, run, home, monkeypatch):
    from rambo.runs import jobs, models
    from rambo.runs.models import ClassReport, Mistake, Report, Score
    from rambo.runs.workspace import Workspace

    launched = []
    monkeypatch.setattr(jobs, "launch", launched.append)
    app = open_page("pages/label.py", run.id, **{"label-view": "Final model"})
    assert_calm(app)
    app.button(key="model-train").click().run()
    assert_calm(app)
    (model,) = models.of_collection(Workspace(home), "pets")
    assert [one.id for one in launched] == [model.id]
    assert app.button(key="model-train").disabled
    report = Report(
        classifier="logistic",
        words="a head",
        dataset="pets@1",
        labeled=12,
        validation=Score(correct=2, count=3),
        judged="validation",
        classes=tuple(
            ClassReport(name=name, labeled=4, judged=1, precision=None, recall=1.0)
            for name in ("cat", "dog", "owl")
        ),
        confusion=((1, 0, 0), (0, 1, 0), (1, 0, 0)),
        mistakes=(Mistake(row=3, file="owl/o1.png", label="owl", guess="cat", probability=0.9),),
    )
    models.save_report(model, report)
    model.set_status("done")
    app.run()
    assert_calm(app)
    text = words(app)
    assert "66.7\u00a0%" in text
    assert "The most confident mistakes" in text
    assert app.dataframe[0].value["recall"].tolist() == ["100.0\u00a0%"] * 3
    (line,) = app.dataframe[2].value.to_dict("records")
    assert (line["file"], line["label"], line["f says"]) == ("owl/o1.png", "owl", "cat")
    path = model.folder / "report.json"
    path.write_text(path.read_text().replace('"correct":2', '"correct":3'))
    app.run()
    assert_calm(app)
    assert "it is damaged" in words(app)
    assert "100.0\u00a0%" not in words(app)
    app.button(key=f"model-{model.id}-repair").click().run()
    assert [one.id for one in launched] == [model.id] * 2


def test_a_training_says_how_long_it_takes_still():
    from rambo.events import StageAdvanced, StageStarted
    from rambo.runs.record import StoredEvent
    from rambo.ui.label import model_view
    from rambo.ui.readers import Progress

    started = StoredEvent(1, 1, None, None, 100.0, StageStarted("training", 40))
    half = StoredEvent(2, 1, None, None, 130.0, StageAdvanced("training", 10, 40))
    entries = [started, half]
    assert (
        model_view._rest(entries, half, Progress(None, "training", 10, 40)) == ", about 2 min left"
    )
    assert model_view._rest(entries, started, Progress(None, "training", 0, 40)) == ""
    assert model_view._rest(entries, half, Progress(None, "training", 40, 40)) == ""


def test_the_ledger_takes_a_price(pets, run):
    app = open_page("pages/label.py", run.id, **{"label-view": "Rounds"})
    app.text_input(key=f"currency-{run.id}").set_value("EUR").run()
    app.number_input(key=f"price-{run.id}").set_value(0.25).run()
    assert_calm(app)
    assert dict(pets.prices().each) == {run.id: 0.25}
    assert pets.prices().currency == "EUR"


def test_a_viewer_neither_prices_nor_turns_answers_into_labels(home, pets, run, monkeypatch):
    numbers = round_data.returns.request_of(run, pets).numbers
    Answers(pets, run.id).add([Answer("a", numbers[0], "label", "owl")])
    app = open_page("pages/label.py", run.id, **{"label-view": "Rounds"})
    monkeypatch.setattr(visitor, "role", lambda: "viewer")  # a browser may send what it likes
    app.number_input(key=f"price-{run.id}").set_value(0.25).run()
    assert app.number_input(key=f"price-{run.id}").disabled
    app.button(key="next-round").click().run()
    assert dict(pets.prices().each) == {}
    assert len(pets.versions()) == 1
    assert audit.read(home) == ([], [])
    monkeypatch.setattr(visitor, "role", lambda: "editor")
    app = open_page("pages/label.py", run.id, **{"label-view": "Rounds"})
    app.button(key="next-round").click().run()
    assert [act.subject for act in audit.read(home)[0]] == ["pets@2"]


def test_each_strategy_and_trial_of_a_run_is_labeled_here(home, pets):
    pool = [row for row, role in enumerate(pets.snapshot().roles) if role == 0]
    others = {(0, "margin"): pool[3:5], (1, "random"): pool[5:6], (1, "margin"): pool[6:8]}
    run = chosen_run(home, pets, pool[:3], others)
    app = open_page("pages/label.py", run.id)
    numbers = pets.snapshot().numbers
    assert payload(app)["queue"] == numbers[pool[:3]].tolist()
    (chooser,) = app.segmented_control
    assert chooser.options == ["Random", "Margin"]
    chooser.set_value("margin").run()
    assert_calm(app)
    assert payload(app)["queue"] == numbers[pool[3:5]].tolist()
    app.selectbox(key=f"trial-{run.id}").set_value(1).run()
    assert payload(app)["queue"] == numbers[pool[6:8]].tolist()
    app = open_page("pages/label.py", run.id, strategy="random", trial="1")
    assert payload(app)["queue"] == numbers[pool[5:6]].tolist()
    answers = Answers(pets, run.id)
    answers.add([Answer("a", int(numbers[pool[5]]), "label", "owl")])
    answers.take()
    app = open_page("pages/label.py", run.id, **{"label-view": "Rounds"})
    (row,) = app.dataframe[0].value.to_dict("records")
    assert (row["asked"], row["labels back"]) == (1, 1), "the batch that came back is the round's"


def test_what_could_not_be_read_of_a_batch_is_said(pets, run):
    app = open_page("pages/label.py", run.id)
    assert "The map of the images in this trial cannot be read" in words(app)
