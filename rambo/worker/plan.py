"""What a run will cost on this machine: which of its trainings are kept, and a rate that was measured here.

The trainings are drawn by the very functions the run draws them with, so their keys are the run's own.
"""

import dataclasses
import itertools
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

import joblib
import torch

from rambo import checks, lineup
from rambo.algorithm import split_initial
from rambo.config import Config
from rambo.datasets import foreign
from rambo.datasets.features import finished_features
from rambo.datasets.prepared import Prepared
from rambo.estimate import costs, outline
from rambo.estimate.costs import Costs, Rate
from rambo.estimate.forecast import Forecast
from rambo.estimate.work import DataSizes, Trainings, closest_pairs, pair_learners
from rambo.events import Emit, ignore
from rambo.method.pools import Problem, membership_matrix, union
from rambo.method.utility_model import create_utility_model
from rambo.method.utility_samples import random_pairs
from rambo.runs.workspace import Workspace
from rambo.seeding import Streams
from rambo.storage.memo import Memo
from rambo.strategies.dulo import further_units
from rambo.strategies.llal import LossUnit
from rambo.training.call import Call
from rambo.training.ensemble import Ensemble
from rambo.training.iteration import pool_unit
from rambo.training.offline import offline_units
from rambo.training.outcomes import TrainingRecord, restore
from rambo.training.units import FitUnit
from rambo.worker import trial as trials

_FEWEST = 5  # past trainings that make a rate
_LOOKED_AT = 1000  # past trainings, at most
_CALIBRATION_SECONDS = 2.0
_PROBE, _SMALLEST, _LARGEST = 20, 40, 200  # images a calibration trains on
_SIDE_BY_SIDE = 32  # classifiers it trains, where they are trained side by side
_PASS_IMAGES, _PASS_PAIRS, _PASS_REPEATS = 500, 50, 3
# Choice: measured on one core of an AMD EPYC for EfficientNet-Lite0 and ResNet-18; on a GPU it is soon done.
_FEATURE_SECONDS = 3e-3 / 64**2  # frozen features of an image, for each pixel it is resized to
_FEATURES = 512  # Choice: the width of ResNet-18's; the time depends little on it


TrainingUnit = FitUnit | LossUnit


def plan(
    config: Config, workspace: Workspace, listener: Emit = ignore, *, device: str = "cpu"
) -> Forecast:
    """Return what a run of `config` would take now.

    `trainings` counts all classifiers, `known` those whose content is fixed before the start (all but the
    evaluations, and but logistic heads whose frozen features are not there yet), `cached` those of them that were
    trained before, by any run. `seconds` and `stages` are for what is left; what is not known is taken as not trained
    yet.

    Args:
        config: of the run.
        workspace: whose shared results are looked at, and where the dataset is prepared if it is not.
        listener: hears what `foreign.prepare` has to say.
        device: resolved torch device, of the classifiers.

    Raises:
        RamboError: the config does not fit its dataset, or the data cannot be had.
    """
    data = foreign.prepare(config.dataset, workspace.root, emit=listener)
    checks.check(config, data)
    config = checks.fit(config, data)
    checks.wants_features(config, data)
    memo, jobs = workspace.memo(), _jobs(config, device)
    features_file = _features_file(config, data, device)
    units = fixed_units(config, data, memo, device, features_file)
    cached = memo.stored_keys(unit.key for unit in units)
    whole = costs.count(config, DataSizes.of(config, data))
    missing = [unit for unit in units if unit.key not in cached]
    unknown = [] if features_file else list(whole.heads)
    if "rambo-plus" in config.strategies and closest_pairs(config):
        unknown.append("repeat")  # which pairs lie closest is known once they are trained
    unknown.append("guesses")  # the halves of S_val are drawn as RAMBO+ begins
    rest = remaining(whole, missing, unknown)
    rate = measure_rate(config, data, memo, device)
    stages = costs.stage_seconds(rest, rate, jobs)
    if checks.wants_features(config, data) and not features_file and device == "cpu":
        pixels = config.dataset.feature_resolution**2
        stages = {"features": _FEATURE_SECONDS * pixels * len(data.images)} | stages
    return Forecast(
        initial_labels=whole.initial_labels,
        labels_bought=whole.labels_bought,
        validation=whole.validation,
        unlabeled=whole.unlabeled,
        trials=whole.trials,
        trainings=whole.total,
        per_trial=whole.per_trial,
        lookups=len(units),
        cached=len(cached),
        seconds=sum(stages.values()),
        stages=stages,
        rate=rate,
        device=device,
        jobs=jobs,
        sentence=outline.sentence(config, whole),
    )


