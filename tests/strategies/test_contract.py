"""The contract of every query strategy: from problem and budget to exactly that many unlabeled images."""

import dataclasses
import math
import re
from typing import Any

import numpy as np
import pytest
import torch
import trained
from tiny import MemoryMemo, tiny_config

from rambo import lineup
from rambo.datasets import prepared
from rambo.datasets.prepared import Prepared
from rambo.errors import BudgetError
from rambo.events import StageAdvanced, StageFinished, StageStarted, ignore
from rambo.method.pools import UNLABELED, Problem, Selection, digest
from rambo.seeding import Streams
from rambo.strategies import STRATEGIES
from rambo.training.call import Call
from rambo.training.ensemble import Ensemble
from rambo.worker import trial

QUICK: dict[str, Any] = {
    "classifier": {"max_epochs": 1},
    "rambo": {
        "pairs_per_iteration": 2,
        "offline": {"pairs": 2, "repeated_pairs": 1},
        "utility_model": {"epochs": 1},
    },
}
SPENT = 10  # b = 4 does not divide it
# lowest: of RAMBO's own draws
DRAWS_NOTHING = {"lowest", "margin", "entropy", "least-confidence", "coreset", "glister", "llal"}
PREDICTS_UTILITY = {"rambo", "lowest", "rambo-plus", "dulo"}

every_strategy = pytest.mark.parametrize("name", STRATEGIES)


@pytest.fixture(scope="module")
def problem(tiny: Prepared) -> Problem:
    return trial.split(tiny_config(**QUICK), tiny, 0, None).problem


def choose(
    name: str,
    problem: Problem,
    memo: MemoryMemo,
    *,
    budget: int = SPENT,
    seed: int = 0,
    emit: Any = ignore,
    **changes: Any,
) -> Selection:
    """Return the choice of a strategy that trains as briefly as it can."""
    config = tiny_config(**(QUICK | {"budget": max(1, budget)} | changes))
    return trained.choose(name, problem, memo, config, budget=budget, seed=seed, emit=emit)


def tensors(problem: Problem) -> str:
    """Return a digest of every tensor of a problem, by name."""
    fields = {f.name: getattr(problem, f.name) for f in dataclasses.fields(problem)}
    values = {name: value for name, value in fields.items() if isinstance(value, torch.Tensor)}
    assert {"images", "labels", "labeled", "unlabeled", "validation"} <= set(values)
    return digest(*values.values())


def test_every_name_of_the_config_is_a_strategy() -> None:
    assert tuple(STRATEGIES) == lineup.OURS


@every_strategy
@pytest.mark.parametrize("budget", [1, 3, 4, SPENT, 12])
def test_exactly_budget_distinct_unlabeled_images_in_the_order_of_steps(
    name: str, problem: Problem, shared_memo: MemoryMemo, budget: int
) -> None:
    selection = choose(name, problem, shared_memo, budget=budget)
    chosen = selection.indices
    assert chosen.dtype == selection.steps.dtype == torch.int64
    assert chosen.shape == selection.steps.shape == (budget,)
    assert len(chosen.unique()) == budget
    assert torch.isin(chosen, problem.unlabeled).all()
    assert int(selection.steps[0]) == 0
    assert ((selection.steps.diff() == 0) | (selection.steps.diff() == 1)).all()
    counts = selection.steps.bincount()
    if len(counts) > 1:
        assert (counts[:-1] == 4).all()  # full batches, and the last one smaller
        assert 1 <= counts[-1] <= 4


@every_strategy
def test_the_whole_pool_can_be_bought(name: str, problem: Problem, shared_memo: MemoryMemo) -> None:
    selection = choose(name, problem, shared_memo, budget=len(problem.unlabeled))
    assert sorted(selection.indices.tolist()) == sorted(problem.unlabeled.tolist())


@every_strategy
@pytest.mark.parametrize("budget", [0, -1, 77])
def test_a_budget_that_does_not_fit_is_refused_before_any_work(
    name: str, problem: Problem, budget: int
) -> None:
    memo = MemoryMemo()
    assert len(problem.unlabeled) == 76
    with pytest.raises(BudgetError, match=rf"budget {budget} .* use 1 to 76"):
        choose(name, problem, memo, budget=budget)
    assert memo.lookups == []


@every_strategy
def test_same_seed_same_answer_with_and_without_a_memory(
    name: str, problem: Problem, shared_memo: MemoryMemo
) -> None:
    one = choose(name, problem, shared_memo)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    two = choose(name, problem, shared_memo)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    fresh = choose(name, problem, MemoryMemo())
    for other in (two, fresh):
        assert other.indices.tolist() == one.indices.tolist()
        assert other.steps.tolist() == one.steps.tolist()
        assert digest(*other.evidence.values()) == digest(*one.evidence.values())
        assert other.ranking == one.ranking
        assert other.figures == one.figures


