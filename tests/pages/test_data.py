"""Data: what is there is shown at once, what is not has a way out, and no label is shown that is not bought."""

import base64
import io
import json
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from page_helpers import assert_calm, make_queued, open_page, unescaped, words
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Selectbox, Slider

from rambo.datasets import catalog, prepared
from rambo.datasets.prepared import POOL, TEST, VALIDATION, Prepared
from rambo.errors import DataError, StoreError
from rambo.runs.workspace import Run
from rambo.ui import library, readers
from rambo.ui.data import upload

PAGE = "pages/data.py"
HOSTILE = ("![](http://evil/x.png)", "<img src=x onerror=alert(1)>", "[a](javascript:alert(1))")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked to be prepared; nothing is started, and nothing is there."""
    names: list[str] = []
    monkeypatch.setattr(library.Preparations, "begin", lambda self, name: names.append(name))
    return names


def component(app: AppTest, place: int = 0) -> dict:
    """Return what the gallery at `place` was sent."""
    return json.loads(_payloads(app, "rambo_gallery")[place])


def _payloads(app: AppTest, name: str) -> list[str]:
    nodes = [node.proto for node in app.get("bidi_component")]
    return [proto.json for proto in nodes if name in proto.component_name]


def page_text(app: AppTest) -> str:
    """Return the text of the page, as a person reads it."""
    return unescaped(words(app))


def strange(workspace: Path, classes: tuple[str, ...] = HOSTILE, *, split: bool = False) -> Path:
    """Write an `.npz` file and return its path; the tests name its classes afterwards."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 255, (90, 28, 28), dtype=np.uint8)
    labels = np.tile(np.arange(len(classes)), 30)
    path = workspace.parent / "pets.npz"
    if split:
        np.savez(path, train_images=images[:60], train_labels=labels[:60],
                 test_images=images[60:], test_labels=labels[60:])  # fmt: skip
    else:
        np.savez(path, images=images, labels=labels)
    return path


def hostile_set(workspace: Path) -> Prepared:
    """Write a prepared dataset all of whose texts are hostile, under the name `mnist`."""
    labels = np.tile(np.arange(3), 40).astype(np.int64)
    return prepared.write(
        workspace,
        name=HOSTILE[0],
        images=np.zeros((120, 1, 28, 28), np.uint8),
        labels=labels,
        roles=np.repeat([POOL, VALIDATION, TEST], [60, 30, 30]).astype(np.uint8),
        classes=HOSTILE,
        mean=[0.1],
        std=[0.1],
        source=HOSTILE[1],
        licence=HOSTILE[2],
        origin=f"mnist/{catalog.RECIPE}",
    )


def test_the_shipped_images_are_there_at_once(home: Path) -> None:
    app = open_page(PAGE)
    assert_calm(app)
    text = page_text(app)
    assert "10,000 images of 28 x 28 pixels, grey, in 10 classes" in text
    assert "8,000 to choose from, 1,000 validation, 1,000 test" in text
    assert "MIT, Zalando SE 2017" in text
    assert "RAMBO does not know them" in text
    assert "7,800" in text
    assert [b.label for b in app.button if b.proto.type == "primary"] == ["Use this dataset"]
    payload = component(app)
    assert [row["label"] for row in payload["rows"]] == list(
        catalog.CATALOG[library.SHIPPED].classes
    )
    data = library.open_named(library.SHIPPED)
    assert data is not None
    for label, row in enumerate(payload["rows"]):
        ids = np.array(row["ids"])
        assert len(set(row["ids"])) == 10
        assert (data.labels[ids] == label).all()
        assert (data.roles[ids] == POOL).all()


def test_other_images_are_other_ones_and_the_address_brings_them_back(home: Path) -> None:
    app = open_page(PAGE)
    first = component(app)
    (button,) = [button for button in app.button if button.label == "Other images"]
    button.click().run()
    assert_calm(app)
    second = component(app)
    assert first["rows"][0]["ids"] != second["rows"][0]["ids"]
    again = open_page(PAGE, other="1")
    assert component(again)["rows"] == second["rows"]
    assert component(open_page(PAGE))["rows"] == first["rows"]


def test_a_class_is_shown_alone_and_one_of_its_images_opens(home: Path) -> None:
    app = open_page(PAGE)
    (box,) = [box for box in app.main.selectbox if box.label == "Class"]
    box.select_index(2).run()
    assert_calm(app)
    data = library.open_named(library.SHIPPED)
    assert data is not None
    ids = component(app)["cells"]["ids"]
    assert len(ids) == 96
    assert (data.labels[ids] == 1).all()
    assert app.query_params["label"] in ("1", ["1"])
    app.session_state["data-class"] = {"selected": [], "opened": ids[5]}
    app.run()
    assert_calm(app)
    text = page_text(app)
    assert f"Image {ids[5]:,} of the dataset · 28 x 28 pixels, shown 14 times as large" in text
    assert "**Trouser**" in text


