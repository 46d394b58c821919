"""What a run knows of each chosen image, as one row for each, in the order of choice."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rambo.collection import PREFIX
from rambo.datasets import prepared
from rambo.datasets.prepared import TEST, Images, Prepared
from rambo.errors import ConfigError, DataError, StoreError
from rambo.events import BatchChosen
from rambo.runs import atlas as atlases
from rambo.runs import edits, exclusions, notes, paths
from rambo.runs.atlas import Atlas
from rambo.runs.edits import EditedBatch
from rambo.runs.notes import ImageNote
from rambo.runs.results import Result
from rambo.runs.workspace import Run
from rambo.storage import files
from rambo.storage.files import RefusedError


@dataclasses.dataclass(frozen=True)
class ChosenImage:
    """What is known of one chosen image; None where nobody knows it.

    Attributes:
        run_id: of the run that chose.
        strategy: which of its strategies.
        seed: of the trial.
        order: of the choice, from 1.
        step: the greedy step, from 0.
        dataset_index: the image.
        pool_position: its rank in U_0, from 0.
        file: what the image is called in an archive.
        margin: of the two largest probabilities of f.
        predicted_class: by f.
        predicted_label: its name.
        predicted_utility: of the set that the step made.
        original_file: of a collection, the file that the image came from, below what was imported; else None.
        image_hash: of a collection, SHA-256 of that file, or of the pixels that came as an array; else None.
        repeats: how many images that were left out repeat this one; None where none were left out.
        chosen_by: the strategy, or `person`; None where nobody edited the batch.
        tags: those that a person gave the image; None where nobody said anything of any image of the batch.
        note: what a person wrote about it; None likewise.
        true_label: the class name that the dataset holds; None unless it was asked for.
    """

    run_id: str
    strategy: str
    seed: int
    order: int
    step: int
    dataset_index: int
    pool_position: int | None
    file: str
    margin: float | None
    predicted_class: int | None
    predicted_label: str | None
    predicted_utility: float | None
    original_file: str | None = None
    image_hash: str | None = None
    repeats: int | None = None
    chosen_by: str | None = None
    tags: tuple[str, ...] | None = None
    note: str | None = None
    true_label: str | None = None

    # JSON's edge, and the cells of a CSV.
    def record(self) -> dict[str, Any]:
        """Return the columns; the last seven only where there is something in them."""
        cells = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: cell for name, cell in cells.items() if name in COLUMNS or cell is not None}


COLUMNS = tuple(
    field.name for field in dataclasses.fields(ChosenImage) if field.default is dataclasses.MISSING
)
_EVIDENCE = ("order", "step", "dataset_index", "margin", "predicted_class", "predicted_utility")


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What is known of a chosen batch.

    Attributes:
        rows: one for each chosen image, in the order of choice.
        notices: what could not be read, and what that leaves empty, one sentence each with the way out.
    """

    rows: list[ChosenImage]
    notices: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Choice:
    """What the strategy noted of one image."""

    index: int
    step: int
    margin: float | None = None
    guess: int | None = None
    utility: float | None = None


@dataclasses.dataclass(frozen=True)
class _Measure:
    """What the atlas says of one image."""

    position: int | None = None
    margin: float | None = None
    guess: int | None = None


def rows(
    run: Run,
    strategy: str | None = None,
    seed: int | None = None,
    *,
    truth: bool = False,
    original: bool = False,
) -> list[ChosenImage]:
    """Return the rows of `gather`, for those who have no place for its notices."""
    return gather(run, strategy, seed, truth=truth, original=original).rows


