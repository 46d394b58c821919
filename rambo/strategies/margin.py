"""Margin sampling: the images whose two most probable classes are closest."""

from rambo.method.acquisition import margins
from rambo.method.pools import Selection
from rambo.strategies.picking import lowest
from rambo.training.call import Call


def margin(call: Call) -> Selection:
    """Return the B smallest margins of f trained on S_0 (Roth and Small 2006, B.1).

    Choice: equal margins in the order of the dataset.
    """
    return lowest(call, margins)
