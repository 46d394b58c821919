"""RAMBO itself: the order of Algorithm 1, what each line is given, and the two ends of the margin filter."""

import dataclasses
import itertools
from collections import Counter
from typing import Any, TypeVar

import pytest
import torch
from tiny import MemoryMemo, tiny_config
from torch import Tensor

from rambo import algorithm
from rambo.algorithm import (
    augment_utility_samples,
    greedy_margin,
    spend,
    split_initial,
)
from rambo.config import AcquisitionConfig, Config
from rambo.datasets.prepared import Prepared
from rambo.events import (
    BatchChosen,
    ClassifierTrained,
    Event,
    HyperStep,
    LabeledPoolGrew,
    Noticed,
    RankingAudited,
    StageAdvanced,
    StageFinished,
    StageStarted,
    TrainingsCompared,
    TransportPredicted,
    UtilityModelEpoch,
    UtilitySamplesAdded,
)
from rambo.method import losses, ranking
from rambo.method.acquisition import GreedyStep, filter_for, margins, rank_by
from rambo.method.pools import Problem, Selection, digest
from rambo.method.utility_model import (
    UtilityModel,
    create_utility_model,
    embed_elements,
    embed_others,
    predict_subsets,
)
from rambo.method.utility_samples import draw_pairs
from rambo.seeding import Streams
from rambo.strategies import STRATEGIES
from rambo.training import iteration, offline
from rambo.training.call import Call
from rambo.training.ensemble import Ensemble
from rambo.worker import trial

E = TypeVar("E", bound=Event)


@dataclasses.dataclass
class Trace:
    """A finished call: what was chosen, and every event on the way."""

    selection: Selection
    events: list[Event]

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]


def choose(
    problem: Problem, config: Config, shared_memo: MemoryMemo, *, seed: int = 0, name: str = "rambo"
) -> Trace:
    """Let a strategy spend the config's budget."""
    events: list[Event] = []
    selection = STRATEGIES[name](
        Call(
            problem,
            config.budget,
            config,
            streams=Streams(seed).child(name),
            ensemble=Ensemble(problem, config.classifier, seed=seed, memo=shared_memo),
            emit=events.append,
        )
    )
    return Trace(selection, events)


@pytest.fixture(scope="module", autouse=True)
def trace(problem: Problem, shared_memo: MemoryMemo) -> Trace:
    """RAMBO with the tiny config: k = 24, k_1 = 12, b = 4, n = 6, M = 12, B = 12.

    Made before any test, in whatever order they run: its units are trained, and the others find them.
    """
    return choose(problem, tiny_config(), shared_memo)


class Spy:
    """Wraps a function, wherever RAMBO calls it, and keeps the arguments of each call."""

    def __init__(self, patch: pytest.MonkeyPatch, name: str) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.returned: list[Any] = []
        modules = [m for m in (algorithm, iteration, offline, ranking) if hasattr(m, name)]
        real = getattr(modules[0], name)

        def spy(*arguments: Any, **named: Any) -> Any:
            self.calls.append(arguments)
            self.returned.append(real(*arguments, **named))
            return self.returned[-1]

        for module in modules:
            patch.setattr(module, name, spy)


# The order of events.


def test_events_follow_the_order_of_algorithm_1(trace: Trace) -> None:
    # Their order is a matter of speed.
    fits = Counter((event.role, event.index) for event in trace.of(ClassifierTrained))
    assert fits == {
        **{("offline", index): 1 for index in range(10)},
        **{("repeat", index): 1 for index in range(6, 10)},
        **{("labeled", index): 1 for index in range(4)},
    }
    order: list[object] = []
    for event in trace.events:
        match event:
            case StageStarted() | StageFinished():
                order.append((type(event).__name__, event.stage))
            case StageAdvanced() | ClassifierTrained():
                continue
            case LabeledPoolGrew():
                order.append(("LabeledPoolGrew", event.iteration))
            case BatchChosen():
                order.append(("BatchChosen", event.step))
            case TrainingsCompared():
                order.append("TrainingsCompared")
            case _:
                order.append((type(event).__name__, event.phase))  # type: ignore[attr-defined]

    def fitted(phase: str, *steps: str) -> list[object]:
        return [
            ("UtilitySamplesAdded", phase),
            *[(step, phase) for _ in range(2) for step in steps],  # two epochs
            ("TransportPredicted", phase),
            ("RankingAudited", phase),
        ]

    expected: list[object] = [
        ("StageStarted", "offline"),  # line 3
        ("StageFinished", "offline"),
        "TrainingsCompared",
        *fitted("offline", "UtilityModelEpoch"),  # ordinary training
        ("StageStarted", "pretraining"),
        ("LabeledPoolGrew", 0),  # line 6
    ]
    for i in (1, 2, 3):  # line 8
        expected.append(("LabeledPoolGrew", i))  # lines 9-11
        expected += fitted(f"pretraining-{i}", "UtilityModelEpoch", "HyperStep")  # lines 12-14
    expected += [("StageFinished", "pretraining"), ("StageStarted", "acquisition")]
    expected += [("BatchChosen", j) for j in range(3)]  # line 15
    expected.append(("StageFinished", "acquisition"))
    assert order == expected


