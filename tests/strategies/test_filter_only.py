"""Filter-only, the control: RAMBO's filter with random batches in it."""

import pytest
import torch
from tiny import MemoryMemo, tiny_config

from rambo.config import Config
from rambo.method.acquisition import margins, rank_by
from rambo.method.pools import Problem, Selection
from rambo.seeding import Streams
from rambo.strategies import STRATEGIES
from rambo.training.call import Call
from rambo.training.ensemble import Ensemble


def choose(
    problem: Problem, config: Config, memo: MemoryMemo, *, seed: int = 0, name: str = "filter-only"
) -> Selection:
    """Return a choice by f of seed 0, whatever the seed of the draws."""
    ensemble = Ensemble(problem, config.classifier, seed=0, memo=memo)
    return STRATEGIES[name](
        Call(problem, config.budget, config, streams=Streams(seed), ensemble=ensemble)
    )


def ranked(problem: Problem, memo: MemoryMemo) -> list[int]:
    """Return the unlabeled images by margin."""
    ensemble = Ensemble(problem, tiny_config().classifier, seed=0, memo=memo)
    scores = margins(ensemble.predict_pools(lambda event: None).probabilities)
    return rank_by(problem.unlabeled, scores).tolist()


@pytest.mark.parametrize(("budget", "last"), [(12, 12), (10, 6)])
def test_each_step_takes_from_the_m_smallest_margins_left(
    problem: Problem, shared_memo: MemoryMemo, budget: int, last: int
) -> None:
    """M = 12 and b = 4; a last batch of 2 keeps the ratio and looks at 6."""
    chosen = choose(problem, tiny_config(budget=budget), shared_memo)
    ranking = ranked(problem, shared_memo)
    for step, looked in enumerate([12, 12, last]):
        batch = chosen.indices[chosen.steps == step].tolist()
        assert set(batch) <= set(ranking[:looked])
        places = [ranking.index(index) for index in batch]
        assert places == sorted(places)  # inside a batch by margin
        ranking = [index for index in ranking if index not in batch]


def test_m_equal_to_b_is_margin_sampling(problem: Problem, shared_memo: MemoryMemo) -> None:
    config = tiny_config(budget=10, acquisition={"filter_size": 4})
    ours, theirs = (
        choose(problem, config, shared_memo, name=name) for name in ("filter-only", "margin")
    )
    assert ours.indices.tolist() == theirs.indices.tolist()


def test_inside_the_filter_the_choice_is_random(problem: Problem, shared_memo: MemoryMemo) -> None:
    """Over 300 seeds each of the M candidates is taken first by about b / M."""
    config = tiny_config(budget=4)
    counts = torch.zeros(200)
    for seed in range(300):
        counts[choose(problem, config, shared_memo, seed=seed).indices] += 1
    first = ranked(problem, shared_memo)[:12]
    assert int(counts.sum()) == 1200
    assert int(counts[first].sum()) == 1200
    assert (counts[first] - 100).abs().max() < 5 * (300 * 1 / 3 * 2 / 3) ** 0.5


def test_it_trains_f_on_s_0_and_nothing_else(problem: Problem, memo: MemoryMemo) -> None:
    choose(problem, tiny_config(), memo)
    assert len(memo.results) == 1
