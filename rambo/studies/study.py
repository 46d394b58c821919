"""A study in the workspace: made, found, and told as a table with differences and verdicts. Imports no torch.

A study lies in `studies/` of the workspace as a run does, so it is started, stopped and resumed like one; its results
are the names of its cells' runs, which are ordinary runs.
"""

import contextlib
import dataclasses
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from rambo import checks, lineup
from rambo import config as configs
from rambo.config import Config
from rambo.datasets.prepared import Prepared
from rambo.errors import RamboError, RunNotFoundError
from rambo.events import UtilitySamplesAdded
from rambo.runs import report
from rambo.runs.report import Difference
from rambo.runs.results import Result, Summary, by_strategy
from rambo.runs.workspace import Run, Workspace, environment, summary
from rambo.studies import grid, paper
from rambo.studies.grid import STUDIES, Cell
from rambo.studies.paper import Reported
from rambo.studies.table import Accuracy, CellProgress, StudyRow, StudyTable, Verdict

FOLDER = "studies"


def workspace_of(workspace: Workspace) -> Workspace:
    """Return where the studies of a workspace lie."""
    return Workspace(workspace.root / FOLDER)


def is_study(run: Run) -> bool:
    """Return whether this is a study and not an ordinary run."""
    return "study" in run.config


def create(
    name: str, settings: configs.Settings, data: Prepared, workspace: Workspace, device: str
) -> Run:
    """Return a new queued study.

    Args:
        name: of the study.
        settings: nested, as of a run.
        data: the prepared dataset they name.
        workspace: of all runs.
        device: what to call it on a page.

    Raises:
        RamboError: an unknown study, or settings that do not fit in a cell.
    """
    for cell, config in grid.plan_cells(name, settings):
        try:
            checks.check(config, data)
            checks.check_judged(config, data)
            checks.wants_features(config, data)
        except RamboError as error:
            raise error.within(f"study {name}, {cell.label}") from None
    base = configs.describe(configs.build(settings))
    return workspace_of(workspace).create(
        base | {"study": name}, environment(data, device, base["strategies"])
    )


def planned(study: Run) -> list[tuple[Cell, Config]]:
    """Return the cells of a study with their configs, in order."""
    settings = study.config
    return grid.plan_cells(settings.pop("study"), settings, configs.restore)


def runs(study: Run) -> dict[str, Run]:
    """Return the runs of the cells that were begun, by label; those deleted since are left out."""
    workspace = Workspace(study.folder.parent.parent)
    by_label = {}
    for label, run_id in study.cells().items():
        with contextlib.suppress(RunNotFoundError):
            by_label[label] = workspace.find(run_id)
    return by_label


def find(name: str, workspace: Workspace) -> Run:
    """Return the study, or else the run, of that name.

    Raises:
        RunNotFoundError: there is neither.
    """
    try:
        return workspace_of(workspace).find(name)
    except RunNotFoundError:
        return workspace.find(name)


def table(study: Run, read: Callable[[Run], Summary] = summary) -> StudyTable:
    """Return a study as a table: its cells, a row for each cell and strategy, and verdicts in words.

    Cells without results have no rows.

    Args:
        study: in any state.
        read: gives the summary of a cell's run.
    """
    name = study.config["study"]
    kind, dataset = STUDIES[name], study.config["dataset"]["name"]
    begun, cells, rows = runs(study), list[CellProgress](), list[StudyRow]()
    results: dict[str, list[Result]] = {}
    for cell, config in planned(study):
        run = begun.get(cell.label)
        own = read(run) if run else None
        results[cell.label] = own.results if own else []
        cells.append(
            CellProgress(
                label=cell.label,
                place=dict(cell.place),
                run=run.id if run else None,
                status=own.status if own else "waiting",
                done=sum(result.test_accuracy is not None for result in results[cell.label]),
                total=config.trials * (len(config.strategies) + bool(config.oracle_draws)),
            )
        )
        rows += [
            _row(cell, strategy, chosen, kind.reported(dataset, config, strategy))
            for strategy, chosen in by_strategy(results[cell.label]).items()
        ]
    return StudyTable(
        study=study.id,
        name=name,
        title=kind.title,
        source=kind.source,
        question=kind.question,
        axis=kind.axis,
        dataset=dataset,
        config=study.config,
        status=study.status,
        cells=cells,
        rows=rows,
        verdicts=verdicts(name, results),
    )


def _row(cell: Cell, strategy: str, own: Sequence[Result], reported: Reported | None) -> StudyRow:
    """Return one line of the table."""
    stages = {name for result in own for name in result.seconds}
    seconds = {
        name: statistics.fmean(result.seconds.get(name, 0.0) for result in own)
        for name in sorted(stages)
    }
    counts = [result.figures.get("labels wasted") for result in own]
    wasted = [count for count in counts if isinstance(count, int | float)]
    return StudyRow(
        cell=cell.label,
        place=cell.place,
        strategy=strategy,
        trials=sum(result.test_accuracy is not None for result in own),
        test=_accuracy([result.test_accuracy for result in own]),
        validation=_accuracy([result.validation_accuracy for result in own]),
        trainings=sum(result.trainings for result in own),
        cached_trainings=sum(result.cached_trainings for result in own),
        wasted=statistics.fmean(wasted) if wasted else None,
        seconds=seconds,
        reported=reported,
    )


def _accuracy(values: Sequence[float | None]) -> Accuracy:
    """Return mean and standard error of the accuracies there are."""
    measured = [value for value in values if value is not None]
    return Accuracy(
        statistics.fmean(measured) if measured else None,
        report.standard_error(measured) if len(measured) > 1 else None,
    )