@pytest.mark.parametrize("typed", ["10", "-1", "x", "1e1", "999999999999", "\uff11", " 1", "1\n"])
def test_a_filter_that_makes_no_sense_is_no_filter(typed: str, home: Path) -> None:
    app = open_page(PAGE, label=typed, other="-3", pool=typed)
    assert_calm(app)
    assert "rows" in component(app), "all classes are shown"


def test_the_cut_follows_k_and_says_what_does_not_fit(home: Path) -> None:
    app = open_page(PAGE)
    (box,) = [box for box in app.number_input if box.label.startswith("k,")]
    box.set_value(500).run()
    assert_calm(app)
    figures = {metric.label: metric.value for metric in app.metric}
    assert figures == {
        "Labeled S_0": "500",
        "Unlabeled U_0": "7,500",
        "Validation": "1,000",
        "Test": "1,000",
    }
    box.set_value(8000).run()
    assert_calm(app)
    assert not app.metric
    assert "use at most 7999" in unescaped(app.warning[0].value)


def test_using_a_dataset_leads_to_configure(home: Path) -> None:
    app = open_page(PAGE)
    (button,) = [button for button in app.button if button.label == "Use this dataset"]
    button.click().run()
    assert_calm(app)
    assert library.SHIPPED in str(app.query_params["dataset"])


def test_a_dataset_that_is_not_here_says_how_to_get_it(home: Path, offline: list[str]) -> None:
    app = open_page(PAGE, dataset="cifar10")
    assert_calm(app)
    assert offline == [], "looking starts no download"
    text = page_text(app)
    assert "not ready on this machine yet" in text
    assert "about 170 MB, needs the internet" in text
    assert "`data_batch_1`" in text
    assert "`RAMBO_DATA`" in text
    (button,) = [button for button in app.button if button.label == "Get it"]
    button.click().run()
    assert_calm(app)
    assert offline == ["cifar10"]


def test_a_failed_download_says_why_and_may_be_tried_again(home: Path, offline: list[str]) -> None:
    name = "mnist"
    library._preparations()._failed[name] = f"cannot be downloaded {HOSTILE[0]}; put the files into"
    app = open_page(PAGE, dataset=name)
    assert_calm(app)
    assert "put the files into" in app.error[0].value
    assert "![](" not in app.error[0].value
    (button,) = [button for button in app.button if button.label == "Try again"]
    button.click().run()
    assert_calm(app)
    assert offline == [name]
    assert "Get it" in [button.label for button in app.button]


def test_preparing_has_a_live_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preparing = library.DatasetState("preparing")
    monkeypatch.setattr(library.Preparations, "standing", lambda self, name: preparing)
    app = open_page(PAGE, dataset="svhn")
    assert_calm(app)
    assert "Preparing for 0 s" in page_text(app)
    assert "You may leave this page" in page_text(app)


def test_hostile_texts_of_a_dataset_are_shown_as_they_are(home: Path) -> None:
    hostile_set(home)
    app = open_page(PAGE, dataset="mnist")
    assert_calm(app)
    raw = "\n".join(str(e.value) for kind in ("markdown", "caption") for e in app.main.get(kind))
    for text in HOSTILE:
        assert text in unescaped(raw)
        assert text not in raw
    assert [row["label"] for row in component(app)["rows"]] == list(HOSTILE), "text nodes: exact"
    chart, *_ = _payloads(app, "rambo_plot")
    names = json.loads(json.loads(chart)["figure"])["layout"]["yaxis"]["ticktext"]
    assert names[1].startswith("&lt;img")
    app.query_params["label"] = "0"
    app.run()
    ids = component(app)["cells"]["ids"]
    app.session_state["data-class"] = {"selected": [], "opened": ids[0]}
    app.run()
    assert_calm(app)
    assert not any("![" in element.value for element in app.markdown)


# The pools of a run.


