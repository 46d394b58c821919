"""The utility model u_hat: it learns rankings both ways, and its shortcuts equal the long way round."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
import torch
from tiny import merged, tiny_config
from torch import Tensor

from rambo.config import UtilityModelConfig
from rambo.datasets.prepared import Prepared
from rambo.errors import DivergedError
from rambo.events import Event, HyperStep, Noticed, TransportPredicted, UtilityModelEpoch, ignore
from rambo.method import bilevel, losses, utility_model
from rambo.method.networks import ConvElements, FeatureElements
from rambo.method.pools import Problem, digest, membership_matrix
from rambo.method.utility_model import (
    UtilityModel,
    create_utility_model,
    embed_elements,
    fit_utility_model,
    hyper_step,
    predict_subsets,
    predict_unions,
)
from rambo.method.utility_samples import UtilitySamples, draw_pairs, split_by_size
from rambo.seeding import Streams
from rambo.worker import trial

BASE = {"epochs": 10, "bilevel": {"inner_steps": 5, "terms": 5}}
E = TypeVar("E", bound=Event)
SHORT: dict[str, Any] = {"epochs": 2, "bilevel": {"inner_steps": 2, "terms": 3}}


def config(base: dict[str, Any] = SHORT, **changes: Any) -> UtilityModelConfig:
    return UtilityModelConfig.model_validate(merged(base, changes))


@pytest.fixture(scope="module")
def problem(tiny: Prepared) -> Problem:
    """Forty labeled images of the tiny dataset, 28 x 28 grey."""
    return trial.split(tiny_config(k=40), tiny, 0, None).problem


@pytest.fixture(scope="module")
def samples(problem: Problem) -> UtilitySamples:
    """Thirty pairs whose utility is the share of class 0, with OT distances of about 1."""
    pairs = draw_pairs(problem.labeled, 30, 8, torch.Generator().manual_seed(0))
    shares = [
        [float((problem.labels[subset] == 0).double().mean()) for subset in pair] for pair in pairs
    ]
    utilities = torch.tensor(shares, dtype=torch.float64)
    return UtilitySamples(pairs, utilities, 1.25 - utilities)


def fit(
    problem: Problem,
    samples: UtilitySamples,
    settings: UtilityModelConfig,
    *,
    bilevel_training: bool,
    seed: int = 1,
    emit: Callable[[Event], None] = ignore,
) -> UtilityModel:
    """Return a fresh u_hat after one fit."""
    streams = Streams(seed)
    return fit_utility_model(
        create_utility_model(problem, settings, streams),
        problem,
        samples,
        streams,
        bilevel_training=bilevel_training,
        phase="toy",
        emit=emit,
    )


def weights(model: UtilityModel) -> str:
    return digest(*model.network.state_dict().values())


def of(kind: type[E], events: list[Event]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


# What a fit does.


@pytest.mark.parametrize("bilevel_training", [False, True])
def test_a_fit_lowers_the_loss_and_learns_the_ranking(
    problem: Problem, samples: UtilitySamples, bilevel_training: bool
) -> None:
    events: list[Event] = []
    model = fit(
        problem, samples, config(BASE), bilevel_training=bilevel_training, emit=events.append
    )
    epochs = of(UtilityModelEpoch, events)
    assert [event.epoch for event in epochs] == list(range(1, 11))
    assert {(event.phase, event.epochs) for event in epochs} == {("toy", 10)}
    assert epochs[-1].rank_loss < 0.8 * epochs[0].rank_loss
    assert epochs[-1].outer_rank_loss < epochs[0].outer_rank_loss
    assert epochs[-1].transport_loss < epochs[0].transport_loss
    predicted = predict_subsets(model, problem, samples.subsets).utility.view(-1, 2)
    accuracy = losses.ranking_accuracy(predicted, samples.utilities)
    assert accuracy is not None
    assert accuracy > 0.8
    short, long = split_by_size(samples)
    for half, figure in (
        (short, epochs[-1].inner_ranking_accuracy),
        (long, epochs[-1].outer_ranking_accuracy),
    ):
        again = predict_subsets(model, problem, half.subsets).utility.view(-1, 2)
        assert figure == losses.ranking_accuracy(again, half.utilities)


def test_the_regression_loss_lowers_the_squared_error(
    problem: Problem, samples: UtilitySamples
) -> None:
    settings = config(BASE, loss="regression")
    model = fit(problem, samples, settings, bilevel_training=False)
    fresh = create_utility_model(problem, settings, Streams(1))

    def error(candidate: UtilityModel) -> float:
        predicted = predict_subsets(candidate, problem, samples.subsets).utility.view(-1, 2)
        return float((predicted - samples.utilities).square().mean())

    assert error(model) < 0.5 * error(fresh)


def test_the_ot_head_learns_the_distances(problem: Problem, samples: UtilitySamples) -> None:
    events: list[Event] = []
    model = fit(problem, samples, config(BASE), bilevel_training=False, emit=events.append)
    (event,) = of(TransportPredicted, events)
    predicted = predict_subsets(model, problem, samples.subsets).transport
    assert event.phase == "toy"
    assert event.predicted == predicted.tolist()
    torch.testing.assert_close(torch.tensor(event.true).double(), samples.transport.flatten())
    errors = (predicted - samples.transport.flatten()).abs()
    fresh = create_utility_model(problem, config(BASE), Streams(1))
    before = predict_subsets(fresh, problem, samples.subsets).transport
    assert errors.mean() < 0.6 * (before - samples.transport.flatten()).abs().mean()


def test_lambda_moves_under_bilevel_training_only(
    problem: Problem, samples: UtilitySamples
) -> None:
    events: list[Event] = []
    plain = fit(problem, samples, config(), bilevel_training=False, emit=events.append)
    assert of(HyperStep, events) == []
    assert all(float(value) == -6.0 for value in plain.log_l2)
    tuned = fit(problem, samples, config(), bilevel_training=True, emit=events.append)
    steps = of(HyperStep, events)
    names = [name for name, _ in tuned.network.named_parameters()]
    assert [step.step for step in steps] == [1, 2]
    assert list(steps[-1].log_l2) == names
    assert list(steps[-1].log_l2.values()) == [float(value) for value in tuned.log_l2]
    moved = {name: abs(float(value) + 6) for name, value in zip(names, tuned.log_l2, strict=True)}
    # RankNet reads differences of utilities, so their common shift has no part in the outer loss.
    assert moved.pop("utility_head.2.bias") == 0
    assert min(moved.values()) > 1e-3
    assert max(moved.values()) <= 2 * 0.05 * 1.01  # two steps of Adam
    assert not any(value.requires_grad for value in tuned.log_l2)
    assert all(step.hypergradient_norm > 0 for step in steps)


def test_frozen_lambda_stays_and_the_descent_is_the_same(
    problem: Problem, samples: UtilitySamples
) -> None:
    """The fair control: until lambda has moved, weights are the same to the bit; afterwards only lambda differs."""
    errors = {}
    for learn in (True, False):
        events: list[Event] = []
        settings = config(epochs=2, bilevel={"learn_lambda": learn})
        model = fit(problem, samples, settings, bilevel_training=True, emit=events.append)
        errors[learn] = model, of(UtilityModelEpoch, events), of(HyperStep, events)
    (learned, first, moved), (frozen, second, still) = errors[True], errors[False]
    assert all(float(value) == -6.0 for value in frozen.log_l2)
    assert first[0] == second[0]
    assert moved[0].hypergradient_norm == still[0].hypergradient_norm
    assert weights(learned) != weights(frozen)


def test_the_weights_of_the_lowest_outer_loss_are_taken_where_asked(
    problem: Problem, samples: UtilitySamples
) -> None:
    """Steps this long overshoot: the outer loss rises again after its lowest."""
    long = {"epochs": 6, "bilevel": {"inner_learning_rate": 0.08, "inner_steps": 5}}
    ends = []
    for stop in (False, True):
        events: list[Event] = []
        settings = config(merged(long, {"bilevel": {"stop_at_lowest": stop}}))
        model = fit(problem, samples, settings, bilevel_training=True, emit=events.append)
        losses_ = [event.outer_loss for event in of(HyperStep, events)]
        ends.append((model, losses_, [event.log_l2 for event in of(HyperStep, events)]))
    (plain, heights, _), (stopped, again, lambdas) = ends
    assert heights == again
    lowest = heights.index(min(heights))
    assert lowest < 5
    assert weights(plain) != weights(stopped)
    assert [float(v) for v in stopped.log_l2] == list(lambdas[lowest].values())


def test_lambda_and_weights_go_on_from_where_they_were(
    problem: Problem, samples: UtilitySamples
) -> None:
    streams, events = Streams(1), list[Event]()
    settings = config(epochs=1, bilevel={"outer_learning_rate": 1e-6})
    model = create_utility_model(problem, settings, streams)
    model = dataclasses.replace(
        model, log_l2=tuple(torch.tensor(-3.0 - 0.125 * i) for i in range(len(model.log_l2)))
    )
    before = [float(value) for value in model.log_l2]
    start = [parameter.detach().clone() for parameter in model.network.parameters()]
    after = fit_utility_model(
        model,
        problem,
        samples,
        streams,
        bilevel_training=True,
        phase="toy",
        emit=events.append,
    )
    assert [float(value) for value in after.log_l2] == pytest.approx(before, abs=1e-5)
    ends = [parameter.detach() for parameter in after.network.parameters()]
    moved = [float((b - a).norm()) for a, b in zip(start, ends, strict=True)]
    assert 0 < max(moved) < 0.5  # two small steps away, not a fresh network
    assert len(of(HyperStep, events)) == 1


def test_bilevel_weights_see_the_short_pairs_only_and_lambda_the_long_ones(
    problem: Problem, samples: UtilitySamples
) -> None:
    short, long = split_by_size(samples)
    flipped = UtilitySamples(long.pairs, long.utilities.flip(1), long.transport)
    one = fit(problem, short + long, config(epochs=1), bilevel_training=True)
    two = fit(problem, short + flipped, config(epochs=1), bilevel_training=True)
    assert weights(one) == weights(two)  # the first hyper-step's weights are of the inner half
    assert [float(v) for v in one.log_l2] != [float(v) for v in two.log_l2]
    changed = UtilitySamples(short.pairs, short.utilities.flip(1), short.transport)
    three = fit(problem, changed + long, config(epochs=1), bilevel_training=True)
    assert weights(one) != weights(three)


def test_a_refit_uses_all_pairs(problem: Problem, samples: UtilitySamples) -> None:
    short, long = split_by_size(samples)
    flipped = UtilitySamples(long.pairs, long.utilities.flip(1), long.transport)
    settings = config(epochs=1, bilevel={"refit": True})
    one = fit(problem, short + long, settings, bilevel_training=True)
    two = fit(problem, short + flipped, settings, bilevel_training=True)
    plain = fit(problem, short + long, config(epochs=1), bilevel_training=True)
    assert weights(one) != weights(two)
    assert weights(one) != weights(plain)
    assert [float(v) for v in one.log_l2] == [float(v) for v in plain.log_l2]


@pytest.mark.parametrize("bilevel_training", [False, True])
@pytest.mark.parametrize("refit", [False, True])
def test_same_seed_same_bytes_and_another_seed_differs(
    problem: Problem, samples: UtilitySamples, bilevel_training: bool, refit: bool
) -> None:
    settings = config(bilevel={"refit": refit})
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one = fit(problem, samples, settings, bilevel_training=bilevel_training)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    two = fit(problem, samples, settings, bilevel_training=bilevel_training)
    other = fit(problem, samples, settings, bilevel_training=bilevel_training, seed=2)
    assert weights(one) == weights(two)
    assert digest(*one.log_l2) == digest(*two.log_l2)
    assert weights(one) != weights(other)


@pytest.mark.parametrize("bilevel_training", [False, True])
def test_with_ot_off_the_distances_and_the_ot_head_are_out_of_the_loss(
    problem: Problem, samples: UtilitySamples, bilevel_training: bool
) -> None:
    moved = UtilitySamples(samples.pairs, samples.utilities, 3 * samples.transport)
    for transport in (False, True):
        settings = config(epochs=1, transport=transport)
        one, two = (
            fit(problem, own, settings, bilevel_training=bilevel_training)
            for own in (samples, moved)
        )
        assert (weights(one) == weights(two)) is not transport
    if not bilevel_training:
        fresh = create_utility_model(problem, config(transport=False), Streams(1)).network
        off = fit(problem, samples, config(transport=False), bilevel_training=False).network
        assert digest(*off.transport_head.parameters()) == digest(
            *fresh.transport_head.parameters()
        )
        assert digest(*off.utility_head.parameters()) != digest(*fresh.utility_head.parameters())


def test_the_ot_weight_is_lambda_ot(problem: Problem, samples: UtilitySamples) -> None:
    none = fit(problem, samples, config(epochs=1, ot_weight=0.0), bilevel_training=True)
    off = fit(problem, samples, config(epochs=1, transport=False), bilevel_training=True)
    much = fit(problem, samples, config(epochs=1, ot_weight=2.0), bilevel_training=True)
    assert weights(none) == weights(off)
    assert weights(much) != weights(none)


@pytest.mark.parametrize("bilevel_training", [False, True])
@pytest.mark.parametrize("field", ["utilities", "transport"])
def test_a_loss_that_is_not_finite_is_a_diverged_fit(
    problem: Problem, samples: UtilitySamples, bilevel_training: bool, field: str
) -> None:
    bad = dataclasses.replace(samples, **{field: torch.full((30, 2), math.nan)})
    with pytest.raises(DivergedError) as caught:
        fit(problem, bad, config(), bilevel_training=bilevel_training)
    message = str(caught.value)
    assert "toy, epoch 1" in message
    assert "rambo.utility_model.learning_rate" in message
    assert "\n" not in message


def test_a_wild_inner_learning_rate_is_a_diverged_fit_that_names_it(
    problem: Problem, samples: UtilitySamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(utility_model, "_HALVINGS", 1)
    settings = config(epochs=10, bilevel={"inner_steps": 10, "inner_learning_rate": 10.0})
    with pytest.raises(DivergedError, match=r"rambo\.utility_model\.bilevel\.inner_learning_rate"):
        fit(problem, samples, settings, bilevel_training=True)


@pytest.mark.parametrize("way", ["neumann", "unroll", "conjugate-gradient"])
def test_inner_steps_that_diverge_are_taken_again_at_half_the_rate_which_then_stays(
    problem: Problem, samples: UtilitySamples, way: str
) -> None:
    """As on the frozen features of CIFAR10, where three trials of ten diverged and failed the run."""
    schedule = {"inner_steps": 10, "inner_learning_rate": 1.0, "hypergradient": way}
    wild, events = config(epochs=3, bilevel=schedule), list[Event]()
    model = fit(problem, samples, wild, bilevel_training=True, emit=events.append)
    rate = model.config.bilevel.inner_learning_rate
    assert rate in {0.5**halvings for halvings in range(1, 7)}
    epochs = [event for event in events if isinstance(event, UtilityModelEpoch)]
    assert len(epochs) == 3
    assert all(math.isfinite(event.rank_loss + event.outer_rank_loss) for event in epochs)
    (notice,) = (event for event in events if isinstance(event, Noticed))
    assert (
        f"diverged at a learning rate of 1 in toy; from there on it is {rate:g}" in notice.message
    )
    # Begun with the rate that was stable, the same weights come out: nothing of the failed steps is left.
    calm = config(epochs=3, bilevel=schedule | {"inner_learning_rate": rate})
    events.clear()
    same = fit(problem, samples, calm, bilevel_training=True, emit=events.append)
    assert weights(same) == weights(model)
    assert not [event for event in events if isinstance(event, Noticed)]


def test_a_refit_that_diverges_says_so(
    problem: Problem, samples: UtilitySamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ordinary epochs after the hyper-steps: their loss becomes NaN, theirs only."""
    fit_bilevel, total = utility_model._fit_bilevel, utility_model._total

    def then_break(*arguments: Any) -> UtilityModel:
        model = fit_bilevel(*arguments)
        monkeypatch.setattr(utility_model, "_total", lambda *a: total(*a) * math.nan)
        return model

    monkeypatch.setattr(utility_model, "_fit_bilevel", then_break)
    with pytest.raises(DivergedError):
        fit(problem, samples, config(epochs=1, bilevel={"refit": True}), bilevel_training=True)


