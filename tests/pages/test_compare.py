"""The page Compare in every state of a run."""

from pathlib import Path

import numpy as np
import pytest
from page_helpers import (
    assert_calm,
    copy_of,
    make_done,
    make_queued,
    open_page,
    page_config,
    unescaped,
    words,
)

from rambo.config import describe
from rambo.figures import rivals
from rambo.runs import jobs, travel
from rambo.runs.workspace import Run, Workspace, summary
from rambo.storage import places
from rambo.ui.compare import runs_view
from rambo.ui.configure.fields import FIELDS

PAGE = "pages/compare.py"


def test_without_a_run_it_says_what_to_do(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "finished_run", lambda: None)
    app = open_page(PAGE)
    assert_calm(app)
    assert "Start the demo" in words(app)


def test_a_queued_run_has_nothing_to_compare_yet(home: Path) -> None:
    run = make_queued(home)
    app = open_page(PAGE, run.id)
    assert_calm(app)
    assert "No strategy has chosen yet" in words(app)


def test_a_finished_run_shows_every_accuracy_with_its_error(done: Run) -> None:
    app = open_page(PAGE, done.id)
    assert_calm(app)
    table = app.dataframe[0].value
    expected = rivals.accuracy_table(summary(done).results)
    assert table.to_dict() == expected.to_dict()
    assert table["trials"].tolist() == [2, 2, 2, 2]
    assert all("±" in cell for cell in table["test accuracy"])
    assert "RAMBO minus Filter only" in unescaped(words(app))
    assert "too few to say" in unescaped(words(app))


def test_every_class_has_its_accuracy_and_few_judges_are_said(done: Run) -> None:
    app = open_page(PAGE, done.id)
    results = summary(done).results
    text = unescaped(words(app))
    assert "Only 40 test images judge: one of them is 2.5 points of accuracy." in text
    (table,) = [frame.value for frame in app.dataframe if "class" in frame.value.columns]
    assert len(table) == 4
    own = [result.test_classes for result in results if result.strategy == "random"]
    assert table["Random"].tolist() == pytest.approx((100 * np.mean(own, axis=0)).tolist())
    balanced = app.dataframe[0].value["balanced"].tolist()
    assert balanced == app.dataframe[0].value["test accuracy"].tolist(), "classes of one size"


def test_the_overlap_is_that_of_the_recorded_choices(done: Run) -> None:
    app = open_page(PAGE, done.id)
    table = app.dataframe[2].value
    chosen = {
        result.strategy: set(result.selected)
        for result in summary(done).results
        if result.seed == 0
    }
    a, b = chosen["rambo"], chosen["random"]
    assert table.loc["RAMBO", "Random"] == pytest.approx(len(a & b) / len(a | b))
    assert np.diag(table.to_numpy()).tolist() == [1.0] * 4


def test_the_galleries_divide_the_two_choices(done: Run) -> None:
    app = open_page(PAGE, done.id)
    chosen = {
        result.strategy: result.selected for result in summary(done).results if result.seed == 0
    }
    both = set(chosen["rambo"]) & set(chosen["filter-only"])
    text = words(app)
    assert f"**Both** · {len(both)} image" in text
    assert f"**RAMBO alone** · {12 - len(both)} image" in text


def test_another_pair_and_another_trial_can_be_picked(done: Run) -> None:
    app = open_page(PAGE, done.id)
    trial, first, second = app.segmented_control
    assert second.options == ["Filter only", "Margin", "Random"]
    first.select("margin").run()
    assert_calm(app)
    assert app.segmented_control[2].options == ["RAMBO", "Filter only", "Random"]
    app.segmented_control[0].select(1).run()
    assert_calm(app)
    table = app.dataframe[2].value
    chosen = {
        result.strategy: set(result.selected)
        for result in summary(done).results
        if result.seed == 1
    }
    a, b = chosen["rambo"], chosen["margin"]
    assert table.loc["RAMBO", "Margin"] == pytest.approx(len(a & b) / len(a | b))


def test_true_labels_stay_behind_the_switch(done: Run) -> None:
    app = open_page(PAGE, done.id)
    assert "of them right" not in " ".join(caption.value for caption in app.caption)
    app.toggle[0].set_value(True).run()
    assert_calm(app)
    assert "of them right" in " ".join(caption.value for caption in app.caption)


