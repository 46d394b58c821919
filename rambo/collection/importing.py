"""The import: sources in, a new version out. What is known already is not read again.

Work is committed a chunk at a time under a change that counts only once its version is written: an
import that dies leaves the old version, and the same import goes on where that one ended.
"""

import dataclasses
import hashlib
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import filelock
import numpy as np

from rambo.collection import collection as collections
from rambo.collection import duplicates, health, limited, rows, snapshots, workers
from rambo.collection.collection import Collection
from rambo.collection.drafts import Draft
from rambo.collection.looks import Limits, limits_from_environment
from rambo.collection.packs import OriginalPack, PixelPack
from rambo.collection.readers.items import Item, Source
from rambo.collection.readers.sources import read_source
from rambo.collection.records import Fit, Frame, HealthLine, ImportProgress, LabelEntry
from rambo.collection.splits import DEFAULT_SHARE
from rambo.collection.workers import ReadResult, Work
from rambo.errors import DataError, RunCancelled, RunLockedError, shorten
from rambo.events import Emit, Noticed, StageAdvanced, StageFinished, StageStarted, ignore
from rambo.storage import database, files
from rambo.storage.files import RefusedError

STAGE = "import"
LARGEST = 96  # Choice: side of the frame for photos; features are hardly better above, memory is four times at 192
SMALLEST = 16
_LARGEST_SIZE = 512  # that may be asked for
MIN_CLASSES, MAX_CLASSES = 2, 1000
_PROBES = 64
_LOOK_SECONDS = 0.5  # somebody else's look at a lock is shorter
_REPORT_SECONDS = 1.0


@dataclasses.dataclass(frozen=True)
class ImportResult:
    """How an import ended.

    Attributes:
        collection: what it grew.
        version: the version that holds what was read.
        new: images that joined.
        read: files that were looked at; the others were known.
        changed: whether there is a new version.
        health: the report.
    """

    collection: Collection
    version: int
    new: int
    read: int
    changed: bool
    health: tuple[HealthLine, ...]


@dataclasses.dataclass(frozen=True)
class ImportOptions:
    """What a person says of an import.

    Attributes:
        name: of the collection; the source's own by default. One of that name grows.
        labels: a table with labels for the images.
        test: a second source whose images are the fixed test set.
        validation_share: of the labels that serve as S_val; only for a new collection. The default is a
            fifth, or none where the source has a validation set of its own.
        group_by: a column of a table, or `folder`: what stays on one side of a split.
        size: side of the working size; by default that of the images, at most 96.
        fit: how an image of another shape is brought to it.
        jobs: processes that read.
        limits: what files may ask for; by default as RAMBO_MAX_GB says.
    """

    name: str | None = None
    labels: Path | None = None
    test: Path | None = None
    validation_share: float | None = None
    group_by: str | None = None
    size: int | None = None
    fit: Fit = "letterbox"
    jobs: int = 2
    limits: Limits = dataclasses.field(default_factory=limits_from_environment)


def import_images(
    workspace: Path,
    paths: Path | Sequence[Path],
    options: ImportOptions | None = None,
    *,
    emit: Emit = ignore,
    wait: bool = False,
) -> ImportResult:
    """Return the collection with what lies at some paths in it, as one new version.

    Args:
        workspace: folder of all runs.
        paths: each a folder, a zip, an `.npz`, a table or parquet; the first one gives the name.
        options: what a person says of it.
        emit: hears how far it is; may raise `RunCancelled`, and what was read is kept for the next time.
        wait: until another import of the collection has ended, or its process died, instead of refusing.

    Raises:
        DataError: nothing can be read there; names the file and the way out.
        StoreError: the workspace has no room; the collection is as it was.
        RunLockedError: another import is at work on the collection.
    """
    settings = options or ImportOptions()
    places = [paths] if isinstance(paths, Path) else list(paths)
    with limited.scratch(workspace) as scratch:

        def read(path: Path, labels: Path | None, group_by: str | None) -> Source:
            try:
                return limited.call(read_source, path, settings.limits, scratch, labels, group_by)
            except RefusedError as error:
                raise DataError(
                    error.problem, field="source", value=path, hint=error.hint or "give less of it"
                ) from error

        sources = [read(path, settings.labels, settings.group_by) for path in places]
        if settings.test is not None:
            sources.append(_as_test(read(settings.test, settings.labels, None)))
        name = settings.name or places[0].absolute().stem or places[0].absolute().name or "images"
        with _turn(workspace, collections.slug_of(name), emit, wait):
            collection, fresh = _open(workspace, name, sources, settings)
            if not fresh and name not in (collection.name, collection.slug):
                emit(Noticed(f"{name} joins the collection {collection.name} ({collection.slug})"))
            try:
                return _Import(collection, sources, settings, emit).run()
            finally:
                if fresh and not collection.versions() and not _has_rows(collection):
                    collections.delete(collection)