def gather(
    run: Run,
    strategy: str | None = None,
    seed: int | None = None,
    *,
    truth: bool = False,
    original: bool = False,
    atlas: Atlas | None = None,
) -> Evidence:
    """Return what is known of each chosen image, in the order of choice, and what could not be read.

    What neither the strategy nor the trial's atlas says is None. A batch that a person edited comes as the person left
    it. The strategy's choice itself stands in the record: where its artifact is lost or damaged, or says something
    else, the record counts.

    Args:
        run: the run.
        strategy: the first of the run where not given.
        seed: that of the first trial where not given.
        truth: fill `true_label`.
        original: the strategy's own choice, whatever a person made of it.
        atlas: of the trial, where the caller has read it already.

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
    choices = _chosen(run, trial, strategy, seed, notices)
    edit = None if original else edits.load(run, trial, strategy)
    own = {choice.index for choice in choices}
    if edit is not None:
        choices = _edited(choices, edit)
    indices = [choice.index for choice in choices]
    measures = _measures(run, trial, indices, atlas, notices)
    classes = class_names(run)
    repeats = _exclusions(run, trial, notices)
    chosen = [
        _image((run.id, strategy, seed), order, choice, measure, classes)
        for order, (choice, measure) in enumerate(zip(choices, measures, strict=True), 1)
    ]
    chosen = _with_names(run, chosen, notices)
    if repeats is not None:
        counts = zip(chosen, repeats.spared(np.array(indices, np.int64)), strict=True)
        chosen = [dataclasses.replace(row, repeats=times) for row, times in counts]
    if edit is not None:
        chosen = [
            dataclasses.replace(row, chosen_by=strategy if row.dataset_index in own else "person")
            for row in chosen
        ]
    chosen = _with_notes(run, chosen, notices)
    if truth:
        names = _true_labels(run, classes, indices)
        pairs = zip(chosen, names, strict=True)
        chosen = [dataclasses.replace(row, true_label=name) for row, name in pairs]
    return Evidence(chosen, tuple(notices))


def _with_names(run: Run, chosen: list[ChosenImage], notices: list[str]) -> list[ChosenImage]:
    """Return rows with what the images of a collection are called; others as they are."""
    if not str(run.config["dataset"]["name"]).startswith(PREFIX):
        return chosen
    try:
        names = open_dataset(run).names()
    except StoreError:
        notices.append(
            "The prepared dataset cannot be read, so there are no columns original_file and image_hash."
        )
        return chosen
    if names is None:
        return chosen
    return [
        dataclasses.replace(
            row,
            original_file=names.files[row.dataset_index],
            image_hash=names.ids[row.dataset_index],
        )
        for row in chosen
    ]


def _with_notes(run: Run, chosen: list[ChosenImage], notices: list[str]) -> list[ChosenImage]:
    """Return rows with tags and notes where somebody gave any of these images one; others as they are."""
    try:
        images = notes.load(run)
    except StoreError as error:
        notices.append(
            f"Tags and notes cannot be read, so there are no columns of them: {error.words({'run': None})}."
        )
        return chosen
    if not any(row.dataset_index in images for row in chosen):
        return chosen
    return [
        dataclasses.replace(row, tags=entry.tags, note=entry.note)
        for row in chosen
        for entry in [images.get(row.dataset_index, ImageNote())]
    ]


def _true_labels(run: Run, classes: Sequence[str], indices: Sequence[int]) -> list[str]:
    """Return the class names that the dataset holds.

    Raises:
        ConfigError: nobody knows them.
        StoreError: the dataset is gone.
    """
    data = open_dataset(run)
    if data.partly_labeled:
        raise ConfigError(
            "nobody knows the labels of these images yet",
            field="truth",
            value=True,
            hint="export without the column of true labels",
        )
    labels = [int(data.labels[index]) for index in indices]
    return [
        classes[label] if label >= 0 else data.class_of(index)  # names are cleaned
        for index, label in zip(indices, labels, strict=True)
    ]


def _exclusions(run: Run, trial: int, notices: list[str]) -> exclusions.Exclusions | None:
    """Return what was left out before anybody chose, or None where nothing was or it cannot be read."""
    try:
        return exclusions.load(run, trial)
    except StoreError:
        notices.append(
            f"What was left out before the choice cannot be read, so there is no column repeats. {_again(run)}"
        )
        return None


def _edited(choices: Sequence[_Choice], edit: EditedBatch) -> list[_Choice]:
    """Return a choice as a person left the batch; of a new image only its step is known."""
    by_index = {choice.index: choice for choice in choices}
    batch = edit.batch(list(by_index), [choice.step for choice in choices])
    return [by_index.get(index, _Choice(index, step)) for index, step in batch]


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
            raise DataError(
                "does not say which dataset it is of",
                field="run",
                value=run.id,
                hint="choose another run",
            )
        return prepared.open_prepared(prepared.folder_of(run.folder.parent, fingerprint))


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


def _chosen(run: Run, trial: int, strategy: str, seed: int, notices: list[str]) -> list[_Choice]:
    """Return the chosen images in the order of choice."""
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
            f"The evidence of this choice cannot be read ({_why(error)}), so images and order are the record's, "
            f"and what else the strategy noted is empty. {_again(run)}"
        )
    utilities = _utilities(run, trial, strategy)
    pairs = zip(results[0].selected, results[0].steps, strict=True)
    return [_Choice(index, step, utility=utilities.get(step)) for index, step in pairs]


def _selection(run: Run, trial: int, strategy: str, result: Result | None) -> list[_Choice]:
    """Return the chosen images as the artifact holds them.

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
        with run.naming(f"artifact {name}"):
            raise RefusedError(problem, "resume the run to make it again")
    cells = frame.where(frame.notna(), None).to_numpy().tolist()
    return [
        _Choice(int(index), int(step), margin, None if guess is None else int(guess), utility)
        for _, step, index, margin, guess, utility in cells
    ]


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


