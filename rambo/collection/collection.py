"""A collection: a person's images and what is known of them, in one folder of the workspace.

`<workspace>/collections/<slug>/` holds `collection.sqlite`, `pictures.bin` (every image at the
working size) and `originals.bin` (files that came inside a zip, a table or an upload; the files of a
folder stay where they are). Every change makes a version; a run names the one it used.
"""

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import sqlite3
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import filelock
import numpy as np

from rambo.collection import rows, snapshots, splits
from rambo.collection.drafts import Draft
from rambo.collection.looks import Pixels, sniff_suffix
from rambo.collection.packs import OriginalPack, PixelPack, picture_crc
from rambo.collection.records import (
    CollectionCard,
    Frame,
    ImportProgress,
    LabelEntry,
    Prices,
    Snapshot,
    Version,
)
from rambo.collection.schema import FORMAT, SCHEMA
from rambo.errors import (
    ConfigError,
    DataError,
    RunLockedError,
    RunNotFoundError,
    StoreError,
    shorten,
)
from rambo.storage import database, files

T = TypeVar("T")
PREFIX = "collection:"  # of a dataset's name: `collection:my-photos`, or with `@3` at version 3
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?")
_NAMED = re.compile(rf"{PREFIX}(?P<slug>[a-z0-9-]{{1,48}})(?:@(?P<version>[0-9]{{1,9}}))?")
_MOST_A_LABEL = 1_000_000  # of any currency
_HEAD = 16  # bytes that tell what a file is
_NO_KIND = sniff_suffix(b"")  # of bytes that tell nothing
_LONGEST = 40  # characters of a slug
_LIST = "`python -m rambo collections` lists them"


