"""Lowest: of the batches that RAMBO ranks the one that its u_hat ranks lowest, the control that turns u_hat round."""

import dataclasses

from rambo.algorithm import rambo
from rambo.method.pools import Selection
from rambo.seeding import Streams
from rambo.training.call import Call


def lowest(call: Call) -> Selection:
    """Return RAMBO's choice with Algorithm 2, line 5 turned round: the smallest predicted utility.

    Not in the paper. It has RAMBO's u_hat to the last bit, and its partition of the filter into batches. Where u_hat
    ranks batches well, this loses to the filter alone by about as much as RAMBO gains on it, so the difference
    between both shows an effect with about a quarter of the trials.
    """
    return rambo(
        dataclasses.replace(call, streams=Streams(call.ensemble.seed).child("rambo")), lowest=True
    )
