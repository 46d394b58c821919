"""From a path to a source: which reader fits, and what it needs to be told."""

import base64
import binascii
import dataclasses
import errno
import functools
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rambo.collection.looks import SUFFIXES, Limits, Pixels, sniff_suffix
from rambo.collection.readers import arrays, folders, layout, tables
from rambo.collection.readers.items import Item, Payload, Source, display, distinct, listing
from rambo.collection.readers.tables import AnswerRow, Matches, Table
from rambo.collection.records import Unreadable
from rambo.errors import DataError, RamboError, StoreError
from rambo.storage.files import RefusedError, reason

TABLES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson")
_TABLE_BYTES = 512_000_000


@dataclasses.dataclass(frozen=True)
class ArrayLoader:
    """Gives rows of arrays that lie in files; a key is array and row."""

    images: tuple[arrays.Mapped, ...]

    def load(self, keys: Sequence[Any]) -> list[Payload | Exception]:
        """Return the pixels of each image."""
        return [_mapped(self.images[array])[row] for array, row in keys]


@functools.lru_cache(maxsize=4)
def _mapped(images: arrays.Mapped) -> Pixels:
    """Return images that this process opened before."""
    return images.opened()


@dataclasses.dataclass(frozen=True)
class TableLoader:
    """Reads files that a table names below a folder, or that it holds as text."""

    root: str
    file_bytes: int

    def load(self, keys: Sequence[Any]) -> list[Payload | Exception]:
        """Return the bytes of each image, or why there are none."""
        files = folders.FolderLoader(self.root, self.file_bytes)
        return [self._inline(key) if isinstance(key, str) else files.load([key])[0] for key in keys]

    def _inline(self, key: str) -> Payload | Exception:
        try:
            return base64.b64decode(key.partition(",")[2], validate=False)
        except (binascii.Error, ValueError):
            return RefusedError("the picture inside the table is damaged", "export it again")


def read_source(
    path: Path,
    limits: Limits,
    scratch: Path,
    labels: Path | None = None,
    group_by: str | None = None,
) -> Source:
    """Return what lies at a path: a folder, a zip, an `.npz`, a table, or parquet. It is for a limited child.

    Args:
        path: what a person named.
        limits: what files may ask for.
        scratch: a folder for what does not fit into memory.
        labels: a table with labels for the images there.
        group_by: a column of a table, or `folder`: what keeps images together.

    Raises:
        DataError: nothing is there, or nothing that can be read; names the file and the way out.
        StoreError: `scratch` has no room.
    """
    what = "folder" if path.is_dir() else "file"
    try:
        return _read(path.absolute(), limits, scratch, labels, group_by)
    except RamboError:
        raise
    except RefusedError as error:
        raise refusal(error, what, path) from error
    except MemoryError as error:
        hint = "use fewer images at a time"
        raise DataError("it does not fit into memory", field=what, value=path, hint=hint) from error
    except Exception as error:  # zip, numpy and codecs raise over a dozen kinds
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            full = reason(error, "import again")
            raise StoreError(full.problem, field=what, value=path, hint=full.hint) from error
        raise DataError(
            getattr(error, "strerror", None) or "it is damaged or of another kind",
            field=what,
            value=path,
            hint="save it again, or check that it may be read",
        ) from error


def refusal(error: RefusedError, what: str, value: Path | str) -> DataError:
    """Return what is wrong with a file or a folder, as an error that names it.

    Args:
        error: of the reader.
        what: `file`, `folder` or `table`.
        value: which one.
    """
    return DataError(error.problem, field=what, value=value, limit=error.limit, hint=error.hint)


