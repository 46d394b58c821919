"""Records of trainings and of OT, as the memo keeps them and as older versions did."""

import json

import pytest
import torch
from tiny import MemoryMemo, tiny_config

from rambo.events import ignore
from rambo.method.pools import Problem
from rambo.training.ensemble import Ensemble
from rambo.training.outcomes import (
    Outcome,
    TrainingRecord,
    TransportRecord,
    accuracies_of,
    pack_right,
    restore,
    stored,
)

WHOLE = TrainingRecord(
    accuracies={"validation": 0.5},
    right={"validation": "a0"},
    epochs=3,
    train_accuracy=1.0,
    seconds=1.5,
    size=24,
    evaluated=60,
    classifier="mnistnet",
    dataset="ab",
    device="cpu",
)
# The bytes that every version kept so far, in their order.
STORED = (
    '{"accuracies": {"validation": 0.5}, "right": {"validation": "a0"}, "epochs": 3, "train_accuracy": 1.0, '
    '"seconds": 1.5, "size": 24, "evaluated": 60, "classifier": "mnistnet", "dataset": "ab", "device": "cpu"}'
)


def test_a_training_is_kept_in_the_bytes_of_before_and_comes_back() -> None:
    assert json.dumps(stored(WHOLE)) == STORED
    assert restore(json.loads(STORED)) == WHOLE


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (TransportRecord(0.25), '{"value": 0.25}'),
        (TransportRecord(0.25, 0.2, 0.3), '{"value": 0.25, "lower": 0.2, "upper": 0.3}'),
    ],
)
def test_ot_is_kept_with_bounds_only_where_it_has_some(record: TransportRecord, text: str) -> None:
    assert json.dumps(stored(record)) == text
    assert restore(json.loads(text)) == record


def test_a_record_of_an_older_version_has_no_single_answers_and_no_facts() -> None:
    record = restore({"accuracies": {"validation": 0.5}, "epochs": 3, "seconds": 1.5})
    assert record == TrainingRecord(accuracies={"validation": 0.5}, epochs=3, seconds=1.5)
    assert isinstance(record, TrainingRecord)
    assert record.unpack_right("validation", 4) is None


def test_fields_of_a_later_version_are_passed_over() -> None:
    assert restore({**json.loads(STORED), "watts": 40}) == WHOLE
    assert restore({"value": 0.25, "watts": 40}) == TransportRecord(0.25)


def test_a_record_that_misses_what_all_have_is_trained_again(problem: Problem) -> None:
    assert restore({"accuracies": {"validation": 0.5}, "seconds": 1.5}) is None
    memo = MemoryMemo()
    team = Ensemble(
        problem, tiny_config(classifier={"max_epochs": 1}).classifier, seed=0, memo=memo
    )
    unit = team.fit_unit(problem.labeled[:6], "offline", 0)
    memo.results[unit.key] = {"accuracies": {"validation": 0.5}}, {}
    assert team.recall(unit) is None
    (outcome,) = team.run([unit], ignore, lambda: None)
    assert not outcome.cached
    again = team.recall(unit)
    assert again is not None
    assert again.cached
    assert again.record == outcome.record


def test_answers_come_back_bit_by_bit() -> None:
    right = {
        "validation": torch.tensor([True, False, True, True, False] * 3),
        "test": torch.ones(9),
    }
    record = TrainingRecord(
        accuracies=accuracies_of(right),
        right=pack_right({name: own.bool() for name, own in right.items()}),
        epochs=1,
        seconds=0.5,
    )
    assert record.accuracies == {"validation": 9 / 15, "test": 1.0}
    for name, own in right.items():
        unpacked = record.unpack_right(name, len(own))
        assert unpacked is not None
        assert unpacked.tolist() == own.bool().tolist()
    assert record.unpack_right("elsewhere", 3) is None


@pytest.mark.parametrize(
    ("record", "width"),
    [
        (TransportRecord(0.5), 0.0),
        (TransportRecord(0.5, 0.4, 0.6), pytest.approx(0.4)),
        (TransportRecord(0.0, 0.0, 0.25), 0.25),
    ],
)
def test_the_width_of_bounds_is_a_share_of_the_value(record: TransportRecord, width: float) -> None:
    assert record.width == width


def test_an_outcome_is_asked_for_what_its_unit_was() -> None:
    training, solved = (
        Outcome(WHOLE, {}, cached=True),
        Outcome(TransportRecord(0.5), {}, cached=True),
    )
    assert training.training is WHOLE
    assert solved.transport.value == 0.5
    with pytest.raises(AssertionError):
        _ = training.transport
    with pytest.raises(AssertionError):
        _ = solved.training
