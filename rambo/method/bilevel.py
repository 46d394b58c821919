"""Hypergradients of any pair of inner and outer objectives (Section 4.2.1).

    min over h of E(w(h), h)   subject to   w(h) = argmin over w of L(w, h)

Weights and hyper-parameters are tuples of tensors, objectives are callables of both; no dataset or model in sight.
Three ways to the same gradient: unroll the descent, a Neumann series, or conjugate gradients.
"""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

Tensors = tuple[Tensor, ...]
Objective = Callable[[Tensors, Tensors], Tensor]


@dataclasses.dataclass(frozen=True)
class Descent:
    """Momentum gradient descent of the inner problem: `steps` steps of `learning_rate`."""

    steps: int
    learning_rate: float
    momentum: float = 0.0


def descend(
    inner: Objective,
    weights: Tensors,
    velocity: Tensors,
    hyper: Tensors,
    descent: Descent,
    *,
    differentiable: bool = False,
) -> tuple[Tensors, Tensors]:
    """Return weights and velocity after the inner steps.

    Args:
        inner: L(w, h).
        weights: where to start.
        velocity: momentum buffers, shaped like `weights`.
        hyper: h, held still.
        descent: number and size of the steps.
        differentiable: keep the graph of all steps, for unrolling.
    """
    for _ in range(descent.steps):
        # A fresh leaf each step, or the graph of all steps would stay in memory for nothing.
        if not differentiable:
            weights = tuple(w.detach().requires_grad_() for w in weights)
        gradient = torch.autograd.grad(inner(weights, hyper), weights, create_graph=differentiable)
        # Heavy ball: v <- momentum v + dL/dw, w <- w - rate v. Written out, as torch's SGD changes weights in place.
        velocity = tuple(descent.momentum * v + g for v, g in zip(velocity, gradient, strict=True))
        weights = tuple(
            w - descent.learning_rate * v for w, v in zip(weights, velocity, strict=True)
        )
    if differentiable:
        return weights, velocity
    return tuple(w.detach() for w in weights), tuple(v.detach() for v in velocity)


def unrolled_hypergradient(
    inner: Objective,
    outer: Objective,
    start: Tensors,
    velocity: Tensors,
    hyper: Tensors,
    descent: Descent,
) -> tuple[Tensors, Tensors, Tensors]:
    """Return dE(w_T(h), h)/dh through all T descent steps, and the weights and velocity at step T.

    Source: Franceschi et al. 2018, reverse mode. `start` and `velocity` count as constants.
    """
    # Leaves of our own: the graph ends here, and not in whatever made the caller's tensors.
    hyper = _leaves(hyper)
    weights, velocity = descend(
        inner, _leaves(start), velocity, hyper, descent, differentiable=True
    )
    # Back through outer, then through all T steps: memory grows with T, which the two implicit ways below avoid.
    gradient = _gradient(outer(weights, hyper), hyper)
    return gradient, tuple(w.detach() for w in weights), tuple(v.detach() for v in velocity)


def neumann_hypergradient(
    inner: Objective,
    outer: Objective,
    weights: Tensors,
    hyper: Tensors,
    *,
    learning_rate: float,
    terms: int,
    momentum: float = 0.0,
    tolerance: float = 1e-3,
) -> Tensors:
    """Return the implicit hypergradient at w, the inverse Hessian by `terms` of its Neumann series.

    With the descent's learning rate and momentum this is the last `terms` steps of the unrolled descent, without
    storing them, as if they had all been taken at w. Source: Grazzi et al. 2020. Choice: the series stops early once a
    term is below `tolerance` of the sum, or once what is left of dE/dw grows by more than `1 + momentum` over its
    smallest (the learning rate is above 2 over the largest eigenvalue, or the Hessian is indefinite).

    Args:
        inner: L(w, h).
        outer: E(w, h).
        weights: w, near a minimum of L.
        hyper: h.
        learning_rate: step of the series; it converges below 2 over the largest eigenvalue.
        terms: at most this many.
        momentum: of the descent; each term goes on with this share of the one before.
        tolerance: relative size of a term that ends the series.
    """
    weights, hyper = _leaves(weights), _leaves(hyper)
    # The system is H x = dE/dw with H the Hessian of L. `residual` is what the sum so far leaves of dE/dw.
    residual, direct = _outer_gradients(outer, weights, hyper)
    # One graph of dL/dw serves all terms: each needs only a Hessian-vector product, never H itself.
    slope = torch.autograd.grad(inner(weights, hyper), weights, create_graph=True)
    # Richardson's iteration x <- x + rate (dE/dw - H x), which is the descent of L run backwards; with momentum too.
    term = total = tuple(map(torch.zeros_like, residual))
    smallest = _norm(residual)
    for number in range(1, terms + 1):
        term = tuple(
            momentum * t + learning_rate * part for t, part in zip(term, residual, strict=True)
        )
        # `total` is x after that many terms, so it stands at all times for H^-1 dE/dw, as far as it got.
        total = tuple(a + t for a, t in zip(total, term, strict=True))
        # The last term needs no further product, and a tiny one changes no digit that matters.
        if number == terms or _norm(term) < tolerance * _norm(total):
            break
        # H times the term: the gradient of <dL/dw, term> by w (Pearlmutter 1994), at the price of one backward pass.
        curved = torch.autograd.grad(slope, weights, term, retain_graph=True)
        residual = tuple(part - c for part, c in zip(residual, curved, strict=True))
        # Momentum may overshoot by its own share; more than that is divergence, and every further term makes it worse.
        if _norm(residual) > (1 + momentum) * smallest:
            break
        smallest = min(smallest, _norm(residual))
    return _implicit(slope, hyper, total, direct)


