"""CoreSet: images that leave none far from a labeled one."""

from rambo.method.acquisition import k_centers
from rambo.method.pools import Selection
from rambo.strategies.picking import first, in_one_step
from rambo.training.call import Call


def coreset(call: Call) -> Selection:
    """Return the k-center greedy choice in f's embedding, S_0 being the first centers (Sener and Savarese 2018).

    Choice: without the robust variant's integer program; equal distances in the order of the dataset.
    """
    problem, predictions = call.problem, call.predictions()
    pool = problem.unlabeled.sort().values
    picks = k_centers(predictions.embeddings[pool], predictions.embeddings[problem.labeled])
    return in_one_step(predictions, first(call, pool, picks))