def test_each_f_on_a_labeled_pool_is_told_before_the_next_line(trace: Trace) -> None:
    """acc_i is the validation accuracy of the fit that was trained for it, on k_1 + i b images."""
    labeled = [e for e in trace.of(ClassifierTrained) if e.role == "labeled"]
    grew = trace.of(LabeledPoolGrew)
    assert [(e.index, e.size, e.accuracy) for e in labeled] == [
        (e.iteration, e.labeled, e.accuracy) for e in grew
    ]
    for fit, pool in zip(labeled, grew, strict=True):
        assert trace.events.index(fit) < trace.events.index(pool)


def test_every_stage_advances_to_its_total(trace: Trace) -> None:
    totals = {event.stage: event.total for event in trace.of(StageStarted)}
    # offline: 10 fits, 4 repeats, 10 OT problems; pretraining: S_0, then f and u_hat for 3 slices
    assert totals == {"offline": 24, "pretraining": 7, "acquisition": 3}
    for name, total in totals.items():
        steps = [(e.step, e.total) for e in trace.of(StageAdvanced) if e.stage == name]
        assert steps == [(step, total) for step in range(1, total + 1)]


@pytest.mark.parametrize(
    ("initial", "batch", "sizes"),
    [
        (12, 4, [12, 16, 20, 24]),
        (12, 5, [12, 17, 22, 24]),  # b does not divide k - k_1: the last slice is smaller
        (2, 11, [2, 13, 24]),
        (23, 10, [23, 24]),
        (24, 4, [24]),  # k_1 = k: no iteration
    ],
)
def test_labeled_pools_grow_from_k1_to_k(
    problem: Problem, shared_memo: MemoryMemo, initial: int, batch: int, sizes: list[int]
) -> None:
    config = tiny_config(
        budget=3,
        acquisition={"batch_size": batch},
        rambo={
            "initial_size": initial,
            "pairs_per_iteration": 2,
            "offline": {"pairs": 2, "held_out": 0, "repeated_pairs": 0},
            "utility_model": {"epochs": 1},
        },
    )
    assert config.slices == len(sizes) - 1
    trace = choose(problem, config, shared_memo)
    grew = trace.of(LabeledPoolGrew)
    assert [event.iteration for event in grew] == list(range(len(sizes)))
    assert [event.labeled for event in grew] == sizes
    added = [event.phase for event in trace.of(UtilitySamplesAdded)]
    assert added == ["offline", *[f"pretraining-{i + 1}" for i in range(len(sizes) - 1)]]
    assert len(trace.selection.indices) == 3
    ranking = trace.selection.ranking
    assert (ranking["held_out"], ranking["held_out_pairs"]) == (None, 0)
    if len(sizes) == 1:
        assert ranking["inner"] is ranking["outer"] is None
        assert trace.of(HyperStep) == []


@pytest.mark.parametrize("batch", [3, 4, 7, 24])
def test_split_initial_cuts_the_labeled_pool_into_k1_and_slices(
    problem: Problem, batch: int
) -> None:
    config = tiny_config(acquisition={"batch_size": batch, "filter_size": 24})
    first, slices = split_initial(problem.labeled, config, torch.Generator().manual_seed(0))
    again, _ = split_initial(problem.labeled, config, torch.Generator().manual_seed(0))
    other, _ = split_initial(problem.labeled, config, torch.Generator().manual_seed(1))
    assert len(first) == 12
    assert all(len(part) == batch for part in slices[:-1])
    assert 1 <= len(slices[-1]) <= batch
    assert len(slices) == config.slices
    assert torch.equal(torch.cat([first, *slices]).sort().values, problem.labeled.sort().values)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


# Utility samples.


@pytest.fixture(scope="module")
def spied(problem: Problem, shared_memo: MemoryMemo) -> dict[str, Spy]:
    """The calls that one run makes."""
    names = ("fit_utility_model", "augment_utility_samples", "audit", "warm_start")
    with pytest.MonkeyPatch.context() as patch:
        spies = {name: Spy(patch, name) for name in names}
        choose(problem, tiny_config(), shared_memo)
    return spies


