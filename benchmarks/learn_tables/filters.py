"""`filters`: what RAMBO chooses for every filter size M, from margin sampling to u_hat alone.

u_hat and the margins are those of the first trial of the run that comes along; only M differs. Every choice is trained
twice and judged on the test images.
"""

import dataclasses
from pathlib import Path

import torch

from benchmarks.learn_tables import common
from rambo.algorithm import spend
from rambo.config import AcquisitionConfig
from rambo.events import ignore
from rambo.method.pools import union
from rambo.method.utility_model import UtilityModel, create_utility_model
from rambo.runs import atlas, paths
from rambo.runs.run import Run
from rambo.seeding import Streams

SIZES = (20, 40, 100, 200, 400, 1000, 2000, 4000, 7800)
TRAININGS = 2


def make() -> Path:
    """Choose and train."""
    run, found = common.finished()
    problem, own = found.trial.problem, found.config.acquisition
    model, scores = _u_hat(run, found), _margins(run, found)
    (chose,) = [r.selected for r in run.results() if (r.trial, r.strategy) == (0, "rambo")]
    rows = []
    for size in sorted({*SIZES, own.filtered}):
        acquisition = AcquisitionConfig(batch_size=own.batch_size, filter_size=size)
        config = found.config.model_copy(update={"acquisition": acquisition})
        call = dataclasses.replace(found, config=config).call("rambo")
        chosen, utilities, _ = spend(call, model, scores)
        assert size != own.filtered or chosen.tolist() == chose, "this is not the run's u_hat"
        rows.append(
            {
                "filter_size": size,
                "chosen": chosen.tolist(),
                "margins": [round(float(m), 4) for m in scores[chosen]],
                "utilities": [round(float(u), 4) for u in utilities[:: own.batch_size]],
                "test_accuracies": _judge(found, chosen),
            }
        )
        print(f"  M = {size}", flush=True)
    table = {
        "run": run.id,
        "own": own.filtered,
        "pool": len(problem.unlabeled),
        "budget": found.config.budget,
        "batch_size": own.batch_size,
        "filters": rows,
    }
    return common.save("filters", table, found.config.model_dump(mode="json"))


def _u_hat(run: Run, found: common.Setting) -> UtilityModel:
    """Return the trained u_hat of the run's first trial."""
    model = create_utility_model(
        found.trial.problem, found.config.rambo.utility_model, Streams(0).child("learn")
    )
    state = run.load_arrays(paths.of_choice(0, "rambo", paths.U_HAT))
    model.network.load_state_dict({name: torch.tensor(array) for name, array in state.items()})
    return model


def _margins(run: Run, found: common.Setting) -> torch.Tensor:
    """Return the margins of all `N` images by the run's f; of those it did not look at, none."""
    kept = atlas.load_atlas(run, 0)
    scores = torch.full((len(found.trial.problem.images),), torch.nan)
    scores[torch.from_numpy(kept.indices)] = torch.from_numpy(atlas.margins(kept.probabilities))
    return scores


def _judge(found: common.Setting, chosen: torch.Tensor) -> list[float]:
    """Return the test accuracies of some trainings on S_0 and the choice."""
    trial = found.trial
    assert trial.oracle is not None
    test = trial.test, trial.oracle[trial.test]
    grown, labels = trial.grow(chosen)
    assert len(grown) == len(union(trial.problem.labeled, chosen))
    units = [
        found.ensemble.fit_unit(grown, "evaluation", labels=labels, test=test, repeat=repeat)
        for repeat in range(TRAININGS)
    ]
    outcomes = found.ensemble.run(units, ignore, lambda: None)
    return [outcome.training.accuracies["test"] for outcome in outcomes]
