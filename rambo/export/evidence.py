"""What a run knows of each chosen image, as one row for each, in the order of choice."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rambo.datasets import prepared
from rambo.datasets.prepared import TEST, Images, Prepared
from rambo.errors import ConfigError, DataError, StoreError
from rambo.events import BatchChosen
from rambo.runs import atlas as atlases
from rambo.runs import edits, exclusions, paths
from rambo.runs.edits import EditedBatch
from rambo.runs.results import Result
from rambo.runs.workspace import Run

COLUMNS = (
    "run_id",
    "strategy",
    "seed",
    "order",
    "step",
    "dataset_index",
    "pool_position",
    "file",
    "margin",
    "predicted_class",
    "predicted_label",
    "predicted_utility",
)
Row = dict[str, Any]

_EVIDENCE = ("order", "step", "dataset_index", "margin", "predicted_class", "predicted_utility")


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What is known of a chosen batch.

    Attributes:
        rows: one dict of `COLUMNS` for each chosen image, in the order of choice.
        notices: what could not be read, and what that leaves empty, one sentence each with the way out.
    """

    rows: list[Row]
    notices: tuple[str, ...]


def rows(
    run: Run,
    strategy: str | None = None,
    seed: int | None = None,
    *,
    truth: bool = False,
    original: bool = False,
) -> list[Row]:
    """Return the rows of `gather`, for those who have no place for its notices."""
    return gather(run, strategy, seed, truth=truth, original=original).rows


def gather(
    run: Run,
    strategy: str | None = None,
    seed: int | None = None,
    *,
    truth: bool = False,
    original: bool = False,
) -> Evidence:
    """Return one dict of `COLUMNS` for each chosen image, in the order of choice, and what could not be read.

    Where images were left out because they repeat others there is a column `repeats` too: how many repeat this one.

    `order` counts from 1, `step` and `pool_position` from 0. What neither the strategy nor the
    trial's atlas says is None. A batch that a person edited comes as the person left it, with a
    column `chosen_by`: the strategy, or `person`. The strategy's choice itself stands in the record: where its artifact
    is lost or damaged, or says something else, the record counts.

    Args:
        run: the run.
        strategy: the first of the run where not given.
        seed: that of the first trial where not given.
        truth: add a column `true_label`, the class name that the dataset holds.
        original: the strategy's own choice, whatever a person made of it.

    Raises:
        ConfigError: the run has no such strategy or seed, or nobody knows the true labels.
        StoreError: nothing is chosen yet, the run is damaged, or the dataset is gone and its
            labels are asked for.
    """
    config = run.config
    seeds = [config["seed"] + trial for trial in range(config["trials"])]
    strategy = _one_of("strategy", strategy, config["strategies"])
    seed = _one_of("seed", seed, seeds)
    trial = seeds.index(seed)
    notices: list[str] = []
    table = _chosen(run, trial, strategy, seed, notices)
    edit = None if original else edits.load(run, trial, strategy)
    own = {int(row[2]) for row in table}
    if edit is not None:
        table = _edited(table, edit)
    measures = _measures(run, trial, [int(row[2]) for row in table], notices)
    classes = class_names(run)
    head = {"run_id": run.id, "strategy": strategy, "seed": seed}
    repeats = _exclusions(run, trial, notices)
    indices = np.array([int(row[2]) for row in table], np.int64)
    chosen: list[Row] = [
        head | _evidence(order, row, measure, classes)
        for order, (row, measure) in enumerate(zip(table, measures, strict=True), 1)
    ]
    if repeats is not None:
        counts = zip(chosen, repeats.spared(indices), strict=True)
        chosen = [row | {"repeats": times} for row, times in counts]
    if edit is not None:
        chosen = [
            row | {"chosen_by": strategy if row["dataset_index"] in own else "person"}
            for row in chosen
        ]
    if truth:
        data = open_dataset(run)
        if data.partly_labeled:
            raise ConfigError(
                "nobody knows the labels of these images yet",
                field="truth",
                value=True,
                hint="export without the column of true labels",
            )

        def truth_of(index: int) -> str:
            label = int(data.labels[index])
            return classes[label] if label >= 0 else data.class_of(index)  # names are cleaned

        chosen = [row | {"true_label": truth_of(row["dataset_index"])} for row in chosen]
    return Evidence(chosen, tuple(notices))


