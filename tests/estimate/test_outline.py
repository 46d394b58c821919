"""The outline of a run in plain words: it says what is switched on, and nothing else."""

from typing import Any

import pytest
from tiny import merged

from rambo import config as configs
from rambo.config import presets
from rambo.estimate.costs import DataSizes, count
from rambo.estimate.outline import sentence

SIZES = DataSizes(classes=10, pool=8000, validation=1000, test=1000)


def text(**changes: Any) -> str:
    config = configs.build(merged(presets.demo(), {"evaluation": {"repeats": 1}} | changes))
    return sentence(config, count(config, SIZES))


def test_the_demo_preset_in_words() -> None:
    assert text() == (
        "You hold 200 labels, and 1,000 more to check with. RAMBO will train 20 classifiers on random parts of "
        "them to learn which of two sets is better; 10 of these are trained twice, to see how much is chance. "
        "Then it trains 4 more while the labels in use grow from 140 to 200, and improves what it learned 3 times. "
        "It learns from small sets and is tuned on large ones (bilevel training). "
        "How near a set lies to the checking images is a hint (optimal transport). "
        "Then it chooses 200 of the 7,800 unlabeled images in 10 steps of 20. "
        "To compare, filter-only, margin sampling and random choice each choose 200 too. "
        "Last, the new labels are shown, and for each of the 4 choices a classifier is trained on 400 labels and "
        "tested."
    )


def test_several_trainings_of_a_choice_are_said() -> None:
    assert text(evaluation={"repeats": 3}).endswith(
        "for each of the 4 choices 3 classifiers are trained on 400 labels and tested; their mean counts, because one "
        "alone is half chance."
    )


def test_a_comparison_without_rambo() -> None:
    assert text(strategies=["margin", "random"], trials=5) == (
        "You hold 200 labels, and 1,000 more to check with. One classifier is trained on them. "
        "Margin sampling chooses 200 of the 7,800 unlabeled images at once. "
        "To compare, random choice chooses 200 too. "
        "Last, the new labels are shown, and for each of the 2 choices a classifier is trained on 400 labels and "
        "tested. All of this is done 5 times, each time with other labels."
    )
    assert text(strategies=["random"]) == (
        "You hold 200 labels, and 1,000 more to check with. One classifier is trained on them. "
        "Random choice chooses 200 of the 7,800 unlabeled images at once. "
        "Last, the new labels are shown, and a classifier is trained on 400 labels and tested."
    )


@pytest.mark.parametrize(
    ("changes", "absent", "expected"),
    [
        ({"rambo": {"utility_model": {"transport": False}}}, "optimal transport", "bilevel"),
        ({"rambo": {"utility_model": {"bilevel": {"enabled": False}}}}, "bilevel", "transport"),
        ({"rambo": {"utility_model": {"loss": "regression"}}}, "which of two", "how good a set is"),
        ({"rambo": {"offline": {"repeated_pairs": 0}}}, "chance", "to learn which of two"),
        ({"rambo": {"initial_size": 200}}, "grow", "trains one more on all of them"),
        ({"rambo": {"initial_size": 180}}, "3 times", "improves what it learned 1 time."),
        ({"budget": 210}, "To be", "in 11 steps of 20 (the last of 10)"),
        ({"budget": 15}, "steps", "chooses 15 of the 7,800 unlabeled images at once"),
        ({"strategies": ["random", "rambo"]}, "Random", "To compare, random choice chooses 200"),
        ({"strategies": ["filter-only"]}, "RAMBO", "Filter-only chooses 200 of the 7,800"),
    ],
)
def test_switches_change_the_words(changes: dict[str, Any], absent: str, expected: str) -> None:
    assert absent not in text(**changes)
    assert expected in text(**changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"strategies": ["rambo", "dulo"]}, "200 too. DULO learns from the same trainings. Last,"),
        (
            {"strategies": ["rambo", "dulo"], "rivals": {"dulo": {"sample_factor": 3}}},
            "DULO learns from the same trainings and from 40 more of its own.",
        ),
        (
            {"strategies": ["dulo"], "rivals": {"dulo": {"sample_factor": 2}}},
            "DULO chooses 200 of the 7,800 unlabeled images in 10 steps of 20. "
            "DULO trains 40 classifiers on random parts of the labels to learn how good a set is.",
        ),
        (
            {"strategies": ["rambo-plus"], "plus": {"weigh": False}},
            "You hold 200 labels, and 1,000 more to check with. One classifier is trained on them. RAMBO+ chooses 200 "
            "of the 7,800 unlabeled images in 10 steps of 20. Last,",
        ),
        (
            {"strategies": ["rambo-plus"], "plus": {"repeats": 3}},
            "The 4 pairs whose sets lie closest are trained 3 times, because one training there is half chance.",
        ),
        (
            {"strategies": ["rambo-plus"], "plus": {"validation": "crossed"}},
            "For RAMBO+ two more each learn half of the checking images too, and guess labels that nobody has bought.",
        ),
        (
            {"strategies": ["llal"]},
            "LLAL trains one more, together with a network that predicts its losses. Last,",
        ),
        (
            {"strategies": ["random"], "oracle_draws": 3},
            "tested. An oracle that knows all labels tries 3 random sets of 200 too, each with a classifier of its "
            "own, to show how much there is to gain.",
        ),
        ({"oracle_draws": 1}, "tries 1 random set of 200 too"),
        (
            {"dataset": {"corruption": {"label_noise": 0.2}}},
            "Of the labels you hold or buy, 20 % are wrong. Last,",
        ),
        (
            {"dataset": {"corruption": {"label_noise": 0.125, "noisy_classes": [1]}}},
            "Of the labels of 1 class you hold or buy, 12.5 % are wrong.",
        ),
        (
            {"dataset": {"corruption": {"label_noise": 0.9, "noisy_classes": [1, 2]}}},
            "Of the labels of 2 classes you hold or buy, 90 % are wrong.",
        ),
        (
            {"dataset": {"corruption": {"imbalance": "paper"}}},
            "Some classes are rare: 3 of 10 keep 80 % of their images.",
        ),
        ({"dataset": {"corruption": {"imbalance": "glister"}}}, "3 of 10 keep 10 % of their"),
        (
            {"classifier": {"name": "logistic"}},
            "The classifier is a logistic head on frozen features: a stand-in that a CPU can train.",
        ),
        (
            {"rambo": {"offline": {"proxy": True}}},
            "On the random parts the classifiers are logistic heads on frozen features: stand-ins",
        ),
    ],
)
def test_what_else_is_switched_on_is_said(changes: dict[str, Any], expected: str) -> None:
    assert expected not in text()
    assert expected in text(**changes)
    if "rambo" in changes.get("strategies", ()):
        assert "RAMBO will train 20 classifiers" in text(**changes)


def test_heads_are_not_said_to_be_trained_twice_and_a_proxy_nobody_asks_is_not_named() -> None:
    for changes in ({"classifier": {"name": "logistic"}}, {"rambo": {"offline": {"proxy": True}}}):
        assert "twice" not in text(**changes)
    assert "head" not in text(strategies=["margin"], rambo={"offline": {"proxy": True}})


def test_an_unknown_dataset_has_no_number() -> None:
    config = configs.build(presets.demo())
    assert "chooses 200 of the unlabeled images" in sentence(config, count(config))
