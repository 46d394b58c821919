"""The form without a browser: its table against the config tree, checks that name the field, nothing but words."""

import dataclasses
import json
import math
import random
import shlex
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_helpers import unescaped
from tiny import TINY, merged, write_tiny

from rambo import config as configs
from rambo import lineup
from rambo.commands import line as command_line
from rambo.commands.settings import settings_from
from rambo.config import Config, presets
from rambo.datasets.prepared import Prepared
from rambo.errors import ConfigError
from rambo.estimate import costs, forecast
from rambo.estimate.idle import idle_paths
from rambo.text import duration
from rambo.ui.configure import cost_card, fields, fill, forms, planner, settings, settings_file
from rambo.ui.configure.planner import PlanAnswer, Planner

ROOT = Path(__file__).resolve().parents[2]


def paths_of(model: Any, prefix: str = "") -> list[str]:
    """Return the paths of all fields of the tree, read from pydantic and not from the schema the form reads."""
    paths = []
    for name, field in model.model_fields.items():
        inner = getattr(field.annotation, "model_fields", None)
        paths += paths_of(field.annotation, f"{prefix}{name}.") if inner else [f"{prefix}{name}"]
    return paths


def tiny_values(**changes: Any) -> settings.Values:
    return settings.of(configs.build(merged(TINY, {"strategies": ["rambo", "margin"]}))) | changes


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return write_tiny(tmp_path_factory.mktemp("images"))


# The table


def test_every_field_of_the_config_is_in_the_form_or_left_out_for_a_reason() -> None:
    everything = paths_of(Config)
    assert len(everything) == len(set(everything)) > 40
    paths = [entry.path for entry in fields.TABLE]
    assert len(paths) == len(set(paths)), "a field stands there twice"
    assert set(paths) | set(fields.EXCLUDED) == set(everything)
    assert all(fields.EXCLUDED.values()), "say why it is left out"
    assert set(fields.facts()) == set(everything)


@pytest.mark.parametrize("entry", fields.TABLE, ids=lambda entry: entry.path)
def test_every_field_has_words(entry: fields.Field) -> None:
    assert 0 < len(entry.label) <= 24
    assert len(entry.help) >= 5
    assert entry.help.endswith(".")
    assert entry.group in fields.GROUPS
    facts = fields.facts()[entry.path]
    assert set(entry.names) >= set() if facts.choices else not entry.names
    assert entry.step > 0


def test_groups_stand_together_and_begin_with_what_everyone_sees() -> None:
    groups = [entry.group for entry in fields.TABLE]
    assert list(dict.fromkeys(groups)) == list(fields.GROUPS)
    for name in fields.GROUPS:
        places = [i for i, group in enumerate(groups) if group == name]
        assert places == list(range(places[0], places[-1] + 1))
        sections = [fields.TABLE[i].section for i in places]
        assert sections[0] == ""
        assert sections == sorted(sections, key=list(dict.fromkeys(sections)).index)


@pytest.mark.parametrize(
    ("path", "limits"),
    [
        ("k", "2 to 1,000,000"),
        ("seed", "at least 0, below 2,147,483,648"),
        ("classifier.learning_rate", "above 0, at most 10"),
        ("rambo.utility_model.dropout", "at least 0, below 1"),
        ("rambo.utility_model.bilevel.initial_log_l2", "-30 to 5"),
        ("acquisition.filter_size", "1 to 1,000,000"),
        ("dataset.name", ""),
    ],
)
def test_limits_are_read_from_the_config(path: str, limits: str) -> None:
    assert fields.facts()[path].limits == limits


def test_types_and_choices_are_read_from_the_config() -> None:
    facts_of_fields = fields.facts()
    assert {path for path in facts_of_fields if fields.is_optional(path)} == {
        "dataset.validation_part",
        "acquisition.per_cluster",
        "acquisition.per_group",
        "acquisition.filter_size",
        "rambo.initial_size",
        "rivals.glister.learning_rate",
        "rivals.probcover.radius",
        "dataset.corruption.foreign_source",
        "dataset.feature_weights",
        "compute.jobs",
        "compute.address",
        "compute.slots",
    }
    noisy = facts_of_fields["dataset.corruption.noisy_classes"]
    assert (noisy.kind, noisy.choices, noisy.limits) == ("array", (), "")
    assert facts_of_fields["compute.address"].kind == "string"
    assert facts_of_fields["strategies"].kind == "array"
    assert facts_of_fields["strategies"].choices == lineup.names()
    assert facts_of_fields["rambo.utility_model.loss"].choices == ("rank", "regression")
    assert facts_of_fields["rambo.utility_model.transport"].kind == "boolean"


