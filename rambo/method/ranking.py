"""How well u_hat ranks: against true utilities that no fit has seen, and on the pairs it was fitted on."""

from rambo.events import Emit, RankingAudited, ignore
from rambo.method import losses
from rambo.method.pools import Problem
from rambo.method.utility_model import UtilityModel, predict_subsets
from rambo.method.utility_samples import UtilitySamples, split_by_size

Figures = dict[str, float | int | None]


def audit(
    model: UtilityModel, problem: Problem, held_out: UtilitySamples, phase: str, emit: Emit
) -> Figures:
    """Return, and emit, how well u_hat ranks the held-out pairs, whose true utilities no fit has seen."""
    figures: Figures = {"held_out": None, "kendall_tau": None}
    if len(held_out):
        utility = predict_subsets(model, problem, held_out.subsets).utility
        figures = {
            "held_out": losses.ranking_accuracy(utility.view(-1, 2), held_out.utilities),
            "kendall_tau": losses.kendall_tau(utility, held_out.utilities.flatten()),
        }
    emit(
        RankingAudited(
            phase=phase,
            pairs=len(held_out),
            accuracy=figures["held_out"],
            kendall_tau=figures["kendall_tau"],
        )
    )
    return figures | {"held_out_pairs": len(held_out)}


def judge(model: UtilityModel, problem: Problem, pairs: UtilitySamples) -> float:
    """Return u_hat's loss on pairs with true utilities, in the measure it was trained by."""
    utility = predict_subsets(model, problem, pairs.subsets).utility.view(-1, 2)
    measure = losses.ranking_loss if model.config.loss == "rank" else losses.regression_loss
    return float(measure(utility, pairs.utilities))


def ranking_figures(
    model: UtilityModel, problem: Problem, samples: UtilitySamples, held_out: UtilitySamples
) -> Figures:
    """Return the final ranking accuracy on short (inner) and long (outer) pairs, and the audit's figures."""
    accuracies: list[float | None] = [None, None]
    if len(samples):
        for place, half in enumerate(split_by_size(samples)):
            utility = predict_subsets(model, problem, half.subsets).utility
            accuracies[place] = losses.ranking_accuracy(utility.view(-1, 2), half.utilities)
    inner, outer = accuracies
    return {"inner": inner, "outer": outer} | audit(model, problem, held_out, "final", ignore)
