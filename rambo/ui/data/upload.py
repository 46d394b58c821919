"""Files that people send: kept whole under their own name, or not at all."""

import dataclasses
import hashlib
import itertools
import os
import re
import secrets
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from rambo.collection.looks import SUFFIXES
from rambo.errors import DataError, StoreError
from rambo.runs import imports
from rambo.storage import files

LIMIT_MB = 200
OWN_MB = 1000  # a zip of one's own photos
TABLES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson")
ARCHIVES = (".zip", ".npz", ".parquet")


def keep_upload(
    stream: BinaryIO,
    name: str,
    root: Path,
    *,
    suffix: str = ".npz",
    limit_mb: int | None = None,
    below: str = "uploads",
) -> Path:
    """Return `<root>/uploads/<name>.npz` with the bytes of `stream`, whole or not there at all.

    The same bytes under the same name are one file; others under that name get a number behind it.

    Args:
        stream: what a person sent.
        name: what they call it.
        root: the workspace.
        suffix: of the file that is kept.
        limit_mb: megabytes it may have; 200 by default.
        below: the folder of the workspace.

    Raises:
        DataError: it has more.
        StoreError: the disk refuses.
    """
    most = LIMIT_MB if limit_mb is None else limit_mb
    plain = re.sub(r"[^a-z0-9]+", "-", Path(name).stem.lower()).strip("-")[:40] or "images"
    beside = root / below / f".{secrets.token_hex(8)}.part"
    try:
        files.make_folder(beside.parent)
        sha, size = hashlib.sha256(), 0
        with beside.open("xb") as file:
            while block := stream.read(1 << 20):
                size += len(block)
                if size > most << 20:
                    raise DataError(
                        f"is larger than {most} MB",
                        field="file",
                        value=Path(name).name,
                        limit=most,
                        hint="type its path instead",
                    )
                sha.update(block)
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        target = _place(beside.parent, plain, suffix, sha.hexdigest())
        beside.replace(target)
        files.sync_folder(target.parent)
    except OSError as error:
        reason = files.reason(error, "send the file again")
        raise StoreError(
            f"could not be kept: {reason.problem}",
            field="file",
            value=Path(name).name,
            hint=reason.hint,
        ) from error
    finally:
        beside.unlink(missing_ok=True)
    return target


def _place(folder: Path, plain: str, suffix: str, sha: str) -> Path:
    """Return where a file of that content and name lies, or may lie."""
    for number in itertools.count(1):
        path = folder / f"{plain}{'' if number == 1 else f'-{number}'}{suffix}"
        if not path.exists():
            return path
        with path.open("rb") as there:
            if hashlib.file_digest(there, "sha256").hexdigest() == sha:
                return path
    raise AssertionError("numbers do not end")


@dataclasses.dataclass(frozen=True)
class UploadedFiles:
    """What a person sent, kept on this machine.

    Attributes:
        sources: archives and tables with pictures in them; loose images as one zip.
        labels: a table that says what they show; empty for none.
    """

    sources: tuple[str, ...]
    labels: str


def keep_all(uploads: Sequence[Any], root: Path) -> UploadedFiles:
    """Return where the files of one collection are kept.

    Choice: a table beside images or archives is their labels; alone it holds the pictures itself.

    Args:
        uploads: as Streamlit's uploader gives them, each with a `name`.
        root: the workspace.

    Raises:
        DataError: a kind that is not read, two tables of labels, or too large.
        StoreError: the disk refuses.
    """
    kinds: dict[str, list[Any]] = {"table": [], "archive": [], "image": []}
    for file in uploads:
        kinds[_kind(file.name)].append(file)
    tables = [_keep(file, root) for file in kinds["table"]]
    sources = [_keep(file, root) for file in kinds["archive"]]
    if kinds["image"]:
        sources.append(_as_zip(kinds["image"], root))
    if not sources:
        return UploadedFiles(tuple(tables), "")
    if len(tables) > 1:
        raise DataError(
            f"{len(tables)} tables of labels",
            field="file",
            value=kinds["table"][1].name,
            hint="send one table; further ones can be added once the images are in",
        )
    return UploadedFiles(tuple(sources), tables[0] if tables else "")


def _kind(name: str) -> str:
    """Return what a file is, by the end of its name.

    Raises:
        DataError: a kind that is not read.
    """
    suffix = Path(name).suffix.lower()
    for kind, suffixes in (("table", TABLES), ("archive", ARCHIVES), ("image", SUFFIXES)):
        if suffix in suffixes:
            return kind
    raise DataError(
        "of a kind that is not read",
        field="file",
        value=name,
        hint="send images, a zip of them, .npz, .parquet, or a table as .csv or .jsonl",
    )


def _keep(file: Any, root: Path) -> str:
    """Return where one file is kept."""
    suffix = Path(file.name).suffix.lower()
    return str(_keep_for_import(file, file.name, root, suffix))


def _as_zip(images: Sequence[Any], root: Path) -> str:
    """Return where one zip of the images is kept: the same images make the same bytes."""
    with tempfile.TemporaryFile() as packed:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as bundle:
            for file in sorted(images, key=lambda image: str(image.name)):
                entry = zipfile.ZipInfo(
                    str(file.name).replace("\\", "/")
                )  # a time that never changes
                bundle.writestr(entry, file.getvalue())
        packed.seek(0)
        return str(_keep_for_import(packed, "images", root, ".zip"))


def _keep_for_import(stream: BinaryIO, name: str, root: Path, suffix: str) -> Path:
    """Return where a file is kept until it is imported: the collection keeps what it needs of it."""
    path = keep_upload(stream, name, root, suffix=suffix, limit_mb=OWN_MB, below=imports.STAGING)
    return path.absolute()
