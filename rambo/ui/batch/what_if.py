"""The logic of the what-if: a batch under a person's hands, with undo, and where other images come from."""

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np

from rambo.events import BatchChosen
from rambo.runs.atlas import Atlas, Indices
from rambo.runs.whatif import UHat
from rambo.text import count
from rambo.ui import readers
from rambo.ui.batch import batch_data
from rambo.ui.batch.batch_data import Batch

Members = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Edit:
    """A batch under the person's hands.

    Attributes:
        members: dataset indices of the batch as it is now.
        history: what it was before, the oldest first.
        draws: random candidates drawn so far.
    """

    members: Members
    history: tuple[Members, ...] = ()
    draws: int = 0

    def to(self, members: Sequence[int], draws: int | None = None) -> "Edit":
        """Return the edit after one more change; none if nothing changes."""
        new = tuple(int(item) for item in members)
        if new == self.members:
            return self
        number = self.draws if draws is None else draws
        return Edit(new, (*self.history, self.members), number)

    def undone(self) -> "Edit":
        """Return the edit before the last change."""
        if not self.history:
            return self
        return Edit(self.history[-1], self.history[:-1], self.draws)


def swap(members: Sequence[int], out: Sequence[int], into: Sequence[int]) -> Members:
    """Return a batch without the images `out`, those of `into` in their places, the rest of `into` at the end."""
    coming = [item for item in into if item not in set(members) - set(out)]
    rest, result = list(coming), []
    for item in members:
        if item not in out:
            result.append(item)
        elif rest:
            result.append(rest.pop(0))
    return tuple(int(item) for item in [*result, *rest])


def random_candidate(ranked: Indices, size: int, filter_size: int, seed: int) -> Members:
    """Return a random batch of the smallest margins, in the order of margins, as the acquisition draws candidates."""
    few = ranked[: max(filter_size, size)]
    sample = np.random.default_rng(seed).choice(len(few), min(size, len(few)), replace=False)
    return tuple(few[np.sort(sample)].tolist())


@dataclasses.dataclass(frozen=True, eq=False)
class Desk:
    """What a what-if works on.

    Attributes:
        batch: of RAMBO.
        atlas: of its trial.
        decision: the greedy step.
        edit: the person's batch.
        oracle: true labels may be shown.
    """

    batch: Batch
    atlas: Atlas
    decision: BatchChosen
    edit: Edit
    oracle: bool

    @property
    def key(self) -> str:
        """The name under which the session keeps the edit."""
        return key_of(self.batch, self.decision)

    def available(self) -> Indices:
        """Return U_j without the person's batch, the smallest margins first."""
        taken = np.concatenate([self._before, np.array(self.edit.members, np.int64)])
        return batch_data.ranked_pool(self.atlas, taken, self._offered)

    def random_candidate(self) -> Edit:
        """Return the edit after another random candidate was taken, drawn as the acquisition draws them."""
        size = len(self.decision.chosen)
        draw = self.edit.draws + 1
        seed = self.decision.step * 1000 + draw
        return self.edit.to(random_candidate(self._ranked, size, self.filter_size, seed), draw)

    @functools.cached_property
    def filter_size(self) -> int:
        """How many images the margin filter left to this step."""
        size = len(self.decision.chosen)
        acquisition = readers.config(self.batch.run).acquisition
        # A last, smaller batch keeps the ratio M / b, as in the acquisition.
        few = -(-acquisition.filtered * size // acquisition.batch_size)
        return max(size, min(few, len(self._ranked)))

    @functools.cached_property
    def _ranked(self) -> Indices:
        """U_j, the smallest margins first."""
        return batch_data.ranked_pool(self.atlas, self._before, self._offered)

    @functools.cached_property
    def _offered(self) -> Indices:
        """What could be chosen at all."""
        return batch_data.offered(self.batch, self.atlas)

    @property
    def _before(self) -> Indices:
        """What the steps before this one chose."""
        before: Indices = self.batch.indices[self.batch.steps < self.decision.step]
        return before


def key_of(batch: Batch, decision: BatchChosen) -> str:
    """Return the name under which the session keeps the edit of a step."""
    return f"what-if-{batch.key}-{decision.step}"


def utility_of(hat: UHat, decision: BatchChosen, members: Sequence[int]) -> float:
    """Return u_hat of S_j with a batch, on the scale of what was recorded.

    What was recorded stays as it was; other batches take their distance from the chosen one, as the same network gives
    slightly different last digits on another machine or in another batch of candidates.
    """
    pairs = zip(decision.candidates, decision.candidate_utilities, strict=True)
    recorded = {frozenset(candidate): utility for candidate, utility in pairs}
    recorded[frozenset(decision.chosen)] = decision.utility
    utility = recorded.get(frozenset(members))
    if utility is not None:
        return utility
    chosen = hat.step_utility(decision.step, decision.chosen)
    return decision.utility + (hat.step_utility(decision.step, members) - chosen)


def spread(decision: BatchChosen) -> float | None:
    """Return the standard deviation of u_hat over a step's candidates: what counts as a difference there.

    None with fewer than three candidates, or where all are equal.
    """
    if len(decision.utilities) < 3:
        return None
    deviation = float(np.std(decision.utilities, ddof=1))
    return deviation if deviation > 1e-12 else None


def verdict(change: float, decision: BatchChosen, size: int) -> str:
    """Return in words what a change of u_hat means.

    Args:
        change: of u_hat, from the chosen batch to the person's.
        decision: the greedy step.
        size: images in the person's batch.
    """
    chosen = len(decision.chosen)
    if size != chosen:
        more = "more" if size > chosen else "fewer"
        return (
            f"Your batch has {count(abs(size - chosen), 'image')} {more} than the chosen one, so u_hat cannot rank the "
            "two: it was trained on pairs of sets of the same size. Swap images to compare."
        )
    if abs(change) < 1e-9:
        return "This is the chosen batch; select images below and swap them."
    sentence = f"u_hat ranks your batch **{'above' if change > 0 else 'below'}** the chosen one"
    unit = spread(decision)
    if unit is None:
        return f"{sentence}. Too few candidates to say whether that is much."
    ratio = abs(change) / unit
    if ratio < 0.1:
        return f"{sentence}, by less than a tenth of the candidates' spread: nearly equal."
    return f"{sentence}, by {ratio:.1f} times the candidates' spread."


def _beyond(digits: int) -> str:
    """Return a number of so many digits in words: nobody reads one of thirty."""
    for least, word in ((12, "countless ones"), (9, "billions"), (6, "millions")):
        if digits >= least:
            return f"the {word}"
    return "the many"


def why_beatable(decision: BatchChosen, filter_size: int) -> str:
    """Return why a swap can rank above the chosen batch: the step looked at few of the batches there are.

    Args:
        decision: the greedy step.
        filter_size: images that the margin filter left to it.
    """
    size, looked = len(decision.chosen), len(decision.utilities)
    digits = int(
        (math.lgamma(filter_size + 1) - math.lgamma(size + 1) - math.lgamma(filter_size - size + 1))
        / math.log(10)
    )
    there = f"{math.comb(filter_size, size):,}" if digits < 6 else _beyond(digits)
    return (
        f"This step looked at {count(looked, 'random batch', 'random batches')} of {count(size, 'image')}, "
        f"of {there} that the {filter_size:,} smallest margins allow, and took the best of them. A swap makes a batch "
        "it never looked at, so it can rank above: u_hat prefers it, which does not make it better."
    )
