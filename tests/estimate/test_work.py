"""What is counted is what is run: units by stage and role, from the events of real calls of strategies."""

from collections import Counter
from typing import Any

import pytest
from tiny import MemoryMemo, merged, tiny_config

from rambo.config import Config
from rambo.datasets.prepared import Prepared
from rambo.estimate import work
from rambo.estimate.work import DataSizes, strategy_units, trial_units
from rambo.events import ClassifierTrained, Event, StageStarted
from rambo.seeding import Streams
from rambo.strategies import STRATEGIES
from rambo.training.call import Call
from rambo.training.ensemble import Ensemble
from rambo.worker import trial

QUICK: dict[str, Any] = {
    "classifier": {"max_epochs": 1},
    "rambo": {"pairs_per_iteration": 2, "utility_model": {"epochs": 1}},
}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("rambo", {}),
    ("rambo", {"acquisition": {"batch_size": 5}}),  # the last slice is smaller
    ("rambo", {"rambo": {"initial_size": 24}}),  # no slice at all
    ("rambo", {"rambo": {"offline": {"pairs": 3, "repeated_pairs": 40}}}),
    ("rambo", {"rambo": {"offline": {"repeated_pairs": 0}, "utility_model": {"transport": False}}}),
    ("rambo-plus", {}),
    ("rambo-plus", {"plus": {"repeats": 3}}),
    ("rambo-plus", {"plus": {"weigh": False, "repeats": 3}}),
    ("rambo-plus", {"plus": {"weigh": False, "validation": "crossed"}}),
    ("dulo", {}),
    ("dulo", {"rivals": {"dulo": {"sample_factor": 3}}}),
    ("llal", {}),
    ("margin", {}),
    ("random", {}),
]


def config_of(name: str, changes: dict[str, Any]) -> Config:
    return tiny_config(**merged(QUICK, changes | {"strategies": [name]}))


@pytest.mark.parametrize(("name", "changes"), CASES)
def test_a_strategy_runs_the_units_that_are_counted(
    tiny: Prepared, name: str, changes: dict[str, Any]
) -> None:
    config, events = config_of(name, changes), list[Event]()
    problem = trial.split(config, tiny, 0, None).problem
    ensemble = Ensemble(problem, config.classifier, seed=0, memo=MemoryMemo())
    streams = Streams(0).child(name)
    STRATEGIES[name](
        Call(problem, config.budget, config, streams=streams, ensemble=ensemble, emit=events.append)
    )
    units = list(strategy_units(name, config, DataSizes.of(config, tiny)))

    trained = Counter(e.role for e in events if isinstance(e, ClassifierTrained) and not e.cached)
    counted: Counter[str] = Counter()
    for unit in units:
        if unit.role != "transport":
            counted[unit.role] += unit.trainings.count
    assert trained == counted

    exact = [e.size for e in events if isinstance(e, ClassifierTrained) and e.role == "labeled"]
    assert sorted(exact) == sorted(u.trainings.images for u in units if u.role == "labeled")

    totals = {e.stage: e.total for e in events if isinstance(e, StageStarted)}
    offline = sum(unit.trainings.count for unit in units if unit.stage == "offline")
    assert totals.get("offline", 0) == offline
    pools = sum(u.stage == "pretraining" and u.role == "labeled" for u in units)
    assert totals.get("pretraining", 0) == (2 * pools - 1 if pools else 0)


def test_what_strategies_share_counts_once() -> None:
    sizes = DataSizes(classes=4, pool=100, validation=60, test=40)
    several = tiny_config(strategies=["margin", "rambo", "dulo", "llal", "entropy"], oracle_draws=3)
    total: Counter[str] = Counter()
    for unit in trial_units(several, sizes):
        total[unit.role] += unit.trainings.count
    assert total == {
        "offline": 10,
        "repeat": 4,
        "labeled": 4,
        "llal": 1,
        "evaluation": 8,
        "transport": 10 + 3 * 12,
    }


def test_f_on_s0_is_trained_for_the_pages_where_no_strategy_needs_it() -> None:
    units = trial_units(tiny_config(strategies=["random"]), DataSizes())
    roles = {unit.role: unit.trainings.images for unit in units}
    assert roles == {"labeled": 24, "evaluation": 36}
    assert len(units) == 2


@pytest.mark.parametrize(
    ("pairs", "share", "held_out"), [(5, 0.9, 3), (2, 0.9, 0), (5, 0.2, 1), (5, 0.0, 0)]
)
def test_two_offline_pairs_are_always_fitted(pairs: int, share: float, held_out: int) -> None:
    config = tiny_config(rambo={"offline": {"pairs": pairs, "held_out": share}})
    assert work.held_out_pairs(config) == held_out
