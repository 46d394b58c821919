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
from rambo.runs.results import RARE_LABELS, Result, Summary, by_strategy
from rambo.runs.workspace import Run, Workspace, environment, summary
from rambo.studies import grid
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


def described(name: str, settings: configs.Settings, data: Prepared) -> configs.Settings:
    """Return the settings of a study as its record holds them.

    Raises:
        ConfigError: they are not settings of a run.
    """
    fitted = checks.with_own_validation(configs.build(settings), data)
    return configs.describe(fitted) | {"study": name}


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
    whole = described(name, settings, data)
    base = {field: value for field, value in whole.items() if field != "study"}
    for cell, config in grid.plan_cells(name, base):
        try:
            checks.check(config, data)
            checks.check_judged(config, data)
            checks.wants_features(config, data)
        except RamboError as error:
            raise error.within(f"study {name}, {cell.label}") from None
    return workspace_of(workspace).create(whole, environment(data, device, base["strategies"]))


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

    Cells without results have no rows. A study that is done and never had a cell is of an older version, without it.

    Args:
        study: in any state.
        read: gives the summary of a cell's run.
    """
    name = study.config["study"]
    kind, dataset = STUDIES[name], study.config["dataset"]["name"]
    begun, cells, rows = runs(study), list[CellProgress](), list[StudyRow]()
    results: dict[str, list[Result]] = {}
    recorded = study.cells() if study.status == "done" else None
    for cell, config in planned(study):
        if recorded is not None and cell.label not in recorded:
            continue
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
        balanced_test=_accuracy([result.balanced_test_accuracy for result in own]),
        balanced_validation=_accuracy([result.balanced_validation_accuracy for result in own]),
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


@dataclasses.dataclass(frozen=True)
class _Question:
    """A difference that a study asks about: the pair, what better or worse is said of, the gaps and what they count."""

    title: str
    subject: str
    gaps: list[float]
    unit: str = report.ACCURACY


def verdicts(name: str, results: Mapping[str, Sequence[Result]]) -> list[Verdict]:
    """Return the paired differences that answer a study's question, each with a sentence.

    All differences of a study are one family: who asks twenty questions finds one answer by chance (Holm).

    Args:
        name: of the study.
        results: of each cell, by label.
    """
    questions = []
    if name == "ablation":
        questions += _ablation_differences(results)
    elif name == "ot-weight":
        zero = _of(results.get("lambda_OT = 0", ()), "rambo")
        questions += [
            _pair(f"{label} minus lambda_OT = 0", label, _of(own, "rambo"), zero)
            for label, own in results.items()
            if label not in ("controls", "lambda_OT = 0")
        ]
    elif name == "rounds":
        questions += _round_differences(results)
    elif name == "noisy-oracle":
        questions += _noise_differences(results)
    elif name == "imbalance":
        questions += _rare_differences(results)
    elif name == "dirty-pool":
        questions += _gate_differences(results)
    elif name == "plus":
        questions += _plus_differences(results)
    controls = [r for own in results.values() for r in own] if "controls" in results else []
    for label, own in results.items():
        ours = _of(own, "rambo")
        where = f" ({label})" if len(results) > 1 else ""
        for other in ("filter-only", "lowest", "random", lineup.ORACLE.name):
            theirs = _of(own, other) or _of(_distinct(controls), other)
            if ours and theirs:
                questions.append(
                    _pair(f"RAMBO minus {other}{where}", _subject(other), ours, theirs)
                )
    answers = [(one, report.difference(one.gaps, unit=one.unit)) for one in questions]
    whole = [(one, contrast) for one, contrast in answers if contrast is not None]
    adjusted = report.holm([contrast for _, contrast in whole])
    return [_sentence(one, contrast) for (one, _), contrast in zip(whole, adjusted, strict=True)]


def _plus_differences(results: Mapping[str, Sequence[Result]]) -> list[_Question]:
    """Return RAMBO+ against itself with a part left out, and against each rival."""
    ours = _of(results.get(grid.PLUS, ()), "rambo-plus")
    without = {
        label: _of(results.get(label, ()), "rambo-plus")
        for label in grid.PLUS_CELLS
        if label != grid.PLUS
    }
    rivals = by_strategy(results.get("controls", ()))
    return [
        _pair(f"RAMBO+ minus {other}", "RAMBO+", ours, theirs)
        for other, theirs in (without | rivals).items()
    ]


def _gate_differences(results: Mapping[str, Sequence[Result]]) -> list[_Question]:
    """Return what each rule adds to each strategy in each pool, and RAMBO+ against its rivals under that rule."""
    rules = {"gate": "the gate", grid.ONCE: grid.ONCE}
    questions = []
    for label, own in results.items():
        pool, _, rule = label.rpartition(", ")
        if rule not in rules:
            continue
        word, without = rules[rule], results.get(f"{pool}, no gate", ())
        for strategy in dict.fromkeys(result.strategy for result in own):
            title = f"{strategy} with {word} minus without ({pool})"
            questions.append(_pair(title, word, _of(own, strategy), _of(without, strategy)))
            if strategy != "rambo-plus":
                title = f"rambo-plus minus {strategy}, both with {word} ({pool})"
                questions.append(_pair(title, "RAMBO+", _of(own, "rambo-plus"), _of(own, strategy)))
    return questions


def _round_differences(results: Mapping[str, Sequence[Result]]) -> list[_Question]:
    """Return what each change to the paper's rounds does to what u_hat ranks, then to accuracy."""
    theirs = _of(results.get(grid.PAPER_ROUNDS, ()), "rambo")
    changed = [
        (f"{label} minus {grid.PAPER_ROUNDS}", label, _of(own, "rambo"), theirs)
        for label, own in results.items()
        if label not in ("controls", grid.PAPER_ROUNDS)
    ]
    return [_pair_of(*pair, _RANKED) for pair in changed] + [_pair(*pair) for pair in changed]


