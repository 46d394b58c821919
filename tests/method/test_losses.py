"""The losses against their definitions, by hand and in float64, and the figures that judge a ranking."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rambo.errors import DataError
from rambo.method import losses

REALS = st.floats(-20, 20, allow_nan=False)
PAIRS = st.lists(st.tuples(REALS, REALS), min_size=1, max_size=5)


def table(rows: list[tuple[float, float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_ranking_loss_in_closed_form() -> None:
    scores = table([(2.0, 0.0), (0.0, 2.0), (1.0, 1.0)])
    first = table([(0.9, 0.1), (0.9, 0.1), (0.9, 0.1)])
    expected = [math.log(1 + math.exp(-2)), math.log(1 + math.exp(2)), math.log(2)]
    for row, value in enumerate(expected):
        loss = losses.ranking_loss(scores[row : row + 1], first[row : row + 1])
        assert float(loss) == pytest.approx(value, rel=1e-12)
    assert float(losses.ranking_loss(scores, first)) == pytest.approx(sum(expected) / 3, rel=1e-12)


def test_equal_utilities_want_equal_scores() -> None:
    """Target one half: log 2 at equal scores, and no score difference is better."""
    tied = table([(0.5, 0.5)])
    at_rest = float(losses.ranking_loss(table([(3.0, 3.0)]), tied))
    assert at_rest == pytest.approx(math.log(2), rel=1e-12)
    for gap in (-2.0, -1e-3, 1e-3, 2.0):
        assert float(losses.ranking_loss(table([(3.0 + gap, 3.0)]), tied)) > at_rest


@settings(max_examples=80, deadline=None, derandomize=True)
@given(PAIRS, st.data())
def test_ranking_loss_is_definition_2_and_knows_no_first_or_second(
    scores: list[tuple[float, float]], data: st.DataObject
) -> None:
    utility = st.sampled_from([0.25, 0.5, 0.75])
    utilities = [data.draw(st.tuples(utility, utility)) for _ in scores]
    total = 0.0
    for (s1, s2), (u1, u2) in zip(scores, utilities, strict=True):
        posterior = 1 / (1 + math.exp(s2 - s1))
        target = 1.0 if u1 > u2 else 0.0 if u1 < u2 else 0.5
        other = 1 / (1 + math.exp(s1 - s2))  # 1 - posterior without cancellation
        total -= target * math.log(posterior) + (1 - target) * math.log(other)
    loss = losses.ranking_loss(table(scores), table(utilities))
    assert float(loss) == pytest.approx(total / len(scores), rel=1e-9, abs=1e-9)
    swapped = losses.ranking_loss(table(scores).flip(1), table(utilities).flip(1))
    assert float(swapped) == pytest.approx(float(loss), rel=1e-12)
    shifted = losses.ranking_loss(table(scores) + 7, table(utilities))
    assert float(shifted) == pytest.approx(float(loss), rel=1e-9, abs=1e-9)


def test_ranking_loss_of_wild_scores_is_finite() -> None:
    wrong = losses.ranking_loss(torch.tensor([[-1e4, 1e4]]), torch.tensor([[1.0, 0.0]]))
    assert float(wrong) == pytest.approx(2e4)
    right = losses.ranking_loss(torch.tensor([[1e4, -1e4]]), torch.tensor([[1.0, 0.0]]))
    assert float(right) == 0.0


def test_float32_scores_are_compared_with_float64_utilities() -> None:
    """Utilities that differ by less than float32 can tell are still in order."""
    utilities = table([(0.5, 0.5 + 1e-12)])
    loss = losses.ranking_loss(torch.tensor([[0.0, 2.0]]), utilities)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(math.log(1 + math.exp(-2)), rel=1e-6)


def test_the_gradient_of_the_ranking_loss_is_posterior_less_target() -> None:
    scores = table([(0.3, -0.4), (1.5, 2.0), (0.0, 0.1)]).requires_grad_()
    utilities = table([(0.8, 0.6), (0.7, 0.2), (0.4, 0.4)])
    assert torch.autograd.gradcheck(lambda s: losses.ranking_loss(s, utilities), (scores,))
    losses.ranking_loss(scores, utilities).backward()
    target = torch.tensor([1.0, 1.0, 0.5], dtype=torch.float64)
    slope = (torch.sigmoid(scores[:, 0] - scores[:, 1]).detach() - target) / 3
    torch.testing.assert_close(scores.grad, torch.stack([slope, -slope], 1))


def test_regression_loss_is_the_mean_square() -> None:
    predicted, true = table([(0.5, 1.0), (0.25, 0.0)]), table([(0.0, 1.5), (0.25, 2.0)])
    assert float(losses.regression_loss(predicted, true)) == (0.25 + 0.25 + 0 + 4) / 4
    predicted.requires_grad_()
    assert torch.autograd.gradcheck(lambda p: losses.regression_loss(p, true), (predicted,))


def test_transport_loss_by_hand() -> None:
    """Squared errors 4 and 2.25, weighed one half each, and 1 for the negative prediction."""
    loss = losses.transport_loss(table([(-1.0, 2.0)]), table([(1.0, 0.5)]))
    assert float(loss) == 0.5 * 4 + 0.5 * 2.25 + 1.0
    both = losses.transport_loss(table([(-1.0, 2.0), (1.0, 1.0)]), table([(1.0, 0.5), (1.0, 1.0)]))
    assert float(both) == (0.5 * 4 + 0.5 * 2.25 + 1.0) / 2


@settings(max_examples=80, deadline=None, derandomize=True)
@given(PAIRS, st.data(), st.floats(0, 3), st.floats(0, 3))
def test_transport_loss_is_definition_3(
    predicted: list[tuple[float, float]], data: st.DataObject, square: float, positive: float
) -> None:
    distance = st.floats(0, 20, allow_nan=False)
    true = [data.draw(st.tuples(distance, distance)) for _ in predicted]
    total = 0.0
    for (p1, p2), (t1, t2) in zip(predicted, true, strict=True):
        total += square * (p1 - t1) ** 2 + square * (p2 - t2) ** 2
        total -= positive * (min(p1, 0.0) + min(p2, 0.0))
    loss = losses.transport_loss(
        table(predicted), table(true), square_weight=square, positive_weight=positive
    )
    assert float(loss) == pytest.approx(total / len(predicted), rel=1e-9, abs=1e-9)


def test_a_negative_distance_is_pushed_up_even_where_the_square_does_not() -> None:
    predicted = table([(-0.5, 0.5)]).requires_grad_()
    true = table([(-0.5, 0.5)])  # squares are at rest
    losses.transport_loss(predicted, true).backward()
    torch.testing.assert_close(predicted.grad, table([(-1.0, 0.0)]))
    away = table([(-0.5, 0.7), (0.3, -1.0)]).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: losses.transport_loss(p, true.expand(2, 2)), (away,))


@pytest.mark.parametrize(
    "loss",
    [losses.ranking_loss, losses.regression_loss, losses.transport_loss, losses.ranking_accuracy],
)
@pytest.mark.parametrize(
    ("first", "right"),
    [
        ((3, 2), (2, 2)),
        ((4,), (4,)),
        ((2,), (2,)),
        ((3, 3), (3, 3)),
        ((2, 2, 1), (2, 2, 1)),
        ((1, 2), (2,)),
    ],
)
def test_anything_but_two_tables_of_pairs_is_refused(
    loss: object, first: tuple[int, ...], right: tuple[int, ...]
) -> None:
    with pytest.raises(DataError, match=r"both must be p x 2"):
        loss(torch.zeros(first), torch.zeros(right))  # type: ignore[operator]


def test_ranking_accuracy_by_hand() -> None:
    utilities = table([(0.9, 0.1), (0.1, 0.9), (0.9, 0.1), (0.9, 0.1), (0.5, 0.5)])
    scores = table([(2, 1), (2, 1), (1, 2), (3, 3), (9, 0)])
    assert losses.ranking_accuracy(scores, utilities) == (1 + 0 + 0 + 0.5) / 4
    assert losses.ranking_accuracy(-scores, utilities) == (0 + 1 + 1 + 0.5) / 4
    assert losses.ranking_accuracy(utilities, utilities) == 1.0
    assert losses.ranking_accuracy(scores[4:], utilities[4:]) is None
    assert losses.ranking_accuracy(torch.zeros(0, 2), torch.zeros(0, 2)) is None


def naive_tau_b(a: list[int], b: list[int]) -> float | None:
    """Return tau-b by counting all pairs: (concordant - discordant) / sqrt((n - ties a)(n - ties b))."""
    concordant = discordant = tied_a = tied_b = pairs = 0
    for i, j in itertools.combinations(range(len(a)), 2):
        pairs += 1
        tied_a += a[i] == a[j]
        tied_b += b[i] == b[j]
        direction = (a[i] - a[j]) * (b[i] - b[j])
        concordant += direction > 0
        discordant += direction < 0
    scale = (pairs - tied_a) * (pairs - tied_b)
    return (concordant - discordant) / math.sqrt(scale) if scale else None


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=9))
def test_kendall_tau_against_all_pairs(values: list[tuple[int, int]]) -> None:
    a, b = [pair[0] for pair in values], [pair[1] for pair in values]
    tau = losses.kendall_tau(torch.tensor(a).float(), torch.tensor(b).double())
    expected = naive_tau_b(a, b)
    if expected is None:
        assert tau is None
    else:
        assert tau == pytest.approx(expected, abs=1e-12)


def test_agreement_by_hand() -> None:
    first = table([(0.9, 0.1), (0.9, 0.1), (0.5, 0.5), (0.2, 0.4), (0.3, 0.3), (0.6, 0.1)])
    second = table([(0.8, 0.2), (0.2, 0.8), (0.1, 0.9), (0.3, 0.3), (0.6, 0.6), (0.7, 0.2)])
    # Of the pairs that the truth orders: one is turned round, a tie in the other counts one half.
    assert losses.agreement(first, second) == (1 + 0 + 0.5 + 1) / 4
    assert losses.agreement(first, first) == losses.ranking_accuracy(first, first) == 1.0
    assert losses.agreement(second, first) == losses.agreement(first, second)
    assert losses.agreement(first[:1], second[:1]) == 1.0
    assert losses.agreement(first[:0], second[:0]) is None


def test_trainings_that_know_nothing_agree_half_of_the_time() -> None:
    stream = torch.Generator().manual_seed(0)
    first, second = (torch.rand(20_000, 2, generator=stream) for _ in range(2))
    assert losses.agreement(first, second) == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(20_000))
