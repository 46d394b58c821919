"""BADGE: images whose last-layer gradients are large and far apart."""

from rambo.config import Config
from rambo.events import Emit, ignore
from rambo.method.acquisition import logit_gradients, spread_gradients
from rambo.method.pools import Problem, Selection, check_budget
from rambo.seeding import Streams
from rambo.strategies.picking import first, in_one_step
from rambo.training.ensemble import Ensemble


def badge(
    problem: Problem,
    budget: int,
    config: Config,
    *,
    streams: Streams,
    ensemble: Ensemble,
    emit: Emit = ignore,
) -> Selection:
    """Return a k-means++ draw among the gradients of f's last layer at its own guesses (Ash et al. 2020).

    Choice: no bias gradient, as in the authors' code. Double precision, because k-means++ lives on the small
    distances.
    """
    check_budget(problem, budget)
    predictions = ensemble.predict_pools(emit)
    pool = problem.unlabeled.sort().values
    probabilities = predictions.probabilities[pool].double()
    picks = spread_gradients(
        logit_gradients(probabilities, probabilities.argmax(1)),
        predictions.embeddings[pool].double(),
        streams.torch("draw"),
    )
    return in_one_step(predictions, first(pool, picks, budget, emit))
