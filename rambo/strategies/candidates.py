"""The candidate batches of a greedy step of RAMBO+: what its ranking can take from."""

from collections.abc import Callable

import torch
from torch import Tensor

from rambo.method.acquisition import (
    confidences,
    distances_to_gradients,
    entropies,
    k_centers,
    logit_gradients,
    margins,
    random_chunks,
    rank_by,
    spread_gradients,
)
from rambo.method.pools import union
from rambo.training.ensemble import Predictions

FILTERED = ("spread", "random")  # kinds that look at the smallest margins alone
_SCORES: dict[str, Callable[[Tensor], Tensor]] = {
    "margin": margins,
    "least-confidence": confidences,
    "entropy": lambda probabilities: -entropies(probabilities),
}
RIVALS = (*_SCORES, "badge", "coreset", "random")  # whose batches `rivals` are, in this order


def candidates(
    images: Tensor,
    size: int,
    predictions: Predictions,
    kind: str,
    generator: torch.Generator,
    *,
    number: int,
    taken: Tensor,
    labeled: Tensor,
) -> Tensor:
    """Return the batches of one step, `s x b`, as many as the filter holds.

    Choice: `spread` draws each batch by k-means++ among last-layer gradients, as BADGE does in the whole pool, so its
    images differ from each other; batches may overlap. `pool` draws them from the whole pool and goes on from what was
    taken, so that each is what BADGE itself would take next. `random` is Algorithm 2, line 4. `rivals` are six batches:
    what each of `RIVALS` would take next.

    Args:
        images: the M smallest margins left, in order; for `pool` and `rivals` all that are left.
        size: b.
        predictions: of f.
        kind: `spread`, `pool`, `random` or `rivals`.
        generator: decides.
        number: of batches; the images may allow fewer.
        taken: what the steps before chose, from which those of `pool` differ too.
        labeled: S_0, from which CoreSet's differ too.
    """
    size = min(size, len(images))
    if kind == "random":
        return random_chunks(images, size, generator)
    if kind == "rivals":
        return _of_rivals(images, size, predictions, generator, taken, labeled)
    gradients, embeddings = _gradients(images, predictions)
    nearest = None
    if kind == "pool" and len(taken):
        nearest = distances_to_gradients(gradients, embeddings, _gradients(taken, predictions))
    batches = []
    for _ in range(min(number, len(images) // size)):
        start = torch.randperm(len(images), generator=generator)  # where k-means++ begins
        near = None if nearest is None else nearest[start]
        picks = spread_gradients(gradients[start], embeddings[start], generator, near)
        places = start[torch.tensor([next(picks) for _ in range(size)])]
        batches.append(images[places.sort().values])
    return torch.stack(batches)


def _of_rivals(
    images: Tensor,
    size: int,
    predictions: Predictions,
    generator: torch.Generator,
    taken: Tensor,
    labeled: Tensor,
) -> Tensor:
    """Return what each of `RIVALS` would take next, `6 x b`, going on from what was taken."""
    batches = [
        rank_by(images, score(predictions.probabilities))[:size] for score in _SCORES.values()
    ]
    (spread,) = candidates(
        images, size, predictions, "pool", generator, number=1, taken=taken, labeled=labeled
    )
    centers = predictions.embeddings[union(labeled, taken)]
    picks = k_centers(predictions.embeddings[images], centers)
    apart = images[torch.tensor([next(picks) for _ in range(size)])]
    by_chance = images[torch.randperm(len(images), generator=generator)[:size]]
    return torch.stack([*batches, spread, apart, by_chance])


def _gradients(images: Tensor, predictions: Predictions) -> tuple[Tensor, Tensor]:
    """Return the two factors of each image's last-layer gradient at f's own guess, in double precision as BADGE's."""
    probabilities = predictions.probabilities[images].double()
    gradients = logit_gradients(probabilities, probabilities.argmax(1))
    return gradients, predictions.embeddings[images].double()
