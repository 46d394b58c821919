"""The way back: what a run asked to be labeled, so that answers to its exports find their images."""

from rambo.collection import collection as collections
from rambo.collection.collection import Collection
from rambo.collection.intake import Request
from rambo.collection.readers.tables import Table
from rambo.errors import DataError, RunNotFoundError
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
) -> Request:
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
    return Request(
        run=run.id,
        numbers=tuple(numbers[index] for index in chosen),
        by_index=numbers,
        classes={other: name for other, name in zip(texts, classes, strict=True) if other != name},
    )


def asking_run(table: Table, workspace: Workspace) -> Run | None:
    """Return the run that a table's rows name, as our exports do; None where they name none or several."""
    named = {row.run for row in table.rows if row.run}
    if len(named) != 1:
        return None
    try:
        return workspace.find(named.pop())
    except RunNotFoundError:
        return None
