"""Optimal transport of many subsets of one pool at once, each value inside a bracket that is certain.

All subsets share one cost, so they share one kernel: an iteration of Sinkhorn is two matrix products for 64 subsets.
The code is the same for numpy arrays, where nothing here imports torch, and for tensors of any device.
"""

import dataclasses
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rambo.errors import DataError

Array = NDArray[np.float64]
Members = NDArray[np.bool_]
Matrix = Any  # an array, or a tensor on a device that has float64

BLOCK = 64  # subsets in one matrix product, always, so that none depends on its company
_EDGE = 8  # products of other widths round some subsets of a block otherwise than others

# Temperature, half of the one before; iterations; relaxation, below 2; precision, float64 from where the scalings of
# small subsets leave the range of float32.
_STAGES = (
    (0.08, 10, 1.75, "float32"),
    (0.04, 12, 1.875, "float32"),
    (0.02, 6, 1.875, "float64"),
    (0.01, 5, 1.75, "float64"),
    (0.005, 5, 1.75, "float64"),
)
_WAY = 0.04  # from the lower bound to the upper, where exact OT usually lies
_DEEPEST = {"float32": 70.0, "float64": 500.0}  # no entry of a kernel is below exp(-deepest)
_TINY = {"float32": 1e-36, "float64": 1e-300}
_FARTHEST = {"float32": 1e30, "float64": 1e250}  # a scaling to begin with, or one divided by it
_CHUNK = 1 << 18  # costs that fit a cache
_SUM = 1e-12  # what a sum in float64 may lose, as a share of its terms
_SINGLE = 2.0**-23  # twice the rounding error of float32


@dataclasses.dataclass(frozen=True, eq=False)
class SharedTransport:
    """OT of `s` subsets to the validation set, squared as is the ground cost.

    Attributes:
        values: `s` float64, the best that is known.
        lower: `s` float64, never above exact OT.
        upper: `s` float64, never below exact OT.
        exact: `s` bool, whether it was solved exactly; the other three are then equal.
    """

    values: Array
    lower: Array
    upper: Array
    exact: Members


def shared_kernel_transport(
    cost: Matrix, membership: Matrix, *, widest: float = 0.1
) -> SharedTransport:
    """Return the OT cost between uniform weights on each subset and on the columns of `cost`, with bounds.

    Source: Definition 3; Sinkhorn (Cuturi 2013) with over-relaxation (Thibault et al. 2021). Choice: the temperature
    falls from 0.08 to 0.005 of the usual cost, the median of the rows' means, and potentials go on in a straight line
    from one to the next. Choice: the value is the lower bound and 4 % of the bracket, because that bound is 10 to 40
    times as near to exact OT as the upper one; the cost of the entropic plan itself is 1 to 3 % too high.
    On a CPU a subset gets the same bits whatever other subsets are in the call.

    Args:
        cost: `k x v`, finite and not negative; the device of a tensor does the work.
        membership: `s x k` bool, which images of the pool are in each subset.
        widest: exact OT replaces a bracket wider than this share of its value, `inf` for never. Choice: 0.1, because
            a bracket is far wider than the error of its value.

    Raises:
        DataError: the cost is empty, not finite or negative, or a subset is empty or of another pool.
    """
    members = _checked(cost, membership)
    if not len(members):
        return SharedTransport(np.empty(0), np.empty(0), np.empty(0), np.empty(0, bool))
    pool = _Pool.of(cost)
    with np.errstate(all="ignore"):  # what leaves the range becomes a wide bracket
        parts = zip(*_anneal(pool, members), strict=True)
        dual, plan = (np.concatenate(part) for part in parts)
    share = members / members.sum(1, keepdims=True)
    # Bounds that hold whatever Sinkhorn did: the minima of rows and columns are a feasible dual, and sending every
    # image to all of S_val is a feasible plan. A diverged subset falls back on them and gets a wide bracket.
    base = (share * pool.rows).sum(1) + pool.columns  # feasible with any subset
    most = base + (share * pool.means).sum(1)  # every image to all
    slack = _SUM * (1 + most)
    lower = np.maximum(np.fmax(dual, 0) + base - slack, 0)
    upper = np.fmin(plan + base, most) + slack
    values = lower + _WAY * (upper - lower)
    exact = upper - lower > (widest * values if np.isfinite(widest) else np.inf)
    values, lower, upper = (array * pool.scale for array in (values, lower, upper))
    for i in np.flatnonzero(exact):
        values[i] = lower[i] = upper[i] = _solve(cost, members[i])
    return SharedTransport(values, lower, upper, exact)


