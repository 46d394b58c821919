"""Hypergradients against finite differences of independent solvers, in float64, and on a real set network."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call

from rambo.method import bilevel, losses
from rambo.method.bilevel import Descent, Tensors
from rambo.method.networks import FeatureElements, SetNetwork
from rambo.method.pools import membership_matrix

Array = NDArray[np.float64]
SPLIT = 3  # the first three weights are one tensor, the rest another


def tensors(flat: Array) -> Tensors:
    """Return a flat vector as the two weight tensors, the first of them a column."""
    whole = torch.from_numpy(flat.copy())
    return whole[:SPLIT].view(-1, 1), whole[SPLIT:]


def hypers(values: Array) -> Tensors:
    return tuple(torch.tensor(value) for value in values)


def flat(parts: Tensors) -> Array:
    return torch.cat([part.detach().flatten() for part in parts]).double().numpy()


@dataclasses.dataclass(frozen=True)
class Bowl:
    """A problem written twice: in torch, and in numpy with its derivatives by hand.

    Inner: f(w) + sum over both tensors of exp(h_i) |w_i|^2 / 2; outer: |w - c|^2 / 2 + sin(h_0) + h_1 h_2. The third
    hyper-parameter is in the outer objective only, the fourth in neither.
    """

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Array], Array]
    curvature: Callable[[Array], Array]
    target: Array

    def inner(self, weights: Tensors, hyper: Tensors) -> Tensor:
        penalty = sum(h.exp() * w.square().sum() for h, w in zip(hyper[:2], weights, strict=True))
        return self.value(torch.cat([w.flatten() for w in weights])) + penalty / 2

    def outer(self, weights: Tensors, hyper: Tensors) -> Tensor:
        away = torch.cat([w.flatten() for w in weights]) - torch.from_numpy(self.target)
        return away.square().sum() / 2 + hyper[0].sin() + hyper[1] * hyper[2]

    def decay(self, hyper: Array) -> Array:
        return np.exp(np.repeat(hyper[:2], [SPLIT, len(self.target) - SPLIT]))

    def descended(
        self, start: Array, velocity: Array, hyper: Array, d: Descent
    ) -> tuple[Array, Array]:
        """Return weights and velocity after T steps of heavy-ball descent."""
        w, v = start.copy(), velocity.copy()
        for _ in range(d.steps):
            v = d.momentum * v + self.slope(w) + self.decay(hyper) * w
            w = w - d.learning_rate * v
        return w, v

    def solved(self, hyper: Array) -> Array:
        """Return the minimum of the inner objective, by Newton's method."""
        w = np.zeros_like(self.target)
        for _ in range(30):
            hessian = self.curvature(w) + np.diag(self.decay(hyper))
            w = w - np.linalg.solve(hessian, self.slope(w) + self.decay(hyper) * w)
        return w

    def outer_at(self, weights: Array, hyper: Array) -> float:
        away = weights - self.target
        return float(away @ away / 2 + np.sin(hyper[0]) + hyper[1] * hyper[2])


def finite_difference(function: Callable[[Array], float], at: Array, step: float = 1e-5) -> Array:
    """Return the gradient by central differences."""
    gradient = np.zeros_like(at)
    for i in range(len(at)):
        shift = np.zeros_like(at)
        shift[i] = step
        gradient[i] = (function(at + shift) - function(at - shift)) / (2 * step)
    return gradient


