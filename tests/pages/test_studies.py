"""The page Studies: set up, started, watched and read, in every state of a study."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
from page_helpers import assert_calm, copy_of, open_page, page_config, unescaped, words
from streamlit.testing.v1 import AppTest
from tiny import write_tiny

from rambo.config import describe
from rambo.figures import study_tables
from rambo.runs import jobs, paths
from rambo.runs.workspace import Run, Workspace
from rambo.studies import study
from rambo.studies.grid import STUDIES
from rambo.ui.studies import records
from rambo.worker import run_worker

PAGE = "pages/studies.py"
QUICK = {"strategies": ["rambo", "filter-only", "random"], "budget": 6}


def make_study(root: Path, name: str = "noisy-oracle", cells: int = 0, **changes: Any) -> Run:
    """Return a study of tiny images, of which the runs of the first cells are done."""
    data = write_tiny(root)
    settings = describe(page_config(**QUICK | changes))
    study_run = study.create(name, settings, data, Workspace(root), "cpu")
    for place, (cell, config) in enumerate(study.planned(study_run)[:cells]):
        run = run_worker.create_run(config, data, Workspace(root), "cpu")
        study_run.save_cell(place, cell.label, run.id)
        assert run_worker.work(run) == "done"
    return study_run


def make_done(root: Path, name: str = "noisy-oracle", **changes: Any) -> Run:
    """Return a study with all its cells done."""
    study_run = make_study(root, name, cells=100, **changes)
    study_run.set_status("done")
    return study_run


@contextlib.contextmanager
def lock_of(study_run: Run) -> Iterator[None]:
    """Work on a study, as far as anyone can see."""
    with study_run.lock():
        study_run.begin_attempt()
        study_run.set_status("running")
        yield


@pytest.fixture(scope="module")
def done_study(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished study of two cells and two trials; look at it, do not change it."""
    return make_done(tmp_path_factory.mktemp("studies") / "runs", trials=2)


@pytest.fixture
def read(done_study: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The finished study, in the workspace that the pages use."""
    monkeypatch.setenv("RAMBO_HOME", str(done_study.folder.parent.parent))
    return done_study


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The studies that were launched, by id; none is."""
    started: list[str] = []
    monkeypatch.setattr(jobs, "launch", lambda run: started.append(run.id))
    return started


def open_study(study_run: Run, **params: str) -> AppTest:
    return open_page(PAGE, study=study_run.id, **params)


def page_text(app: AppTest) -> str:
    return unescaped(words(app))


# Setting up.


def test_without_a_study_it_says_what_to_do_and_offers_every_question(home: Path) -> None:
    app = open_page(PAGE)
    assert_calm(app)
    assert "No studies yet" in page_text(app)
    questions = app.radio(key="studies:study")
    assert len(questions.options) == len(STUDIES)
    captions = " ".join(unescaped(text) for text in questions.proto.captions)
    for option, kind in zip(questions.options, STUDIES.values(), strict=True):
        assert kind.title in unescaped(option)
        assert kind.source in unescaped(option)
        assert kind.question in captions


def test_the_price_is_said_before_the_start(home: Path) -> None:
    app = open_page(PAGE)
    app.radio(key="studies:study").set_value("budgets").run()
    assert_calm(app)
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["Cells"] == "4"
    assert (
        "4 cells, each a run of 5 trials that holds 200 labels and buys 500 to 1,000"
        in page_text(app)
    )
    assert not app.button(key="studies-start").disabled


def test_a_preset_fills_the_numbers_and_strategies_are_offered_where_open(home: Path) -> None:
    app = open_page(PAGE)
    assert "nothing to pick" in page_text(app)
    app.radio(key="studies:study").set_value("budgets").run()
    assert app.get("button_group")[-1].value == ["rambo", "filter-only", "margin", "random"]
    app.segmented_control(key="studies:source").select("paper").run()
    assert_calm(app)
    assert [
        app.number_input(key=f"studies:{name}").value for name in ("trials", "k", "budget")
    ] == [10, 200, 500]
    app.segmented_control(key="studies:source").select("demo").run()
    assert [
        app.number_input(key=f"studies:{name}").value for name in ("trials", "k", "budget")
    ] == [5, 200, 200]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("trials", 0, "too small"),
        ("k", None, "empty"),
        ("k", 1, "too small"),
        ("budget", 7_000, "budgets"),
        ("budget", 9_000, "exceeds"),
        ("seed", -1, "too small"),
    ],
)
def test_a_bad_value_is_told_in_words_and_nothing_starts(
    home: Path, launched: list[str], field: str, value: int | None, expected: str
) -> None:
    app = open_page(PAGE)
    app.radio(key="studies:study").set_value("budgets").run()
    app.number_input(key=f"studies:{field}").set_value(value).run()
    assert_calm(app)
    red = [unescaped(m.value) for m in app.markdown if ":red[" in m.value]
    assert len(red) == 1
    assert expected in red[0] or "B = " in red[0]
    assert app.button(key="studies-start").disabled
    assert launched == []