def test_a_run_without_rivals_offers_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[str] = []
    monkeypatch.setattr(jobs, "launch", lambda run: launched.append(run.id))
    monkeypatch.setattr(jobs, "probe_devices", lambda: jobs.Devices("cpu", {"cpu": "CPU"}, 1))
    run = make_queued(home, strategies=["rambo"])
    app = open_page(PAGE, run.id)
    assert_calm(app)
    assert "cannot show whether RAMBO is worth its price" in words(app)
    app.button(key="add-rivals").click().run()
    assert not app.exception
    assert len(launched) == 1
    study_run = Workspace(home).find(launched[0])
    assert study_run.config == describe(page_config())


def test_a_lost_dataset_and_atlas_leave_the_rest(
    done: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = copy_of(done.folder.parent, tmp_path / "copy")
    monkeypatch.setenv("RAMBO_HOME", str(root))
    (root / done.id / "artifacts/trial-0/atlas.safetensors").unlink()
    for part in (root / "datasets").glob("*/images.npy"):
        part.unlink()
    app = open_page(PAGE, done.id)
    assert_calm(app)
    assert app.dataframe[0].value["trials"].tolist() == [2, 2, 2, 2]
    assert "**Both**" in words(app)


def test_hostile_class_names_stay_text(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import page_helpers
    import tiny

    names = [
        "![x](http://evil.example/p.png)",
        "<img src=x onerror=alert(1)>",
        "$x^2$",
        "[a](javascript:1)",
    ]
    write = tiny.prepared.write

    def hostile(*args: object, **options: object) -> object:
        return write(*args, **(options | {"classes": names, "origin": "tests:hostile"}))  # type: ignore[arg-type]

    monkeypatch.setattr(tiny.prepared, "write", hostile)
    run = make_done(home, strategies=["margin", "random"])
    assert page_helpers is not None
    app = open_page(PAGE, run.id)
    assert_calm(app)
    text = words(app)
    assert "](http" not in text
    assert "<img" not in text


def test_other_runs_stand_beside_with_the_settings_that_differ(
    done: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link brings them; the overlap is that of the first trials' choices; a queued one is no trouble."""
    root = copy_of(done.folder.parent, tmp_path / "copy")
    monkeypatch.setenv("RAMBO_HOME", str(root))
    parcel = travel.pack(done, Workspace(root), tmp_path / "run.zip")
    again = travel.unpack(tmp_path / "run.zip", Workspace(root)).run
    queued = make_queued(root, seed=7, budget=8)
    assert parcel.run == done.id != again
    app = open_page(PAGE, done.id, **{"with": f"{again},{queued.id},of-nobody"})
    assert_calm(app)
    assert app.multiselect[0].value == [again, queued.id]
    (settings,) = [frame.value for frame in app.dataframe if "setting" in frame.value.columns]
    assert settings.set_index("setting").loc["Labels to buy (B)"].tolist() == ["12", "12", "8"]
    assert settings.set_index("setting").loc["Seed"].tolist() == ["0", "0", "7"]
    assert "Labels you hold (k)" not in set(settings["setting"])
    (table,) = [frame.value for frame in app.dataframe if "run" in frame.value.columns]
    assert table["run"].tolist() == ["Run 1"] * 4 + ["Run 2"] * 4
    pills = app.get("button_group")[-1]
    assert "RAMBO, Run 2" in [option.content for option in pills.proto.options]
    app.multiselect[0].set_value([]).run()
    assert_calm(app)
    assert not [frame for frame in app.dataframe if "setting" in frame.value.columns]


def test_equal_settings_leave_no_row() -> None:
    one, other = page_config(), page_config(seed=3)
    assert runs_view.settings_diff({"a": one, "b": one}).empty
    table = runs_view.settings_diff({"a": one, "b": other})
    assert table.to_dict("list") == {"setting": ["Seed"], "a": ["0"], "b": ["3"]}


def test_settings_that_differ_are_said_in_the_words_of_the_form() -> None:
    model = {"bilevel": {"enabled": False}}
    one = page_config()
    other = page_config(strategies=["filter-only"], rambo={"utility_model": model})
    table = runs_view.settings_diff({"a": one, "b": other}).set_index("setting")
    assert table.loc[FIELDS["rambo.utility_model.bilevel.enabled"].title].tolist() == ["on", "off"]
    assert table.loc[FIELDS["strategies"].title].tolist()[1] == "Filter only"
    assert not [name for name in table.index if "." in name or "_" in name]
