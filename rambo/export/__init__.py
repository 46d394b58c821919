"""The chosen batch for annotators and their tools, as bytes that are the same each time.

`build` makes them, for a download as for a file; `write` puts them in a file, whole or not at all.
No path, host or user name stands in them, and no true label unless it is asked for.
"""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

from rambo.errors import ConfigError, StoreError
from rambo.export import bundles, originals
from rambo.export.bundles import IMAGE_URL, ExportBatch, Files
from rambo.export.evidence import COLUMNS, ChosenImage, Evidence, gather, rows
from rambo.export.originals import PICTURES, Originals, Pictures
from rambo.export.text import to_csv, to_json, to_jsonl
from rambo.runs.workspace import Run
from rambo.storage import files
from rambo.storage.packing import to_zip

__all__ = [
    "COLUMNS",
    "FORMATS",
    "IMAGE_URL",
    "PICTURES",
    "WITH_IMAGES",
    "ChosenImage",
    "Evidence",
    "Export",
    "build",
    "gather",
    "name_of",
    "rows",
    "to_csv",
    "write",
]


@dataclasses.dataclass(frozen=True)
class _Format:
    """How a format is made, and what its file is called."""

    make: Callable[[ExportBatch], bytes]
    ending: str
    mime: str


def _zipped(make: Callable[[ExportBatch], Files], ending: str) -> _Format:
    """Return a format that is one zip archive."""
    return _Format(lambda batch: to_zip(make(batch)), ending, "application/zip")


_FORMATS = {
    "csv": _Format(lambda batch: to_csv(batch.rows), ".csv", "text/csv"),
    "jsonl": _Format(lambda batch: to_jsonl(batch.rows), ".jsonl", "application/jsonl"),
    "json": _Format(
        lambda batch: to_json([row.record() for row in batch.rows]), ".json", "application/json"
    ),
    "zip": _zipped(bundles.archive, ".zip"),
    "label-studio": _zipped(bundles.label_studio, "-label-studio.zip"),
    "fiftyone": _zipped(bundles.fiftyone, "-fiftyone.zip"),
    "cvat": _zipped(bundles.cvat, "-cvat.zip"),
    "distil": _zipped(bundles.distil, "-distil.zip"),
}
FORMATS = tuple(_FORMATS)
WITH_IMAGES = ("zip", "label-studio", "fiftyone", "cvat")
WITH_TASKS = ("zip", "label-studio")  # of Label Studio
WITHOUT_LABELS = ("distil",)


@dataclasses.dataclass(frozen=True)
class Export:
    """A batch ready to hand over.

    Attributes:
        data: the bytes; the same run gives the same.
        name: what to call the file.
        mime: its media type.
        count: number of images.
        notices: what could not be read, and what that leaves empty; what was asked for and has no place in the format.
    """

    data: bytes
    name: str
    mime: str
    count: int
    notices: tuple[str, ...] = ()

    def write(self, out: Path) -> "Export":
        """Write the bytes to the file `out` and return this.

        Raises:
            ConfigError: `out` cannot be written.
        """
        put(out, self.data)
        return self


def build(
    run: Run,
    format: str,
    strategy: str | None = None,
    seed: int | None = None,
    *,
    truth: bool = False,
    image_url: str = IMAGE_URL,
    guesses: bool = False,
    original: bool = False,
    pictures: Pictures = "originals",
) -> Export:
    """Return the chosen batch in one of `FORMATS`.

    Args:
        run: the run.
        format: `csv`, `jsonl` or `json`, the rows alone; or an archive: `zip` with everything, or
            what `label-studio`, `fiftyone`, `cvat` or `distil` reads.
        strategy: the first of the run where not given.
        seed: that of the first trial where not given.
        truth: let the rows carry `true_label`.
        image_url: for Label Studio, what stands before a file name in the URL of an image.
        guesses: let Label Studio tick the class that f guesses; people tend to follow it.
        original: the strategy's own choice, where a person edited the batch.
        pictures: `originals`, a person's own files as they are where these are still found, or `working`, PNG files of
            the size that the run saw; runs on other data than a collection have these alone.

    Raises:
        ConfigError: an unknown format, strategy, seed or kind of pictures.
        StoreError: nothing is chosen yet, the run is damaged, its dataset is gone, or it does not
            know the pool positions that `distil` needs.
    """
    if format not in FORMATS:
        raise ConfigError(
            "unknown", field="--format", value=format, hint=f"choose one of: {', '.join(FORMATS)}"
        )
    if pictures not in PICTURES:
        raise ConfigError(
            "unknown",
            field="--pictures",
            value=pictures,
            hint=f"choose one of: {', '.join(PICTURES)}",
        )
    contents = gather(run, strategy, seed, truth=truth, original=original)
    if not contents.rows:
        raise StoreError(
            "the edited batch is empty", field="run", value=run.id, hint="export the original one"
        )
    own = None if pictures == "working" else _originals(run, format, contents.rows)
    rows, notices = contents.rows, contents.notices
    if own is not None:
        rows = own.named(rows)
        notices += own.notices if format in WITH_IMAGES else ()
    batch = ExportBatch(run, rows, image_url, guesses, notices, own)
    first = batch.rows[0]
    name, mime = name_of(run, format, first.strategy, first.seed)
    notices += _idle(format, truth=truth, image_url=image_url, guesses=guesses)
    return Export(_FORMATS[format].make(batch), name, mime, len(batch.rows), notices)


def _idle(format: str, *, truth: bool, image_url: str, guesses: bool) -> tuple[str, ...]:
    """Return a sentence for each option that was given and has no place in the format."""
    tasks = f"in {format}; only {' and '.join(WITH_TASKS)} hold Label Studio's tasks"
    sentences = {
        f"true labels have no place in {format}, which holds positions alone": truth
        and format in WITHOUT_LABELS,
        f"a URL of the images has no place {tasks}": image_url != IMAGE_URL
        and format not in WITH_TASKS,
        f"guesses have no place {tasks}": guesses and format not in WITH_TASKS,
    }
    return tuple(sentence for sentence, astray in sentences.items() if astray)


def _originals(run: Run, format: str, chosen: list[ChosenImage]) -> Originals | None:
    """Return what is there of the originals: all of it for an archive of images, for a table their names alone."""
    whole = format in WITH_IMAGES
    try:
        return originals.look(run, chosen, whole=whole)
    except StoreError:
        if whole:
            raise
        return None  # the rows are there without the dataset


def name_of(run: Run, format: str, strategy: str, seed: int) -> tuple[str, str]:
    """Return name and media type of the file that `build` makes, without making it."""
    kind = _FORMATS[format]
    return f"{run.id}-{strategy}-seed{seed}{kind.ending}", kind.mime


def put(out: Path, data: bytes) -> None:
    """Write `data` to the file a person named.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        if out.is_dir():
            raise _refused(out, "this is a folder", "name a file in it")
        if out.exists() and not out.is_file():
            raise _refused(out, "this is no ordinary file", "name another")
        if not out.parent.is_dir():
            raise _refused(out, "its folder does not exist", "make it or name another")
        target = Path(os.path.realpath(out))  # a link keeps pointing at its file
        files.sweep_beside(target)  # nobody else would, outside the workspace
        files.write_bytes(target, data)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise _refused(out, *files.reason(error, "export again")) from error


def _refused(out: Path, problem: str, hint: str | None) -> ConfigError:
    """Return the complaint about the file a person named."""
    return ConfigError(problem, field="--out", value=out, hint=hint)
