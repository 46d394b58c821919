"""The command line: what it prints, what it refuses, and how it stops."""

import csv
import errno
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from rambo import config as configs
from rambo.commands import line as command_line
from rambo.commands import studies
from rambo.commands.settings import settings_from
from rambo.errors import DivergedError
from rambo.export import COLUMNS
from rambo.runs import report
from rambo.runs.workspace import Run, Workspace
from rambo.studies import grid
from rambo.worker import run_worker

ROOT = Path(__file__).parent.parent
SMALL = shlex.split("""--k 24 --budget 10 --batch-size 4 --filter-size 12 --initial-size 16 --pairs 3
    --offline-pairs 3 --seed 5 --trials 2 --strategy rambo margin --set classifier.max_epochs=1
    --set rambo.offline.repeated_pairs=1 --set rambo.utility_model.epochs=1
    --set rambo.utility_model.bilevel.inner_steps=2
    --set rambo.utility_model.bilevel.terms=2""")
RESULT_KEYS = {
    "strategy",
    "seed",
    "selected",
    "steps",
    "validation_accuracy",
    "test_accuracy",
    "validation_classes",
    "test_classes",
    "validation_trainings",
    "test_trainings",
    "seconds",
    "trainings",
    "cached_trainings",
    "figures",
}


class Answer(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An .npz of 200 grey images of three classes, each a bright band."""
    rng = np.random.default_rng(11)
    labels = np.arange(200) % 3
    images = rng.integers(0, 120, (200, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[9 * label : 9 * label + 9] += 100
    path = tmp_path_factory.mktemp("data") / "bands.npz"
    np.savez(path, images=images, labels=labels)
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace of the finished run."""
    return tmp_path_factory.mktemp("home")


def environment(home: Path) -> dict[str, str]:
    """Return this environment with another workspace, and with an output that is buffered as usual."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return variables | {"RAMBO_HOME": str(home)}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "rambo", *map(str, arguments)]


def in_process_of_its_own(home: Path, *arguments: object) -> Answer:
    """Run `python -m rambo` as a person does."""
    done = subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=300,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


Call = Callable[..., Answer]


@pytest.fixture
def call(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Call]:
    """Return a function that runs a command in this process: the same code, without the imports."""
    handler = signal.getsignal(signal.SIGTERM)

    def call(*arguments: object, home: Path = home) -> Answer:
        monkeypatch.setenv("RAMBO_HOME", str(home))
        capfd.readouterr()
        try:
            code = command_line.main([str(argument) for argument in arguments])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        return Answer(code, *capfd.readouterr())

    yield call
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture(scope="module")
def finished(home: Path, archive: Path) -> Answer:
    """What `run --json` answered: two strategies, two trials."""
    return in_process_of_its_own(
        home, "run", "--preset", "demo", "--dataset", archive, *SMALL, "--jobs", 1, "--json"
    )


@pytest.fixture(scope="module")
def printed(finished: Answer) -> dict[str, Any]:
    """The object it printed."""
    assert finished.code == 0, finished.err
    record: dict[str, Any] = json.loads(finished.out)
    return record


def comparable(printed: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the results less times and less what depends on what was found."""
    volatile = ("seconds", "trainings", "cached_trainings")
    return [
        {name: value for name, value in result.items() if name not in volatile}
        for result in printed["results"]
    ]


# A run and what can be asked of it.


def test_run_prints_exactly_one_json_object_with_every_documented_key(
    finished: Answer, printed: dict[str, Any], archive: Path
) -> None:
    assert len(finished.out.strip().splitlines()) == 1
    assert "Traceback" not in finished.err
    assert {"run", "dataset", "config", "results", "ranking"} <= set(printed)
    assert {"inner", "outer", "kendall_tau", "trainings_agree"} <= set(printed["ranking"])
    assert printed["dataset"] == str(archive)
    assert [(r["strategy"], r["seed"]) for r in printed["results"]] == [
        ("rambo", 5),
        ("margin", 5),
        ("rambo", 6),
        ("margin", 6),
    ]
    for result in printed["results"]:
        assert set(result) == RESULT_KEYS
        assert len(set(result["selected"])) == len(result["selected"]) == 10
        assert all(0 <= index < 200 for index in result["selected"])
        rambo = result["strategy"] == "rambo"
        assert result["steps"] == ([0] * 4 + [1] * 4 + [2] * 2 if rambo else [0] * 10)
        assert 0 <= result["validation_accuracy"] <= 1
        assert 0 <= result["test_accuracy"] <= 1
        stages = {"offline", "pretraining"} if rambo else {"classifier"}
        assert set(result["seconds"]) == stages | {"acquisition", "evaluation"}
        assert all(seconds >= 0 for seconds in result["seconds"].values())
        # 6 offline fits, 2 repeats, f on 16, 20 and 24 labels, 3 evaluations; f is found by margin
        counts = (result["trainings"], result["cached_trainings"])
        assert counts == ((14, 0) if rambo else (3, 1))


def test_the_printed_config_is_the_whole_config(printed: dict[str, Any], archive: Path) -> None:
    config = configs.build(printed["config"])
    assert configs.describe(config) == printed["config"]
    assert config.dataset.name == str(archive)
    assert (config.k, config.budget, config.initial_size) == (24, 10, 16)
    assert (config.acquisition.batch_size, config.acquisition.filtered) == (4, 12)
    assert (config.rambo.pairs_per_iteration, config.rambo.offline.pairs) == (3, 3)
    assert (config.seed, config.trials, config.compute.jobs) == (5, 2, 1)
    assert config.strategies == ("rambo", "margin")


def test_progress_goes_to_standard_error(finished: Answer, printed: dict[str, Any]) -> None:
    for words in (
        f"run {printed['run']}",
        "offline",
        "pretraining",
        "acquisition",
        "rambo chose 10 images",
        "margin: test accuracy",
    ):
        assert words in finished.err


def test_show_json_is_the_object_that_run_printed(call: Call, printed: dict[str, Any]) -> None:
    finished_show = call("show", printed["run"], "--json")
    assert finished_show.code == 0
    assert finished_show.err == ""
    assert json.loads(finished_show.out) == printed


def test_resuming_a_done_run_prints_it_again(call: Call, printed: dict[str, Any]) -> None:
    again = call("resume", printed["run"], "--json")
    assert again.code == 0
    assert json.loads(again.out) == printed
    assert again.err == f"run {printed['run']}\n"


def test_the_table_names_strategies_and_their_accuracies(
    call: Call, printed: dict[str, Any]
) -> None:
    table = call("show", printed["run"])
    assert table.code == 0
    lines = table.out.splitlines()
    assert lines[0].startswith(f"run {printed['run']} on ")
    for name, line in zip(("rambo", "margin"), lines[2:4], strict=True):
        own = [r["test_accuracy"] for r in printed["results"] if r["strategy"] == name]
        cells = line.split()
        assert cells[0] == name
        assert f"{50 * sum(own):.1f}" in cells
        assert "+-" in cells  # the standard error over two trials
        assert cells[-3] == "2"


def test_list_stands_newest_first(call: Call, printed: dict[str, Any], home: Path) -> None:
    listed = call("list", "--json")
    assert listed.code == 0
    runs = json.loads(listed.out)
    assert printed["run"] in [run["run"] for run in runs]
    (own,) = [run for run in runs if run["run"] == printed["run"]]
    assert own["status"] == "done"
    assert (own["k"], own["budget"], own["trials"]) == (24, 10, 2)
    first = Workspace(home).find(printed["run"])
    time.sleep(0.01)
    newer = Workspace(home).create(first.config, first.environment)
    try:
        after = json.loads(call("list", "--json").out)
        assert [run["run"] for run in after] == [newer.id, *[run["run"] for run in runs]]
        assert after[0]["status"] == "queued"
        table = call("list").out.splitlines()
        assert [line.split()[0] for line in table] == [run["run"] for run in after]
    finally:
        newer.folder.rename(home / ".gone")  # so that no other test sees it


def test_an_empty_workspace_lists_nothing_and_is_not_made(call: Call, tmp_path: Path) -> None:
    empty = call("list", "--json", home=tmp_path / "none")
    assert (empty.code, json.loads(empty.out), empty.err) == (0, [], "")
    assert "no runs yet" in call("list", home=tmp_path / "none").out
    assert not (tmp_path / "none").exists()


def test_export_writes_the_selection_in_three_formats(
    call: Call, printed: dict[str, Any], tmp_path: Path
) -> None:
    for result in printed["results"]:
        of = ("--strategy", result["strategy"], "--seed", result["seed"])
        tables: dict[str, list[dict[str, Any]]] = {}
        for form in ("csv", "jsonl", "json"):
            out = tmp_path / f"chosen.{form}"
            answer = call("export", printed["run"], "--format", form, "--out", out, *of)
            assert (answer.code, answer.out) == (0, "")
            assert answer.err == f"wrote 10 images to {out}\n"
            text = out.read_text()
            if form == "csv":
                tables[form] = list(csv.DictReader(text.splitlines()))
            elif form == "jsonl":
                tables[form] = [json.loads(line) for line in text.splitlines()]
            else:
                tables[form] = json.loads(text)
        assert tables["json"] == tables["jsonl"]
        for table in tables.values():
            assert [int(row["dataset_index"]) for row in table] == result["selected"]
            assert [int(row["step"]) for row in table] == result["steps"]
            assert [int(row["order"]) for row in table] == list(range(1, 11))
            assert {row["run_id"] for row in table} == {printed["run"]}
            assert {str(row["seed"]) for row in table} == {str(result["seed"])}
            assert list(table[0]) == list(COLUMNS)


def test_an_export_that_is_a_zip_under_another_name_is_said(
    call: Call, printed: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "tasks.json"
    answer = call("export", printed["run"], "--format", "label-studio", "--out", out)
    assert (answer.code, zipfile.is_zipfile(out)) == (0, True)
    assert answer.err.startswith(f"rambo: {out} is a zip archive; call it .zip to open it\n")
    answer = call("export", printed["run"], "--format", "zip", "--out", tmp_path / "batch.zip")
    assert answer.err == f"wrote 10 images to {tmp_path / 'batch.zip'}\n"


def test_export_takes_the_first_strategy_and_trial_where_none_is_named(
    call: Call, printed: dict[str, Any], tmp_path: Path
) -> None:
    assert call("export", printed["run"], "--format", "json", "--out", tmp_path / "c").code == 0
    rows = json.loads((tmp_path / "c").read_text())
    assert [row["dataset_index"] for row in rows] == printed["results"][0]["selected"]


def test_every_option_reaches_its_field() -> None:
    """Each option of `run` with a value of its own, read back from the checked config."""
    words = shlex.split("""run --preset quick --dataset mnist --k 301 --budget 302 --batch-size 31
        --filter-size 33 --initial-size 34 --pairs 35 --offline-pairs 36 --ot-weight 0.25
        --loss regression --classifier resnet18 --device cpu --jobs 3 --seed 38 --trials 4
        --strategy random rambo --no-bilevel --no-ot --set rambo.utility_model.dropout=0.5
        --set rambo.utility_model.bilevel.hypergradient=unroll""")
    config = configs.build(settings_from(command_line.make_parser().parse_args(words)))
    model = config.rambo.utility_model
    assert (config.dataset.name, config.k, config.budget) == ("mnist", 301, 302)
    assert (config.acquisition.batch_size, config.acquisition.filter_size) == (31, 33)
    assert (config.rambo.initial_size, config.rambo.pairs_per_iteration) == (34, 35)
    assert (config.rambo.offline.pairs, model.ot_weight, model.loss) == (36, 0.25, "regression")
    assert (config.classifier.name, config.compute.device, config.compute.jobs) == (
        "resnet18",
        "cpu",
        3,
    )
    assert (config.seed, config.trials, config.strategies) == (38, 4, ("random", "rambo"))
    assert (model.bilevel.enabled, model.transport) == (False, False)
    assert (model.dropout, model.bilevel.hypergradient) == (0.5, "unroll")


def test_what_is_typed_wins_over_the_preset_and_set_over_all() -> None:
    def config(*words: str) -> configs.Config:
        arguments = command_line.make_parser().parse_args(["run", *words])
        return configs.build(settings_from(arguments))

    assert config().k == config("--preset", "quick").k == 200
    demo = config("--preset", "demo")
    assert (demo.budget, demo.acquisition.batch_size, demo.dataset.name) == (
        200,
        20,
        "fashion-mnist-mini",
    )
    assert config("--preset", "demo", "--budget", "7").budget == 7
    assert config("--budget", "7", "--set", "budget=8").budget == 8
    assert config("--preset", "paper", "--dataset", "cifar10").k == 2500
    assert config("--preset", "demo", "--k", "40").initial_size == 10  # k / 4, not the preset's
    assert config("--set", "dataset.name=mnist").dataset.name == "mnist"


# What is refused.


def refuse(answer: Answer, *words: object) -> None:
    """Hold an answer to a refusal: exit 2, one line on standard error, nothing else."""
    assert answer.code == 2, answer
    assert answer.out == ""
    assert answer.err.endswith("\n")
    line = answer.err[:-1]
    assert line.isprintable(), answer.err
    assert "Traceback" not in line
    assert "unforeseen" not in line
    assert len(line) < 600
    for word in words:
        assert str(word) in line


HUGE = "9" * 5000
BAD_OPTIONS: dict[str, list[str]] = {  # option line -> words of the refusal
    "--k 1": ["k 1 is too small; use at least 2"],
    "--k 160": ["k 160", "160 images", "at most 159"],
    "--k 10000000": ["k 10000000 is too large; use at most 1000000"],
    "--k abc": ["k abc: use a whole number"],
    "--k 24.5": ["k 24.5: use a whole number"],
    "--k 1e400": ["k 1e400: use a whole number"],
    "--k nan": ["k nan: use a whole number"],
    "--k=-5": ["k -5 is too small; use at least 2"],
    f"--k {HUGE}": ["k 999", "whole number"],
    "--budget 0": ["budget 0 is too small; use at least 1"],
    "--budget 137": ["budget 137", "at most 136"],
    "--budget inf": ["budget inf: use a whole number"],
    "--batch-size 13": [
        "acquisition.filter_size 12 is below acquisition.batch_size 13",
        "at least 13",
    ],
    "--batch-size 0": ["acquisition.batch_size 0 is too small; use at least 1"],
    "--filter-size 3": ["acquisition.filter_size 3 is below acquisition.batch_size 4"],
    "--initial-size 25": ["rambo.initial_size 25 exceeds k 24"],
    "--initial-size 1": ["rambo.initial_size 1 is too small; use at least 2"],
    "--pairs 1": ["rambo.pairs_per_iteration 1 is too small; use at least 2"],
    "--offline-pairs 0": ["rambo.offline.pairs 0 is too small; use at least 2"],
    "--ot-weight nan": ["rambo.utility_model.ot_weight nan", "finite"],
    "--ot-weight 1e400": ["rambo.utility_model.ot_weight 1e400", "finite"],
    "--ot-weight -1": ["rambo.utility_model.ot_weight -1", "at least 0"],
    "--loss hinge": ["rambo.utility_model.loss hinge", "rank or regression"],
    "--classifier vgg": ["classifier.name vgg", "mnistnet"],
    "--device tpu": ["compute.device tpu", "cpu"],
    "--jobs 0": ["compute.jobs 0 is too small; use at least 1"],
    "--jobs two": ["compute.jobs two: use a whole number"],
    "--seed -1": ["seed -1 is too small; use at least 0"],
    "--seed 2147483648": ["seed 2147483648 is too large; use less than 2147483648"],
    "--trials 0": ["trials 0 is too small; use at least 1"],
    "--trials 1e3": ["trials 1e3: use a whole number"],
    "--strategy nonsense": ["strategy nonsense", "rambo, filter-only, margin, random"],
    "--strategy rambo nonsense": ["strategy nonsense"],
    "--strategy rambo rambo": ["names one twice"],
    "--strategy": ["--strategy"],
    "--preset nonsense": ["preset nonsense", "demo, quick, paper"],
    "--preset paper": ["preset paper", "mnist"],
    "--set nonsense": ["--set nonsense", "PATH=VALUE"],
    "--set unknown.path=1": ["--set unknown.path", "no field 'unknown'", "dataset"],
    "--set rambo.nothing=1": ["rambo has no field 'nothing'", "initial_size"],
    "--set rambo.utility_model.epochs.x=1": ["epochs has no field 'x'"],
    "--set =1": ["--set"],
    "--set k=NaN": ["k nan"],
    "--set k=null": ["k None"],
    "--set k=true": ["k True"],
    "--set k=[1]": ["k [1]"],
    f"--set k={HUGE}": ["k 999"],
    "--set k=" + "[" * 5000: ["k [[["],
    "--set classifier.learning_rate=Infinity": ["classifier.learning_rate inf", "finite"],
    "--set classifier.learning_rate=0": ["classifier.learning_rate 0"],
    "--set classifier.train_accuracy=1.5": ["classifier.train_accuracy 1.5", "at most 1"],
    "--set rambo=3": ["rambo 3"],
    "--set strategies=[]": ["strategies", "choose at least one"],
    "--set strategies=rambo": ["strategies rambo"],
    "--set rambo=3 --set rambo.initial_size=4": ["rambo", "3"],
    "--set classifier=null --set classifier.name=auto": ["classifier"],
    "--set rambo.utility_model.extractor=conv2": ["rambo.utility_model.extractor conv2"],
    "--nonsense 1": ["--nonsense"],
    "surplus": ["surplus"],
}


@pytest.mark.parametrize("options", BAD_OPTIONS, ids=lambda text: text[:50])
def test_a_bad_option_is_refused_in_one_line(
    call: Call, archive: Path, home: Path, options: str
) -> None:
    before = {run.id for run in Workspace(home).runs()}
    answer = call("run", "--dataset", archive, *SMALL, *options.split())
    refuse(answer, *BAD_OPTIONS[options])
    assert {run.id for run in Workspace(home).runs()} == before


@pytest.mark.parametrize(
    "words",
    [
        ["--set", "two\nlines=1"],
        ["--set", "two\nlines"],
        ["--set", "k=two\nlines"],
        ["--k", "two\nlines"],
        ["--strategy", "two\nlines"],
        ["--preset", "two\nlines"],
        ["--dataset", "two\nlines"],
        ["--dataset", "two\nlines.npz"],
        ["--dataset", "x" * 100_000 + ".npz"],
        ["--set", "x" * 100_000 + "=1"],
        ["--set", "k.\x1b[31m=1"],
        ["--set", "rambo=3", "--set", "rambo.offline.two\nlines=1"],
        ["two\nlines"],
        ["--\x1b[31m"],
    ],
    ids=lambda words: ascii(" ".join(words))[1:40],
)
def test_odd_characters_and_long_words_are_refused_in_one_line(
    call: Call, archive: Path, words: list[str]
) -> None:
    refuse(call("run", "--dataset", archive, *SMALL, *words))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_setting_that_nobody_reads_is_said_and_refuses_nothing(call: Call) -> None:
    arguments = [
        "run",
        "--dataset",
        "no-such",
        "--strategy",
        "margin",
        "--ot-weight",
        "2",
        "--k",
        "40",
    ]
    answer = call(*arguments, "--set", "plus.weigh=false")
    note, refusal = answer.err.splitlines()
    assert note == (
        "note: plus.weigh, rambo.utility_model.ot_weight have no effect with these strategies and settings"
    )
    assert "no-such" in refusal


def test_a_device_that_is_not_there_is_refused(call: Call, archive: Path) -> None:
    refuse(
        call("run", "--dataset", archive, *SMALL, "--device", "cuda"),
        "compute.device cuda",
        "use cpu or auto",
    )


def test_an_unknown_dataset_is_refused_with_those_there_are(call: Call) -> None:
    refuse(
        call("run", "--dataset", "nonsense", *SMALL),
        "dataset nonsense: unknown",
        "fashion-mnist-mini",
        ".npz",
    )
    refuse(call("run", "--dataset", "", *SMALL), "dataset.name")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"this is no archive",
        b"PK\x03\x04" + bytes(50),
        "half",
        "flipped",
        "no labels",
        "one class",
        "floats",
        "folder",
        "missing",
    ],
    ids=lambda content: ascii(content)[:20],
)
def test_a_bad_npz_file_is_refused_by_name(
    call: Call, archive: Path, home: Path, tmp_path: Path, content: bytes | str
) -> None:
    path = tmp_path / "broken.npz"
    whole = archive.read_bytes()
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "half":
        path.write_bytes(whole[: len(whole) // 2])
    elif content == "flipped":
        middle = len(whole) // 3
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :])
    elif content == "no labels":
        np.savez(path, images=np.zeros((50, 28, 28), np.uint8))
    elif content == "one class":
        np.savez(path, images=np.zeros((50, 28, 28), np.uint8), labels=np.zeros(50, np.int64))
    elif content == "floats":
        np.savez(path, images=np.full((50, 28, 28), -0.5), labels=np.arange(50) % 3)
    elif content == "folder":
        path.mkdir()
    before = sorted((home / "datasets").glob("*"))
    refuse(call("run", "--dataset", path, *SMALL), "broken.npz")
    assert sorted((home / "datasets").glob("*")) == before


