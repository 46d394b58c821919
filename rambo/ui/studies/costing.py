"""What a whole study will take, by arithmetic: its cells share what they have in common."""

import dataclasses
from collections.abc import Sequence

from rambo.config import Config
from rambo.estimate import costs
from rambo.estimate.costs import Costs
from rambo.estimate.work import DataSizes
from rambo.studies import grid
from rambo.studies.grid import Cell
from rambo.text import count, duration

_SUMMED = (
    "trials",
    "transports",
    "transport_entries",
    "offline_passes",
    "pretraining_passes",
    "acquisition_passes",
)


def whole(planned: Sequence[tuple[Cell, Config]], sizes: DataSizes) -> Costs:
    """Return the costs of all cells together; trainings that cells share count once.

    Choice: what is not trained, such as OT and the fits of u_hat, is counted in every cell: an upper bound.
    """
    each = [costs.count(config, sizes) for _, config in planned]
    sums = {name: sum(getattr(cost, name) for cost in each) for name in _SUMMED}
    most = max(each, key=lambda cost: cost.strategies)
    return dataclasses.replace(most, trainings=grid.count(planned, sizes), **sums)


def sentence(
    planned: Sequence[tuple[Cell, Config]], counted: Costs, seconds: float | None, *, local: bool
) -> str:
    """Return the price of a study in words.

    Args:
        planned: its cells.
        counted: as `whole` gives it.
        seconds: expected, or None.
        local: whether the dataset was looked at.
    """
    configs = [config for _, config in planned]
    choices = sum(
        config.trials * (len(config.strategies) + bool(config.oracle_draws)) for config in configs
    )
    initial, bought = (_span([getattr(c, name) for c in configs]) for name in ("k", "budget"))
    trials = _span([config.trials for config in configs])
    several = len(planned) > 1
    each = f"{len(planned):,} cells, each a run" if several else "One run"
    shared = "what the cells have in common is trained once, and " if several else ""
    parts = [
        f"{each} of {count_of(trials, 'trial')} that holds {initial} labels and buys {bought}: "
        f"{count(choices, 'choice')} to make and to judge.",
        f"For them at most {count(counted.total, 'classifier')} are trained; {shared}what was trained here before "
        "is found again.",
    ]
    if seconds is not None:
        parts.append(f"That is about {duration(seconds)} on this machine.")
    if not local:
        parts.append("The dataset is not here yet, so its size is a guess.")
    return " ".join(parts)


def count_of(number: str, one: str) -> str:
    """Return `1 trial`, `5 trials`, `5 to 10 trials`."""
    return f"{number} {one if number == '1' else one + 's'}"


def _span(numbers: Sequence[int]) -> str:
    """Return `200`, or `120 to 440` where the cells differ."""
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
