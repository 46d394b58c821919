"""Least confidence: the images whose most probable class is least probable."""

from rambo.method.acquisition import confidences
from rambo.method.pools import Selection
from rambo.strategies.picking import lowest
from rambo.training.call import Call


def least_confidence(call: Call) -> Selection:
    """Return the B smallest top probabilities of f trained on S_0 (Lewis and Gale 1994).

    Choice: equal confidences in the order of the dataset.
    """
    return lowest(call, confidences)
