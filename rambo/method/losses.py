"""The losses of the utility model (Definitions 2-4) and the figures that judge a ranking."""

import torch
from torch import Tensor
from torch.nn import functional as F

from rambo.errors import DataError


def _check(predicted: Tensor, true: Tensor) -> None:
    """Refuse anything but two `p x 2` tensors."""
    if predicted.shape != true.shape or predicted.shape[1:] != (2,):
        raise DataError(
            f"beside targets of {tuple(true.shape)}",
            field="predictions",
            value=tuple(predicted.shape),
            hint="both must be p x 2",
        )


def ranking_loss(scores: Tensor, utilities: Tensor) -> Tensor:
    """Return the mean RankNet cross-entropy over pairs of subsets, in nats.

    Source: Definition 2. Choice: equal utilities get target 0.5.

    Args:
        scores: `p x 2` predicted utilities, any scale; only differences count.
        utilities: `p x 2` validation accuracies in [0, 1].

    Raises:
        DataError: the two shapes differ.
    """
    _check(scores, utilities)
    gap = utilities[:, 0] - utilities[:, 1]
    # the sign of a NaN is 0; the product keeps it a NaN
    target = (torch.sign(gap) + 1) / 2 + 0 * gap
    return F.binary_cross_entropy_with_logits(scores[:, 0] - scores[:, 1], target.to(scores.dtype))


def regression_loss(predicted: Tensor, utilities: Tensor) -> Tensor:
    """Return the mean squared error of predicted utilities: the row "RankNet off" of Table 1.

    Source: Section 5.4, B.5.

    Args:
        predicted: `p x 2` predicted utilities.
        utilities: `p x 2` validation accuracies in [0, 1].

    Raises:
        DataError: the two shapes differ.
    """
    _check(predicted, utilities)
    return F.mse_loss(predicted, utilities.to(predicted.dtype))


def transport_loss(
    predicted: Tensor, true: Tensor, *, square_weight: float = 0.5, positive_weight: float = 1.0
) -> Tensor:
    """Return the mean OT distance loss over pairs: squared errors, and a price on negative predictions.

    Source: Definition 3; weights from A.3. Choice: both in units of the mean over the offline utility samples, so that
    lambda_OT = 1 weighs it like the ranking loss whatever space OT is taken in; the paper names no unit.

    Args:
        predicted: `p x 2` predicted OT distances.
        true: `p x 2` true OT distances, in the same unit.
        square_weight: lambda_1 = lambda_2.
        positive_weight: lambda_3.

    Raises:
        DataError: the two shapes differ.
    """
    _check(predicted, true)
    squares = square_weight * (predicted - true.to(predicted.dtype)).square()
    negative = positive_weight * predicted.clamp(max=0)
    return (squares - negative).sum(1).mean()


def ranking_accuracy(scores: Tensor, utilities: Tensor) -> float | None:
    """Return the share of pairs whose scores are in the order of their utilities, in [0, 1].

    Choice: pairs of equal utility have no order and are left out; equal scores count one half. None if no pair
    is left.

    Args:
        scores: `p x 2`.
        utilities: `p x 2`.
    """
    _check(scores, utilities)
    truth = torch.sign(utilities[:, 0] - utilities[:, 1])
    guess = torch.sign(scores[:, 0] - scores[:, 1])
    ordered = truth != 0
    if not ordered.any():
        return None
    return float(((truth * guess)[ordered].double() + 1).mean() / 2)


def kendall_tau(scores: Tensor, utilities: Tensor) -> float | None:
    """Return Kendall's tau-b between scores and utilities in [-1, 1], or None where either is constant.

    Args:
        scores: `s`.
        utilities: `s`.
    """
    if len(scores) < 2 or len(scores.unique()) < 2 or len(utilities.unique()) < 2:
        return None
    from scipy import stats  # a second to import: only where two orders are compared

    return float(stats.kendalltau(scores.numpy(), utilities.numpy()).statistic)


def agreement(first: Tensor, second: Tensor) -> float | None:
    """Return how often two independent trainings agree on the better of a pair, in [0, 1]; None of none.

    No ceiling: a perfect model agrees with one training more often than two trainings agree with each other
    (`runs.results.perfect_shares`). Choice: ties count as in `ranking_accuracy`, with each training as the truth in
    turn, so that the figure stands beside u_hat's: pairs tied in the truth are left out, ties in the other count one
    half.

    Args:
        first: `p x 2` utilities of the first trainings.
        second: `p x 2` utilities of the second trainings of the same subsets.
    """
    both = [ranking_accuracy(first, second), ranking_accuracy(second, first)]
    shares = [share for share in both if share is not None]
    return sum(shares) / len(shares) if shares else None