@every_strategy
def test_another_seed_draws_something_else(
    name: str, problem: Problem, shared_memo: MemoryMemo
) -> None:
    """What draws nothing has one answer, given one f on S_0."""
    config = tiny_config(**QUICK)
    ensemble = Ensemble(problem, config.classifier, seed=0, memo=shared_memo)
    answers = {
        tuple(
            STRATEGIES[name](
                Call(problem, SPENT, config, streams=Streams(seed), ensemble=ensemble)
            ).indices.tolist()
        )
        for seed in (0, 1)
    }
    assert len(answers) == (1 if name in DRAWS_NOTHING else 2)


@every_strategy
def test_the_inputs_are_left_as_they_were(
    name: str, problem: Problem, shared_memo: MemoryMemo
) -> None:
    before = tensors(problem)
    choose(name, problem, shared_memo, seed=1)
    assert tensors(problem) == before


@pytest.fixture(scope="module")
def scrambled(
    tiny: Prepared, problem: Problem, tmp_path_factory: pytest.TempPathFactory
) -> Problem:
    """The same problem over files where every label outside S_0 and S_val is another one."""
    hidden = np.ones(200, dtype=bool)
    hidden[torch.cat([problem.labeled, problem.validation]).numpy()] = False
    labels = np.where(hidden, (tiny.labels + 1) % 4, tiny.labels)
    assert hidden.sum() == 116
    other = prepared.write(
        tmp_path_factory.mktemp("scrambled"),
        name="tiny",
        images=np.array(tiny.images),
        labels=labels,
        roles=np.array(tiny.roles),
        classes=tiny.classes,
        mean=tiny.mean,
        std=tiny.std,
        source="made by the tests",
        licence="none needed",
        origin="tests:scrambled",
    )
    return dataclasses.replace(problem, source=str(other.folder), fingerprint=other.fingerprint)


@every_strategy
def test_labels_nobody_bought_are_not_seen(
    name: str, problem: Problem, scrambled: Problem, shared_memo: MemoryMemo
) -> None:
    """Not in the problem, and not in the files it comes from."""
    visible = torch.cat([problem.labeled, problem.validation])
    hidden = torch.ones(200, dtype=torch.bool)
    hidden[visible] = False
    assert (problem.labels[hidden] == UNLABELED).all()
    assert scrambled.fingerprint != problem.fingerprint  # so that no result in the memo fits
    one, two = (choose(name, variant, shared_memo, seed=2) for variant in (problem, scrambled))
    assert one.indices.tolist() == two.indices.tolist()
    assert digest(*one.evidence.values()) == digest(*two.evidence.values())
    assert one.ranking == two.ranking
    assert one.figures == two.figures


@every_strategy
def test_the_test_set_is_never_looked_at(
    name: str, problem: Problem, shared_memo: MemoryMemo
) -> None:
    """Its pixels may be anything: u_hat, OT and the choice stay the same."""
    test = torch.arange(160, 200)
    blank = problem.images.clone()
    blank[test] = 255 - blank[test]
    other = dataclasses.replace(problem, images=blank)
    one, two = (choose(name, variant, shared_memo) for variant in (problem, other))
    assert one.indices.tolist() == two.indices.tolist()
    assert not torch.isin(one.indices, test).any()


@every_strategy
def test_evidence_has_one_finite_number_an_image(
    name: str, problem: Problem, shared_memo: MemoryMemo
) -> None:
    selection = choose(name, problem, shared_memo)
    for values in selection.evidence.values():
        assert values.shape == (SPENT,)
        assert values.isfinite().all()
    assert {"margin", "predicted_class"} & set(selection.evidence) == (
        set() if name == "random" else {"margin", "predicted_class"}
    )
    assert ("predicted_utility" in selection.evidence) is (name in PREDICTS_UTILITY)
    assert bool(selection.ranking) is (name in {"rambo", "lowest"})
    if name != "dulo":  # it has a utility model too, and may keep it
        assert bool(selection.arrays) is (name in {"rambo", "lowest", "rambo-plus"})
    for word, figure in selection.figures.items():
        assert re.fullmatch(r"[A-Za-z][\w ,().-]*", word), f"{word!r} is no name to read"
        assert isinstance(figure, str) or math.isfinite(figure)


@every_strategy
def test_progress_is_told_from_start_to_end(
    name: str, problem: Problem, shared_memo: MemoryMemo
) -> None:
    events: list[Any] = []
    choose(name, problem, shared_memo, emit=events.append)
    started = [event.stage for event in events if isinstance(event, StageStarted)]
    finished = [event.stage for event in events if isinstance(event, StageFinished)]
    assert started == finished
    assert started[-1] == "acquisition"
    last = [event for event in events if isinstance(event, StageAdvanced)][-1]
    assert last.stage == "acquisition"
    assert last.step == last.total
