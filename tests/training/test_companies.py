"""Units done together: classifiers side by side, and OT by a shared kernel, each as if alone and kept as it ends."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from tiny import MemoryMemo, tiny_config

from rambo.config import ClassifierConfig, ComputeConfig, TransportConfig
from rambo.datasets.prepared import Prepared
from rambo.errors import DivergedError, RunCancelled
from rambo.events import ClassifierTrained, Event, Noticed, ignore
from rambo.method.pools import Problem
from rambo.method.transport import GroundCost, exact_transport
from rambo.seeding import derive_seed
from rambo.training import units
from rambo.training.backends import Backend
from rambo.training.call import Call
from rambo.training.ensemble import Ensemble, bundle
from rambo.training.gpu.batched import Batching
from rambo.training.units import FitUnit, TransportUnit, Unit, run_fits
from rambo.worker import trial

CONFIG = ClassifierConfig(max_epochs=3, minibatch_size=8, train_accuracy=0.9)
TOGETHER = ComputeConfig(slots=2)


def nothing() -> None:
    """Do nothing after a unit."""


@pytest.fixture(scope="module")
def ground(problem: Problem) -> GroundCost:
    """A cost matrix between S_0 and forty made-up validation images."""
    matrix = 1 + np.random.default_rng(0).random((len(problem.labeled), 40))
    return GroundCost(problem.labeled.sort().values.numpy(), matrix, exact=False)


def make(problem: Problem, memo: MemoryMemo | None = None, **changes: Any) -> Ensemble:
    arguments: dict[str, Any] = {
        "seed": 7,
        "memo": memo or MemoryMemo(),
        "compute": TOGETHER,
    } | changes
    return Ensemble(problem, CONFIG, **arguments)


def fits(team: Ensemble) -> list[FitUnit]:
    """Five trainings of different lengths; the third is asked for predictions."""
    labeled = team.problem.labeled
    sizes = (5, 12, 24, 9, 16)
    return [team.fit_unit(labeled[:n], "offline", i, predict=n == 24) for i, n in enumerate(sizes)]


def moves(problem: Problem, ground: GroundCost) -> list[TransportUnit]:
    return [TransportUnit(ground, problem.labeled[:n].sort().values) for n in (4, 9, 24)]


# Classifiers side by side.


def test_side_by_side_is_what_one_after_the_other_gives(problem: Problem) -> None:
    team, plain = make(problem), make(problem, compute=ComputeConfig())
    events: list[Event] = []
    ours = team.run(fits(team), events.append, nothing)
    theirs = plain.run(fits(plain), ignore, nothing)
    for one, other in zip(ours, theirs, strict=True):
        varying = {"seconds": 0.0, "accuracies": {}}
        assert dataclasses.replace(one.training, **varying) == dataclasses.replace(
            other.training, **varying
        )
        right, expected = (o.training.accuracies["validation"] for o in (one, other))
        assert abs(right - expected) <= 1 / 60 + 1e-9  # at most one image of sixty by rounding
        assert one.training.seconds > 0
        assert set(one.arrays) == set(other.arrays)
        for name, array in one.arrays.items():
            np.testing.assert_allclose(array, other.arrays[name], atol=2e-3)
    trained = [event for event in events if isinstance(event, ClassifierTrained)]
    assert sorted(event.index for event in trained) == [0, 1, 2, 3, 4]


def test_the_key_knows_the_way_but_not_the_number_of_neighbours(problem: Problem) -> None:
    def key(**compute: Any) -> str:
        team = make(problem, compute=ComputeConfig(**compute))
        return team.fit_unit(problem.labeled, "offline").key

    assert key() == key(slots=1) == key(precision="tf32")  # a CPU, one after the other
    assert key(slots=2) == key(slots=9) != key()
    assert key(slots=2, precision="tf32") not in (key(slots=2), key())


@pytest.mark.parametrize(
    ("device", "compute", "batching"),
    [
        ("cpu", {}, None),
        ("cpu", {"slots": 1}, None),
        ("cpu", {"slots": 3}, Batching(3)),
        ("cuda", {}, Batching(256)),
        ("cuda", {"slots": 1}, Batching(1)),
        ("cuda:1", {"slots": 40, "precision": "tf32"}, Batching(40, "tf32")),
        ("mps", {"slots": 3}, None),
    ],
)
def test_who_is_trained_side_by_side(
    problem: Problem, device: str, compute: dict[str, Any], batching: Batching | None
) -> None:
    team = make(problem, device=device, compute=ComputeConfig(**compute), jobs=3)
    unit = team.fit_unit(problem.labeled, "offline")
    assert unit.batching == team.batching == batching
    assert bool(unit.company) == (batching is not None)
    assert unit.here == (device != "cpu" or batching is not None)
    assert team.jobs == 3  # what needs no device goes to worker processes


def test_a_logistic_head_and_a_resnet_have_ways_of_their_own(problem: Problem) -> None:
    coloured = make(problem, device="cuda", compute=ComputeConfig())
    coloured.config = coloured.config.model_copy(update={"name": "resnet18"})
    assert coloured.batching == Batching(64)
    coloured.config = coloured.config.model_copy(update={"name": "logistic"})
    assert coloured.batching is None


def test_companies_are_bundled_and_others_stay_alone(problem: Problem, ground: GroundCost) -> None:
    team = make(problem)
    other = dataclasses.replace(fits(team)[0], config=CONFIG.model_copy(update={"max_epochs": 2}))
    exact = dataclasses.replace(ground, exact=True)
    several: list[Unit] = [
        *fits(team)[:3],
        other,
        *moves(problem, ground),
        TransportUnit(exact, problem.labeled[:4].sort().values),
    ]
    groups = bundle(several, range(8), 1)
    assert sorted(groups) == [[0, 1, 2], [3], [4, 5, 6], [7]]
    assert sorted(bundle(several, range(8), 2)) == [[0, 1], [2], [3], [4, 5], [6], [7]]
    assert max(map(len, bundle(several * 30, range(240), 1))) == 64
    assert max(map(len, bundle(several * 30, range(240), 1, most=240))) == 90


def test_results_are_kept_one_by_one_and_a_stop_loses_only_the_rest(problem: Problem) -> None:
    memo = MemoryMemo()
    team = make(problem, memo)
    done = 0

    def stop_after_two() -> None:
        nonlocal done
        done += 1
        if done == 2:
            raise RunCancelled

    with pytest.raises(RunCancelled):
        team.run(fits(team), ignore, stop_after_two)
    assert len(memo.results) == 2
    outcomes = team.run(fits(team), ignore, nothing)
    assert [outcome.cached for outcome in outcomes].count(True) == 2
    whole = make(problem).run(fits(team), ignore, nothing)
    for one, other in zip(outcomes, whole, strict=True):
        assert one.training.epochs == other.training.epochs
        assert one.training.accuracies == pytest.approx(other.training.accuracies, abs=0.02)


def failing(monkeypatch: pytest.MonkeyPatch, sick: set[int]) -> list[list[int]]:
    """Let members with these seeds diverge; return the seeds of every call."""
    calls: list[list[int]] = []
    fit_members = units.fit_members

    def fake(members: Any, *arguments: Any, **named: Any) -> Iterator[tuple[int, Any]]:
        calls.append([member.seed for member in members])
        for place, fitted in fit_members(members, *arguments, **named):
            ill = members[place].seed in sick
            yield place, DivergedError("the loss is not finite") if ill else fitted

    monkeypatch.setattr(units, "fit_members", fake)
    return calls


def test_one_that_diverged_is_tried_again_with_another_seed(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = fits(make(problem))
    calls = failing(monkeypatch, {company[1].seed})
    results = dict(run_fits(company, ignore))
    assert sorted(results) == [0, 1, 2, 3, 4]
    assert calls == [[u.seed for u in company], [derive_seed(company[1].seed, "retry")]]


def test_a_second_divergence_ends_it(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    company = fits(make(problem))
    failing(monkeypatch, {company[1].seed, derive_seed(company[1].seed, "retry")})
    with pytest.raises(DivergedError, match="not finite"):
        dict(run_fits(company, ignore))


def test_one_alone_and_all_together_give_one_result(problem: Problem) -> None:
    unit = fits(make(problem))[2]
    record, arrays = unit.run()
    ((place, (same, others)),) = unit.run_group([unit], ignore)
    assert place == 0
    assert dataclasses.replace(record, seconds=0) == dataclasses.replace(same, seconds=0)
    assert arrays["probabilities"].tobytes() == others["probabilities"].tobytes()


def test_what_needs_no_device_is_under_way_before_the_trainings_end(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers get the OT before the first training is done, and its results are asked for afterwards."""
    order: list[str] = []
    exact = GroundCost(
        problem.labeled.sort().values.numpy(), np.ones((len(problem.labeled), 3)), exact=True
    )

    def send(backend: Backend, tasks: Any) -> Iterator[Any]:
        calls = [(function, arguments) for function, arguments, _ in tasks]
        order.append(f"{len(calls)} sent")

        def deliver() -> Iterator[Any]:
            for function, (places, members, _, sign_file) in calls:
                order.append("delivered")
                yield function(places, members, None, sign_file)

        return deliver()

    monkeypatch.setattr(Backend, "run", send)
    team = make(problem, jobs=2)
    several = [*fits(team)[:2], *(TransportUnit(exact, m.subset) for m in moves(problem, exact))]
    outcomes = team.run(several, lambda event: order.append(type(event).__name__), nothing)
    assert order == ["3 sent", *["ClassifierTrained"] * 2, *["delivered"] * 3]
    assert [outcome.transport.value for outcome in outcomes[2:]] == pytest.approx([1, 1, 1])


