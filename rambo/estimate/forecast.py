"""What a run would take now: `rambo.worker.plan` works it out, `rambo plan --json` prints it, pages read it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from rambo.estimate.costs import Rate


@dataclasses.dataclass(frozen=True)
class Forecast:
    """What a run of a config would take on this machine.

    Attributes:
        initial_labels: k.
        labels_bought: B.
        validation: images of S_val.
        unlabeled: images to choose from, None where they are not counted.
        trials: how often all is done.
        trainings: all classifiers.
        per_trial: classifiers of one trial, by role.
        lookups: classifiers whose content is fixed before the start; their results can be looked up.
        cached: those of them that any run trained before.
        seconds: for what is left.
        stages: the same by stage.
        rate: how fast this machine is.
        device: resolved torch device.
        jobs: trainings at once.
        sentence: the run in words.
    """

    initial_labels: int
    labels_bought: int
    validation: int
    unlabeled: int | None
    trials: int
    trainings: int
    per_trial: Mapping[str, int]
    lookups: int
    cached: int
    seconds: float
    stages: Mapping[str, float]
    rate: Rate
    device: str
    jobs: int
    sentence: str

    # JSON's edge: `restore` is the way back.
    def public(self) -> dict[str, Any]:
        """Return the object that `rambo plan` prints."""
        return dataclasses.asdict(self)


def restore(fields: object) -> Forecast:
    """Return the forecast that `Forecast.public` made an object of.

    Raises:
        ValueError: this is no such object.
    """
    try:
        record = dict(fields)  # type: ignore[call-overload]
        return Forecast(**record | {"rate": Rate(**record["rate"])})
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError("no forecast") from error
