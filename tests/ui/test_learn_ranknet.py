"""RankNet of the page Learn against the core and its autograd."""

import numpy as np
import pytest
import torch

from rambo.method import losses
from rambo.runs.results import perfect_shares
from rambo.ui.learn import ranknet, which


@pytest.mark.parametrize("gap", [-6.0, -0.5, 0.0, 1.0, 6.0])
@pytest.mark.parametrize("truth", [-10.0, -0.5, 0.0, 3.0])
def test_loss_and_gradient_are_the_core_s(gap: float, truth: float) -> None:
    scores = torch.tensor([[gap, 0.0]], dtype=torch.float64, requires_grad=True)
    loss = losses.ranking_loss(scores, torch.tensor([[0.5 + truth / 100, 0.5]]))
    loss.backward()
    assert scores.grad is not None
    now = ranknet.rank_pair(gap, truth)
    assert now.loss == pytest.approx(float(loss))
    assert now.gradient == pytest.approx(float(scores.grad[0, 0]))
    assert now.probability == pytest.approx(float(torch.sigmoid(scores[0, 0])))


def test_only_the_order_of_the_utilities_counts() -> None:
    assert ranknet.rank_pair(1.0, 0.5) == ranknet.rank_pair(1.0, 10.0)
    assert ranknet.rank_pair(1.0, 0.5) != ranknet.rank_pair(1.0, -0.5)


def gaps() -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    pairs = which.shipped()
    utilities = torch.from_numpy(pairs.utilities)  # pair x set x training
    return utilities[:, :, 0], utilities[:, :, 1], pairs.scores


def test_the_shipped_trainings_agree_as_the_core_counts() -> None:
    first, second, _ = gaps()
    differences = torch.stack([u[:, 0] - u[:, 1] for u in (first, second)], dim=1).numpy()
    assert which.agreement(differences) == pytest.approx(losses.agreement(first, second))
    assert len(first) >= 100


def test_u_hat_is_right_as_often_as_the_core_counts() -> None:
    first, _, scores = gaps()
    share = which.right_share(scores[:, 0] - scores[:, 1], (first[:, 0] - first[:, 1]).numpy())
    assert share == pytest.approx(losses.ranking_accuracy(torch.from_numpy(scores), first))


def test_pairs_of_equal_utility_are_no_question() -> None:
    assert which.right_share(np.array([1.0, -1.0]), np.array([0.0, -2.0])) == 1.0
    assert which.right_share(np.array([1.0]), np.array([0.0])) is None


@pytest.mark.parametrize(
    ("agreement", "most"), [(1.0, 1.0), (0.5, 0.5), (0.72, 0.8317), (0.4, 0.5)]
)
def test_two_trainings_that_agree_are_no_ceiling(agreement: float, most: float) -> None:
    """Every pair with one and the same mean sign q reaches the upper end; pairs of all or nothing the lower one."""
    low, high = perfect_shares(agreement)
    assert low == agreement
    assert high == pytest.approx(most, abs=1e-4)


def test_the_ends_hold_in_a_simulation() -> None:
    q = 0.6
    rng = np.random.default_rng(0)
    draws = np.where(rng.random((200_000, 2)) < (1 + q) / 2, 1, -1)
    agree = float((draws[:, 0] == draws[:, 1]).mean())
    assert perfect_shares(agree)[1] == pytest.approx((draws[:, 0] == 1).mean(), abs=0.01)
