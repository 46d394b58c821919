"""The way back: what a run asked to be labeled, so that answers to its exports find their images."""

import contextlib
import dataclasses
from collections.abc import Iterator

from rambo.collection import collection as collections
from rambo.collection import intake
from rambo.collection.collection import Collection
from rambo.collection.intake import BatchRequest
from rambo.collection.readers.tables import Table
from rambo.errors import DataError, RamboError, RunNotFoundError
from rambo.export.bundles import choices
from rambo.export.evidence import class_names, open_dataset, rows
from rambo.runs.workspace import Run, Workspace


def collection_of(run: Run) -> tuple[str, int] | None:
    """Return slug and version of the collection whose images a run saw, or None: it saw other images.

    Raises:
        StoreError: the run's prepared images are missing or damaged.
    """
    named = open_dataset(run).collection
    parsed = collections.parse(f"{collections.PREFIX}{named}") if named else None
    if parsed is None or parsed[1] is None:
        return None
    return parsed[0], parsed[1]


def request_of(
    run: Run, collection: Collection, strategy: str | None = None, seed: int | None = None
) -> BatchRequest:
    """Return what a run asked to be labeled.

    Args:
        run: the run.
        collection: whose images it must have seen.
        strategy: the first of the run where not given.
        seed: that of the first trial where not given.

    Raises:
        DataError: the run saw other images.
        ConfigError: the run has no such strategy or seed.
        StoreError: nothing is chosen yet, or its images are missing or damaged.
    """
    origin = collection_of(run)
    if origin is None or origin[0] != collection.slug:
        whose = "a dataset that is no collection" if origin is None else f"collection {origin[0]}"
        raise DataError(
            f"chose from {whose}",
            field="run",
            value=run.id,
            hint=f"name a run on collection:{collection.slug}",
        )
    names = open_dataset(run).names()
    numbers = () if names is None else names.numbers
    chosen = [row.dataset_index for row in rows(run, strategy, seed)]
    classes = class_names(run)
    texts = choices(classes)
    return BatchRequest(
        run=run.id,
        numbers=tuple(numbers[index] for index in chosen),
        by_index=numbers,
        classes={other: name for other, name in zip(texts, classes, strict=True) if other != name},
    )


@dataclasses.dataclass(frozen=True)
class Asking:
    """Whose batch a table answers.

    Attributes:
        run: that asked.
        strategy: that chose.
        guessed: nothing in the table names the run; its files are those of this batch and of no other.
    """

    run: Run
    strategy: str
    guessed: bool = False


def asking(
    table: Table, workspace: Workspace, collection: Collection, run: Run | None = None
) -> Asking | None:
    """Return whose batch a table answers, or None where nothing tells.

    That of the run that its rows name, as our exports do; else, where all rows name images as our exports do, the one
    batch of this collection that holds them all.

    Args:
        table: the answers.
        workspace: of all runs.
        collection: whose images.
        run: the one that asked, where a person says so.
    """
    run = run or _named_run(table, workspace)
    if run is not None:
        return _best(run, table, collection)
    places = {intake.index_of(row) for row in table.rows}
    if not table.rows or None in places or any(row.run or row.digest for row in table.rows):
        return None
    fitting = [
        Asking(run, strategy, guessed=True)
        for run, strategy, batch in _batches(workspace, collection)
        if places <= batch
    ]
    return fitting[0] if len(fitting) == 1 else None


def _best(run: Run, table: Table, collection: Collection) -> Asking:
    """Return the strategy of a run whose batch shares most images with a table."""
    places = {intake.index_of(row) for row in table.rows}
    shared: dict[str, int] = {}
    for strategy in run.config["strategies"]:
        with contextlib.suppress(RamboError):
            shared[strategy] = len(places & _batch(run, strategy))
    return Asking(run, max(shared, key=lambda name: shared[name]) if shared else "")


def _batches(workspace: Workspace, collection: Collection) -> Iterator[tuple[Run, str, set[int]]]:
    """Yield every batch that was chosen from a collection, as rows of its dataset."""
    for run in workspace.runs():
        try:
            name = str(run.config["dataset"]["name"])
            if not name.startswith(f"{collections.PREFIX}{collection.slug}"):
                continue
            source = collection_of(run)
        except (RamboError, KeyError):
            continue
        for strategy in run.config["strategies"] if source and source[0] == collection.slug else ():
            with contextlib.suppress(RamboError):
                yield run, strategy, _batch(run, strategy)


def _batch(run: Run, strategy: str) -> set[int]:
    """Return what a strategy chose in the first trial, as rows of the dataset."""
    return {row.dataset_index for row in rows(run, strategy)}


def _named_run(table: Table, workspace: Workspace) -> Run | None:
    """Return the run that a table's rows name; None where they name none or several."""
    named = {row.run for row in table.rows if row.run}
    if len(named) != 1:
        return None
    try:
        return workspace.find(named.pop())
    except RunNotFoundError:
        return None