# Values


@pytest.mark.parametrize("name", presets.PRESETS)
def test_a_preset_fills_every_field(name: str) -> None:
    values = settings.preset(name)
    assert set(values) == set(fields.facts())
    assert configs.build(settings.nest(values)) == configs.build(presets.PRESETS[name]())
    assert settings.changed(values, settings.preset(name)) == []


def test_what_changed_is_named_in_the_order_of_the_form() -> None:
    base = settings.preset("demo")
    assert settings.changed(base | {"seed": 3, "k": 250}, base) == ["k", "seed"]


INVALID = [
    ({"k": 1}, "k", "use at least 2"),
    ({"k": None}, "k", "empty"),
    ({"k": 2.5}, "k", "whole number"),
    ({"k": 10**30}, "k", "at most"),
    ({"budget": 0}, "budget", "use at least 1"),
    ({"acquisition.batch_size": 0}, "acquisition.batch_size", "use at least 1"),
    ({"acquisition.filter_size": 3}, "acquisition.filter_size", "M 3 is below b 4; raise it"),
    ({"rambo.initial_size": 25}, "rambo.initial_size", "k_1 25 exceeds k 24; lower it"),
    ({"rambo.initial_size": 1}, "rambo.initial_size", "use at least 2"),
    ({"rambo.pairs_per_iteration": 0}, "rambo.pairs_per_iteration", "use at least 2"),
    ({"rambo.offline.pairs": 1_000_000_000}, "rambo.offline.pairs", "use at most 100000"),
    ({"rambo.utility_model.ot_weight": math.nan}, "rambo.utility_model.ot_weight", "finite"),
    ({"rambo.utility_model.ot_weight": -1.0}, "rambo.utility_model.ot_weight", "at least 0"),
    ({"rambo.utility_model.dropout": 1.0}, "rambo.utility_model.dropout", "less than 1"),
    ({"strategies": []}, "strategies", "choose at least one"),
    ({"strategies": ["best"]}, "strategies", "choose one of"),
    ({"seed": -1}, "seed", "-1 is too small; use at least 0"),
    ({"trials": 0}, "trials", "use at least 1"),
    ({"compute.device": "tpu"}, "compute.device", "choose one of"),
    ({"compute.device": "cuda"}, "compute.device", "this machine has no cuda; use cpu or auto"),
    ({"dataset.name": ""}, "dataset.name", "at least 1"),
    # what only the dataset tells
    ({"k": 100}, "k", "use at most 99"),
    ({"dataset.corruption.label_noise": 0.95}, "dataset.corruption.label_noise", "use at most 0.9"),
    ({"dataset.corruption.noisy_classes": [1, -1]}, "dataset.corruption.noisy_classes", "at least 0"),
    ({"dataset.corruption.noisy_classes": [1, 7]}, "dataset.corruption.noisy_classes", "classes 0 to 3"),
    ({"dataset.corruption.imbalance": "some"}, "dataset.corruption.imbalance", "choose one of"),
    ({"k": 77, "dataset.corruption.imbalance": "glister"}, "k", "77 images under"),
    ({"budget": 54, "dataset.corruption.imbalance": "glister"}, "budget", "exceeds the 53 unlabeled"),
    ({"oracle_draws": -1}, "oracle_draws", "use at least 0"),
    ({"rivals.probcover.purity": 1.5}, "rivals.probcover.purity", "use at most 1"),
    ({"rivals.llal.width": None}, "rivals.llal.width", "empty"),
    ({"compute.backend": "spark"}, "compute.backend", "choose one of"),
    ({"compute.address": "tcp://host:1"}, "compute.address", "loky works on this machine"),
    ({"budget": 77}, "budget", "B 77 exceeds the 76 unlabeled images"),
]  # fmt: skip


def test_everything_that_does_not_fit_the_data_is_said_at_once(images: Prepared) -> None:
    values = tiny_values(k=10_000, strategies=["rambo", "llal"])
    values |= {"classifier.name": "logistic", "dataset.corruption.noisy_classes": [99]}
    complaints = settings.check(values, images, {"cpu": "CPU"}).complaints
    assert {"k", "strategies", "dataset.corruption.noisy_classes"} <= set(complaints)


