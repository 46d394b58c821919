"""Nobody pays twice for one picture: which unlabeled images may be chosen at all, by one rule for every strategy.

Of a cluster of near duplicates and of a group (a patient, a video) only so many images may carry a label. Torch-free,
so that pages can ask before a run is made.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from rambo.config import AcquisitionConfig
from rambo.datasets.prepared import Prepared
from rambo.errors import BudgetError

Indices = npt.NDArray[np.int64]

KNOWN, ALIKE, GROUP = 1, 2, 3  # why an image is left out
REASONS = {
    KNOWN: "repeats an image that has a label",
    ALIKE: "repeats another unlabeled image, which stays",
    GROUP: "belongs to a group of which enough images stay",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Restriction:
    """What is left of U_0, and what is not.

    Attributes:
        candidates: dataset indices that may be chosen, in the order of U_0.
        left_out: dataset indices that may not.
        reasons: why, for each of these: `KNOWN`, `ALIKE` or `GROUP`.
        likes: the image that each of these repeats; -1 where the reason is `GROUP`.
    """

    candidates: Indices
    left_out: Indices
    reasons: npt.NDArray[np.uint8]
    likes: Indices

    @property
    def sentence(self) -> str:
        """What happened, in words."""
        return words(np.bincount(self.reasons, minlength=4).tolist(), len(self.candidates))


def words(counts: list[int], candidates: int) -> str:
    """Return what was left out, and why, in one sentence without a full stop.

    Args:
        counts: of each reason, by its number.
        candidates: images that may be chosen.
    """
    parts = [
        f"{counts[KNOWN]:,} repeat{'s' if counts[KNOWN] == 1 else ''} an image with a label"
        if counts[KNOWN]
        else "",
        f"{counts[ALIKE]:,} repeat{'s' if counts[ALIKE] == 1 else ''} another one"
        if counts[ALIKE]
        else "",
        f"{counts[GROUP]:,} belong{'s' if counts[GROUP] == 1 else ''} to a group that has its share"
        if counts[GROUP]
        else "",
    ]
    out = sum(counts)
    whole = f"{out:,} of {out + candidates:,} unlabeled images are left out, so that no picture is paid for twice"
    return f"{whole}: {', '.join(filter(None, parts))}"


def limits(settings: AcquisitionConfig, data: Prepared) -> bool:
    """Return whether the settings limit anything in this dataset."""
    return (settings.per_cluster is not None and data.clusters is not None) or (
        settings.per_group is not None and data.groups is not None
    )


def restrict(
    unlabeled: Indices, labeled: Indices, data: Prepared, settings: AcquisitionConfig, *, seed: int
) -> Restriction:
    """Return which images of U_0 may be chosen.

    Choice: of a cluster at most n images carry a label in the end, those counted that have one already: in S_0, S_val
    or the test set. Of a group at most n unlabeled images stay, whatever of it has a label, because images of one
    patient differ. Which ones stay is drawn at random, first by clusters, then by groups.

    Args:
        unlabeled: U_0, `m` dataset indices.
        labeled: images with a label.
        data: whose clusters and groups count.
        settings: how many of each.
        seed: decides which stay.
    """
    order = np.random.default_rng(seed).permutation(unlabeled)
    none = np.zeros(0, np.int64)
    out, reasons, likes = [none], [none], [none]
    if settings.per_cluster is not None and data.clusters is not None:
        clusters = np.asarray(data.clusters)
        held = np.bincount(clusters[labeled], minlength=int(clusters.max()) + 1)
        fits = _rank(clusters[order]) + held[clusters[order]] < settings.per_cluster
        surplus, order = order[~fits], order[fits]
        first = np.full(len(held), -1)
        first[clusters[order[::-1]]] = order[::-1]
        example = np.full(len(held), -1)
        example[clusters[labeled[::-1]]] = labeled[::-1]
        bought = example[clusters[surplus]] >= 0
        out.append(surplus)
        reasons.append(np.where(bought, KNOWN, ALIKE))
        likes.append(np.where(bought, example[clusters[surplus]], first[clusters[surplus]]))
    if settings.per_group is not None and data.groups is not None:
        groups = np.asarray(data.groups)[order]
        fits = (groups < 0) | (_rank(groups) < settings.per_group)
        surplus, order = order[~fits], order[fits]
        out.append(surplus)
        reasons.append(np.full(len(surplus), GROUP))
        likes.append(np.full(len(surplus), -1))
    left_out = np.concatenate(out)
    place = left_out.argsort()
    return Restriction(
        candidates=unlabeled[~np.isin(unlabeled, left_out)],
        left_out=left_out[place],
        reasons=np.concatenate(reasons)[place].astype(np.uint8),
        likes=np.concatenate(likes)[place],
    )


def too_few(
    budget: int,
    unlabeled: Indices,
    known: Indices,
    data: Prepared,
    settings: AcquisitionConfig,
    *,
    most: int,
    drawn: bool = True,
) -> BudgetError:
    """Return what to say of a budget beyond what may be chosen, with the limit that would allow it.

    Args:
        budget: B.
        unlabeled: U_0.
        known: images with a label.
        data: whose clusters and groups count.
        settings: how many of each.
        most: how many may be chosen.
        drawn: whether S_0 is known already; before that `most` is more than there will be.
    """
    limited = settings.per_cluster is not None and data.clusters is not None
    field = "acquisition.per_cluster" if limited else "acquisition.per_group"
    to = ""
    if limited and settings.per_group is None and drawn:
        to = f" to {_enough(budget, unlabeled, known, np.asarray(data.clusters)):,}"
    lower = f"lower it {'to at most' if drawn else 'below'} {most:,}, or " if most else ""
    new = "that show something new" if drawn else "that repeat none of S_val and the test set"
    return BudgetError(
        f"exceeds the {most:,} unlabeled images of {data.name} {new}; the others repeat one with a label, or each "
        "other",
        field="budget",
        value=budget,
        limit=most,
        hint=f"{lower}raise {{{field}}}{to}",
        others=(field,),
    )


def _enough(budget: int, unlabeled: Indices, known: Indices, clusters: Indices) -> int:
    """Return the smallest number of labels a cluster that leaves a budget to choose from; there is one."""
    size = int(clusters.max()) + 1
    free, held = (np.bincount(clusters[part], minlength=size) for part in (unlabeled, known))
    limit = 1
    while np.clip(limit - held, 0, free).sum() < min(budget, len(unlabeled)):
        limit += 1
    return limit


def _rank(values: Indices) -> Indices:
    """Return for each entry how many equal ones stand before it."""
    order = values.argsort(kind="stable")
    ordered = values[order]
    rank = np.empty(len(values), np.int64)
    rank[order] = np.arange(len(values)) - np.searchsorted(ordered, ordered)
    return rank
