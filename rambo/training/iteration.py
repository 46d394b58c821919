"""What an iteration of pretraining does beside the boxes: f on a labeled pool, and u_hat judged if that is asked for.

`evaluate_pool` is lines 6, 10 and 11 of Algorithm 1, with the OT of the iteration's pairs solved at the same time;
`fit_iteration` is line 14, undone where it makes u_hat worse, which is not in the paper.
"""

import copy
import dataclasses

from torch import Tensor

from rambo.events import Emit, LabeledPoolGrew, Noticed
from rambo.method.pools import Problem
from rambo.method.ranking import judge
from rambo.method.utility_model import UtilityModel, fit_utility_model
from rambo.method.utility_samples import Pair, UtilitySamples
from rambo.seeding import Streams
from rambo.training.call import Call
from rambo.training.ensemble import Ensemble, Predictions
from rambo.training.offline import Offline, transport_units, transport_values
from rambo.training.units import FitUnit, Unit


@dataclasses.dataclass(frozen=True, eq=False)
class PoolResult:
    """What f on a labeled pool S_i gave.

    Attributes:
        accuracy: acc_i.
        predictions: of f on all pools where S_i is all of S_0, else None.
        transport: `p x 2` OT distances of the pairs that were asked for, in the units u_hat_0 was fitted in.
    """

    accuracy: float
    predictions: Predictions | None
    transport: Tensor


def evaluate_pool(
    call: Call, labeled: Tensor, iteration: int, pairs: tuple[Pair, ...], offline: Offline
) -> PoolResult:
    """Return what f trained on S_i gives, and the OT of the pairs, solved meanwhile (Algorithm 1, lines 6, 10, 11)."""
    ensemble, emit = call.ensemble, call.emit
    unit = pool_unit(labeled, iteration, ensemble)
    # `run` takes the longest first: where there are other processes, they solve OT while f is trained.
    work: list[Unit] = [unit, *transport_units(offline.ground, pairs, ensemble.device)]
    # The unit of f stands first, so its outcome comes first, whatever was done first.
    first, *rest = ensemble.run(work, emit, lambda: None)
    accuracy = first.training.accuracies["validation"]
    emit(LabeledPoolGrew(iteration=iteration, labeled=len(labeled), accuracy=accuracy))
    predictions = ensemble.predictions(unit, first) if len(unit.predicted) else None
    # In the units that u_hat_0 was fitted in: its OT head goes on from there.
    transport = offline.transport_scale.units(transport_values(rest, pairs), pairs)
    return PoolResult(accuracy, predictions, transport)


def pool_unit(labeled: Tensor, iteration: int, ensemble: Ensemble) -> FitUnit:
    """Return the training of f on S_i; f on all of S_0 is asked for predictions, which the margins need."""
    whole = len(labeled) == len(ensemble.problem.labeled)
    return ensemble.fit_unit(labeled, "labeled", iteration, predict=whole)


def fit_iteration(
    model: UtilityModel,
    problem: Problem,
    samples: UtilitySamples,
    judges: UtilitySamples,
    streams: Streams,
    phase: str,
    emit: Emit,
) -> UtilityModel:
    """Return u_hat fitted on D (Algorithm 1, line 14); where there are judges, as it was if they find it worse.

    Choice: judged by the loss on pairs with true utilities that no fit has seen. Not in the paper, whose rounds are
    never asked whether they help.
    """
    # The fit changes weights in place, so what it may have to go back to is copied first.
    before = copy.deepcopy(model) if len(judges) else model
    after = fit_utility_model(
        model,
        problem,
        samples,
        streams,
        bilevel_training=model.config.bilevel.enabled,
        phase=phase,
        emit=emit,
    )
    if not len(judges):
        return after
    # A loss, because with so few pairs an accuracy of order moves in steps too coarse to compare.
    was, became = (judge(one, problem, judges) for one in (before, after))
    if became <= was:
        return after
    pairs = f"{len(judges)} pair{'' if len(judges) == 1 else 's'}"
    words = f"on {pairs} with true utilities its loss rose from {was:.4f} to {became:.4f}"
    emit(Noticed(f"{phase} is undone: {words}"))
    return before