def _exclusions(run: Run, trial: int, notices: list[str]) -> exclusions.Exclusions | None:
    """Return what was left out before anybody chose, or None where nothing was or it cannot be read."""
    try:
        return exclusions.load(run, trial)
    except StoreError:
        notices.append(
            f"What was left out before the choice cannot be read, so there is no column repeats. {_again(run)}"
        )
        return None


def _edited(table: Sequence[Sequence[Any]], edit: EditedBatch) -> list[list[Any]]:
    """Return the rows of a selection as a person left the batch; of a new image only its step is known."""
    by_index = {int(row[2]): list(row) for row in table}
    steps = [int(row[1]) for row in table]
    batch = edit.batch(list(by_index), steps)
    return [by_index.get(index, [0, step, index, None, None, None]) for index, step in batch]


def class_names(run: Run) -> list[str]:
    """Return the class names of the run's dataset; label `i` is the i-th."""
    return list(run.environment.classes)


def open_dataset(run: Run) -> Prepared:
    """Return the very dataset the run was made for.

    Raises:
        StoreError: it is missing or damaged.
    """
    fingerprint = run.environment.dataset.fingerprint
    with _prepared_of(run):
        if not fingerprint.isalnum():  # it becomes part of a path
            raise DataError("the run does not say which dataset it is of")
        return prepared.open_prepared(run.folder.parent / "datasets" / fingerprint)


def open_images(run: Run, indices: Sequence[int]) -> Images:
    """Return images of the run's dataset, `a x C x H x W`.

    Raises:
        StoreError: they are missing or damaged.
    """
    data = open_dataset(run)
    with _prepared_of(run):
        return data.pixels(indices)


@contextlib.contextmanager
def _prepared_of(run: Run) -> Iterator[None]:
    """Turn what is wrong with the dataset into an error without its folder: exports name none."""
    try:
        yield
    except DataError as error:
        problem = "its prepared images are missing or damaged"
        way_out = "`python -m rambo prepare` with the name of its dataset makes them again"
        raise StoreError(problem, field="run", value=run.id, hint=way_out) from error


def _chosen(run: Run, trial: int, strategy: str, seed: int, notices: list[str]) -> list[list[Any]]:
    """Return the values of `_EVIDENCE` for each chosen image, in the order of choice."""
    results = [
        r for r in run.results() if (r.trial, r.strategy) == (trial, strategy) and r.selected
    ]
    if not results and not run.has_artifact(paths.of_choice(trial, strategy, paths.SELECTION)):
        raise StoreError(
            f"strategy {strategy}, seed {seed}, has chosen nothing yet",
            field="run",
            value=run.id,
            hint=f"wait for it or `python -m rambo resume {run.id}`",
        )
    try:
        return _selection(run, trial, strategy, results[0] if results else None)
    except StoreError as error:
        if not results:
            raise
        notices.append(
            f"The evidence of this choice cannot be read ({error.problem.partition(': ')[2]}), so images and order "
            f"are the record's, and what else the strategy noted is empty. {_again(run)}"
        )
    utilities = _utilities(run, trial, strategy)
    pairs = zip(results[0].selected, results[0].steps, strict=True)
    return [
        [order, step, index, None, None, utilities.get(step)]
        for order, (index, step) in enumerate(pairs, 1)
    ]


