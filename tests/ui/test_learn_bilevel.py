"""The bilevel problem of the page Learn against finite differences and the core's hypergradients."""

import math

import numpy as np
import pytest
import torch

from rambo.method import bilevel as core
from rambo.ui.learn import bilevel


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("place", [-6.0, -1.3, 0.0, 2.5])
def test_the_hypergradient_is_the_finite_difference(seed: int, place: float) -> None:
    work, nudge = bilevel.task(seed), 1e-4
    ends = [bilevel.evaluate(work, place + side * nudge).outer for side in (-1, 1)]
    slope = bilevel.evaluate(work, place).hypergradient
    assert slope == pytest.approx((ends[1] - ends[0]) / (2 * nudge), rel=1e-4, abs=1e-7)


def test_the_hypergradient_is_the_library_s() -> None:
    """Conjugate gradients at the closed-form minimum, float64."""
    work, place = bilevel.task(0), -1.0
    short, long = (tuple(map(torch.from_numpy, pairs)) for pairs in (work.short, work.long))

    def error(weights: torch.Tensor, pairs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        return (pairs[0] @ weights - pairs[1]).square().mean()

    def inner(weights: core.Tensors, hyper: core.Tensors) -> torch.Tensor:
        return error(weights[0], short) + hyper[0].exp() * weights[0].square().sum() / 2

    def outer(weights: core.Tensors, hyper: core.Tensors) -> torch.Tensor:
        return error(weights[0], long)

    weights = (torch.from_numpy(bilevel.fit(work, place)),)
    hyper = (torch.tensor(place, dtype=torch.float64),)
    (gradient,) = core.conjugate_gradient_hypergradient(inner, outer, weights, hyper, iterations=50)
    assert bilevel.evaluate(work, place).hypergradient == pytest.approx(float(gradient), rel=1e-6)


def test_the_fit_is_the_minimum() -> None:
    work, place = bilevel.task(3), 0.5
    inputs, targets = work.short
    weights = bilevel.fit(work, place)
    slope = 2 * inputs.T @ (inputs @ weights - targets) / len(targets) + math.exp(place) * weights
    np.testing.assert_allclose(slope, 0, atol=1e-10)


@pytest.mark.parametrize("seed", range(10))
def test_a_walk_lowers_the_loss_on_long_pairs_and_stays_in_the_picture(seed: int) -> None:
    work = bilevel.task(seed)
    places = bilevel.walk(work, -6.0, 60)
    assert len(places) == 61
    assert all(bilevel.LOW <= place <= bilevel.HIGH for place in places)
    assert bilevel.evaluate(work, places[-1]).outer < bilevel.evaluate(work, -6.0).outer
    assert bilevel.walk(work, -6.0, 5) == places[:6]


def test_the_loss_on_short_pairs_only_grows_with_lambda() -> None:
    work = bilevel.task(1)
    losses = [bilevel.evaluate(work, place).inner for place in np.linspace(-8, 4, 25)]
    assert losses == sorted(losses)