def _read(
    path: Path, limits: Limits, scratch: Path, labels: Path | None, group_by: str | None
) -> Source:
    """Return the source at an absolute path."""
    if not path.exists():
        raise RefusedError(
            "nothing is there", "give a folder, a zip, an .npz, a table or a parquet file"
        )
    suffix = path.suffix.lower()
    column = group_by if group_by != "folder" else None
    table = None if labels is None else read_table(labels, column)
    if path.is_dir():
        return _read_folder(path, limits, table, group_by)
    if suffix == ".npz":
        return _read_npz(path, limits, scratch, table, column if table is None else None)
    if suffix == ".parquet":
        from rambo.collection.readers import parquet  # arrow: only where it is needed

        return parquet.read_parquet([path], path, limits, column)
    if suffix in TABLES:
        return _read_table_source(path, limits, group_by)
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith(b"PK"):
        return folders.read_zip(path, limits, labels=table, group_by=group_by)
    if sniff_suffix(start) != ".bin" or suffix in SUFFIXES:
        raise RefusedError("it is a single image", "give the folder that it lies in")
    raise RefusedError(
        "of an unknown kind", "give a folder, a zip, an .npz, a table or a parquet file"
    )


def read_table(path: Path, group_column: str | None = None) -> Table:
    """Return the table in a file.

    Raises:
        DataError: it cannot be read or understood.
    """
    try:
        if path.stat().st_size > _TABLE_BYTES:
            raise RefusedError(
                f"over {_TABLE_BYTES // 1_000_000} MB", "give names and labels only", _TABLE_BYTES
            )
        return tables.parse(path.read_bytes(), display(path.name), group_column)
    except OSError as error:
        problem = error.strerror or "it cannot be read"
        raise DataError(
            problem, field="table", value=Path(path.name), hint="check the path"
        ) from error
    except RefusedError as error:
        raise refusal(error, "table", Path(path.name)) from error


def _read_folder(path: Path, limits: Limits, table: Table | None, group_by: str | None) -> Source:
    """Return the images of a folder, or of the parquet files that it holds instead of images."""
    try:
        return folders.read_folder(path, limits, labels=table, group_by=group_by)
    except DataError:
        shards = sorted(p for p in path.rglob("*.parquet") if p.is_file() and not p.is_symlink())
        if not shards:
            raise
        from rambo.collection.readers import parquet  # arrow: only where it is needed

        return parquet.read_parquet(shards, path, limits, group_by)


def _read_npz(
    path: Path, limits: Limits, scratch: Path, table: Table | None, group: str | None
) -> Source:
    """Return the images of an `.npz` file; a table may name rows by index."""
    stored = arrays.store(path, limits, scratch, group)
    content = stored.rest
    digest = hashlib.sha256(
        str((path.stat().st_size, path.stat().st_mtime_ns)).encode()
    ).hexdigest()
    keys = [
        (part, row) for part, images in enumerate(stored.images) for row in range(images.shape[0])
    ]
    items = []
    for place, key in enumerate(keys):
        label = int(content.labels[place])
        role = content.roles[place]
        name = content.files[place] if content.files is not None else f"{path.stem}/{place:06d}.png"
        items.append(
            Item(
                key=key,
                name=display(name),
                path=f"{place}".encode(),
                stamp=digest[:16],
                label=None if label < 0 else content.classes[label],
                origin="" if label < 0 else f"{display(path.name)}, labels",
                role=role if role in ("validation", "test") else None,
                group=content.groups[place] if content.groups is not None else None,
            )
        )
    remarks = [f"{display(path.name)}: {line}" for line in content.remarks]
    if table is not None:
        matches = Matches(table, [tables.split_path(item.name) for item in items])
        per_table = [matches]
        items = [
            answer
            for row, item in enumerate(items)
            for answer in folders.matches_all(per_table, row, matches.apply(row, item))
        ]
        remarks += matches.remarks()
    return Source(
        kind="npz",
        place=str(path),
        items=tuple(items) if table is not None else distinct(items),
        loader=ArrayLoader(stored.images),
        stays=False,
        classes=content.classes if content.declared else (),
        remarks=tuple(remarks),
    )