def test_d_starts_empty_and_gains_n_pairs_an_iteration(spied: dict[str, Spy], trace: Trace) -> None:
    fitted = [call[2] for call in spied["fit_utility_model"].calls]
    assert [len(samples) for samples in fitted] == [3, 6, 12, 18]  # offline, then line 14
    first = {id(subset) for subset in fitted[0].subsets}
    assert not first & {id(subset) for subset in fitted[-1].subsets}
    for earlier, later in itertools.pairwise(fitted[1:]):
        assert [id(s) for s in later.subsets[: 2 * len(earlier)]] == [
            id(s) for s in earlier.subsets
        ]
        assert torch.equal(later.utilities[: len(earlier)], earlier.utilities)
        assert torch.equal(later.transport[: len(earlier)], earlier.transport)
    for event, samples in zip(trace.of(UtilitySamplesAdded)[1:], fitted[1:], strict=True):
        assert event.sizes == samples.sizes.repeat_interleave(2).tolist()
        assert event.utilities == samples.utilities.flatten().tolist()


def test_new_pairs_are_drawn_from_s_i_and_interpolated_between_its_two_accuracies(
    spied: dict[str, Spy], trace: Trace, problem: Problem
) -> None:
    accuracies = [event.accuracy for event in trace.of(LabeledPoolGrew)]
    calls = spied["augment_utility_samples"].calls
    assert len(calls) == 3
    for i, (_, _, labeled, grown, before, after, pairs, transport) in enumerate(calls):
        assert (before, after) == (accuracies[i], accuracies[i + 1])
        assert (len(labeled), len(grown)) == (12 + 4 * i, 16 + 4 * i)
        assert torch.equal(grown[: len(labeled)], labeled)
        assert set(grown.tolist()) <= set(problem.labeled.tolist())
        members = set(labeled.tolist())
        assert all(set(s.tolist()) <= members for pair in pairs for s in pair)
        assert (transport > 0).all()
        new = spied["augment_utility_samples"].returned[i]
        assert (new.utilities >= min(before, after) - 1e-12).all()
        assert (new.utilities <= max(before, after) + 1e-12).all()


def test_interpolation_reads_the_distances_of_u_hat_as_it_is_before_training(
    problem: Problem,
) -> None:
    model = create_utility_model(problem, tiny_config().rambo.utility_model, Streams(0))
    labeled, grown = problem.labeled[:14], problem.labeled[:18]
    pairs = draw_pairs(labeled, 3, 4, torch.Generator().manual_seed(0))
    transport = torch.arange(6, dtype=torch.float64).view(3, 2)
    samples = augment_utility_samples(model, problem, labeled, grown, 0.25, 0.75, pairs, transport)
    phi = [predict_subsets(model, problem, [s]).embedding[0] for pair in pairs for s in pair]
    to_labeled, to_grown = (
        [float((p - predict_subsets(model, problem, [pool]).embedding[0]).norm()) for p in phi]
        for pool in (labeled, grown)
    )
    expected = [
        far / (near + far) * 0.25 + near / (near + far) * 0.75
        for near, far in zip(to_labeled, to_grown, strict=True)
    ]
    assert samples.utilities.flatten().tolist() == pytest.approx(expected, abs=1e-4)
    assert len(set(expected)) > 1
    assert samples.transport.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert samples.pairs == pairs


# The offline initialisation and its audit.


def test_held_out_pairs_are_in_no_fit(spied: dict[str, Spy]) -> None:
    held_out = [call[2] for call in spied["audit"].calls]
    assert len({id(samples) for samples in held_out}) == 1
    audited = {id(subset) for subset in held_out[0].subsets}
    assert len(audited) == 4  # 40 % of five pairs
    for call in spied["fit_utility_model"].calls:
        assert not audited & {id(subset) for subset in call[2].subsets}
    assert [call[3] for call in spied["audit"].calls] == [
        "offline",
        "pretraining-1",
        "pretraining-2",
        "pretraining-3",
        "final",
    ]


def test_offline_utilities_are_trained_and_shown(trace: Trace, spied: dict[str, Spy]) -> None:
    trained = {e.index: e for e in trace.of(ClassifierTrained) if e.role == "offline"}
    (reported,) = [e for e in trace.of(UtilitySamplesAdded) if e.phase == "offline"]
    assert reported.utilities == [trained[i].accuracy for i in range(10)]
    assert reported.sizes == [trained[i].size for i in range(10)]
    fitted = spied["fit_utility_model"].calls[0][2]
    assert fitted.utilities.flatten().tolist() == reported.utilities[:6]
    held_out = spied["warm_start"].returned[0].held_out
    assert held_out.utilities.flatten().tolist() == reported.utilities[6:]
    distances = torch.cat([fitted.transport, held_out.transport])
    assert float(distances.mean()) == pytest.approx(1)  # in units of the offline mean
    assert (distances > 0).all()