def _features_file(config: Config, data: Prepared, device: str) -> str:
    """Return where the frozen features of a run lie already; empty where they do not, or nothing reads them."""
    if not checks.wants_features(config, data):
        return ""
    path = finished_features(data, config.dataset, data_root=None, device=device)
    return "" if path is None else str(path)


def fixed_units(
    config: Config, data: Prepared, memo: Memo, device: str, features_file: str = ""
) -> list[TrainingUnit]:
    """Return every training of a run whose content is fixed before it starts, trial by trial; equal ones once.

    Args:
        config: of the run.
        data: the prepared dataset.
        memo: of the workspace.
        device: resolved torch device.
        features_file: finished frozen features; without them the logistic heads are left out.
    """
    if config.classifier.name == "logistic" and not features_file:
        return []
    units: list[TrainingUnit] = []
    for number in range(config.trials):
        # No features: they change no classifier but the heads, which read the file.
        trial = trials.split(config, data, number, None, features_file)
        ensemble = Ensemble(
            trial.problem,
            config.classifier,
            seed=trial.seed,
            memo=memo,
            device=device,
            compute=config.compute,
        )
        if features_file or not config.rambo.offline.proxy:
            units += _utility_units(trial.problem, config, ensemble)
        units += _pool_units(trial.problem, config, ensemble)
        if "llal" in config.strategies:
            units.append(LossUnit.of(ensemble, config.rivals.llal))
    first: dict[str, TrainingUnit] = {}
    for unit in units:
        first.setdefault(unit.key, unit)  # a repeated head is the offline one
    return list(first.values())


def _utility_units(problem: Problem, config: Config, ensemble: Ensemble) -> list[FitUnit]:
    """Return the trainings that RAMBO and DULO learn from, drawn from the streams that they take."""
    names, streams = config.strategies, Streams(ensemble.seed)
    if not pair_learners(config):
        return []
    call = Call(problem, config.budget, config, streams=streams, ensemble=ensemble)
    _, units, repeats = offline_units(call.child("rambo").child("offline"))
    if _pretrains(config):
        units = [*units, *repeats]
    if "dulo" in names:
        units += further_units(call.child("dulo"))[1]
    return units


def _pool_units(problem: Problem, config: Config, ensemble: Ensemble) -> list[FitUnit]:
    """Return the trainings on the labeled pools of Algorithm 1; without RAMBO that on S_0."""
    if not _pretrains(config):
        return [pool_unit(problem.labeled, 0, ensemble)]
    generator = Streams(ensemble.seed).child("rambo").torch("split")
    initial, slices = split_initial(problem.labeled, config, generator)
    pools = itertools.accumulate(slices, union, initial=initial)
    return [pool_unit(labeled, i, ensemble) for i, labeled in enumerate(pools)]


def _pretrains(config: Config) -> bool:
    """Return whether a strategy grows the labeled pool step by step (Algorithm 1)."""
    return any(lineup.of(name).pretrains for name in config.strategies)


def remaining(whole: Costs, missing: Sequence[TrainingUnit], unknown: Sequence[str] = ()) -> Costs:
    """Return the costs of what is left: the `missing` units, the evaluations, and what is never kept.

    Choice: OT is counted as kept in the share in which the offline trainings are: a run solves both at once.

    Args:
        whole: of the run.
        missing: units that have to be trained.
        unknown: roles of which no unit is known; all of them are left.
    """
    rest: dict[str, Trainings] = defaultdict(Trainings)
    for unit in missing:
        fit = unit.fit if isinstance(unit, LossUnit) else unit
        rest[fit.role] += Trainings(1, len(fit.subset), fit.evaluated)
    trainings = {
        name: role if name == "evaluation" or name in unknown else rest[name]
        for name, role in whole.trainings.items()
    }
    pairs = whole.trainings["offline"].count
    share = trainings["offline"].count / pairs if pairs else 0.0
    return dataclasses.replace(
        whole,
        trainings=trainings,
        transports=round(whole.transports * share),
        transport_entries=whole.transport_entries * share,
    )


