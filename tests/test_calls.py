"""What is offered in Python, called wrongly: a sentence, and never in place of what failed inside."""

import copy

import pytest

from rambo.calls import public
from rambo.errors import AbsentError, ConfigError


@public
class Thing:
    """An object of the door."""

    def __init__(self, size: int) -> None:
        self.size = size

    def half(self) -> float:
        return self.size / 2

    @property
    def broken(self) -> int:
        return self.sise  # a mistake of ours


def test_a_name_that_is_not_there_brings_the_near_one_and_all_others() -> None:
    with pytest.raises(AbsentError) as caught:
        _ = Thing(2).hlaf
    expected = "rambo.Thing: no attribute 'hlaf'; perhaps half is meant; it has broken, half, size"
    assert str(caught.value) == expected
    assert not hasattr(Thing(2), "other")
    assert getattr(Thing(2), "other", 3) == 3


def test_what_fails_inside_is_not_told_as_absent() -> None:
    with pytest.raises(AttributeError, match="no attribute 'sise'; perhaps size is meant"):
        _ = Thing(2).broken


def test_python_may_ask_for_names_of_its_own() -> None:
    thing = Thing(2)
    assert copy.deepcopy(thing).half() == copy.copy(thing).half() == 1
    with pytest.raises(AttributeError) as caught:
        _ = thing._repr_html_
    assert not isinstance(caught.value, AbsentError)


def test_its_calls_say_what_they_take() -> None:
    with pytest.raises(ConfigError, match=r"^rambo.Thing.half: takes no argument; write half\(\)$"):
        Thing(2).half(1)
    with pytest.raises(ConfigError, match=r"^size is missing; help\(rambo.Thing\) says"):
        Thing()