def test_how_often_two_trainings_agree_is_measured_with_second_trainings(trace: Trace) -> None:
    first = {e.index: e for e in trace.of(ClassifierTrained) if e.role == "offline"}
    second = {e.index: e for e in trace.of(ClassifierTrained) if e.role == "repeat"}
    assert sorted(second) == [6, 7, 8, 9]  # the last two pairs: those held out
    assert [second[i].size for i in second] == [first[i].size for i in second]
    assert not any(event.cached for event in second.values())  # really trained once more
    (measured,) = trace.of(TrainingsCompared)
    one, two = (
        torch.tensor([[of[6].accuracy, of[7].accuracy], [of[8].accuracy, of[9].accuracy]])
        for of in (first, second)
    )
    assert measured.pairs == 2
    assert measured.agreement == losses.agreement(one, two)
    ranking = trace.selection.ranking
    assert (ranking["trainings_agree"], ranking["agreement_pairs"]) == (measured.agreement, 2)


def test_without_repeats_no_trainings_are_compared_and_without_held_out_no_audit(
    problem: Problem, shared_memo: MemoryMemo
) -> None:
    config = tiny_config(rambo={"offline": {"repeated_pairs": 0, "held_out": 0}})
    trace = choose(problem, config, shared_memo)
    assert [(e.pairs, e.agreement) for e in trace.of(TrainingsCompared)] == [(0, None)]
    assert "repeat" not in {e.role for e in trace.of(ClassifierTrained)}
    assert {(e.pairs, e.accuracy, e.kendall_tau) for e in trace.of(RankingAudited)} == {
        (0, None, None)
    }
    assert trace.selection.ranking["trainings_agree"] is None


@pytest.mark.parametrize(("pairs", "share", "held_out"), [(5, 0.9, 3), (2, 0.9, 0), (5, 0.2, 1)])
def test_at_least_two_offline_pairs_are_fitted(
    problem: Problem,
    shared_memo: MemoryMemo,
    pairs: int,
    share: float,
    held_out: int,
) -> None:
    config = tiny_config(
        classifier={"max_epochs": 1},
        rambo={"offline": {"pairs": pairs, "held_out": share, "repeated_pairs": 40}},
    )
    ensemble = Ensemble(problem, config.classifier, seed=0, memo=shared_memo)
    call = Call(problem, config.budget, config, streams=Streams(0), ensemble=ensemble)
    start = offline.warm_start(call)
    assert len(start.held_out) == held_out
    assert start.figures["agreement_pairs"] == pairs  # never more than there are


def test_final_figures_are_those_of_the_returned_model(
    trace: Trace, problem: Problem, spied: dict[str, Spy]
) -> None:
    model = restored(trace, problem, tiny_config())
    audited = spied["audit"].calls[-1][2]
    predicted = predict_subsets(model, problem, audited.subsets).utility
    ranking = trace.selection.ranking
    assert ranking["held_out_pairs"] == 2
    assert ranking["held_out"] == losses.ranking_accuracy(predicted.view(-1, 2), audited.utilities)
    assert ranking["kendall_tau"] == losses.kendall_tau(predicted, audited.utilities.flatten())
    last = trace.of(RankingAudited)[-1]
    assert (last.accuracy, last.kendall_tau) == (ranking["held_out"], ranking["kendall_tau"])
    epoch = trace.of(UtilityModelEpoch)[-1]
    assert ranking["inner"] == epoch.inner_ranking_accuracy
    assert ranking["outer"] == epoch.outer_ranking_accuracy


# What the rounds may do otherwise than the paper.


def test_true_pairs_stay_in_d_where_asked(problem: Problem, shared_memo: MemoryMemo) -> None:
    with pytest.MonkeyPatch.context() as patch:
        start, fits = Spy(patch, "warm_start"), Spy(patch, "fit_utility_model")
        choose(problem, tiny_config(rambo={"rounds": {"keep_true": True}}), shared_memo)
    true = start.returned[0].training
    assert len(true) == 3
    for number, arguments in enumerate(fits.calls[1:], 1):
        assert len(arguments[2]) == 3 + 6 * number
        assert torch.equal(arguments[2].utilities[:3], true.utilities)


