"""Own images on the page Data: each state says what it is and what to do, and no label is invented."""

import fcntl
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from page_helpers import assert_calm, open_page, unescaped, words
from PIL import Image
from streamlit.testing.v1 import AppTest

from rambo.collection import collection as own
from rambo.collection.collection import Collection
from rambo.collection.importing import ImportOptions, import_images
from rambo.collection.records import ImportProgress
from rambo.datasets import catalog
from rambo.errors import DataError
from rambo.runs import imports, jobs
from rambo.runs.imports import ImportRequest
from rambo.runs.workspace import Run
from rambo.ui import collections, visitor
from rambo.ui.data import rehearsing, upload

PAGE = "pages/data.py"


def picture(number: int, path: Path) -> None:
    """Write a smooth picture that is unlike that of any other number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    low = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(low).resize((24, 20), Image.Resampling.BICUBIC).save(path)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one collection: 24 labels of two classes, 10 images without one, a copy, a broken file."""
    folder = tmp_path_factory.mktemp("own")
    photos = folder / "photos"
    for place in range(34):
        name = "unlabeled" if place >= 24 else ("cat", "<b>dog</b>")[place % 2].replace("/", "_")
        picture(place, photos / name / f"{place}.png")
    shutil.copy(photos / "unlabeled" / "30.png", photos / "unlabeled" / "copy of 30.png")
    (photos / "cat" / "broken.png").write_bytes(b"no image")
    import_images(folder / "runs", photos, ImportOptions(name="My Pets", jobs=1))
    return folder


