"""Bilevel: fit on short sets, judge on long ones, and let the hypergradient find lambda."""

import dataclasses
import math
from functools import cache

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from rambo.figures import lesson_curves
from rambo.figures.prepared import Figure
from rambo.ui.components import plot
from rambo.ui.learn import parts

Array = NDArray[np.float64]

LOW, HIGH = -8.0, 4.0  # of log lambda
STEP = 0.5  # learning rate of the walk, ten times RAMBO's: thirty steps cross the picture
_DECAYS, _TINY = (0.9, 0.999), 1e-8  # of Adam
_ARROW = 1.5  # of log lambda, the length of an arrow
_PAIRS, _WIDTH, _REAL = 20, 12, 3


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """Differences of two sets, `p x d`, and the differences of their utilities, `p`, of short and long pairs."""

    short: tuple[Array, Array]
    long: tuple[Array, Array]


@dataclasses.dataclass(frozen=True)
class Point:
    """Both losses at one lambda.

    Attributes:
        log_lambda: the hyper-parameter, as RAMBO keeps it.
        inner: mean squared error on the short pairs, without the penalty.
        outer: mean squared error on the long pairs.
        hypergradient: of the outer loss by log lambda, through the fitted weights.
    """

    log_lambda: float
    inner: float
    outer: float
    hypergradient: float


@cache
def task(seed: int) -> Task:
    """Return a small problem: 12 features of which 3 matter; short sets are noisier than long ones."""
    rng = np.random.default_rng(seed + 4)
    truth = np.concatenate([rng.normal(size=_REAL), np.zeros(_WIDTH - _REAL)])

    def pairs(noise: float) -> tuple[Array, Array]:
        inputs = rng.normal(size=(_PAIRS, _WIDTH))
        return inputs, inputs @ truth + noise * rng.normal(size=_PAIRS)

    return Task(pairs(1.5), pairs(0.5))


def fit(work: Task, log_lambda: float) -> Array:
    """Return w(lambda): the minimum of mean squared error on the short pairs plus lambda |w|^2 / 2, in closed form."""
    inputs, targets = work.short
    right = 2 * inputs.T @ targets / len(targets)
    weights: Array = np.linalg.solve(_hessian(inputs, log_lambda), right).astype(np.float64)
    return weights


def _hessian(inputs: Array, log_lambda: float) -> Array:
    """Return the second derivative of the inner objective by w."""
    hessian: Array = 2 * inputs.T @ inputs / len(inputs) + math.exp(log_lambda) * np.eye(
        inputs.shape[1]
    )
    return hessian


def evaluate(work: Task, log_lambda: float) -> Point:
    """Return both losses and the hypergradient.

    Source: implicit differentiation, dE/dh = - (d2L/dh dw) H^-1 dE/dw, with d2L/dh dw = lambda w.
    """
    weights = fit(work, log_lambda)
    slopes = 2 * work.long[0].T @ (work.long[0] @ weights - work.long[1]) / len(work.long[1])
    through = np.linalg.solve(_hessian(work.short[0], log_lambda), slopes)
    return Point(
        log_lambda,
        _error(work.short, weights),
        _error(work.long, weights),
        float(-math.exp(log_lambda) * weights @ through),
    )


def _error(pairs: tuple[Array, Array], weights: Array) -> float:
    """Return the mean squared error."""
    return float(np.square(pairs[0] @ weights - pairs[1]).mean())


def walk(work: Task, log_lambda: float, steps: int) -> list[float]:
    """Return the places of a walk by Adam against the hypergradient, the start among them, held within the picture."""
    places, first, second = [log_lambda], 0.0, 0.0
    for number in range(1, steps + 1):
        slope = evaluate(work, places[-1]).hypergradient
        first = _DECAYS[0] * first + (1 - _DECAYS[0]) * slope
        second = _DECAYS[1] * second + (1 - _DECAYS[1]) * slope**2
        unbiased = first / (1 - _DECAYS[0] ** number), second / (1 - _DECAYS[1] ** number)
        move = STEP * unbiased[0] / (math.sqrt(unbiased[1]) + _TINY)
        places.append(min(max(places[-1] - move, LOW), HIGH))
    return places


def show() -> None:
    """Draw the step."""
    left, right = st.columns([2, 3], gap="large")
    with left:
        log_lambda = st.slider(
            "log lambda: how strongly the weights are pulled to zero",
            LOW,
            HIGH,
            -6.0,
            0.1,
            key="lambda",
            bind="query-params",
            help="RAMBO starts at -6 and keeps one lambda for every tensor of u_hat; here there is one in all.",
        )
        steps = st.slider(
            "Let it walk: steps against the hypergradient",
            0,
            60,
            0,
            key="steps",
            bind="query-params",
            help="Each step fits the weights again and then moves lambda, by Adam, as RAMBO does.",
        )
        seed = st.slider("Other pairs", 1, 10, key="pairs", bind="query-params") - 1
        work = task(seed)
        places = walk(work, log_lambda, steps)
        now = evaluate(work, places[-1])
        nudge = 1e-5
        finite = (
            evaluate(work, now.log_lambda + nudge).outer
            - evaluate(work, now.log_lambda - nudge).outer
        ) / (2 * nudge)
        parts.numbers(
            {
                "Loss on short pairs": (
                    f"{now.inner:.3f}",
                    "Inner loss: what the weights are fitted to.",
                ),
                "Loss on long pairs": (f"{now.outer:.3f}", "Outer loss: what lambda is judged by."),
                "Hypergradient": (
                    f"{now.hypergradient:+.4f}",
                    "Slope of the outer loss by log lambda, through the fitted weights.",
                ),
                "By finite differences": (
                    f"{finite:+.4f}",
                    "The same slope, by moving lambda a little.",
                ),
            }
        )
    with right:
        plot(
            figure(seed, places),
            key="learn-bilevel",
            height=430,
            alt="Loss on short and on long pairs over log lambda, with the arrow against the hypergradient.",
        )


def downhill(now: Point) -> tuple[float, float]:
    """Return the end of the hypergradient's arrow: along the tangent of the outer loss, downwards."""
    run = -math.copysign(_ARROW, now.hypergradient)
    return now.log_lambda + run, now.outer + now.hypergradient * run


def _grid() -> Array:
    """Return the places of the curves."""
    return np.linspace(LOW, HIGH, 121)


@cache
def _curve(seed: int) -> list[Point]:
    """Return both losses at every place: the same for every move."""
    return [evaluate(task(seed), float(place)) for place in _grid()]


def figure(seed: int, places: list[float]) -> Figure:
    """Return both losses over log lambda, the walk, and the arrow against the hypergradient."""
    curve = _curve(seed)
    trail = [evaluate(task(seed), place) for place in places]
    return lesson_curves.bilevel(
        _grid().tolist(),
        [point.inner for point in curve],
        [point.outer for point in curve],
        [(point.log_lambda, point.outer) for point in trail],
        trail[-1].inner,
        downhill(trail[-1]),
    )
