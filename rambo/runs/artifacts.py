"""The folder of a run: arrays and tables in it, and errors that name the run.

The record knows a digest of each; a file that differs from it is refused. Records of older versions know none.

Artifact names are ours: lower case, digits, `_`, `-`, and `/` between parts.
"""

import hashlib
import io
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from rambo.errors import StoreError, shorten
from rambo.runs import paths
from rambo.storage import files

_NAME = re.compile(r"[a-z0-9_-]+(/[a-z0-9_-]+)*")
_DAMAGED = "it is damaged", "resume the run to make it again"
_MISSING_FILE = "it is lost", "resume the run to make it again"
_MISSING_FOLDER = "its folder was moved or deleted meanwhile", "resume the run where it lies now"


class RunFolder:
    """A run's folder with its artifacts; every failure is a `StoreError` of one line.

    Attributes:
        folder: absolute path of the folder.
        id: its name, by which people know the run.
    """

    def __init__(self, folder: Path) -> None:
        """Use the run in `folder`; nothing is opened yet."""
        self.folder = folder.absolute()
        self.id = self.folder.name

    def save_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write finite numbers to `artifacts/<name>.safetensors`, whole or not at all."""
        with self.naming(f"artifact {shorten(name)}"):
            self._save(name, "safetensors", files.pack_arrays(arrays))

    def load_arrays(self, name: str) -> dict[str, np.ndarray]:
        """Return the arrays saved under `name`; a flipped bit is a `StoreError`."""
        with self.naming(f"artifact {shorten(name)}"):
            return files.unpack_arrays(self._bytes(name, "safetensors"))

    def save_table(self, name: str, frame: Any) -> None:
        """Write a pandas frame to `artifacts/<name>.parquet`; NaN is missing, infinity refused."""
        with self.naming(f"artifact {shorten(name)}"):
            infinite = [
                str(column) for column in frame if frame[column].isin([np.inf, -np.inf]).any()
            ]
            if infinite:
                raise files.RefusedError(
                    f"column {infinite[0]} holds infinity", "only finite numbers are stored"
                )
            buffer = io.BytesIO()
            try:
                frame.to_parquet(buffer, engine="pyarrow", index=False, write_page_checksum=True)
            except (TypeError, ValueError) as error:
                raise files.RefusedError(
                    "it is no plain table", "store numbers and text"
                ) from error
            self._save(name, "parquet", buffer.getvalue())

    def load_table(self, name: str) -> Any:
        """Return the pandas frame saved under `name`."""
        import pandas as pd  # half a second: only where a table is read

        with self.naming(f"artifact {shorten(name)}"):
            data = io.BytesIO(self._bytes(name, "parquet"))
            try:
                return pd.read_parquet(data, engine="pyarrow", page_checksum_verification=True)
            except Exception as error:  # pyarrow has many kinds of error for a damaged file
                raise files.RefusedError(*_DAMAGED) from error

    def has_artifact(self, name: str) -> bool:
        """Return whether arrays or a table were saved under `name`; they may be lost or damaged since."""
        with self.naming(f"artifact {shorten(name)}"):
            digests = self.digests()
            if digests is None:
                return any(self._artifact(name, suffix).is_file() for suffix in paths.ENDINGS)
            self._artifact(name, paths.ENDINGS[0])  # refuses what is no name
            return any(f"{name}.{suffix}" in digests for suffix in paths.ENDINGS)

    def artifacts(self) -> list[str]:
        """Return the names of all that was saved, sorted; they may be lost or damaged since."""
        digests = self.digests()
        if digests is None:
            folder = paths.artifacts(self.folder)
            there = [path for end in paths.ENDINGS for path in folder.glob(f"**/[!.]*.{end}")]
            return sorted({path.relative_to(folder).with_suffix("").as_posix() for path in there})
        return sorted({file.rpartition(".")[0] for file in digests})

    def is_whole(self, name: str) -> bool:
        """Return whether what was saved under `name` is there as it was written; every byte of it is read."""
        try:
            digests, there = self.digests(), False
            for suffix, load in (("safetensors", self.load_arrays), ("parquet", self.load_table)):
                if digests is None and self._artifact(name, suffix).is_file():
                    load(name)
                    there = True
                elif digests is not None and f"{name}.{suffix}" in digests:
                    with self.naming("looking at its artifacts"):
                        self._bytes(name, suffix)
                    there = True
        except (StoreError, files.RefusedError):
            return False
        return there

    def save_document(self, name: str, data: bytes) -> None:
        """Write a file that is no array and no table, such as `report.json`; `name` is its path in the folder."""
        with self.naming(shorten(name)):
            self.check_there()
            files.write_bytes(self.folder / name, data, self.folder)
            self._keep_document(name, hashlib.sha256(data).hexdigest())

    def load_document(self, name: str) -> bytes:
        """Return what was saved under `name`; of an older version that kept no digest, as it is.

        Raises:
            StoreError: it is lost or damaged; or it was never there, with a `FileNotFoundError` as its cause.
        """
        with self.naming(shorten(name)):
            digest = self.documents().get(name)
            try:
                data = (self.folder / name).read_bytes()
            except FileNotFoundError as error:
                if digest is None:
                    raise
                raise files.RefusedError(*_MISSING_FILE) from error
            if digest not in (None, hashlib.sha256(data).hexdigest()):
                raise files.RefusedError(*_DAMAGED)
            return data

    def documents(self) -> dict[str, str]:
        """Return the SHA-256 of each file of `save_document` by its name."""
        return {}

    def digests(self) -> dict[str, str] | None:
        """Return the SHA-256 of each artifact by its file, such as `trial-0/atlas.safetensors`; None: not known."""
        return None

    def is_absent(self) -> bool:
        """Return whether the folder was moved or deleted; one that may not be looked at is there."""
        try:
            self.folder.stat()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return False

    def check_there(self) -> None:
        """Refuse to go on where the folder was moved or deleted.

        Raises:
            StoreError: it is gone.
        """
        with self.naming("looking at its folder"):
            if not self.folder.is_dir():
                raise files.RefusedError(*_MISSING_FOLDER)

    @contextmanager
    def naming(self, doing: str, again: str = "") -> Iterator[None]:
        """Turn what SQLite, the disk or a damaged record raise into one line that names the run.

        Args:
            doing: what was being done.
            again: what to do once the cause is gone; by default resume the run.
        """
        try:
            yield
        except (sqlite3.Error, OSError, ValueError) as error:
            problem, hint = files.reason(error, again or f"`python -m rambo resume {self.id}`")
            if self.is_absent():
                problem, hint = _MISSING_FOLDER
            raise StoreError(
                f"{doing}: {problem}", field="run", value=self.id, hint=hint
            ) from error

    def _save(self, name: str, suffix: str, data: bytes) -> None:
        """Write an artifact, and then its digest; a folder that is gone is not made again."""
        target = self._artifact(name, suffix)
        self.check_there()
        files.write_bytes(target, data, self.folder)
        self._keep_digest(f"{name}.{suffix}", hashlib.sha256(data).hexdigest())

    def _keep_digest(self, file: str, digest: str) -> None:
        """Let the record know what an artifact holds."""

    def _keep_document(self, name: str, digest: str) -> None:
        """Let the record know what a file of `save_document` holds."""

    def _bytes(self, name: str, suffix: str) -> bytes:
        """Return what an artifact holds; what the record does not know is not there yet."""
        path, digests = self._artifact(name, suffix), self.digests()
        digest = None if digests is None else digests.get(f"{name}.{suffix}")
        try:
            if digests is not None and digest is None:
                raise FileNotFoundError
            data = path.read_bytes()
        except FileNotFoundError as error:
            if digest is not None:
                raise files.RefusedError(*_MISSING_FILE) from error
            raise files.RefusedError(
                "it is not there yet", "wait for it or resume the run"
            ) from error
        if digest is not None and hashlib.sha256(data).hexdigest() != digest:
            raise files.RefusedError(*_DAMAGED)
        return data

    def _artifact(self, name: str, suffix: str) -> Path:
        """Return the path of an artifact, which is always below the run."""
        if not _NAME.fullmatch(name):
            raise files.RefusedError("it is no name", "use a-z, 0-9, _, - and / between parts only")
        return paths.artifact(self.folder, name, suffix)
