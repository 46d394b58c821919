"""Kernel ridge on S_val: the closed form, what its statistics say, and weights learned on pairs."""

import dataclasses

import pytest
import torch

from rambo.method import ridge
from rambo.method.pools import Problem


def test_margins_are_those_of_the_textbook_formula(problem: Problem) -> None:
    view = ridge.ridge_view(problem)
    subset = problem.labeled[:9]
    x, goal = view.points[subset], view.points[problem.validation]
    kernel = lambda a, b: torch.exp(-((a[:, None] - b[None]) ** 2).sum(2) / view.bandwidth)  # noqa: E731
    one_hot = torch.eye(4, dtype=torch.float64)[problem.labels[subset]] - 1 / 4
    inverse = torch.linalg.inv(kernel(x, x) + ridge.RIDGE * torch.eye(9))
    scores = kernel(goal, x) @ inverse @ one_hot
    truth = problem.labels[problem.validation]
    own = scores[torch.arange(len(truth)), truth]
    scores[torch.arange(len(truth)), truth] = -9
    torch.testing.assert_close(view.margins(subset), own - scores.amax(1))
    explained = (kernel(goal, x) @ inverse * kernel(goal, x)).sum(1).mean()
    torch.testing.assert_close(
        view.statistics([subset])[0, 2].double(), explained, rtol=1e-5, atol=0
    )


def test_a_set_that_lacks_a_class_knows_less_of_s_val(problem: Problem) -> None:
    view = ridge.ridge_view(problem)
    labels = problem.labels[problem.labeled]
    parts = [problem.labeled[labels == c] for c in range(4)]
    size = min(len(part) for part in parts)
    every = torch.cat([part[: size // 2] for part in parts])
    half = torch.cat([part[:size] for part in parts[:2]])
    whole, lacking = view.statistics([every, half])
    assert (whole > lacking).all()


def test_labels_nobody_bought_are_what_f_says_of_them(problem: Problem) -> None:
    guesses = torch.full((len(problem.labels), 4), 0.25)
    view = ridge.ridge_view(problem, guesses)
    assert (view.answers[problem.unlabeled] == 0.25).all()
    assert (view.answers[problem.labeled].amax(1) == 1).all()
    assert (view.answers[problem.validation] == 0).all()
    # an image of which f knows nothing changes what is covered, and votes for no class
    grown = torch.cat([problem.labeled, problem.unlabeled[:5]])
    before, after = view.statistics([problem.labeled, grown])
    assert after[2] > before[2]


def test_votes_say_how_often_a_validation_image_counts(problem: Problem) -> None:
    view, subsets = ridge.ridge_view(problem), [problem.labeled[:9], problem.labeled[9:20]]
    count = len(problem.validation)
    twice_the_first = torch.ones(count)
    twice_the_first[0] = 2
    some = torch.arange(count) % 3 == 0
    values = view.statistics(
        subsets, torch.stack([torch.ones(count), twice_the_first, some.float()])
    )
    assert values.shape == (3, 2, 3)
    plain = view.statistics(subsets)
    torch.testing.assert_close(values[0], plain)
    first = view.part(torch.tensor([0])).statistics(subsets)
    torch.testing.assert_close(values[1], (count * plain + first) / (count + 1))
    torch.testing.assert_close(values[2], view.part(some.nonzero()[:, 0]).statistics(subsets))


def test_an_ensemble_takes_off_what_its_members_disagree_about(problem: Problem) -> None:
    view = ridge.ridge_view(problem)
    subsets = [problem.labeled[start : start + 8] for start in (0, 5, 10)]
    votes = ridge.resampled(view, 6, torch.Generator().manual_seed(3))
    assert votes.sum(1).tolist() == [len(problem.validation)] * 6
    assert len({tuple(row) for row in votes.tolist()}) == 6
    weights = torch.eye(3)[0].expand(6, -1)
    each = view.statistics(subsets, votes)[:, :, 0].double()
    leads = each - each.mean(1, keepdim=True)
    for caution in (0.0, 1.0, 50.0):
        cautious = ridge.RidgeModel((view,), weights, (votes,), caution).utilities(subsets)
        expected = each.mean() + leads.mean(0) - caution * leads.std(0)
        torch.testing.assert_close(cautious.double(), expected, rtol=1e-5, atol=1e-6)
    # With caution enough the one all agree about wins, whatever its lead.
    assert int(cautious.argmax()) == int(leads.std(0).argmin())


def test_units_are_the_differences_within_pairs(problem: Problem) -> None:
    labeled = problem.labeled
    pairs = [(labeled[:8], labeled[8:16]), (labeled[4:12], labeled[12:20])]
    view = ridge.in_units_of_pairs(ridge.ridge_view(problem), pairs)
    values = view.statistics([subset for pair in pairs for subset in pair]).view(2, 2, 3)
    apart = (values[:, 0] - values[:, 1]).square().mean(0)
    assert apart[[0, 2]].tolist() == pytest.approx([1, 1], rel=1e-4)
    # on images this easy both sets of each pair are equally often right, so that unit stays 1
    assert (float(apart[1]), float(view.unit[1])) == (0, 1)


def test_weights_stay_with_certainty_until_pairs_say_otherwise() -> None:
    generator = torch.Generator().manual_seed(0)
    statistics = torch.randn(400, 2, 3, generator=generator)
    says_the_third = statistics[:, :, 2].double()
    nothing = ridge.fit_weights(statistics[:0], says_the_third[:0])
    assert nothing.tolist() == [1, 0, 0]
    learned = ridge.fit_weights(statistics, says_the_third)
    assert learned[2] > 3 * learned[:2].abs().max()


def test_weights_are_where_the_penalised_ranking_loss_is_least() -> None:
    generator = torch.Generator().manual_seed(1)
    statistics = torch.randn(30, 2, 3, generator=generator)
    utilities = statistics.sum(2).double() + torch.randn(30, 2, generator=generator)
    weights = ridge.fit_weights(statistics, utilities).double().requires_grad_()
    apart = (statistics[:, 0] - statistics[:, 1]).double()
    target = (utilities[:, 0] > utilities[:, 1]).double()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(
        apart @ weights, target, reduction="sum"
    )
    prior = torch.tensor([1.0, 0, 0], dtype=torch.float64)
    (loss + 2 * (weights - prior).square().sum()).backward()
    assert weights.grad is not None
    assert weights.grad.abs().max() < 1e-4


def test_a_larger_unit_makes_smaller_numbers(problem: Problem) -> None:
    view = ridge.ridge_view(problem)
    twice = dataclasses.replace(view, unit=2 * view.unit)
    subset = [problem.labeled[:8]]
    torch.testing.assert_close(twice.statistics(subset), view.statistics(subset) / 2)
