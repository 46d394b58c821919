"""A result comes back from the record as it was kept, also one that another version kept."""

import json

from rambo.runs.results import Ranking, Result, by_strategy, mean_ranking, ranking_of, restore

WHOLE = Result(
    trial=2,
    strategy="rambo",
    seed=9,
    selected=[5, 1],
    steps=[0, 1],
    validation_accuracy=0.5,
    test_accuracy=0.25,
    seconds={"offline": 1.5},
    trainings=3,
    cached_trainings=4,
    ranking=Ranking(inner=0.5, outer=None, held_out_pairs=8),
    figures={"space": "pixels", "share": 0.5},
)


def test_a_result_survives_json() -> None:
    for result in (WHOLE, Result(trial=0, strategy="margin", seed=7)):
        fields = json.loads(json.dumps(result.record()))
        assert restore(result.trial, result.strategy, fields) == result
        assert "trial" not in fields


def test_results_of_other_versions_are_read() -> None:
    older = restore(3, "margin", {"selected": [4]}, first_seed=10)
    assert older == Result(trial=3, strategy="margin", seed=13, selected=[4])
    newer = restore(0, "rambo", {"seed": 1, "mood": "calm", "ranking": {"inner": 1.0, "best": 2}})
    assert newer == Result(trial=0, strategy="rambo", seed=1, ranking=Ranking(inner=1.0))
    assert ranking_of({"best": 2}) is None


def test_a_result_is_evaluated_once_its_labels_are_revealed() -> None:
    assert WHOLE.state == "evaluated"
    assert Result(trial=0, strategy="margin", seed=0).state == "selected"


def test_the_ranking_of_trials_is_their_mean_and_pairs_are_summed() -> None:
    other = Result(trial=1, strategy="rambo", seed=1, ranking=Ranking(inner=1.0, held_out_pairs=2))
    without = Result(trial=1, strategy="margin", seed=1)
    assert mean_ranking([WHOLE, other, without]) == Ranking(
        inner=0.75, held_out_pairs=10, agreement_pairs=0
    )
    assert by_strategy([WHOLE, without, other]) == {"rambo": [WHOLE, other], "margin": [without]}
