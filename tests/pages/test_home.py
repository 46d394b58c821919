"""Home: the demo is started once, every run is listed in words, and none hides another."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from page_helpers import (
    ROOT,
    assert_calm,
    copy_of,
    make_damaged,
    make_failed,
    make_interrupted,
    make_queued,
    open_page,
    unescaped,
    words,
)
from streamlit.testing.v1 import AppTest
from tiny import write_tiny

from rambo import config as configs
from rambo import events
from rambo.config import presets
from rambo.runs import jobs, workspace
from rambo.runs.workspace import Run, Workspace
from rambo.runs.workspace import environment as environment_of
from rambo.ui import home as view
from rambo.ui import readers

HOSTILE = [
    "![](http://evil/x.png)",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "$x^2$ :red[x] **bold** `code`",
]


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs for which a worker would have been started."""
    ids: list[str] = []

    def launch(run: Run) -> None:
        run.set_launched()
        ids.append(run.id)

    monkeypatch.setattr(jobs, "launch", launch)
    return ids


def start(app: AppTest) -> AppTest:
    """Press the one primary button."""
    (button,) = [button for button in app.button if button.label == "Start the demo"]
    return button.click().run()


def confirm(app: AppTest, run: Run) -> AppTest:
    """Press Delete and, in the dialog that it opened, Delete for good.

    A dialog is a fragment: the browser keeps it open. AppTest draws the whole page instead, so both are pressed.
    """
    app.button(f"row-{run.id}-delete").click().run()
    app.button(f"row-{run.id}-delete").click()
    return app.button("delete-confirmed").click().run()


def rows(app: AppTest) -> str:
    """Return the text of the page's main part, as a person reads it."""
    values = [e.value for kind in ("markdown", "caption", "info") for e in app.main.get(kind)]
    return unescaped("\n".join(values))


def links(app: AppTest, run: Run) -> list[str]:
    """Return the labels of the links in the main part that open a run."""
    page_links = [link.proto for link in app.main.get("page_link")]
    return [proto.label for proto in page_links if f"run={run.id}" in proto.query_string]


def test_an_empty_workspace_says_what_to_do_and_has_one_primary_button(home: Path) -> None:
    app = open_page("app.py")
    assert_calm(app)
    assert "No runs yet. Start the demo" in rows(app)
    assert [b.label for b in app.button if b.proto.type == "primary"] == ["Start the demo"]
    picture = "".join(part.proto.body for part in app.get("html"))
    assert picture.count('role="img"') == 3, "the picture is told to those who cannot see it"


def test_starting_the_demo_twice_or_from_two_tabs_gives_one_run(
    home: Path, launched: list[str]
) -> None:
    first = open_page("app.py")
    second = open_page("app.py")
    for app in (first, second):
        assert_calm(start(app))
    third = start(open_page("app.py"))
    assert_calm(third)
    (run,) = Workspace(home).runs()
    assert launched == [run.id]
    assert run.config == configs.describe(configs.build(presets.demo()))
    assert [name.value for name in first.title] == [name.value for name in third.title]
    assert first.query_params["run"] in (run.id, [run.id]), "it went on to the run"