@contextmanager
def _turn(workspace: Path, slug: str, emit: Emit, wait: bool) -> Iterator[None]:
    """Hold a collection's name while it is looked up or made and then grows; the kernel frees it at death."""
    home = collections.home(workspace)
    lock = files.lock_of(home / f".{slug}.lock")
    try:
        files.make_folder(home)
        try:
            lock.acquire(timeout=_LOOK_SECONDS)
        except filelock.Timeout:
            if not wait:
                raise RunLockedError(
                    "it is being changed by another import or label file",
                    field="collection",
                    value=slug,
                    hint="wait for that one and try again",
                ) from None
            emit(Noticed(f"the collection {slug} is being imported elsewhere; waiting for that"))
            lock.acquire()
    except OSError as error:
        raise collections.refusal(slug, error, "import again") from error
    try:
        yield
    finally:
        lock.release()


def _as_test(source: Source) -> Source:
    """Return a source whose images are all for the test."""
    items = tuple(dataclasses.replace(item, role="test") for item in source.items)
    return dataclasses.replace(source, items=items)


def _open(
    workspace: Path, name: str, sources: Sequence[Source], options: ImportOptions
) -> tuple[Collection, bool]:
    """Return the collection that grows, and whether it is new."""
    slug = collections.slug_of(name)
    if slug in collections.slugs(workspace):
        return collections.find(workspace, slug), False
    own = any(item.role == "validation" for source in sources for item in source.items)
    share = options.validation_share
    if share is None:
        share = 0.0 if own else DEFAULT_SHARE
    frame = _frame(sources, options)
    return collections.create(workspace, name, frame, validation_share=share), True