def quadratic(seed: int, size: int = 5, *, indefinite: bool = False) -> Bowl:
    """Return w A w / 2 - b w with eigenvalues of A in [0.5, 4], or some of them negative."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(size, size)))[0]
    values = np.linspace(-3, 4, size) if indefinite else np.linspace(0.5, 4, size)
    matrix, linear = (turn * values) @ turn.T, rng.normal(size=size)
    matrix_, linear_ = torch.from_numpy(matrix), torch.from_numpy(linear)
    return Bowl(
        lambda w: w @ matrix_ @ w / 2 - linear_ @ w,
        lambda w: matrix @ w - linear,
        lambda w: matrix,
        rng.normal(size=size),
    )


def logistic(seed: int, size: int = 5) -> Bowl:
    """Return the mean logistic loss of 25 points."""
    rng = np.random.default_rng(seed)
    signed = rng.normal(size=(25, size)) * rng.choice([-1.0, 1.0], (25, 1))
    signed_ = torch.from_numpy(signed)

    def shares(w: Array) -> Array:
        return 1 / (1 + np.exp(signed @ w))

    return Bowl(
        lambda w: torch.nn.functional.softplus(-(signed_ @ w)).mean(),
        lambda w: -(shares(w) @ signed) / 25,
        lambda w: (signed.T * (shares(w) * (1 - shares(w)))) @ signed / 25,
        rng.normal(size=size),
    )


PROBLEMS = pytest.mark.parametrize(
    "problem", [quadratic(0), logistic(1)], ids=["quadratic", "logistic"]
)
HYPER = np.array([-1.0, 0.3, 0.7, 2.0])


@PROBLEMS
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("steps", [0, 1, 7])
def test_unrolled_hypergradient_against_finite_differences(
    problem: Bowl, momentum: float, steps: int
) -> None:
    rng = np.random.default_rng(5)
    start, velocity = rng.normal(size=(2, 5))
    descent = Descent(steps, 0.1, momentum)
    gradient, weights, speed = bilevel.unrolled_hypergradient(
        problem.inner, problem.outer, tensors(start), tensors(velocity), hypers(HYPER), descent
    )

    def after(hyper: Array) -> float:
        return problem.outer_at(problem.descended(start, velocity, hyper, descent)[0], hyper)

    expected = finite_difference(after, HYPER)
    np.testing.assert_allclose(flat(gradient), expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(expected[2:], [HYPER[1], 0.0], atol=1e-9)  # direct, and unused
    w, v = problem.descended(start, velocity, HYPER, descent)
    np.testing.assert_allclose(flat(weights), w, rtol=1e-12)
    np.testing.assert_allclose(flat(speed), v, rtol=1e-12)
    assert weights[0].shape == (SPLIT, 1)
    assert not any(part.requires_grad for part in (*gradient, *weights, *speed))


@PROBLEMS
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_descend_walks_the_same_path_with_and_without_its_graph(
    problem: Bowl, momentum: float
) -> None:
    rng = np.random.default_rng(6)
    start, velocity = rng.normal(size=(2, 5))
    descent = Descent(6, 0.2, momentum)
    w, v = problem.descended(start, velocity, HYPER, descent)
    plain = bilevel.descend(
        problem.inner, tensors(start), tensors(velocity), hypers(HYPER), descent
    )
    leaves = tuple(part.requires_grad_() for part in tensors(start))
    unrolled = bilevel.descend(
        problem.inner, leaves, tensors(velocity), hypers(HYPER), descent, differentiable=True
    )
    for weights, speed in (plain, unrolled):
        np.testing.assert_allclose(flat(weights), w, rtol=1e-12)
        np.testing.assert_allclose(flat(speed), v, rtol=1e-12)
    assert all(part.requires_grad for part in unrolled[0])
    assert not any(part.requires_grad for part in plain[0] + plain[1])


@PROBLEMS
def test_implicit_hypergradients_against_finite_differences_of_the_solution(problem: Bowl) -> None:
    best = problem.solved(HYPER)
    expected = finite_difference(lambda h: problem.outer_at(problem.solved(h), h), HYPER)
    neumann = bilevel.neumann_hypergradient(
        problem.inner,
        problem.outer,
        tensors(best),
        hypers(HYPER),
        learning_rate=0.15,
        terms=5000,
        tolerance=1e-12,
    )
    conjugate = bilevel.conjugate_gradient_hypergradient(
        problem.inner, problem.outer, tensors(best), hypers(HYPER), iterations=20
    )
    np.testing.assert_allclose(flat(neumann), expected, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(flat(conjugate), expected, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(flat(neumann), flat(conjugate), rtol=1e-7, atol=1e-9)
    assert neumann[3] == conjugate[3] == 0.0
    assert float(neumann[2]) == float(conjugate[2]) == HYPER[1]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 2**31), st.integers(1, 12), st.floats(0.02, 0.2), st.floats(0, 0.95))
def test_neumann_terms_are_the_last_steps_of_the_unrolled_descent(
    seed: int, terms: int, learning_rate: float, momentum: float
) -> None:
    """At the minimum of a quadratic, every step sees one Hessian: both sums have the same terms."""
    problem = quadratic(seed)
    best = tensors(problem.solved(HYPER))
    at_rest = tuple(map(torch.zeros_like, best))
    unrolled, _, _ = bilevel.unrolled_hypergradient(
        problem.inner,
        problem.outer,
        best,
        at_rest,
        hypers(HYPER),
        Descent(terms, learning_rate, momentum),
    )
    neumann = bilevel.neumann_hypergradient(
        problem.inner,
        problem.outer,
        best,
        hypers(HYPER),
        learning_rate=learning_rate,
        terms=terms,
        momentum=momentum,
        tolerance=0.0,
    )
    np.testing.assert_allclose(flat(neumann), flat(unrolled), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("damping", [0.0, 0.5, 10.0])
def test_damping_is_added_to_the_diagonal(damping: float) -> None:
    problem = quadratic(2)
    weights = np.random.default_rng(3).normal(size=5)
    decay = problem.decay(HYPER)
    hessian = problem.curvature(weights) + np.diag(decay) + damping * np.eye(5)
    solution = np.linalg.solve(hessian, weights - problem.target)
    pulled = decay * weights * solution
    direct = np.array([np.cos(HYPER[0]), HYPER[2], HYPER[1], 0.0])
    expected = direct - np.array([pulled[:SPLIT].sum(), pulled[SPLIT:].sum(), 0.0, 0.0])
    gradient = bilevel.conjugate_gradient_hypergradient(
        problem.inner, problem.outer, tensors(weights), hypers(HYPER), iterations=5, damping=damping
    )
    np.testing.assert_allclose(flat(gradient), expected, rtol=1e-9)


def implicit(name: str, problem: Bowl, weights: Tensors, hyper: Tensors) -> Tensors:
    """Return the hypergradient of one implicit method with ordinary settings."""
    if name == "neumann":
        return bilevel.neumann_hypergradient(
            problem.inner, problem.outer, weights, hyper, learning_rate=0.05, terms=50
        )
    return bilevel.conjugate_gradient_hypergradient(
        problem.inner, problem.outer, weights, hyper, iterations=50
    )


def one_term(problem: Bowl, weights: Array, learning_rate: float) -> Array:
    """Return the hypergradient of the first Neumann term alone."""
    first = learning_rate * (weights - problem.target) * problem.decay(HYPER) * weights
    direct = np.array([np.cos(HYPER[0]), HYPER[2], HYPER[1], 0.0])
    return direct - np.array([first[:SPLIT].sum(), first[SPLIT:].sum(), 0.0, 0.0])


@pytest.mark.parametrize("learning_rate", [3.0, 10.0, 1e6])
def test_neumann_stops_once_its_terms_grow(learning_rate: float) -> None:
    """A learning rate far above 2 over the largest eigenvalue: the first term is all there is."""
    problem, weights = quadratic(4), np.random.default_rng(4).normal(size=5)
    gradient = bilevel.neumann_hypergradient(
        problem.inner,
        problem.outer,
        tensors(weights),
        hypers(HYPER),
        learning_rate=learning_rate,
        terms=1000,
    )
    assert np.isfinite(flat(gradient)).all()
    np.testing.assert_allclose(flat(gradient), one_term(problem, weights, learning_rate), rtol=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_neumann_stays_bounded_where_terms_shrink_first_and_grow_later(seed: int) -> None:
    """One eigenvalue is above 2 over the learning rate: its share grows while the others die out."""
    problem, weights = quadratic(seed), np.random.default_rng(seed).normal(size=5)
    gradient = bilevel.neumann_hypergradient(
        problem.inner,
        problem.outer,
        tensors(weights),
        hypers(HYPER),
        learning_rate=0.5,
        terms=100_000,
        tolerance=0.0,
    )
    largest = 0.5 * np.linalg.norm(weights - problem.target)  # no later term is larger
    bound = 50 * largest * np.linalg.norm(problem.decay(HYPER) * weights)
    assert np.linalg.norm(flat(gradient)) < 10 + bound


@pytest.mark.parametrize("name", ["neumann", "conjugate-gradient"])
@pytest.mark.parametrize("seed", range(4))
def test_an_indefinite_hessian_stays_finite(name: str, seed: int) -> None:
    problem = quadratic(seed, indefinite=True)
    weights = np.random.default_rng(seed).normal(size=5)
    hyper = np.array([-9.0, -9.0, 0.7, 2.0])  # the penalty is too weak to bend it upwards
    lowest = np.linalg.eigvalsh(problem.curvature(weights) + np.diag(problem.decay(hyper)))[0]
    assert lowest < -1
    gradient = flat(implicit(name, problem, tensors(weights), hypers(hyper)))
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient[2:], [hyper[1], 0.0], atol=1e-12)


def test_conjugate_gradients_stop_at_negative_curvature_with_what_they_have() -> None:
    """Negative along the very first direction: nothing is solved, the direct part is left."""
    problem = quadratic(0, indefinite=True)
    weights = np.random.default_rng(0).normal(size=5)
    hyper = np.array([-1.0, -1.0, 0.7, 2.0])  # one decay for all, so that eigenvectors stay
    lowest = np.linalg.eigh(problem.curvature(weights))[1][:, 0]
    downhill = dataclasses.replace(problem, target=weights - lowest)
    gradient = flat(implicit("conjugate-gradient", downhill, tensors(weights), hypers(hyper)))
    np.testing.assert_allclose(gradient, [np.cos(-1.0), 0.7, -1.0, 0.0], rtol=1e-9)


@pytest.mark.parametrize("name", ["neumann", "conjugate-gradient"])
def test_an_outer_objective_at_rest_leaves_the_direct_part(name: str) -> None:
    problem = quadratic(7)
    at_target = tensors(problem.target)
    gradient = flat(implicit(name, problem, at_target, hypers(HYPER)))
    np.testing.assert_allclose(gradient, [np.cos(HYPER[0]), HYPER[2], HYPER[1], 0.0], rtol=1e-12)


@pytest.mark.parametrize("name", ["neumann", "conjugate-gradient"])
def test_an_outer_objective_of_nothing_gives_zeros(name: str) -> None:
    problem = quadratic(7)

    def constant(weights: Tensors, hyper: Tensors) -> Tensor:
        return torch.tensor(3.0, dtype=torch.float64)

    arguments = (problem.inner, constant, tensors(problem.target), hypers(HYPER))
    gradient = (
        bilevel.neumann_hypergradient(*arguments, learning_rate=0.1, terms=5)
        if name == "neumann"
        else bilevel.conjugate_gradient_hypergradient(*arguments, iterations=5)
    )
    assert flat(gradient).tolist() == [0.0] * 4


def set_network_problem(
    seed: int, dtype: torch.dtype
) -> tuple[bilevel.Objective, bilevel.Objective, Tensors]:
    """Return inner and outer L_Total of a small set network on short and long pairs, and its weights.

    Thirty images of six features; the utility of a set is the mean of the first.
    """
    torch.manual_seed(seed)
    network = SetNetwork(FeatureElements(6), "mean").to(dtype)
    stream = torch.Generator().manual_seed(seed)
    images = torch.randn(30, 6, generator=stream).to(dtype)
    names = [name for name, _ in network.named_parameters()]

    def task(smallest: int, largest: int) -> tuple[Tensor, Tensor, Tensor]:
        subsets = []
        for _ in range(12):
            size = int(torch.randint(smallest, largest, (1,), generator=stream))
            subsets += [torch.randperm(30, generator=stream)[:size] for _ in range(2)]
        matrix = membership_matrix(subsets, torch.arange(30)).to(dtype)
        means = matrix @ images
        return matrix, means[:, 0].view(-1, 2), 1 + means.norm(dim=1).view(-1, 2)

    def total(weights: Tensors, part: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        matrix, utilities, distances = part
        prediction = functional_call(
            network, dict(zip(names, weights, strict=True)), (images, matrix)
        )
        ranking = losses.ranking_loss(prediction.utility.view(-1, 2), utilities)
        return ranking + losses.transport_loss(prediction.transport.view(-1, 2), distances)

    short, long = task(4, 10), task(10, 20)

    def inner(weights: Tensors, hyper: Tensors) -> Tensor:
        penalty = sum(h.exp() * w.square().sum() for h, w in zip(hyper, weights, strict=True))
        return total(weights, short) + penalty / 2

    def outer(weights: Tensors, hyper: Tensors) -> Tensor:
        return total(weights, long)

    return inner, outer, tuple(weight.detach().clone() for weight in network.parameters())


@pytest.mark.parametrize("seed", range(3))
def test_neumann_points_where_unrolling_points_on_a_set_network(seed: int) -> None:
    """With the default settings (10 terms, learning rate 0.01, momentum 0.9, log L2 -6) after 100 steps."""
    inner, outer, weights = set_network_problem(seed, torch.float32)
    velocity = tuple(map(torch.zeros_like, weights))
    hyper = tuple(torch.tensor(-6.0) for _ in weights)
    before = float(inner(weights, hyper))
    unrolled, trained, _ = bilevel.unrolled_hypergradient(
        inner, outer, weights, velocity, hyper, Descent(100, 0.01, 0.9)
    )
    neumann = bilevel.neumann_hypergradient(
        inner, outer, trained, hyper, learning_rate=0.01, terms=10, momentum=0.9
    )
    assert float(inner(trained, hyper)) < before / 10
    a, b = flat(unrolled), flat(neumann)
    assert a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) >= 0.98


def test_unrolled_hypergradient_of_a_set_network_against_finite_differences() -> None:
    inner, outer, weights = set_network_problem(0, torch.float64)
    velocity = tuple(map(torch.zeros_like, weights))
    hyper = tuple(torch.tensor(-2.0 - 0.1 * i, dtype=torch.float64) for i in range(len(weights)))
    descent = Descent(8, 0.01, 0.9)
    gradient, _, _ = bilevel.unrolled_hypergradient(inner, outer, weights, velocity, hyper, descent)

    def after(values: Array) -> float:
        moved = tuple(torch.tensor(value) for value in values)
        reached, _ = bilevel.descend(inner, weights, velocity, moved, descent)
        return float(outer(reached, moved))

    expected = finite_difference(after, flat(hyper), 1e-4)
    np.testing.assert_allclose(flat(gradient), expected, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("name", ["descend", "unroll", "neumann", "conjugate-gradient"])
def test_nothing_that_was_given_is_changed(name: str) -> None:
    problem, rng = quadratic(8), np.random.default_rng(8)
    weights, velocity = tensors(rng.normal(size=5)), tensors(rng.normal(size=5))
    hyper = tuple(value.requires_grad_() for value in hypers(HYPER))
    copies = [part.detach().clone() for part in (*weights, *velocity, *hyper)]
    if name == "descend":
        bilevel.descend(problem.inner, weights, velocity, hyper, Descent(5, 0.1, 0.9))
    elif name == "unroll":
        bilevel.unrolled_hypergradient(
            problem.inner, problem.outer, weights, velocity, hyper, Descent(5, 0.1, 0.9)
        )
    else:
        implicit(name, problem, weights, hyper)
    for part, copy in zip((*weights, *velocity, *hyper), copies, strict=True):
        assert torch.equal(part, copy)
        assert part.grad is None
    assert not any(part.requires_grad for part in weights + velocity)