def test_a_demo_that_cannot_be_written_says_so_and_keeps_the_list(
    home: Path, launched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rambo.errors import StoreError

    failed = make_failed(home)

    def full(*_: Any) -> None:
        raise StoreError("a new run could not be made: the disk is full; free some space")

    monkeypatch.setattr(jobs, "start", full)
    app = start(open_page("app.py"))
    assert_calm(app)
    assert "the disk is full" in app.error[0].value
    assert failed.id in rows(app)


def test_every_state_is_told_in_words_and_none_hides_another(home: Path) -> None:
    by_word = {
        "in line": make_queued(home),
        "failed": make_failed(home),
        "stopped unexpectedly": make_interrupted(home),
        "unreadable": make_damaged(home),
    }
    app = open_page("app.py")
    assert_calm(app)
    table = rows(app)
    for word, run in by_word.items():
        assert word in table
        assert run.id in table
    assert "the loss is not finite; lower the learning rate" in table
    assert "the record is damaged" in table
    assert links(app, by_word["failed"]) == ["See how far it came"]
    assert links(app, by_word["in line"]) == ["Open"]
    assert table.count("seed ") == 3, "runs that differ in nothing else are told apart"
    assert links(app, by_word["unreadable"]) == []
    labels = [button.label for button in app.main.button]
    assert labels.count("Resume") == 2
    assert labels.count("Stop") == 1
    assert labels.count("Delete") == 3, "what waits is stopped before it is deleted"


def test_a_finished_run_shows_its_test_accuracy_and_leads_to_its_choice(done: Run) -> None:
    app = open_page("app.py")
    assert_calm(app)
    accuracies = [r.test_accuracy for r in workspace.summary(done).results
             if r.strategy == "rambo"]  # fmt: skip
    assert len(accuracies) == 2
    table = rows(app)
    assert f"**{100 * sum(accuracies) / 2:.1f}\u00a0±\u00a0" in table
    assert "test accuracy of RAMBO, 2 trials" in table
    assert "±" in table
    assert all(rival in table for rival in ("Filter only ", "Margin ", "Random "))
    assert "k = 24, B = 12, 2 trials" in table
    assert "RAMBO, Filter only, Margin, Random" in table
    assert links(app, done) == ["See what it chose"]


def test_deleting_asks_first(
    done_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = copy_of(done_run.folder.parent, tmp_path / "runs")
    monkeypatch.setenv("RAMBO_HOME", str(root))
    folder = root / done_run.id
    app = open_page("app.py")
    app.button(f"row-{done_run.id}-delete").click().run()
    assert_calm(app)
    assert folder.is_dir(), "one click is not enough"
    assert "will be gone for good" in words(app)
    app.button("delete-kept").click().run()
    assert folder.is_dir()
    confirm(app, done_run)
    assert_calm(app)
    assert not folder.exists()
    assert "No runs yet" in rows(open_page("app.py"))


def test_a_damaged_run_can_be_deleted(home: Path) -> None:
    damaged, failed = make_damaged(home), make_failed(home)
    app = open_page("app.py")
    confirm(app, damaged)
    assert_calm(app)
    assert [run.id for run in Workspace(home).runs()] == [failed.id]


def test_resuming_starts_a_worker(home: Path, launched: list[str]) -> None:
    run = make_interrupted(home)
    app = open_page("app.py")
    app.button(f"row-{run.id}-resume").click().run()
    assert_calm(app)
    assert launched == [run.id]
    assert "in line" in rows(app)


def test_the_place_in_line_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = make_queued(home), make_queued(home, seed=1), make_queued(home, seed=2)
    order = {"cpu": [second.id, third.id, first.id]}
    monkeypatch.setattr(view.line, "standing", lambda root: order)
    table = rows(open_page("app.py"))
    assert "Place 2 in line: 1 run ahead" in table
    assert "Place 3 in line: 2 runs ahead" in table
    places = [table.index(run.id) for run in (second, third, first)]
    assert places == sorted(places), "the line is shown in its order"


def test_a_run_at_work_shows_its_stage(home: Path) -> None:
    run = make_queued(home)
    with run.lock():
        run.begin_attempt()
        run.set_status("running")
        run.append(events.StageStarted("offline", 40), trial=0, strategy="rambo")
        run.append(events.StageAdvanced("offline", 12, 40), trial=0, strategy="rambo")
        run.flush()
        app = open_page("app.py")
    assert_calm(app)
    (bar,) = app.main.get("progress")
    assert bar.proto.text == "Offline: true utilities, 12 of 40"
    assert bar.proto.value == 30
    assert links(app, run) == ["Watch it learn"]


def test_a_tick_reads_no_ended_run_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(3):
        make_queued(home, seed=seed).set_status("failed", "no")
    app = open_page("app.py")
    names: list[str] = []
    monkeypatch.setattr(Run, "_facts", lambda run: names.append(run.id))
    assert len(readers.runs()) == 3
    assert names == []
    assert_calm(app)


def test_many_runs_are_found_by_search_and_page(home: Path) -> None:
    data = write_tiny(home)
    workspace = Workspace(home)
    environment = environment_of(data, "cpu")
    for number in range(45):
        config = {"dataset": {"name": "tiny"}, "k": 24, "budget": 12, "strategies": ["margin"]}
        run = workspace.create(config | {"seed": number, "trials": 1}, environment)
        run.set_status("failed" if number % 2 else "stopped", f"reason {number}")
    app = open_page("app.py")
    assert_calm(app)
    assert rows(app).count("reason ") == 10
    assert "45 runs, the newest first" in rows(app)
    app.session_state["home-page"] = 5
    app.run()
    assert rows(app).count("reason ") == 5
    app.text_input("home-search").set_value("FAILED margin").run()
    assert_calm(app)
    assert "22 runs, the newest first" in rows(app)
    assert rows(app).count("reason ") == 2, "the last page there is"
    app.text_input("home-search").set_value("nothing like this").run()
    assert "No run has all these words" in rows(app)
    app.text_input("home-search").set_value(run.id).run()
    assert rows(app).count("reason ") == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_shown_as_it_is(name: str, home: Path) -> None:
    environment = workspace.environment(write_tiny(home), "cpu")
    config = {"dataset": {"name": name}, "k": 24, "budget": 12, "strategies": [name], "trials": 1}
    run = Workspace(home).create(config, environment)
    run.set_status("failed", f"it says {name}")
    app = open_page("app.py")
    assert_calm(app)
    raw = "\n".join(str(e.value) for kind in ("markdown", "caption") for e in app.main.get(kind))
    assert f"it says {name}" in unescaped(raw)
    bare = re.sub(r"\\.", "", raw)  # what is escaped is text
    for sign in ("](", "<", "$", ":red[", "**bold", "`", "!["):
        assert sign not in bare


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/private/place/pets.npz", "pets.npz"),
        ("C:\\me\\pets.npz", "pets.npz"),
        ("mnist", "mnist"),
    ],
)
def test_of_a_path_only_the_last_part_is_shown(name: str, expected: str, home: Path) -> None:
    environment = workspace.environment(write_tiny(home), "cpu")
    config = {"dataset": {"name": name}, "k": 24, "budget": 12, "strategies": ["margin"]}
    Workspace(home).create(config, environment).set_status("failed", "no")
    text = rows(open_page("app.py"))
    assert f"**{expected}**" in text
    assert "private" not in text


_WITHOUT_TORCH = """
import sys
sys.path[:0] = [{root!r}, {root!r} + "/tests", {root!r} + "/tests/pages"]
from streamlit.testing.v1 import AppTest
for script in ("app.py", "pages/data.py"):
    app = AppTest.from_file({root!r} + "/app.py", default_timeout=60)
    if script != "app.py":
        app.switch_page(script)
    app.query_params["run"] = {run!r}
    app.run()
    assert not app.exception and not app.error, (app.exception, app.error)
    print(script, *sorted({{"torch", "torchvision", "sklearn"}} & set(sys.modules)))
"""


def test_the_pages_import_no_torch(done: Run) -> None:
    code = _WITHOUT_TORCH.format(root=str(ROOT), run=done.id)
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert process.returncode == 0, process.stderr[-2000:]
    assert process.stdout.splitlines() == ["app.py", "pages/data.py"]