def test_a_dataset_that_is_not_here_waits_for_a_click(home: Path) -> None:
    app = open_page(PAGE)
    app.selectbox(key="studies:dataset").select("cifar10").run()
    assert_calm(app)
    assert app.button(key="studies-start").disabled
    assert "its size is a guess" in page_text(app)
    assert "get it first" in page_text(app)


@pytest.mark.parametrize("typed", ["../../etc/passwd", "<img src=x>", "mine.npz"])
def test_no_file_but_an_archive_is_opened(home: Path, typed: str) -> None:
    app = open_page(PAGE)
    app.session_state["studies-choices"] |= {"dataset": typed}
    del app.session_state["studies:dataset"]
    app.main.children.clear()  # AppTest cannot press what a list did not offer at first
    app.run()
    assert_calm(app)
    assert app.selectbox(key="studies:dataset").value == typed
    assert app.button(key="studies-start").disabled


def test_two_clicks_start_one_study(home: Path, launched: list[str]) -> None:
    for _ in range(2):
        app = open_page(PAGE)
        app.radio(key="studies:study").set_value("ablation").run()
        app.number_input(key="studies:seed").set_value(3).run()
        app.button(key="studies-start").click().run()
        assert not app.exception
    (study_run,) = Workspace(home / "studies").runs()
    assert launched == [study_run.id]
    assert study_run.config["study"] == "ablation"
    assert (study_run.config["seed"], study_run.config["trials"], study_run.config["k"]) == (
        3,
        5,
        200,
    )
    assert len(study.planned(study_run)) == 10


# Watching.


def test_a_running_study_fills_in_cell_by_cell(home: Path) -> None:
    study_run = make_study(home, cells=1)
    with lock_of(study_run):
        app = open_study(study_run)
        assert_calm(app)
        text = page_text(app)
        assert "running" in text
        assert "clean" in text
        assert "20 % of the labels wrong" in text
        assert "not begun" in text
        assert "3 of 3 results" in text
        assert app.button(key="study-stop")
        assert "1 of 2 cells" in unescaped(app.get("progress")[0].proto.text)
        links = [link.proto.query_string for link in app.main.get("page_link")]
        (run,) = study.runs(study_run).values()
        assert sum(f"run={run.id}" in query for query in links) == 2
        assert app.dataframe[0].value["cell"].tolist() == ["clean"] * 3
    app.run()
    assert "stopped unexpectedly" in page_text(app)  # nobody holds it any more
    assert app.button(key="study-resume")


