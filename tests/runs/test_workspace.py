"""The workspace: making, finding, listing and summing up runs."""

import dataclasses
import errno
import json
import os
import random
import re
import secrets
import shutil
import sqlite3
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from store_helpers import CLASSES, CONFIG, child, names, refusal

from rambo.errors import RunNotFoundError
from rambo.runs import environment as environments
from rambo.runs.environment import DatasetOrigin, Environment
from rambo.runs.results import restore
from rambo.runs.run import Run
from rambo.runs.workspace import Workspace, summary


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ru ns?#%41")  # a name that would break an unquoted URI


@pytest.fixture
def run(workspace: Workspace) -> Run:
    return workspace.create(CONFIG, Environment(classes=tuple(CLASSES)))


def test_a_new_run_holds_what_it_was_given(workspace: Workspace) -> None:
    new = workspace.create(CONFIG, Environment(classes=tuple(CLASSES), torch="2.13"))
    assert re.fullmatch(r"fashion-mnist-mini-\d{8}-\d{6}-[0-9a-f]{4}", new.id)
    again = workspace.find(new.id)
    assert again.config == CONFIG
    assert again.environment == Environment(classes=tuple(CLASSES), torch="2.13")
    assert (again.status, again.events(), again.results()) == ("queued", [], [])
    assert dataclasses.asdict(again.describe()) == {
        "run": new.id,
        "status": "queued",
        "dataset": "fashion-mnist-mini",
        "created": new.created(),
        "k": 200,
        "budget": 500,
        "strategies": ["rambo", "margin"],
        "trials": 2,
        "message": "",
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", new.created())
    assert names(workspace.root) == [new.id]
    assert (new.folder / "ballast").stat().st_size == 2**20


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("/home/ann/My Photos/", "my-photos"),
        (r"C:\Users\ann\bits.npz", "bits-npz"),
        ("../../etc", "etc"),
        ("Ünï çödé", "uni-code"),
        ("日本", "run"),
        ("..", "run"),
        ("", "run"),
        ("a" * 900, "a" * 40),
        ("-" * 50 + "x\0\ny", "x-y"),
    ],
)
def test_a_run_id_is_readable_and_tells_nothing_private(workspace, name: str, slug: str) -> None:
    created = workspace.create({"dataset": {"name": name}}, Environment())
    assert re.fullmatch(re.escape(slug) + r"-\d{8}-\d{6}-[0-9a-f]{4}", created.id)
    assert re.fullmatch(r"[a-z0-9-]{1,64}", created.id)
    assert workspace.find(created.id).config == {"dataset": {"name": name}}