NO_RUN = ["nope", "../x", "..", ".", "", "/etc/passwd", "a" * 10_000, "x\ny", "-", "NOPE", "%2e%2e"]


@pytest.mark.parametrize("run", NO_RUN, ids=lambda run: ascii(run)[:20])
@pytest.mark.parametrize("verb", ["show", "resume", "export"])
def test_a_run_that_is_not_there_is_refused(
    call: Call, finished: Answer, tmp_path: Path, verb: str, run: str
) -> None:
    more = ["--format", "csv", "--out", tmp_path / "out.csv"] if verb == "export" else []
    refuse(call(verb, run, *more), "no such run", "rambo list")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["nope", "../nope", "/nope/nope", ""])
def test_a_run_folder_that_is_not_there_is_refused(call: Call, tmp_path: Path, folder: str) -> None:
    refuse(call("work", tmp_path / folder), "no such run")


def test_a_bad_export_is_refused_and_writes_nothing(
    call: Call, printed: dict[str, Any], tmp_path: Path
) -> None:
    run, out = printed["run"], tmp_path / "out.csv"
    csv_to = ("--format", "csv", "--out")
    refuse(call("export", run, "--format", "xml", "--out", out), "--format xml", "csv, jsonl, json")
    refuse(call("export", run, *csv_to, tmp_path), "this is a folder")
    refuse(call("export", run, *csv_to, tmp_path / "no" / "o.csv"), "folder does not exist")
    refuse(call("export", run, *csv_to, out, "--strategy", "random"), "random", "rambo, margin")
    refuse(call("export", run, *csv_to, out, "--seed", "7"), "seed 7", "5, 6")
    refuse(call("export", run, *csv_to, out, "--seed", "x"), "seed x: use a whole number")
    refuse(call("export", run, "--format", "csv"), "--out")
    refuse(call("export", run, "--out", out), "--format")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_or_unknown_command_is_refused(call: Call) -> None:
    refuse(call(), "command")
    refuse(call("nonsense"), "nonsense", "resume")
    refuse(call("show"), "RUN")


