"""`filters`: what RAMBO chooses for every filter size M, from margin sampling to u_hat alone.

One trained u_hat, one f; only M differs. Every choice is trained twice and judged on the test images.
"""

import dataclasses
from pathlib import Path

import torch

from benchmarks.learn_tables import common
from benchmarks.learn_tables.interpolation import pretraining
from rambo.algorithm import spend
from rambo.config import AcquisitionConfig
from rambo.events import ignore
from rambo.method.acquisition import margins
from rambo.method.pools import Selection, union
from rambo.training.ensemble import Ensemble

BUDGET, BATCH = 200, 20
SIZES = (20, 40, 100, 200, 400, 1000, 2000, 4000, 7800)
TRAININGS = 2


def make() -> Path:
    """Choose and train."""
    found = common.demo()
    problem = found.trial.problem
    model = [step.after for step in pretraining(found)][-1]
    predictions = found.ensemble.predict_pools(ignore)
    scores = margins(predictions.probabilities)
    rows = []
    for size in SIZES:
        acquisition = AcquisitionConfig(batch_size=BATCH, filter_size=size)
        config = found.config.model_copy(update={"acquisition": acquisition, "budget": BUDGET})
        call = dataclasses.replace(found, config=config).call(f"learn-filter-{size}")
        chosen, utilities, _ = spend(call, model, scores)
        rows.append(
            {
                "filter_size": size,
                "chosen": chosen.tolist(),
                "margins": [round(float(m), 4) for m in scores[chosen]],
                "utilities": [round(float(u), 4) for u in utilities[::BATCH]],
                "test_accuracies": _judge(found, chosen),
            }
        )
        print(f"  M = {size}", flush=True)
    table = {"pool": len(problem.unlabeled), "budget": BUDGET, "batch_size": BATCH, "filters": rows}
    return common.save("filters", table, found.config.model_dump(mode="json"))


def _judge(found: common.Setting, chosen: torch.Tensor) -> list[float]:
    """Return the test accuracies of some trainings on S_0 and the choice."""
    trial, config = found.trial, found.config
    test = trial.test, trial.oracle[trial.test]
    labels = trial.reveal(Selection(chosen, chosen))
    grown = union(trial.problem.labeled, chosen)
    measured = []
    for number in range(TRAININGS):
        ensemble = Ensemble(
            trial.problem,
            config.classifier,
            seed=trial.seed + number,
            memo=found.ensemble.memo,
            jobs=1,
        )
        unit = ensemble.fit_unit(grown, "evaluation", labels=labels, test=test)
        (outcome,) = ensemble.run([unit], ignore, lambda: None)
        measured.append(outcome.training.accuracies["test"])
    return measured