@pytest.mark.parametrize(("changes", "path", "words"), INVALID)
def test_what_is_wrong_is_said_at_its_field(
    changes: dict[str, Any], path: str, words: str, images: Prepared
) -> None:
    checked = settings.check(tiny_values(**changes), images, {"cpu": "CPU"})
    assert checked.config is None
    assert set(checked.complaints) == {path}
    assert words in checked.complaints[path]
    assert checked.complaints[path].isprintable()


def test_everything_wrong_is_said_at_once(images: Prepared) -> None:
    values = tiny_values(
        **{
            "k": 100,
            "acquisition.filter_size": 2,
            "rambo.initial_size": 109,
            "compute.device": "mps",
        }
    )
    checked = settings.check(values, images, {"cpu": "CPU"})
    assert set(checked.complaints) == {
        "k",
        "acquisition.filter_size",
        "rambo.initial_size",
        "compute.device",
    }


def test_rules_across_fields_are_told_beside_a_field_that_is_wrong_alone(images: Prepared) -> None:
    def complaints_of(**changes: Any) -> dict[str, str]:
        return settings.check(tiny_values(**changes), images, None).complaints

    both = complaints_of(**{"acquisition.batch_size": 0, "rambo.initial_size": 500})
    assert both == {
        "acquisition.batch_size": "0 is too small; use at least 1",
        "rambo.initial_size": "k_1 500 exceeds k 24; lower it to at most 24",
    }
    assert set(complaints_of(seed=-1, budget=77)) == {"seed", "budget"}
    # What hangs on a value that is wrong is not told: with the right one it may hold.
    assert set(complaints_of(k=0, **{"rambo.initial_size": 500})) == {"k"}
    assert set(complaints_of(**{"acquisition.batch_size": 0, "acquisition.filter_size": 3})) == {
        "acquisition.batch_size"
    }


def test_complaints_of_the_dataset_find_their_field(tmp_path: Path) -> None:
    colour = write_tiny(tmp_path, channels=3, size=32)
    for changes, path in (
        ({"classifier.name": "mnistnet"}, "classifier.name"),
        ({"rambo.utility_model.extractor": "conv"}, "rambo.utility_model.extractor"),
    ):
        assert set(settings.check(tiny_values(**changes), colour, None).complaints) == {path}


def test_rules_are_stated() -> None:
    def warnings_of(**changes: Any) -> dict[str, str]:
        config = settings.check(tiny_values(**changes), None, None).config
        assert config is not None
        return settings.notes(config, None)

    even, odd = (
        warnings_of(),
        warnings_of(**{"acquisition.batch_size": 5, "acquisition.filter_size": 13}),
    )
    assert "3 greedy steps" in even["acquisition.batch_size"]
    assert "last" not in even["acquisition.batch_size"]
    assert r"3 greedy steps ($\tau_2$, the last of only 2)" in odd["acquisition.batch_size"]
    assert r"3 pretraining slices ($\tau_1$, the last of only 2)" in odd["acquisition.batch_size"]
    assert "2 candidate batches a step; 3 are left over" in odd["acquisition.filter_size"]
    assert (
        "margin sampling"
        in warnings_of(**{"acquisition.filter_size": 4})["acquisition.filter_size"]
    )
    assert "at random" in warnings_of(**{"acquisition.filter_size": 7})["acquisition.filter_size"]
    assert "no pretraining" in warnings_of(**{"rambo.initial_size": 24})["rambo.initial_size"]
    assert (
        "nothing"
        in warnings_of(**{"rambo.utility_model.ot_weight": 0.0})["rambo.utility_model.ot_weight"]
    )
    alone = warnings_of(strategies=["random"])
    assert "not used" in alone["strategies"]
    assert "Not used" in alone["acquisition.filter_size"]


def test_rules_of_the_dataset_are_stated(images: Prepared) -> None:
    values = tiny_values(**{"budget": 76, "acquisition.filter_size": 80})
    config = settings.check(values, images, None).config
    assert config is not None
    notes = settings.notes(config, images)
    assert "brings 60" in notes["dataset.validation_size"]
    assert "nothing to choose" in notes["budget"]
    assert "filter nothing" in notes["acquisition.filter_size"]
    assert "MnistNet" in notes["classifier.name"]
    assert "dataset.validation_size" in idle_paths(values, images)


