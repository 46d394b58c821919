"""CoreSet: images that leave none far from a labeled one."""

from rambo.config import Config
from rambo.events import Emit, ignore
from rambo.method.acquisition import k_centers
from rambo.method.pools import Problem, Selection, check_budget
from rambo.seeding import Streams
from rambo.strategies.picking import first, in_one_step
from rambo.training.ensemble import Ensemble


def coreset(
    problem: Problem,
    budget: int,
    config: Config,
    *,
    streams: Streams,
    ensemble: Ensemble,
    emit: Emit = ignore,
) -> Selection:
    """Return the k-center greedy choice in f's embedding, S_0 being the first centers (Sener and Savarese 2018).

    Choice: without the robust variant's integer program; equal distances in the order of the dataset.
    """
    check_budget(problem, budget)
    predictions = ensemble.predict_pools(emit)
    pool = problem.unlabeled.sort().values
    picks = k_centers(predictions.embeddings[pool], predictions.embeddings[problem.labeled])
    return in_one_step(predictions, first(pool, picks, budget, emit))