def test_a_run_brings_its_own_images_and_pools(done: Run) -> None:
    app = open_page(PAGE, done.id)
    assert_calm(app)
    atlas, data = readers.arrays(done, "trial-0/atlas"), readers.dataset(done)
    sizes = [int((atlas["pool"] == code).sum()) for code in (0, 1, 2)]
    assert sizes == [24, 76, 60]
    cells = component(app)["cells"]
    assert set(cells["ids"]) == set(atlas["indices"][atlas["pool"] == 0].tolist())
    for index, caption in zip(cells["ids"], cells["captions"], strict=True):
        assert caption == f"image {index}\n{data.classes[data.labels[index]]}"
    assert "Pools of the first trial" in page_text(app)
    (button,) = [button for button in app.button if button.label == "Use this dataset"]
    button.click().run()
    assert app.query_params["dataset"] in ("tiny", ["tiny"])


def test_labels_of_the_unlabeled_pool_are_not_shown(done: Run) -> None:
    app = open_page(PAGE, done.id, pool="unlabeled")
    assert_calm(app)
    cells = component(app)["cells"]
    assert len(cells["ids"]) == 76
    assert cells["captions"] == [f"image {index}" for index in cells["ids"]]
    assert not {"badges", "groups"} & set(cells)
    app.session_state["data-pool-unlabeled"] = {"selected": [], "opened": cells["ids"][0]}
    app.run()
    assert_calm(app)
    assert "Its label is not bought, so it is not shown." in page_text(app)


def test_a_run_that_has_not_begun_says_when_its_pools_show(home: Path) -> None:
    run = make_queued(home)
    app = open_page(PAGE, run.id)
    assert_calm(app)
    assert "The pools show here once" in page_text(app)
    assert "100 to choose from, 60 validation, 40 test" in page_text(app)


def test_a_run_whose_images_are_gone_says_so_and_another_set_can_be_chosen(home: Path) -> None:
    run = make_queued(home)
    data = readers.open_dataset(run.environment.dataset.fingerprint)
    (data.folder / "images.npy").unlink()  # this server still holds it open
    app = open_page(PAGE, run.id)
    assert_calm(app)
    assert app.error
    (box,) = [box for box in app.main.selectbox if box.label == "Dataset"]
    box.set_value(library.SHIPPED).run()
    assert_calm(app)
    assert not app.error
    assert "8,000 to choose from" in page_text(app)


# Files of one's own.


def test_a_typed_path_is_read_on_demand(home: Path, offline: list[str]) -> None:
    path = strange(home, split=True)
    app = open_page(PAGE, dataset=str(path))
    assert_calm(app)
    assert offline == [], "a link alone reads nothing"
    (button,) = [button for button in app.button if button.label == "Read it"]
    button.click().run()
    assert offline == [str(path)]
    catalog.prepare(str(path), home)
    app.run()
    assert_calm(app)
    assert "60 to choose from, 30 test" in page_text(app)


def test_the_size_of_a_validation_set_that_is_drawn_can_be_tried(home: Path) -> None:
    path = strange(home, split=True)
    catalog.prepare(str(path), home)
    app = read_it(open_page(PAGE, dataset=str(path)))
    boxes = {box.label: box for box in app.number_input}
    boxes["Validation images"].set_value(12)
    boxes["k, labels to begin with"].set_value(10).run()
    assert_calm(app)
    figures = {metric.label: metric.value for metric in app.metric}
    assert figures["Unlabeled U_0"] == "38"
    assert "each trial draws 12 of its 60 images" in page_text(app)


def read_it(app: AppTest) -> AppTest:
    """Press the button without which a file that only stands in the address is not looked at."""
    (button,) = [button for button in app.button if button.label == "Read it"]
    return button.click().run()


def test_a_file_that_is_not_there_is_told_once_it_is_asked_for(
    home: Path, offline: list[str]
) -> None:
    app = open_page(PAGE, dataset="nothing.npz")
    assert not app.warning, "whether a file is there is not told to an address"
    app = read_it(app)
    assert_calm(app)
    assert "There is no .npz file" in unescaped(app.warning[0].value)
    assert offline == []


@pytest.mark.parametrize(
    "typed",
    [
        "/srv/private/cats.npz",
        "../../cats.npz",
        "../../etc/passwd",
        "a" * 5000,
        "x\x00y.npz",
        HOSTILE[0],
        "~nobody/x",
        "/proc/self/mem",
    ],
)
def test_a_path_to_nothing_says_so(typed: str, home: Path, offline: list[str]) -> None:
    app = open_page(PAGE, dataset=typed)
    assert_calm(app)
    assert "There is no .npz file" in unescaped(app.warning[0].value)
    assert "![](" not in app.warning[0].value
    assert offline == []


def test_no_path_yet_says_what_to_do(home: Path) -> None:
    app = open_page(PAGE, dataset=":own")
    assert_calm(app)
    assert "Type the path of a file, or send one" in page_text(app)


