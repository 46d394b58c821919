"""What nobody reads is said; the form's own tests go through every field."""

from rambo import config as configs
from rambo.estimate.idle import idle_words

_WEIGHT, _FOLDS = "rambo.utility_model.ot_weight", "acquisition.gate.folds"


def words(*paths: str, **settings: object) -> str | None:
    return idle_words(paths, configs.build(settings))


def test_settings_that_nobody_reads_are_named_together() -> None:
    sentence = words(_WEIGHT, "k", _FOLDS, strategies=["margin"])
    assert sentence == f"{_FOLDS}, {_WEIGHT} have no effect with these strategies and settings"
    assert words("plus.weigh", strategies=["rambo"]) == (
        "plus.weigh has no effect with these strategies and settings"
    )


def test_settings_that_somebody_reads_are_not() -> None:
    gate = {"gate": {"by": "classifier"}}
    assert words(_WEIGHT, _FOLDS, "k", strategies=["rambo"], acquisition=gate) is None
    assert words("plus.weigh", strategies=["rambo-plus"]) is None
    assert words() is None


def test_without_weights_rambo_plus_reads_no_pairs() -> None:
    pairs, repeats = "rambo.offline.pairs", "plus.repeats"
    alone = {"strategies": ["rambo-plus"]}
    assert words(pairs, repeats, **alone) is None
    assert words(pairs, repeats, **alone, plus={"weigh": False}) == (
        f"{repeats}, {pairs} have no effect with these strategies and settings"
    )
    assert words("plus.filter_factor", **alone) is None
    assert words("plus.filter_factor", **alone, plus={"candidates": "rivals"}) is not None
    # A logistic head has one optimum, however often it is trained.
    assert words(repeats, **alone, rambo={"offline": {"proxy": True}}) is not None
