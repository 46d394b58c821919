"""The work a run plans: its stages in order with expected seconds, of which only the ratios matter."""

import dataclasses
from collections.abc import Sequence

from rambo import lineup
from rambo.config import Config
from rambo.estimate import costs
from rambo.estimate.costs import Rate
from rambo.estimate.work import DataSizes, mean_size, pair_learners

Where = tuple[int | None, str | None]  # trial and strategy; None for what they share

_GUESS = Rate(0.02, "only ratios matter: the run itself is measured")
_BRIEF = 0.05  # seconds of what costs next to nothing


@dataclasses.dataclass(frozen=True)
class Plan:
    """The work of a run in the order it is done.

    Attributes:
        trials: how often everything is done.
        strategies: in the config's order.
        pieces: place -> stage -> expected seconds; only their ratios matter.
        fits: trainings of the offline stage of one trial.
        mean_size: of the subsets these are trained on.
        largest_size: the most images such a subset can have.
        iterations: tau_1.
        epochs: of u_hat in one fit.
        fits_share: what the trainings of f take of the pretraining; the rest is u_hat's.
        refits: whether u_hat is fitted a second time in each iteration.
    """

    trials: int
    strategies: tuple[str, ...]
    pieces: dict[Where, dict[str, float]]
    fits: int = 0
    mean_size: float = 1.0
    largest_size: int = 1
    iterations: int = 0
    epochs: int = 1
    fits_share: float = 0.0
    refits: bool = False


def plan(config: Config, sizes: DataSizes, jobs: int) -> Plan:
    """Return the plan of a run.

    Args:
        config: of the run.
        sizes: of its dataset.
        jobs: worker processes; 1 on a GPU.
    """
    whole = costs.count(config, sizes)
    learners = pair_learners(config)
    learner = next(iter(learners), "random")
    ours = costs.count(config.model_copy(update={"strategies": (learner,)}), sizes)
    seconds = {k: v / ours.trials for k, v in costs.stage_seconds(ours, _GUESS, jobs).items()}
    per_pass = _GUESS.seconds_per_pass / ours.trials
    warm, learning_seconds = ours.offline_passes * per_pass, ours.pretraining_passes * per_pass
    trained = max(seconds["pretraining"] - learning_seconds, 0.0)
    learning = {
        "offline": max(seconds["offline"] - warm, _BRIEF),
        "warm start": warm,
        "pretraining": seconds["pretraining"],
        "acquisition": max(seconds["acquisition"], _BRIEF),
    }
    judged = costs.stage_seconds(whole, _GUESS, jobs)["evaluation"] / whole.trials
    shared = {} if whole.waits else {"evaluation": max(judged, _BRIEF)}
    pieces: dict[Where, dict[str, float]] = {}
    for trial in range(config.trials):
        parts = _parts(config.strategies, learners, learning, trained / (ours.slices + 1))
        pieces |= {(trial, name): part for name, part in parts.items()}
        pieces[trial, None] = pieces[trial, None] | shared
    per_trial = ours.per_trial
    return Plan(
        trials=config.trials,
        strategies=tuple(config.strategies),
        pieces=pieces,
        fits=per_trial["offline"] + per_trial["repeat"],
        mean_size=mean_size(config.k, sizes.classes),
        largest_size=max(config.k - 1, 1),
        iterations=ours.slices,
        epochs=config.rambo.utility_model.epochs,
        fits_share=trained / ((trained + learning_seconds) or 1.0),
        refits=config.rambo.utility_model.bilevel.enabled
        and config.rambo.utility_model.bilevel.refit,
    )


def _parts(
    strategies: Sequence[str], learners: Sequence[str], learning: dict[str, float], labeled: float
) -> dict[str | None, dict[str, float]]:
    """Return the pieces of every strategy of a trial, and of what they share.

    Args:
        strategies: in their order.
        learners: those that learn from pairs with true utilities.
        learning: the pieces of `rambo`, or without it of `dulo`, which then has no pretraining.
        labeled: seconds of training f on S_0; the first who asks for it pays.
    """
    parts: dict[str | None, dict[str, float]] = {}
    paid = False
    for name in strategies:
        if lineup.of(name).pretrains:
            parts[name], paid = learning, True
        elif not lineup.of(name).reads_classifier:
            parts[name] = {"acquisition": _BRIEF}
        else:
            first = {"classifier": _BRIEF if paid else labeled}
            parts[name], paid = first | _own(name, learners, learning, labeled), True
    parts[None] = {"classifier": 0.0 if paid else labeled}
    return parts


def _own(
    name: str, learners: Sequence[str], learning: dict[str, float], labeled: float
) -> dict[str, float]:
    """Return the pieces of a strategy that works with f on S_0.

    Choice: where RAMBO runs too it stands for both in the offline trainings, which DULO then finds.
    """
    if name in learners:
        parts = {part: learning[part] for part in ("offline", "warm start", "acquisition")}
        return parts | ({"offline": _BRIEF} if learners[0] != name else {})
    return {"acquisition": labeled if lineup.of(name).learns == "loss" else _BRIEF}
