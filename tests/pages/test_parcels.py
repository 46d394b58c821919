"""A run that comes along or is brought: one click on Home or on a page without a run, and every page shows it."""

import zipfile
from pathlib import Path

import pytest
from page_helpers import assert_calm, open_page, unescaped, words
from streamlit.testing.v1 import AppTest

from rambo.errors import StoreError
from rambo.events import RankingAudited
from rambo.runs import audit, travel
from rambo.runs.record import StoredEvent
from rambo.runs.workspace import Run, Workspace
from rambo.storage import places
from rambo.ui import state

FIXTURE = Path(__file__).parents[1] / "fixtures" / "v0.1"


@pytest.fixture
def workspace(home: Path) -> Workspace:
    return Workspace(home)


@pytest.fixture
def parcel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A packed run, which stands for the one that is shipped."""
    with zipfile.ZipFile(FIXTURE / "workspace.zip") as archive:
        archive.extractall(tmp_path / "old")
    home = Workspace(tmp_path / "old" / "runs")
    (run,) = [run for run in home.runs() if run.status == "done"]
    file = tmp_path / f"{run.id}.zip"
    travel.pack(run, home, file)
    monkeypatch.setattr(places, "finished_run", lambda: file)
    return file


def press(app: AppTest, label: str) -> AppTest:
    (button,) = [button for button in app.button if button.label == label]
    return button.click().run()


@pytest.mark.parametrize("page", ["pages/batch.py", "pages/compare.py"])
def test_a_page_without_a_run_opens_on_the_finished_one(
    parcel: Path, page: str, workspace: Workspace
) -> None:
    app = open_page(page)
    assert_calm(app)
    assert workspace.ids() == [parcel.stem]
    assert app.query_params["run"] == parcel.stem
    assert "The run that comes with RAMBO" in "".join(part.proto.body for part in app.get("html"))
    assert [act.what for act in audit.read(workspace.root)[0]] == ["import"]
    workspace.delete(workspace.find(parcel.stem))
    audit.note(workspace.root, "delete", parcel.stem)
    app = open_page(page)
    assert_calm(app)
    assert workspace.ids() == []  # whoever deletes it does not want it back
    assert "Look at a finished run" in [button.label for button in app.button]


def test_a_page_of_a_workspace_with_runs_brings_nothing(
    parcel: Path, done: Run, workspace: Workspace
) -> None:
    assert_calm(open_page("pages/batch.py"))
    assert Workspace(done.folder.parent).ids() == [done.id]


def test_a_page_that_may_not_write_offers_what_there_is(
    parcel: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **more: object) -> None:
        raise StoreError("the disk is full", field="runs", hint="make room")

    monkeypatch.setattr(travel, "unpack", refuse)
    app = open_page("pages/batch.py")
    assert_calm(app)
    assert "there is none yet" in app.info[0].value


@pytest.mark.parametrize("page", ["app.py", "pages/train.py"])
def test_one_click_opens_the_finished_run(parcel: Path, page: str, workspace: Workspace) -> None:
    app = press(open_page(page), "Look at a finished run")
    assert workspace.ids() == [parcel.stem]
    assert not app.exception
    batch_page = open_page("pages/batch.py", run=parcel.stem)
    assert_calm(batch_page)
    assert "chose **12 images**" in words(batch_page)


@pytest.mark.parametrize("page", ["pages/batch.py", "pages/compare.py"])
def test_a_link_to_the_finished_run_opens_it_where_it_points(
    parcel: Path, page: str, workspace: Workspace
) -> None:
    app = open_page(page, run=parcel.stem)
    assert "there is no such run" in app.error[0].value
    assert workspace.ids() == []  # an address alone brings nothing
    app = press(app, "Look at a finished run")
    assert_calm(app)
    assert not app.error
    assert workspace.ids() == [parcel.stem]
    assert app.title[0].value == state.PAGES[page][0]


def test_a_link_to_any_other_run_offers_nothing(parcel: Path, workspace: Workspace) -> None:
    app = open_page("pages/batch.py", run=f"{parcel.stem}0")
    assert "Look at a finished run" not in [button.label for button in app.button]


def test_a_second_click_unpacks_nothing(parcel: Path, workspace: Workspace) -> None:
    press(open_page("app.py"), "Look at a finished run")
    press(open_page("app.py"), "Look at a finished run")
    assert workspace.ids() == [parcel.stem]


def test_nothing_is_offered_where_none_came_along(
    monkeypatch: pytest.MonkeyPatch, workspace: Workspace
) -> None:
    monkeypatch.setattr(places, "finished_run", lambda: None)
    app = open_page("app.py")
    assert "Look at a finished run" not in [button.label for button in app.button]


def test_a_run_is_brought_and_taken_along(
    parcel: Path, workspace: Workspace, tmp_path: Path
) -> None:
    app = open_page("app.py")
    uploader = app.file_uploader(key="parcel").upload(
        "run.zip", parcel.read_bytes(), "application/zip"
    )
    press(uploader.run(), "Unpack it")
    assert workspace.ids() == [parcel.stem]
    again = tmp_path / "again.zip"
    travel.pack(workspace.find(parcel.stem), workspace, again)
    with zipfile.ZipFile(again) as new, zipfile.ZipFile(parcel) as old:
        assert new.namelist() == old.namelist()
        same = [
            name for name in old.namelist() if not name.startswith(("dataset/meta", "run.json"))
        ]
        assert all(new.read(name) == old.read(name) for name in same)


def test_what_is_no_packed_run_is_refused_in_words(parcel: Path, workspace: Workspace) -> None:
    app = open_page("app.py")
    uploader = app.file_uploader(key="parcel").upload(
        "run.zip", b"PK\x03\x04 not a zip", "application/zip"
    )
    app = press(uploader.run(), "Unpack it")
    assert not app.exception
    assert any("no zip file" in error.value for error in app.error)
    assert workspace.ids() == []


def test_the_shipped_run_says_what_its_rounds_did_and_shows_the_steps_of_rambo_plus(
    workspace: Workspace,
) -> None:
    file = places.finished_run()
    assert file is not None
    run = workspace.find(travel.unpack(file, workspace, ours=True).run)
    audits = [
        [entry.event for entry in run.latest_events() if place(entry) == (trial, "rambo")]
        for trial in range(5)
    ]
    shares = [[e.accuracy for e in own if isinstance(e, RankingAudited)] for own in audits]
    first, last = (round(100 * sum(own[i] for own in shares) / 5) for i in (0, -1))
    text = unescaped(words(open_page("pages/train.py", run=run.id)))
    assert f"After its warm start u_hat put {first} % of the held-out pairs in true order" in text
    assert f"after the rounds on interpolated utilities {last} % (20 pairs in 5 trials" in text
    app = open_page("pages/batch.py", run=run.id, strategy="rambo-plus")
    assert_calm(app)
    assert [tab.label for tab in app.tabs] == ["Images", "Why", "Steps", "Balance", "Export"]
    app.session_state["view"] = "Steps"
    assert "Utility of the chosen batch" in [metric.label for metric in app.run().metric]
    others = open_page("pages/batch.py", run=run.id, strategy="margin")
    assert "Steps" not in [tab.label for tab in others.tabs]


def place(entry: StoredEvent) -> tuple[int | None, str | None]:
    return entry.trial, entry.strategy
