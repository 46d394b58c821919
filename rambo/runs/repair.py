"""Which artifacts of a run are lost or damaged: what `resume` makes again, also of a run that is done.

The choice itself stands in the record, so nothing here can change it.
"""

from rambo.errors import StoreError
from rambo.runs import paths
from rambo.runs.results import Result
from rambo.runs.run import Run

RUNNING = "lost or damaged files are made again; the choice stands"
UNFINISHED = "lost or damaged files are not made again yet; resume it to do so"


def broken(run: Run) -> list[str]:
    """Return the names of the artifacts and documents that resuming would make again, such as `trial-0/atlas`.

    Every byte of them is read.

    Raises:
        StoreError: the record cannot be read.
    """
    names = {name for name in run.artifacts() if not run.is_whole(name)}
    names |= {name for name in run.documents() if not _is_whole_document(run, name)}
    mapped = run.maps_of
    for result in run.results():
        if result.strategy not in run.config["strategies"] or not result.selected:
            continue  # an oracle's choice has no artifacts
        if not holds_choice(run, result):
            names.add(paths.of_choice(result.trial, result.strategy, paths.SELECTION))
        atlas = paths.of_trial(result.trial, paths.ATLAS)
        if (mapped is None or result.trial < mapped) and not run.has_artifact(atlas):
            names.add(atlas)
    return sorted(names)


def is_whole(run: Run, result: Result) -> bool:
    """Return whether all that a strategy left beside its result can be read, and its choice is the record's."""
    own = _own(run, result)
    return holds_choice(run, result) and all(
        run.is_whole(name) for name in own if not _is_picture(name)
    )


def holds_choice(run: Run, result: Result) -> bool:
    """Return whether the table of a choice can be read and is the one in the record."""
    try:
        name = paths.of_choice(result.trial, result.strategy, paths.SELECTION)
        table = run.load_table(name).sort_values("order", kind="stable")
        chosen, steps = table["dataset_index"].tolist(), table["step"].tolist()
    except (StoreError, KeyError):
        return False
    return (chosen, steps) == (result.selected, result.steps)


def forget(run: Run, result: Result) -> list[str]:
    """Let the record forget what a strategy left and cannot be made again; return its names."""
    own = _own(run, result)
    damaged = [name for name in own if not _is_picture(name) and not run.is_whole(name)]
    run.forget_artifacts(damaged)
    return damaged


def _is_whole_document(run: Run, name: str) -> bool:
    """Return whether a document is there as it was written."""
    try:
        run.load_document(name)
    except StoreError:
        return False
    return True


def _own(run: Run, result: Result) -> list[str]:
    """Return the names of what a strategy left."""
    start = paths.of_choice(result.trial, result.strategy, "")
    return [name for name in run.artifacts() if name.startswith(start)]


def _is_picture(name: str) -> bool:
    """Return whether the pictures of a trial make it again, and not the strategy."""
    return name.endswith(f"/{paths.SERVED}")