# Hypergradients on the objectives of a real fit.

Step = tuple[bilevel.Objective, bilevel.Objective, bilevel.Tensors, bilevel.Tensors, Any]


@pytest.fixture(scope="module")
def step(problem: Problem, samples: UtilitySamples) -> Step:
    """Inner and outer objective, weights, velocity and lambda of the sixth hyper-step of a fit."""
    steps: list[Step] = []

    def spy(inner: Any, outer: Any, weights: Any, velocity: Any, hyper: Any, settings: Any) -> Any:
        steps.append((inner, outer, weights, velocity, hyper))
        return hyper_step(inner, outer, weights, velocity, hyper, settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utility_model, "hyper_step", spy)
        fit(problem, samples, config(BASE, epochs=6), bilevel_training=True)
    assert len(steps) == 6
    return steps[-1]


def test_the_dropout_mask_is_held_still_during_a_hyper_step(
    problem: Problem, samples: UtilitySamples, step: Step
) -> None:
    inner, outer, weights, _, hyper = step
    torch.manual_seed(0)
    first = inner(weights, hyper)
    torch.manual_seed(1)
    outer(weights, hyper)  # puts the network in eval mode in between
    assert torch.equal(inner(weights, hyper), first)
    # A network without dropout gives another value: there was a mask at all.
    masks: list[float] = []

    def spy(inner: Any, outer: Any, weights: Any, velocity: Any, hyper: Any, settings: Any) -> Any:
        masks.append(float(inner(weights, hyper).detach()))
        masks.append(float(inner(weights, hyper).detach()))
        return tuple(map(torch.zeros_like, hyper)), weights, velocity

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utility_model, "hyper_step", spy)
        fit(problem, samples, config(epochs=3, dropout=0.5), bilevel_training=True)
        assert masks[0::2] == masks[1::2]  # still within a hyper-step
        assert len(set(masks[0::2])) == 3  # another one in the next, though nothing moved
        masks.clear()
        fit(problem, samples, config(epochs=3, dropout=0.0), bilevel_training=True)
        assert len(set(masks)) == 1


