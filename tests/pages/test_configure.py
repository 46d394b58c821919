"""The page Configure as a person uses it: presets, complaints beside fields, one run a start."""

import itertools
import json
import shlex
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_helpers import assert_calm, make_queued, open_page, unescaped, words
from PIL import Image
from streamlit.testing.v1 import AppTest
from tiny import merged

from rambo import config as configs
from rambo import lineup
from rambo.collection.importing import ImportOptions, import_images
from rambo.commands import line as command_line
from rambo.commands.settings import settings_from
from rambo.config import presets
from rambo.datasets import catalog
from rambo.datasets.prepared import Prepared
from rambo.errors import ConfigError, StoreError
from rambo.estimate import forecast
from rambo.runs import jobs
from rambo.runs.workspace import Run, Workspace
from rambo.ui import allowed, controls, library
from rambo.ui.configure import fields, planner, settings, settings_file
from rambo.ui.configure.draft import key_of

PAGE = "pages/configure.py"
TRANSFER = "Command line and settings file"


class Silent:
    """A process that never says anything, as `jobs.spawn` returns it."""

    stdin: Any = None
    returncode = 0

    def communicate(self) -> tuple[str, str]:
        return "", ""

    def kill(self) -> None:
        pass


@pytest.fixture(autouse=True)
def launched(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """Nothing is trained here: the runs that would be are in this list. No process is started either."""
    runs: list[Run] = []
    monkeypatch.setattr(jobs, "launch", runs.append)
    monkeypatch.setattr(jobs, "spawn", lambda arguments, stdin="": Silent())
    devices = jobs.Devices("cpu", {"cpu": "CPU, 2 cores"}, 2)
    monkeypatch.setattr(jobs, "probe_devices", lambda timeout=60: devices)
    return runs


def opened(run: str | None = None, **params: str) -> AppTest:
    app = open_page(PAGE, run, **params)
    time.sleep(0.05)  # the thread that asks for the devices
    app.session_state["configure-all"] = True
    app.run()
    assert_calm(app)
    return app


def picked(file: Path) -> AppTest:
    """Return the page with a file that was asked for on the page Data in the same session."""
    app = opened()
    app.session_state[allowed._OWN_PATHS] = {str(file)}
    app.query_params["dataset"] = str(file)
    app.run()
    assert_calm(app)
    return app


def number(app: AppTest, path: str) -> Any:
    return app.number_input(key=key_of(path))


def change(app: AppTest, path: str, value: float | None) -> AppTest:
    number(app, path).set_value(value).run()
    assert_calm(app)
    return app


def start_button(app: AppTest) -> Any:
    return app.button(key="configure-start")


def values_of(app: AppTest) -> settings.Values:
    return app.session_state["configure-draft"].values


def page_text(app: AppTest) -> str:
    return unescaped(words(app))


def test_at_first_only_the_budget_is_asked_for_and_a_wrong_field_comes_out(home: Path) -> None:
    app = open_page(PAGE)
    assert_calm(app)
    few = {key_of(path) for path in fields.JUST_THE_BUDGET}
    keys = {
        widget.key for kind in ("number_input", "selectbox", "toggle") for widget in app.get(kind)
    }
    assert {key for key in keys if key and key.startswith(key_of(""))} <= few
    app.toggle(key="configure-all").set_value(True).run()
    change(app, "acquisition.batch_size", 0)
    app.toggle(key="configure-all").set_value(False).run()
    assert_calm(app)
    assert number(app, "acquisition.batch_size").value == 0, "what is wrong is in sight"


# Filling


def test_the_demo_is_filled_in_and_can_be_started(home: Path) -> None:
    app = opened()
    assert values_of(app) == settings.preset("demo")
    assert number(app, "k").value == 200
    assert number(app, "acquisition.filter_size").value is None
    assert number(app, "acquisition.filter_size").placeholder == "auto: 200"
    assert number(app, "compute.jobs").placeholder == "auto: 2"
    assert not start_button(app).disabled
    assert "Changed from" not in page_text(app)
    text = page_text(app)
    assert "To buy" in text
    assert "You hold 200 labels" in text


def sections() -> list[str]:
    """Return the keys of all expanders."""
    parts = itertools.groupby(fields.TABLE, key=lambda entry: (entry.group, entry.section))
    return [f"section-{next(inside).path}" for (_, section), inside in parts if section]


def test_every_field_has_its_widget_once_its_section_is_open(home: Path) -> None:
    app = opened()
    shut = [path for path in fields.FIELDS if key_of(path) not in app.session_state]
    assert shut == [entry.path for entry in fields.TABLE if entry.section]
    for key in sections():
        app.session_state[key] = True
    app.run()
    assert_calm(app)
    assert [path for path in fields.FIELDS if key_of(path) not in app.session_state] == []


def test_what_was_typed_in_a_section_stays_when_it_is_closed(home: Path) -> None:
    path = "rambo.utility_model.dropout"
    app = opened()
    key = (
        f"section-{next(e.path for e in fields.TABLE if e.section == fields.FIELDS[path].section)}"
    )
    app.session_state[key] = True
    change(app.run(), path, 0.25)
    app.session_state[key] = False
    app.run()
    assert key_of(path) not in app.session_state
    assert values_of(app)[path] == 0.25
    app.session_state[key] = True
    assert number(app.run(), path).value == 0.25
    change(app, path, 7)
    app.session_state[key] = False
    app.run()
    assert start_button(app).disabled
    assert "1 to correct" in " ".join(expander.label for expander in app.expander)


@pytest.mark.parametrize("name", presets.PRESETS)
def test_a_preset_fills_the_form_for_the_dataset_in_work(name: str, home: Path) -> None:
    app = opened()
    app.button_group(key="configure-preset").set_value(name).run()
    assert_calm(app)
    assert values_of(app) == settings.preset(name, "fashion-mnist-mini")
    config = presets.PRESETS[name]("fashion-mnist-mini")
    assert number(app, "budget").value == config["budget"]
    assert number(app, "rambo.offline.pairs").value == config["rambo"]["offline"]["pairs"]


def test_changes_are_listed_taken_back_and_brought_back(home: Path) -> None:
    app = change(opened(), "k", 250)
    assert "Changed from **demo**: $k$ 200 → 250" in words(app)
    assert "· changed" in number(app, "k").label
    assert "· changed" not in number(app, "budget").label
    app.button_group(key="configure-preset").set_value("quick").run()
    assert number(app, "k").value == 200
    app.button(key="configure-undo").click().run()
    assert number(app, "k").value == 250
    app.button(key="configure-reset").click().run()
    assert number(app, "k").value == 200
    assert_calm(app)


def test_the_paper_has_no_run_on_own_images_and_nothing_is_lost(home: Path) -> None:
    app = change(opened(dataset="mine.npz"), "k", 31)
    app.button_group(key="configure-preset").set_value("paper").run()
    assert_calm(app)
    assert "the paper has no run on" in unescaped(app.error[0].value)
    assert number(app, "k").value == 31
    assert app.button_group(key="configure-preset").value == "demo"


def test_another_run_lends_its_settings(home: Path) -> None:
    run = make_queued(home, seed=77)
    app = opened(run.id)
    app.button(key="configure-use-run").click().run()
    assert_calm(app)
    assert number(app, "seed").value == 77
    assert settings.nest(values_of(app)) == run.config
    assert run.id in page_text(app)


def test_a_dataset_in_the_address_is_taken_once(home: Path) -> None:
    app = opened(dataset="mnist")
    assert app.selectbox(key=key_of("dataset.name")).value == "mnist"
    app.selectbox(key=key_of("dataset.name")).set_value("fashion-mnist-mini").run()
    assert values_of(app)["dataset.name"] == "fashion-mnist-mini"


@pytest.mark.parametrize("typed", ["x" * 5000, "\x00", "a\ud7ff\n"])
def test_a_dataset_that_is_no_name_is_told(typed: str, home: Path) -> None:
    app = opened(dataset=typed)
    assert values_of(app)["dataset.name"] == "fashion-mnist-mini"


@pytest.mark.parametrize(
    "typed", ["<img src=x>", "![](http://evil.example/p.png)", "../../etc/passwd"]
)
def test_a_hostile_dataset_name_is_literal_text(typed: str, home: Path) -> None:
    app = opened(dataset=typed)
    assert start_button(app).disabled
    markdown = [
        element.value for kind in ("markdown", "caption", "error") for element in app.get(kind)
    ]
    assert not [text for text in markdown if "http://" in text or "<img" in text]


# Data that are wrong, rivals, a cluster


def with_sections(app: AppTest, *names: str) -> AppTest:
    """Draw the page with these expanders open: AppTest shuts them before every other run."""
    keys = {entry.section: f"section-{entry.path}" for entry in reversed(fields.TABLE)}
    for name in names:
        app.session_state[keys[name] if name != TRANSFER else "configure-transfer"] = True
    app.run()
    assert_calm(app)
    return app


def test_only_strategies_that_run_are_explained(home: Path) -> None:
    app = opened()
    pills = app.button_group(key=key_of("strategies"))
    assert len(pills.options) == len(lineup.names())
    text = page_text(app)
    assert "**RAMBO**: Small margins first" in text
    assert "**BADGE**:" not in text
    assert "**BADGE**:" in pills.help, "the tooltip has them all"
    pills.set_value(["margin", "badge", "llal"]).run()
    assert_calm(app)
    text = page_text(app)
    assert "**BADGE**: Images of which f is unsure" in text
    assert "**LLAL**:" in text
    assert "**RAMBO**:" not in text
    assert values_of(app)["strategies"] == ["margin", "badge", "llal"]


def test_a_rivals_fields_are_open_while_it_runs(home: Path) -> None:
    rivals = "What the rivals that learn need", "What the rivals that measure need"
    app = with_sections(opened(), *rivals)
    assert number(app, "rivals.llal.weight").disabled
    assert app.selectbox(key=key_of("rivals.space")).disabled
    app.button_group(key=key_of("strategies")).set_value(["llal", "probcover"])
    with_sections(app, *rivals)
    assert not number(app, "rivals.llal.weight").disabled
    assert not number(app, "rivals.probcover.purity").disabled
    assert not app.selectbox(key=key_of("rivals.space")).disabled
    assert number(app, "rivals.typiclust.neighbours").disabled
    number(app, "rivals.probcover.radius").set_value(0.4)
    with_sections(app, *rivals)
    assert number(app, "rivals.probcover.purity").disabled
    assert values_of(app)["rivals.probcover.radius"] == 0.4


def test_a_section_stays_open_when_something_in_it_changes(home: Path) -> None:
    """Its label gains a dot then, and by its label Streamlit knows an expander."""
    app = with_sections(opened(), "What the rivals that learn need")
    app.button_group(key=key_of("strategies")).set_value(["llal"]).run()
    change(app, "rivals.llal.weight", 2.5)
    (label,) = [e.label for e in app.expander if e.label.startswith("What the rivals that learn")]
    assert "· changed" in label
    assert number(app, "rivals.llal.weight").value == 2.5
    assert "LLAL: weight 1 → 2.5" in page_text(app)


def test_noise_and_imbalance_are_said_in_words(home: Path) -> None:
    path, section = "dataset.corruption", "Errors and imbalance"
    app = with_sections(opened(), section)
    assert app.multiselect(key=key_of(f"{path}.noisy_classes")).disabled
    number(app, f"{path}.label_noise").set_value(0.2)
    with_sections(app, section)
    assert "the oracle gets 1 in 5 wrong" in page_text(app)
    classes = app.multiselect(key=key_of(f"{path}.noisy_classes"))
    assert not classes.disabled
    assert classes.options[9] == "9: Ankle boot"
    classes.set_value([7, 0])
    with_sections(app, section)
    assert values_of(app)[f"{path}.noisy_classes"] == [0, 7]
    assert "Of the labels of T-shirt/top, Sneaker that you hold" in page_text(app)
    assert "all → 0, 7" in page_text(app)
    app.selectbox(key=key_of(f"{path}.imbalance")).set_value("glister")
    with_sections(app, section)
    assert "5,840 images or more are left" in page_text(app)  # 8000 less 3 times 720
    change(app, "budget", 5700)
    assert "lower it to at most 5640" in page_text(app)
    assert start_button(app).disabled


def test_classes_of_an_unknown_dataset_are_numbers(home: Path) -> None:
    path = "dataset.corruption.noisy_classes"
    noise = {"label_noise": 0.1, "noisy_classes": [3, 12]}
    nested = merged(presets.demo(), {"dataset": {"corruption": noise}})
    app = upload(opened(), json.dumps(nested).encode())
    assert "classes 0 to 9" in page_text(app), "the shipped dataset has no class 12"
    app.selectbox(key=key_of("dataset.name")).set_value("mnist")
    with_sections(app, "Errors and imbalance")
    classes = app.multiselect(key=key_of(path))
    assert classes.options == [*map(str, range(10)), "12"]
    assert values_of(app)[path] == [3, 12]


def test_a_cluster_has_an_address_that_may_be_left_empty(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAMBO_CLUSTER", "tcp://host:8786")
    app = with_sections(opened(), "Cluster")
    assert app.text_input(key=key_of("compute.address")).disabled
    app.selectbox(key=key_of("compute.backend")).set_value("dask")
    with_sections(app, "Cluster")
    app.text_input(key=key_of("compute.address")).set_value(" tcp://host:8786 ")
    with_sections(app, "Cluster", TRANSFER)
    assert values_of(app)["compute.address"] == "tcp://host:8786"
    assert "compute.address=tcp://host:8786" in app.code[0].value
    app.selectbox(key=key_of("compute.backend")).set_value("loky")
    with_sections(app, "Cluster")
    assert "loky works on this machine" in page_text(app)
    assert not app.text_input(key=key_of("compute.address")).disabled, "what is wrong can be mended"
    app.text_input(key=key_of("compute.address")).set_value("")
    with_sections(app, "Cluster")
    assert values_of(app)["compute.address"] is None
    assert not start_button(app).disabled


def test_no_page_sends_a_run_to_a_cluster_that_is_not_open(home: Path) -> None:
    run = make_queued(home, compute={"backend": "dask", "address": "tcp://evil.example:1"})
    app = with_sections(opened(), "Cluster")
    assert app.selectbox(key=key_of("compute.backend")).options == ["this machine"]
    app = opened(run.id)
    app.button(key="configure-use-run").click().run()
    assert_calm(app)
    assert start_button(app).disabled
    everything = unescaped("\n".join(error.value for error in app.markdown))
    assert "whoever starts the app opens a cluster with RAMBO_CLUSTER" in everything
    nested = merged(presets.quick(), {"compute": {"backend": "dask"}})
    with pytest.raises(ConfigError, match=r"compute\.backend dask is not open here"):
        settings_file.read_file(json.dumps(nested).encode())
    app = upload(opened(), json.dumps(nested).encode())
    assert values_of(app)["compute.backend"] == "loky"


@pytest.mark.parametrize(
    "values",
    [
        {"name": "/srv/private/cats.npz"},
        {"name": "../../../cats.npz"},
        {"name": "rehearsal:rehearsal:/srv/private/cats.npz"},
        {"name": "link/../cats.npz"},
        {"feature_weights": "~/resnet18.pth"},
        {"feature_weights": "mnist/../../../../x.pth"},
        {"corruption": {"foreign": 0.1, "foreign_source": "/srv/private/cats.npz"}},
    ],
)
def test_a_strangers_file_reaches_no_path_of_the_server(values: dict, home: Path) -> None:
    nested = merged(presets.quick(), {"dataset": values})
    with pytest.raises(ConfigError, match="lies in no open folder"):
        settings_file.read_file(json.dumps(nested).encode())
    with pytest.raises(ConfigError, match="lies in no open folder"):
        controls.start(configs.build(nested), None)  # type: ignore[arg-type]


def test_a_refusal_stays_until_something_else_fills_the_form(home: Path) -> None:
    nested = merged(presets.quick(), {"compute": {"backend": "dask", "address": "tcp://evil:1"}})
    app = upload(opened(), json.dumps(nested).encode())
    for _ in range(3):  # a live part of the page, or another widget, draws it again
        assert "the file was not taken" in unescaped(app.error[0].value)
        assert "RAMBO_CLUSTER" in unescaped(app.error[0].value)
        app.run()
    app.button_group(key="configure-preset").set_value("quick").run()
    assert not app.error


def test_a_path_in_the_address_is_neither_looked_for_nor_read(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("looked at")

    (home.parent / "mine.npz").write_bytes(b"private")
    monkeypatch.setattr(catalog, "file_hash", never)
    monkeypatch.setattr(allowed, "located", never)
    app = opened(dataset=str(home.parent / "mine.npz"))
    assert_calm(app)
    assert app.button(key="configure-prepare").label == "Get this dataset"
    assert start_button(app).disabled


def test_a_file_with_every_new_field_fills_the_form(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAMBO_CLUSTER", "auto")
    nested = merged(
        presets.quick(),
        {
            "dataset": {"corruption": {"label_noise": 0.3, "noisy_classes": [2], "imbalance": "paper"}},
            "strategies": list(lineup.names()),
            "rivals": {"space": "embedding", "probcover": {"radius": 0.5}, "llal": {"width": 64}},
            "classifier": {"logistic": {"l2": 2.5}},
            "rambo": {"offline": {"proxy": True}},
            "oracle_draws": 3,
            "compute": {"backend": "dask", "address": "auto"},
        },
    )  # fmt: skip
    app = upload(opened(), json.dumps(nested).encode())
    assert values_of(app) == settings.of(configs.build(nested))
    assert number(app, "oracle_draws").value == 3
    with_sections(app, "Cluster", "What the rivals that learn need", "Errors and imbalance")
    assert app.text_input(key=key_of("compute.address")).value == "auto"
    assert number(app, "rivals.llal.width").value == 64
    assert values_of(app) == settings.of(configs.build(nested)), "drawing them changes nothing"
    app.button_group(key="configure-preset").set_value("demo").run()
    assert_calm(app)
    here = {"compute.backend": "dask", "compute.address": "auto"}  # no part of a preset
    assert values_of(app) == settings.preset("demo") | here


# What is wrong


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("k", 1, "use at least 2"),
        ("k", None, "empty: type a number"),
        ("k", 8000, "use at most 7999"),
        ("k", 5, "k_1 140 exceeds k 5"),
        ("budget", 8000, "lower it to at most 7800"),
        ("acquisition.filter_size", 3, "M 3 is below b 20"),
        ("rambo.initial_size", 300, "k_1 300 exceeds k 200"),
        ("rambo.utility_model.ot_weight", -1.0, "use at least 0"),
        ("trials", 0, "use at least 1"),
        ("seed", -3, "use at least 0"),
        ("compute.jobs", 0, "use at least 1"),
    ],
)
def test_what_is_wrong_stands_at_its_field_and_at_start(
    path: str, value: float | None, expected: str, home: Path
) -> None:
    app = change(opened(), path, value)
    assert number(app, path).value == value, "what was typed stays"
    sentences = [unescaped(element.value) for element in app.markdown]
    beside = [text for text in sentences if expected in text and text.startswith(":small[:red[")]
    summed = [text for text in sentences if expected in text and text.startswith(":red[")]
    assert len(beside) == 1
    assert len(summed) == 1
    assert start_button(app).disabled
    assert "Start waits" in page_text(app)
    change(app, path, settings.preset("demo")[path])
    assert not start_button(app).disabled


def test_no_strategy_is_a_complaint(home: Path) -> None:
    app = opened()
    app.button_group(key=key_of("strategies")).set_value([]).run()
    assert_calm(app)
    assert "choose at least one" in page_text(app)
    assert start_button(app).disabled


def test_zero_is_a_weight_of_ot(home: Path) -> None:
    app = change(opened(), "rambo.utility_model.ot_weight", 0.0)
    assert not start_button(app).disabled
    assert "teaches nothing" in page_text(app)


def test_a_dataset_that_is_not_here_has_a_way_out(home: Path) -> None:
    app = opened()
    app.selectbox(key=key_of("dataset.name")).set_value("mnist").run()
    assert_calm(app)
    assert start_button(app).disabled
    assert "not on this machine yet: get it first" in page_text(app)
    assert app.button(key="configure-prepare").label == "Get this dataset"


def test_a_dataset_that_cannot_be_had_says_why(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    why = "dataset mnist: cannot be read or downloaded; put the files into data/downloads/MNIST"
    monkeypatch.setattr(library, "standing", lambda name: library.DatasetState("failed", why))
    app = opened(dataset="mnist")
    assert why in page_text(app)
    assert start_button(app).disabled
    assert app.button(key="configure-prepare").label == "Try again"


def test_a_dataset_being_prepared_is_waited_for(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "standing", lambda name: library.DatasetState("preparing"))
    app = opened(dataset="mnist")
    assert "is being prepared" in page_text(app)
    assert start_button(app).disabled


# Starting


def press(app: AppTest) -> None:
    """Press Start; AppTest goes to no other page, so the run is what counts."""
    start_button(app).click().run()


def test_start_makes_one_run_however_often_and_from_wherever(
    home: Path, launched: list[Run]
) -> None:
    first, second = opened(), opened()
    press(first)
    press(second)
    again = opened()
    press(again)
    runs = list(Workspace(home).runs())
    assert len(runs) == 1
    assert [run.id for run in launched] == [runs[0].id]
    assert runs[0].config == configs.describe(configs.build(presets.demo()))


def test_other_settings_are_another_run(home: Path, launched: list[Run]) -> None:
    press(opened())
    press(change(opened(), "seed", 4))
    assert {run.config["seed"] for run in launched} == {0, 4}


def test_a_click_counts_in_the_very_moment_in_which_the_time_comes_in(
    home: Path, launched: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page began anew to show the time, and forgot the click that it was drawn for: Start did nothing."""
    app = opened()
    moments = []

    def arrive(own: planner.Planner, now: float) -> bool:
        moments.append(now)
        assert own._question is not None
        own.answers[own._question.digest] = planner.PlanAnswer(None, "nobody knows", now)
        return True

    monkeypatch.setattr(planner.Planner, "tick", arrive)
    press(app)
    assert moments
    assert len(list(Workspace(home).runs())) == 1


def test_a_workspace_that_cannot_be_written_is_words(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise StoreError("no space left below the workspace; free some")

    monkeypatch.setattr(jobs, "start", full)
    app = opened()
    press(app)
    assert_calm(app)
    assert "no space left" in page_text(app)


# Command line and file


def test_the_command_line_on_the_page_makes_this_config(home: Path) -> None:
    app = change(change(opened(), "k", 222), "rambo.utility_model.ot_weight", 0.0)
    assert not app.code, "a closed section draws nothing"
    line = shlex.split(with_sections(app, TRANSFER).code[0].value)
    parsed = command_line.make_parser().parse_args(line[3:])
    config = configs.build(settings_from(parsed))
    assert settings.of(config) == values_of(app)


def upload(app: AppTest, content: bytes, name: str = "s.json") -> AppTest:
    with_sections(app, TRANSFER)
    app.file_uploader(key="configure-upload").upload(name, content, "application/json").run()
    assert_calm(app)
    return app


def test_a_settings_file_fills_the_form(home: Path) -> None:
    nested = merged(presets.quick(), {"seed": 12})
    app = upload(opened(), json.dumps(nested).encode(), "![x](y).json")
    assert values_of(app) == settings.of(configs.build(nested))
    assert number(app, "seed").value == 12


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[" * 50_000, "not JSON"),
        (b'{"k": 1}', "use at least 2"),
        (b'{"<b>x</b>": 1}', "no such field"),
        (b" " * 70_000, "bytes"),
    ],
)
def test_a_bad_file_changes_nothing(content: bytes, expected: str, home: Path) -> None:
    app = upload(change(opened(), "k", 231), content)
    assert expected in unescaped(app.error[0].value)
    assert number(app, "k").value == 231


# The cost


PLAN = {
    "trainings": 46, "lookups": 34, "cached": 34, "seconds": 200.0, "stages": {"offline": 190.0},
    "rate": {"seconds_per_image": 0.01, "source": "measured on 38 trainings here", "seconds_per_pass": 1e-4},
    "device": "cpu", "jobs": 2,
    "initial_labels": 24, "labels_bought": 12, "validation": 40, "unlabeled": 76, "trials": 1, "per_trial": {},
    "sentence": "You hold 24 labels.",
}  # fmt: skip


def metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def answered(app: AppTest, answer: planner.PlanAnswer) -> AppTest:
    planner_before = app.session_state["configure-planner"]
    planner_before._keep(planner_before._question, answer)
    app.run()
    assert_calm(app)
    return app


def test_the_counts_are_there_at_once_and_the_plan_refines_them(home: Path) -> None:
    app = opened()
    assert metrics(app) == {
        "To learn from": "200 :small[labels]",
        "To buy": "200 :small[labels]",
        "To train": "46 :small[classifiers]",
        "Time": "…",
    }
    answered(app, planner.PlanAnswer(forecast.restore(PLAN), at=time.monotonic()))
    assert metrics(app)["To train"].startswith("12 ")
    assert metrics(app)["Time"] == "3 min"
    assert "34 are trained already" in page_text(app)
    assert "rate measured on 38 trainings here" in page_text(app)
    change(app, "seed", 1)  # another config: its counts, and the time from the rate that is known
    assert metrics(app)["To train"].startswith("46 ")
    assert metrics(app)["Time"].startswith("~ ")


def test_a_plan_that_failed_leaves_the_counts(home: Path) -> None:
    app = answered(opened(), planner.PlanAnswer(None, "out of <b>memory</b>", time.monotonic()))
    assert metrics(app)["To train"].startswith("46 ")
    assert metrics(app)["Time"] == "unknown"
    assert "could not be measured" in page_text(app)
    assert not start_button(app).disabled


def test_a_huge_run_is_not_looked_up(home: Path) -> None:
    app = change(opened(), "rambo.offline.pairs", 100_000)
    assert "are not looked up" in page_text(app)
    assert metrics(app)["To train"].startswith("200,026 ")


def test_partly_labeled_images_are_rehearsed_with_one_button(
    home: Path, launched: list[Run], tiny: Prepared, tmp_path: Path
) -> None:
    labels = np.array(tiny.labels)
    labels[60:] = -1  # a fifth of 60 validates
    path = tmp_path / "pets.npz"
    np.savez(path, images=np.array(tiny.images)[:, 0], labels=labels)
    catalog.prepare(str(path), home)
    app = picked(path)
    field = app.number_input(key="fixed-k-48")
    assert (field.value, field.disabled) == (48, True)
    assert "B 200 exceeds the 140 unlabeled images" in page_text(app)
    assert "Fixed: as many as this dataset has." in page_text(app)
    change(app, "budget", 20)
    assert "Fixed: 48 images of this dataset have a label" in page_text(app)
    change(app, "acquisition.batch_size", 10)
    assert "48 labeled to learn from, 12 to check with, 140 to choose from" in page_text(app)
    assert "waits for its labels" in page_text(app)
    app.button(key="configure-rehearse").click().run()
    (run,) = launched
    config = run.config
    assert config["dataset"]["name"] == f"rehearsal:{path}"
    assert (config["trials"], config["budget"]) == (
        5,
        7,
    )  # 32 to play with: 17 are held, half of the rest is bought
    start_button(picked(path))


def test_the_k_of_partly_labeled_images_is_what_there_is(
    home: Path, launched: list[Run], tiny: Prepared, tmp_path: Path
) -> None:
    labels = np.array(tiny.labels)
    labels[60:] = -1
    path = tmp_path / "pets.npz"
    np.savez(path, images=np.array(tiny.images)[:, 0], labels=labels)
    catalog.prepare(str(path), home)
    app = picked(path)
    change(app, "budget", 20)
    start_button(app).click().run()
    (run,) = launched
    assert run.config["k"] == 48
    assert run.config["rambo"]["initial_size"] is None


def test_a_collection_stands_in_the_list_of_datasets(home: Path, tmp_path: Path) -> None:
    photos = tmp_path / "pets"
    rng = np.random.default_rng(0)
    for place in range(30):
        folder = photos / (["cat", "dog"][place % 2] if place < 12 else "unlabeled")
        folder.mkdir(parents=True, exist_ok=True)
        picture = rng.integers(0, 256, (28, 28), dtype=np.uint8)
        Image.fromarray(picture).save(folder / f"{place}.png")
    import_images(home, photos, ImportOptions(jobs=1))
    catalog.prepare("collection:pets", home)
    app = opened(dataset="collection:pets")
    box = app.selectbox(key=key_of("dataset.name"))
    assert "pets (my images)" in box.options
    assert "18 to choose from" in page_text(app)
    assert "judged by 5-fold cross-validation, a rehearsal by 3-fold validation" in page_text(app)
