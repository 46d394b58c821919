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

    def statistics(self, subsets: Sequence[Tensor], votes: Tensor | None = None) -> Tensor:
        """Return what each set says of S_val in units: certainty, accuracy and coverage.

        Args:
            subsets: `s` sets.
            votes: `e x n`, how often each validation image counts in each of `e` answers; once in one if not given.

        Returns:
            `s x 3`, or `e x s x 3` with votes.
        """
        each = [self._each(subset) for subset in subsets]
        if votes is None:
            values = torch.stack([own.mean(1) for own in each])
        else:
            shares = (votes / votes.sum(1, keepdim=True)).double().T
            values = torch.stack([own @ shares for own in each]).permute(2, 0, 1)
        return (values / self.unit).float()

    def margins(self, subset: Tensor) -> Tensor:
        """Return the margin of every validation image under the set: true class less the best other."""
        return self._fit(subset)[0]

    def part(self, rows: Tensor) -> "RidgeView":
        """Return the view that only some of the validation images have a say in."""
        return dataclasses.replace(self, validation=self.validation[rows], truth=self.truth[rows])

    def guessed(self, images: Tensor, probabilities: Tensor) -> "RidgeView":
        """Return the view in which some images count with the class probabilities `N x c` of another classifier."""
        answers = self.answers.clone()
        answers[images] = probabilities[images].double()
        return dataclasses.replace(self, answers=answers)

    def _each(self, subset: Tensor) -> Tensor:
        """Return the three statistics of one set for every validation image, `3 x n` in their own units."""
        margins, explained = self._fit(subset)
        return torch.stack([(STEEPNESS * margins).tanh(), (margins > 0).double(), explained])

    def _fit(self, subset: Tensor) -> tuple[Tensor, Tensor]:
        """Return the margins, and the share of each validation image's variance that the set explains."""
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
        return own - others, explained

    def _kernel(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the kernel between all rows of both."""
        return (-torch.cdist(first, second).square() / self.bandwidth).exp()


@dataclasses.dataclass(frozen=True, eq=False)
class RidgeModel:
    """RAMBO+'s u_hat: weights of what a ridge fit says of S_val, or an ensemble of them that is asked with caution.

    Attributes:
        views: how S_val and the images are seen; what several say counts as their mean.
        weights: of the statistics; `3`, or `e x 3` of an ensemble.
        votes: of each view `e x n`, how often each validation image counts for each member; none without an ensemble.
        caution: standard deviations of the ensemble that are taken off.
    """

    views: tuple[RidgeView, ...]
    weights: Tensor
    votes: tuple[Tensor, ...] = ()
    caution: float = 0.0

    def statistics(self, subsets: Sequence[Tensor]) -> Tensor:
        """Return what each set says of S_val in units, `s x 3`, or `e x s x 3` of an ensemble."""
        votes = self.votes or (None,) * len(self.views)
        each = [view.statistics(subsets, own) for view, own in zip(self.views, votes, strict=True)]
        return torch.stack(each).mean(0)

    def utilities(self, subsets: Sequence[Tensor]) -> Tensor:
        """Return the predicted utilities of `s` sets that are compared with each other, in units.

        Choice: an ensemble doubts how far a set leads the mean of all that are asked about. What a member thinks of all
        of them alike, because its validation images are hard, decides nothing.
        """
        values = self.statistics(subsets)
        if not self.votes:
            return values @ self.weights
        # Double precision: a spread of members that agree is a small difference.
        each = (values.double() @ self.weights.double()[:, :, None])[:, :, 0]
        leads = each - each.mean(1, keepdim=True)
        cautious = each.mean() + leads.mean(0) - self.caution * leads.std(0)
        return cautious.float()

    def judged_by(self, view: RidgeView) -> "RidgeModel":
        """Return the same weights, an ensemble's as their mean, on other validation images."""
        weights = self.weights.view(-1, len(STATISTICS)).mean(0)
        return RidgeModel((dataclasses.replace(view, unit=self.views[0].unit),), weights)


def resampled(view: RidgeView, members: int, generator: torch.Generator) -> Tensor:
    """Return how often each validation image counts for each member of an ensemble, `e x n`: drawn with replacement."""
    count = len(view.validation)
    places = torch.randint(count, (members, count), generator=generator)
    return torch.zeros(members, count).scatter_add_(1, places, torch.ones(members, count))


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
    subsets = [subset for pair in pairs for subset in pair]
    values = torch.stack([view._each(subset).mean(1) for subset in subsets]).view(-1, 2, 3)
    apart = (values[:, 0] - values[:, 1]).square().mean(0).sqrt()
    return dataclasses.replace(view, unit=apart.where(apart > 1e-9, 1.0))