def _checked(cost: Matrix, membership: Matrix) -> Members:
    """Return the membership as an array, or raise what is wrong with it or with the cost."""
    if not (
        0 not in cost.shape
        and cost.ndim == 2
        and bool((cost >= 0).all())
        and bool((cost < np.inf).all())
    ):
        raise DataError(
            "is empty, negative or not finite",
            field="the OT cost matrix",
            hint="check the features",
        )
    members = _numpy(membership).astype(bool)
    if members.ndim != 2 or members.shape[1] != len(cost):
        raise DataError(
            f"does not fit a pool of {len(cost)} images",
            field="membership",
            value=members.shape,
            hint="give one column an image",
        )
    if not members.any(1).all():
        raise DataError(
            "is empty",
            field="subset",
            value=int(np.argmin(members.any(1))),
            hint="OT needs an image",
        )
    return members


def _solve(cost: Matrix, members: Members) -> float:
    """Return exact OT of one subset."""
    from rambo.method.transport import exact_transport  # brings torch

    rows = cost[np.flatnonzero(members)]
    return exact_transport(_numpy(rows).astype(np.float64))


def _numpy(values: Matrix) -> NDArray[Any]:
    """Return an array, from whatever device."""
    return np.asarray(values if isinstance(values, np.ndarray) else values.cpu())


@dataclasses.dataclass(frozen=True, eq=False)
class _Pool:
    """The cost that all subsets share, in units of `scale`, less what any plan pays: `rows` and `columns`."""

    xp: Any  # numpy or torch
    scale: float
    rows: Array  # k row minima
    columns: float  # mean of the column minima that are left
    shape: tuple[int, int]  # k, v
    reduced: Matrix  # float64, not negative, `k x v` and zeros up to multiples of `_EDGE`
    single: Matrix  # the same in float32
    largest: Array  # k, largest reduced cost of each row
    means: Array  # k, mean reduced cost of each row

    @staticmethod
    def of(cost: Matrix) -> "_Pool":
        """Return the pool of a cost `k x v`."""
        if isinstance(cost, np.ndarray):
            xp: Any = np
        else:
            import torch as xp  # there already: somebody made the tensor
        cost = xp.asarray(cost, dtype=xp.float64)
        # The median, because a few images far from everything would make the usual cost look small.
        means = _numpy(cost.mean(axis=1))
        scale = float(np.median(means)) or float(means.mean()) or 1.0
        reduced = _padded(xp, cost / scale)
        k, v = cost.shape
        # What every plan pays is taken off first: the rest is small, so the kernel keeps its digits.
        inside = reduced[:k, :v]
        rows = xp.amin(inside, axis=1)
        inside -= rows[:, None]
        columns = xp.amin(inside, axis=0)
        inside -= columns
        return _Pool(
            xp=xp,
            scale=scale,
            rows=_numpy(rows),
            columns=float(columns.mean()),
            shape=(k, v),
            reduced=reduced,
            single=xp.asarray(reduced, dtype=xp.float32),
            largest=_numpy(xp.amax(inside, axis=1)),
            means=_numpy(inside.mean(axis=1)),
        )

    def kernel(self, temperature: float, precision: str) -> Matrix:
        """Return `exp(-cost / temperature)`, cut off below, and 0 where `reduced` is padded.

        Choice: small entries are raised, not dropped: no marginal is ever 0, and no number so small that the
        processor slows down. The bounds hold for any positive kernel.
        """
        xp, (k, v) = self.xp, self.shape
        kernel = (self.single if precision == "float32" else self.reduced) * (-1 / temperature)
        xp.clip(kernel, -_DEEPEST[precision], None, out=kernel)
        xp.exp(kernel, out=kernel)
        kernel[k:] = 0
        kernel[:, v:] = 0
        return kernel