class Collection:
    """One collection; opening it reads nothing yet.

    Attributes:
        slug: its name in commands and addresses.
        folder: where it lies.
    """

    def __init__(self, folder: Path) -> None:
        """Use the collection in `folder`; see `find` and `create`."""
        self.folder = folder
        self.slug = folder.name
        self._path = folder / "collection.sqlite"

    @property
    def name(self) -> str:
        """What its owner calls it."""
        return str(self._read(lambda db: rows.fact(db, "name")) or self.slug)

    @property
    def frame(self) -> Frame:
        """The working size and the rule to reach it."""
        return self._read(lambda db: Frame(**rows.fact(db, "frame")))

    @property
    def validation_share(self) -> float:
        """The share of the labels at hand that serves as S_val; 0 for none."""
        return float(self._read(lambda db: rows.fact(db, "validation_share")) or 0.0)

    def versions(self) -> list[Version]:
        """Return all versions, the oldest first; none before the first import is whole."""
        return self._read(snapshots.versions_of)

    def live_versions(self) -> frozenset[int]:
        """Return the numbers of the versions that count: the others were taken back."""
        versions = self.versions()
        if not versions:
            return frozenset()
        newest = versions[-1].number
        return frozenset(self._read(lambda db: snapshots.live_changes(db, newest)).values())

    def card(self) -> CollectionCard:
        """Return what a list shows, without reading every row; a damaged collection says so."""
        try:
            versions = self.versions()
            (images,) = self._read(
                lambda db: db.execute(
                    "SELECT count(DISTINCT image) FROM files WHERE image IS NOT NULL"
                ).fetchone()
            )
            name = self.name
        except StoreError as error:
            return CollectionCard(self.slug, self.slug, 0, 0, str(error))
        if not versions:
            return CollectionCard(
                self.slug, name, 0, int(images), "its import has not come to an end"
            )
        return CollectionCard(self.slug, name, versions[-1].number, int(images), versions[-1].note)

    def latest(self) -> int:
        """Return the number of the newest version.

        Raises:
            DataError: there is none: no import has come to its end.
        """
        versions = self.versions()
        if not versions:
            raise self._wrong(
                "its import has not come to an end",
                "import the images again, what was read already is not read twice",
            )
        return versions[-1].number

    def snapshot(self, version: int | None = None) -> Snapshot:
        """Return what is known at a version, the newest by default.

        Raises:
            DataError: there is no such version.
            StoreError: the record is damaged or cannot be read.
        """
        number = self.latest() if version is None else version
        return self._read(lambda db: snapshots.read(db, self.slug, number))

    def pictures(self, numbers: Iterable[int]) -> Iterator[Pixels]:
        """Yield the pictures of images by number, `3 x height x width` uint8.

        A damaged or lost picture is made again from its original.

        Raises:
            DataError: its original is gone or damaged too; names the file.
            StoreError: the disk refuses.
        """
        images = [int(number) for number in numbers]
        frame = self.frame
        pack = PixelPack(self.folder, frame)
        crcs = self._read(_crcs)
        try:
            for number, picture in zip(images, pack.read(images), strict=True):
                whole = picture_crc(picture) == crcs.get(number)
                yield picture if whole else self._remake(number, frame)
        except OSError as error:
            raise self._refused(error, "try again") from error

    def _remake(self, number: int, frame: Frame) -> Pixels:
        """Return the picture of an image from its original.

        Raises:
            DataError: the original is gone or damaged; names the file.
        """
        from rambo.collection.images import look_at_file  # Pillow: only where it is needed

        name, data = self.original(number)
        try:
            return look_at_file(data, frame).pixels
        except files.RefusedError as error:
            problem = f"the picture of {shorten(name, 200)} cannot be made again: {error.problem}"
            raise self._wrong(problem, "restore the collection from a copy") from error

    def original(self, number: int) -> tuple[str, bytes]:
        """Return name and bytes of an image's original, compared with the hash it had.

        An image that came as an array is given as a PNG file, and compared by its pixels.

        Raises:
            DataError: there is no such image, or its file is gone, damaged or was changed; names the file.
            StoreError: the record is damaged, or the disk refuses.
        """
        where = self._whereabouts(number)
        if where.packed is not None:
            return self._packed_original(where)
        for name, place, path in where.places:
            content = _read_inside(Path(place), path)
            if content is not None and hashlib.sha256(content).hexdigest() == where.id:
                return name, content
        raise self._wrong(
            f"the original of {where.name} is gone or was changed since the import",
            "put it back, or import the folder again",
        )

    def original_kind(self, number: int, *, whole: bool) -> tuple[str, int]:
        """Return the suffix that fits an image's original, and its size in bytes.

        Args:
            number: of the image.
            whole: compare the file with its hash; else its first bytes are enough, if they are those of an image.

        Raises:
            DataError: there is no such image, or its file is gone or, as far as was looked, changed.
        """
        where = self._whereabouts(number)
        kind, size = ("", 0) if whole else self._kind_at_a_glance(where)
        if kind in ("", _NO_KIND):
            data = self.original(number)[1]
            return sniff_suffix(data), len(data)
        return kind, size

    def _kind_at_a_glance(self, where: "_Whereabouts") -> tuple[str, int]:
        """Return the suffix by an original's first bytes, and its size; no suffix where it is gone."""
        if where.packed is not None:
            at, size = where.packed
            head = self._from_pack(at, min(size, _HEAD))
            return ("" if head is None else sniff_suffix(head)), size
        for _, place, path in where.places:
            head = _read_inside(Path(place), path, _HEAD)
            if head is not None:
                return sniff_suffix(head), (Path(place) / os.fsdecode(path)).stat().st_size
        return "", 0

    def _packed_original(self, where: "_Whereabouts") -> tuple[str, bytes]:
        """Return name and bytes of an original that lies in the pack, compared with its id."""
        from rambo.collection.images import stored_original  # Pillow: only where it is needed

        assert where.packed is not None
        data = self._from_pack(*where.packed)
        whole = None if data is None else stored_original(data, where.id)
        if whole is None:
            state = "lost" if data is None else "damaged"
            raise self._wrong(
                f"the original of {where.name} is {state}", "restore the collection from a copy"
            )
        name = where.places[0][0]
        return (name if Path(name).suffix else f"{name}{sniff_suffix(whole)}"), whole

    def _from_pack(self, at: int, size: int) -> bytes | None:
        """Return bytes of the pack of originals; None where there is no pack.

        Raises:
            StoreError: it cannot be read.
        """
        try:
            return OriginalPack(self.folder).read(at, size)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._refused(error, "try again") from error

    def _whereabouts(self, number: int) -> "_Whereabouts":
        """Return where the original of an image lies.

        Raises:
            DataError: there is no such image.
            StoreError: the record is damaged or cannot be read.
        """
        where = self._read(lambda db: _whereabouts(db, number))
        if where is None:
            raise self._wrong(f"no image {number}", "choose one that it has")
        return where

    def add_labels(self, entries: Sequence[LabelEntry], note: str) -> int:
        """Store answers as a new version and return its number; S_val grows by its share.

        Raises:
            DataError: there is nothing to store.
            RunLockedError: an import is at work on this collection.
        """
        if not entries:
            raise self._wrong("no labels to store", "label at least one image")

        def write(draft: Draft) -> None:
            draft.add_labels(entries)

        return self.change("labels", note, write)

    def undo(self, version: int) -> int:
        """Take a version back, as a new version; the undone one can still be read by its number.

        Raises:
            DataError: there is no such version, or it is undone already.
        """
        by_number = {one.number: one for one in self.versions()}
        if version not in by_number:
            raise self._wrong(f"no version {version} to undo", "name one that it has")
        if version not in self.live_versions():
            raise self._wrong(f"version {version} is undone already", "name another")
        note = f"undoes version {version}: {by_number[version].note}"
        return self.change("undo", note, lambda draft: None, undoes=version)

    def prices(self) -> Prices:
        """Return what a label costs in each round, as somebody said it."""
        fact = self._read(lambda db: rows.fact(db, "prices"))
        return Prices() if fact is None else Prices(**fact)

    def set_price(self, run: str, each: float, currency: str) -> None:
        """Note what a label costs in the round of a run; no version, as it changes no label.

        Raises:
            ConfigError: this is no price.
        """
        if not 0 <= each <= _MOST_A_LABEL:
            hint = f"give that of one label, 0 to {_MOST_A_LABEL:,}"
            raise ConfigError("is no price", field="price", value=each, hint=hint)
        with self.alone(), self._writing() as db, database.transaction(db):
            fact = rows.fact(db, "prices") or {}
            each_run = {**fact.get("each", {}), run: each}
            rows.put_fact(db, "prices", {"each": each_run, "currency": currency.strip()[:8]})

    def set_validation_share(self, share: float) -> int:
        """Draw S_val anew by another share, as a new version."""
        splits.check_share(share)

        def write(draft: Draft) -> None:
            rows.put_fact(draft.db, "validation_share", share)
            now = snapshots.read(draft.db, self.slug, self.latest())
            draft.add_traits("split", splits.redrawn(now, share))

        return self.change("split", f"validation share {share:g}", write, split=False)

    def change(
        self,
        kind: str,
        note: str,
        write: Callable[[Draft], None],
        *,
        undoes: int | None = None,
        split: bool = True,
    ) -> int:
        """Store what `write` adds as one new version, and return its number."""
        with self.alone(), self._writing() as db:
            draft = Draft(db)
            with database.transaction(db):
                write(draft)
                version = draft.finish(kind, note, undoes)
                if split and undoes is None:
                    self.grow_split(draft, version)
                return version

    def grow_split(self, draft: Draft, version: int) -> None:
        """Let new labels give their share to S_val; images that stand there stay."""
        share = float(rows.fact(draft.db, "validation_share") or 0.0)
        if share > 0:
            now = snapshots.read(draft.db, self.slug, version)
            draft.add_traits("split", splits.grown(now, share))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the collection's lock: one process changes it at a time.

        Raises:
            RunLockedError: another one does.
        """
        try:
            with files.exclusive(self.folder / "write.lock", 0.5):  # a look is short
                yield
        except filelock.Timeout:
            raise RunLockedError(
                "it is being changed by another import or label file",
                field="collection",
                value=self.slug,
                hint="wait for that one and try again",
            ) from None
        except OSError as error:
            raise self._refused(error, "try again") from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Give a writer; what the disk refuses becomes a `StoreError`."""
        try:
            with closing(database.open_writer(self._path, FORMAT)) as db:
                yield db
        except database.FAULTS as error:
            raise self._refused(error, "try again") from error

    writing = _writing

    def _read(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Return what `action` gives on a reader."""
        try:
            with closing(database.open_reader(self._path, FORMAT)) as db:
                return action(db)
        except database.FAULTS as error:
            raise self._refused(error, "try again") from error

    def _refused(self, error: BaseException, again: str) -> StoreError:
        """Return the error of a disk that refuses or a record that is damaged."""
        return refusal(self.slug, error, again)

    def _wrong(self, problem: str, hint: str) -> DataError:
        """Return the error of a collection that has not what was asked of it."""
        return DataError(problem, field="collection", value=self.slug, hint=hint)

    # --- the progress of an import, for whoever watches ---

    def importing(self) -> bool:
        """Return whether an import, or another change, is at work."""
        try:
            return files.is_locked(self.folder / "write.lock")
        except OSError:
            return False

    def progress(self) -> ImportProgress | None:
        """Return how far the last import is, or None where nothing was written."""
        try:
            facts = json.loads((self.folder / "import.json").read_bytes())
            progress = ImportProgress(**facts)
        except (OSError, ValueError, TypeError):
            return None
        if progress.state == "running" and not self.importing():
            return ImportProgress(
                *("stopped", progress.step, progress.total, progress.new, None),
                "it ended half way; import again, what was read already is not read twice",
            )
        return progress

    def write_progress(self, progress: ImportProgress) -> None:
        """Write how far the import is; a refusal of the disk is no reason to end."""
        try:
            files.write_bytes(self.folder / "import.json", json.dumps(progress.__dict__).encode())
        except OSError:
            return

    def request_stop(self) -> None:
        """Ask the running import to end at the next safe point; what it has read is kept."""
        (self.folder / "stop").touch()

    def stop_requested(self) -> bool:
        """Return whether somebody asked the import to end."""
        return (self.folder / "stop").exists()

    def clear_stop(self) -> None:
        """Forget an old request."""
        (self.folder / "stop").unlink(missing_ok=True)


def refusal(slug: str, error: BaseException, again: str, what: str = "") -> StoreError:
    """Return the error of a disk that refuses, or of a record that is damaged.

    Args:
        slug: of the collection.
        error: as the disk or the record gave it.
        again: what to do once the cause is gone, such as "try again".
        what: could not be done, before the reason.
    """
    reason = files.reason(error, again)
    return StoreError(f"{what}{reason.problem}", field="collection", value=slug, hint=reason.hint)


def home(workspace: Path) -> Path:
    """Return the folder of all collections of a workspace."""
    return workspace / "collections"


def slugs(workspace: Path) -> list[str]:
    """Return the names of all collections, sorted."""
    try:
        with os.scandir(home(workspace)) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    except OSError as error:
        reason = files.reason(error, "try again")
        problem = f"cannot be listed: {reason.problem}"
        raise StoreError(problem, field="the collections", hint=reason.hint) from error
    folder = home(workspace)
    return sorted(
        name
        for name in names
        if _SLUG.fullmatch(name) and (folder / name / "collection.sqlite").is_file()
    )


def find(workspace: Path, slug: str) -> Collection:
    """Return a collection; what a person typed is compared and never joined to a path.

    Raises:
        RunNotFoundError: there is none of that name.
    """
    if slug not in slugs(workspace):
        raise RunNotFoundError("no such collection", field="collection", value=slug, hint=_LIST)
    return Collection(home(workspace) / slug)


def parse(name: str) -> tuple[str, int | None] | None:
    """Return slug and version of a dataset's name such as `collection:pets@3`, or None for another kind."""
    match = _NAMED.fullmatch(name)
    if match is None:
        return None
    return match["slug"], None if match["version"] is None else int(match["version"])


def create(workspace: Path, name: str, frame: Frame, *, validation_share: float) -> Collection:
    """Return a new, empty collection; its slug is made of the name and is free.

    Raises:
        StoreError: the workspace cannot be written.
    """
    splits.check_share(validation_share)
    parent = home(workspace)
    draft = parent / f".new-{secrets.token_hex(8)}"
    try:
        files.make_folder(draft)
        path = draft / "collection.sqlite"
        database.create(path, SCHEMA, FORMAT)
        with closing(database.open_writer(path, FORMAT)) as db, database.transaction(db):
            for fact, value in (
                ("name", shorten(name, 80)),
                ("frame", frame.__dict__),
                ("validation_share", validation_share),
            ):
                rows.put_fact(db, fact, value)
        for number in range(1, 1000):
            slug = (
                slug_of(name)
                if number == 1
                else f"{slug_of(name)[: _LONGEST - 4].strip('-')}-{number}"
            )
            try:
                draft.rename(parent / slug)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            else:
                files.sync_folder(parent)
                return Collection(parent / slug)
        raise files.RefusedError("no free name was found", "give it another one")
    except database.FAULTS as error:
        raise refusal(name, error, "import again", "could not be made: ") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def delete(collection: Collection) -> None:
    """Delete a collection and the originals kept in it; files of a folder stay where they are.

    Raises:
        RunLockedError: an import is at work on it.
        StoreError: it cannot be removed.
    """
    with collection.alone():
        aside = collection.folder.with_name(f".deleted-{secrets.token_hex(8)}")
        try:
            collection.folder.rename(aside)
        except OSError as error:
            raise refusal(collection.slug, error, "delete it again") from error
    shutil.rmtree(aside, ignore_errors=True)


def slug_of(name: str) -> str:
    """Return a name that a command, an address and a folder can carry; of a slug, itself.

    Choice: what has no Latin spelling, or is cut off, is stood for by six digits of a hash, so names that differ in
    more than accents, case and punctuation have slugs that differ.
    """
    parts = unicodedata.normalize("NFKD", name)
    plain = re.sub(r"[^a-z0-9]+", "-", parts.encode("ascii", "ignore").decode().lower()).strip("-")
    foreign = any(not c.isascii() and not unicodedata.combining(c) for c in parts)
    if plain and not foreign and len(plain) <= _LONGEST:
        return plain
    if not parts.strip():
        return "images"
    digits = hashlib.sha256(parts.strip().casefold().encode("utf-8", "replace")).hexdigest()[:6]
    return f"{plain[: _LONGEST - 7].strip('-') or 'images'}-{digits}"


def _crcs(db: sqlite3.Connection) -> dict[int, int]:
    """Return the CRC of every picture by image number."""
    return dict(db.execute("SELECT image, pixels_crc FROM images"))


class _Whereabouts(NamedTuple):
    """Where an original lies: in the pack (first byte and size), or in files (name, place and path of each).

    `id` is that of its image.
    """

    id: str
    packed: tuple[int, int] | None
    places: list[tuple[str, str, bytes]]

    @property
    def name(self) -> str:
        """The name of its first file, to be shown."""
        return shorten(self.places[0][0], 200)


def _whereabouts(db: sqlite3.Connection, number: int) -> _Whereabouts | None:
    """Return where the original of an image lies, or None where there is no such image."""
    image = next(rows.select(db, "images", "WHERE image = ?", number), None)
    if image is None:
        return None
    sources = rows.sources(db)
    there = rows.select(db, "files", "WHERE image = ?", number)
    files_of = [(name, source, path) for _, source, name, path, *_ in there]
    if not files_of or not sources.keys() >= {source for _, source, _ in files_of}:
        raise rows.damage()  # an image comes with its file, and a file with its source
    places = [(name, sources[source][1], path) for name, source, path in files_of]
    _, key, *_, at, size, _ = image
    return _Whereabouts(key, None if at is None else (at, size), places)


def _read_inside(root: Path, path: bytes, most: int = -1) -> bytes | None:
    """Return the bytes of a file below `root`, its first ones by `most`; None where there is none that may be read."""
    try:
        target = (root / os.fsdecode(path)).resolve()
        if not target.is_relative_to(root.resolve()) or not target.is_file():
            return None
        with target.open("rb") as file:
            return file.read(most)
    except OSError:
        return None


def statistics(pictures: Iterable[Pixels], channels: int) -> tuple[list[float], list[float]]:
    """Return mean and deviation of pictures / 255 per channel, exactly, from histograms."""
    histograms = np.zeros((channels, 256), dtype=np.int64)
    for picture in pictures:
        for channel in range(channels):
            histograms[channel] += np.bincount(picture[channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    means, deviations = [], []
    for histogram in histograms:
        share = histogram / max(1, histogram.sum())
        mean = float(share @ values)
        means.append(mean)
        deviations.append(max(1e-3, float(share @ (values - mean) ** 2) ** 0.5))
    return means, deviations
