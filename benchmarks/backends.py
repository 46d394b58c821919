"""The same trainings on a dask cluster and on loky's processes: `python -m benchmarks.backends`.

Both have two worker processes on this machine, started and warm. Seconds of the wall: the work is done elsewhere.
"""

from importlib.util import find_spec

from benchmarks import data
from benchmarks.measure import CannotMeasureError, Goal, Measure, ratio
from benchmarks.report import show
from benchmarks.timing import WALL, interleaved
from rambo.config import ClassifierConfig
from rambo.events import ignore
from rambo.training import backends
from rambo.training.backends import Backend
from rambo.training.ensemble import Ensemble

UNITS, EPOCHS, WORKERS = 24, 2, 2


def measure() -> list[Measure]:
    """Return the seconds of the same units on both backends.

    Raises:
        CannotMeasureError: dask is not installed.
    """
    if not find_spec("distributed"):
        raise CannotMeasureError("dask is not installed; pip install distributed")
    problem = data.problem()
    config = ClassifierConfig(max_epochs=EPOCHS, train_accuracy=1.0)

    def train(backend: Backend) -> None:
        team = Ensemble(
            problem, config, seed=0, memo=data.Forgetful(), jobs=WORKERS, backend=backend
        )
        units = [team.fit_unit(problem.labeled[: 100 + i], "offline", i) for i in range(UNITS)]
        team.run(units, ignore, lambda: None)

    with backends.connected("dask", None, WORKERS) as dask:
        loky = Backend("loky", WORKERS)
        contenders = {"loky": lambda: train(loky), "dask": lambda: train(dask)}
        seconds = interleaved(contenders, clock=WALL)
    throughput = ratio(seconds["loky"], seconds["dask"])
    return [
        Measure(
            name="Backends",
            what=(
                f"{UNITS} MnistNets are trained for {EPOCHS} epochs on 100 to {99 + UNITS} images each and scored on "
                f"{len(problem.validation):,}, by {WORKERS} worker processes."
            ),
            clock=WALL,
            seconds=seconds,
            goals=[Goal("throughput of dask / loky", throughput, 0.9)],
            work=UNITS,
            unit="trainings",
            note="Wall seconds on a machine that may have other work: see the load.",
        )
    ]


if __name__ == "__main__":
    show(measure())
