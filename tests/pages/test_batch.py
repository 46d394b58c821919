"""The page Batch in every state, and what it shows against the run's own record."""

import base64
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import page_helpers
import pytest
from page_helpers import assert_calm, make_failed, make_queued, open_page, unescaped, words
from streamlit.testing.v1 import AppTest

from rambo import __main__ as command_line
from rambo import export, lineup
from rambo.datasets import prepared
from rambo.runs import atlas as atlases
from rambo.runs import audit, jobs, notes, whatif
from rambo.runs.atlas import UNLABELED_POOL
from rambo.runs.notes import ImageNote
from rambo.runs.results import BATCHES_TAKEN, LEAD_CHOOSING, LEAD_JUDGING
from rambo.runs.workspace import Run, Workspace
from rambo.storage import places
from rambo.strategies.candidates import RIVALS
from rambo.ui import pictures, takeaway
from rambo.ui.batch import (
    batch_data,
    batch_table,
    chips,
    exports,
    images_view,
    map_view,
    steps_view,
    tagging,
    what_if,
    why_view,
)
from rambo.ui.batch.images_view import View, arrange

PAGE = "pages/batch.py"


@pytest.fixture(autouse=True)
def _no_edits(done_run: Run) -> Iterator[None]:
    """Take back what a test made of the batch of the shared run: it lies on disk."""
    yield
    shutil.rmtree(done_run.folder / "edits", ignore_errors=True)