def test_the_inner_objective_is_the_loss_plus_half_the_weighted_squares(step: Step) -> None:
    inner, _, weights, _, hyper = step
    shift = math.log(3.0)
    with torch.no_grad():
        penalties = [h.exp() * w.square().sum() / 2 for h, w in zip(hyper, weights, strict=True)]
        base = inner(weights, hyper)
        for place in (0, 5, len(hyper) - 1):
            moved = tuple(h + shift * (i == place) for i, h in enumerate(hyper))
            rise = inner(weights, moved) - base
            torch.testing.assert_close(rise, 2 * penalties[place], rtol=1e-3, atol=2e-6)


@pytest.mark.parametrize("way", ["neumann", "unroll", "conjugate-gradient"])
def test_every_hypergradient_has_the_shape_of_lambda_and_moves_the_weights(
    step: Step, way: str
) -> None:
    settings = config(BASE, bilevel={"hypergradient": way}).bilevel
    gradient, after, velocity = hyper_step(*step, settings)
    weights, hyper = step[2], step[4]
    assert [g.shape for g in gradient] == [h.shape for h in hyper]
    assert all(bool(g.isfinite().all()) for g in gradient)
    assert sum(float(g.abs().sum()) for g in gradient) > 0
    assert [w.shape for w in after] == [v.shape for v in velocity] == [w.shape for w in weights]
    assert digest(*after) != digest(*weights)
    assert not any(t.requires_grad for t in (*gradient, *after, *velocity))