def _anneal(pool: _Pool, members: Members) -> Iterator[tuple[Array, Array]]:
    """Yield a lower and an upper bound of reduced OT, block by block."""
    xp = pool.xp
    blocks = [members[i : i + BLOCK] for i in range(0, len(members), BLOCK)]
    width = len(pool.reduced)
    weights = [xp.asarray(_uniform(block, width), device=pool.reduced.device) for block in blocks]
    demand = pool.reduced[0] * 0 + _TINY["float64"]  # next to nothing where it is padded
    demand[: pool.shape[1]] = 1 / pool.shape[1]
    scalings = [xp.ones_like(pool.reduced[:1]) + xp.zeros_like(each[:, :1]) for each in weights]
    before = scalings[:]
    for stage, (temperature, iterations, relaxation, precision) in enumerate(_STAGES):
        if xp is np and not _even_rows():
            precision = "float64"
        kernel = pool.kernel(temperature, precision)
        farthest = _FARTHEST[precision]
        for i, block in enumerate(blocks):
            # Over the temperature a potential (temperature times log of its scaling) runs nearly straight. From what
            # it was at 4 and at 2 the line gives at 1 the scaling s^3 / s'^2: most of this stage's way for nothing.
            ratio = scalings[i] / before[i]
            w = xp.clip(ratio * ratio * scalings[i], 1 / farthest, farthest)  # in a straight line
            images, w = _sweep(
                xp,
                kernel,
                xp.asarray(weights[i], dtype=kernel.dtype),
                xp.clip(xp.asarray(demand, dtype=kernel.dtype), _TINY[precision], None),
                xp.asarray(w, dtype=kernel.dtype),
                iterations,
                relaxation,
            )
            # The first stage has none before it, so it is compared with its own potential: a step of zero.
            w = xp.asarray(w, dtype=xp.float64)
            before[i], scalings[i] = scalings[i] if stage else xp.sqrt(w), w
            # Only the coldest stage is close enough to exact OT for its bounds to be worth their time.
            if stage == len(_STAGES) - 1:
                upper = _upper_bounds(xp, pool.reduced, kernel, weights[i], demand, images, w)
                yield _lower_bounds(pool, block, xp.log(w) * temperature), upper[: len(block)]


@cache
def _even_rows() -> bool:
    """Return whether numpy's float32 products round a row alike wherever it stands.

    Choice: asked, not assumed. Those of OpenBLAS's kernel for Haswell do not, so that a subset's value would depend on
    its company; its float64 products do, and take twice the time.
    """
    rng = np.random.default_rng(0)
    rows, kernel = (rng.random((BLOCK, 8 * _EDGE)).astype(np.float32) for _ in range(2))
    order = rng.permutation(BLOCK)
    return np.array_equal((rows @ kernel.T)[order], rows[order] @ kernel.T)


def _padded(xp: Any, matrix: Matrix) -> Matrix:
    """Return a matrix with zeros below and to the right, so that both its sides are multiples of `_EDGE`."""
    k, v = matrix.shape
    shape = k + -k % _EDGE, v + -v % _EDGE
    whole = xp.zeros(shape, dtype=matrix.dtype, device=matrix.device)
    whole[:k, :v] = matrix
    return whole


def _uniform(block: Members, width: int) -> Array:
    """Return uniform weights on `BLOCK` subsets, `width` wide; those nobody asked for are the whole pool."""
    whole = np.zeros((BLOCK, width))
    whole[:, : block.shape[1]] = 1
    whole[: len(block), : block.shape[1]] = block
    return whole / whole.sum(1, keepdims=True)