def idle(**changes: Any) -> set[str]:
    return idle_paths(tiny_values(**changes), None)


EVERYONE = {"strategies": list(lineup.names())}


def test_what_depends_on_a_switch_is_idle_without_it() -> None:
    gate = {f"acquisition.gate.{name}" for name in ("axes", "folds", "keep", "wrong")}
    assert idle(**EVERYONE) - idle(**EVERYONE, **{"acquisition.gate.by": "classifier"}) == gate
    assert idle(**EVERYONE, **{"acquisition.gate.by": "transport"}) & gate == {
        "acquisition.gate.folds"
    }
    mixed = idle(**EVERYONE, **{"dataset.corruption.foreign": 0.4})
    assert idle(**EVERYONE) - mixed == {"dataset.corruption.foreign_source"}
    assert "acquisition.per_cluster" not in idle(**EVERYONE, **{"dataset.corruption.copies": 0.4})
    assert mixed - gate == {
        "classifier.logistic.l2",
        "classifier.logistic.iterations",
        "dataset.corruption.noisy_classes",
        "compute.address",
        "compute.precision",
    }
    for device in ("auto", "cuda"):
        assert "compute.precision" not in idle(**EVERYONE, **{"compute.device": device})
    model = "rambo.utility_model"
    without = idle(**{f"{model}.transport": False})
    assert f"{model}.ot_weight" in without
    assert f"{model}.transport" not in without
    without = idle(**{f"{model}.bilevel.enabled": False})
    assert f"{model}.bilevel.terms" in without
    assert f"{model}.bilevel.enabled" not in without
    without = idle(strategies=["margin"])
    assert {"rambo.initial_size", f"{model}.bilevel.enabled", "acquisition.filter_size"} <= without


@pytest.mark.parametrize("name", ["glister", "llal", "dulo", "typiclust", "probcover", "activeft"])
def test_a_rival_needs_its_fields_only_while_it_runs(name: str) -> None:
    own = {path for path in fields.FIELDS if path.startswith(f"rivals.{name}.")}
    assert own
    assert own <= idle(strategies=["rambo", "margin"])
    running = idle(strategies=[name])
    assert not own & running
    assert {p for p in fields.FIELDS if p.startswith("rivals.")} - own - running <= {"rivals.space"}
    assert ("rivals.space" in running) == (name in {"glister", "llal", "dulo"})


def test_a_radius_that_is_given_needs_no_purity() -> None:
    values = idle(strategies=["probcover"], **{"rivals.probcover.radius": 0.4})
    assert "rivals.probcover.purity" in values
    assert "rivals.probcover.radius" not in values


def test_dulo_reads_what_it_shares_with_rambo() -> None:
    unread = idle(strategies=["dulo"])
    shared = {"rambo.offline.pairs", "rambo.offline.held_out", "rambo.utility_model.epochs"}
    shared |= {
        "rambo.utility_model.dropout",
        "acquisition.batch_size",
        "rambo.offline.proxy",
    }
    assert not shared & unread
    assert {
        "rambo.initial_size",
        "rambo.utility_model.loss",
        "acquisition.filter_size",
    } <= unread
    assert "rambo.utility_model.bilevel.enabled" in unread
    config = settings.check(tiny_values(strategies=["dulo"]), None, None).config
    assert config is not None
    assert "DULO learns" in settings.notes(config, None)["strategies"]


def test_a_logistic_head_needs_no_network_and_a_network_no_head() -> None:
    head = {"classifier.logistic.l2", "classifier.logistic.iterations"}
    network = {"classifier.learning_rate", "classifier.max_epochs", "classifier.accuracy_mode"}
    logistic = {"classifier.name": "logistic"}
    assert network | {"rambo.offline.proxy"} <= idle(**logistic)
    assert not head & idle(**logistic)
    assert "classifier.learning_rate" not in idle(strategies=["glister"], **logistic)
    own = {"rivals.glister.learning_rate": 0.1}
    assert "classifier.learning_rate" in idle(strategies=["glister"], **logistic, **own)
    assert not (head | network) & idle(**{"rambo.offline.proxy": True})
    assert head <= idle(strategies=["margin"], **{"rambo.offline.proxy": True})