def test_an_upload_is_kept_whole_under_its_name(home: Path) -> None:
    data = strange(home).read_bytes()
    first = upload.keep_upload(io.BytesIO(data), "../../<b>Pets (2).npz", home)
    again = upload.keep_upload(io.BytesIO(data), "../../<b>Pets (2).npz", home)
    assert first == again
    assert first == home / "uploads" / "b-pets-2.npz"
    assert first.read_bytes() == data
    assert list((home / "uploads").iterdir()) == [first]
    other = upload.keep_upload(io.BytesIO(data + b"."), "../../<b>Pets (2).npz", home)
    assert other == home / "uploads" / "b-pets-2-2.npz", "another file of that name"
    assert first.read_bytes() == data


def test_an_upload_that_ends_badly_leaves_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="the disk is full"):
        upload.keep_upload(Broken(), "a.npz", home)
    monkeypatch.setattr(upload, "LIMIT_MB", 1)
    with pytest.raises(DataError, match="larger than 1 MB"):
        upload.keep_upload(io.BytesIO(bytes(2 << 20)), "a.npz", home)
    assert [path for path in (home / "uploads").rglob("*") if path.is_file()] == []


def test_an_upload_on_the_page_is_prepared(home: Path, offline: list[str]) -> None:
    app = open_page(PAGE, dataset=":own")
    app.file_uploader("data-upload").upload(
        "pets.npz", strange(home).read_bytes(), "application/zip"
    )
    app.run()
    assert_calm(app)
    (file,) = (home / "uploads").rglob("pets.npz")
    assert offline == [str(file)]
    assert app.text_input("data-path").value == str(file)


def _npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=True, **arrays)
    return buffer.getvalue()


