"""A folder of images, or a zip of one: sub-folders as classes, a table beside the images, or neither."""

import dataclasses
import functools
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rambo.collection.looks import FOREIGN, SUFFIXES, Limits, sniff_suffix
from rambo.collection.readers import archives, layout, tables
from rambo.collection.readers.items import Item, Payload, Source, display, distinct, listing
from rambo.collection.readers.tables import Table
from rambo.collection.records import Unreadable
from rambo.errors import DataError
from rambo.storage.files import RefusedError

_TABLES = ("metadata.csv", "metadata.jsonl")  # of a Hugging Face image folder
_LABELS = {  # what people call a table of labels that lies beside the images
    f"{name}.{suffix}"
    for name in ("labels", "label", "annotations")
    for suffix in ("csv", "tsv", "json", "jsonl", "xml")
}
_TABLE_LIKE = (".csv", ".tsv", ".json", ".jsonl", ".ndjson")
_NO_LABELS = (
    "submission",
    "predict",
)  # in the name of a table: a machine's answers, not a person's
_MOST_TABLES = 20  # Choice: of any name; where there are more, each is likely to speak of one image
_TABLE_BYTES = 256_000_000


@dataclasses.dataclass(frozen=True)
class FolderLoader:
    """Reads files below a folder."""

    root: str
    file_bytes: int

    def load(self, keys: Sequence[Any]) -> list[Payload | Exception]:
        """Return the bytes of each file, or what the disk says."""
        return [self._read(key) for key in keys]

    def _read(self, key: bytes) -> Payload | Exception:
        try:
            with (Path(self.root) / os.fsdecode(key)).open("rb") as file:
                return file.read(self.file_bytes + 1)
        except OSError as error:
            return error


@dataclasses.dataclass(frozen=True)
class ZipLoader:
    """Reads members of a zip by their place in its directory."""

    path: str
    file_bytes: int

    def load(self, keys: Sequence[Any]) -> list[Payload | Exception]:
        """Return the bytes of each member, or why it cannot be read."""
        return [self._read(key) for key in keys]

    def _read(self, key: int) -> Payload | Exception:
        try:
            archive = archives.shared_zip(self.path)
            return archives.read_member(archive, archive.infolist()[key], self.file_bytes)
        except RefusedError as error:
            return error
        except Exception:  # zipfile and its codecs raise ten kinds
            return RefusedError("the archive is damaged here", "save it again")


@dataclasses.dataclass(frozen=True)
class _Entry:
    """A file that may be an image: key for the loader, parts of its path, stamp."""

    key: Any
    parts: tuple[str, ...]
    path: bytes
    stamp: str


@dataclasses.dataclass
class _Walk:
    """What was met on the way through a folder or a zip."""

    entries: list[_Entry] = dataclasses.field(default_factory=list)
    tables: list[tuple[tuple[str, ...], bytes]] = dataclasses.field(default_factory=list)
    labels: list[tuple[tuple[str, ...], Callable[[], bytes]]] = dataclasses.field(
        default_factory=list
    )
    others: list[tuple[tuple[str, ...], Callable[[], bytes]]] = dataclasses.field(
        default_factory=list
    )
    parquet: list[str] = dataclasses.field(default_factory=list)
    refused: list[Unreadable] = dataclasses.field(default_factory=list)
    unused: list[str] = dataclasses.field(default_factory=list)
    junk: Counter[str] = dataclasses.field(default_factory=Counter)


def read_folder(
    root: Path, limits: Limits, *, labels: Table | None = None, group_by: str | None = None
) -> Source:
    """Return the images of a folder.

    Args:
        root: an existing folder.
        limits: what a file may ask for.
        labels: a table with file name and label; what it says comes before folder names.
        group_by: `folder`, or a column of the table.

    Raises:
        DataError: there are too many files, or no image among them.
    """
    walk = _Walk()
    _walk_folder(root, limits, walk)
    loader = FolderLoader(str(root), limits.file_bytes)
    return _source("folder", root, walk, loader, True, labels, group_by)


def read_zip(
    path: Path, limits: Limits, *, labels: Table | None = None, group_by: str | None = None
) -> Source:
    """Return the images of a zip; see `read_folder`.

    Raises:
        DataError: it holds no image.
        RefusedError: it breaks the limits or is no zip.
    """
    walk = _Walk()
    with archives.open_zip(path, limits) as archive:
        for place, member in enumerate(archive.infolist()):
            if member.is_dir():
                continue
            names = member.filename.replace("\\", "/").split("/")
            parts = tuple(name for name in names if name not in ("", "."))
            junk = next((part for part in parts if layout.is_junk(part)), None)
            if junk is not None and ".." not in parts:
                walk.junk[junk] += 1
                continue
            reason = archives.check_member(member, limits)
            if reason is not None:
                walk.refused.append(Unreadable(display(member.filename), str(reason)))
            elif parts[-1].lower() in _TABLES:
                walk.tables.append(
                    (parts[:-1], archives.read_member(archive, member, _TABLE_BYTES))
                )
            elif (beside := _tables_like(parts[-1], walk)) is not None:
                read = functools.partial(archives.read_member, archive, member, _TABLE_BYTES)
                beside.append((parts, read))
            elif parts[-1].rstrip(" .").lower().endswith(SUFFIXES):
                stamp = f"{member.file_size}:{member.CRC:08x}"
                name = member.filename.encode("utf-8", "backslashreplace")
                walk.entries.append(_Entry(place, parts, name, stamp))
            elif (foreign := FOREIGN.get(Path(parts[-1]).suffix.lower())) is not None:
                walk.refused.append(Unreadable(display(member.filename), foreign))
            else:
                walk.unused.append(display(member.filename))
        loader = ZipLoader(str(path), limits.file_bytes)
        return _source("zip", path, walk, loader, False, labels, group_by)