def test_switches_of_data_and_cluster() -> None:
    assert "dataset.corruption.noisy_classes" not in idle(**{"dataset.corruption.label_noise": 0.1})
    assert "compute.address" not in idle(**{"compute.backend": "dask"})
    assert "dataset.feature_weights" in idle(**{"dataset.features": "efficientnet-lite0"})


def test_what_is_wrong_with_the_data_is_said_in_words(images: Prepared) -> None:
    def warnings_of(data: Prepared | None, **changes: Any) -> dict[str, str]:
        settings_of_noise = {f"dataset.corruption.{name}": value for name, value in changes.items()}
        config = settings.check(tiny_values(**settings_of_noise), data, None).config
        assert config is not None
        return settings.notes(config, data)

    noise, imbalance = "dataset.corruption.label_noise", "dataset.corruption.imbalance"
    assert not {noise, imbalance} & set(warnings_of(images))
    assert warnings_of(None, label_noise=0.2)[noise] == (
        "Of the labels that you hold or buy, the oracle gets 1 in 5 wrong; "
        "the checking and test images are clean."
    )
    for share, words in (
        (0.35, "35\u00a0%"),
        (0.125, "1 in 8"),
        (0.9, "90\u00a0%"),
        (0.123, "12.3\u00a0%"),
    ):
        assert f"the oracle gets {words} wrong" in warnings_of(None, label_noise=share)[noise]
    assert "gets 0.0\u00a0% wrong" not in warnings_of(None, label_noise=1e-4)[noise]
    some = {"label_noise": 0.5, "noisy_classes": [0, 3]}
    assert (
        "Of the labels of upper left, lower right that you hold"
        in warnings_of(images, **some)[noise]
    )
    assert "Of the labels of 0, 3 that you hold" in warnings_of(None, **some)[noise]
    assert "keep 80 % of their images." in warnings_of(None, imbalance="paper")[imbalance]
    assert warnings_of(images, imbalance="glister")[imbalance].endswith(
        "keep 10 % of their images. 77 images or more are left to hold or to choose from."
    )


def test_notes_say_what_a_gate_is_for_and_what_it_lets_pass(images: Prepared) -> None:
    def note(**changes: Any) -> dict[str, str]:
        config = settings.check(tiny_values(**changes), images, None).config
        assert config is not None
        return settings.notes(config, images)

    assert "label wasted" in note()["acquisition.gate.by"]
    on = {"acquisition.gate.by": "transport", "acquisition.gate.keep": [3, 5]}
    assert "acquisition.gate.by" not in note(**on)
    assert note(**on)["acquisition.gate.keep"].startswith("2 images can be chosen")


def test_hostile_class_names_stay_text_in_notes(images: Prepared) -> None:
    hostile = dataclasses.replace(images, classes=("![](http://evil/x.png)", "b", "c", "d"))
    values = tiny_values(
        **{"dataset.corruption.label_noise": 0.2, "dataset.corruption.noisy_classes": [0]}
    )
    config = settings.check(values, hostile, None).config
    assert config is not None
    assert "![](" not in settings.notes(config, hostile)["dataset.corruption.label_noise"]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("dataset.corruption.noisy_classes", [3, 5], "3, 5"),
        ("dataset.corruption.noisy_classes", [], "all"),
        ("strategies", ["rambo", "llal"], "RAMBO, LLAL"),
        ("strategies", [], "none"),
        ("compute.address", None, "automatic"),
        ("compute.backend", "dask", "Dask"),
        ("rivals.probcover.radius", 0.4, "0.4"),
    ],
)
def test_values_are_said_in_words(path: str, value: Any, words: str) -> None:
    assert unescaped(forms.say(path, value)) == words


# The command line