def test_the_environment_names_the_workspace(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAMBO_HOME", raising=False)
    assert Workspace.from_environment().root == tmp_path / "runs"
    monkeypatch.setenv("RAMBO_HOME", "")
    assert Workspace.from_environment().root == tmp_path / "runs"
    monkeypatch.setenv("RAMBO_HOME", str(tmp_path / "elsewhere"))
    assert Workspace.from_environment().root == tmp_path / "elsewhere"
    assert Workspace.from_environment().runs() == []


def test_twenty_creates_at_once_give_twenty_runs(workspace: Workspace) -> None:
    with ThreadPoolExecutor(20) as pool:
        slugs = list(
            pool.map(lambda place: workspace.create(CONFIG, Environment(cores=place)), range(20))
        )
    assert len({run.id for run in slugs}) == 20
    assert {run.id for run in workspace.runs()} == {run.id for run in slugs}
    assert sorted(run.environment.cores or 0 for run in workspace.runs()) == list(range(20))


def test_a_name_that_is_taken_is_drawn_again(workspace: Workspace, monkeypatch) -> None:
    monkeypatch.setattr(time, "strftime", lambda form: "20260101-000000")
    draws, token = iter(["aaaa", "aaaa", "aaaa", "bbbb"]), secrets.token_hex
    monkeypatch.setattr(secrets, "token_hex", lambda n: next(draws) if n == 2 else token(n))
    first = workspace.create(CONFIG, Environment(cores=1))
    second = workspace.create(CONFIG, Environment(cores=2))
    assert (first.id[-4:], second.id[-4:]) == ("aaaa", "bbbb")
    assert (first.environment, second.environment) == (Environment(cores=1), Environment(cores=2))


def test_runs_come_newest_first_by_the_stored_time(workspace: Workspace) -> None:
    several = [workspace.create(CONFIG, Environment()) for _ in range(5)]
    os.utime(several[0].folder)  # looked at last, made first
    assert [run.id for run in workspace.runs()] == [run.id for run in reversed(several)]


def test_only_run_folders_are_listed(workspace: Workspace, run: Run, tmp_path: Path) -> None:
    for name in ("datasets", "predictions", ".new-0123", "Upper-20260101-000000-abcd"):
        (workspace.root / name).mkdir()
    (workspace.root / "note").write_text("x")
    outside = tmp_path / "outside"
    shutil.copytree(run.folder, outside)
    (workspace.root / "link-20260101-000000-abcd").symlink_to(outside)
    (workspace.root / "empty-20260101-000000-abcd").mkdir()
    shutil.copytree(run.folder, workspace.root / "shipped-demo")
    assert {each.id for each in workspace.runs()} == {
        run.id,
        "empty-20260101-000000-abcd",
        "shipped-demo",
    }
    assert workspace.find("shipped-demo").config == CONFIG
    for name in ("datasets", "note", "link-20260101-000000-abcd"):
        with pytest.raises(RunNotFoundError):
            workspace.find(name)


OPENED: list[str] | None = None


def listen(event: str, arguments: tuple[Any, ...]) -> None:
    if OPENED is not None and event in ("open", "sqlite3.connect", "os.listdir", "os.scandir"):
        OPENED.append(str(arguments[0]))


sys.addaudithook(listen)


def hostile_ids(real: str) -> list[str]:
    seeds = [
        "..", ".", "", "/", "../" + real, real + "/", real + "/..", "./" + real, "/etc/passwd", real + "\n",
        real + "\0", real + " ", " " + real, real.upper(), real + ";", real + "%00", "%2e%2e%2f", "%252e%252e",
        "..%2f" + real, "..\\" + real, "\\\\host\\share", "C:\\", "file:///etc", "~", "~root", "$HOME", "`id`",
        "a" * 65, "a" * 10_000, "../" * 5_000, "\uff0e\uff0e\uff0f", "\u2025", "\u202e" + real, "\ufeff" + real,
        "\udcff", "run.sqlite", real + "/run.sqlite", "datasets", "*", "?", "[a-z]*", "-", "--help", "con", "nul",
        "' OR 1=1 --", "<script>", "![](//host/p.png)", "\r\nSet-Cookie: x", "\x1b[2J", "\U0001d4b6", "a\u0301",
    ]  # fmt: skip
    draw = random.Random(0)
    alphabet = "./\\%;\0\n\r\t ~:-_*?'\"<>|&$abcz09\u2024\uff0e\uff0f\u202e" + real
    fuzzed = ["".join(draw.choices(alphabet, k=draw.randint(1, 90))) for _ in range(300)]
    return [text for text in seeds + fuzzed if text != real]


def test_a_hostile_run_id_finds_nothing_and_opens_nothing(workspace: Workspace, run: Run) -> None:
    global OPENED
    ids = hostile_ids(run.id)
    assert len(ids) >= 300
    OPENED = []
    try:
        for text in ids:
            with pytest.raises(RunNotFoundError) as caught:
                workspace.find(text)
            words = str(caught.value)
            assert words.isprintable()
            assert len(words) < 160
            assert words.endswith("no such run; `python -m rambo list` shows them")
    finally:
        opened, OPENED = OPENED, None
    assert set(opened) == {str(workspace.root)}  # the listing, and nothing else
    assert workspace.find(run.id).id == run.id


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_run_that_cannot_be_made_leaves_nothing(workspace, run, monkeypatch, number) -> None:
    def refuse(*arguments: Any, **named: Any) -> None:
        raise OSError(number, os.strerror(number), "/tmp/private")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        words = refusal(lambda: workspace.create(CONFIG, Environment()))
    assert words.startswith("a new run could not be made: ")
    assert names(workspace.root) == [run.id]


def test_a_workspace_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("x")
    workspace = Workspace(tmp_path / "runs")
    refusal(lambda: workspace.create(CONFIG, Environment()))
    refusal(workspace.runs)
    refusal(lambda: workspace.find("a"))


def test_a_run_that_is_deleted_while_it_is_listed_is_no_damaged_run(
    workspace: Workspace, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = workspace.create(CONFIG, Environment())
    both = workspace.runs()
    workspace.delete(other)
    monkeypatch.setattr(workspace, "runs", lambda: both)
    assert [description.run for description in workspace.descriptions()] == [run.id]
    assert other.describe().message == (
        "reading its record: its folder was moved or deleted meanwhile; resume the run where it lies now"
    )


def test_damaged_and_foreign_folders_are_listed_with_their_reason(
    workspace: Workspace, run
) -> None:
    def make(name: str) -> Path:
        folder = workspace.root / f"{name}-20260101-000000-abcd"
        shutil.copytree(run.folder, folder)
        return folder / "run.sqlite"

    make("garbage").write_bytes(b"garbage" * 1000)
    make("empty").write_bytes(b"")
    make("missing").unlink()
    folder = make("folder")
    folder.unlink()
    folder.mkdir()
    for name, statement in {
        "newer": "PRAGMA user_version=7",
        "older": "PRAGMA user_version=0",
        "tableless": "DROP TABLE facts",
        "factless": "DELETE FROM facts WHERE name = 'status'",
        "forged": "UPDATE facts SET value = '\"done\"' WHERE name = 'status'",
        "blob": "UPDATE facts SET value = x'fffe' WHERE name = 'config'",
    }.items():
        db = sqlite3.connect(make(name))
        db.execute(statement)
        db.commit()
        db.close()
    reasons = {
        each.id.split("-2026")[0]: each.describe().message
        for each in workspace.runs()
        if each.describe().status == "unreadable"
    }
    assert len(reasons) == 10
    assert "format 7" in reasons.pop("newer")
    assert "a file is missing" in reasons.pop("missing")
    assert "a file is missing" in reasons.pop("folder")
    for reason in reasons.values():
        expected = "the record is damaged; restore the folder from a copy or delete it"
        assert reason == f"reading its record: {expected}"
    assert run.describe().status == "queued"
    bad = workspace.find("newer-20260101-000000-abcd")
    assert type(bad.describe()) is type(run.describe())
    for action in (bad.request_stop, bad.begin_attempt, bad.events, bad.results):
        assert "format 7" in refusal(action)


# The summary


def data(strategy: str, seed: int, **more: Any) -> dict[str, Any]:
    return {
        "strategy": strategy,
        "seed": seed,
        "selected": [3, 1],
        "steps": [0, 1],
        "validation_accuracy": 0.5,
        "test_accuracy": 0.25,
        "validation_trainings": [],
        "test_trainings": [],
        "validation_classes": [],
        "test_classes": [],
        "seconds": {"select": 1.5},
        "trainings": 4,
        "cached_trainings": 2,
        "figures": {"share covered": 0.5},
        **more,
    }


def test_the_summary_is_exactly_the_public_object(run: Run) -> None:
    assert summary(run).results == []
    assert set(dataclasses.asdict(summary(run).ranking).values()) == {None, 0}
    first = {
        "inner": 0.5,
        "outer": 0.75,
        "kendall_tau": 0.25,
        "trainings_agree": None,
        "held_out": 0.5,
        "held_out_pairs": 10,
        "agreement_pairs": 4,
    }
    second = {
        **first,
        "inner": 1.0,
        "trainings_agree": 0.875,
        "held_out": None,
        "agreement_pairs": 3,
    }
    run.save_result(restore(0, "rambo", data("rambo", 5, ranking=first)))
    run.save_result(restore(0, "margin", data("margin", 5, ranking={})))
    run.save_result(restore(1, "rambo", data("rambo", 6, ranking=second)))
    unfinished = {"strategy": "margin", "seed": 6, "selected": [8], "steps": [0], "seconds": {}}
    run.save_result(restore(1, "margin", unfinished))
    run.set_status("done")
    expected = {
        "run": run.id,
        "dataset": "fashion-mnist-mini",
        "config": CONFIG,
        "status": "done",
        "results": [
            data("rambo", 5),
            data("margin", 5),
            data("rambo", 6),
            {
                "strategy": "margin",
                "seed": 6,
                "selected": [8],
                "steps": [0],
                "validation_accuracy": None,
                "test_accuracy": None,
                "validation_trainings": [],
                "test_trainings": [],
                "validation_classes": [],
                "test_classes": [],
                "seconds": {},
                "trainings": 0,
                "cached_trainings": 0,
                "figures": {},
            },
        ],
        "ranking": {
            "inner": 0.75,
            "outer": 0.75,
            "kendall_tau": 0.25,
            "trainings_agree": 0.875,
            "held_out": 0.5,
            "held_out_pairs": 20,
            "agreement_pairs": 7,
        },
    }
    assert summary(run).public() == expected
    assert json.dumps(summary(run).public()) == json.dumps(expected)  # the order of the keys too


def test_the_store_needs_neither_torch_nor_streamlit_nor_pandas() -> None:
    code = "import sys, rambo.export, rambo.runs.workspace\n"
    code += "print({*sys.modules} & {'torch', 'streamlit', 'plotly', 'pandas'})"
    assert child(code).communicate()[0].strip() == b"set()"


def test_an_environment_is_itself_again_and_an_older_one_says_less() -> None:
    whole = Environment(
        plugins=("zigzag.py",),
        rambo="0.2.0",
        python="3.12.1",
        torch="2.13",
        device="cpu",
        cores=2,
        threads=1,
        dataset=DatasetOrigin("toys", "ab12", "the tests", ""),
        classes=("shoe", "bag"),
    )
    assert environments.restore(whole.record()) == whole
    assert list(whole.record()) == [
        "plugins", "rambo", "python", "torch", "device", "cores", "threads", "dataset", "classes",
    ]  # fmt: skip
    assert whole.record()["dataset"]["licence"] == ""
    assert "plugins" not in Environment(rambo="0.1.0").record()
    older = environments.restore({"classes": ["shoe"], "host": "private"})
    assert older == Environment(classes=("shoe",))