def _noise_differences(results: Mapping[str, Sequence[Result]]) -> list[_Question]:
    """Return what an oracle that errs costs each strategy."""
    clean, *noisy = results
    return [
        _pair(f"{strategy}, {label} minus {clean}", strategy, own, _of(results[clean], strategy))
        for label in noisy
        for strategy, own in by_strategy(results[label]).items()
    ]


def _rare_differences(results: Mapping[str, Sequence[Result]]) -> list[_Question]:
    """Return how many more labels of rare classes each strategy buys than random choice does."""
    questions = []
    for label, own in results.items():
        groups = by_strategy(own)
        luck = groups.pop("random", [])
        for strategy, ours in groups.items():
            title = f"{strategy} minus random ({label})"
            questions.append(_pair_of(title, strategy, ours, luck, _RARE))
    return questions


@dataclasses.dataclass(frozen=True)
class _Figure:
    """A figure of a result that a study asks about beside accuracy: what a difference counts, and where it stands."""

    unit: str
    read: Callable[[Result], float | None]


def _share_ranked(result: Result) -> float | None:
    """Return the percentage of held-out pairs in true order."""
    share = result.ranking.held_out if result.ranking else None
    return None if share is None else 100 * share


def _rare_labels(result: Result) -> float | None:
    """Return how many bought labels are of rare classes."""
    number = result.figures.get(RARE_LABELS)
    return float(number) if isinstance(number, int | float) else None


_RANKED = _Figure("points of held-out pairs in true order", _share_ranked)
_RARE = _Figure("labels of rare classes", _rare_labels)


def _pair_of(
    title: str, subject: str, ours: Sequence[Result], theirs: Sequence[Result], figure: _Figure
) -> _Question:
    """Return the question of one paired difference of another figure than accuracy."""
    other = {result.seed: figure.read(result) for result in theirs}
    pairs = [(figure.read(result), other.get(result.seed)) for result in ours]
    gaps = [mine - yours for mine, yours in pairs if mine is not None and yours is not None]
    return _Question(title, subject, gaps, figure.unit)