_FINDINGS = {
    "more": "{a} is better here",
    "less": "{a} is worse here",
    "nothing": "no evidence of a difference",
    "too few": "too few trials to say",
}


def verdicts(name: str, results: Mapping[str, Sequence[Result]]) -> list[Verdict]:
    """Return the paired differences that answer a study's question, each with a sentence.

    Args:
        name: of the study.
        results: of each cell, by label.
    """
    rows = []
    if name == "ablation":
        rows += [_main_effect(part, results) for part in grid.PARTS]
    elif name == "ot-weight":
        zero = _of(results.get("lambda_OT = 0", ()), "rambo")
        rows += [
            _verdict(f"{label} minus lambda_OT = 0", label, _of(own, "rambo"), zero)
            for label, own in results.items()
            if label not in ("controls", "lambda_OT = 0")
        ]
    elif name == "dirty-pool":
        rows += _gate_verdicts(results)
    controls = [r for own in results.values() for r in own] if "controls" in results else []
    for label, own in results.items():
        ours = _of(own, "rambo")
        where = f" ({label})" if len(results) > 1 else ""
        for other in ("filter-only", "random", lineup.ORACLE.name):
            theirs = _of(own, other) or _of(_distinct(controls), other)
            if ours and theirs:
                rows.append(_verdict(f"RAMBO minus {other}{where}", _phrase(other), ours, theirs))
    return [verdict for verdict in rows if verdict is not None]


def _gate_verdicts(results: Mapping[str, Sequence[Result]]) -> list[Verdict | None]:
    """Return what the gate adds to each strategy at each share of foreign images, and RAMBO+ against its rivals."""
    rows = []
    for label, own in results.items():
        share, _, gate = label.rpartition(", ")
        if gate != "gate":
            continue
        without = results.get(f"{share}, no gate", ())
        for strategy in dict.fromkeys(result.strategy for result in own):
            title = f"{strategy} with the gate minus without ({share})"
            rows.append(_verdict(title, "the gate", _of(own, strategy), _of(without, strategy)))
            if strategy != "rambo-plus":
                title = f"rambo-plus minus {strategy}, both with the gate ({share})"
                rows.append(_verdict(title, "RAMBO+", _of(own, "rambo-plus"), _of(own, strategy)))
    return rows


def _phrase(other: str) -> str:
    """Return the subject of the verdict on RAMBO against `other`."""
    return "u_hat" if other == "filter-only" else "RAMBO"


def _verdict(
    title: str,
    subject: str,
    ours: Sequence[Result],
    theirs: Sequence[Result],
) -> Verdict | None:
    """Return one paired difference with its sentence, or None where no pair was evaluated."""
    return _worded(title, subject, report.difference(report.paired(ours, theirs)))


def _worded(title: str, subject: str, contrast: Difference | None) -> Verdict | None:
    """Return a difference with its sentence."""
    if contrast is None:
        return None
    endings = report.VERDICTS if subject == "u_hat" else _FINDINGS
    ending = endings[contrast.finding].format(a=subject)
    interval = (
        "" if contrast.low is None else f" (95 %: {contrast.low:+.1f} to {contrast.high:+.1f})"
    )
    return Verdict(title, contrast, f"{title}: {contrast.words()}{interval}: {ending}")


def _main_effect(part: str, results: Mapping[str, Sequence[Result]]) -> Verdict | None:
    """Return the mean of a part's four cells less that of the other four, over the trials that have all eight."""
    on: dict[int, list[float]] = {}
    off: dict[int, list[float]] = {}
    for label, own in results.items():
        if label != "controls":
            side = on if part in label.split(" + ") else off
            for result in _of(own, "rambo"):
                if result.test_accuracy is not None:
                    side.setdefault(result.seed, []).append(result.test_accuracy)
    gaps = [
        100 * (statistics.fmean(on[seed]) - statistics.fmean(off[seed]))
        for seed in on
        if len(on[seed]) == len(off.get(seed, ())) == 4
    ]
    return _worded(f"{part} on minus off, four cells each", part, report.difference(gaps))


def _of(results: Iterable[Result], strategy: str) -> list[Result]:
    """Return the results of one strategy."""
    return [result for result in results if result.strategy == strategy]


def _distinct(results: Iterable[Result]) -> list[Result]:
    """Return the first result of each strategy and seed."""
    first: dict[tuple[str, int], Result] = {}
    for result in results:
        first.setdefault((result.strategy, result.seed), result)
    return list(first.values())


@dataclasses.dataclass(frozen=True)
class MeanUtility:
    """The mean utility of a cell's offline utility samples.

    Attributes:
        mean: a fraction.
        error: its standard error.
        sets: how many there are.
        reported: the paper's figure (Table 2), where it has one.
    """

    mean: float
    error: float
    sets: int
    reported: Reported | None


def mean_utilities(study: Run) -> dict[str, MeanUtility]:
    """Return the mean utility of the offline utility samples of each cell, by label."""
    dataset = study.config["dataset"]["name"]
    places = {cell.label: cell.place.get("S_val") for cell, _ in planned(study)}
    means = {}
    for label, run in runs(study).items():
        # Those who learn do so from the same samples: one of them tells them all.
        teller = next(iter(lineup.learners(run.config["strategies"])), None)
        values = [
            value
            for entry in run.latest_events()
            if isinstance(entry.event, UtilitySamplesAdded) and entry.event.phase == "offline"
            if entry.strategy == teller
            for value in entry.event.utilities
        ]
        if len(values) > 1:
            size = places[label]
            reported = paper.mean_utility(dataset, int(size)) if size is not None else None
            error = report.standard_error(values)
            means[label] = MeanUtility(statistics.fmean(values), error, len(values), reported)
    return means