def parsed(command: str) -> Config:
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "rambo"]
    return configs.build(settings_from(command_line.make_parser().parse_args(words[3:])))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"k": 250},
        {"k": 333, "rambo.initial_size": None, "acquisition.filter_size": 77},
        {"strategies": ["margin", "random"], "rambo.utility_model.loss": "regression"},
        {
            "rambo.utility_model.transport": False,
            "rambo.utility_model.ot_weight": 1e-7,
        },
        {"dataset.name": "cifar10", "compute.device": "cpu", "compute.jobs": 3},
        {"dataset.name": "-my 'images' $HOME; rm -rf.npz"},
        {"dataset.name": "123"},
        {"dataset.name": "null"},
        {"dataset.name": "über/日本\n.npz"},
        {"dataset.corruption.label_noise": 0.2, "dataset.corruption.noisy_classes": [3, 11]},
        {"compute.backend": "dask", "compute.address": "tcp://host:8786"},
        {"compute.backend": "dask", "compute.address": "123"},
        {"dataset.feature_weights": "null"},
        {"dataset.feature_weights": "weights of 'mine' $HOME.pth"},
    ],
)
@pytest.mark.parametrize("name", presets.PRESETS)
def test_the_command_line_makes_the_same_config(name: str, changes: dict[str, Any]) -> None:
    config = configs.build(settings.nest(settings.preset(name) | changes))
    assert parsed(settings_file.command(config)) == config


def test_the_command_of_a_preset_is_short() -> None:
    for name in presets.PRESETS:
        command = settings_file.command(configs.build(presets.PRESETS[name]()))
        short = f"python -m rambo run --preset {name}"
        assert "--set" not in command
        assert command == short or parsed(command) == parsed(short), "two presets may be one here"


# The settings file