def test_stop_and_resume_do_what_they_say(
    home: Path, launched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[str] = []
    monkeypatch.setattr(jobs, "stop", lambda run: stopped.append(run.id))
    study_run = make_study(home)
    with lock_of(study_run):
        open_study(study_run).button(key="study-stop").click().run()
    assert stopped == [study_run.id]
    study_run.set_status("stopped", "stopped on request; resume it to go on")
    app = open_study(study_run)
    assert "Stopped on request" in page_text(app)
    app.button(key="study-resume").click().run()
    assert_calm(app)
    assert launched == [study_run.id]


def test_a_failed_study_shows_why_and_its_log(home: Path) -> None:
    study_run = make_study(home)
    paths.log(study_run.folder).write_text("clean failed: the loss is not finite\n")
    study_run.set_status(
        "failed", "1 cells failed; the first, clean: the file /srv/me/x.npz is gone"
    )
    app = open_study(study_run)
    assert_calm(app)
    assert "the file x.npz is gone" in unescaped(app.error[0].value)
    assert "the loss is not finite" in app.code[0].value
    assert app.button(key="study-resume")


def test_deleting_asks_and_leaves_the_runs(home: Path) -> None:
    study_run = make_done(home)
    names = [run.id for run in Workspace(home).runs()]
    app = open_study(study_run)
    app.button(key="study-delete").click().run()
    assert study_run.folder.exists()
    assert "will be gone for good" in page_text(app)
    app.button(key="study-delete").click()  # AppTest draws the whole page, which shuts the dialog
    app.button(key="study-delete-confirmed").click().run()
    assert not app.exception
    assert not study_run.folder.exists()
    assert sorted(run.id for run in Workspace(home).runs()) == sorted(names)
    assert len(names) == 2


# Reading.


def test_a_done_study_says_its_verdicts_first_and_shows_every_figure(read: Run) -> None:
    app = open_study(read)
    assert_calm(app)
    text = page_text(app)
    expected = study.table(read)
    assert len(expected.verdicts) == 3 + 4, (
        "what an oracle that errs costs each, and RAMBO less its controls"
    )
    for verdict in expected.verdicts:
        assert study_tables.verdict_words(verdict) in text
    assert "±" in text
    assert "+-" not in text
    assert "too few" in text
    table = app.dataframe[0].value
    assert table.to_dict() == study_tables.results(expected).to_dict()
    assert table["trials"].tolist() == ["2, too few"] * 6
    labels = [button.proto.label for button in app.get("download_button")]
    assert labels == ["CSV", "Markdown", "Figures as HTML"]


def test_the_earlier_studies_are_listed_and_opened(read: Run) -> None:
    app = open_page(PAGE)
    assert_calm(app)
    text = page_text(app)
    assert "An oracle that errs" in text
    assert "2 of 2 cells" in text
    assert "done" in text
    links = [link.proto.query_string for link in app.main.get("page_link")]
    assert [link for link in links if link.startswith("study=")] == [f"study={read.id}"]


def test_the_study_survives_a_reload_and_picking_a_run(read: Run) -> None:
    first = next(iter(study.runs(read).values()))
    app = open_study(read, run=first.id)
    assert_calm(app)
    picker = app.sidebar.selectbox[0]
    other = next(run.id for run in study.runs(read).values() if run.id != first.id)
    picker.select(other).run()
    assert other in str(app.query_params["run"])
    assert read.id in str(app.query_params["study"])
    assert "An oracle that errs" in page_text(app)


@pytest.mark.parametrize("typed", ["nope", "../../x", "a" * 5000, "<script>", "\uff1b"])
def test_any_other_study_in_the_address_is_no_such_study(read: Run, typed: str) -> None:
    app = open_page(PAGE, study=typed)
    assert_calm(app)
    assert "there is no such study" in unescaped(app.error[0].value)


def test_table_2_stands_beside_ours_and_minutes_beside_seconds(home: Path) -> None:
    study_run = make_done(home, "runtime")
    app = open_study(study_run)
    assert_calm(app)
    assert "another machine" in page_text(app)
    assert {"strategy", "offline", "evaluation", "reused"} <= set(app.dataframe[1].value.columns)
    sized = make_study(home, "validation-size", cells=1)
    app = open_study(sized)
    assert_calm(app)
    expected = study.mean_utilities(sized)["|S_val| = 50"]
    (row_of_table,) = app.dataframe[1].value.to_dict("records")
    assert row_of_table["sets"] == expected.sets == 10
    # One trial: there is no error over trials to stand behind it.
    assert row_of_table["mean utility"] == f"{100 * expected.mean:.1f} %"


# Damage and strangers.


def test_a_damaged_study_hides_no_other(
    read: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = copy_of(read.folder.parent.parent, tmp_path / "copy")
    monkeypatch.setenv("RAMBO_HOME", str(root))
    study_run = make_study(root, seed=9)
    for name in ("run.sqlite-wal", "run.sqlite-shm"):
        (study_run.folder / name).unlink(missing_ok=True)
    (study_run.folder / "run.sqlite").write_bytes(b"not a database at all" * 300)
    app = open_page(PAGE)
    assert_calm(app)
    assert "unreadable" in page_text(app)
    assert "2 of 2 cells" in page_text(app)
    app = open_study(study_run)
    assert_calm(app)
    assert app.error
    assert app.button(key="study-delete")


@pytest.mark.parametrize("name", ["no-such-study", None, "![x](http://evil.example/p.png)"])
def test_a_record_of_another_study_is_told_calmly(home: Path, name: str | None) -> None:
    data = write_tiny(home)
    from rambo.runs.workspace import environment

    config = describe(page_config()) | ({"study": name} if name else {})
    study_run = records.studies.workspace_of(Workspace(home)).create(
        config, environment(data, "cpu")
    )
    for app in (open_page(PAGE), open_study(study_run)):
        assert_calm(app)
        assert "](http" not in words(app)
    assert app.error
    assert app.button(key="study-delete")


def test_a_damaged_or_deleted_cell_hides_no_other(
    read: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = copy_of(read.folder.parent.parent, tmp_path / "copy")
    monkeypatch.setenv("RAMBO_HOME", str(root))
    first, second = (root / run.id for run in study.runs(read).values())
    for name in ("run.sqlite-wal", "run.sqlite-shm"):
        (first / name).unlink(missing_ok=True)
    (first / "run.sqlite").write_bytes(b"no database" * 300)
    app = open_study(read)
    assert_calm(app)
    assert app.dataframe[0].value["cell"].tolist() == ["20 % of the labels wrong"] * 3
    Workspace(root).delete(Run(second))
    app = open_study(read)
    assert_calm(app)
    assert "No results yet" in page_text(app)


def test_hostile_names_stay_text(home: Path) -> None:
    evil = "<img src=x onerror=alert(1)>![x](javascript:alert) https:evil.example $x^2$"
    write = tiny.prepared.write

    def hostile(*args: Any, **options: Any) -> Any:
        return write(
            *args, **(options | {"classes": [evil, "b", "c", "d"], "origin": "tests:evil"})
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny.prepared, "write", hostile)
        study_run = make_done(
            home, "runtime", dataset={"name": evil}, strategies=["margin", "random"]
        )
    for app in (open_page(PAGE), open_study(study_run)):
        assert_calm(app)
        assert "](javascript" not in words(app)
        assert "<img" not in words(app).replace("\\<", "")
        assert "<img src=x onerror=alert(1)>![x](javascript:alert" in page_text(app)


def test_the_studies_folder_is_no_run_on_the_other_pages(read: Run) -> None:
    app = open_page("app.py")
    assert_calm(app)
    assert read.id not in words(app)
    assert len(Workspace(read.folder.parent.parent).runs()) == 2


def test_a_rerun_of_a_long_study_reads_nothing_again(
    read: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels: list[str] = []
    summary = records.readers.workspaces.summary

    def counted(run: Run) -> Any:
        labels.append(run.id)
        return summary(run)

    monkeypatch.setattr(records.readers.workspaces, "summary", counted)
    app = open_study(read)
    assert len(labels) == len(set(labels)) == 2
    app.run()
    assert_calm(app)
    assert len(labels) == 2