def _measures(
    run: Run, trial: int, chosen: Sequence[int], atlas: Atlas | None, notices: list[str]
) -> list[_Measure]:
    """Return what the atlas says of chosen images; it is read where it is None."""
    try:
        atlas = atlas or atlases.load_atlas(run, trial)
    except StoreError as error:
        notices.append(
            f"The map of the images in this trial cannot be read ({_why(error)}), so pool_position is empty, and so "
            f"are margin and guess where the strategy did not note them. {_again(run)}"
        )
        return [_Measure() for _ in chosen]
    places = {index: place for place, index in enumerate(atlas.indices.tolist())}
    margins, guesses = atlases.margins(atlas.probabilities), atlas.guesses
    positions = _positions(run, atlas, notices)
    measures = []
    for index in chosen:
        measure = _Measure(positions.get(index))
        if (place := places.get(index)) is not None:
            measure = _Measure(measure.position, margins[place].item(), guesses[place].item())
        measures.append(measure)
    return measures


def _why(error: StoreError) -> str:
    """Return what is wrong with an artifact, without its name."""
    return files.reason(error.__cause__ or error, "resume the run").problem


def _again(run: Run) -> str:
    """Return the way out."""
    return f"`python -m rambo resume {run.id}` makes it again."


def _positions(run: Run, atlas: Atlas, notices: list[str]) -> dict[int, int]:
    """Return the rank of each image in U_0, sorted; nothing where the atlas may lack one.

    The atlas leaves out images on which f is not finite, and then all ranks behind them are off. Where it does not
    say how many, nothing is lacking if it is as large as all that is no test image; runs whose pools are smaller, as
    under imbalance or with foreign images, cannot tell.
    """
    lacks, words = atlas.lacking, "leaves some out"
    if lacks is None:
        try:
            expected = int(np.count_nonzero(open_dataset(run).roles != TEST))
        except StoreError as error:
            notices.append(
                f"The prepared dataset cannot be read, so pool_position is empty: {error.words({'run': None})}."
            )
            return {}
        lacks, words = abs(expected - len(atlas.indices)), "does not say whether it holds all"
    if lacks:
        notices.append(
            f"The map of the images {words}, so what stands where in the pool is not known, and pool_position is empty."
        )
        return {}
    unlabeled = np.sort(atlas.members(atlases.UNLABELED_POOL)).tolist()
    return {index: position for position, index in enumerate(unlabeled)}


def _image(
    head: tuple[str, str, int],
    order: int,
    choice: _Choice,
    measure: _Measure,
    classes: Sequence[str],
) -> ChosenImage:
    """Return what is known of one chosen image: by its strategy, else by the atlas, else None."""
    run, strategy, seed = head
    guess = measure.guess if choice.guess is None else choice.guess
    return ChosenImage(
        run_id=run,
        strategy=strategy,
        seed=seed,
        order=order,
        step=choice.step,
        dataset_index=choice.index,
        pool_position=measure.position,
        file=f"{choice.index:06d}.png",
        margin=measure.margin if choice.margin is None else choice.margin,
        predicted_class=guess,
        predicted_label=classes[guess] if guess is not None and 0 <= guess < len(classes) else None,
        predicted_utility=choice.utility,
    )


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