def _subject(other: str) -> str:
    """Return the subject of the verdict on RAMBO against `other`."""
    return "u_hat" if other in ("filter-only", "lowest") else "RAMBO"


def _pair(title: str, subject: str, ours: Sequence[Result], theirs: Sequence[Result]) -> _Question:
    """Return the question of one paired difference."""
    return _Question(title, subject, report.paired(ours, theirs))


def _sentence(question: _Question, contrast: Difference) -> Verdict:
    """Return a difference with its sentence."""
    endings = report.VERDICTS if question.subject == "u_hat" else _FINDINGS
    ending = endings[contrast.finding].format(a=question.subject)
    interval = (
        ""
        if contrast.low is None
        else f" (95 %: {contrast.low:+.1f} to {contrast.high:+.1f}{contrast.family_words})"
    )
    words = f"{question.title}: {contrast.words()}{interval}: {ending}"
    return Verdict(question.title, contrast, words)


def _ablation_differences(results: Mapping[str, Sequence[Result]]) -> list[_Question]:
    """Return the main effect of each part, and what of bilevel training is lambda alone."""
    questions = [_main_effect(part, results) for part in grid.PARTS]
    full, frozen = (_of(results.get(label, ()), "rambo") for label in (grid.FULL, grid.FROZEN))
    title = "lambda learned minus lambda frozen, all else equal"
    return [*questions, _pair(title, "learning lambda", full, frozen)]


def _main_effect(part: str, results: Mapping[str, Sequence[Result]]) -> _Question:
    """Return the mean of a part's four cells less that of the other four, over the trials that have all eight."""
    on: dict[int, list[float]] = {}
    off: dict[int, list[float]] = {}
    for label, own in results.items():
        if label not in ("controls", grid.FROZEN):
            side = on if part in label.split(" + ") else off
            for result in _of(own, "rambo"):
                if result.test_accuracy is not None:
                    side.setdefault(result.seed, []).append(result.test_accuracy)
    gaps = [
        100 * (statistics.fmean(on[seed]) - statistics.fmean(off[seed]))
        for seed in on
        if len(on[seed]) == len(off.get(seed, ())) == 4
    ]
    return _Question(f"{part} on minus off, four cells each", part, gaps)


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
    """The mean utility of random sets in one cell.

    Attributes:
        mean: over the trials, of each one's mean over its sets; in [0, 1].
        error: its standard error over the trials; None of one. Choice: not over the sets of all trials, which share
            S_0 and S_val within a trial and so are no independent measurements.
        trials: how many.
        sets: utility samples, over all trials.
        reported: the paper's figure (Table 2), where it has one.
    """

    mean: float
    error: float | None
    trials: int
    sets: int
    reported: Reported | None


def mean_utilities(study: Run) -> dict[str, MeanUtility]:
    """Return the mean utility of the offline utility samples of each cell."""
    dataset = study.config["dataset"]["name"]
    cells_of = {cell.label: (cell.place.get("S_val"), config) for cell, config in planned(study)}
    cells = {}
    for label, run in runs(study).items():
        # Those who learn do so from the same samples: one of them tells them all.
        teller = next(iter(lineup.learners(run.config["strategies"])), None)
        by_trial: dict[int | None, list[float]] = {}
        for entry in run.latest_events():
            event = entry.event
            if not isinstance(event, UtilitySamplesAdded) or event.phase != "offline":
                continue
            if entry.strategy == teller:
                by_trial.setdefault(entry.trial, []).extend(event.utilities)
        means = [statistics.fmean(utilities) for utilities in by_trial.values() if utilities]
        if means:
            size, config = cells_of[label]
            cells[label] = MeanUtility(
                statistics.fmean(means),
                report.standard_error(means) if len(means) > 1 else None,
                len(means),
                sum(map(len, by_trial.values())),
                grid.paper_utility(dataset, config, int(size)) if size is not None else None,
            )
    return cells
