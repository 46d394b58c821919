"""BADGE: images whose last-layer gradients are large and far apart."""

from rambo.method.acquisition import logit_gradients, spread_gradients
from rambo.method.pools import Selection
from rambo.strategies.picking import first, in_one_step
from rambo.training.call import Call


def badge(call: Call) -> Selection:
    """Return a k-means++ draw among the gradients of f's last layer at its own guesses (Ash et al. 2020).

    Choice: no bias gradient, as in the authors' code. Double precision, because k-means++ lives on the small
    distances.
    """
    predictions = call.predictions()
    pool = call.problem.unlabeled.sort().values
    probabilities = predictions.probabilities[pool].double()
    picks = spread_gradients(
        logit_gradients(probabilities, probabilities.argmax(1)),
        predictions.embeddings[pool].double(),
        call.streams.torch("draw"),
    )
    return in_one_step(predictions, first(call, pool, picks))
