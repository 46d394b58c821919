"""What a set of labeled images says of S_val, in closed form: kernel ridge regression judged on every validation image.

No network is trained: a set is fitted by one linear system, and what it predicts of S_val is compared with the labels
there. Means over S_val order sets of one size about as well as a training of f does.
"""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from rambo.method.pools import UNLABELED, Problem

AXES = 50  # Choice: principal axes of S_0 and S_val
RIDGE = 0.1  # Choice: beside kernel values of 1; the best of 0.1 and 1 on true pairs
# Choice: of tanh, which counts an image as right or wrong but for the doubtful ones
STEEPNESS = 5.0
_PRIOR, _NEWTON_STEPS = 4.0, 20
STATISTICS = ("certainty", "accuracy", "coverage")


@dataclasses.dataclass(frozen=True, eq=False)
class RidgeView:
    """S_val and all images as kernel ridge regression sees them.

    Attributes:
        points: `N x d` float64 on the axes; rows of images that are in no pool are 0.
        validation: indices of S_val.
        truth: its class ids.
        answers: `N x c` float64, what is held of each image: its label where it was bought, else f's probabilities.
        bandwidth: of the kernel exp(-|x - y|^2 / bandwidth).
        unit: one of each statistic, in which u_hat reads them.
    """

    points: Tensor
    validation: Tensor
    truth: Tensor
    answers: Tensor
    bandwidth: float
    unit: Tensor

    @property
    def certain(self) -> Tensor:
        """The weights before anything is learned: certainty alone, the statistic that orders pairs best."""
        return torch.eye(len(STATISTICS))[0]

    def statistics(self, subsets: Sequence[Tensor]) -> Tensor:
        """Return what each set says of S_val, `s x 3` in units: certainty, accuracy and coverage."""
        values = torch.stack([self._judge(subset) for subset in subsets])
        return (values / self.unit).float()

    def margins(self, subset: Tensor) -> Tensor:
        """Return the margin of every validation image under the set: true class less the best other."""
        return self._fit(subset)[0]

    def _judge(self, subset: Tensor) -> Tensor:
        """Return the three statistics of one set, in their own units."""
        margins, coverage = self._fit(subset)
        certain = (STEEPNESS * margins).tanh().mean()
        return torch.stack([certain, (margins > 0).double().mean(), coverage])

    def _fit(self, subset: Tensor) -> tuple[Tensor, Tensor]:
        """Return the margins, and the mean share of a validation image's variance that the set explains."""
        # A Cholesky factor serves twice: for the scores, and for how much of each validation image is explained.
        members, goal = self.points[subset], self.points[self.validation]
        classes = self.answers.shape[1]
        inner = self._kernel(members, members)
        # The ridge also makes the matrix definite where two images of a set are the same.
        inner.diagonal().add_(RIDGE)
        root = torch.linalg.cholesky(inner)
        across = self._kernel(goal, members)
        # Answers less 1 / c, so that far from all members every class scores 0 and none leads.
        scores = across @ torch.cholesky_solve(self.answers[subset] - 1 / classes, root)
        # The margin of the true class, not a hit or a miss: it moves with every image of the set.
        own = scores.gather(1, self.truth[:, None])[:, 0]
        others = scores.scatter(1, self.truth[:, None], -torch.inf).amax(1)
        # Variance explained in a Gaussian process with this kernel; what no member is near stays near 0.
        explained = torch.linalg.solve_triangular(root, across.T, upper=False).square().sum(0)
        return own - others, explained.mean()

    def _kernel(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the kernel between all rows of both."""
        return (-torch.cdist(first, second).square() / self.bandwidth).exp()


def ridge_view(problem: Problem, probabilities: Tensor | None = None) -> RidgeView:
    """Return how kernel ridge regression sees the problem's images.

    Choice: axes and bandwidth (the median squared distance) come from S_0 and S_val; the images of U_0 are put on
    the same axes.

    Args:
        problem: S_0, U_0 and S_val.
        probabilities: `N x c` of f, trained on S_0 alone; where not given, only sets of S_0 can be asked about.
    """
    anchors = torch.cat([problem.labeled, problem.validation])
    # Axes of S_0 and S_val alone: the pool may hold images of another kind, and they must not turn the axes.
    described = problem.describe_images(anchors).double()
    middle = described.mean(0)
    _, _, directions = torch.linalg.svd(described - middle, full_matrices=False)
    directions = directions[:AXES].T
    points = torch.zeros(len(problem.labels), directions.shape[1], dtype=torch.float64)
    points[anchors] = (described - middle) @ directions
    answers = torch.zeros(len(problem.labels), problem.num_classes, dtype=torch.float64)
    if probabilities is not None:
        pool = problem.unlabeled
        # In parts, because the pool's features may not fit into memory in float64.
        for part in pool.split(5000):
            points[part] = (problem.describe_images(part).double() - middle) @ directions
        answers[pool] = probabilities[pool].double()
    labels = problem.labels[problem.labeled]
    assert (labels != UNLABELED).all()
    answers[problem.labeled] = F.one_hot(labels, problem.num_classes).double()
    # The median: half of all pairs lie closer, so the kernel is neither flat nor a spike, whatever the features.
    apart = torch.pdist(points[problem.labeled]).square()
    bandwidth = float(apart.median()) or 1.0
    truth = problem.labels[problem.validation]
    unit = torch.ones(len(STATISTICS), dtype=torch.float64)
    return RidgeView(points, problem.validation, truth, answers, bandwidth, unit)


def fit_weights(statistics: Tensor, utilities: Tensor) -> Tensor:
    """Return the weights of the statistics by RankNet on true pairs, drawn towards certainty alone.

    Choice: a Gaussian prior of variance 1 / 4 around that, because a few dozen pairs cannot tell three weights; the
    optimum is unique, so any solver finds it.

    Args:
        statistics: `p x 2 x 3` in units of the pairs.
        utilities: `p x 2`.
    """
    apart = (statistics[:, 0] - statistics[:, 1]).double()
    prior = torch.eye(len(STATISTICS), dtype=torch.float64)[0]
    # RankNet: the sign of a pair is its label, and a tie says "neither".
    better = (utilities[:, 0] > utilities[:, 1]).double()
    target = torch.where(utilities[:, 0] == utilities[:, 1], 0.5, better)
    weights = prior.clone()
    # Newton on three weights costs nothing, and the prior keeps the curvature definite with few pairs or none.
    for _ in range(_NEWTON_STEPS):
        chance = (apart @ weights).sigmoid()
        gradient = apart.T @ (chance - target) + _PRIOR * (weights - prior)
        curvature = (apart.T * (chance * (1 - chance))) @ apart
        curvature.diagonal().add_(_PRIOR)
        weights = weights - torch.linalg.solve(curvature, gradient)
    return weights.float()


def in_units_of_pairs(view: RidgeView, pairs: Sequence[Sequence[Tensor]]) -> RidgeView:
    """Return the view with the root mean square difference within pairs of sets as its unit.

    Choice: 1 where the two sets of a pair never differ.
    """
    values = torch.stack([view._judge(subset) for pair in pairs for subset in pair]).view(-1, 2, 3)
    apart = (values[:, 0] - values[:, 1]).square().mean(0).sqrt()
    return dataclasses.replace(view, unit=apart.where(apart > 1e-9, 1.0))
