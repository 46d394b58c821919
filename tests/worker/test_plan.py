"""The plan against a real run: what it counts is what the run trains, and what it finds kept is kept."""

import dataclasses
import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tiny import FORECAST_KEYS, TINY, merged, write_tiny

from rambo import config as configs
from rambo.config import Config
from rambo.datasets import foreign
from rambo.datasets.prepared import Prepared
from rambo.errors import BudgetError, ConfigError, DataError
from rambo.estimate import costs, forecast
from rambo.estimate.costs import DataSizes, Trainings
from rambo.estimate.forecast import Forecast
from rambo.events import ClassifierTrained, Event
from rambo.runs.workspace import Workspace
from rambo.strategies.llal import LossUnit
from rambo.training.ensemble import Ensemble
from rambo.training.outcomes import TrainingRecord, stored
from rambo.training.units import FitUnit, HeadUnit
from rambo.worker import plan as planning
from rambo.worker import run_worker
from rambo.worker.plan import fixed_units, measure_rate, plan, remaining, time_pass

SETTINGS: dict[str, Any] = {
    "dataset": {"validation_size": 60},
    "trials": 2,
    "classifier": {"max_epochs": 1},
    "rambo": {"utility_model": {"epochs": 1}},
}


def config_for(tiny_archive: Path, **changes: Any) -> Config:
    settings = merged(merged(TINY, SETTINGS), {"dataset": {"name": str(tiny_archive)}})
    return configs.build(merged(settings, changes))


def opened(config: Config, workspace: Workspace) -> Prepared:
    return foreign.prepare(config.dataset, workspace.root)


@dataclasses.dataclass
class Ran:
    """A run with the plans before and after it."""

    config: Config
    workspace: Workspace
    before: Forecast
    after: Forecast
    events: list[Event]

    @property
    def trained(self) -> list[ClassifierTrained]:
        """Every training that was not found kept."""
        return [e for e in self.events if isinstance(e, ClassifierTrained) and not e.cached]

    @property
    def stored_keys(self) -> set[str]:
        """The keys of all kept fits."""
        with closing(sqlite3.connect(self.workspace.root / "utilities.sqlite")) as db:
            rows = db.execute("SELECT key, record FROM utilities").fetchall()
        return {key for key, record in rows if "accuracies" in json.loads(record)}


def run_planned(config: Config, root: Path) -> Ran:
    """Plan, run, plan again."""
    workspace, events = Workspace(root), []
    before = plan(config, workspace)
    assert run_worker.work(run_worker.start(config, workspace), events.append) == "done"
    return Ran(config, workspace, before, plan(config, workspace), events)


