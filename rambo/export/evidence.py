"""What a run knows of each chosen image, as one row for each, in the order of choice."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rambo.datasets import prepared
from rambo.datasets.prepared import TEST, Prepared
from rambo.errors import ConfigError, DataError, StoreError
from rambo.runs import atlas as atlases
from rambo.runs import edits, left_out, paths
from rambo.runs.edits import EditedBatch
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


def rows(
    run: Run,
    strategy: str | None = None,
    seed: int | None = None,
    *,
    truth: bool = False,
    original: bool = False,
) -> list[Row]:
    """Return one dict of `COLUMNS` for each chosen image, in the order of choice.

    Where images were left out because they repeat others there is a column `repeats` too: how many repeat this one.

    `order` counts from 1, `step` and `pool_position` from 0. What neither the strategy nor the
    trial's atlas says is None. A batch that a person edited comes as the person left it, with a
    column `chosen_by`: the strategy, or `person`.

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
    table = _selection(run, trial, strategy, seed)
    edit = None if original else edits.load(run, trial, strategy)
    own = {int(row[2]) for row in table}
    if edit is not None:
        table = _edited(table, edit)
    seen = _seen(run, trial, [int(row[2]) for row in table])
    classes = class_names(run)
    head = {"run_id": run.id, "strategy": strategy, "seed": seed}
    left = left_out.load(run, trial)
    indices = np.array([int(row[2]) for row in table], np.int64)
    chosen: list[Row] = [
        head | _evidence(order, row, known, classes)
        for order, (row, known) in enumerate(zip(table, seen, strict=True), 1)
    ]
    if left is not None:
        counts = zip(chosen, left.spared(indices), strict=True)
        chosen = [row | {"repeats": times} for row, times in counts]
    if edit is not None:
        chosen = [
            row | {"chosen_by": strategy if row["dataset_index"] in own else "person"}
            for row in chosen
        ]
    if not truth:
        return chosen
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

    return [row | {"true_label": truth_of(row["dataset_index"])} for row in chosen]


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
    try:
        if not fingerprint.isalnum():  # it becomes part of a path
            raise DataError("the run does not say which dataset it is of")
        return prepared.open_prepared(run.folder.parent / "datasets" / fingerprint)
    except DataError as error:  # its text names a folder, and exports name none
        told = "its prepared images are missing or damaged"
        way_out = "`python -m rambo prepare` with the name of its dataset makes them again"
        raise StoreError(told, field="run", value=run.id, hint=way_out) from error


def _selection(run: Run, trial: int, strategy: str, seed: int) -> list[list[Any]]:
    """Return the values of `_EVIDENCE` for each chosen image, in the order of choice."""
    name = paths.of_choice(trial, strategy, paths.SELECTION)
    if not run.has_artifact(name):
        told = f"strategy {strategy}, seed {seed}, has chosen nothing yet"
        raise StoreError(
            told,
            field="run",
            value=run.id,
            hint=f"wait for it or `python -m rambo resume {run.id}`",
        )
    frame = run.load_table(name)
    if missing := [column for column in _EVIDENCE if column not in frame]:
        raise StoreError(
            f"artifact {name}: it has no column {missing[0]}",
            field="run",
            value=run.id,
            hint="resume the run to make it again",
        )
    frame = frame[list(_EVIDENCE)].sort_values("order", kind="stable").astype(object)
    return frame.where(frame.notna(), None).to_numpy().tolist()


def _seen(run: Run, trial: int, chosen: Sequence[int]) -> list[Row]:
    """Return `pool_position`, `margin` and `predicted_class` of chosen images by the atlas."""
    if not run.has_artifact(paths.of_trial(trial, paths.ATLAS)):
        return [{} for _ in chosen]
    atlas = atlases.load_atlas(run, trial)
    places = {index: place for place, index in enumerate(atlas.indices.tolist())}
    margins, guesses = atlases.margins(atlas.probabilities), atlas.guesses
    positions = _positions(run, atlas)
    seen = []
    for index in chosen:
        known = {"pool_position": positions.get(index)}
        if (place := places.get(index)) is not None:
            known |= {"margin": margins[place].item(), "predicted_class": guesses[place].item()}
        seen.append(known)
    return seen


def _positions(run: Run, atlas: atlases.Atlas) -> dict[int, int]:
    """Return the rank of each image in U_0, sorted; nothing where the atlas may lack one.

    The atlas leaves out images on which f is not finite, and then all ranks behind them are off.
    """
    try:
        expected = np.count_nonzero(open_dataset(run).roles != TEST)
    except StoreError:
        return {}
    if len(atlas.indices) != expected:
        return {}
    unlabeled = np.sort(atlas.members(atlases.UNLABELED_POOL)).tolist()
    return {index: position for position, index in enumerate(unlabeled)}


def _evidence(order: int, row: Sequence[Any], seen: Row, classes: Sequence[str]) -> Row:
    """Return what is known of one chosen image: by its strategy, else by the atlas, else None."""
    _, step, index, margin, own_guess, utility = row
    guess: int | None = seen.get("predicted_class") if own_guess is None else int(own_guess)
    label = classes[guess] if guess is not None and 0 <= guess < len(classes) else None
    return {
        "order": order,
        "step": int(step),
        "dataset_index": int(index),
        "pool_position": seen.get("pool_position"),
        "file": f"{int(index):06d}.png",
        "margin": seen.get("margin") if margin is None else margin,
        "predicted_class": guess,
        "predicted_label": label,
        "predicted_utility": utility,
    }


def _one_of(what: str, given: Any, known: Sequence[Any]) -> Any:
    """Return `given`, or the first of `known` where nothing is given."""
    if given is None:
        return known[0]
    if given not in known:
        there = ", ".join(map(str, known))
        raise ConfigError(
            "not in this run", field=f"--{what}", value=given, hint=f"choose one of: {there}"
        )
    return given