def test_all_hypergradients_share_the_inner_steps(step: Step) -> None:
    ends = [
        hyper_step(*step, config(BASE, bilevel={"hypergradient": way}).bilevel)[1]
        for way in ("neumann", "unroll", "conjugate-gradient")
    ]
    for other in ends[1:]:
        for one, two in zip(ends[0], other, strict=True):
            torch.testing.assert_close(two, one)


def test_neumann_points_where_unrolling_points(step: Step) -> None:
    """Same steps, same learning rate, no momentum: the series is the unrolled descent's tail."""
    plain = {"momentum": 0.0, "inner_steps": 20, "terms": 20}
    inner, outer, weights, velocity, hyper = step
    start = (inner, outer, weights, tuple(map(torch.zeros_like, velocity)), hyper)
    series, unrolled = (
        torch.stack(hyper_step(*start, config(bilevel={"hypergradient": way, **plain}).bilevel)[0])
        for way in ("neumann", "unroll")
    )
    assert torch.cosine_similarity(series, unrolled, dim=0) > 0.9
    with_momentum = [
        torch.stack(hyper_step(*step, config(BASE, bilevel={"hypergradient": way}).bilevel)[0])
        for way in ("neumann", "unroll")
    ]
    assert torch.cosine_similarity(*with_momentum, dim=0) > 0.5


