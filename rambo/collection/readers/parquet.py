"""A Hugging Face dataset as parquet: an image column of bytes and path, labels as numbers with names or as text."""

import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rambo.collection.looks import Limits
from rambo.collection.readers.items import Item, Payload, Source, class_name, display, listing
from rambo.collection.readers.layout import split_of
from rambo.collection.readers.tables import is_unknown
from rambo.errors import DataError
from rambo.storage.files import RefusedError

_ROWS = 32  # unpacked at once
_IMAGE = ("image", "img", "picture", "pixel_values", "bytes")
_LABEL = ("label", "labels", "class", "category", "target", "fine_label")


@dataclasses.dataclass(frozen=True)
class ParquetLoader:
    """Reads the image column, a row group at a time; a key is file, group and row."""

    column: str

    def load(self, keys: Sequence[Any]) -> list[Payload | Exception]:
        """Return the bytes of each image, or why there are none."""
        return [self._read(*key) for key in keys]

    def _read(self, path: str, group: int, row: int) -> Payload | Exception:
        try:
            value = _group(path, group, self.column).at(row)
        except Exception:  # arrow raises its own dozen
            return RefusedError("the parquet file is damaged here", "download it again")
        if isinstance(value, dict):
            value = value.get("bytes")
        if not isinstance(value, bytes):
            return RefusedError("the row holds no image bytes", "leave it out")
        return value


class _RowGroup:
    """One column of a row group, unpacked a few rows at a time: what is packed well may be huge."""

    def __init__(self, path: str, group: int, column: str) -> None:
        """Use a row group; nothing is read yet."""
        self.place = path, group, column
        self.broken: Exception | None = None
        self._begin()

    def _begin(self) -> None:
        """Stand before the first row."""
        path, group, column = self.place
        self.first, self.rows = 0, pa.array([])
        self.batches = pq.ParquetFile(path).iter_batches(
            _ROWS, row_groups=[group], columns=[column]
        )

    def at(self, row: int) -> Any:
        """Return the value in a row; rows that rise are read once.

        Raises:
            Exception: of arrow; for all rows from there on, without another try.
        """
        if self.broken is not None:
            raise self.broken
        if row < self.first:
            self._begin()
        try:
            while row >= self.first + len(self.rows):
                self.first += len(self.rows)
                self.rows = next(self.batches).column(0)
        except Exception as error:
            self.broken = error
            raise
        return self.rows[row - self.first].as_py()


@functools.lru_cache(maxsize=2)
def _group(path: str, group: int, column: str) -> _RowGroup:
    """Return a row group that this process opened before."""
    return _RowGroup(path, group, column)


def read_parquet(
    paths: Sequence[Path], place: Path, limits: Limits, group_by: str | None = None
) -> Source:
    """Return the images of parquet files of one dataset; the file's name may say its split.

    Raises:
        DataError: one is damaged, breaks the limits, or has no image column.
    """
    items: list[Item] = []
    remarks: list[str] = []
    classes: tuple[str, ...] = ()
    column = ""
    total = 0
    for path in paths:
        name = display(path.name)
        try:
            file = pq.ParquetFile(path)
            schema = file.schema_arrow
            total += sum(
                file.metadata.row_group(g).total_byte_size for g in range(file.num_row_groups)
            )
        except Exception as error:
            raise DataError(
                "it is no whole parquet file", field="file", value=name, hint="download it again"
            ) from error
        if total > limits.total_bytes or file.metadata.num_rows > limits.members:
            raise DataError(
                f"{total / 1e9:.1f} GB unpacked in {file.metadata.num_rows:,} rows",
                field="file",
                value=name,
                limit=limits.total_bytes if total > limits.total_bytes else limits.members,
                hint=f"the limit is {limits.total_bytes / 1e9:.0f} GB and {limits.members:,} rows: use fewer images or "
                "raise it",
            )
        column = _image_column(schema, name)
        label = next((name for name in _LABEL if name in schema.names), None)
        if group_by is not None and group_by not in schema.names:
            raise DataError(
                f"no column {display(group_by)}",
                field="file",
                value=name,
                hint=f"it has {listing(schema.names, 8)}",
            )
        classes = _class_names(schema, label) or classes
        role = split_of(path.stem.split("-")[0])
        role = None if role == "train" else role
        stamp = f"{path.stat().st_size}:{path.stat().st_mtime_ns}"
        others = [name for name in (label, group_by) if name is not None]
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=[*others, *_path_column(schema, column)])
            for row, record in enumerate(table.to_pylist()):
                inner = record.get(column) or {}
                origin = inner.get("path") if isinstance(inner, dict) else None
                title = f"{origin or 'row'} ({path.name}, row {group}.{row})"
                class_ = _class_of(record.get(label), classes) if label else None
                items.append(
                    Item(
                        key=(str(path), group, row),
                        name=display(title),
                        path=f"{path.name}/{group}/{row}".encode("utf-8", "backslashreplace"),
                        stamp=stamp,
                        label=class_,
                        origin=f"{display(path.name)}, column {label}" if class_ else "",
                        role=role,
                        group=str(record[group_by])
                        if group_by and record[group_by] is not None
                        else None,
                    )
                )
        unused = [name for name in schema.names if name not in (*others, column)]
        if unused:
            remarks.append(
                f"{display(path.name)}: not used: {listing([display(u) for u in unused], 6)}"
            )
    if not items:
        raise DataError(
            "has no rows", field="file", value=display(place.name), hint="give one with images"
        )
    return Source(
        *("parquet", str(place), tuple(items), ParquetLoader(column), False),
        classes,
        tuple(remarks),
    )


def _image_column(schema: pa.Schema, file: str) -> str:
    """Return the column with the images."""
    for name in (*_IMAGE, *schema.names):
        if name not in schema.names:
            continue
        kind = schema.field(name).type
        if pa.types.is_struct(kind) and "bytes" in [
            kind.field(i).name for i in range(kind.num_fields)
        ]:
            return name
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            return name
    raise DataError(
        "no column of images",
        field="file",
        value=file,
        hint=f"it has {listing([display(n) for n in schema.names], 8)}: save images as bytes in a column image",
    )


def _path_column(schema: pa.Schema, column: str) -> list[str]:
    """Return the part of the image column that holds its path, if there is one."""
    kind = schema.field(column).type
    if pa.types.is_struct(kind) and "path" in [kind.field(i).name for i in range(kind.num_fields)]:
        return [f"{column}.path"]
    return []


def _class_names(schema: pa.Schema, label: str | None) -> tuple[str, ...]:
    """Return the names that Hugging Face's description of the columns gives the labels."""
    features = (schema.metadata or {}).get(b"huggingface")
    if features is None or label is None:
        return ()
    try:
        names = json.loads(features)["info"]["features"][label]["names"]
        return tuple(class_name(str(name)) for name in names)
    except (ValueError, KeyError, TypeError):
        return ()


def _class_of(value: Any, classes: tuple[str, ...]) -> str | None:
    """Return the class of a row, or None."""
    if isinstance(value, int) and classes:
        return classes[value] if 0 <= value < len(classes) else None
    if value is None or is_unknown(str(value)):
        return None
    return class_name(str(value)) or None
