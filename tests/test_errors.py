"""Errors: each part on its own, one line made of them, the same in another process."""

import json
import pickle

import pytest

from rambo import errors
from rambo.errors import BudgetError, ConfigError, DataError, RamboError, StoreError


def small_k() -> ConfigError:
    return ConfigError(
        "is below the 10 classes of digits",
        field="k",
        value=5,
        limit=10,
        hint="use at least 10",
    )


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (small_k(), "k 5 is below the 10 classes of digits; use at least 10"),
        (ConfigError(field="k", value="x", hint="use a whole number"), "k x: use a whole number"),
        (ConfigError(field="k", value="", hint="use a number"), "k '': use a number"),
        (ConfigError("empty", field="k", value=None), "k None: empty"),
        (
            StoreError("no such run", field="run", value="a-1", hint="see list"),
            "run a-1: no such run; see list",
        ),
        (
            DataError("it is damaged", field="images.npz", hint="make it again"),
            "images.npz: it is damaged; make it again",
        ),
        (RamboError("out of memory", hint="use fewer jobs"), "out of memory; use fewer jobs"),
        (RamboError("plain words"), "plain words"),
    ],
)
def test_the_text_is_made_of_the_parts(error: RamboError, text: str) -> None:
    assert str(error) == text


def test_a_value_of_any_length_or_kind_is_one_printable_line() -> None:
    error = ConfigError(
        "is no name", field="f" * 500, value="a\nb\x1b" + "c" * 9999, hint="take one"
    )
    assert str(error).isprintable()
    assert len(str(error)) < 200


def test_whoever_shows_an_error_decides_what_settings_are_called() -> None:
    error = ConfigError(
        "exceeds {k} 9",
        field="rambo.initial_size",
        value=11,
        hint="lower it, or raise {k}",
        others=("k",),
    )
    assert str(error) == "rambo.initial_size 11 exceeds k 9; lower it, or raise k"
    named = error.words({"rambo.initial_size": "k_1", "k": "the pool"})
    assert named == "k_1 11 exceeds the pool 9; lower it, or raise the pool"
    assert small_k().words({"k": ""}) == "5 is below the 10 classes of digits; use at least 10"


def test_where_an_error_came_up_stands_behind_it() -> None:
    error = small_k().within("study budgets, B = 80")
    assert str(error) == f"{small_k()} (study budgets, B = 80)"
    assert type(error) is ConfigError
    assert errors.from_json(error.to_json()).context == "study budgets, B = 80"
    assert small_k().context == ""


def test_several_errors_at_once_read_like_the_first_and_keep_all() -> None:
    second = ConfigError(field="seed", value="x", hint="use a whole number")
    both = ConfigError.join([small_k(), second])
    assert str(both) == str(small_k())
    assert [part.field for part in both.parts] == ["k", "seed"]
    assert (both.field, both.value, both.limit) == ("k", 5, 10)
    alone = small_k()
    assert alone.parts == (alone,)


def test_an_error_comes_back_from_another_process_with_all_its_parts() -> None:
    both = BudgetError.join([small_k(), ConfigError("is odd", field="x", value=[1, 2])])
    for copy in (json.loads(json.dumps(both.to_json())), pickle.loads(pickle.dumps(both))):  # noqa: S301 - our own bytes
        error = errors.from_json(copy) if isinstance(copy, dict) else copy
        assert type(error) is BudgetError
        assert [str(part) for part in error.parts] == [str(part) for part in both.parts]
        assert (error.field, error.value, error.limit, error.hint) == (
            "k",
            5,
            10,
            "use at least 10",
        )


@pytest.mark.parametrize(
    "record",
    [{}, [], None, "x", {"kind": "SystemExit"}, small_k().to_json() | {"field": 3}]
    + [
        {name: v for name, v in small_k().to_json().items() if name != field}
        for field in ("limit",)
    ],
)
def test_what_is_no_error_of_ours_is_refused(record: object) -> None:
    with pytest.raises(ValueError, match=r"no error of ours|are text"):
        errors.from_json(record)  # type: ignore[arg-type]