def test_conjugate_gradients_agree_with_a_long_series_where_the_problem_is_convex(
    step: Step,
) -> None:
    """Strong L2 and much damping make every eigenvalue positive; then both solve one system."""
    inner, outer, weights, velocity, hyper = step
    strong = tuple(torch.full_like(h, 1.0) for h in hyper)
    for _ in range(3):  # towards the minimum, where the implicit gradient is defined
        _, weights, velocity = hyper_step(
            inner, outer, weights, velocity, strong, config(bilevel={"inner_steps": 20}).bilevel
        )
    series = bilevel.neumann_hypergradient(
        inner, outer, weights, strong, learning_rate=0.05, terms=300, tolerance=1e-7
    )
    solved = bilevel.conjugate_gradient_hypergradient(inner, outer, weights, strong, iterations=50)
    assert torch.cosine_similarity(torch.stack(series), torch.stack(solved), dim=0) > 0.9


# What u_hat is asked.


@pytest.fixture(scope="module", params=["mean", "attention"])
def model(
    request: pytest.FixtureRequest, problem: Problem, samples: UtilitySamples
) -> UtilityModel:
    """A fitted u_hat with either pooling."""
    settings = config(epochs=3, pooling=request.param)
    return fit(problem, samples, settings, bilevel_training=False)


