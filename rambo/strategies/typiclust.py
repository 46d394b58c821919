"""TypiClust: as many clusters as labels, and the most typical image of each that has none yet."""

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rambo.events import stage
from rambo.method.pools import Selection, union
from rambo.strategies.picking import in_one_step
from rambo.strategies.space import k_means, unit_vectors
from rambo.training.call import Call

_SOFTENING = 1e-5  # of the original: keeps the typicality of duplicates finite

Array = NDArray[Any]


def typiclust(call: Call) -> Selection:
    """Return the most typical unlabeled images of the clusters with the fewest labels (TypiClust, TPC_RP).

    Source: Hacohen et al. 2022. Labeled and unlabeled images together fall into `|S_0| + B` clusters, at
    most `max_clusters`; the clusters take turns.
    """
    problem, budget, settings = call.problem, call.budget, call.config.rivals.typiclust
    predictions = call.predictions()
    pool = union(problem.labeled, problem.unlabeled).sort().values
    points, space = unit_vectors(call.problem, call.config, predictions, pool)
    unlabeled = torch.isin(pool, problem.unlabeled).numpy()
    with stage("acquisition", 2, call.emit) as advance:
        count = min(len(problem.labeled) + budget, settings.max_clusters)
        clusters = k_means(points, count, call.streams.take("clusters"))
        advance()
        typical = typicality(points.numpy(), clusters, settings.neighbours)
        turns = take_turns(clusters, typical, unlabeled, settings.smallest_cluster)
        chosen = pool[torch.from_numpy(turns[:budget])]
        advance()
    sizes = np.unique(clusters, return_counts=True)[1]
    figures: dict[str, float | int | str] = {
        "space": space,
        "clusters": len(sizes),
        "clusters too small": int((sizes < settings.smallest_cluster).sum()),
    }
    return dataclasses.replace(in_one_step(predictions, chosen), figures=figures)


def typicality(points: Array, clusters: Array, neighbours: int) -> Array:
    """Return how dense each point's surroundings are: 1 / mean distance to its nearest in the same cluster.

    Source: Hacohen et al. 2022. Choice: plain Euclidean distance, as written there; the public code has
    squared ones, which can order a cluster otherwise. Choice: labeled and chosen points stay neighbours, as a place
    is no less dense because a label was bought there.

    Args:
        points: `a x d`.
        clusters: `a` cluster numbers.
        neighbours: how many count; in a small cluster half its size.

    Returns:
        `a` float64; 0 for a point alone in its cluster.
    """
    from sklearn.neighbors import NearestNeighbors

    result = np.zeros(len(points))
    for cluster in np.unique(clusters):
        members = np.flatnonzero(clusters == cluster)
        if near := min(neighbours, len(members) // 2):
            search = NearestNeighbors(n_neighbors=near).fit(points[members])
            distances, _ = search.kneighbors()  # of no point to itself
            result[members] = 1 / (distances.mean(1) + _SOFTENING)
    return result


def take_turns(clusters: Array, typical: Array, unlabeled: Array, smallest: int) -> Array:
    """Return the unlabeled points in order of choice: the clusters take turns, each with its most typical one left.

    Source: the public code: first the clusters with the fewest labels, of these the largest. Choice: where it would
    fail, as small clusters are dropped, these follow when all others are empty; equals in the order of the dataset.

    Args:
        clusters: `a` cluster numbers, from 0.
        typical: `a` typicalities.
        unlabeled: `a` flags.
        smallest: size below which a cluster comes last.

    Returns:
        Places of all unlabeled points, each once.
    """
    sizes = np.bincount(clusters)
    labeled = np.bincount(clusters[~unlabeled], minlength=len(sizes))
    place = np.lexsort((-sizes, labeled)).argsort()  # of each cluster in a round
    candidates = np.flatnonzero(unlabeled)
    best_first = candidates[np.lexsort((-typical[candidates], clusters[candidates]))]
    own = clusters[best_first]
    turn = np.arange(len(own)) - np.searchsorted(own, own)  # its rank inside its cluster
    order: Array = best_first[np.lexsort((place[own], turn, sizes[own] < smallest))]
    return order
