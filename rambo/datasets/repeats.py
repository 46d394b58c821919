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

OF_LABELED, ALIKE, GROUP = 1, 2, 3  # why an image is left out
REASONS = {
    OF_LABELED: "repeats an image that has a label",
    ALIKE: "repeats another unlabeled image, which stays",
    GROUP: "belongs to a group of which enough images stay",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Restriction:
    """What is left of U_0, and what is not.

    Attributes:
        candidates: dataset indices that may be chosen, in the order of U_0.
        exclusions: dataset indices that may not.
        reasons: why, for each of these: `KNOWN`, `ALIKE` or `GROUP`.
        likes: the image that each of these repeats; -1 where the reason is `GROUP`.
        fresh: images that repeat nothing with a label, where these are fewer than the budget and others had to be
            offered too; else -1.
    """

    candidates: Indices
    exclusions: Indices
    reasons: npt.NDArray[np.uint8]
    likes: Indices
    fresh: int = -1

    @property
    def sentence(self) -> str:
        """What happened, in words."""
        counts = np.bincount(self.reasons, minlength=4).tolist()
        return words(counts, len(self.candidates), self.fresh)


def words(counts: list[int], candidates: int, fresh: int = -1) -> str:
    """Return what was left out, and why, in one sentence without a full stop.

    Args:
        counts: of each reason, by its number.
        candidates: images that may be chosen.
        fresh: see `Restriction`.
    """
    parts = [
        f"{counts[OF_LABELED]:,} repeat{'s' if counts[OF_LABELED] == 1 else ''} an image with a label"
        if counts[OF_LABELED]
        else "",
        f"{counts[ALIKE]:,} repeat{'s' if counts[ALIKE] == 1 else ''} another one"
        if counts[ALIKE]
        else "",
        f"{counts[GROUP]:,} belong{'s' if counts[GROUP] == 1 else ''} to a group that has its share"
        if counts[GROUP]
        else "",
    ]
    out = sum(counts)
    if fresh >= 0:
        new = f"{fresh:,} unlabeled {'image shows' if fresh == 1 else 'images show'}"
        return (
            f"only {new} something that has no label yet, fewer than the budget; so images that repeat a "
            f"labeled one are offered too, as few of each picture as that takes, and {out:,} of {out + candidates:,} "
            "are left out. A smaller budget would buy as much"
        )
    whole = f"{out:,} of {out + candidates:,} unlabeled images are left out, so that no picture is paid for twice"
    return f"{whole}: {', '.join(filter(None, parts))}"


def limits(settings: AcquisitionConfig, data: Prepared) -> bool:
    """Return whether the settings limit anything in this dataset."""
    return (settings.per_cluster is not None and data.clusters is not None) or (
        settings.per_group is not None and data.groups is not None
    )


def restrict(
    unlabeled: Indices,
    labeled: Indices,
    data: Prepared,
    settings: AcquisitionConfig,
    *,
    budget: int,
    seed: int,
) -> Restriction:
    """Return which images of U_0 may be chosen.

    Choice: of a cluster at most n images carry a label in the end, those counted that have one already: in S_0, S_val
    or the test set. Of a group at most n unlabeled images stay, whatever of it has a label, because images of one
    patient differ. Which ones stay is drawn at random, first by clusters, then by groups. Where so few images are new
    that the budget cannot be spent, labels outside the batch no longer count, and n grows to what the budget needs:
    the batch is spread over the pictures, and a notice says that a smaller one would do.

    Args:
        unlabeled: U_0, `m` dataset indices.
        labeled: images with a label.
        data: whose clusters and groups count.
        settings: how many of each.
        budget: B.
        seed: decides which stay.
    """
    order = np.random.default_rng(seed).permutation(unlabeled)
    none = np.zeros(0, np.int64)
    out, reasons, likes, fresh = [none], [none], [none], -1
    if settings.per_cluster is not None and data.clusters is not None:
        clusters = np.asarray(data.clusters)
        labels = np.bincount(clusters[labeled], minlength=int(clusters.max()) + 1)
        rank = _rank(clusters[order])
        fits = rank + labels[clusters[order]] < settings.per_cluster
        if fits.sum() < min(budget, len(order)):
            fresh, limit = int(fits.sum()), settings.per_cluster
            while (rank < limit).sum() < min(budget, len(order)):
                limit += 1
            fits = rank < limit
        surplus, order = order[~fits], order[fits]
        first = np.full(len(labels), -1)
        first[clusters[order[::-1]]] = order[::-1]
        example = np.full(len(labels), -1)
        example[clusters[labeled[::-1]]] = labeled[::-1]
        bought = (example[clusters[surplus]] >= 0) & (fresh < 0)
        out.append(surplus)
        reasons.append(np.where(bought, OF_LABELED, ALIKE))
        likes.append(np.where(bought, example[clusters[surplus]], first[clusters[surplus]]))
    if settings.per_group is not None and data.groups is not None:
        groups = np.asarray(data.groups)[order]
        fits = (groups < 0) | (_rank(groups) < settings.per_group)
        surplus, order = order[~fits], order[fits]
        out.append(surplus)
        reasons.append(np.full(len(surplus), GROUP))
        likes.append(np.full(len(surplus), -1))
    exclusions = np.concatenate(out)
    place = exclusions.argsort()
    return Restriction(
        candidates=unlabeled[~np.isin(unlabeled, exclusions)],
        exclusions=exclusions[place],
        reasons=np.concatenate(reasons)[place].astype(np.uint8),
        likes=np.concatenate(likes)[place],
        fresh=fresh,
    )


def too_few(budget: int, data: Prepared, settings: AcquisitionConfig, *, most: int) -> BudgetError:
    """Return what to say of a budget beyond what the groups allow.

    Args:
        budget: B.
        data: whose groups count.
        settings: how many of each.
        most: how many may be chosen.
    """
    return BudgetError(
        f"exceeds the {most:,} unlabeled images of {data.name} that at most {settings.per_group} of a group leave",
        field="budget",
        value=budget,
        limit=most,
        hint=f"lower it to at most {most:,}, or raise {{acquisition.per_group}}",
        others=("acquisition.per_group",),
    )


def _rank(values: Indices) -> Indices:
    """Return for each entry how many equal ones stand before it."""
    order = values.argsort(kind="stable")
    ordered = values[order]
    rank = np.empty(len(values), np.int64)
    rank[order] = np.arange(len(values)) - np.searchsorted(ordered, ordered)
    return rank