def batches_of(problem: Problem, count: int, size: int, seed: int = 0) -> Tensor:
    order = torch.randperm(len(problem.unlabeled), generator=torch.Generator().manual_seed(seed))
    return problem.unlabeled[order[: count * size]].view(count, size)


@torch.no_grad()
def embed_again(model: UtilityModel, problem: Problem, union: Tensor) -> float:
    """Return the predicted utility of one set the long way: every image through the network."""
    network = model.network.eval()
    elements = network.elements(problem.network_inputs(union))
    pooled = network.pooling(elements, torch.full((1, len(union)), 1 / len(union)))
    reference = network.refer(network.elements(problem.network_inputs(problem.labeled)))
    return float(network.predict_pooled(pooled, reference).utility)


def test_cached_unions_equal_embedding_every_union_again(
    model: UtilityModel, problem: Problem
) -> None:
    elements = embed_elements(model, problem, problem.unlabeled)
    grown = torch.cat([problem.labeled, batches_of(problem, 1, 6, seed=9)[0]])
    for labeled in (problem.labeled, grown):
        rest = problem.unlabeled[~torch.isin(problem.unlabeled, labeled)]
        batches = rest[:45].view(9, 5)
        fast = predict_unions(model, elements, labeled, batches)
        slow = [embed_again(model, problem, torch.cat([labeled, batch])) for batch in batches]
        torch.testing.assert_close(fast, torch.tensor(slow), atol=1e-5, rtol=1e-5)
        assert len(fast.unique()) > 1