@pytest.mark.parametrize("rise", [True, False])
def test_a_round_that_true_pairs_find_worse_is_undone(
    problem: Problem, shared_memo: MemoryMemo, monkeypatch: pytest.MonkeyPatch, rise: bool
) -> None:
    """The judges are no pair that is fitted, and none that is audited."""
    verdicts = iter([0.5, 0.6] * 3 if rise else [0.6, 0.5] * 3)
    monkeypatch.setattr(iteration, "judge", lambda *_: next(verdicts))
    start, fits = Spy(monkeypatch, "warm_start"), Spy(monkeypatch, "fit_utility_model")
    offline_settings = {"pairs": 10, "held_out": 0.2}
    config = tiny_config(rambo={"rounds": {"undo_worse": True}, "offline": offline_settings})
    trace = choose(problem, config, shared_memo)
    model = start.returned[0]
    assert (len(model.training), len(model.judges), len(model.held_out)) == (6, 2, 2)
    assert torch.equal(fits.calls[0][2].utilities, model.training.utilities)
    undone = [e.message for e in trace.of(Noticed) if "undone" in e.message]
    assert len(undone) == (3 if rise else 0)
    final = trace.selection.arrays["u_hat"]
    weights = fits.returned[0 if rise else 3].network.state_dict()
    if rise:  # the fits changed it in place: what is left is u_hat_0, which the audits after each round all see
        audits = [(e.accuracy, e.kendall_tau) for e in trace.of(RankingAudited)]
        assert len(set(audits)) == 1
        assert undone[0].startswith(
            "pretraining-1 is undone: on 2 pairs with true utilities its loss rose from 0.5"
        )
    else:
        assert digest(*final.values()) == digest(*weights.values())