def _read_table_source(path: Path, limits: Limits, group_by: str | None) -> Source:
    """Return the images that a table names, relative to the folder it lies in."""
    table = read_table(path, group_by if group_by != "folder" else None)
    root = path.parent
    items: list[Item] = []
    refused: list[Unreadable] = []
    elsewhere: list[AnswerRow] = []
    for row in table.rows:
        if row.file is None:
            raise RefusedError(
                "it names images by index", "give the .npz first and this table by --labels"
            )
        if row.file.startswith("data:image/"):
            digest = hashlib.sha256(row.file.encode()).hexdigest()[:16]
            items.append(_item(row, row.file, f"{row.origin} {digest}", digest, group_by))
            continue
        name, reason = _inside(root, row.file)
        if name is not None:
            items.append(_file_item(root, row, name, group_by))
        elif reason is not None:
            refused.append(Unreadable(display(row.file)[:200], reason))
        else:
            elsewhere.append(row)
    if elsewhere:  # the table was written where folders are called otherwise
        names = _images_below(root)
        matches = Matches(
            dataclasses.replace(table, rows=tuple(elsewhere)), [name.split("/") for name in names]
        )
        items += [_file_item(root, row, names[place], group_by) for place, row in matches.pairs()]
        refused += [Unreadable(file, "there is no such file") for file in matches.missing]
        refused += [Unreadable(file, "several files could be meant") for file in matches.ambiguous]
    if not items:
        reasons = listing([f"{bad.file}: {bad.reason}" for bad in refused])
        raise RefusedError(
            f"none of its images was found ({reasons or 'it has no rows'})", "put it beside them"
        )
    inline = any(isinstance(item.key, str) for item in items)
    return Source(
        kind="table",
        place=str(root),
        items=tuple(items),
        loader=TableLoader(str(root), limits.file_bytes),
        stays=not inline,
        classes=table.classes,
        remarks=table.remarks,
        refused=tuple(dict.fromkeys(refused)),
    )


def _item(row: AnswerRow, key: Any, name: str, stamp: str, group_by: str | None) -> Item:
    """Return the item of a row."""
    group = row.group
    if group_by == "folder":
        group = name.rpartition("/")[0] or None
    return Item(
        key=key,
        name=display(name),
        path=os.fsencode(name) if not isinstance(key, str) else name.encode("utf-8", "replace"),
        stamp=stamp,
        label=row.label,
        origin=row.origin if row.label is not None else "",
        role=row.role,
        group=group,
        annotator=row.annotator,
        answer=row.answer,
    )


def _inside(root: Path, text: str) -> tuple[str | None, str | None]:
    """Return a file's name below `root`, or why it may not be read, or two Nones: it is not there."""
    home = root.resolve()
    try:
        target = (root / text.replace("\\", "/")).resolve()
        if target.is_file():
            if target.is_relative_to(home):
                return target.relative_to(home).as_posix(), None
            return None, "it lies outside the table's folder; put the table above its images"
        if ".." in text.replace("\\", "/").split("/"):
            return None, "it leads out of the table's folder"
    except (OSError, ValueError):
        return None, "it is no file name"
    return None, None


def _file_item(root: Path, row: AnswerRow, name: str, group_by: str | None) -> Item:
    """Return the item of a row whose file is below `root`."""
    status = (root / name).stat()
    stamp = f"{status.st_size}:{status.st_mtime_ns}"
    return _item(row, os.fsencode(name), name, stamp, group_by)


def _images_below(root: Path) -> list[str]:
    """Return all image files below `root`, relative to it."""
    images = []
    home = root.resolve()
    for folder, below, names in os.walk(home):
        below[:] = sorted(name for name in below if not layout.is_junk(name))
        images += [
            (Path(folder) / name).relative_to(home).as_posix()
            for name in sorted(names)
            if name.lower().endswith(SUFFIXES) and not (Path(folder) / name).is_symlink()
        ]
    return images