def _bomb() -> bytes:
    """Return a small file that claims to hold 9 GB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", b"x")
        archive.writestr("labels.npy", b"x")
        archive.getinfo("images.npy").file_size = 3_999_999_999
        archive.getinfo("labels.npy").file_size = 4_200_000_000
    return buffer.getvalue()


HOSTILE_FILES = {
    "pickled objects": (_npz(images=np.array([object]), labels=np.array([1])), "Python objects"),
    "truncated": (
        _npz(images=np.zeros((90, 8, 8), np.uint8), labels=np.arange(90))[:-400],
        "again",
    ),
    "a zip bomb": (_bomb(), "8.2 GB unpacked"),
    "no zip at all": (b"hello", "again"),
    "empty": (b"", "again"),
}


@pytest.mark.parametrize("kind", HOSTILE_FILES)
def test_a_hostile_file_is_refused_with_the_reason(
    kind: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, reason = HOSTILE_FILES[kind]
    path = upload.keep_upload(io.BytesIO(data), "bad.npz", home)
    with pytest.raises(DataError, match=reason) as refused:
        catalog.prepare(str(path), home)
    assert not list(home.glob("datasets/*"))
    library._preparations()._failed[str(path)] = str(refused.value)
    app = open_page(PAGE, dataset=str(path))
    assert_calm(app)
    assert reason in unescaped(app.error[0].value)
    assert "Use this dataset" not in [button.label for button in app.button]


def test_a_real_child_refuses_and_the_page_tells_it(home: Path) -> None:
    path = upload.keep_upload(io.BytesIO(HOSTILE_FILES["pickled objects"][0]), "bad.npz", home)
    library.retry(str(path))
    limit = time.monotonic() + 90
    while library.standing(str(path)).state == "preparing":
        assert time.monotonic() < limit
        time.sleep(0.2)
    app = open_page(PAGE, dataset=str(path))
    assert_calm(app)
    assert "save images as uint8" in unescaped(app.error[0].value)


# Wrong labels and rare classes.


def chart(app: AppTest, place: int = 1) -> dict:
    """Return the figure at `place` of the page."""
    return json.loads(json.loads(_payloads(app, "rambo_plot")[place])["figure"])


def numbers(payload: dict) -> np.ndarray:
    """Return an array of a figure."""
    return np.frombuffer(base64.b64decode(payload["bdata"]), payload["dtype"])


def misread(app: AppTest) -> list[dict]:
    """Return the rows of images that an oracle reads wrong, or none."""
    payloads = [json.loads(text) for text in _payloads(app, "rambo_gallery")]
    return [row for one in payloads if one["kind"] == "rows" for row in one["rows"]
            if " read as " in row["label"]]  # fmt: skip


def noise_slider(app: AppTest) -> Slider:
    (slider,) = [s for s in app.slider if s.label == "Labels the oracle gets wrong"]
    return slider


def imbalance_box(app: AppTest) -> Selectbox:
    (box,) = [box for box in app.main.selectbox if box.label == "Rare classes"]
    return box


def test_clean_data_has_nothing_to_show_but_how_to_try(home: Path) -> None:
    app = open_page(PAGE)
    assert "No label is wrong." in page_text(app)
    assert "Of 8,000 images to choose from 8,000 stay." in page_text(app)
    right, wrong, before = chart(app)["data"]
    assert numbers(right["x"]).tolist() == numbers(before["x"]).tolist() == [800] * 10
    assert not numbers(wrong["x"]).any()
    assert misread(app) == []


def test_noise_shows_which_images_are_read_as_what(home: Path) -> None:
    app = open_page(PAGE)
    noise_slider(app).set_value(20).run()
    assert_calm(app)
    assert "The oracle gets 1 in 5 wrong: 1,600 labels." in page_text(app)
    right, wrong, _ = chart(app)["data"]
    assert numbers(right["x"]).sum() == 6400
    assert numbers(wrong["x"]).sum() == 1600
    lines = misread(app)
    assert len(lines) == 12
    data = library.open_named(library.SHIPPED)
    assert data is not None
    for line in lines:
        (index,) = line["ids"]
        true, mislabel = line["label"].split(" read as ")
        assert true == data.classes[data.labels[index]]
        assert mislabel in data.classes
        assert mislabel != true
        assert data.roles[index] == POOL
    app.button(key="data-redraw").click().run()
    assert_calm(app)
    assert misread(app) != lines


def test_imbalance_shows_the_classes_that_shrink(home: Path) -> None:
    app = open_page(PAGE)
    imbalance_box(app).set_value("glister").run()
    assert_calm(app)
    right, _, before = chart(app)["data"]
    assert sorted(numbers(right["x"]).tolist()) == [80] * 3 + [800] * 7
    assert numbers(before["x"]).tolist() == [800] * 10
    assert (
        "8,000 images to choose from 5,840 stay, 2,160 of rare classes are left out"
        in page_text(app)
    )


def test_what_was_tried_is_carried_into_the_form(home: Path) -> None:
    app = open_page(PAGE)
    noise_slider(app).set_value(35)
    imbalance_box(app).set_value("paper").run()
    app.button(key="data-use").click().run()
    assert_calm(app)
    assert library.SHIPPED in str(app.query_params["dataset"])
    values = app.session_state["configure-draft"].values
    assert values["dataset.name"] == library.SHIPPED
    assert values["dataset.corruption.label_noise"] == 0.35
    assert values["dataset.corruption.imbalance"] == "paper"
    assert values["k"] == 200, "the rest stays"
    app.switch_page("pages/configure.py").run()
    assert_calm(app)
    assert "Changed from" in page_text(app)


def test_hostile_classes_are_read_as_text(home: Path) -> None:
    hostile_set(home)
    app = open_page(PAGE, dataset="mnist")
    noise_slider(app).set_value(50).run()
    assert_calm(app)
    assert len(misread(app)) == 12
    for line in misread(app):
        true, mislabel = line["label"].split(" read as ")
        assert {true, mislabel} <= set(HOSTILE), "text nodes: exact"
    assert not any("![" in element.value for element in app.markdown)
    assert chart(app)["layout"]["yaxis"]["ticktext"][1].startswith("&lt;img")


def test_a_dataset_that_is_not_here_has_no_pool_to_spoil(home: Path, offline: list[str]) -> None:
    app = open_page(PAGE, dataset="cifar10")
    assert_calm(app)
    assert not app.slider
    assert "Wrong labels" not in page_text(app)


def test_a_run_with_an_oracle_that_errs_says_so(home: Path) -> None:
    corrupt = {"label_noise": 0.2, "imbalance": "glister"}
    run = make_queued(home, dataset={"corruption": corrupt})
    arrays = {"pool": np.repeat([0, 1], [24, 53]), "indices": np.arange(77)}
    run.save_arrays("trial-0/atlas", arrays)
    app = open_page(PAGE, run.id)
    assert_calm(app)
    assert (
        "of the labels it tells it gets 1 in 5 wrong. The classes shown here are the true"
        in page_text(app)
    )
    assert noise_slider(app).value == 20
    assert imbalance_box(app).value == "glister"
    figures = {metric.label: metric.value for metric in app.metric}
    assert figures["Unlabeled U_0"] == "53"
    assert "rare" in page_text(app)


def test_a_run_with_a_clean_oracle_says_nothing_of_errors(done: Run) -> None:
    assert "The oracle of this run errs" not in page_text(open_page(PAGE, done.id))
