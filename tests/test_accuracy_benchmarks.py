"""The benchmarks that measure accuracy: parts that never see what they judge, and a table that pairs by seed."""

import json
from pathlib import Path
from unittest import mock

import pytest
import torch
from tiny import MemoryMemo, tiny_config

from benchmarks import candidates, clean_pool, dirty_pool, guesses, plus_settings, ranking, seeds
from rambo.config import PlusConfig
from rambo.method.pools import Problem
from rambo.method.ridge import ridge_view
from rambo.runs.results import Result
from rambo.seeding import Streams
from rambo.training.ensemble import Ensemble


def test_every_pair_is_judged_once_by_what_has_not_seen_it() -> None:
    parts = ranking._parts(12)
    assert torch.cat([judged for _, judged in parts]).sort().values.tolist() == list(range(12))
    for others, judged in parts:
        assert not set(others.tolist()) & set(judged.tolist())
        assert len(others) + len(judged) == 12


def test_a_share_is_the_mean_over_both_trainings() -> None:
    utilities = torch.tensor([[[0.9, 0.8], [0.8, 0.9]], [[0.7, 0.7], [0.6, 0.6]]])
    scores = torch.tensor([[2.0, 1.0], [1.0, 0.0]])
    assert (
        ranking.share(scores, utilities) == 0.75
    )  # both right by the first training, one by the second


def test_true_utilities_are_measured_once_and_anew_where_anything_differs(
    problem: Problem, shared_memo: MemoryMemo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "KEPT", tmp_path / "pairs.json")
    ensemble = Ensemble(problem, tiny_config().classifier, seed=0, memo=shared_memo)
    subsets = [problem.labeled[:6], problem.labeled[6:12]]
    first = ranking.true_utilities(ensemble, subsets, "two")
    assert first.shape == (1, 2, 2)
    trained = mock.Mock(side_effect=ensemble.run)
    monkeypatch.setattr(ensemble, "run", trained)
    assert ranking.true_utilities(ensemble, subsets, "two").equal(first)
    assert not trained.called
    turned = ranking.true_utilities(ensemble, subsets[::-1], "two")
    assert trained.called
    assert turned.shape == (1, 2, 2)
    assert list(json.loads(ranking.KEPT.read_text())) == ["two"]


def result(strategy: str, seed: int, test: float, wasted: int) -> Result:
    return Result(
        trial=0, strategy=strategy, seed=seed, test_accuracy=test, figures={"labels wasted": wasted}
    )


def test_differences_pair_the_same_seeds() -> None:
    figures = {
        "margin, gate": {0: result("margin", 0, 0.82, 0), 1: result("margin", 1, 0.83, 2)},
        "margin, no gate": {1: result("margin", 1, 0.80, 260), 2: result("margin", 2, 0.1, 0)},
    }
    lines = dirty_pool.table(figures).splitlines()
    assert "| margin, gate | 0, 2 | 82.5 +- 0.5 | 2 |" in lines
    assert lines[-1] == "| margin, gate - margin, no gate | 3.0 | 1 |"


def test_rambo_plus_is_paired_with_each_rival_and_the_best_comes_first() -> None:
    figures = {
        clean_pool.OURS: {0: result("rambo-plus", 0, 0.82, 0), 1: result("rambo-plus", 1, 0.83, 0)},
        "badge": {1: result("badge", 1, 0.84, 0), 2: result("badge", 2, 0.84, 0)},
    }
    badge, ours = clean_pool.table(figures).splitlines()[2:]
    assert badge == "| badge | 84.0 +- 0.0 | - | 2 | -1.0 |"
    assert ours == f"| {clean_pool.OURS} | 82.5 +- 0.5 | - | 2 |  |"


def test_seeds_of_several_machines_count_together(tmp_path: Path) -> None:
    path = tmp_path / "accuracies.json"
    seeds.gather(path, "small", {"badge": {1: result("badge", 1, 0.84, 0)}})
    seeds.gather(path, "large", {"badge": {1: result("badge", 1, 0.99, 0)}})
    gathered = seeds.gather(path, "small", {"badge": {2: result("badge", 2, 0.86, 0)}})
    assert {seed: one.test_accuracy for seed, one in gathered["badge"].items()} == {
        1: 0.84,
        2: 0.86,
    }
    assert seeds.gather(path, "small", {}) == gathered
    assert gathered["badge"][2].figures == {"labels wasted": 0}


def test_a_row_of_rambo_plus_is_called_by_what_it_changes() -> None:
    assert plus_settings.changes(PlusConfig()) == "as it is"
    changed = PlusConfig(weigh=False, candidates="pool", caution=1)
    assert plus_settings.changes(changed) == "candidates=pool, caution=1.0, weigh=false"


def test_a_setting_is_paired_with_the_rivals_of_the_same_seeds() -> None:
    own = {0: result("rambo-plus", 0, 0.82, 0), 1: result("rambo-plus", 1, 0.84, 0)}
    rivals = {"badge": {1: result("badge", 1, 0.83, 0)}, "margin": {2: result("margin", 2, 0.8, 0)}}
    header, _, row = plus_settings.table({"weigh=false": own}, rivals).splitlines()
    assert header == "| plus | trials | test % | less badge | less margin |"
    assert row == "| weigh=false | 2 | 83.0 +- 1.0 | 1.0 | - |"


def test_what_differs_between_seeds_is_not_in_their_sizes() -> None:
    config = tiny_config()
    assert clean_pool.sizes(config.model_copy(update={"seed": 7})) == clean_pool.sizes(config)
    assert clean_pool.sizes(config.model_copy(update={"budget": 7})) != clean_pool.sizes(config)


def test_guesses_are_right_and_in_order_where_the_truth_says_so(problem: Problem) -> None:
    true = torch.tensor([3.0, 2.0, 1.0])
    assert guesses.in_order(torch.tensor([30.0, 20.0, 10.0]), true) == 1
    assert guesses.in_order(torch.tensor([10.0, 20.0, 30.0]), true) == 0
    assert guesses.in_order(torch.tensor([20.0, 30.0, 10.0]), true) == pytest.approx(2 / 3)
    images, labels = problem.unlabeled[:4], problem.labels.clone()
    labels[images] = torch.tensor([0, 1, 2, 3])
    first = torch.zeros(len(labels), 4)
    first[images] = torch.eye(4)[[0, 1, 2, 0]]
    view = ridge_view(problem).guessed(images, first)
    assert guesses.right((view,), images, labels) == 0.75
    wrong = view.guessed(images, torch.roll(first, 1, 1))
    assert guesses.right((view, wrong), images, labels) == pytest.approx(
        (0.75 + float((wrong.answers[images].argmax(1) == labels[images]).float().mean())) / 2
    )


def test_candidates_are_paired_within_a_cut_and_share_no_image() -> None:
    filtered = torch.arange(100, 130)
    pairs = candidates.batch_pairs(filtered, 6, 7, Streams(0))
    assert len(pairs) == 7
    for one, other in pairs:
        assert len(one) == len(other) == 6
        assert not set(one.tolist()) & set(other.tolist())
        assert set(one.tolist()) | set(other.tolist()) <= set(filtered.tolist())
    assert len({tuple(sorted(one.tolist())) for pair in pairs for one in pair}) == 14
