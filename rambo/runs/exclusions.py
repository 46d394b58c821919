"""What no strategy of a trial could choose, because it repeats another image: an artifact of the trial."""

import dataclasses

import numpy as np

from rambo.datasets import repeats
from rambo.datasets.repeats import Restriction
from rambo.errors import StoreError
from rambo.runs import paths
from rambo.runs.run import Run


@dataclasses.dataclass(frozen=True, eq=False)
class Exclusions:
    """The images that were left out of U_0 in a trial.

    Attributes:
        indices: dataset indices, sorted.
        reasons: keys of `repeats.REASONS`, one for each.
        likes: the image that each of these repeats; -1 for none.
        candidates: how many unlabeled images could be chosen.
        fresh: see `repeats.Restriction`; -1 as a rule.
    """

    indices: np.ndarray
    reasons: np.ndarray
    likes: np.ndarray
    candidates: int
    fresh: int = -1

    @property
    def sentence(self) -> str:
        """What was left out, and why, without a full stop."""
        counts = np.bincount(self.reasons, minlength=4).tolist()
        return repeats.words(counts, self.candidates, self.fresh)

    def spared(self, chosen: np.ndarray) -> list[int]:
        """Return for each chosen image how many left-out ones repeat it: labels that one label saves."""
        counts = dict(zip(*np.unique(self.likes, return_counts=True), strict=True))
        return [int(counts.get(index, 0)) for index in chosen.tolist()]


def to_arrays(restriction: Restriction) -> dict[str, np.ndarray]:
    """Return the artifact of a restriction."""
    return {
        "indices": restriction.exclusions,
        "reasons": restriction.reasons,
        "likes": restriction.likes,
        "kept": np.array([len(restriction.candidates)]),
        "fresh": np.array([restriction.fresh]),
    }


def load(run: Run, trial: int) -> Exclusions | None:
    """Return what was left out in a trial, or None where nothing was.

    Raises:
        StoreError: the artifact is damaged.
    """
    name = paths.of_trial(trial, paths.EXCLUSIONS)
    if not run.has_artifact(name):
        return None
    arrays = run.load_arrays(name)
    try:
        parts = arrays["indices"], arrays["reasons"].astype(np.int64), arrays["likes"]
        return Exclusions(*parts, int(arrays["kept"][0]), int(arrays.get("fresh", [-1])[0]))
    except (KeyError, IndexError, ValueError) as error:
        raise StoreError(
            f"artifact {name} is damaged",
            field="run",
            value=run.id,
            hint="resume the run to make it again",
        ) from error