@pytest.fixture
def copied(done_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A copy of the finished run that a test may break."""
    root = page_helpers.copy_of(done_run.folder.parent, tmp_path / "copy")
    monkeypatch.setenv("RAMBO_HOME", str(root))
    return Workspace(root).find(done_run.id)


def batch_of(run: Run, strategy: str = "rambo", trial: int = 0) -> batch_data.Batch:
    batch = batch_data.load(run, trial, strategy)
    assert batch is not None
    return batch


def components(app: AppTest) -> list[dict[str, Any]]:
    """Return the payloads of our own components on the page."""
    return [
        json.loads(node.proto.json)
        for node in app.get("bidi_component")
        if node.proto.WhichOneof("data") == "json"
    ]


def thumbnails(app: AppTest) -> list[int]:
    """Return the images of the first gallery, in its order."""
    return next(part for part in components(app) if part.get("kind") == "grid")["cells"]["ids"]


def view_of(app: AppTest, name: str) -> AppTest:
    """Open a tab."""
    app.session_state["view"] = name
    app.run()
    assert_calm(app)
    return app


# States


def test_no_run_says_what_to_do(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "finished_run", lambda: None)
    app = open_page(PAGE)
    assert_calm(app)
    assert "Start the demo" in words(app)


def test_a_queued_run_has_chosen_nothing_yet(home: Path) -> None:
    run = make_queued(home)
    app = open_page(PAGE, run.id)
    assert_calm(app)
    assert "chosen nothing yet" in words(app)
    assert [link for link in app.main.get("page_link") if "train" in link.proto.page]


def test_a_failed_run_names_its_reason_and_the_way_out(home: Path) -> None:
    app = open_page(PAGE, make_failed(home).id)
    assert_calm(app)
    text = unescaped(words(app))
    assert "the loss is not finite" in text
    assert "Resume it on Train" in text


def test_while_it_chooses_the_picks_so_far_are_shown(copied: Run) -> None:
    chosen = batch_of(copied).indices.tolist()
    page_helpers.forget_choice(copied, 0, "rambo")
    copied.set_status("running")
    with copied.lock():
        app = open_page(PAGE, copied.id)
        assert_calm(app)
        assert "is choosing: 12 of 12" in words(app)
        assert thumbnails(app) == chosen
        assert "Ready in this trial: Filter only, Margin, Random" in words(app)


def test_a_finished_run_says_what_was_chosen(done: Run) -> None:
    app = open_page(PAGE, done.id)
    assert_calm(app)
    assert "**RAMBO** chose **12 images** of 76 unlabeled ones in 3 greedy steps" in words(app)
    assert thumbnails(app) == batch_of(done).indices.tolist()


@pytest.mark.parametrize("strategy", page_helpers.STRATEGIES)
@pytest.mark.parametrize("trial", [0, 1])
def test_an_address_restores_strategy_and_trial(done: Run, strategy: str, trial: int) -> None:
    app = open_page(PAGE, done.id, strategy=strategy, trial=str(trial))
    assert_calm(app)
    assert thumbnails(app) == batch_of(done, strategy, trial).indices.tolist()


@pytest.mark.parametrize("typed", ["nope", "<script>", "-1", "9" * 400, "\x00"])
def test_a_filter_nobody_could_set_is_ignored(done: Run, typed: str) -> None:
    filters = dict.fromkeys(("strategy", "trial", "step", "sort", "view", "as"), typed)
    app = open_page(PAGE, done.id, **filters)
    assert_calm(app)
    assert thumbnails(app) == batch_of(done).indices.tolist()


def test_picking_a_strategy_writes_it_into_the_address_and_keeps_the_run(done: Run) -> None:
    app = open_page(PAGE, done.id)
    app.button_group(key=f"strategy-{done.id}").select("margin").run()
    assert_calm(app)
    assert app.query_params["strategy"] in ("margin", ["margin"])
    assert done.id in app.query_params["run"]
    assert thumbnails(app) == batch_of(done, "margin").indices.tolist()


@pytest.mark.parametrize("name", ["Images", "Steps", "What if", "Balance", "Export"])
@pytest.mark.parametrize("file", ["atlas", "dataset", "u_hat", "served", "nothing"])
def test_every_tab_is_calm_whatever_is_lost(copied: Run, name: str, file: str) -> None:
    if file == "atlas":
        (copied.folder / "artifacts/trial-0/atlas.safetensors").unlink()
    elif file == "dataset":
        shutil.rmtree(copied.folder.parent / "datasets")
    elif file in ("u_hat", "served"):
        (copied.folder / f"artifacts/trial-0/rambo/{file}.safetensors").write_bytes(b"x" * 99)
    app = open_page(PAGE, copied.id)
    view_of(app, name)
    if file in ("atlas", "dataset"):
        assert app.warning
        assert thumbnails(view_of(app, "Images")) == batch_of(copied).indices.tolist()


def test_a_damaged_choice_is_shown_from_the_record_and_resume_makes_it_again(
    copied: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = batch_of(copied).indices.tolist()
    (copied.folder / "artifacts/trial-0/rambo/selection.parquet").write_bytes(b"no table" * 50)
    app = open_page(PAGE, copied.id)
    assert_calm(app)
    assert "so images and order are the record" in app.warning[0].value
    assert thumbnails(app) == chosen
    launched: list[str] = []
    monkeypatch.setattr(jobs, "launch", lambda run: launched.append(run.id))
    button = app.button(key="batch-repair")
    assert button.label == "Resume: make 1 file again"
    button.click().run()
    assert launched == [copied.id]


# Gallery: order and filter


def reference(batch: batch_data.Batch, view: View) -> list[int]:
    """Return what a view shows, in plain Python."""
    rows = list(zip(batch.indices, batch.steps, batch.margins, batch.guesses, strict=True))
    labels = [
        row
        for row in rows
        if (row[1] == view.up_to if view.only else row[1] <= view.up_to)
        and (not view.guesses or row[3] in view.guesses)
        and (view.margins == (0, 1) or view.margins[0] <= row[2] <= view.margins[1])
        and (view.inside is None or row[0] in view.inside)
    ]
    keys = {"margin": 2, "class guess": 3, "step": 1}
    if view.sort in keys:
        labels.sort(key=lambda row: row[keys[view.sort]])
    return [int(row[0]) for row in labels]


@pytest.mark.parametrize("strategy", page_helpers.STRATEGIES)
@pytest.mark.parametrize("sort", images_view.SORTS)
def test_order_and_filters_are_those_of_plain_python(done: Run, strategy: str, sort: str) -> None:
    batch = batch_of(done, strategy)
    middle = float(np.median(batch.margins))
    for up_to in (0, 1, 2):
        for view in (
            View(up_to, sort=sort),
            View(up_to, only=True, sort=sort),
            View(up_to, sort=sort, guesses=(int(batch.guesses[0]),)),
            View(up_to, sort=sort, margins=(0.0, middle)),
            View(up_to, sort=sort, inside=frozenset(batch.indices[::2].tolist())),
        ):
            assert arrange(batch, view).tolist() == reference(batch, view)


def test_slider_sort_and_filter_move_the_thumbnails(done: Run) -> None:
    batch = batch_of(done)
    app = open_page(PAGE, done.id, step="2")
    assert thumbnails(app) == reference(batch, View(1))
    app.selectbox(key="sort").select("margin").run()
    assert thumbnails(app) == reference(batch, View(1, sort="margin"))
    app.slider(key="step").set_value(3).run()
    app.checkbox(key="only").check().run()
    assert thumbnails(app) == reference(batch, View(2, only=True, sort="margin"))
    guess = int(batch.guesses[-1])
    app.multiselect(key=f"guesses-{batch.key}").select(guess).run()
    assert thumbnails(app) == reference(batch, View(2, only=True, sort="margin", guesses=(guess,)))
    assert_calm(app)
    cells = next(part for part in components(app) if part.get("kind") == "grid")["cells"]
    slots = batch_data.sheet(batch).slots
    assert cells["slots"] == [slots[index] for index in cells["ids"]]
    assert [int(badge) for badge in cells["badges"]] == [3] * len(cells["ids"])


def test_the_table_has_the_same_rows_as_the_gallery(done: Run) -> None:
    batch = batch_of(done)
    app = open_page(PAGE, done.id, **{"as": "Table"})
    assert_calm(app)
    table = app.dataframe[0].value
    assert table["image"].tolist() == batch.indices.tolist()
    assert table["guess"].tolist() == [batch.class_name(g) for g in batch.guesses]
    assert table["step"].tolist() == (batch.steps + 1).tolist()
    np.testing.assert_allclose(table["u_hat"], batch.utilities)
    assert "oracle" not in table
    pictures = batch_table.thumbnails(batch, batch.indices)
    assert table["thumbnail"].tolist() == pictures
    assert len(set(pictures)) == len(pictures)


# Gallery, table and map know of each other


def highlighted(app: AppTest) -> list[int]:
    return next(part for part in components(app) if "highlight" in part)["highlight"]


def test_a_selected_thumbnail_is_ringed_on_the_map(done: Run) -> None:
    batch = batch_of(done)
    app = open_page(PAGE, done.id)
    assert highlighted(app) == []
    some = batch.indices[[3, 5]].tolist()
    app.session_state[map_view.gallery_key(batch)] = {"selected": some}
    app.run()
    assert highlighted(app) == some
    assert "2 selected" in words(app)
    app.button(key="chip-marks").click().run()
    assert highlighted(app) == []
    assert_calm(app)


@pytest.mark.parametrize("colours", map_view.COLOURS)
def test_the_map_is_coloured_by_what_a_person_picks(colours: str, done: Run) -> None:
    batch = batch_of(done)
    app = open_page(PAGE, done.id)
    if colours == "right or wrong":
        assert colours not in app.selectbox(key="map-colours").options, "only with the oracle"
        app.toggle(key="oracle").set_value(True).run()
    app.selectbox(key="map-colours").set_value(colours).run()
    assert_calm(app)
    figure = json.loads(map_view.map_of(batch, colours).figure.text)
    points = [point for trace in figure["data"] for point in decoded_ids(trace)]
    assert batch.atlas is not None
    assert sorted(points) == batch.atlas.indices.tolist(), "every image once"
    scales = [trace for trace in figure["data"] if trace["marker"].get("showscale")]
    assert len(scales) == (colours in ("margin", "greedy step"))


def decoded_ids(trace: dict[str, Any]) -> list[int]:
    """Return the dataset indices of a trace."""
    ids = trace["customdata"]
    return np.frombuffer(base64.b64decode(ids["bdata"]), ids["dtype"]).tolist()


def test_a_replayed_step_is_ringed(done: Run) -> None:
    app = open_page(PAGE, done.id, step="2")
    assert highlighted(app) == batch_of(done).at_step(1).tolist()


def test_the_whole_choice_names_no_step_in_its_legend(done: Run) -> None:
    for step, named in ((None, []), ("3", []), ("2", ["chosen in step 2"])):
        app = open_page(PAGE, done.id, **({"step": step} if step else {}))
        grid = next(part for part in components(app) if part.get("kind") == "grid")
        assert grid["groupNames"] == named


def test_a_strategy_of_one_step_does_not_speak_of_it(done: Run) -> None:
    batch = batch_of(done, "random")
    assert not batch.stepwise
    assert not any(
        "step" in caption for caption in batch_data.captions(batch, batch.indices).values()
    )


def test_a_selection_outlives_the_change_to_the_table_and_back(done: Run) -> None:
    batch = batch_of(done)
    app = open_page(PAGE, done.id)
    some = batch.indices[[1]].tolist()
    app.session_state[map_view.gallery_key(batch)] = {"selected": some}
    app.run()
    app.button_group(key="as").select("Table").run()
    assert highlighted(app) == some
    app.button_group(key="as").select("Grid").run()
    assert highlighted(app) == some
    grid = next(part for part in components(app) if part.get("kind") == "grid")
    assert grid["selected"] == some


def test_a_lasso_filters_the_gallery_and_is_told(done: Run) -> None:
    batch = batch_of(done)
    assert batch.atlas is not None
    app = open_page(PAGE, done.id)
    chosen = batch.indices[[7, 2]].tolist()
    others = [int(i) for i in batch_data.ranked_pool(batch.atlas, batch.indices)[:5]]
    labeled = batch.atlas.members(0)[:3].tolist()
    lasso = sorted(chosen + others + labeled)
    app.session_state[map_view.map_key(batch)] = {"selected": lasso}
    app.run()
    assert_calm(app)
    assert thumbnails(app) == batch.indices[[2, 7]].tolist()
    assert "10 images**: 2 chosen, 5 unlabeled, 3 labeled, 0 validation" in words(app)
    grids = [part for part in components(app) if part.get("kind") == "grid"]
    assert grids[1]["cells"]["ids"] == others
    app.button(key="chip-lasso").click().run()
    assert thumbnails(app) == batch.indices.tolist()


def chip_words(app: AppTest) -> list[str]:
    return [button.label for button in app.button if str(button.key).startswith("chip-")]


def test_every_hidden_filter_is_a_chip_on_every_tab_and_its_cross_takes_it_away(done: Run) -> None:
    batch = batch_of(done)
    app = open_page(PAGE, done.id)
    guess = int(batch.guesses[batch.steps <= 1][0])
    app.slider(key="step").set_value(2)
    app.slider(key="margins").set_value((0.0, 0.9))
    app.multiselect(key=chips.guesses_key(batch)).set_value([guess])
    app.session_state[map_view.map_key(batch)] = {"selected": batch.indices.tolist()}
    app.run()
    last = int(batch.steps.max()) + 1
    expected = [
        f"Up to step 2 of {last}",
        f"f guesses {batch.class_name(guess)}",
        "Margin 0.00 to 0.90",
        f"Inside the lasso: {batch.count} images",
        "Clear all",
    ]
    assert [unescaped(label) for label in chip_words(app)] == expected
    ids = thumbnails(app)
    for tab in ("Steps", "What if", "Balance", "Export"):
        view_of(app, tab)
        assert [unescaped(label) for label in chip_words(app)] == expected, tab
    view_of(app, "Images")
    assert thumbnails(app) == ids, "the filters outlived the other tabs"
    for key in ("chip-lasso", f"chip-guess-{guess}", "chip-margins"):
        app.button(key=key).click().run()
        assert_calm(app)
    assert thumbnails(app) == batch.indices[batch.steps <= 1].tolist()
    app.button(key="chip-step").click().run()
    assert thumbnails(app) == batch.indices.tolist()
    assert chip_words(app) == []


def test_all_filters_go_at_once(done: Run) -> None:
    batch = batch_of(done)
    app = open_page(PAGE, done.id)
    app.slider(key="step").set_value(2)
    app.checkbox(key="only").set_value(True)
    app.slider(key="margins").set_value((0.0, 0.2)).run()
    assert chip_words(app)[0] == f"Only step 2 of {int(batch.steps.max()) + 1}"
    view_of(app, "Export")
    app.button(key="chip-all").click().run()
    assert chip_words(app) == []
    view_of(app, "Images")
    assert thumbnails(app) == batch.indices.tolist()


def test_a_lasso_around_nothing_chosen_shows_all_and_says_so(done: Run) -> None:
    batch = batch_of(done)
    app = open_page(PAGE, done.id)
    app.session_state[map_view.map_key(batch)] = {"selected": []}
    app.run()
    assert_calm(app)
    assert "No chosen image inside the lasso" in words(app)
    assert thumbnails(app) == batch.indices.tolist()


def test_a_rerun_draws_no_figure_again(done: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page(PAGE, done.id)
    digest = next(part for part in components(app) if "highlight" in part)["digest"]
    monkeypatch.setattr(pictures, "make_sprites", None)
    monkeypatch.setattr(map_view.maps, "embedding_map", None)
    app.selectbox(key="sort").select("margin").run()
    assert_calm(app)
    assert next(part for part in components(app) if "highlight" in part)["digest"] == digest


# One image


def test_the_detail_has_facts_neighbours_and_whom_it_serves(done: Run) -> None:
    batch = batch_of(done)
    assert batch.atlas is not None
    app = open_page(PAGE, done.id)
    index = int(batch.indices[4])
    app.session_state[map_view.gallery_key(batch)] = {"selected": [], "opened": index}
    app.run()
    assert_calm(app)
    text = unescaped(words(app))
    assert f"## Image {index}" in text
    assert "Chosen as number **5** of 12, in step **2** of 3" in text
    assert f"f guesses **{batch.class_name(int(batch.guesses[4]))}**" in text
    pool = batch_data.pool_margins(batch.atlas)
    rank = int((pool < np.float32(batch.margins[4])).sum()) + 1
    assert f"Margin rank **{rank}** of {len(pool)}" in text
    assert "The oracle says" not in text
    assert "Nearest labeled images" in text
    assert "Validation images it serves" in text
    assert len(app.get("image")) >= 12
    alts = [image.alt for part in app.get("image") for image in part.proto.imgs]
    assert alts[0] == f"Image {index}"
    assert all(alts)


def opened_on(app: AppTest, run: Run, index: int) -> AppTest:
    """Open the drawer on an image."""
    app.session_state[map_view.gallery_key(batch_of(run))] = {"selected": [], "opened": index}
    app.run()
    assert_calm(app)
    return app


def test_tags_and_a_note_are_saved_seen_filtered_and_exported(copied: Run) -> None:
    batch = batch_of(copied)
    first, second = batch.indices[:2].tolist()
    app = opened_on(open_page(PAGE, copied.id), copied, first)
    tag_field = f"tag-field-{batch.key}-{first}"
    app.multiselect(key=tag_field).set_value(["blurry; <b>two</b>"]).run()
    app = opened_on(open_page(PAGE, copied.id), copied, first)
    assert app.multiselect(key=tag_field).value == ["blurry", "<b>two</b>"]
    app.text_area(key=f"note-field-{batch.key}-{first}").set_value("ask *Ana*").run()
    assert_calm(app)
    entry = ImageNote(("blurry", "<b>two</b>"), "ask *Ana*")
    assert notes.load(copied) == {first: entry}
    acts = [(act.what, act.more) for act in audit.read(copied.folder.parent)[0]]
    assert acts == [("note", f"tags and note of image {first}")] * 2
    notes.save(copied, second, ImageNote(), ImageNote(("other",)))
    app = open_page(PAGE, copied.id)
    grid = next(part for part in components(app) if part.get("kind") == "grid")
    assert grid["cells"]["badges"][:3] == ["1 ✎", "1 ✎", "1"]
    caption = grid["cells"]["captions"][0]
    assert caption.endswith("\ntags: blurry, <b>two</b>\nnote: ask *Ana*")
    app.multiselect(key=tagging.filter_key(batch)).set_value(["blurry", "other"]).run()
    assert thumbnails(app) == [first, second]
    assert chip_words(app) == ["Tag blurry", "Tag other", "Clear all"]
    app.segmented_control(key="as").set_value("Table").run()
    table = app.dataframe[0].value
    assert table[["tags", "note"]].to_numpy().tolist() == [
        ["blurry, <b>two</b>", "ask *Ana*"],
        ["other", ""],
    ]
    app.button(key="chip-tag-other").click().run()
    assert app.dataframe[0].value["image"].tolist() == [first]
    notes.save(copied, first, entry, ImageNote())
    app.run()
    assert_calm(app)
    assert chip_words(app) == []
    assert len(app.dataframe[0].value) == batch.count
    make = exports.maker(batch, "csv", truth=False, image_url=export.IMAGE_URL)
    assert b"tags" in make().splitlines()[0]


def test_an_image_with_only_a_note_is_found_by_it(copied: Run) -> None:
    batch = batch_of(copied)
    first, second, third = batch.indices[:3].tolist()
    notes.save(copied, first, ImageNote(), ImageNote(("with a note",)))  # a tag of one's own
    notes.save(copied, second, ImageNote(), ImageNote(note="ask Ana"))
    app = open_page(PAGE, copied.id)
    field = app.multiselect(key=tagging.filter_key(batch))
    assert field.options == ["with a note", tagging.WITH_NOTE]
    field.set_value([tagging.WITH_NOTE]).run()
    assert_calm(app)
    assert thumbnails(app) == [second]
    assert chip_words(app) == ["With a note"]
    app.multiselect(key=tagging.filter_key(batch)).set_value(["with a note"]).run()
    assert thumbnails(app) == [first]
    assert chip_words(app) == ["Tag with a note"]
    app.multiselect(key=tagging.filter_key(batch)).set_value([tagging.WITH_NOTE]).run()
    app.button(key="chip-note").click().run()
    assert third in thumbnails(app)
    assert chip_words(app) == []


def test_a_tag_that_may_not_be_is_refused_in_words_and_a_note_stays_in_its_field(
    copied: Run,
) -> None:
    batch = batch_of(copied)
    first = int(batch.indices[0])
    app = opened_on(open_page(PAGE, copied.id), copied, first)
    note_field = f"note-field-{batch.key}-{first}"
    app.multiselect(key=f"tag-field-{batch.key}-{first}").set_value(["a\u202eb"])
    app.run()
    assert "U+202E" in unescaped(app.toast[0].value)
    app = opened_on(open_page(PAGE, copied.id), copied, first)
    notes.save(copied, first, ImageNote(), ImageNote(note="theirs"))
    app.text_area(key=note_field).set_value("mine").run()
    assert "changed in another window meanwhile" in unescaped(app.toast[0].value)
    assert notes.load(copied)[first].note == "theirs"
    opened_on(app, copied, first)
    assert app.text_area(key=note_field).value == "mine"
    assert "Not saved. On disk stands: theirs" in words(app)
    app.button(key="note-mine").click().run()
    assert notes.load(copied)[first].note == "mine"


def test_damaged_tags_take_nothing_else_with_them(copied: Run) -> None:
    (copied.folder / "notes.json").write_text("{}")
    app = open_page(PAGE, copied.id)
    assert_calm(app)
    (warning,) = [box.value for box in app.warning]
    assert unescaped(warning).startswith("tags and notes: the file is damaged; restore it from a")
    assert thumbnails(app) == batch_of(copied).indices.tolist()
    view_of(app, "Export")
    make = exports.maker(batch_of(copied), "csv", truth=False, image_url=export.IMAGE_URL)
    assert len(make().splitlines()) == 1 + batch_of(copied).count


def test_the_oracle_is_asked_only_behind_the_switch(done: Run) -> None:
    batch = batch_of(done)
    assert batch.data is not None
    app = open_page(PAGE, done.id)
    assert not app.toggle(key="oracle").value
    assert "right" not in words(app).split("chose")[1].split("Which images")[0]
    app.toggle(key="oracle").set_value(True).run()
    assert_calm(app)
    labels = batch.data.labels[batch.indices]
    assert (
        f"**{100 * np.mean(labels == batch.guesses):.1f}\u00a0%** of these images right"
        in words(app)
    )
    captions = next(p for p in components(app) if p.get("kind") == "grid")["cells"]["captions"]
    verdicts = [text.split("the oracle says ")[1] for text in captions]
    assert verdicts == [batch.classes[label] for label in labels]


# Steps and what-if


def test_the_steps_show_the_recorded_candidates(done: Run) -> None:
    batch = batch_of(done)
    app = view_of(open_page(PAGE, done.id), "Steps")
    app.select_slider(key=f"candidates-step-{batch.key}").set_value(1).run()
    assert_calm(app)
    decision = batch.decisions[1]
    rows = next(part for part in components(app) if part.get("kind") == "rows")["rows"]
    assert [row["ids"] for row in rows] == [list(members) for members in decision.candidates]
    assert [bool(row["mark"]) for row in rows] == [True] + [False] * (len(rows) - 1)
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["u_hat of the chosen batch"] == f"{decision.utility:.3f}"
    assert metrics["Ahead of the runner-up"] == f"{decision.gap:+.3f}"


def test_the_steps_of_rambo_plus_say_whose_batches_it_took_and_what_was_chance(home: Path) -> None:
    plus = {"weigh": False, "candidates": "rivals", "validation": "half"}
    run = page_helpers.make_done(home, strategies=["rambo-plus"], trials=1, plus=plus)
    (result,) = run.results()
    app = view_of(open_page(PAGE, run.id), "Steps")
    assert_calm(app)
    sentences = " ".join(text.value for text in app.markdown)
    assert f"the batches of **{result.figures[BATCHES_TAKEN]}**" in sentences
    (table,) = [part for part in components(app) if part.get("kind") == "rows"]
    owners = [row["label"].split(":")[0] for row in table["rows"]]
    assert sorted(owners) == sorted(lineup.of(name).word for name in RIVALS)
    assert f"**{result.figures[LEAD_CHOOSING]:.1f}** spreads" in sentences
    assert f"other half, **{result.figures[LEAD_JUDGING]:.1f}**" in sentences


def test_figures_of_a_choice_that_somebody_wrote_are_text_and_nothing_else() -> None:
    figures = {BATCHES_TAKEN: "<b>[x](http://x)", LEAD_CHOOSING: "high", LEAD_JUDGING: 1.0}
    (sentence,) = steps_view.figure_sentences(figures)
    assert "](http" not in sentence
    assert steps_view.figure_sentences({}) == []


def utility_words(app: AppTest) -> tuple[str, str]:
    metric = next(metric for metric in app.metric if metric.label == "u_hat of your batch")
    return metric.value, metric.delta


def test_a_swap_moves_u_hat_as_the_model_says_and_undo_restores_it(done: Run) -> None:
    batch = batch_of(done)
    decision, hat = batch.decisions[1], whatif.load(done, 0)
    app = view_of(open_page(PAGE, done.id), "What if")
    app.select_slider(key=f"what-if-step-{batch.key}").set_value(1).run()
    before = decision.utility
    assert utility_words(app)[0] == f"{before:.3f}"
    out = list(decision.chosen[:2])
    app.session_state[f"members-{what_if.key_of(batch, decision)}"] = {"selected": out}
    app.run()
    app.button(key="what-if-next").click().run()
    assert_calm(app)
    taken = np.concatenate([batch.indices[batch.steps < 1], decision.chosen])
    assert batch.atlas is not None
    following = batch_data.ranked_pool(batch.atlas, taken)[:2].tolist()
    members = [*following, *decision.chosen[2:]]
    assert thumbnails(app) == members
    after = what_if.utility_of(hat, decision, members)
    assert after == pytest.approx(hat.step_utility(1, members), abs=1e-4)
    assert utility_words(app) == (f"{after:.3f}", f"{after - before:+.3f}")
    app.session_state[f"members-{what_if.key_of(batch, decision)}"] = {"selected": members[:1]}
    app.run()
    app.button(key="what-if-remove").click().run()
    assert utility_words(app) == ("another size", ""), "sets of two sizes have no order"
    assert "1 image fewer" in words(app)
    assert "ranks your batch" not in words(app)
    app.button(key="what-if-undo").click().run()
    assert utility_words(app)[0] == f"{after:.3f}"
    app.button(key="what-if-undo").click().run()
    assert utility_words(app)[0] == f"{before:.3f}"
    assert thumbnails(app) == list(decision.chosen)
    assert_calm(app)


def test_whole_candidates_can_be_taken_and_reset(done: Run) -> None:
    batch = batch_of(done)
    decision, hat = batch.decisions[0], whatif.load(done, 0)
    app = view_of(open_page(PAGE, done.id), "What if")
    app.button_group(key="what-if-source").select("another candidate").run()
    app.button(key="what-if-candidate-1").click().run()
    assert thumbnails(app) == list(decision.candidates[1])
    assert utility_words(app)[0] == f"{decision.candidate_utilities[1]:.3f}"
    app.button(key="what-if-random").click().run()
    order = thumbnails(app)
    assert len(set(order)) == len(decision.chosen)
    assert utility_words(app)[0] == f"{what_if.utility_of(hat, decision, order):.3f}"
    app.button(key="what-if-reset").click().run()
    assert thumbnails(app) == list(decision.chosen)
    assert_calm(app)


def test_images_inside_a_lasso_can_be_taken(done: Run) -> None:
    batch = batch_of(done)
    assert batch.atlas is not None
    decision = batch.decisions[2]
    app = view_of(open_page(PAGE, done.id), "What if")
    app.select_slider(key=f"what-if-step-{batch.key}").set_value(2).run()
    app.button_group(key="what-if-source").select("the map").run()
    assert_calm(app)
    inside = batch_data.ranked_pool(batch.atlas, batch.indices)[3:8].tolist()
    lasso = sorted([*inside, *batch.indices[:4].tolist(), *batch.atlas.members(0)[:2].tolist()])
    app.session_state[f"what-if-map-{batch.key}"] = {"selected": lasso}
    app.run()
    grids = [part for part in components(app) if part.get("kind") == "grid"]
    assert grids[1]["cells"]["ids"] == inside
    key = what_if.key_of(batch, decision)
    app.session_state[f"members-{key}"] = {"selected": [decision.chosen[0]]}
    app.session_state[f"offered-{key}"] = {"selected": [inside[1]]}
    app.run()
    app.button(key="what-if-swap").click().run()
    assert thumbnails(app) == [inside[1], *decision.chosen[1:]]


def test_an_edited_batch_survives_a_reload_and_is_what_is_downloaded(done: Run) -> None:
    batch = batch_of(done)
    decision = batch.decisions[0]
    app = view_of(open_page(PAGE, done.id), "What if")
    key = what_if.key_of(batch, decision)
    app.session_state[f"members-{key}"] = {"selected": [decision.chosen[1]]}
    app.run()
    app.button(key="what-if-remove").click().run()
    assert_calm(app)
    again = open_page(PAGE, done.id)
    rest = batch.count - 1
    assert f"Your own batch: {rest} images" in words(again)
    assert f"1 of RAMBO's {batch.count} taken out" in unescaped(words(again))
    assert thumbnails(view_of(again, "What if")) == [
        i for i in decision.chosen if i != decision.chosen[1]
    ]
    view = view_of(again, "Export")
    assert view.radio(key="export-which").value == "yours"
    data = exports.maker(batch, "csv", truth=False, image_url=export.IMAGE_URL)()
    assert data.count(b"\n") == rest + 1
    whole = exports.maker(batch, "csv", truth=False, image_url=export.IMAGE_URL, original=True)()
    assert whole.count(b"\n") == batch.count + 1
    view.button(key="edit-discard").click().run()
    assert_calm(view)
    assert "Your own batch" not in words(view)
    assert export.build(done, "csv", "rambo").count == batch.count


def test_selected_or_filtered_images_become_the_batch(done: Run) -> None:
    batch = batch_of(done)
    app = open_page(PAGE, done.id)
    chosen = batch.indices[:3].tolist()
    app.session_state[map_view.gallery_key(batch)] = {"selected": chosen}
    app.run()
    app.button(key="edit-keep").click().run()
    assert_calm(app)
    assert [row.dataset_index for row in export.rows(done, "rambo")] == chosen
    app.session_state[map_view.gallery_key(batch)] = {"selected": chosen[:1]}
    app.run()
    app.button(key="edit-remove").click().run()
    assert [row.dataset_index for row in export.rows(done, "rambo")] == chosen[1:]
    assert "Your own batch: 2 images" in words(app)


def test_a_swap_keeps_places_and_never_doubles_an_image() -> None:
    assert what_if.swap((1, 2, 3), [2], [9]) == (1, 9, 3)
    assert what_if.swap((1, 2, 3), [1, 3], [9]) == (9, 2)
    assert what_if.swap((1, 2, 3), [], [9, 2]) == (1, 2, 3, 9)
    assert what_if.swap((1, 2, 3), [2], [2]) == (1, 2, 3)
    edit = what_if.Edit((1, 2)).to((3, 2)).to((3, 4))
    assert edit.to((3, 4)) is edit
    assert edit.undone().members == (3, 2)
    assert edit.undone().undone() == what_if.Edit((1, 2))
    assert what_if.Edit((1, 2)).undone() == what_if.Edit((1, 2))


# Hand-over


@pytest.mark.parametrize("format", export.FORMATS)
@pytest.mark.parametrize("strategy", ["rambo", "random"])
def test_the_file_is_the_one_of_the_command_line(done: Run, format: str, strategy: str) -> None:
    batch = batch_of(done, strategy, 1)
    built = export.build(done, format, strategy, batch.seed)
    make = exports.maker(batch, format, truth=False, image_url=export.IMAGE_URL)
    assert make() == built.data
    assert export.name_of(done, format, strategy, batch.seed) == (built.name, built.mime)


@pytest.mark.parametrize("format", ["csv", "label-studio"])
@pytest.mark.parametrize("truth", [False, True])
def test_the_command_under_the_button_makes_the_bytes_of_the_button(
    done: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, truth: bool
) -> None:
    offered: dict[str, Any] = {}
    monkeypatch.setattr(
        exports.downloads,
        "button",
        lambda label, make, *rest, key, **options: offered.update({key: make}),
    )
    app = view_of(open_page(PAGE, done.id), "Export")
    app.radio(key="export-format").set_value(format).run()
    if truth:
        app.toggle(key="oracle").set_value(True).run()
        app.checkbox(key="export-truth").set_value(True).run()
    if format == "label-studio":
        app.checkbox(key="export-guesses").set_value(True).run()
        app.text_input(key="export-url").set_value("https://pictures.example/a b/").run()
    assert_calm(app)
    (line,) = [code.value for code in app.code if "rambo export" in code.value]
    assert ("--oracle" in line) is truth
    out = tmp_path / "batch"
    words_ = [str(out) if word == "FILE" else word for word in shlex.split(line)[3:]]
    assert command_line.main(words_) == 0
    assert out.read_bytes() == offered["export-download"]()
    assert len(out.read_bytes()) > 100


def test_every_format_is_explained(done: Run) -> None:
    app = view_of(open_page(PAGE, done.id), "Export")
    assert set(app.radio(key="export-format").options) == {
        exports.FORMATS[name].name for name in export.FORMATS
    }
    assert not [box for box in app.checkbox if box.key == "export-truth"]
    app.toggle(key="oracle").set_value(True).run()
    assert [box for box in app.checkbox if box.key == "export-truth"]


def test_without_images_only_tables_are_offered(copied: Run) -> None:
    shutil.rmtree(copied.folder.parent / "datasets")
    app = view_of(open_page(PAGE, copied.id), "Export")
    assert len(app.radio(key="export-format").options) == 3


def test_figures_are_one_page_that_needs_no_internet(done: Run) -> None:
    batch = batch_of(done)
    figure = map_view.map_of(batch).figure
    page = takeaway.page("Figures", [("</script><b>x", "", figure)]).decode()
    assert "&lt;/script&gt;&lt;b&gt;x" in page
    assert "var(--st-" not in page.split("</script>")[-2]
    assert '<script src="http' not in page
    assert "Plotly.newPlot" in page


# Hostile names


def test_class_names_are_shown_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["![x](http://evil.example/x.png)", "<img src=x onerror=alert(1)>", "$x$", ":red[a]"]
    write = prepared.write
    monkeypatch.setattr(prepared, "write", lambda *a, **k: write(*a, **k | {"classes": names}))
    root = tmp_path / "hostile"
    run = page_helpers.make_done(root, strategies=["rambo"])
    monkeypatch.setenv("RAMBO_HOME", str(root))
    batch = batch_of(run)
    app = open_page(PAGE, run.id)
    app.toggle(key="oracle").set_value(True).run()
    app.session_state[map_view.gallery_key(batch)] = {
        "selected": [],
        "opened": int(batch.indices[0]),
    }
    app.run()
    assert_calm(app)
    captions = [caption for image in app.get("image") for caption in image.captions]
    assert len(captions) >= 11
    text = words(app) + "".join(captions)
    assert re.search(r"(?<!\\)[<!$]", text) is None  # each such sign is escaped
    assert "://" not in text
    for name in ("Steps", "What if", "Balance", "Export"):
        view_of(app, name)


# Why this batch, and what the gate left out.


def test_why_shows_the_validation_images_that_the_batch_serves(done: Run) -> None:
    app = view_of(open_page(PAGE, done.id), "Why")
    served = batch_of(done).served
    assert served is not None
    helped = why_view.by_transport(served["validation"], served["mass"])
    assert thumbnails(app) == helped.images.tolist()
    text = unescaped(words(app))
    assert f"{len(helped.images)} validation images in all" in text
    table = app.dataframe[0].value
    assert table["of S_val, %"].tolist() == [25.0] * 4
    assert table["of the help, %"].sum() == pytest.approx(100)


@pytest.fixture
def gated(copied: Run) -> Run:
    """The run as if a gate had left two of its images out."""
    atlas = batch_of(copied).atlas
    assert atlas is not None
    pool = atlas.members(UNLABELED_POOL)
    likeness = np.full(len(pool), 0.5)
    likeness[[3, 5]] = 0.02, 0.01
    arrays = {
        "indices": pool,
        "likeness": likeness,
        "left_out": likeness < 0.1,
        "kept_anyway": np.zeros(len(pool), bool),
        "foreign_share": np.array(0.05),
    }
    copied.save_arrays("trial-0/gate", arrays)
    return copied


@pytest.mark.parametrize(
    ("page", "more"), [(PAGE, {"view": "Gate"}), ("pages/data.py", {"dataset": ":run"})]
)
def test_what_the_gate_left_out_can_be_overruled(
    gated: Run, page: str, more: dict[str, str]
) -> None:
    """The least alike come first; the button sets up a run of the same settings that keeps what is selected."""
    app = open_page(page, gated.id, **more)
    assert_calm(app)
    assert "left **2** of" in words(app)
    pool = gated.load_arrays("trial-0/gate")["indices"]
    grids = [part["cells"]["ids"] for part in components(app) if part.get("kind") == "grid"]
    assert [int(pool[5]), int(pool[3])] in grids
    app.session_state[f"gate-{gated.id}-0"] = {"selected": [int(pool[5])]}
    app.run()
    (button,) = [b for b in app.button if b.key == f"gate-keep-{gated.id}"]
    assert button.label == "Set up a run that keeps 1 image"
    button.click().run()
    draft = app.session_state["configure-draft"]
    assert draft.values["acquisition.gate.keep"] == [pool[5]]
    assert draft.values["k"] == gated.config["k"]


def test_a_replay_begins_at_the_first_step_and_stops_at_the_last(done: Run) -> None:
    """Each look at the page after a step has been seen goes one step further."""
    app = open_page(PAGE, done.id)
    last = app.slider(key="step").value
    assert last > 1
    app.button(key="play").click().run()
    assert_calm(app)
    assert app.slider(key="step").value == 1
    assert app.button(key="play").label == "Stop"
    app.button(key="play").click().run()
    assert app.slider(key="step").value == 1
    assert app.button(key="play").label == "Play"


def test_the_most_similar_images_of_an_image_are_those_nearest_to_f(done: Run) -> None:
    """A click on one goes to it, and leaves nothing selected behind."""
    batch = batch_of(done)
    assert batch.atlas is not None
    index = int(batch.indices[0])
    near, _ = atlases.nearest(batch.atlas, index, UNLABELED_POOL, 18)
    app = open_page(PAGE, done.id)
    app.session_state[map_view.gallery_key(batch)] = {"selected": [], "opened": index}
    app.run()
    assert_calm(app)
    assert "Most similar images of the pool" in words(app)
    assert f"## Image {index}" in words(app)
    assert index not in near