def conjugate_gradient_hypergradient(
    inner: Objective,
    outer: Objective,
    weights: Tensors,
    hyper: Tensors,
    *,
    iterations: int,
    damping: float = 0.0,
    tolerance: float = 1e-10,
) -> Tensors:
    """Return the implicit hypergradient at w, the linear system solved by conjugate gradients.

    Right where the Hessian is positive definite and w is close to a minimum; elsewhere it can point away
    (`damping` adds a multiple of the identity).

    Args:
        inner: L(w, h).
        outer: E(w, h).
        weights: w, at a minimum of L.
        hyper: h.
        iterations: at most this many Hessian-vector products.
        damping: added to the Hessian's diagonal.
        tolerance: relative residual that ends the iteration.
    """
    weights, hyper = _leaves(weights), _leaves(hyper)
    # Starts from x = 0, so residual and first direction are dE/dw itself.
    towards, direct = _outer_gradients(outer, weights, hyper)
    slope = torch.autograd.grad(inner(weights, hyper), weights, create_graph=True)
    solution = tuple(torch.zeros_like(g) for g in towards)
    residual, direction = towards, towards
    energy = first = _dot(residual, residual)
    for _ in range(iterations):
        # Relative and squared: energies are squared norms. It also stops where dE/dw is zero from the start.
        if float(energy) <= tolerance**2 * float(first):
            break
        curved = torch.autograd.grad(slope, weights, direction, retain_graph=True)
        # Damping lifts small and negative eigenvalues, at the price of a shorter answer in their directions.
        curved = tuple(c + damping * d for c, d in zip(curved, direction, strict=True))
        curvature = _dot(direction, curved)
        # Not positive definite in this direction: no step along it helps, so the solution so far is the answer.
        if float(curvature) <= 0:
            break
        # The minimum of 1/2 x^T H x - x^T dE/dw along this direction.
        step = energy / curvature
        solution = tuple(s + step * d for s, d in zip(solution, direction, strict=True))
        residual = tuple(r - step * c for r, c in zip(residual, curved, strict=True))
        energy, previous = _dot(residual, residual), energy
        # Fletcher and Reeves: conjugate to all directions before, so no step undoes an earlier one.
        direction = tuple(
            r + energy / previous * d for r, d in zip(residual, direction, strict=True)
        )
    return _implicit(slope, hyper, solution, direct)


def _leaves(tensors: Tensors) -> Tensors:
    """Return detached copies that gradients can be taken of."""
    return tuple(t.detach().requires_grad_() for t in tensors)


def _gradient(value: Tensor, inputs: Tensors) -> Tensors:
    """Return the gradient, zeros where an input is not used."""
    gradients = torch.autograd.grad(value, inputs, allow_unused=True)
    return tuple(
        torch.zeros_like(i) if g is None else g for g, i in zip(gradients, inputs, strict=True)
    )


def _outer_gradients(outer: Objective, weights: Tensors, hyper: Tensors) -> tuple[Tensors, Tensors]:
    """Return dE/dw and the direct part of dE/dh."""
    # An outer objective that reads neither is legal: all its gradients are zero.
    if not (value := outer(weights, hyper)).requires_grad:
        return tuple(map(torch.zeros_like, weights)), tuple(map(torch.zeros_like, hyper))
    # One backward pass for both parts; lambda is in E only where the caller put it there.
    both = _gradient(value, weights + hyper)
    return both[: len(weights)], both[len(weights) :]


def _implicit(slope: Tensors, hyper: Tensors, solution: Tensors, direct: Tensors) -> Tensors:
    """Return direct - (d2L/dh dw) solution."""
    # The implicit function theorem: dw/dh = -H^-1 d2L/dh dw, and H is symmetric, so the product runs from the left.
    crossed = torch.autograd.grad(slope, hyper, solution, allow_unused=True)
    return tuple(d if c is None else d - c for d, c in zip(direct, crossed, strict=True))


def _dot(a: Tensors, b: Tensors) -> Tensor:
    """Return the inner product over all tensors."""
    return torch.stack([(x * y).sum() for x, y in zip(a, b, strict=True)]).sum()


def _norm(tensors: Tensors) -> float:
    """Return the Euclidean norm over all tensors."""
    return float(_dot(tensors, tensors).sqrt())