@pytest.fixture
def pets(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Collection:
    """The collection, in a workspace of its own that the pages use."""
    root = tmp_path / "runs"
    shutil.copytree(template / "runs", root)
    monkeypatch.setenv("RAMBO_HOME", str(root))
    return own.find(root, "my-pets")


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[ImportRequest]:
    """What was asked to be imported; nothing is started."""
    requests: list[ImportRequest] = []
    monkeypatch.setattr(imports, "begin", lambda root, request: requests.append(request))
    return requests


@pytest.fixture
def working(home: Path) -> Iterator[Path]:
    """The folder of an import at work."""
    folder = request_file(home)
    with (folder / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def request_file(root: Path, slug: str = "my-pets") -> Path:
    """Write what an import leaves that a person asked for."""
    folder = root / "imports" / slug
    folder.mkdir(parents=True)
    request = {"name": "My Pets", "sources": ["/somewhere/photos"]}
    (folder / "request.json").write_text(json.dumps(request))
    return folder


def page_text(app: AppTest) -> str:
    """Return the text of the page, as a person reads it."""
    return unescaped(words(app))


def press(app: AppTest, key: str) -> AppTest:
    """Press a button by its key."""
    app.button(key).click().run()
    assert_calm(app)
    return app


def gallery(app: AppTest, place: int = 0) -> dict:
    """Return what the gallery at `place` was sent."""
    cells = [
        node.proto.json
        for node in app.get("bidi_component")
        if "gallery" in node.proto.component_name
    ]
    return json.loads(cells[place])


def metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


# --- nothing there yet, and the ways in ---


def test_home_leads_to_the_ways_in_and_has_no_empty_list(home: Path) -> None:
    app = open_page("app.py")
    assert_calm(app)
    assert "Use my images" in [button.label for button in app.button]
    assert "My images" not in [title.value for title in app.header]


def test_without_a_path_nothing_starts_and_the_page_says_what_is_missing(
    home: Path, begun: list[ImportRequest]
) -> None:
    app = press(open_page(PAGE, dataset=":new"), "ways-in-new-start")
    assert "type the path of a folder or file" in unescaped(app.error[0].value)
    assert begun == []
    assert not home.exists()


def test_a_folder_is_named_with_what_a_person_says_of_it(
    home: Path, begun: list[ImportRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(home.parent))
    (home.parent / "holiday photos").mkdir()
    app = open_page(PAGE, dataset=":new")
    app.text_input("ways-in-new-path").set_value("~/holiday photos").run()
    assert begun == []  # nothing is looked at before the button
    app.text_input("ways-in-new-group").set_value("folder")
    app.number_input("ways-in-new-size").set_value(48)
    app.selectbox("ways-in-new-fit").set_value("crop")
    app.toggle("ways-in-new-own-share").set_value(True).run()
    app.slider("ways-in-new-share").set_value(35)
    press(app, "ways-in-new-start")
    folder = str(Path("~/holiday photos").expanduser())
    assert begun == [
        ImportRequest(
            "holiday photos", (folder,), validation=0.35, group="folder", size=48, fit="crop"
        )
    ]
    assert app.query_params["collection"] in ("holiday-photos", ["holiday-photos"])
    assert "dataset" not in app.query_params


@pytest.mark.parametrize("setting", [("RAMBO_SHARE", "lan"), ("RAMBO_FOLDERS", "")])
def test_a_server_without_open_folders_asks_for_files(
    home: Path, monkeypatch: pytest.MonkeyPatch, setting: tuple[str, str]
) -> None:
    monkeypatch.delenv("RAMBO_FOLDERS")
    monkeypatch.setenv(*setting)
    monkeypatch.setattr(visitor, "role", lambda: "editor")
    app = open_page(PAGE, dataset=":new")
    assert_calm(app)
    assert not [box for box in app.text_input if "Path" in box.label]
    assert app.file_uploader("ways-in-new-files") is not None


@pytest.mark.parametrize("field", ["path", "labels", "test"])
@pytest.mark.parametrize("typed", ["/etc", "~root", "../..", "link", "not there"])
def test_an_import_reads_open_folders_only_and_says_no_more_of_others(
    home: Path,
    begun: list[ImportRequest],
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    field: str,
) -> None:
    opened = home.parent / "open"
    opened.mkdir()
    (opened / "link").symlink_to("/etc")
    monkeypatch.chdir(opened)
    monkeypatch.setenv("RAMBO_FOLDERS", str(opened))
    app = open_page(PAGE, dataset=":new")
    app.text_input("ways-in-new-path").set_value(str(opened))
    app.text_input(f"ways-in-new-{field}").set_value(typed).run()
    press(app, "ways-in-new-start")
    assert "is nothing in a folder that this app may read" in unescaped(app.error[0].value)
    assert begun == []


def test_files_are_sent_with_a_table_of_labels(home: Path, begun: list[ImportRequest]) -> None:
    app = open_page(PAGE, dataset=":new")
    app.segmented_control("ways-in-new-way").set_value("Files I send from my computer").run()
    cells = [
        ("a.png", b"1", "image/png"),
        ("b.png", b"2", "image/png"),
        ("l.csv", b"f,l", "text/csv"),
    ]
    for file in cells:
        app.file_uploader("ways-in-new-files").upload(*file)
    app.text_input("ways-in-new-name").set_value("Sent").run()
    press(app, "ways-in-new-start")
    (request,) = begun
    assert request.name == "Sent"
    assert Path(request.labels).read_bytes() == b"f,l"
    assert Path(request.sources[0]).suffix == ".zip"
    assert Path(request.sources[0]).is_relative_to(home.absolute() / "uploads")


class File(io.BytesIO):
    """A file as the uploader gives it."""

    def __init__(self, name: str, data: bytes) -> None:
        super().__init__(data)
        self.name = name


def test_what_is_sent_is_sorted_by_its_kind(tmp_path: Path) -> None:
    alone = upload.keep_all([File("tasks.json", b"[]")], tmp_path)
    assert [Path(path).name for path in alone.sources] == ["tasks.json"]
    assert alone.labels == ""
    with pytest.raises(DataError, match=r"notes.doc.*of a kind that is not read"):
        upload.keep_all([File("notes.doc", b"")], tmp_path)
    with pytest.raises(DataError, match="2 tables of labels"):
        upload.keep_all([File("a.csv", b"1"), File("b.csv", b"2"), File("c.zip", b"3")], tmp_path)
    one = upload.keep_all([File("b.png", b"2"), File("a.png", b"1")], tmp_path)
    assert one == upload.keep_all([File("a.png", b"1"), File("b.png", b"2")], tmp_path)


def test_a_name_that_is_taken_is_refused(pets: Collection, begun: list[ImportRequest]) -> None:
    app = open_page(PAGE, dataset=":new")
    app.text_input("ways-in-new-path").set_value(str(Path.cwd()))
    app.text_input("ways-in-new-name").set_value("my pets").run()
    press(app, "ways-in-new-start")
    assert "there is a collection My Pets already" in unescaped(app.error[0].value)
    assert begun == []


# --- on its way ---


def test_an_import_at_work_shows_how_far_it_is_and_can_be_stopped(
    working: Path, home: Path, template: Path
) -> None:
    app = open_page(PAGE, collection="my-pets")
    assert_calm(app)
    assert app.get("progress")[0].proto.text == "Looking at what is there"
    assert [option for option in app.selectbox("data-choice").options if "Pets" in option]
    shutil.copytree(template / "runs" / "collections", home / "collections")
    pets = own.find(home, "my-pets")
    with pets.alone():
        pets.write_progress(ImportProgress("running", 300, 600, 290, 42.0, ""))
        app = open_page(PAGE, collection="my-pets")
        bar = app.get("progress")[0].proto
        assert (bar.value, bar.text) == (50, "300 of 600 files read, 42 s left")
        press(app, "import-stop")
    assert pets.stop_requested()
    assert (working / "stopped").exists()


def test_a_stopped_import_goes_on_from_the_page(home: Path, begun: list[ImportRequest]) -> None:
    (request_file(home) / "stopped").touch()
    app = open_page(PAGE, collection="my-pets")
    assert "The import was stopped" in page_text(app)
    press(app, "import-again")
    assert [request.sources for request in begun] == [("/somewhere/photos",)]


def test_a_failed_import_says_why_in_one_line_and_is_changed_or_left(home: Path) -> None:
    answer = {"error": DataError("folder /somewhere/photos: nothing is there").to_json()}
    (request_file(home) / "answer.json").write_text(json.dumps(answer))
    app = open_page(PAGE, collection="my-pets")
    assert_calm(app)
    assert unescaped(app.error[0].value) == "folder photos: nothing is there"
    assert app.text_input("ways-in-new-path").value == "/somewhere/photos"
    assert app.text_input("ways-in-new-name").value == "My Pets"
    press(app, "import-forget")
    assert imports.standing(home, "my-pets").state == "none"
    assert "Name a folder of pictures" in page_text(app)


def test_a_failed_second_import_leaves_the_collection_as_it_was(pets: Collection) -> None:
    answer = {"error": DataError("file more.zip: it is damaged").to_json()}
    (request_file(pets.folder.parents[1]) / "answer.json").write_text(json.dumps(answer))
    app = open_page(PAGE, collection="my-pets")
    assert "it is damaged" in unescaped(app.error[0].value)
    assert "The collection is as it was" in page_text(app)
    assert metrics(app)["Unlabeled"] == "10"


def test_a_damaged_collection_says_so_and_can_be_deleted(pets: Collection) -> None:
    for path in pets.folder.glob("collection.sqlite*"):
        path.unlink()
    (pets.folder / "collection.sqlite").write_bytes(b"not a database" * 500)
    app = open_page(PAGE, collection="my-pets")
    assert_calm(app)
    assert "the record is damaged" in unescaped(app.error[0].value)
    press(app, "collection-delete")
    assert pets.folder.exists(), "it asks first"
    app.button("collection-delete").click()  # AppTest draws the whole page, which shuts the dialog
    press(app, "collection-delete-confirmed")
    assert not pets.folder.exists()


@pytest.mark.parametrize("typed", ["nothing", "../../etc", "<b>x", "a" * 3000, "%00"])
def test_an_address_of_no_collection_says_so(typed: str, home: Path) -> None:
    app = open_page(PAGE, collection=typed)
    assert_calm(app)
    text = " ".join(warning.value for warning in app.warning)
    assert "There is no collection" in text or "There is no .npz file" in text


# --- there ---


def test_the_page_of_a_collection_counts_what_is_known_and_names_what_is_not(
    pets: Collection,
) -> None:
    app = open_page(PAGE, collection="my-pets")
    assert_calm(app)
    assert metrics(app) == {"Labeled": "20", "Validation": "4", "Test": "0", "Unlabeled": "10"}
    text = page_text(app)
    assert "34 images, 2 classes, version 1" in text
    assert pets.frame.sentence() in text
    table = app.dataframe[0].value
    assert table["class"].tolist() == ["<b>dog<_b>", "cat"]
    assert table["labeled"].tolist() == [10, 10]
    assert "test" not in table
    assert "broken.png" in text
    assert "1 exact copy" in text
    assert app.selectbox("data-choice").value == "collection:my-pets"
    assert "My Pets" in app.selectbox("data-choice").options


def test_a_line_of_the_report_shows_the_images_it_speaks_of(pets: Collection) -> None:
    opened = collections.open_newest(pets)
    lines = [line for line in opened.health if line.topic != "counts"]
    place = next(i for i, line in enumerate(lines) if "exact cop" in line.sentence)
    app = open_page(PAGE, collection="my-pets")
    before = len(app.get("bidi_component"))
    app.session_state[f"health-open-1-{place}"] = True
    app.run()
    assert_calm(app)
    assert len(app.get("bidi_component")) == before + 1
    (row,) = gallery(app, 0)["cells"]["ids"]
    assert opened.now.files[row].endswith("30.png")


def test_a_role_and_a_class_are_looked_at_alone_and_stand_in_the_address(pets: Collection) -> None:
    app = open_page(PAGE, collection="my-pets", pool="labeled", label="1")
    now = pets.snapshot()
    ids = gallery(app)["cells"]["ids"]
    assert len(ids) == 10
    assert {now.classes[now.labels[row]] for row in ids} == {"cat"}
    app.selectbox("own-role-my-pets-1").set_value("unlabeled").run()
    assert app.query_params["pool"] in ("unlabeled", ["unlabeled"])


def test_an_opened_image_says_what_is_known_of_it_and_where_from(pets: Collection) -> None:
    now = pets.snapshot()
    row = int(np.flatnonzero(now.labels == now.classes.index("cat"))[0])
    app = open_page(PAGE, collection="my-pets")
    app.session_state["own-images-my-pets"] = {"selected": [], "opened": row}
    app.run()
    assert_calm(app)
    text = page_text(app)
    assert "**cat**" in text
    assert "24 x 20 pixels" in text
    entry_of_image = next(entry for entry in now.entries if entry.image == now.numbers[row])
    assert f"cat from {entry_of_image.origin}" in text


def test_the_share_of_validation_images_makes_a_version_that_can_be_taken_back(
    pets: Collection,
) -> None:
    app = open_page(PAGE, collection="my-pets")
    assert app.button("collection-redraw").disabled
    app.slider("collection-share-my-pets-1").set_value(50).run()
    press(app, "collection-redraw")
    assert metrics(app)["Validation"] == "12"
    assert "version 2" in page_text(app)
    press(app, "undo-2")
    assert metrics(app)["Validation"] == "4"
    assert [version.kind for version in pets.versions()] == ["import", "split", "undo"]
    assert "taken back" in page_text(app)


def test_the_browser_is_sent_the_thumbnails_of_one_page_only(home: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (1500, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "many.npz", images=images, labels=np.arange(1500) % 2)
    import_images(home, tmp_path / "many.npz", ImportOptions(jobs=1))
    app = open_page(PAGE, collection="many")
    assert_calm(app)
    cells = gallery(app)
    assert cells["cells"]["ids"] == list(range(600))
    assert cells["sheetRows"] * cells["columns"] < 600 + cells["columns"]
    app.session_state["own-page-many-None-None"] = 3
    app.run()
    assert gallery(app)["cells"]["ids"] == list(range(1200, 1500))


def test_home_lists_collections_by_name(pets: Collection) -> None:
    app = open_page("app.py")
    assert_calm(app)
    text = page_text(app)
    assert "**My Pets**" in text
    assert "34 images, version 1" in text


def test_a_rehearsal_plays_inside_the_labels_and_opens_its_run(
    pets: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[Run] = []
    monkeypatch.setattr(jobs, "launch", launched.append)
    catalog.prepare("collection:my-pets", pets.folder.parents[1])
    app = open_page(PAGE, collection="my-pets")
    press(app, "collection-rehearse")
    (run,) = launched
    assert run.config["dataset"]["name"] == "rehearsal:collection:my-pets@1"
    assert run.config["k"] + run.config["budget"] <= 20, "only what has a label is played with"
    assert run.config["k"] >= 4, "a seed to learn from, whatever the quick settings would buy"
    assert app.query_params["run"] in (run.id, [run.id])


def test_a_rehearsal_needs_enough_labels(pets: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsing, "_FEWEST", 25)  # there are 24
    app = open_page(PAGE, collection="my-pets")
    assert app.button("collection-rehearse").disabled
    assert "Needs 25 labels" in app.button("collection-rehearse").help
