"""The config tree: the paper's defaults, one line for every bad value, nothing but ConfigError for junk."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rambo import config as configs
from rambo.config import Config, Node
from rambo.errors import ConfigError, shorten

# Literals from the paper: Section 5.1, A.3, B.5, B.7.
PAPER = {
    "k": 200,
    "budget": 500,
    "dataset.validation_size": 1000,
    "acquisition.batch_size": 50,
    "initial_size": 50,
    "slices": 3,
    "greedy_steps": 10,
    "rambo.pairs_per_iteration": 50,
    "rambo.offline.pairs": 500,
    "rambo.utility_model.epochs": 20,
    "rambo.utility_model.loss": "rank",
    "rambo.utility_model.transport": True,
    "rambo.utility_model.bilevel.enabled": True,
    "rambo.utility_model.pooling": "mean",
    "rambo.utility_model.ot_weight": 1.0,
    "rambo.utility_model.square_weight": 0.5,
    "rambo.utility_model.positive_weight": 1.0,
    "classifier.learning_rate": 0.001,
    "classifier.train_accuracy": 0.99,
    "classifier.max_epochs": 100,
}
# Literals from SPEC section 3, where the paper is silent.
CHOICES = {
    "acquisition.filtered": 500,
    "strategies": ("rambo", "filter-only", "margin", "random"),
    "classifier.minibatch_size": 20,
    "classifier.accuracy_mode": "eval",
    "rambo.utility_model.learning_rate": 0.001,
    "rambo.utility_model.minibatch_pairs": 16,
    "rambo.utility_model.bilevel.inner_steps": 10,
    "rambo.utility_model.bilevel.outer_learning_rate": 0.05,
    "rambo.utility_model.bilevel.initial_log_l2": -6.0,
    "rambo.utility_model.ground_cost.feature_weight": 1.0,
    "rambo.utility_model.ground_cost.label_weight": 1.0,
    "rambo.utility_model.ground_cost.solver": "auto",
    "compute.slots": None,
    "compute.precision": "float32",
}


def reach(config: Any, path: str) -> Any:
    """Return the value at a dotted path."""
    for name in path.split("."):
        config = getattr(config, name)
    return config


def nested(path: str, value: Any) -> dict[str, Any]:
    """Return settings with one field set."""
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


def refusal(settings: Any) -> str:
    """Return the message of a refused config, which is one printable line of readable length."""
    with pytest.raises(ConfigError) as caught:
        configs.build(settings)
    return one_line(caught.value)


def one_line(error: ConfigError) -> str:
    """Return the message; it is one printable line that fits two rows of a terminal."""
    message = str(error)
    assert message.isprintable(), repr(message)
    assert 0 < len(message) <= 300, message[:400]
    return message


@pytest.mark.parametrize(("path", "value"), [*PAPER.items(), *CHOICES.items()])
def test_defaults_are_the_papers(path: str, value: Any) -> None:
    default = reach(configs.build({}), path)
    assert default == value
    assert type(default) is type(value)


def test_a_config_is_frozen_and_comes_back_from_its_description() -> None:
    config = configs.build(
        {"k": 30, "strategies": ["random", "margin"], "rambo": {"offline": {"held_out": 0.125}}}
    )
    described = configs.describe(config)
    message = {"pairs": 500, "held_out": 0.125, "repeated_pairs": 40, "proxy": False}
    assert described["rambo"]["offline"] == message
    assert configs.build(described) == config
    assert described["strategies"] == ["random", "margin"]
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        config.k = 5  # type: ignore[misc]
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        config.rambo.offline.pairs = 5  # type: ignore[misc]


def test_text_from_a_command_line_is_read_as_numbers() -> None:
    config = configs.build(
        {"k": "30", "classifier": {"learning_rate": "1e-2"}, "acquisition": {"filter_size": None}}
    )
    assert (config.k, config.classifier.learning_rate) == (30, 0.01)


NAN, INFINITE = float("nan"), float("inf")
BAD = [  # field, value, how the value is shown, way out
    ("k", NAN, "nan", "use a finite number"),
    ("k", INFINITE, "inf", "use a finite number"),
    ("k", 1e308, "1e+308", "use a smaller whole number"),
    ("k", "1e5", "1e5", "use a whole number"),
    ("k", 10**30, "1000000000000", "use at most 1000000"),
    ("k", "9" * 5000, "99999", "use a smaller whole number"),
    ("k", -1, "-1", "use at least 2"),
    ("k", 2.5, "2.5", "use a whole number"),
    ("k", None, "None", "use a whole number"),
    ("k", [], "[]", "use a whole number"),
    ("budget", 0, "0", "use at least 1"),
    ("budget", "", "", "use a whole number"),
    ("seed", -1, "-1", "use at least 0"),
    ("seed", 2**31, "2147483648", "use less than 2147483648"),
    ("trials", 10**30, "1000000000000", "use at most 1000"),
    ("strategies", [], "[]", "choose at least one"),
    (
        "strategies",
        ["margin", "x"],
        "x",
        "choose one of: rambo, filter-only, margin, random",
    ),
    ("strategies", ["margin", "margin"], "margin, margin", "name each once"),
    ("dataset.validation_size", 1, "1", "use at least 2"),
    ("classifier.name", "lenet", "lenet", "choose one of: auto, mnistnet, resnet18 or logistic"),
    ("classifier.name", "{0}", "{0}", "choose one of: auto, mnistnet, resnet18 or logistic"),
    ("classifier.learning_rate", NAN, "nan", "use a finite number"),
    ("classifier.learning_rate", -INFINITE, "-inf", "use a finite number"),
    ("classifier.learning_rate", 1e308, "1e+308", "use at most 10"),
    ("classifier.learning_rate", 0, "0", "use more than 0"),
    ("classifier.learning_rate", "fast", "fast", "use a number"),
    ("classifier.train_accuracy", 1.01, "1.01", "use at most 1"),
    ("acquisition.batch_size", 0, "0", "use at least 1"),
    ("rambo.offline.held_out", 0.95, "0.95", "use at most 0.9"),
    ("rambo.offline.repeated_pairs", -1, "-1", "use at least 0"),
    ("rambo.utility_model.ot_weight", -0.1, "-0.1", "use at least 0"),
    ("rambo.utility_model.transport", "maybe", "maybe", "use true or false"),
    ("rambo.utility_model.bilevel.momentum", 1.0, "1.0", "use less than 1"),
    ("rambo.utility_model.bilevel.inner_stepz", 3, "3", "no such field; leave it out"),
    ("compute.jobs", 0, "0", "use at least 1"),
    ("nope", {"a": 1}, "{'a': 1}", "no such field; leave it out"),
]


@pytest.mark.parametrize(
    ("path", "value", "words", "way_out"), BAD, ids=[f"{b[0]}={str(b[1])[:12]}" for b in BAD]
)
def test_a_bad_value_gives_one_line_with_field_value_and_way_out(
    path: str, value: Any, words: str, way_out: str
) -> None:
    message = refusal(nested(path, value))
    field, _, rest = message.partition(" ")
    assert field == path
    assert rest.startswith(words)
    assert way_out in rest


def test_settings_that_contradict_each_other_name_both_sides() -> None:
    message = refusal({"acquisition": {"batch_size": 10, "filter_size": 5}})
    for part in ("acquisition.filter_size 5", "acquisition.batch_size 10", "at least 10"):
        assert part in message
    message = refusal({"k": 10, "rambo": {"initial_size": 11}})
    for part in ("rambo.initial_size 11", "k 10", "at most 10"):
        assert part in message


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        configs.build(
            {
                "k": 20,
                "budget": 0,
                "rambo": {"initial_size": 30, "offline": {"pairs": "x"}},
                "acquisition": {"batch_size": 5, "filter_size": 4},
                "strategies": ["margin", "margin"],
                "nope": 1,
            }
        )
    message = {part.field: part for part in caught.value.parts}
    assert set(message) == {
        "budget",
        "rambo.offline.pairs",
        "acquisition.filter_size",
        "nope",
        "rambo.initial_size",
        "strategies",
    }
    assert (message["budget"].value, message["budget"].limit) == (0, 1)
    assert (message["rambo.initial_size"].limit, message["rambo.initial_size"].others) == (
        20,
        ("k",),
    )
    assert message["budget"].hint == "use at least 1"


def test_what_may_not_hold_once_another_field_is_right_is_not_told() -> None:
    with pytest.raises(ConfigError) as caught:
        configs.build({"k": "x", "rambo": {"initial_size": 300}})  # 300 exceeds the default of k
    assert [part.field for part in caught.value.parts] == ["k"]


def test_the_smallest_settings_that_agree_are_taken() -> None:
    config = configs.build(
        {
            "k": 2,
            "budget": 1,
            "acquisition": {"batch_size": 3, "filter_size": 3},
            "rambo": {"initial_size": 2},
        }
    )
    assert (config.slices, config.greedy_steps, config.acquisition.filtered) == (0, 1, 3)
    assert configs.build({"k": 3}).initial_size == 2


@pytest.mark.parametrize("settings", [5, None, "k", [("k", 3)], {1: 2}, {None: 2}, {"\ud800": 1}])
def test_what_is_not_settings_at_all_is_refused(settings: Any) -> None:
    refusal(settings)


@pytest.mark.parametrize("name", ["a\nb", "x" * 10_000, "\x1b[31m", "k\u2028"])
def test_an_unknown_field_of_any_name_is_one_line(name: str) -> None:
    assert "leave it out" in refusal({name: 1})
    assert "leave it out" in refusal({"rambo": {"offline": {name: 1}}})


def test_a_thousand_duplicates_are_one_line() -> None:
    assert "name each once" in refusal({"strategies": ["random"] * 1000})


def test_a_whole_number_too_long_to_print_is_refused() -> None:
    assert refusal({"k": 10**5000}).startswith("k ")


@pytest.mark.parametrize("path", ["k", "dataset", "dataset.name", "strategies", "nope"])
@pytest.mark.parametrize("kind", [dict, list])
def test_settings_nested_without_end_are_refused(path: str, kind: type) -> None:
    deep: Any = kind()
    for _ in range(50_000):
        deep = {"a": deep} if kind is dict else [deep]
    refusal(nested(path, deep))


def test_refusing_a_huge_value_takes_no_time() -> None:
    for value in ([1] * 3_000_000, "x" * 30_000_000):
        started = time.process_time()
        refusal({"k": value})
        assert time.process_time() - started < 0.1


def fields(node: type[Node]) -> Iterator[tuple[str, Any]]:
    """Return the fields of a node with their annotations."""
    for name, field in node.model_fields.items():
        yield name, field.annotation


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**30, -(10**30), 0, 1, 2, 1e308, NAN, INFINITE, "1e5", "nan", "", "rambo"])
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8), inner, max_size=3)
        | st.tuples(inner)
    ),
    max_leaves=8,
)


def settings_of(node: type[Node]) -> st.SearchStrategy[Any]:
    """Return settings shaped like a node: a few of its fields, now and then junk or a strange field."""
    value = st.integers(0, 60) | st.floats(0, 2) | st.none() | st.booleans() | JUNK
    runs = st.one_of(
        st.tuples(st.just(name), settings_of(kind) if is_node(kind) else value)
        for name, kind in fields(node)
    )
    return st.lists(runs | st.tuples(st.text(max_size=6), JUNK), max_size=2).map(dict)


def is_node(kind: Any) -> bool:
    """Return whether an annotation is a node of the tree."""
    return isinstance(kind, type) and issubclass(kind, Node)


SETTINGS = settings_of(Config)


@settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.integers(0, 9).flatmap(lambda draw: SETTINGS if draw else JUNK))
def test_any_junk_gives_a_config_or_one_line(junk: Any) -> None:
    started = time.process_time()
    try:
        config = configs.build(junk)
    except ConfigError as error:
        one_line(error)
    else:
        message = json.dumps(configs.describe(config), allow_nan=False)
        assert configs.build(json.loads(message)) == config
        assert config.acquisition.batch_size <= config.acquisition.filtered
        assert 2 <= config.initial_size <= config.k
    assert time.process_time() - started <= 0.1


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(2, 60), st.integers(1, 60), st.integers(1, 70), st.data())
def test_slices_and_greedy_steps_count_the_batches(
    k: int, budget: int, batch_size: int, data: st.DataObject
) -> None:
    initial_size = data.draw(st.integers(2, k))
    config = configs.build(
        {
            "k": k,
            "budget": budget,
            "acquisition": {"batch_size": batch_size},
            "rambo": {"initial_size": initial_size},
        }
    )
    assert config.slices == len(range(initial_size, k, batch_size))
    assert config.greedy_steps == len(range(0, budget, batch_size))


@pytest.mark.parametrize(
    ("k", "initial_size", "batch_size", "budget", "slices", "steps"),
    [
        (200, 50, 50, 500, 3, 10),  # B.7, MNIST types
        (2500, 500, 1000, 5000, 2, 5),  # B.7, CIFAR10 and SVHN
        (200, 50, 40, 500, 4, 13),  # b divides neither
        (50, 50, 50, 49, 0, 1),
        (51, 50, 50, 51, 1, 2),
    ],
)
def test_slices_and_greedy_steps_of_known_runs(
    k: int, initial_size: int, batch_size: int, budget: int, slices: int, steps: int
) -> None:
    config = Config(
        k=k,
        budget=budget,
        acquisition={"batch_size": batch_size},  # type: ignore[arg-type]
        rambo={"initial_size": initial_size},  # type: ignore[arg-type]
    )
    assert (config.slices, config.greedy_steps) == (slices, steps)


def test_assign_sets_a_field_and_makes_the_nodes_above_it() -> None:
    settings = {"k": 10, "rambo": {"offline": {"pairs": 7}}}
    configs.assign(settings, "rambo.offline.held_out", 0.5)
    configs.assign(settings, "rambo.utility_model.bilevel.terms", "12")
    configs.assign(settings, "k", 20)
    assert settings == {
        "k": 20,
        "rambo": {
            "offline": {"pairs": 7, "held_out": 0.5},
            "utility_model": {"bilevel": {"terms": "12"}},
        },
    }
    assert configs.build(settings).rambo.utility_model.bilevel.terms == 12


@pytest.mark.parametrize(
    ("path", "where", "choices"),
    [
        ("nope", "the config", "dataset, k, budget, strategies, seed"),
        ("", "the config", "dataset, k, budget"),
        ("dataset.nope", "dataset", "name, validation_size, features"),
        ("rambo.offline.nope", "rambo.offline", "pairs, held_out, repeated_pairs"),
        ("rambo..pairs", "rambo", "initial_size, pairs_per_iteration"),
        ("k.x", "k", "no fields of its own"),
        ("acquisition.filter_size.x", "acquisition.filter_size", "no fields of its own"),
        ("dataset.name\n.x", "dataset", "name, validation_size, features"),
        ("a" * 5000, "the config", "dataset, k, budget"),
    ],
)
def test_assign_to_an_unknown_path_lists_the_choices(path: str, where: str, choices: str) -> None:
    settings = {"k": 10}
    with pytest.raises(ConfigError) as caught:
        configs.assign(settings, path, 1)
    message = one_line(caught.value)
    assert f"{where} has no field" in message
    assert f"choose one of: {choices}" in message
    assert settings["k"] == 10


@pytest.mark.parametrize("value", [5, None, "x", [1]])
def test_assign_below_a_field_that_was_overwritten_is_refused(value: Any) -> None:
    """`--set dataset=5 --set dataset.name=x`: the first is the mistake, and both say so."""

    def assign_twice() -> Config:
        settings: dict[str, Any] = {}
        configs.assign(settings, "dataset", value)
        configs.assign(settings, "dataset.name", "mnist")
        return configs.build(settings)

    with pytest.raises(ConfigError) as caught:
        assign_twice()
    assert "dataset" in one_line(caught.value)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(max_size=200) | JUNK, st.integers(4, 80))
def test_shorten_gives_one_printable_line(value: Any, limit: int) -> None:
    text = shorten(value, limit)
    assert len(text) <= limit
    assert text.replace("\u00a0", " ").isprintable()
    if isinstance(value, str) and value.isprintable() and len(value) <= limit:
        assert text == value


def test_unknown_strategies_are_refused_with_the_list() -> None:
    configs.check_names(["margin", "rambo", "margin"])
    with pytest.raises(ConfigError, match=r"strategy best: .*rambo, filter-only, margin, random"):
        configs.check_names(["margin", "best"])


# What is wrong with the data, rivals, a cluster.


def test_nothing_is_wrong_with_the_data_unless_asked() -> None:
    clean = Config().dataset.corruption
    assert (clean.label_noise, clean.noisy_classes, clean.imbalance) == (0.0, (), "none")
    assert Config().compute.backend == "loky"
    assert Config().oracle_draws == 0


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("dataset.corruption.label_noise", 0.91, "use at most 0.9"),
        ("dataset.corruption.label_noise", -0.1, "use at least 0"),
        ("dataset.corruption.label_noise", float("nan"), "finite number"),
        ("dataset.corruption.noisy_classes", [3, -1], "use at least 0"),
        ("dataset.corruption.noisy_classes", [1.5], "whole number"),
        ("dataset.corruption.noisy_classes", 3, "use a list"),
        ("dataset.corruption.imbalance", "strong", "choose one of: none, paper or glister"),
        ("dataset.feature_weights", "", "at least 1"),
        ("classifier.logistic.l2", 0, "use more than 0"),
        ("rivals.space", "pixels", "choose one of"),
        ("rivals.probcover.radius", 0, "use more than 0"),
        ("rivals.typiclust.max_clusters", 1, "use at least 2"),
        ("rivals.dulo.epsilon", 1, "use less than 1"),
        ("oracle_draws", 1001, "use at most 1000"),
        ("compute.backend", "spark", "choose one of: loky or dask"),
        ("compute.address", "x" * 301, "at most 300"),
    ],
)
def test_bad_values_of_newer_fields_are_named(path: str, value: Any, words: str) -> None:
    nested: dict[str, Any] = {}
    configs.assign(nested, path, value)
    with pytest.raises(ConfigError) as caught:
        configs.build(nested)
    message = one_line(caught.value)
    assert message.startswith(path)
    assert words in message


def test_an_address_needs_a_cluster() -> None:
    nested = {"compute": {"address": "tcp://host:8786"}}
    with pytest.raises(ConfigError, match=r"^compute.address tcp://host:8786: .*choose dask"):
        configs.build(nested)
    built = configs.build({"compute": {"backend": "dask"} | nested["compute"]})
    assert built.compute.address == "tcp://host:8786"


def test_ray_is_refused_in_one_line_but_a_stored_run_that_names_it_is_shown() -> None:
    stored = {"k": 50, "compute": {"backend": "ray", "address": "ray://host:10001", "jobs": 3}}
    with pytest.raises(ConfigError) as caught:
        configs.build(stored)
    words = "compute.backend ray is no longer offered; choose loky or dask"
    assert one_line(caught.value) == words
    restored = configs.restore(stored)
    assert (restored.compute.backend, restored.compute.address) == ("loky", None)
    assert (restored.k, restored.compute.jobs) == (50, 3)


def test_what_version_0_1_called_otherwise_is_read() -> None:
    offline = {"pairs": 7, "ceiling_pairs": 3}
    assert configs.build({"rambo": {"offline": offline}}).rambo.offline.repeated_pairs == 3
    settings: configs.Settings = {}
    configs.assign(settings, "rambo.offline.ceiling_pairs", 5)
    assert configs.build(settings).rambo.offline.repeated_pairs == 5


def test_a_run_stored_before_draws_were_shared_goes_on_as_it_began() -> None:
    stored = configs.describe(configs.build({}))
    assert configs.restore(stored).evaluation.draws == "paired"
    del stored["rivals"]["llal"]["learns_on"], stored["evaluation"]
    before = configs.restore(stored)
    assert (before.evaluation.draws, before.rivals.llal.learns_on, before.evaluation.repeats) == (
        "first",
        False,
        1,
    )
    assert configs.build(stored).evaluation.draws == "paired"