def _sweep(
    xp: Any,
    kernel: Matrix,
    weights: Matrix,
    demand: Matrix,
    w: Matrix,
    iterations: int,
    relaxation: float,
) -> tuple[Matrix, Matrix]:
    """Return the plans' scalings: `BLOCK x k` of the images, without their weights, and `BLOCK x v` of the columns.

    All is done in place, because new memory costs as much as the arithmetic; the last iteration is a plain one.
    """
    tiny, transpose = _TINY[_precision(kernel)], kernel.T
    w = w + 0  # the caller's is left as it is
    # The subset's weights stay out of `u`, so an image outside it (weight 0) needs no masking and divides nothing by 0.
    u = xp.reciprocal(xp.clip(w @ transpose, tiny, None))
    freshes, ratios = ([xp.empty_like(side) for side in (u, w)] for _ in range(2))
    farthest = relaxation / (2 - relaxation)

    def relax(old: Matrix, fresh: Matrix, ratio: Matrix) -> None:
        """Replace `old` by `fresh` times almost `(fresh / old) ** (relaxation - 1)`.

        Choice: a fraction between 1 / farthest and farthest, cheaper than the power, which drives the scalings of small
        subsets out of their range while they are far from the solution.
        """
        xp.multiply(fresh, farthest, out=ratio)
        xp.add(ratio, old, out=ratio)
        xp.multiply(old, farthest, out=old)
        xp.add(old, fresh, out=old)
        xp.divide(ratio, old, out=ratio)
        xp.multiply(fresh, ratio, out=old)

    for i in range(iterations):
        if i:
            xp.matmul(w, transpose, out=freshes[0])
            xp.clip(freshes[0], tiny, None, out=freshes[0])
            xp.reciprocal(freshes[0], out=freshes[0])
            relax(u, freshes[0], ratios[0])
        xp.multiply(weights, u, out=ratios[0])
        xp.matmul(ratios[0], kernel, out=freshes[1])
        xp.clip(freshes[1], tiny, None, out=freshes[1])
        xp.divide(demand, freshes[1], out=freshes[1])
        relax(w, freshes[1], ratios[1])
    w = demand / xp.clip((weights * u) @ kernel, tiny, None)
    return xp.reciprocal(xp.clip(w @ transpose, tiny, None)), w


def _precision(kernel: Matrix) -> str:
    """Return `float32` or `float64`."""
    return str(kernel.dtype).rpartition(".")[2]


def _lower_bounds(pool: _Pool, block: Members, potentials: Matrix) -> Array:
    """Return the dual value of each subset once its potentials `BLOCK x v` are feasible.

    Source: the c-transform, twice. In float32: what row i may have lost by rounding is taken off its potential, so
    that f_i + g_j <= cost_ij holds for the cost in float64.
    """
    xp = pool.xp
    starts = xp.asarray(potentials[:, : pool.shape[1]], dtype=xp.float32)
    costs_of = pool.single[:, : pool.shape[1]]
    step = max(1, _CHUNK // pool.shape[1])
    bounds = np.empty(len(block))
    for i, subset in enumerate(block):
        rows = np.flatnonzero(subset)
        images, columns = [], xp.full_like(starts[i], np.inf)
        for first in range(0, len(rows), step):
            costs = costs_of[rows[first : first + step]]
            # Rows first, then columns under these rows: each potential as large as the others allow.
            image = xp.amin(costs - starts[i], axis=1)
            costs -= image[:, None]
            xp.minimum(columns, xp.amin(costs, axis=0), out=columns)
            images.append(_numpy(image))
        f = np.concatenate(images).astype(np.float64)
        rounding = _SINGLE * (2 * pool.largest[rows] + np.abs(f))
        bounds[i] = (f - rounding).mean() + _numpy(columns).astype(np.float64).mean()
    return bounds


def _upper_bounds(
    xp: Any,
    cost: Matrix,
    kernel: Matrix,
    weights: Matrix,
    demand: Matrix,
    images: Matrix,
    w: Matrix,
) -> Array:
    """Return the cost of each plan `diag(weights images) kernel diag(w)` once rounded to its marginals.

    Source: Altschuler, Weed and Rigollet (2017), Algorithm 2; no plan is ever built.
    """
    row_mass = weights * images
    sums = w * (row_mass @ kernel)
    capped_w = w * xp.clip(demand / sums, None, 1)
    deficit = xp.clip(demand - sums, 0, None)
    excess = xp.clip(weights - row_mass * (capped_w @ kernel.T), 0, None)
    # What rows have over and columns still lack is shared out in proportion, which keeps both marginals exact.
    mass = xp.clip(deficit.sum(axis=1), _TINY["float64"], None)
    plain = (row_mass * (capped_w @ (kernel * cost).T)).sum(axis=1)
    return _numpy(plain + (excess * (deficit @ cost.T)).sum(axis=1) / mass)