def test_ot_beyond_size_does_not_follow_size(problem: Problem) -> None:
    pairs = draw_pairs(problem.labeled, 40, 4, torch.Generator().manual_seed(0))
    sizes = torch.tensor([len(s) for pair in pairs for s in pair], dtype=torch.float64)
    noise = torch.randn(80, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    distances = 3 + 8 / sizes + 0.01 * noise
    whole, rest = (
        offline.TransportScale.of(distances, pairs, residual=residual).units(distances, pairs)
        for residual in (False, True)
    )
    along = torch.stack([sizes, whole.flatten(), rest.flatten()])
    assert torch.corrcoef(along)[0, 1] < -0.7
    assert abs(torch.corrcoef(along)[0, 2]) < 0.1
    assert whole.mean() == pytest.approx(1.0)
    assert rest.std() == pytest.approx(1.0)
    assert torch.corrcoef(torch.stack([rest.flatten(), noise]))[0, 1] > 0.95


# The acquisition.


def test_the_lowest_control_turns_rambo_round(
    trace: Trace, problem: Problem, shared_memo: MemoryMemo
) -> None:
    """The same u_hat to the bit, the same batches in the first step, and of those the one it ranks lowest."""
    turned = choose(problem, tiny_config(), shared_memo, name="lowest")
    ours, theirs = (each.selection.arrays["u_hat"] for each in (trace, turned))
    assert digest(*ours.values()) == digest(*theirs.values())
    first, last = trace.of(BatchChosen)[0], turned.of(BatchChosen)[0]
    assert sorted(map(tuple, first.candidates)) == sorted(map(tuple, last.candidates))
    assert last.utility == min(first.utilities) < first.utility
    assert last.chosen == last.candidates[0] == first.candidates[-1]


def test_filter_only_draws_one_of_the_batches_that_rambo_ranks(
    trace: Trace, problem: Problem, shared_memo: MemoryMemo
) -> None:
    control = choose(problem, tiny_config(), shared_memo, name="filter-only").selection
    ranked = trace.of(BatchChosen)[0].candidates
    assert control.indices[control.steps == 0].tolist() in ranked
    before = choose(
        problem, tiny_config(evaluation={"draws": "first"}), shared_memo, name="filter-only"
    ).selection
    assert before.indices[:4].tolist() not in ranked


def restored(trace: Trace, problem: Problem, config: Config) -> UtilityModel:
    """Return the u_hat whose weights were kept with the selection."""
    model = create_utility_model(problem, config.rambo.utility_model, Streams(123))
    model.network.load_state_dict(dict(trace.selection.arrays["u_hat"]))
    return model


@torch.no_grad()
def embed_again(model: UtilityModel, problem: Problem, union: Tensor) -> float:
    """Return the predicted utility of a union with every image embedded anew."""
    network = model.network.eval()
    pooled = network.elements(problem.network_inputs(union)).mean(0, keepdim=True)
    reference = network.refer(network.elements(problem.network_inputs(problem.labeled)))
    return float(network.predict_pooled(pooled, reference).utility)


@pytest.mark.parametrize("filter_size", [12, 76, 1000])
@pytest.mark.parametrize("budget", [12, 10])
def test_greedy_steps_are_algorithm_2_computed_the_long_way(
    problem: Problem, shared_memo: MemoryMemo, filter_size: int, budget: int
) -> None:
    """Every candidate of every step is embedded anew; M from three batches to the whole pool."""
    config = tiny_config(budget=budget, acquisition={"filter_size": filter_size})
    trace = choose(problem, config, shared_memo)
    model = restored(trace, problem, config)
    pools = trace.selection.arrays["pools"]
    scores = torch.full((200,), torch.nan)
    scores[pools["indices"]] = margins(pools["probabilities"])
    streams = Streams(0).child("rambo")
    labeled, remaining = problem.labeled, problem.unlabeled.tolist()
    remaining.sort(key=lambda index: (float(scores[index]), index))
    chosen: list[int] = []
    steps = trace.of(BatchChosen)
    assert len(steps) == 3
    for step in steps:
        size = min(4, budget - len(chosen))
        filtered = remaining[: -(-filter_size * size // 4)]  # line 3
        order = torch.randperm(
            len(filtered), generator=streams.torch(f"acquisition-{step.step}")
        ).tolist()
        count = len(filtered) // size
        batches = [
            [filtered[place] for place in sorted(order[row * size : (row + 1) * size])]
            for row in range(count)
        ]  # line 4
        utilities = [
            embed_again(model, problem, torch.cat([labeled, torch.tensor(batch)]))
            for batch in batches
        ]  # line 5
        assert step.utilities == pytest.approx(utilities, abs=1e-5)
        best = max(range(count), key=lambda row: step.utilities[row])
        assert utilities[best] >= max(utilities) - 1e-5  # line 6
        assert step.chosen == batches[best]
        chosen += step.chosen
        labeled = torch.cat([labeled, torch.tensor(step.chosen)])  # line 7
        remaining = [index for index in remaining if index not in step.chosen]
    assert trace.selection.indices.tolist() == chosen
    assert (filter_size < 76) == (len(steps[0].utilities) < 19)


@pytest.mark.parametrize(
    ("budget", "batch", "filtered"), list(itertools.product((1, 7, 12), (1, 5), (5, 9, 40, 500)))
)
def test_only_images_that_a_step_can_reach_are_embedded(
    problem: Problem, budget: int, batch: int, filtered: int
) -> None:
    """The same choice as over the whole pool; no image outside is asked about, or `predict_unions` would say so."""
    settings = AcquisitionConfig(batch_size=batch, filter_size=filtered)
    model = create_utility_model(problem, tiny_config().rambo.utility_model, Streams(1))
    scores = torch.rand(200, generator=torch.Generator().manual_seed(budget))
    config = tiny_config(acquisition=settings.model_dump())
    ensemble = Ensemble(problem, config.classifier, seed=0, memo=MemoryMemo())
    call = Call(problem, budget, config, streams=Streams(0), ensemble=ensemble)
    chosen, utilities, elements = spend(call, model, scores)
    assert len(chosen) == len(utilities) == len(chosen.unique()) == budget

    remaining = rank_by(problem.unlabeled, scores)
    near = remaining[: filtered + budget - 1 - (budget - 1) % batch]
    assert elements.embedded[problem.labeled].all()
    assert elements.embedded[near].all()
    assert int(elements.embedded.sum()) == len(problem.labeled) + len(near)

    everything = embed_elements(model, problem, problem.unlabeled)
    labeled = problem.labeled
    for j in range(-(-budget // batch)):
        size = min(batch, budget - j * batch)
        visible = filter_for(filtered, batch, size)
        pools = labeled, remaining
        draws = Streams(0).torch(f"acquisition-{j}")
        step = greedy_margin(model, everything, *pools, visible, size, draws)
        labeled = torch.cat([labeled, step.best])
        remaining = remaining[~torch.isin(remaining, step.best)]
    assert chosen.tolist() == labeled[len(problem.labeled) :].tolist()

    embed_others(model, problem, elements)
    assert elements.embedded[problem.unlabeled].all()
    partial, expected = (e.values[problem.unlabeled] for e in (elements, everything))
    torch.testing.assert_close(partial, expected, atol=1e-5, rtol=1e-5)


def test_pure_u_hat_takes_the_best_of_all_batches(
    problem: Problem, shared_memo: MemoryMemo
) -> None:
    """M = the whole pool: margins no longer decide who is looked at."""
    config = tiny_config(budget=4, acquisition={"filter_size": 76})
    trace = choose(problem, config, shared_memo)
    (step,) = trace.of(BatchChosen)
    assert len(step.utilities) == 76 // 4
    assert step.utility == max(step.utilities)
    margin = choose(problem, config, shared_memo, name="margin")
    assert set(trace.selection.indices.tolist()) != set(margin.selection.indices.tolist())


@pytest.mark.parametrize(("batch", "budget"), [(4, 12), (4, 10), (5, 12), (12, 12), (7, 5), (1, 6)])
def test_m_equal_to_b_is_margin_sampling_in_order(
    problem: Problem, shared_memo: MemoryMemo, batch: int, budget: int
) -> None:
    config = tiny_config(budget=budget, acquisition={"batch_size": batch, "filter_size": batch})
    ours, theirs = (choose(problem, config, shared_memo, name=name) for name in ("rambo", "margin"))
    assert ours.selection.indices.tolist() == theirs.selection.indices.tolist()
    torch.testing.assert_close(
        ours.selection.evidence["margin"], theirs.selection.evidence["margin"]
    )


def test_a_budget_that_b_does_not_divide_ends_with_a_smaller_batch(
    problem: Problem, shared_memo: MemoryMemo
) -> None:
    trace = choose(problem, tiny_config(budget=10), shared_memo)
    steps = trace.of(BatchChosen)
    assert [len(step.chosen) for step in steps] == [4, 4, 2]
    assert [(step.step, step.steps) for step in steps] == [(0, 3), (1, 3), (2, 3)]
    assert trace.selection.steps.tolist() == [0] * 4 + [1] * 4 + [2] * 2
    assert [len(step.utilities) for step in steps] == [3, 3, 3]  # M / b is kept: 6 of 2


def test_a_step_tells_its_candidates_best_first(trace: Trace) -> None:
    pools = trace.selection.arrays["pools"]
    scores = dict(
        zip(pools["indices"].tolist(), margins(pools["probabilities"]).tolist(), strict=True)
    )
    for step in trace.of(BatchChosen):
        ranked = sorted(step.utilities, reverse=True)
        assert step.candidate_utilities == ranked[:8]
        assert step.utility == ranked[0]
        assert step.runner_up == ranked[1]
        assert step.candidates[0] == step.chosen
        members = [index for batch in step.candidates for index in batch]
        assert len(set(members)) == len(members) == 12
        means = [sum(scores[i] for i in batch) / 4 for batch in step.candidates]
        assert step.candidate_margins == pytest.approx(means)


def test_a_single_candidate_has_no_runner_up_and_ties_go_to_the_first() -> None:
    batches = torch.arange(30).view(10, 3)
    tied = GreedyStep(batches, torch.tensor([0.0, 2, 1, 2, 2, 0, 0, 0, 0, 0]))
    assert tied.best.tolist() == [3, 4, 5]
    report = tied.event(0, 1, torch.zeros(30))
    assert (report.utility, report.runner_up) == (2, 2)
    assert report.candidates[:3] == [[3, 4, 5], [9, 10, 11], [12, 13, 14]]
    assert len(report.candidates) == 8
    assert len(report.utilities) == 10
    alone = GreedyStep(batches[:1], torch.tensor([0.5])).event(0, 1, torch.zeros(30))
    assert alone.runner_up is None


def test_the_selection_carries_its_evidence(trace: Trace, problem: Problem) -> None:
    selection = trace.selection
    steps = trace.of(BatchChosen)
    assert selection.indices.tolist() == [index for step in steps for index in step.chosen]
    utilities = [step.utility for step in steps for _ in step.chosen]
    assert selection.evidence["predicted_utility"].tolist() == utilities
    pools = selection.arrays["pools"]
    place = {index: row for row, index in enumerate(pools["indices"].tolist())}
    assert sorted(place) == list(range(100))  # S_0 and U_0; validation and test are not kept
    rows = [place[index] for index in selection.indices.tolist()]
    assert torch.equal(
        selection.evidence["predicted_class"], pools["probabilities"][rows].argmax(1)
    )
    assert torch.equal(selection.evidence["margin"], margins(pools["probabilities"])[rows])
    for name, width in (("elements", 64), ("embeddings", 128), ("probabilities", 4)):
        assert pools[name].shape == (100, width)
        assert pools[name].isfinite().all()
    model = restored(trace, problem, tiny_config())
    with torch.no_grad():
        again = model.network.eval().elements(problem.network_inputs(pools["indices"]))
    torch.testing.assert_close(pools["elements"], again, atol=1e-5, rtol=1e-5)


def test_same_seed_same_choice_and_evidence_from_nothing(problem: Problem, trace: Trace) -> None:
    first, again = (choose(problem, tiny_config(), MemoryMemo()) for _ in range(2))
    for other in (first, trace):
        assert again.selection.indices.tolist() == other.selection.indices.tolist()
        for group in ("u_hat", "pools"):
            one, two = (t.selection.arrays[group] for t in (again, other))
            assert digest(*one.values()) == digest(*two.values())
        assert again.selection.ranking == other.selection.ranking
    seconds = ("seconds", "cached")
    # What a memo has is told first, so only runs from nothing tell the same in the same order.
    for one_event, two_event in zip(again.events, first.events, strict=True):
        one_record, two_record = (
            {name: value for name, value in event.record().items() if name not in seconds}
            for event in (one_event, two_event)
        )
        assert (type(one_event), one_record) == (type(two_event), two_record)


# The switches of Table 1.


@pytest.fixture(scope="module")
def cells(problem: Problem, shared_memo: MemoryMemo) -> dict[tuple[bool, bool, str], Trace]:
    """All eight cells: bilevel, OT, and the loss."""
    grid = itertools.product((True, False), (True, False), ("rank", "regression"))
    return {
        (bilevel, transport, loss): choose(
            problem,
            tiny_config(
                rambo={
                    "utility_model": {
                        "bilevel": {"enabled": bilevel},
                        "transport": transport,
                        "loss": loss,
                    }
                }
            ),
            shared_memo,
        )
        for bilevel, transport, loss in grid
    }


def test_all_eight_cells_choose_a_batch_and_differ(
    cells: dict[tuple[bool, bool, str], Trace], problem: Problem
) -> None:
    unlabeled = set(problem.unlabeled.tolist())
    for trace in cells.values():
        chosen = trace.selection.indices.tolist()
        assert len(set(chosen)) == len(chosen) == 12
        assert set(chosen) <= unlabeled
    models = {digest(*trace.selection.arrays["u_hat"].values()) for trace in cells.values()}
    assert len(models) == 8


def test_the_switches_of_a_cell_are_seen_in_its_events(
    cells: dict[tuple[bool, bool, str], Trace],
) -> None:
    for (bilevel, transport, _), trace in cells.items():
        assert len(trace.of(HyperStep)) == (6 if bilevel else 0)
        true = [value for event in trace.of(TransportPredicted) for value in event.true]
        assert len(true) == 2 * (3 + 6 + 12 + 18)
        assert all(value > 0 for value in true) if transport else set(true) == {0.0}
        (begun,) = [e for e in trace.of(StageStarted) if e.stage == "offline"]
        assert begun.total == (24 if transport else 14)


def test_the_switches_leave_what_comes_before_them_alone(
    cells: dict[tuple[bool, bool, str], Trace],
) -> None:
    """Trainings, splits and pairs are the same in all cells, so cells are compared in pairs."""
    shared = {
        tuple(e.accuracy for e in trace.of(LabeledPoolGrew))
        + tuple(trace.of(UtilitySamplesAdded)[0].utilities)
        + tuple(size for e in trace.of(UtilitySamplesAdded) for size in e.sizes)
        for trace in cells.values()
    }
    assert len(shared) == 1


def test_attention_pooling_and_every_hypergradient_run_to_the_end(
    problem: Problem, shared_memo: MemoryMemo
) -> None:
    models = set()
    for pooling, way in (
        ("attention", "neumann"),
        ("mean", "unroll"),
        ("mean", "conjugate-gradient"),
    ):
        changes = {"pooling": pooling, "bilevel": {"hypergradient": way}}
        trace = choose(problem, tiny_config(rambo={"utility_model": changes}), shared_memo)
        assert len(set(trace.selection.indices.tolist())) == 12
        models.add(digest(*trace.selection.arrays["u_hat"].values()))
    assert len(models) == 3


def test_frozen_features_serve_in_place_of_pixels(
    problem: Problem, shared_memo: MemoryMemo
) -> None:
    """A.2: u_hat and OT read the features; f still reads the images, so its fits are found again."""
    features = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
    variant = dataclasses.replace(problem, features=features, reads_features=True)
    trace = choose(variant, tiny_config(), shared_memo)
    assert "elements.layers.0.weight" in trace.selection.arrays["u_hat"]
    assert all(event.cached for event in trace.of(ClassifierTrained))
    shifted = dataclasses.replace(variant, features=2 * features)
    other = choose(shifted, tiny_config(), shared_memo)
    assert digest(*trace.selection.arrays["u_hat"].values()) != digest(
        *other.selection.arrays["u_hat"].values()
    )


def test_the_smallest_problem_there_is(tiny: Prepared, shared_memo: MemoryMemo) -> None:
    """k = 4 with one image a class, k_1 = 2, b = 1, B = 1: pools of two, subsets of one."""
    config = tiny_config(
        k=4,
        budget=1,
        acquisition={"batch_size": 1, "filter_size": 1},
        rambo={"initial_size": 2, "pairs_per_iteration": 2, "offline": {"pairs": 2}},
    )
    smallest = trial.split(config, tiny, 0, None).problem
    trace = choose(smallest, config, shared_memo)
    assert [event.labeled for event in trace.of(LabeledPoolGrew)] == [2, 3, 4]
    assert len(trace.selection.indices) == 1
    for event in trace.of(UtilitySamplesAdded):
        assert all(0 <= utility <= 1 for utility in event.utilities)


def test_samples_are_never_shared_between_two_calls(
    problem: Problem, shared_memo: MemoryMemo
) -> None:
    """One round, no state: a call in between changes nothing."""
    one = choose(problem, tiny_config(), shared_memo)
    choose(problem, tiny_config(budget=5), shared_memo)
    two = choose(problem, tiny_config(), shared_memo)
    assert one.selection.indices.tolist() == two.selection.indices.tolist()
