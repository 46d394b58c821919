"""Entropy sampling: the images over which f is most undecided among all classes."""

from rambo.method.acquisition import entropies
from rambo.method.pools import Selection
from rambo.strategies.picking import lowest
from rambo.training.call import Call


def entropy(call: Call) -> Selection:
    """Return the B largest entropies of f trained on S_0, in nats (Settles 2009, Section 3.1).

    Choice: equal entropies in the order of the dataset.
    """
    return lowest(call, lambda probabilities: -entropies(probabilities))
