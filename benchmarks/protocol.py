"""The paper's whole protocol, one round: `python -m benchmarks.protocol`. An hour on two CPU cores.

Through the run machinery that a person uses, in a workspace of its own, so that nothing is found from before.
Needs the official files: RAMBO_DATA names their folder.
"""

import os
import tempfile
from pathlib import Path

import joblib
import torch

from benchmarks.measure import CannotMeasureError, Goal, Measure
from benchmarks.report import show
from benchmarks.timing import WALL
from rambo import config
from rambo.config import presets
from rambo.events import StageFinished
from rambo.runs.workspace import Workspace
from rambo.worker import run_worker

_GOALS = {  # dataset -> device -> name, wanted, aim in seconds
    "fashion-mnist": {
        "cuda": ("seconds of the whole protocol, FashionMNIST, one GPU", 180, 45),
        "cpu": ("seconds of the whole protocol, FashionMNIST, two CPU cores", 3600, 2100),
    },
    "cifar10": {"cuda": ("seconds of the whole protocol, CIFAR10, one GPU", 3600, 900)},
}
_STAGES = ("offline", "pretraining", "acquisition")


def measure(dataset: str = "fashion-mnist") -> list[Measure]:
    """Return the seconds of offline pairs, pretraining and acquisition with all constants of the paper.

    Raises:
        CannotMeasureError: RAMBO_DATA is not set, or the dataset has no goal on this device.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device not in _GOALS[dataset]:
        raise CannotMeasureError(f"{dataset} takes days without a GPU")
    if not os.environ.get("RAMBO_DATA"):
        raise CannotMeasureError(f"RAMBO_DATA does not name the folder with {dataset}'s files")
    settings = presets.paper(dataset) | {"trials": 1, "strategies": ["rambo"]}
    settings["rambo"]["offline"]["repeated_pairs"] = (
        0  # trained twice for our audit, not in the paper
    )
    with tempfile.TemporaryDirectory() as folder:
        run = run_worker.start(config.build(settings), Workspace(Path(folder)))
        run_worker.work(run)
        ends = [e.event for e in run.events() if isinstance(e.event, StageFinished)]
    seconds = {end.stage: end.seconds for end in ends}
    total = sum(seconds[stage] for stage in _STAGES)
    stages = ", ".join(f"{stage} {seconds[stage]:.0f} s" for stage in _STAGES)
    name, wanted, aim = _GOALS[dataset][device]
    return [
        Measure(
            name=f"The whole protocol, {dataset}",
            what=f"One round of RAMBO with the paper's constants on {dataset}, {joblib.cpu_count()} CPU cores.",
            clock=WALL,
            seconds={"rambo": [total]},
            goals=[Goal(name, total, wanted, aim, at_most=True)],
            note=f"By stage: {stages}. Preparing the images and the evaluation are not counted.",
        )
    ]


if __name__ == "__main__":
    show(measure())