def _frame(sources: Sequence[Source], options: ImportOptions) -> Frame:
    """Return the working size.

    Choice: small images of one size keep it; else the usual longest side, at most `LARGEST`.
    """
    if options.size is not None:
        if not SMALLEST <= options.size <= _LARGEST_SIZE:
            raise DataError(
                field="size",
                value=options.size,
                limit=SMALLEST if options.size < SMALLEST else _LARGEST_SIZE,
                hint=f"use a working size of {SMALLEST} to {_LARGEST_SIZE} pixels",
            )
        return Frame(options.size, options.size, options.fit)
    sizes = []
    for source in sources:
        step = max(1, len(source.items) // _PROBES)
        sizes += workers.sizes(source.items[::step], source.loader, options.limits)
    if len(set(sizes)) == 1 and min(sizes[0]) >= SMALLEST // 2 and max(sizes[0]) <= LARGEST:
        return Frame(sizes[0][1], sizes[0][0], options.fit)
    usual = int(np.median([max(size) for size in sizes])) if sizes else LARGEST
    side = min(LARGEST, max(SMALLEST, usual))
    return Frame(side, side, options.fit)


def _has_rows(collection: Collection) -> bool:
    """Return whether a dead import left something to go on with."""
    with collection.writing() as db:
        return db.execute("SELECT 1 FROM files LIMIT 1").fetchone() is not None


class _Import:
    """One import at work."""

    def __init__(
        self, collection: Collection, sources: Sequence[Source], options: ImportOptions, emit: Emit
    ) -> None:
        self.collection, self.sources, self.options, self.emit = collection, sources, options, emit
        self.step = self.new = self.read = 0
        self.total = sum(len(source.items) for source in sources)
        self.reported = 0.0
        self.started = time.monotonic()

    def run(self) -> ImportResult:
        """Read, store, and make it count."""
        with self.collection.alone():
            self.collection.clear_stop()
            self._report("running", "reading the images", now=True)
            try:
                result = self._run()
            except BaseException as error:
                stopped = isinstance(error, RunCancelled) or not isinstance(error, Exception)
                state, message = (
                    ("stopped", "stopped; import again to go on")
                    if stopped
                    else ("failed", str(error))
                )
                self._report(state, shorten(message, 300), now=True)
                raise
            self._report("done", f"version {result.version}", now=True)
            return result

    def _run(self) -> ImportResult:
        """Do the work; the lock is held."""
        with self.collection.writing() as db:
            draft = Draft(db, _purpose(self.sources))
            self.book = _Book(db, draft, self.collection)
            self.emit(StageStarted(STAGE, self.total))
            for source in self.sources:
                self._take(db, draft, source)
            version, changed = self._finish(db, draft)
            self.emit(StageFinished(STAGE, time.monotonic() - self.started))
        return ImportResult(
            self.collection,
            version,
            self.new,
            self.read,
            changed,
            health.report(self.collection.snapshot(version)),
        )

    def _take(self, db: sqlite3.Connection, draft: Draft, source: Source) -> None:
        """Read what is new in a source, and note what is said of all of it."""
        with database.transaction(db):
            number = draft.source(source.kind, source.place)
            existing = _existing_files(db, number, self.book.live)
            self.book.refuse(number, source, existing)
        fresh: dict[bytes, Item] = {}
        again: list[Item] = []
        for item in source.items:
            entry = existing.get(item.path)
            if entry is not None and entry[0] == item.stamp:
                again.append(item)
            else:
                fresh.setdefault(item.path, item)
        with database.transaction(db):
            for item in again:
                image = existing[item.path][1]
                if image is not None:
                    self.book.note(item, image)
            self.book.flush()
        self._advance(len(again))
        work = Work(source.loader, self.collection.frame, self.options.limits, not source.stays)
        first: dict[bytes, int] = {}
        for chunk, looks in workers.results(list(fresh.values()), work, self.options.jobs):
            first |= self._store(db, draft, number, chunk, looks)
            self.read += len(chunk)
            self._advance(len(chunk))
        with database.transaction(db):  # a second answer for one file
            extra = [
                item for item in source.items if item.path in first and item is not fresh[item.path]
            ]
            for item in extra:
                self.book.note(item, first[item.path])
            self.book.flush()
        self._advance(len(extra))
        with database.transaction(db):
            draft.add_remarks(
                "class", [name for name in source.classes if name not in self.book.classes]
            )
            draft.add_remarks(
                "remark", [line for line in source.remarks if line not in self.book.remarks]
            )
            absent = len(set(existing) - {item.path for item in source.items})
            if absent:
                draft.add_remarks(
                    "remark",
                    [
                        f"{absent:,} files of an earlier import are no longer there; their images stay"
                    ],
                )

    def _store(
        self,
        db: sqlite3.Connection,
        draft: Draft,
        source: int,
        chunk: Sequence[Item],
        looks: Sequence[ReadResult],
    ) -> dict[bytes, int]:
        """Store a chunk, pictures first: rows never speak of what is not on the disk."""
        fresh: dict[str, ReadResult] = {}
        for result in looks:
            if result.look is not None and result.look.id not in self.book.images:
                fresh.setdefault(result.look.id, result)
        number, at = self.book.next_image, self.book.next_byte
        pictures = [result.look.pixels for result in fresh.values() if result.look is not None]
        originals = [result.original for result in fresh.values() if result.original is not None]
        folder = self.collection.folder
        if pictures:
            PixelPack(folder, self.collection.frame).write(number, pictures)
        if originals:
            OriginalPack(folder).write(at, originals)
        images: dict[bytes, int] = {}
        with database.transaction(db):
            for result in fresh.values():
                assert result.look is not None
                size = None if result.original is None else len(result.original)
                draft.add_image(number, result.look, (None, None) if size is None else (at, size))
                self.book.images[result.look.id] = number
                number, at = number + 1, at + (size or 0)
            for item, result in zip(chunk, looks, strict=True):
                image = None if result.look is None else self.book.images[result.look.id]
                reason = result.reason or None
                draft.add_file(source, item.name, item.path, item.stamp, image, reason)
                if image is not None:
                    images[item.path] = image
                    self.book.note(item, image)
            self.book.flush()
        self.book.next_image, self.book.next_byte = number, at
        self.new += len(fresh)
        return images

    def _finish(self, db: sqlite3.Connection, draft: Draft) -> tuple[int, bool]:
        """Let the change count, unless it changes nothing."""
        versions = snapshots.versions_of(db)
        if not self.book.images:
            self._give_up(db, draft)
        if versions and not any(
            db.execute(
                f"SELECT 1 FROM {table} WHERE change = ? LIMIT 1", (draft.change,)
            ).fetchone()
            for table in ("files", "labels", "traits")
        ):
            with database.transaction(db):
                draft.discard()
            return versions[-1].number, False
        with database.transaction(db):
            numbers, pictures = draft.smalls()
            leaders = duplicates.clusters(pictures)
            draft.set_clusters(snapshots.by_number(numbers, leaders))
            places = ", ".join(f"{s.kind} {shorten(Path(s.place).name, 60)}" for s in self.sources)
            version = draft.finish("import", f"{self.new:,} new images from {places}")
            self.collection.grow_split(draft, version)
            return version, True

    def _give_up(self, db: sqlite3.Connection, draft: Draft) -> NoReturn:
        """Forget an import without a single image, and say what its first file was."""
        bad = db.execute(
            "SELECT name, reason FROM files WHERE change = ? LIMIT 1", (draft.change,)
        ).fetchone()
        with database.transaction(db):
            draft.discard()
        example = f" ({bad[0]}: {bad[1]})" if bad else ""
        raise DataError(
            f"none of the {self.total:,} files could be read as an image{example}",
            field="collection",
            value=self.collection.slug,
            hint="save them as PNG or JPEG",
        )

    def _advance(self, count: int) -> None:
        """Say how far it is; the safe point to stop at."""
        self.step += count
        self._report("running", "reading the images")
        self.emit(StageAdvanced(STAGE, min(self.step, self.total), self.total))
        if self.collection.stop_requested():
            self.collection.clear_stop()
            raise RunCancelled("the import was stopped")

    def _report(self, state: str, message: str, *, now: bool = False) -> None:
        """Write the progress for whoever watches, once a second."""
        seconds = time.monotonic()
        if not now and seconds - self.reported < _REPORT_SECONDS:
            return
        self.reported = seconds
        pace = self.step / max(1e-3, seconds - self.started)
        eta = (
            (self.total - self.step) / pace
            if self.step >= workers.CHUNK and state == "running"
            else None
        )
        self.collection.write_progress(
            ImportProgress(state, self.step, self.total, self.new, eta, message)  # type: ignore[arg-type]
        )


class _Book:
    """What is known while an import is at work: contents, labels and roles, old and new."""

    def __init__(self, db: sqlite3.Connection, draft: Draft, collection: Collection) -> None:
        self.draft = draft
        versions = snapshots.versions_of(db)
        self.version = (versions[-1].number if versions else 0) + 1
        past = snapshots.live_changes(db, self.version)
        self.live = {**past, draft.change: self.version}
        images = list(rows.select(db, "images"))  # a damaged place would be written over
        self.images: dict[str, int] = {row[1]: row[0] for row in images}
        self.next_image = max(self.images.values(), default=-1) + 1
        ends = (at + size for *_, at, size, _ in images if at is not None)
        self.next_byte = max(ends, default=0)
        remarks = [row for row in rows.select(db, "remarks") if row[3] in self.live]
        self.classes = {row[2] for row in remarks if row[1] == "class"}
        self.remarks = {row[2] for row in remarks if row[3] == draft.change}
        order = {image: place for place, image in enumerate(self.images.values())}
        entries = list(snapshots.label_entries(db, self.live, order))
        old = [entry for entry in entries if entry.version < self.version]
        self.labels = {
            image: label for image, label in snapshots.resolve(old)[0].items() if label is not None
        }
        self.entries = {
            (e.image, e.label, e.annotator, e.answer) for e in entries if e.version == self.version
        }
        traits = snapshots.trait_values(db, self.live, {image: image for image in order})
        self.roles, self.groups = dict(traits["role"]), dict(traits["group"])
        self._entries: list[LabelEntry] = []
        self._traits: dict[str, list[tuple[int, str]]] = {"role": [], "group": []}

    def note(self, item: Item, image: int) -> None:
        """Take down what a source says of an image, where that is new."""
        entry = (image, item.label, item.annotator, item.answer)
        if (item.label is not None or item.answer != "label") and entry not in self.entries:
            label = self.labels.get(image)
            if label != item.label or item.answer != "label":
                standing = "taken" if label is None or item.answer != "label" else "contested"
                self._entries.append(
                    LabelEntry(
                        *(image, item.label, item.origin, item.answer),
                        annotator=item.annotator,
                        standing=standing,  # type: ignore[arg-type]
                    )
                )
                self.entries.add(entry)
        for trait, value, values in (
            ("role", item.role, self.roles),
            ("group", item.group, self.groups),
        ):
            if value is not None and values.get(image) != value:
                if trait == "role" and values.get(image) == "test":
                    continue  # a copy of a test image never teaches
                values[image] = value
                self._traits[trait].append((image, value))

    def refuse(
        self, source: int, source_: Source, existing: Mapping[bytes, tuple[str, int | None]]
    ) -> None:
        """Take down files that are not even tried."""
        for bad in source_.refused:
            path = bad.file.encode("utf-8", "replace")
            if path not in existing:
                self.draft.add_file(source, bad.file, path, "refused", None, bad.reason)

    def flush(self) -> None:
        """Write what was taken down; inside a transaction."""
        self.draft.add_labels(self._entries)
        self._entries = []
        for trait, values in self._traits.items():
            self.draft.add_traits(trait, values)
            values.clear()


def _existing_files(
    db: sqlite3.Connection, source: int, live: Iterable[int]
) -> dict[bytes, tuple[str, int | None]]:
    """Return stamp and image of each file of a source as it was last seen."""
    counted = set(live)
    return {
        bytes(path): (stamp, image)
        for _, _, _, path, stamp, image, _, change in rows.select(
            db, "files", "WHERE source = ?", source
        )
        if change in counted
    }


def _purpose(sources: Sequence[Source]) -> str:
    """Return what makes an import the same one."""
    places = "\n".join(f"{source.kind} {source.place}" for source in sources)
    return hashlib.sha256(places.encode("utf-8", "backslashreplace")).hexdigest()