def test_a_locked_run_is_refused(call: Call, printed: dict[str, Any], home: Path) -> None:
    run = Workspace(home).find(printed["run"])
    with run.lock():
        refuse(call("resume", run.id), run.id, "already being worked on")
    with run.lock():
        refuse(call("work", run.folder), "already being worked on")


@pytest.mark.parametrize(
    ("options", "words"),
    [("--k abc", "k abc: use a whole number"), ("--budget 137", "at most 136")],
)
def test_a_refusal_of_a_process_of_its_own(
    archive: Path, tmp_path: Path, options: str, words: str
) -> None:
    """Once before and once after torch is imported: not a word more on any stream."""
    refuse(
        in_process_of_its_own(tmp_path, "run", "--dataset", archive, *SMALL, *options.split()),
        words,
    )


# What goes wrong.


def test_an_unforeseen_error_is_one_line_and_its_trace_is_in_the_log(
    call: Call, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **named: Any) -> None:
        raise ZeroDivisionError("first\nsecond")

    monkeypatch.setattr(run_worker, "start", fail)
    answer = call("run", "--dataset", archive, *SMALL, home=tmp_path)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.count("\n") == 1
    assert "unforeseen ZeroDivisionError: first?second" in answer.err
    assert "errors.log" in answer.err
    assert "Traceback" in (tmp_path / "errors.log").read_text()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DivergedError("the loss is not finite; lower classifier.learning_rate 10"), 1),
        (OSError(errno.ENOSPC, "No space left on device"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_and_interrupts_have_their_exit_codes(
    call: Call,
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
) -> None:
    def fail(*arguments: Any, **named: Any) -> None:
        raise error

    monkeypatch.setattr(run_worker, "start", fail)
    answer = call("run", "--dataset", archive, *SMALL, home=tmp_path)
    assert (answer.code, answer.out) == (code, "")
    assert answer.err.count("\n") == 1
    assert "Traceback" not in answer.err


def test_a_workspace_that_cannot_be_made_is_one_line(
    call: Call, archive: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    for arguments in (["run", "--dataset", archive, *SMALL], ["list"], ["show", "nope"]):
        answer = call(*arguments, home=tmp_path / "file")
        assert answer.code in (1, 2)
        assert answer.out == ""
        assert answer.err.count("\n") == 1
        assert "unforeseen" not in answer.err


# Stopped, and closed.


@pytest.mark.parametrize(
    ("number", "jobs"), [(signal.SIGTERM, 1), (signal.SIGINT, 2)], ids=["SIGTERM", "SIGINT"]
)
def test_a_signal_stops_the_run_and_resume_gives_the_same_result(
    call: Call,
    archive: Path,
    printed: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    jobs: int,
) -> None:
    """Ctrl-C reaches the whole process group, as in a terminal; SIGTERM the process alone."""
    process = subprocess.Popen(
        command("run", "--dataset", archive, "--preset", "demo", *SMALL, "--jobs", jobs, "--json"),
        cwd=ROOT,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Where a shell started these tests in the background, Ctrl-C would be ignored by all that they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        run = first_run(tmp_path)
        wait_for(lambda: any(e.event.kind == "ClassifierTrained" for e in run.events()))
        started = time.monotonic()
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert time.monotonic() - started < 10
    assert out == ""
    assert err.endswith(f"stopped; `python -m rambo resume {run.id}` goes on\n")
    for noise in ("Traceback", "Warning", "Exception"):
        assert noise not in err
    assert run.status == "stopped"
    assert not run.locked()
    one_process(monkeypatch)
    resumed = call("resume", run.id, "--json", home=tmp_path)
    assert resumed.code == 0
    again = json.loads(resumed.out)
    assert comparable(again) == comparable(printed)
    assert again["ranking"] == printed["ranking"]


def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the worker of this process start no others: that takes seconds, and is no part of a result."""

    def restore(settings: dict[str, Any]) -> configs.Config:
        return configs.restore(settings | {"compute": settings["compute"] | {"jobs": 1}})

    monkeypatch.setattr(run_worker, "restore", restore)


def first_run(home: Path) -> Run:
    """Return the one run of a workspace as soon as there is one."""
    wait_for(lambda: bool(Workspace(home).runs()))
    (run,) = Workspace(home).runs()
    return run


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


@pytest.mark.parametrize("arguments", [["list"], ["show"], ["show", "--json"]], ids=" ".join)
def test_closing_the_output_early_is_no_error(
    printed: dict[str, Any], home: Path, arguments: list[str]
) -> None:
    """As `python -m rambo list | head -0`: the reader is gone before a word is written."""
    words = [arguments[0], printed["run"], *arguments[1:]] if arguments[0] == "show" else arguments
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            command(*words),
            cwd=ROOT,
            env=environment(home),
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    finally:
        os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 0


def test_help_and_small_commands_need_no_torch(tmp_path: Path) -> None:
    code = """
import contextlib, io, sys
from rambo.__main__ import main
for words in ("-h", "run -h", "list", "list --json", "show nope", "run --k abc", "export -h"):
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as shown:
        main(words.split())
    assert shown.getvalue() or "nope" in words or "abc" in words, words
import os
heavy = {"torch", "torchvision", "sklearn", "scipy", "ot"} & set(sys.modules)
assert not heavy, heavy
assert os.environ["OMP_NUM_THREADS"] == "1"
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_help_names_every_option(call: Call) -> None:
    help_text = call("run", "-h")
    assert (help_text.code, help_text.err) == (0, "")
    for (
        option
    ) in shlex.split("""--preset --dataset --strategy --k --budget --batch-size --filter-size
        --initial-size --pairs --offline-pairs --ot-weight --no-bilevel --no-ot --loss --classifier
        --device --jobs --seed --trials --set --json"""):
        assert option in help_text.out
    top = call("-h").out
    for verb in ("run", "resume", "list", "show", "export"):
        assert verb in top


def test_devices_lists_what_can_train(call: Call) -> None:
    answer = call("devices", "--json")
    record = json.loads(answer.out)
    assert answer.code == 0
    assert record["auto"] in record["names"]
    assert record["cores"] >= 1
    printed = call("devices")
    assert [line.split()[0] for line in printed.out.splitlines()] == list(record["names"])
    assert printed.out.count("(auto)") == 1


def test_prepare_makes_a_dataset_ready_once(call: Call, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    first = call("prepare", "fashion-mnist-mini", home=elsewhere)
    assert (first.code, first.err.strip()) == (0, "fashion-mnist-mini: 10000 images, 10 classes")
    (folder,) = (elsewhere / "datasets").iterdir()
    moment = folder.stat().st_mtime_ns
    assert call("prepare", "fashion-mnist-mini", home=elsewhere).code == 0
    assert [f.stat().st_mtime_ns for f in (elsewhere / "datasets").iterdir()] == [moment]


def test_prepare_of_a_folder_says_what_gave_no_image(call: Call, tmp_path: Path) -> None:
    for name, shade in (("cat", 50), ("dog", 200)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(4):
            Image.new("L", (12, 12), shade + number).save(tmp_path / f"photos/{name}/{number}.png")
    (tmp_path / "photos/dog/torn.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    answer = call("prepare", tmp_path / "photos", home=tmp_path / "elsewhere")
    assert answer.code == 0, answer.err
    assert "look  1 file gave no image" in answer.err
    assert "dog/torn.jpg" in answer.err
    assert answer.err.splitlines()[-1] == "photos: 8 images, 2 classes"


def test_prepare_refuses_an_unknown_dataset_in_one_line(call: Call) -> None:
    answer = call("prepare", "no-such-data")
    assert answer.code == 2
    assert answer.err.startswith("rambo: dataset no-such-data: unknown; choose one of:")
    assert len(answer.err.splitlines()) == 1


def test_a_stop_asked_for_before_the_worker_is_up_is_obeyed(call: Call, home: Path) -> None:
    call("run", "--preset", "demo", "--strategy", "random", "--k", 20, "--budget", 5)
    (run, *_) = Workspace(home).runs()
    run.set_status("queued")
    run.request_stop()
    assert call("work", run.folder).code == 130
    assert run.status == "stopped"
    assert "already" not in run.describe().message
    run.take_up(None)
    assert call("work", run.folder).code == 0
    assert run.status == "done"


# Studies.

STUDY = shlex.split("""--k 24 --budget 10 --batch-size 4 --initial-size 16 --trials 1 --strategy margin random
    --set classifier.max_epochs=1 --jobs 1""")


@pytest.fixture(scope="module")
def studied(home: Path, archive: Path) -> dict[str, Any]:
    """What `study noisy-oracle --json` printed: two cells, two strategies, one trial."""
    done = in_process_of_its_own(
        home, "study", "noisy-oracle", "--preset", "demo", "--dataset", archive, *STUDY, "--json"
    )
    assert done.code == 0, done.err
    assert "Traceback" not in done.err
    assert len(done.out.strip().splitlines()) == 1
    record: dict[str, Any] = json.loads(done.out)
    assert f"study {record['study']}" in done.err
    return record


def test_studies_are_listed_without_a_name(call: Call, tmp_path: Path) -> None:
    listed = call("study", home=tmp_path / "none")
    assert (listed.code, listed.err) == (0, "")
    lines = listed.out.splitlines()
    assert [line.split()[0] for line in lines] == list(grid.STUDIES)
    for line, kind in zip(lines, grid.STUDIES.values(), strict=True):
        assert line.endswith(f"{kind.title} ({kind.source})")


def test_a_study_prints_its_whole_table(studied: dict[str, Any], archive: Path) -> None:
    assert (studied["name"], studied["status"]) == ("noisy-oracle", "done")
    assert studied["dataset"] == str(archive)
    assert [(cell["place"], cell["status"], cell["done"]) for cell in studied["cells"]] == [
        ({"noise": 0.0}, "done", 2),
        ({"noise": 0.2}, "done", 2),
    ]
    assert [(row["noise"], row["strategy"]) for row in studied["rows"]] == [
        (0.0, "margin"),
        (0.0, "random"),
        (0.2, "margin"),
        (0.2, "random"),
    ]
    assert all(0 <= row["test"] <= 1 and row["trials"] == 1 for row in studied["rows"])
    assert studied["config"]["study"] == "noisy-oracle"


def test_a_study_has_five_trials_where_none_are_named() -> None:
    arguments = command_line.make_parser().parse_args(["study", "budgets"])
    assert "trials" not in settings_from(arguments)
    assert studies.TRIALS == report.FEWEST == 5


def test_show_and_resume_print_a_done_study_again(call: Call, studied: dict[str, Any]) -> None:
    finished_show = call("show", studied["study"], "--json")
    assert (finished_show.code, finished_show.err, json.loads(finished_show.out)) == (
        0,
        "",
        studied,
    )
    again = call("resume", studied["study"], "--json")
    assert (again.code, again.err) == (0, f"study {studied['study']}\n")
    assert json.loads(again.out) == studied
    table = call("show", studied["study"]).out.splitlines()
    assert table[0].startswith("### An oracle that errs (Fig. 3b, 5) on ")
    assert sum(line.startswith("| clean | ") for line in table) == 2


def test_a_study_is_no_run_and_its_cells_are(call: Call, studied: dict[str, Any]) -> None:
    listed = {run["run"] for run in json.loads(call("list", "--json").out)}
    assert studied["study"] not in listed
    for cell in studied["cells"]:
        assert cell["run"] in listed
        assert call("show", cell["run"]).out.startswith(f"run {cell['run']} on ")


def test_a_study_is_exported_as_csv_and_markdown(
    call: Call, studied: dict[str, Any], tmp_path: Path
) -> None:
    for form in ("csv", "markdown"):
        out = tmp_path / f"study.{form}"
        done = call("export", studied["study"], "--format", form, "--out", out)
        assert (done.code, done.out) == (0, "")
        assert done.err == f"wrote the study to {out}\n"
    with (tmp_path / "study.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["cell"], row["strategy"]) for row in rows] == [
        (row["cell"], row["strategy"]) for row in studied["rows"]
    ]
    for row, expected in zip(rows, studied["rows"], strict=True):
        assert float(row["test"]) == pytest.approx(100 * expected["test"], abs=0.005)
    text = (tmp_path / "study.markdown").read_text()
    assert text == call("show", studied["study"]).out.removesuffix("\n")
    refused_line(
        call("export", studied["study"], "--format", "coco", "--out", tmp_path / "x"),
        "format coco is none of a study; choose one of: csv, markdown",
    )
    assert not (tmp_path / "x").exists()


def refused_line(answer: Answer, words: str) -> None:
    """Hold an answer to exit 2 with one line."""
    assert (answer.code, answer.out) == (2, "")
    (line,) = answer.err.splitlines()
    assert words in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["what"], "study what: unknown; choose one of: utility-value, budgets, "),
        (["budgets", "--k", "1"], "k 1 is too small; use at least 2"),
        (["budgets", "--strategy", "nobody"], "strategy nobody: unknown"),
        (["budgets", "--preset", "nothing"], "preset nothing: unknown"),
        (["budgets", "--budget", "900000"], "(study budgets, B = 1,260,000)"),
        (["budgets", "--dataset", "nothing.npz"], "dataset nothing.npz: no such file"),
        (["budgets", "--budget", "5000"], "(study budgets, B = 9,000)"),
        (["noisy-oracle", "--device", "mps"], "compute.device mps"),
    ],
)
def test_a_study_that_cannot_be_is_one_line_and_makes_nothing(
    call: Call, tmp_path: Path, arguments: list[str], words: str
) -> None:
    refused_line(call("study", *arguments, home=tmp_path / "none"), words)
    assert not (tmp_path / "none" / "studies").exists()


def test_a_stopped_study_is_resumed_to_the_same_table(
    call: Call, archive: Path, tmp_path: Path, studied: dict[str, Any], monkeypatch: Any
) -> None:
    """Ctrl-C in the second cell: exit 130 with the way on; `resume` does the rest."""
    real = run_worker._work_through

    def interrupted(run: Run, listener: Any, *, recording: bool) -> None:
        if run.config["dataset"]["corruption"]["label_noise"]:
            raise KeyboardInterrupt
        real(run, listener, recording=recording)

    arguments = ("noisy-oracle", "--preset", "demo", "--dataset", archive, *STUDY)
    with monkeypatch.context() as patch:
        patch.setattr(run_worker, "_work_through", interrupted)
        stopped = call("study", *arguments, home=tmp_path)
    assert (stopped.code, stopped.out) == (130, "")
    last = stopped.err.splitlines()[-1]
    assert last.startswith("stopped; `python -m rambo resume ")
    name = last.split()[-3].rstrip("`")
    resumed = call("resume", name, "--json", home=tmp_path)
    assert resumed.code == 0
    varying = ("seconds", "trainings", "cached_trainings")
    rows = [
        [{k: v for k, v in row.items() if k not in varying} for row in printed["rows"]]
        for printed in (json.loads(resumed.out), studied)
    ]
    assert rows[0] == rows[1]


def test_a_study_with_a_failed_cell_prints_the_rest_and_exits_1(
    call: Call, archive: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    real = run_worker._work_through

    def diverging(run: Run, listener: Any, *, recording: bool) -> None:
        if run.config["dataset"]["corruption"]["label_noise"]:
            raise DivergedError("the loss is not finite")
        real(run, listener, recording=recording)

    monkeypatch.setattr(run_worker, "_work_through", diverging)
    failed = call(
        *("study", "noisy-oracle", "--preset", "demo", "--dataset", archive),
        *(*STUDY, "--json"),
        home=tmp_path,
    )
    assert failed.code == 1
    printed = json.loads(failed.out)
    assert printed["status"] == "failed"
    assert [cell["status"] for cell in printed["cells"]] == ["done", "failed"]


def test_a_strategy_option_given_twice_means_both() -> None:
    words = ["run", "--strategy", "margin", "random", "--strategy", "coreset"]
    arguments = command_line.make_parser().parse_args(words)
    assert settings_from(arguments)["strategies"] == ["margin", "random", "coreset"]
