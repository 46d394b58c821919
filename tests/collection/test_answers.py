"""Answers given at the keyboard: on disk at once, none lost, none counted twice, labels on request."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from collection_helpers import bring, label_of, photos, roles

from rambo.collection import intake
from rambo.collection.answers import Answer, Answers, seconds_each
from rambo.collection.records import LabelEntry
from rambo.errors import StoreError

RUN = "round-1"


@pytest.fixture
def pets(tmp_path):
    return bring(tmp_path, photos(tmp_path / "pets", unlabeled=6)).collection


def number(collection, file):
    now = collection.snapshot()
    return int(now.numbers[now.files.index(file)])


def pool(collection):
    now = collection.snapshot()
    return now.numbers[now.rows(0)].tolist()


def test_the_newest_answer_of_an_image_counts_and_one_taken_back_does_not(pets):
    first, second, *_ = pool(pets)
    answers = Answers(pets, RUN)
    assert answers.current() == {}
    answers.add([Answer("a", first, "label", "cat"), Answer("b", second, "skipped")])
    answers.add([Answer("c", first, "label", "dog"), Answer("d", second, "taken back")])
    assert {image: one.label for image, one in answers.current().items()} == {first: "dog"}
    assert [one.token for one in answers.log()] == ["a", "b", "c", "d"]
    assert Answers(pets, "another").log() == []


def test_an_answer_sent_twice_is_stored_once(pets):
    image = pool(pets)[0]
    for _ in range(2):
        Answers(pets, RUN).add([Answer("a", image, "label", "cat")])
    assert len(Answers(pets, RUN).log()) == 1


def test_answers_become_labels_once_and_later_ones_replace_ones_own(pets):
    first, second, third, *_ = pool(pets)
    answers = Answers(pets, RUN)
    answers.add(
        [
            Answer("a", first, "label", "cat"),
            Answer("b", second, "unsure"),
            Answer("c", third, "none of these"),
        ]
    )
    version = answers.take()
    assert version == 2
    now = pets.snapshot()
    assert label_of(now, "unlabeled/u0.png") == "cat"
    assert roles(now)["unlabeled"] == 5
    values = {e.answer for e in now.entries if e.version == version}
    assert values == {"label", "unsure", "none of these"}
    assert answers.take() is None
    answers.add([Answer("d", first, "label", "owl"), Answer("e", second, "label", "dog")])
    answers.take()
    now = pets.snapshot()
    assert [label_of(now, f"unlabeled/u{n}.png") for n in range(3)] == ["owl", "dog", None]
    assert now.contradictions == ()
    answers.add([Answer("f", first, "taken back")])
    answers.take()
    assert label_of(pets.snapshot(), "unlabeled/u0.png") is None
    assert answers.take() is None
    intake.undo(pets)
    assert label_of(pets.snapshot(), "unlabeled/u0.png") == "owl"


def test_a_label_that_somebody_else_gave_meanwhile_stays_and_is_contested(pets):
    image = number(pets, "unlabeled/u0.png")
    answers = Answers(pets, RUN)
    answers.add([Answer("a", image, "label", "cat")])
    pets.add_labels([LabelEntry(image, "dog", "labels.csv, row 2")], "a file")
    answers.take()
    now = pets.snapshot()
    assert label_of(now, "unlabeled/u0.png") == "dog"
    assert now.contradictions == (image,)
    assert answers.take() is None


def test_two_tabs_at_once_lose_no_answer(pets):
    images = pool(pets)

    def tab(name):
        for place, image in enumerate(images * 5):
            label = "cat" if name == "one" else "dog"
            Answers(pets, RUN).add([Answer(f"{name}-{place}", image, "label", label)])

    tabs = [threading.Thread(target=tab, args=(name,)) for name in ("one", "two")]
    for thread in tabs:
        thread.start()
    for thread in tabs:
        thread.join()
    log = Answers(pets, RUN).log()
    assert len(log) == len({one.token for one in log}) == 60
    assert set(Answers(pets, RUN).current()) == set(images)


def test_a_kill_between_two_answers_loses_none_that_was_acknowledged(pets, tmp_path):
    code = """
import sys
from pathlib import Path
from rambo.collection import find
from rambo.collection.answers import Answers, Answer
answers = Answers(find(Path(sys.argv[1]), "pets"), "round-1")
for place in range(10_000):
    answers.add([Answer(str(place), place % 6 + 15, "label", "cat")])
    print(place, flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    for _ in range(20):
        last = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    rest = process.communicate()[0].split()
    last = max([last, *map(int, rest)])
    log = Answers(pets, RUN).log()
    assert [one.token for one in log][: last + 1] == [str(n) for n in range(last + 1)]
    assert len(log) <= last + 2
    Answers(pets, RUN).add([Answer("after", 15, "skipped")])
    assert len(Answers(pets, RUN).log()) == len(log) + 1


def test_a_flipped_bit_in_an_answer_is_found(pets):
    import sqlite3

    Answers(pets, RUN).add([Answer("a", 15, "label", "cat")])
    with sqlite3.connect(pets.folder / "answers.sqlite") as db:
        db.execute("UPDATE answers SET label = 'dog'")
    with pytest.raises(StoreError, match="damaged"):
        Answers(pets, RUN).log()


def test_the_pace_leaves_breaks_out():
    times = [0, 2, 4, 1000, 1002]
    log = [Answer(str(t), 1, "label", "cat", time=float(t)) for t in times]
    assert seconds_each(log) == 2
    assert seconds_each(log[:1]) is None
    assert Answer("x", 1, "skipped").time == pytest.approx(time.time(), abs=60)