def test_unions_in_several_chunks_equal_unions_at_once(
    model: UtilityModel, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = batches_of(problem, 9, 4)
    once = predict_unions(
        model, embed_elements(model, problem, problem.unlabeled), problem.labeled, batches
    )
    monkeypatch.setattr(utility_model, "_UNIONS_CHUNK", 4)
    monkeypatch.setattr(utility_model, "_ELEMENTS_CHUNK", 7)
    chunked = predict_unions(
        model, embed_elements(model, problem, problem.unlabeled), problem.labeled, batches
    )
    torch.testing.assert_close(chunked, once, atol=1e-5, rtol=1e-5)


def test_an_image_that_was_never_embedded_is_no_part_of_a_union(
    model: UtilityModel, problem: Problem
) -> None:
    elements = embed_elements(model, problem, problem.unlabeled[:5])
    embedded, unknown = problem.unlabeled[None, :5], problem.unlabeled[None, 4:9]
    assert predict_unions(model, elements, problem.labeled, embedded).isfinite().all()
    with pytest.raises(ValueError, match="never embedded"):
        predict_unions(model, elements, problem.labeled, unknown)
    with pytest.raises(ValueError, match="never embedded"):
        predict_unions(model, elements, torch.cat([problem.labeled, unknown[0, 1:]]), embedded)


def test_the_order_of_a_set_does_not_matter(model: UtilityModel, problem: Problem) -> None:
    elements = embed_elements(model, problem, problem.unlabeled)
    batches = batches_of(problem, 6, 5)
    expected = predict_unions(model, elements, problem.labeled, batches)
    turned = predict_unions(model, elements, problem.labeled.flip(0), batches.flip(1))
    torch.testing.assert_close(turned, expected, atol=1e-5, rtol=1e-5)
    rows = torch.tensor([4, 0, 5, 2, 1, 3])
    permuted = predict_unions(model, elements, problem.labeled, batches[rows])
    torch.testing.assert_close(permuted, expected[rows], atol=1e-5, rtol=1e-5)


def test_subsets_are_read_alike_in_any_order_and_company(
    model: UtilityModel, problem: Problem, samples: UtilitySamples
) -> None:
    """Order of members, order of the pool, and what else is in the batch change nothing."""
    subsets = samples.subsets[:8]
    expected = predict_subsets(model, problem, subsets)
    other = dataclasses.replace(problem, labeled=problem.labeled.flip(0))
    turned = predict_subsets(model, other, [subset.flip(0) for subset in subsets])
    for name in ("embedding", "utility", "transport"):
        torch.testing.assert_close(
            getattr(turned, name), getattr(expected, name), atol=1e-5, rtol=1e-4
        )
    for row, subset in enumerate(subsets[:3]):  # no padding to a larger neighbour
        alone = predict_subsets(model, problem, [subset])
        torch.testing.assert_close(alone.utility[0], expected.utility[row], atol=1e-5, rtol=1e-4)


def test_subsets_and_unions_agree_on_the_same_set(model: UtilityModel, problem: Problem) -> None:
    """The labeled pool less its last five, united with those five, is the labeled pool."""
    elements = embed_elements(model, problem, problem.unlabeled)
    united = predict_unions(model, elements, problem.labeled[:-5], problem.labeled[-5:][None])
    whole = predict_subsets(model, problem, [problem.labeled])
    torch.testing.assert_close(united, whole.utility, atol=1e-5, rtol=1e-5)


def test_asking_is_in_eval_mode_and_changes_nothing(
    model: UtilityModel, problem: Problem, samples: UtilitySamples
) -> None:
    before, inputs = weights(model), digest(problem.images, problem.labels)
    model.network.train()
    elements = embed_elements(model, problem, problem.unlabeled)
    model.network.train()
    first = predict_subsets(model, problem, samples.subsets)
    model.network.train()
    unions = predict_unions(model, elements, problem.labeled, batches_of(problem, 3, 4))
    again = predict_unions(
        model,
        embed_elements(model, problem, problem.unlabeled),
        problem.labeled,
        batches_of(problem, 3, 4),
    )
    assert torch.equal(unions, again)
    assert torch.equal(first.utility, predict_subsets(model, problem, samples.subsets).utility)
    assert not unions.requires_grad
    assert weights(model) == before
    assert digest(problem.images, problem.labels) == inputs


def test_elements_are_known_for_the_two_pools_and_nothing_else(
    model: UtilityModel, problem: Problem
) -> None:
    elements = embed_elements(model, problem, problem.unlabeled)
    embedded = torch.cat([problem.labeled, problem.unlabeled])
    assert elements.values.shape == (200, 64)
    assert elements.values.dtype == torch.float64
    assert elements.values[embedded].isfinite().all()
    others = torch.ones(200, dtype=torch.bool)
    others[embedded] = False
    assert int(others.sum()) == 100
    assert not elements.embedded[others].any()
    assert elements.embedded[embedded].all()


def test_pooling_by_matrix_is_the_plain_average(problem: Problem) -> None:
    """phi(S) = rho of the mean difference from the pool, computed with a loop over the images."""
    network = create_utility_model(problem, config(), Streams(3)).network
    subset = problem.labeled[[5, 17, 30, 2]]
    with torch.no_grad():
        prediction = network(
            problem.network_inputs(problem.labeled), membership_matrix([subset], problem.labeled)
        )
        single = [network.elements(problem.network_inputs(i[None]))[0] for i in problem.labeled]
        places = [int((problem.labeled == i).nonzero()) for i in subset]
        pool = torch.stack(single)
        mean = sum(single[place] for place in places) / 4
        spread = (pool - pool.mean(0)).square().mean().sqrt() / math.sqrt(40) + 1e-6
        embedding = network.rho((mean - pool.mean(0))[None] / spread)
    torch.testing.assert_close(prediction.embedding, embedding, atol=1e-3, rtol=1e-3)


def test_the_extractor_follows_the_problem(problem: Problem, samples: UtilitySamples) -> None:
    """A.1 for pixels; A.2 where frozen features are given, and then u_hat reads nothing else."""
    fresh = create_utility_model(problem, config(), Streams(1))
    assert isinstance(fresh.network.elements, ConvElements)
    features = torch.randn(200, 7, generator=torch.Generator().manual_seed(0))
    unread = dataclasses.replace(problem, features=features, reads_features=False)
    fresh = create_utility_model(unread, config(), Streams(1))
    assert isinstance(fresh.network.elements, ConvElements)
    variant = dataclasses.replace(problem, features=features, reads_features=True)
    one = fit(variant, samples, config(), bilevel_training=True)
    assert isinstance(one.network.elements, FeatureElements)
    blank = dataclasses.replace(variant, images=torch.zeros_like(problem.images))
    assert weights(fit(blank, samples, config(), bilevel_training=True)) == weights(one)