def _selection(run: Run, trial: int, strategy: str, result: Result | None) -> list[list[Any]]:
    """Return the values of `_EVIDENCE` as the artifact holds them.

    Raises:
        StoreError: it cannot be read, or is not the choice that the record holds.
    """
    name = paths.of_choice(trial, strategy, paths.SELECTION)
    frame = run.load_table(name)
    problem = ""
    if missing := [column for column in _EVIDENCE if column not in frame]:
        problem = f"it has no column {missing[0]}"
    else:
        frame = frame[list(_EVIDENCE)].sort_values("order", kind="stable").astype(object)
        if result is not None:
            same = frame["dataset_index"].tolist() == result.selected
            if not same or frame["step"].tolist() != result.steps:
                problem = "it is not the choice that the record holds"
    if problem:
        raise StoreError(
            f"artifact {name}: {problem}",
            field="run",
            value=run.id,
            hint="resume the run to make it again",
        )
    rows: list[list[Any]] = frame.where(frame.notna(), None).to_numpy().tolist()
    return rows


def _utilities(run: Run, trial: int, strategy: str) -> dict[int, float]:
    """Return the predicted utility of each greedy step, as its event told it."""
    try:
        entries = run.latest_events()
    except StoreError:
        return {}
    return {
        entry.event.step: entry.event.utility
        for entry in entries
        if entry.place == (trial, strategy) and isinstance(entry.event, BatchChosen)
    }


def _measures(run: Run, trial: int, chosen: Sequence[int], notices: list[str]) -> list[Row]:
    """Return `pool_position`, `margin` and `predicted_class` of chosen images by the atlas."""
    try:
        atlas = atlases.load_atlas(run, trial)
    except StoreError as error:
        why = error.problem.partition(": ")[2]
        notices.append(
            f"The map of the images in this trial cannot be read ({why}), so pool_position is empty, and so are "
            f"margin and guess where the strategy did not note them. {_again(run)}"
        )
        return [{} for _ in chosen]
    places = {index: place for place, index in enumerate(atlas.indices.tolist())}
    margins, guesses = atlases.margins(atlas.probabilities), atlas.guesses
    positions = _positions(run, atlas, notices)
    measures = []
    for index in chosen:
        measure = {"pool_position": positions.get(index)}
        if (place := places.get(index)) is not None:
            measure |= {"margin": margins[place].item(), "predicted_class": guesses[place].item()}
        measures.append(measure)
    return measures


def _again(run: Run) -> str:
    """Return the way out."""
    return f"`python -m rambo resume {run.id}` makes it again."


def _positions(run: Run, atlas: atlases.Atlas, notices: list[str]) -> dict[int, int]:
    """Return the rank of each image in U_0, sorted; nothing where the atlas may lack one.

    The atlas leaves out images on which f is not finite, and then all ranks behind them are off.
    """
    try:
        expected = np.count_nonzero(open_dataset(run).roles != TEST)
    except StoreError as error:
        notices.append(
            f"The prepared dataset cannot be read, so pool_position is empty: {error.words({'run': None})}."
        )
        return {}
    if len(atlas.indices) != expected:
        notices.append(
            "The map of the images leaves some out, so what stands where in the pool is not known, and "
            "pool_position is empty."
        )
        return {}
    unlabeled = np.sort(atlas.members(atlases.UNLABELED_POOL)).tolist()
    return {index: position for position, index in enumerate(unlabeled)}


def _evidence(order: int, row: Sequence[Any], measure: Row, classes: Sequence[str]) -> Row:
    """Return what is known of one chosen image: by its strategy, else by the atlas, else None."""
    _, step, index, margin, own_guess, utility = row
    guess: int | None = measure.get("predicted_class") if own_guess is None else int(own_guess)
    label = classes[guess] if guess is not None and 0 <= guess < len(classes) else None
    return {
        "order": order,
        "step": int(step),
        "dataset_index": int(index),
        "pool_position": measure.get("pool_position"),
        "file": f"{int(index):06d}.png",
        "margin": measure.get("margin") if margin is None else margin,
        "predicted_class": guess,
        "predicted_label": label,
        "predicted_utility": utility,
    }


def _one_of(what: str, value: Any, choices: Sequence[Any]) -> Any:
    """Return `value`, or the first of `choices` where nothing is given."""
    if value is None:
        return choices[0]
    if value not in choices:
        there = ", ".join(map(str, choices))
        raise ConfigError(
            "not in this run", field=f"--{what}", value=value, hint=f"choose one of: {there}"
        )
    return value
