"""The price of a run in labels, money and minutes."""

import dataclasses

import pytest

from rambo import config as configs
from rambo.estimate import costs
from rambo.estimate.work import DataSizes
from rambo.ui.configure import price


@pytest.fixture
def counted() -> costs.Costs:
    config = configs.build({"k": 200, "budget": 100})
    return costs.count(config, DataSizes(pool=8000, validation=1000, test=500))


def test_all_labels_that_have_to_be_there_are_counted(counted: costs.Costs) -> None:
    assert price.label_words(counted, 500) == (
        "Labels that have to be there: 1,700 = 200 to learn from, 1,000 to check with, 500 to test with."
    )
    none = dataclasses.replace(counted, validation=0)
    assert price.label_words(none, 0) == "Labels that have to be there: 200 = 200 to learn from."


@pytest.mark.parametrize(
    ("unit", "pace", "lines"),
    [
        (None, None, ["Type what a label costs, or how long one takes, to see the sum."]),
        (
            0.5,
            None,
            [
                "To buy: 100 labels, **50.00**.",
                "If none were there yet: 1,800 labels, **900.00**.",
            ],
        ),
        (
            None,
            6,
            [
                "To buy: 100 labels, **10 min** of an annotator's time.",
                "If none were there yet: 1,800 labels, **3 h 0 min** of an annotator's time.",
            ],
        ),
    ],
)
def test_money_and_minutes(
    counted: costs.Costs, unit: float | None, pace: float | None, lines: list[str]
) -> None:
    assert price.price_lines(counted, 500, unit, pace) == lines


def test_with_fewer_labels_strategies_that_need_none_are_named(counted: costs.Costs) -> None:
    config = configs.build({"strategies": ["rambo", "random"]})
    words = price.frugal_words(config, counted, 500)
    assert "With none, choose by Filter only" in words or "choose by Margin" in words
    assert "RAMBO" not in words.partition("choose by")[2].partition(",")[0]
    frugal = configs.build({"strategies": ["random"]})
    assert "to check with" not in price.frugal_words(frugal, counted, 500)
