"""One call of a query strategy: everything it is given, in one record."""

import dataclasses

from rambo.config import Config
from rambo.events import Emit, ignore
from rambo.method.pools import Problem, check_budget
from rambo.seeding import Streams
from rambo.training.ensemble import Ensemble, Predictions


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """What a strategy is given; what it answers is a `Selection`.

    Attributes:
        problem: S_0, U_0 and S_val.
        budget: B, from 1 to all of U_0.
        config: the whole run's; a strategy reads its own node and what it shares with others.
        streams: randomness of this call; each name is drawn from once.
        ensemble: trains classifiers and solves OT.
        emit: hears of everything a live page draws; may stop the run.
    """

    problem: Problem
    budget: int
    config: Config
    _: dataclasses.KW_ONLY
    streams: Streams
    ensemble: Ensemble
    emit: Emit = ignore

    def __post_init__(self) -> None:
        """Refuse a budget that the pool cannot serve, before any work.

        Raises:
            BudgetError: the budget does not fit the pool.
        """
        check_budget(self.problem, self.budget)

    def child(self, name: str) -> "Call":
        """Return the same call with the streams below `name`, as for one turn of a loop."""
        return dataclasses.replace(self, streams=self.streams.child(name))

    def predictions(self) -> Predictions:
        """Return what f, trained on S_0, says of all three pools; every strategy of a trial gets the same."""
        return self.ensemble.predict_pools(self.emit)