def measure_rate(config: Config, data: Prepared, memo: Memo, device: str) -> Rate:
    """Return the rate of this machine: from what was trained here before, else from a calibration of seconds.

    Choice: logistic heads are not calibrated; where none was trained here, a constant has to do.
    """
    problem = trials.split(config, data, 0, None).problem
    heads, source = _rate_of(memo, "logistic", data, device) or (
        costs.head_seconds(config),
        "of a logistic head, as measured elsewhere",
    )
    rate = Rate(heads, source, seconds_per_head_image=heads)
    if config.classifier.name != "logistic":
        ensemble = Ensemble(problem, config.classifier, seed=0, memo=memo, device=device)
        measured = _rate_of(memo, ensemble.config.name, data, device)
        pace, source = measured or (calibrate(ensemble), "calibrated")
        rate = Rate(pace, source, seconds_per_head_image=heads)
    if not lineup.learners(config.strategies):
        return rate
    return dataclasses.replace(rate, seconds_per_pass=time_pass(problem, config, data))


def _rate_of(memo: Memo, name: str, data: Prepared, device: str) -> tuple[float, str] | None:
    """Return the seconds per image of such classifiers, and where from, if enough of them are kept."""
    kind = torch.device(device).type
    facts = {"classifier": name, "dataset": data.fingerprint, "device": kind}
    records = map(restore, memo.sample(facts, _LOOKED_AT))
    past = [record for record in records if isinstance(record, TrainingRecord)]
    if len(past) < _FEWEST:
        return None
    return statistics.median(map(_pace, past)), f"measured on {len(past):,} trainings here"


def calibrate(ensemble: Ensemble) -> float:
    """Return the seconds per image of one short training, or of some side by side where they are trained so.

    Choice: to the end on as many images as about two seconds allow; where that is fewer than 40, one epoch, taken
    `costs.EPOCHS` times.
    """
    labeled, config = ensemble.problem.labeled, ensemble.config
    batching = ensemble.batching
    count = min(batching.slots, _SIDE_BY_SIDE) if batching else 1

    def run(size: int, epochs: int) -> float:
        units = [
            dataclasses.replace(
                ensemble.fit_unit(labeled[:size], "calibration", i),
                measured={},
                config=config.model_copy(update={"max_epochs": epochs}),
            )
            for i in range(count)
        ]
        results = units[0].run_group(units, ignore)
        return statistics.fmean(
            _pace(record) for _, (record, _) in results if isinstance(record, TrainingRecord)
        )

    run(_PROBE, 1)  # the first training of a process is slow
    epochs = min(costs.EPOCHS, config.max_epochs)
    pace = run(_PROBE, 1) * epochs
    size = min(int(_CALIBRATION_SECONDS / (count * pace)), _LARGEST, len(labeled))
    return run(size, config.max_epochs) if size >= _SMALLEST else pace


def _pace(record: TrainingRecord) -> float:
    """Return the seconds per image of a training that was done."""
    assert record.size is not None
    assert record.evaluated is not None
    return record.seconds / Trainings(1, record.size, record.evaluated).work


def time_pass(problem: Problem, config: Config, data: Prepared) -> float:
    """Return the seconds u_hat takes for one image forward and backward, on one core.

    Choice: seconds of this process, not of the clock: so short a look would only see who else is busy right now.
    """
    if checks.wants_features(config, data):
        stand_in = torch.zeros(1, _FEATURES).expand(len(problem.labels), -1)
        problem = dataclasses.replace(problem, features=stand_in)
    settings, streams = config.rambo.utility_model, Streams(0)
    network = create_utility_model(problem, settings, streams).network
    images = problem.labeled[:_PASS_IMAGES]
    inputs = problem.network_inputs(images)
    pairs = random_pairs(problem, images, _PASS_PAIRS, streams)
    membership = membership_matrix([subset for pair in pairs for subset in pair], images)

    def step() -> None:
        network(inputs, membership).utility.sum().backward()

    return min(_seconds(step) for _ in range(_PASS_REPEATS)) / len(images)


def _seconds(action: Callable[[], None]) -> float:
    """Return the CPU seconds that `action` takes."""
    started = time.process_time()
    action()
    return time.process_time() - started


def _jobs(config: Config, device: str) -> int:
    """Return how many trainings run at once, as the worker decides it."""
    return (config.compute.jobs or joblib.cpu_count()) if device == "cpu" else 1