def _walk_folder(root: Path, limits: Limits, walk: _Walk) -> None:
    """Look at every file below `root`; links are followed to files inside it only."""
    home = root.resolve()
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        parts = waiting.pop()
        try:
            with os.scandir(root.joinpath(*parts)) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            reason = f"the folder cannot be opened ({error.strerror})"
            walk.refused.append(Unreadable(display("/".join(parts)), reason))
            continue
        below = []
        for entry in entries:
            here = (*parts, entry.name)
            if layout.is_junk(entry.name):
                walk.junk[entry.name] += 1
            elif entry.is_symlink() and not _inside(Path(entry.path), home):
                reason = "it is a link that leads out of the folder; copy the file itself"
                walk.refused.append(Unreadable(display("/".join(here)), reason))
            elif entry.is_dir(follow_symlinks=False):
                below.append(here)
            elif entry.is_file():
                _meet(entry, here, walk)
            if len(walk.entries) > limits.members:
                raise DataError(
                    f"over {limits.members:,} images",
                    field="folder",
                    value=display(root.name),
                    limit=limits.members,
                    hint="import it in parts",
                )
        waiting += reversed(below)


def _inside(link: Path, home: Path) -> bool:
    """Return whether a link leads to a plain file below `home`."""
    try:
        target = link.resolve(strict=True)
        return target.is_file() and target.is_relative_to(home)
    except (OSError, RuntimeError):
        return False


def _meet(entry: "os.DirEntry[str]", parts: tuple[str, ...], walk: _Walk) -> None:
    """Sort a file: image, table, or not used."""
    name = entry.name.lower()
    path = os.fsencode("/".join(parts))
    try:
        status = entry.stat()
        if name in _TABLES:
            walk.tables.append((parts[:-1], _read_head(entry.path, _TABLE_BYTES)))
        elif (beside := _tables_like(name, walk)) is not None:
            beside.append((parts, functools.partial(_read_head, entry.path, _TABLE_BYTES)))
        elif name.endswith(".parquet"):
            walk.parquet.append("/".join(parts))
        elif name.endswith(SUFFIXES) or sniff_suffix(_read_head(entry.path, 16)) != ".bin":
            stamp = f"{status.st_size}:{status.st_mtime_ns}"
            walk.entries.append(_Entry(path, parts, path, stamp))
        elif (foreign := FOREIGN.get(Path(name).suffix)) is not None:
            walk.refused.append(Unreadable(display(path), foreign))
        else:
            walk.unused.append(display(path))
    except OSError as error:
        reason = f"it cannot be read ({error.strerror})"
        walk.refused.append(Unreadable(display(path), reason))


def _tables_like(
    name: str, walk: _Walk
) -> list[tuple[tuple[str, ...], Callable[[], bytes]]] | None:
    """Return the list that a file of this name joins because it may be a table of labels, or None."""
    name = name.lower()
    if name in _LABELS:
        return walk.labels
    return walk.others if name.endswith(_TABLE_LIKE) else None


def _read_head(path: str, most: int) -> bytes:
    """Return the first bytes of a file; a pipe or device has none."""
    if not Path(path).is_file():
        return b""
    with Path(path).open("rb") as file:
        return file.read(most)