def test_a_settings_file_comes_back_as_it_went(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAMBO_CLUSTER", "auto")
    values = tiny_values(seed=9, strategies=["llal", "dulo"])
    values |= {"dataset.corruption.noisy_classes": [1, 3], "rivals.probcover.radius": 0.25}
    values |= {"compute.backend": "dask", "compute.address": "auto", "oracle_draws": 7}
    text = settings_file.to_file(values)
    assert settings_file.read_file(text.encode()) == values
    assert settings_file.read_file(b"\xef\xbb\xbf" + text.encode()) == values


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b" " * 64_001, "bytes"),
        (b"", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[1]", "no group"),
        (b"3", "no group"),
        (b"[" * 60_000, "not JSON"),
        (b'{"a":' * 9_000 + b"1" + b"}" * 9_000, "not"),
        (b'{"k": {"a": {"a": {"a": {"a": {"a": {"a": {}}}}}}}}', "deep"),
        (b'{"what": 1}', "no such field"),
        (b'{"rambo": {"offline": {"pears": 1}}}', "no such field"),
        (b'{"k": NaN}', "finite"),
        (b'{"k": 1e999}', "finite"),
        (b'{"k": ' + b"9" * 5000 + b"}", "not JSON"),
        (b'{"k": "many"}', "whole number"),
        (b'{"rambo": 3}', "group of fields"),
        (b'{"dataset": {"name": "\\ud800"}}', "not JSON"),
        (b'{"rambo": {"offline": {"pairs": 1000000000}}}', "at most 100000"),
        (b'{"__proto__": {"k": 3}}', "no such field"),
        (b'{"<img src=x>": 1}', "no such field"),
    ],
)  # fmt: skip
def test_a_hostile_file_is_refused_in_words(content: bytes, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_file.read_file(content)
    assert words in str(caught.value)
    assert str(caught.value).isprintable()


def test_all_problems_of_a_file_are_named_with_what_was_meant() -> None:
    nested = {"k": "many", "budgt": 3, "acquisition": {"batch_sise": 4}, "qqq": 1, "seed": -1}
    with pytest.raises(ConfigError) as caught:
        settings_file.read_file(json.dumps(nested).encode())
    by_field = {part.field: part for part in caught.value.parts}
    assert str(by_field["k"]) == "k many: use a whole number"
    assert (by_field["seed"].value, by_field["seed"].limit) == (-1, 0)
    assert by_field["budgt"].hint == "did you mean budget?"
    assert by_field["acquisition.batch_sise"].hint == "did you mean acquisition.batch_size?"
    assert str(by_field["qqq"]) == "qqq: there is no such field; leave it out"
    with pytest.raises(ConfigError) as caught:
        settings_file.read_file(json.dumps({f"junk{n}": n for n in range(20)}).encode())
    assert len(caught.value.parts) == 20
    assert fill.in_a_line(caught.value).endswith("; and 12 more")


JUNK = [
    None, 0, -1, 1, 2, 3, 7, 20, 50, 100, 1000, 10**6, 10**9, 10**40, 0.0, 0.5, 1e-300, 1e308, -2.5,
    math.nan, math.inf, True, False, "", "auto", "1e5", "rambo", "x" * 5000, "\x00", "<b>", [], ["rambo"],
    ["rambo", "rambo"], ["margin", "random"], [None], {}, {"a": 1}, [[[]]], "cpu", "cuda",
]  # fmt: skip


def test_no_value_whatever_ends_in_a_trace(images: Prepared) -> None:
    """600 forms, each with up to eight fields of junk: a config that a run would take, or words at known fields."""
    draw, names, taken = random.Random(3), list(fields.facts()), 0
    for _ in range(600):
        values = tiny_values()
        for path in draw.sample(names, draw.randint(1, 8)):
            values[path] = draw.choice(JUNK)
        idle_paths(values, images)
        checked = settings.check(values, images, {"cpu": "CPU"})
        assert set(checked.complaints) <= set(names)
        assert all(words.isprintable() for words in checked.complaints.values())
        assert (checked.config is None) == bool(checked.complaints)
        settings_file.to_file(values)
        if checked.config is not None:
            taken += 1
            settings.notes(checked.config, images)
            assert parsed(settings_file.command(checked.config)) == checked.config
            counted = costs.count(checked.config, costs.DataSizes.of(checked.config, images))
            assert counted.total > 0
    assert taken > 5


# The planner


class Process:
    """A process that says what it is told to say."""

    def __init__(self, out: str = "", error: str = "", code: int = 0) -> None:
        self.out, self.error, self.returncode, self.killed = out, error, code, False
        self.stdin: Any = None

    def communicate(self) -> tuple[str, str]:
        return self.out, self.error

    def kill(self) -> None:
        self.killed = True


PLAN = {
    "trainings": 30, "lookups": 20, "cached": 7, "seconds": 42.0, "stages": {"offline": 40.0},
    "rate": {"seconds_per_image": 0.01, "source": "calibrated", "seconds_per_pass": 1e-4},
    "device": "cpu", "jobs": 2,
    "initial_labels": 24, "labels_bought": 12, "validation": 40, "unlabeled": 76, "trials": 1, "per_trial": {},
    "sentence": "You hold 24 labels.",
}  # fmt: skip


def config_of(**changes: Any) -> Config:
    return configs.build(settings.nest(tiny_values(**changes)))


class Spawner:
    """Counts what is started; every process says `process.out`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: Any) -> None:
        self.answers, self.requests, self.started = answers, [], []
        monkeypatch.setattr(planner.jobs, "spawn", self)

    def __call__(self, arguments: list[str], stdin: str = "") -> Process:
        assert arguments == ["plan", "--json"]
        self.requests.append(json.loads(stdin))
        self.started.append(Process(**self.answers))
        return self.started[-1]


def settle(one: Planner, now: float) -> bool:
    for _ in range(200):
        if one.tick(now):
            return True
        time.sleep(0.01)
    return False


def test_the_planner_waits_asks_once_and_remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    spawned = Spawner(monkeypatch, out=json.dumps(PLAN))
    own, config = Planner(), config_of()
    assert own.want(config, 0.0) is None
    assert not own.tick(0.1)
    assert not spawned.requests, "a form that is being changed starts nothing"
    assert settle(own, 1.0)
    assert spawned.requests == [configs.describe(config)]
    answer = own.want(config, 2.0)
    assert answer is not None
    assert answer.plan == forecast.restore(PLAN)
    assert own.tick(3.0)
    assert len(spawned.requests) == 1
    assert own.rate(config_of(k=30)) == (costs.Rate(0.01, "calibrated", 1e-4), 2)
    assert own.rate(config_of(**{"classifier.max_epochs": 9})) is None
    assert own.want(config, answer.at + planner.FRESH + 1) is None


def test_home_promises_the_time_that_configure_shows(
    images: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, config = Planner(), config_of()
    monkeypatch.setattr(cost_card, "planner", lambda: own)
    monkeypatch.setattr(cost_card.readers, "devices", lambda: None)
    counted = costs.count(config, costs.DataSizes.of(config, images))
    assert cost_card.promise(config, images) is None
    plan = dataclasses.replace(
        forecast.restore(PLAN), seconds=1782.0, rate=costs.Rate(9.0, "calibrated", 1e-4)
    )
    own._keep(planner.PlanQuestion.about(config), PlanAnswer(plan, "", time.monotonic()))
    by_rate = costs.seconds(counted, *own.rate(config))
    assert duration(by_rate) != "30 min", "a rate alone says something else"
    time_words, _ = cost_card._time(config, counted, own.want(config, time.monotonic()))
    assert (cost_card.promise(config, images), time_words) == ("30 min", "30 min")
    own.answers.clear()
    time_words, _ = cost_card._time(config, counted, None)
    assert time_words == f"~ {cost_card.promise(config, images)}"


def test_two_tabs_that_ask_the_same_are_told_the_same_by_one_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spawned, config = Spawner(monkeypatch, out=json.dumps(PLAN)), config_of()
    shared: dict[str, PlanAnswer] = {}
    own, other = Planner(answers=shared), Planner(answers=shared)
    own.want(config, 0.0)
    assert settle(own, 1.0)
    answer = own.want(config, 2.0)
    assert answer is not None
    assert other.want(config, 2.0) is answer
    assert other.tick(3.0)
    assert len(spawned.requests) == 1
    assert own.want(config, answer.at + planner.FRESH + 1) is None
    assert other.want(config, answer.at + planner.FRESH + 1) is None


def test_only_the_newest_answers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "_MOST_ANSWERS", 2)
    own = Planner()
    for k in (20, 21, 22):
        own._keep(planner.PlanQuestion.about(config_of(k=k)), PlanAnswer(None, "no", float(k)))
    assert [answer.at for answer in own.answers.values()] == [21.0, 22.0]


def test_rates_are_shared_and_outlast_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Spawner(monkeypatch, out=json.dumps(PLAN))
    file = tmp_path / "home" / "rates.json"
    shared, config = planner.Rates(file), config_of()
    own, other = Planner(rates=shared), Planner(rates=shared)
    own.want(config, 0.0)
    assert settle(own, 1.0)
    pace = costs.Rate(0.01, "calibrated", 1e-4), 2
    assert other.rate(config) == pace
    assert Planner(rates=planner.Rates(file)).rate(config) == pace
    for junk in ('{"a": 1}', "[", "3", '{"a": [{"seconds_per_image": -1, "source": "x"}, 2]}'):
        file.write_text(junk)
        assert planner.Rates(file).get("a") is None


def test_a_newer_question_ends_the_older_one(monkeypatch: pytest.MonkeyPatch) -> None:
    spawned = Spawner(monkeypatch, out=json.dumps(PLAN))
    monkeypatch.setattr(planner.PlanRequest, "_wait", lambda self: None)  # it never answers
    own = Planner()
    own.want(config_of(k=30), 0.0)
    own.tick(1.0)
    own.want(config_of(k=31), 1.1)
    own.tick(1.2)
    assert spawned.started[0].killed
    assert len(spawned.started) == 1
    own.tick(2.0)
    assert len(spawned.started) == 2
    assert own.tick(2.0 + planner.LIMIT + 1)
    assert spawned.started[1].killed
    late = own.want(config_of(k=31), 3.0)
    assert late is not None
    assert "no answer within" in late.complaint


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (
            {
                "out": json.dumps(
                    {"error": ConfigError("is too small", field="k", value=1).to_json()}
                )
            }
            | {"code": 2},
            "k 1 is too small",
        ),
        ({"out": "{", "error": "", "code": 0}, "without a word"),
        ({"out": "[]"}, "without a word"),
        ({"out": '{"seconds": 3}'}, "without a word"),
        ({"out": json.dumps(PLAN), "code": 1, "error": "boom"}, "without a word"),
    ],
)
def test_a_failed_plan_is_a_word_and_not_asked_again(
    answers: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawned = Spawner(monkeypatch, **answers)
    own = Planner()
    own.want(config_of(), 0.0)
    assert settle(own, 1.0)
    answer = own.want(config_of(), 1.0)
    assert answer is not None
    assert answer.plan is None
    assert words in answer.complaint
    assert own.tick(9.0)
    assert len(spawned.started) == 1


def test_a_process_that_cannot_start_is_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(arguments: list[str], stdin: str = "") -> Process:
        raise OSError("no memory")

    monkeypatch.setattr(planner.jobs, "spawn", broken)
    own = Planner()
    own.want(config_of(), 0.0)
    assert own.tick(1.0)
    answer = own.want(config_of(), 1.0)
    assert isinstance(answer, PlanAnswer)
    assert "no memory" in answer.complaint


def test_the_images_are_as_the_tests_think(images: Prepared) -> None:
    assert np.bincount(images.roles).tolist() == [100, 60, 40]
