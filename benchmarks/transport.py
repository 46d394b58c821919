"""OT labels of 64 subsets, all at once and one after the other: `python -m benchmarks.transport`.

The subsets are those of utility samples, the cost is the one that RAMBO uses: OTDD on FashionMNIST's pixels. The plain
way is exact OT by POT's network simplex.
"""

import statistics

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks import data
from benchmarks.measure import Goal, Measure, ratio
from benchmarks.report import show
from benchmarks.timing import CPU, WALL, interleaved, scaled
from rambo.method.sinkhorn import SharedTransport, shared_kernel_transport
from rambo.method.sizes import smallest_size
from rambo.method.transport import exact_transport
from rambo.method.utility_samples import draw_pairs
from rambo.seeding import Streams
from rambo.training.offline import labeled_ground_cost
from rambo.worker import trial

SUBSETS, ROUNDS = 64, 15  # the ratio of a single round is off by a tenth
SIZES = {200: 1, 2500: 4}  # k -> one in how many subsets is solved exactly in a round
EXACT, SHARED, DEVICE = "exact", "shared kernel", "shared kernel, GPU"


def inputs(k: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the OTDD cost of S_0 `k x 1000`, and `SUBSETS` of its random subsets in order of size."""
    config = data.settings(k=k)
    problem = trial.split(config, data.shipped(), 0, None).problem
    ground = labeled_ground_cost(problem, config.rambo.utility_model)
    least = smallest_size(k, problem.num_classes)
    pairs = draw_pairs(problem.labeled, SUBSETS // 2, least, Streams(0).torch("pairs"))
    drawn = sorted((subset for pair in pairs for subset in pair), key=len)
    return ground.matrix, np.stack([np.isin(ground.pool, subset.numpy()) for subset in drawn])


def measure() -> list[Measure]:
    """Return a measure for each k, and one more of the same work where there is a GPU."""
    found = []
    for k, every in SIZES.items():
        cost, members = inputs(k)
        exact = np.array([exact_transport(cost[subset]) for subset in members])
        found.append(_measure(cost, members, exact, every))
        if torch.cuda.is_available():
            found.append(_measure(cost, members, exact, every, gpu=True))
    return found


def _measure(
    cost: NDArray[np.float64],
    members: NDArray[np.bool_],
    exact: NDArray[np.float64],
    every: int,
    gpu: bool = False,
) -> Measure:
    """Return what the labels cost and how good they are."""
    k, v = cost.shape
    kept: dict[str, SharedTransport] = {}
    resident = torch.from_numpy(cost).cuda() if gpu else None

    def shared() -> None:
        kept[SHARED] = shared_kernel_transport(cost, members)

    def on_gpu() -> None:
        kept[DEVICE] = shared_kernel_transport(resident, members)

    contenders = {
        EXACT: lambda: [exact_transport(cost[subset]) for subset in members[::every]],
        SHARED: shared,
    } | ({DEVICE: on_gpu} if gpu else {})
    clock = WALL if gpu else CPU  # the GPU's work is not the process's own
    seconds = scaled(interleaved(contenders, ROUNDS, clock), {EXACT: every})
    ours = DEVICE if gpu else SHARED
    found = kept[ours]
    error = found.values / exact - 1
    width = (found.upper - found.lower) / exact
    return Measure(
        name=f"OT labels, k = {k}" + (", one GPU" if gpu else ""),
        what=(
            f"OT of {len(members)} random subsets of {k:,} FashionMNIST images, {members.sum(1).mean():,.0f} on "
            f"average, to {v:,} validation images, under the OTDD cost."
        ),
        clock=clock,
        seconds=seconds,
        goals=[
            Goal(f"{ours} / exact", ratio(seconds[EXACT], seconds[ours]), 10, 100),
            Goal("bias", abs(float(error.mean())), 0.01, at_most=True),
            Goal("Spearman with exact OT", float(spearmanr(found.values, exact).statistic), 0.999),
            Goal("mean width of the bracket", float(width.mean()), 0.1, 0.02, at_most=True),
            Goal("brackets that miss exact OT", _missed(found, exact), 0, at_most=True),
        ],
        work=len(members),
        unit="subsets",
        note=(
            f"Mean error {error.mean():+.3%}, largest {np.abs(error).max():.2%}; widest bracket {width.max():.2%}; "
            f"{found.exact.sum()} of {len(members)} solved exactly because their bracket was too wide"
            + (f". A round solves every {every}th exactly, scaled to all." if every > 1 else ".")
        ),
    )


def _missed(found: SharedTransport, exact: NDArray[np.float64]) -> int:
    """Return how many exact values lie outside their bracket, but for the rounding of the exact solver."""
    near = 1e-9 * statistics.fmean(exact)
    return int(((exact < found.lower - near) | (exact > found.upper + near)).sum())


if __name__ == "__main__":
    show(measure())