@pytest.fixture(scope="module")
def ran(tiny_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run_planned(config_for(tiny_archive), tmp_path_factory.mktemp("all"))


CASES: dict[str, dict[str, Any]] = {
    "rambo alone": {"strategies": ["rambo"], "trials": 1},
    "one slice too small": {
        "strategies": ["margin", "rambo"],
        "trials": 1,
        "acquisition": {"batch_size": 5},
        "rambo": {"initial_size": 13},
    },
    "no slices, no repeats": {
        "strategies": ["rambo", "random"],
        "trials": 1,
        "rambo": {"initial_size": 24, "offline": {"repeated_pairs": 0}},
    },
    "more repeats than pairs": {
        "strategies": ["rambo"],
        "trials": 1,
        "rambo": {"offline": {"pairs": 3, "repeated_pairs": 40}},
    },
    "no learning": {"strategies": ["margin", "filter-only"]},
    "random alone": {"strategies": ["random"]},
    "dulo alone": {"strategies": ["dulo"], "trials": 1},
    "dulo with more samples before rambo": {
        "strategies": ["dulo", "rambo"],
        "trials": 1,
        "rivals": {"dulo": {"sample_factor": 2}},
    },
    "rambo-plus alone": {"strategies": ["rambo-plus"], "trials": 1},
    "rambo-plus without weights": {
        "strategies": ["rambo-plus"],
        "trials": 1,
        "plus": {"weigh": False, "repeats": 3},
    },
    "rambo-plus without weights before dulo": {
        "strategies": ["rambo-plus", "dulo"],
        "trials": 1,
        "plus": {"weigh": False},
    },
    "rambo-plus beside rambo": {"strategies": ["rambo-plus", "rambo"], "trials": 1},
    "the lowest u_hat beside the highest, each judged twice": {
        "strategies": ["lowest", "rambo"],
        "trials": 1,
        "evaluation": {"repeats": 2},
    },
    "foreign images behind a gate": {
        "strategies": ["margin"],
        "dataset": {
            "corruption": {"foreign": 0.3, "foreign_source": "fashion-mnist-mini"},
        },
        "acquisition": {"gate": {"by": "transport"}},
    },
    "llal": {"strategies": ["llal", "margin"], "trials": 1},
    "an oracle's draws": {"strategies": ["random"], "oracle_draws": 3},
    "an oracle that is judged three times": {
        "strategies": ["random"],
        "oracle_draws": 3,
        "evaluation": {"repeats": 3},
    },
}


# Counts.


def check_counts(ran: Ran) -> None:
    """Hold the plan to the trainings of its run."""
    roles = Counter(event.role for event in ran.trained)
    expected = {role: ran.config.trials * n for role, n in ran.before.per_trial.items() if n}
    assert roles == expected
    assert ran.before.trainings == len(ran.trained) == len(ran.stored_keys)
    repeats, draws = ran.config.evaluation.repeats, ran.config.oracle_draws
    oracle = draws + repeats - 1 if draws else 0
    unknown = ran.config.trials * (repeats * len(ran.config.strategies) + oracle)
    assert ran.before.lookups == ran.after.lookups == len(ran.trained) - unknown
    assert (ran.before.cached, ran.after.cached) == (0, ran.before.lookups)


def check_units(ran: Ran) -> None:
    """Hold the units drawn beforehand to those of the run: keys, roles and sizes."""
    data = opened(ran.config, ran.workspace)
    units = fixed_units(ran.config, data, ran.workspace.memo(), "cpu")
    keys = {unit.key for unit in units}
    assert len(keys) == len(units)
    assert keys <= ran.stored_keys
    sizes = [(e.role, e.size) for e in ran.trained if e.role != "evaluation"]
    fits = [unit.fit if isinstance(unit, LossUnit) else unit for unit in units]
    assert Counter(sizes) == Counter((fit.role, len(fit.subset)) for fit in fits)
    for unit in units:
        record, _ = ran.workspace.memo().get(unit.key)
        if isinstance(unit, LossUnit):
            continue  # its pace is not that of other trainings, so it is not asked for
        assert record["size"] == len(unit.subset)
        assert record["evaluated"] == unit.evaluated
        assert unit.facts.items() <= record.items()


def test_what_nobody_knows_beforehand_is_counted_all_the_same(
    tiny_archive: Path, tmp_path: Path
) -> None:
    plus = {"repeats": 3, "validation": "crossed"}
    changes = {"strategies": ["rambo-plus"], "trials": 1, "plus": plus}
    ran = run_planned(config_for(tiny_archive, **changes), tmp_path)
    roles = Counter(event.role for event in ran.trained)
    assert roles == {role: number for role, number in ran.before.per_trial.items() if number}
    assert roles["repeat"] > 0
    assert roles["guesses"] == 2
    # They are in no list drawn beforehand, and stay among what is left.
    unlisted = roles["repeat"] + roles["guesses"] + roles["evaluation"]
    assert ran.before.lookups == len(ran.trained) - unlisted
    assert ran.after.stages["offline"] > 0
    data = opened(ran.config, ran.workspace)
    assert len(fixed_units(ran.config, data, ran.workspace.memo(), "cpu")) == ran.before.lookups


def test_the_run_trains_what_was_planned(ran: Ran) -> None:
    check_counts(ran)
    check_units(ran)


@pytest.mark.parametrize("name", CASES)
def test_every_form_of_run_trains_what_was_planned(
    tiny_archive: Path, tmp_path: Path, name: str
) -> None:
    ran = run_planned(config_for(tiny_archive, **CASES[name]), tmp_path)
    check_counts(ran)
    check_units(ran)


def test_the_expected_work_is_that_of_the_units(ran: Ran) -> None:
    data = opened(ran.config, ran.workspace)
    whole = costs.count(ran.config, DataSizes.of(ran.config, data))
    units = fixed_units(ran.config, data, ran.workspace.memo(), "cpu")
    rest = remaining(whole, units).trainings
    for role in costs.ROLES:
        assert rest[role].count == whole.trainings[role].count
        assert rest[role].evaluated == whole.trainings[role].evaluated
    assert rest["labeled"] == whole.trainings["labeled"]
    assert rest["evaluation"] == whole.trainings["evaluation"]
    assert rest["offline"].images == sum(len(u.subset) for u in units if u.role == "offline")
    assert rest["offline"].images == pytest.approx(whole.trainings["offline"].images, rel=0.3)


def test_llal_is_asked_about_what_is_counted(tiny_archive: Path, tmp_path: Path) -> None:
    config = config_for(tiny_archive, **CASES["llal"])
    data = opened(config, Workspace(tmp_path))
    whole = costs.count(config, DataSizes.of(config, data))
    units = fixed_units(config, data, Workspace(tmp_path).memo(), "cpu")
    assert remaining(whole, units) == whole
    assert remaining(whole, []).trainings["llal"] == costs.NONE


# Logistic heads.

HEADS: dict[str, dict[str, Any]] = {
    "heads": {
        "strategies": ["rambo", "dulo", "margin"],
        "classifier": {"name": "logistic", "logistic": {"iterations": 20}},
        "dataset": {"feature_resolution": 16},
    },
    "a proxy": {
        "strategies": ["dulo", "random"],
        "trials": 1,
        "rambo": {"offline": {"proxy": True}},
        "classifier": {"logistic": {"iterations": 20}},
        "dataset": {"feature_resolution": 16},
    },
}


@pytest.mark.parametrize("name", HEADS)
def test_heads_are_known_once_their_features_are_there(
    tiny_archive: Path, tmp_path: Path, name: str
) -> None:
    ran = run_planned(config_for(tiny_archive, **HEADS[name]), tmp_path)
    before, after, trials = ran.before, ran.after, ran.config.trials
    proxy = name == "a proxy"
    assert before.lookups == (1 if proxy else 0)  # f on S_0 is a network beside a proxy
    assert before.cached == 0
    assert before.stages["features"] == pytest.approx(3e-3 * (16 / 64) ** 2 * 200)
    assert "features" not in after.stages
    roles = Counter(event.role for event in ran.trained)
    assert roles == {role: trials * n for role, n in before.per_trial.items() if n}
    unknown = trials * len(ran.config.strategies)
    assert after.lookups == after.cached == before.trainings - unknown
    assert after.stages["offline"] < before.stages["offline"]
    data = opened(ran.config, ran.workspace)
    file = planning._features_file(ran.config, data, "cpu")
    units = fixed_units(ran.config, data, ran.workspace.memo(), "cpu", file)
    assert {unit.key for unit in units} <= ran.stored_keys
    assert {unit.role for unit in units if isinstance(unit, HeadUnit)} == (
        {"offline"} if proxy else {"offline", "labeled"}
    )


def test_a_plan_of_heads_trains_nothing_and_names_a_constant(
    tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(ensemble: Ensemble) -> float:
        raise AssertionError("calibrated")

    monkeypatch.setattr(planning, "calibrate", refuse)
    forecast_now = plan(config_for(tiny_archive, **HEADS["heads"]), Workspace(tmp_path))
    assert forecast_now.rate.source == "of a logistic head, as measured elsewhere"
    assert forecast_now.rate.seconds_per_image == forecast_now.rate.seconds_per_head_image
    assert forecast_now.rate.seconds_per_image == pytest.approx(6e-5)
    assert forecast_now.rate.seconds_per_pass > 0
    assert forecast_now.seconds == pytest.approx(sum(forecast_now.stages.values()))
    assert forecast_now == forecast.restore(
        json.loads(json.dumps(forecast_now.public(), allow_nan=False))
    )
    assert [path.name for path in tmp_path.iterdir()] == ["datasets"]
    (folder,) = (tmp_path / "datasets").iterdir()
    assert not list(folder.glob("features*"))


def test_heads_of_before_make_their_rate(tiny_archive: Path, tmp_path: Path) -> None:
    config, workspace = config_for(tiny_archive, **HEADS["a proxy"]), Workspace(tmp_path)
    data, memo = opened(config, workspace), workspace.memo()
    facts = {"classifier": "logistic", "dataset": data.fingerprint, "device": "cpu"}
    for number in range(5):
        memo.put(f"{number:064x}", record(2.0, 98, facts))
    rate = measure_rate(config, data, memo, "cpu")
    assert rate.seconds_per_head_image == pytest.approx(0.02)
    assert rate.source == "calibrated"  # of the networks
    alone = measure_rate(config_for(tiny_archive, **HEADS["heads"]), data, memo, "cpu")
    assert (alone.seconds_per_image, alone.source) == (
        pytest.approx(0.02),
        "measured on 5 trainings here",
    )


def test_roles_without_units_are_left_whole(tiny_archive: Path, tmp_path: Path) -> None:
    config = config_for(tiny_archive)
    data = opened(config, Workspace(tmp_path))
    whole = costs.count(config, DataSizes.of(config, data))
    rest = remaining(whole, [], ("offline", "repeat"))
    assert rest.trainings == {**whole.trainings, "labeled": costs.NONE}
    assert (rest.transports, rest.transport_entries) == (
        whole.transports,
        whole.transport_entries,
    )
    assert remaining(whole, []).transports == 0


def test_weights_that_are_not_there_are_refused_by_the_plan(
    tiny_archive: Path, tmp_path: Path
) -> None:
    changes = merged(HEADS["heads"], {"dataset": {"feature_weights": "nothing.pth"}})
    with pytest.raises(DataError, match=r"dataset.feature_weights nothing.pth: No such file"):
        plan(config_for(tiny_archive, **changes), Workspace(tmp_path))


def test_what_the_evaluations_are_asked_is_counted(ran: Ran) -> None:
    """Their units are not drawn before the run, so their records are held to the counts instead."""
    data = opened(ran.config, ran.workspace)
    keys = {u.key for u in fixed_units(ran.config, data, ran.workspace.memo(), "cpu")}
    records = [ran.workspace.memo().get(key)[0] for key in ran.stored_keys - keys]
    trainings = costs.count(ran.config, DataSizes.of(ran.config, data)).trainings["evaluation"]
    sums = Trainings(
        len(records), sum(r["size"] for r in records), sum(r["evaluated"] for r in records)
    )
    assert sums == trainings


# What is kept.


def test_a_second_run_has_less_to_do(ran: Ran) -> None:
    assert ran.after.rate.source.startswith("measured on ")
    data = opened(ran.config, ran.workspace)
    whole = costs.count(ran.config, DataSizes.of(ran.config, data))
    rate, jobs = ran.after.rate, ran.after.jobs
    full = costs.stage_seconds(whole, rate, jobs)
    for stage in ("offline", "pretraining"):
        assert 0 < ran.after.stages[stage] < full[stage]
    for stage in ("acquisition", "evaluation"):
        assert ran.after.stages[stage] == pytest.approx(full[stage])
    assert ran.after.seconds == pytest.approx(sum(ran.after.stages.values()))


def test_other_trials_are_not_taken_for_kept(ran: Ran, tiny_archive: Path) -> None:
    one = ran.before.lookups // 2
    assert plan(config_for(tiny_archive, seed=1), ran.workspace).cached == one  # trial 1 of before
    assert plan(config_for(tiny_archive, trials=5), ran.workspace).cached == 2 * one
    assert plan(config_for(tiny_archive, seed=2), ran.workspace).cached == 0
    for changes in ({"k": 25}, {"classifier": {"max_epochs": 2}}):
        assert plan(config_for(tiny_archive, **changes), ran.workspace).cached == 0


def test_more_pairs_keep_the_labeled_pools_only_where_the_draw_is_another(
    ran: Ran, tiny_archive: Path
) -> None:
    more = plan(config_for(tiny_archive, trials=1, rambo={"offline": {"pairs": 6}}), ran.workspace)
    assert more.per_trial["labeled"] <= more.cached < more.lookups


def test_a_stopped_run_is_counted_to_where_it_came(ran: Ran) -> None:
    data, memo = opened(ran.config, ran.workspace), ran.workspace.memo()
    units = fixed_units(ran.config, data, memo, "cpu")
    missing = [unit.key for unit in units[::3]]
    rows = [(key, *memo.get(key)) for key in missing]
    with closing(sqlite3.connect(ran.workspace.root / "utilities.sqlite")) as db:
        db.executemany("DELETE FROM utilities WHERE key = ?", [(key,) for key in missing])
        db.commit()
    try:
        now = plan(ran.config, ran.workspace)
        assert now.cached == now.lookups - len(missing)
        assert now.stages["offline"] > ran.after.stages["offline"]
    finally:
        for key, record, arrays in rows:
            memo.put(key, record, arrays)


def test_a_plan_leaves_nothing_but_the_dataset(tiny_archive: Path, tmp_path: Path) -> None:
    forecast_now = plan(config_for(tiny_archive), Workspace(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["datasets"]
    assert forecast_now.rate.source == "calibrated"
    assert forecast_now == forecast.restore(
        json.loads(json.dumps(forecast_now.public(), allow_nan=False))
    )
    assert set(forecast_now.public()) == FORECAST_KEYS
    assert (forecast_now.initial_labels, forecast_now.labels_bought, forecast_now.unlabeled) == (
        24,
        12,
        76,
    )
    assert forecast_now.sentence.startswith("You hold 24 labels, and 60 more")


def test_a_plan_refuses_what_the_run_would_refuse(tiny_archive: Path, tmp_path: Path) -> None:
    for changes, kind in (
        ({"budget": 77}, BudgetError),
        ({"k": 100}, ConfigError),
        ({"dataset": {"name": "nothing.npz"}}, DataError),
    ):
        with pytest.raises(kind):
            plan(config_for(tiny_archive, **changes), Workspace(tmp_path))


# The rate.


def record(
    seconds: float, size: int, facts: dict[str, str], evaluated: int = 100
) -> Mapping[str, Any]:
    return stored(trained(seconds, size, facts, evaluated))


def trained(
    seconds: float, size: int, facts: dict[str, str], evaluated: int = 100
) -> TrainingRecord:
    return TrainingRecord(
        accuracies={}, epochs=3, seconds=seconds, size=size, evaluated=evaluated, **facts
    )


def test_the_rate_is_the_median_of_what_fits(tiny_archive: Path, tmp_path: Path) -> None:
    config, workspace = config_for(tiny_archive), Workspace(tmp_path)
    data, memo = opened(config, workspace), workspace.memo()
    facts = fixed_units(config, data, memo, "cpu")[0].facts
    assert facts == {"classifier": "mnistnet", "dataset": data.fingerprint, "device": "cpu"}
    for number, seconds in enumerate([1.0, 2.0, 3.0, 4.0]):
        memo.put(f"{number:064x}", record(seconds, 98, facts))
    for number, other in enumerate(
        ({"classifier": "resnet18"}, {"dataset": "0" * 64}, {"device": "cuda"}), 10
    ):
        memo.put(f"{number:064x}", record(1000.0, 98, facts | other))
    memo.put("f" * 64, {"value": 3.0})  # OT
    memo.put("e" * 64, {"accuracies": {}, "epochs": 3, "seconds": 1000.0})  # of an older version
    assert measure_rate(config, data, memo, "cpu").source == "calibrated"
    memo.put(f"{4:064x}", record(100.0, 98, facts))
    rate = measure_rate(config, data, memo, "cpu")
    assert rate.source == "measured on 5 trainings here"
    assert rate.seconds_per_image == pytest.approx(3.0 / (98 + 100 / 50))


@pytest.fixture
def calibrated(tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that calibrates on a machine of a given pace, and what it trained."""
    config = config_for(tiny_archive, classifier={"max_epochs": 40})
    data = opened(config, Workspace(tmp_path))
    problem = planning.trials.split(config, data, 0, None).problem
    ensemble = Ensemble(problem, config.classifier, seed=0, memo=Workspace(tmp_path).memo())

    def at(pace: float) -> tuple[float, list[tuple[int, int]]]:
        runs: list[tuple[int, int]] = []

        def fake(unit: FitUnit) -> tuple[TrainingRecord, dict[str, Any]]:
            size, epochs = len(unit.subset), min(unit.config.max_epochs, 12)
            runs.append((size, unit.config.max_epochs))
            assert not unit.measured
            assert not len(unit.predicted)
            return trained(pace * size * epochs, size, {}, 0), {}

        monkeypatch.setattr(FitUnit, "run", fake)
        return planning.calibrate(ensemble), runs

    return at


def test_a_calibration_is_bounded(calibrated: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "_SMALLEST", 10)
    assert calibrated(1e-3) == (pytest.approx(12e-3), [(20, 1), (20, 1), (24, 40)])  # all of k
    assert calibrated(0.011) == (pytest.approx(0.132), [(20, 1), (20, 1), (12, 40)])
    assert calibrated(1.0) == (pytest.approx(15.0), [(20, 1), (20, 1)])  # too slow for more


def test_a_real_calibration_gives_seconds(tiny_archive: Path, tmp_path: Path) -> None:
    config = config_for(tiny_archive)
    data = opened(config, Workspace(tmp_path))
    rate = measure_rate(config, data, Workspace(tmp_path).memo(), "cpu")
    assert 1e-5 < rate.seconds_per_image < 1
    assert 1e-7 < rate.seconds_per_pass < 0.1


@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_a_pass_is_timed_for_features_too(tmp_path: Path, pooling: str) -> None:
    config = configs.build(merged(TINY, {"rambo": {"utility_model": {"pooling": pooling}}}))
    for channels in (1, 3):
        data = write_tiny(tmp_path / str(channels), channels=channels)
        problem = planning.trials.split(config, data, 0, None).problem
        assert 0 < time_pass(problem, config, data) < 0.1