def test_a_failed_training_takes_the_workers_down_with_it(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[bool] = []

    def send(backend: Backend, tasks: Any) -> Iterator[Any]:
        def deliver() -> Iterator[Any]:
            try:
                yield None
                yield []
            finally:
                closed.append(True)

        results = deliver()
        next(results)
        return results

    def fail(*arguments: Any, **named: Any) -> Any:
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(Backend, "run", send)
    monkeypatch.setattr(units, "fit_members", fail)
    exact = GroundCost(problem.labeled.sort().values.numpy(), np.ones((24, 3)), exact=True)
    team = make(problem, jobs=2)
    several = [*fits(team)[:2], *(TransportUnit(exact, m.subset) for m in moves(problem, exact))]
    with pytest.raises(torch.cuda.OutOfMemoryError):
        team.run(several, ignore, nothing)
    assert closed == [True]


def test_joblib_is_begun_before_the_first_result_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[int] = []

    class Fake:
        def __init__(self, **arguments: Any) -> None:
            """Take what Parallel takes."""

        def __call__(self, tasks: Any) -> Iterator[Any]:
            begun.append(len(list(tasks)))
            return (value for value in (1, 2))

    monkeypatch.setattr(joblib, "Parallel", Fake)
    results = Backend("loky", 2).run(joblib.delayed(abs)(i) for i in range(5))
    assert begun == [5]
    assert list(results) == [1, 2]


# OT by a shared kernel.


def test_a_value_comes_with_bounds_around_the_exact_one(
    problem: Problem, ground: GroundCost
) -> None:
    outcomes = make(problem).run(moves(problem, ground), ignore, nothing)
    for unit, outcome in zip(moves(problem, ground), outcomes, strict=True):
        exact = exact_transport(ground.rows(unit.subset))
        record = outcome.transport
        assert record.lower is not None
        assert record.upper is not None
        assert record.lower <= record.value <= record.upper
        assert record.lower - 1e-9 <= exact <= record.upper + 1e-9
        assert record.value == pytest.approx(exact, rel=0.01)
        assert record.width == (record.upper - record.lower) / record.value


def test_company_and_processes_change_no_digit(problem: Problem, ground: GroundCost) -> None:
    together = make(problem).run(moves(problem, ground), ignore, nothing)
    alone = [unit.run()[0] for unit in moves(problem, ground)]
    apart = make(problem, jobs=2).run(moves(problem, ground), ignore, nothing)
    assert [o.record for o in together] == alone == [o.record for o in apart]


def test_exact_and_shared_values_are_never_taken_for_one_another(
    problem: Problem, ground: GroundCost
) -> None:
    exact = dataclasses.replace(ground, exact=True)
    one, other = moves(problem, ground)[0], moves(problem, exact)[0]
    on_gpu = dataclasses.replace(one, device="cuda")
    assert len({one.key, other.key, on_gpu.key}) == 3
    assert dataclasses.replace(other, device="cuda").key == other.key
    assert (one.here, on_gpu.here, dataclasses.replace(other, device="cuda").here) == (
        False,
        True,
        False,
    )
    assert other.run()[0].width == 0


@pytest.mark.parametrize(
    ("solver", "labeled", "exact"),
    [
        ("auto", 5000, True),
        ("auto", 5001, False),
        ("exact", 50_000, True),
        ("shared-kernel", 20, False),
    ],
)
def test_the_solver_is_chosen_by_the_size_of_the_pool(
    solver: Any, labeled: int, exact: bool
) -> None:
    assert TransportConfig(solver=solver).exact_for(labeled) is exact


def test_a_run_tells_of_bounds_and_chooses_as_many(tiny: Prepared) -> None:
    """The whole of RAMBO with classifiers side by side and OT by the shared kernel."""
    from rambo.algorithm import rambo
    from rambo.seeding import Streams

    def choose(compute: dict[str, Any], solver: str) -> tuple[Any, list[Event]]:
        config = tiny_config(
            compute=compute, rambo={"utility_model": {"ground_cost": {"solver": solver}}}
        )
        problem = trial.split(config, tiny, 0, None).problem
        team = Ensemble(
            problem, config.classifier, seed=0, memo=MemoryMemo(), compute=config.compute
        )
        events: list[Event] = []
        call = Call(
            problem, config.budget, config, streams=Streams(0), ensemble=team, emit=events.append
        )
        return rambo(call), events

    chosen, events = choose({"slots": 4}, "shared-kernel")
    assert len(set(chosen.indices.tolist())) == tiny_config().budget
    (notice,) = [event.message for event in events if isinstance(event, Noticed)]
    assert "guaranteed bounds" in notice
    _, silent = choose({}, "auto")
    assert not [event for event in silent if isinstance(event, Noticed)]