def _source(
    kind: str,
    place: Path,
    walk: _Walk,
    loader: FolderLoader | ZipLoader,
    stays: bool,
    labels: Table | None,
    group_by: str | None,
) -> Source:
    """Return the source of what was met."""
    if not walk.entries:
        files = listing(walk.unused + [f"{bad.file} ({bad.reason})" for bad in walk.refused])
        raise DataError(
            f"holds no image{f' (but {files})' if files else ''}",
            field=kind,
            value=display(place.name),
            hint="give a folder with PNG, JPEG, WebP, BMP, TIFF or GIF files",
        )
    placements, homeless = layout.place([entry.parts for entry in walk.entries], place.stem)
    column = group_by if group_by != "folder" else None
    inner = _own_table(walk, kind, place, column if labels is None else None)
    by_folder = any(placement.label for placement in placements)
    inner = _label_table(walk, inner or labels, column, by_folder) or inner
    if column is not None and inner is None and labels is None:
        raise no_column(kind, place, column)
    merged = [table for table in (inner, labels) if table is not None]
    per_table = [tables.Matches(table, [entry.parts for entry in walk.entries]) for table in merged]
    items: list[Item] = []
    for row, (entry, placement) in enumerate(zip(walk.entries, placements, strict=True)):
        item = Item(
            key=entry.key,
            name=display("/".join(entry.parts)),
            path=entry.path,
            stamp=entry.stamp,
            label=placement.label,
            origin=f"folder {placement.label}" if placement.label else "",
            role=placement.role,
            group=placement.folder if group_by == "folder" else None,
        )
        if inner is not None and inner.has_labels:
            item = dataclasses.replace(
                item, label=None, origin=""
            )  # folders hold the files, no more
        for matches in per_table:
            item = matches.apply(row, item)
        items += matches_all(per_table, row, item)
    remarks = [] if any(table.has_labels for table in merged) else homeless
    remarks += layout.twins(placements)
    remarks += [line for matches in per_table for line in matches.remarks()]
    remarks += _remarks(walk)
    declared = tuple(name for table in merged for name in table.classes)
    return Source(
        kind=kind,
        place=str(place),
        items=distinct(items) if kind == "zip" else tuple(items),
        loader=loader,
        stays=stays,
        classes=declared,
        remarks=tuple(remarks),
        refused=tuple(walk.refused),
    )


def matches_all(per_table: Sequence[tables.Matches], row: int, item: Item) -> Iterator[Item]:
    """Yield the item, and once more for every further answer that a table has for it."""
    yield item
    for matches in per_table:
        for extra in matches.further(row):
            yield dataclasses.replace(
                item,
                label=extra.label,
                origin=extra.origin,
                annotator=extra.annotator,
                answer=extra.answer,
            )


def no_column(what: str, place: Path, column: str) -> DataError:
    """Return the refusal of a group column where there is no table."""
    return DataError(
        f"there is no table with a column {display(column)}",
        field=what,
        value=display(place.name),
        hint="give one with file names and that column by --labels, or say folder to group by folder",
    )


def _label_table(
    walk: _Walk, other: Table | None, group_column: str | None, by_folder: bool
) -> Table | None:
    """Return the labels that lie in tables beside the images, where no other table speaks of them.

    Choice: tables that are called so count, whatever folders say; without one any table that names images and classes
    does, but only where no folder names a class. Several are one where no image stands in two of them. What is not
    used is noted.
    """
    named = walk.labels
    if not named and not by_folder and len(walk.others) <= _MOST_TABLES:
        named = [
            (parts, read)
            for parts, read in walk.others
            if not any(word in parts[-1].lower() for word in _NO_LABELS)
        ]
    used: list[tuple[str, ...]] = []
    chosen: list[Table] = []
    places: set[int] = set()
    for parts, read in named if other is None else ():
        table = _labels_in(read, display("/".join(parts)), group_column)
        if table is None:
            continue
        table = table.below("/".join(parts[:-1]))
        pairs = tables.Matches(table, [entry.parts for entry in walk.entries]).pairs()
        rows = {place for place, row in pairs}
        if places & rows:
            used, chosen = [], []  # which of them to believe?
            break
        if rows:
            places |= rows
            used.append(parts)
            chosen.append(table)
    walk.unused += [
        display("/".join(parts)) for parts, _ in walk.labels + walk.others if parts not in used
    ]
    return tables.joined(chosen) if chosen else None


def _labels_in(read: Callable[[], bytes], name: str, group_column: str | None) -> Table | None:
    """Return the table in a file if every row gives an image by name, and one of them its class; else None."""
    try:
        table = tables.parse(read(), name, group_column)
    except RefusedError:
        return None
    labeled = table.has_labels and any(row.label is not None for row in table.rows)
    return table if labeled and all(row.file for row in table.rows) else None


def _own_table(walk: _Walk, what: str, place: Path, group_column: str | None) -> Table | None:
    """Return the tables that lie beside the images as one, their file names from the top."""
    parts = []
    for folder, data in walk.tables:
        try:
            table = tables.parse(data, f"{'/'.join((*folder, 'metadata'))}", group_column)
        except RefusedError as error:
            raise DataError(
                f"the table in {'/'.join(folder) or 'it'}: {error.problem}",
                field=what,
                value=display(place.name),
                limit=error.limit,
                hint=error.hint,
            ) from error
        parts.append(table.below("/".join(folder)))
    return tables.joined(parts) if parts else None


def _remarks(walk: _Walk) -> list[str]:
    """Return remarks on what was passed over."""
    remarks = []
    if walk.junk:
        count = sum(walk.junk.values())
        words = "file was" if count == 1 else "files were"
        remarks.append(
            f"{count:,} hidden or system {words} passed over ({listing(sorted(walk.junk))})"
        )
    if walk.unused:
        count = len(walk.unused)
        words = "file is no image and was" if count == 1 else "files are no images and were"
        remarks.append(f"{count:,} {words} not used: {listing(walk.unused)}")
    if walk.parquet:
        remarks.append(
            f"{len(walk.parquet):,} parquet files were not used ({listing(walk.parquet)}); "
            "import them by their own path"
        )
    return remarks
