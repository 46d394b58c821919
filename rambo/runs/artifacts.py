"""The folder of a run: arrays and tables in it, and errors that name the run.

Artifact names are ours: lower case, digits, `_`, `-`, and `/` between parts.
"""

import io
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from rambo.config import shorten
from rambo.errors import StoreError
from rambo.runs import paths
from rambo.storage import files

_NAME = re.compile(r"[a-z0-9_-]+(/[a-z0-9_-]+)*")
_AGAIN = "it is damaged; resume the run to make it again"


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
            files.write_bytes(self._artifact(name, "safetensors"), files.pack_arrays(arrays))

    def load_arrays(self, name: str) -> dict[str, np.ndarray]:
        """Return the arrays saved under `name`; a flipped bit is a `StoreError`."""
        with self.naming(f"artifact {shorten(name)}"):
            return files.unpack_arrays(self._bytes(name, "safetensors"))

    def save_table(self, name: str, frame: Any) -> None:
        """Write a pandas frame to `artifacts/<name>.parquet`; NaN is missing, infinity refused."""
        with self.naming(f"artifact {shorten(name)}"):
            target = self._artifact(name, "parquet")
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
            files.write_bytes(target, buffer.getvalue())

    def load_table(self, name: str) -> Any:
        """Return the pandas frame saved under `name`."""
        import pandas as pd  # half a second: only where a table is read

        with self.naming(f"artifact {shorten(name)}"):
            data = io.BytesIO(self._bytes(name, "parquet"))
            try:
                return pd.read_parquet(data, engine="pyarrow", page_checksum_verification=True)
            except Exception as error:  # pyarrow has many kinds of error for a damaged file
                raise files.RefusedError(_AGAIN) from error

    def has_artifact(self, name: str) -> bool:
        """Return whether arrays or a table were saved under `name`."""
        with self.naming(f"artifact {shorten(name)}"):
            return any(self._artifact(name, suffix).is_file() for suffix in paths.ENDINGS)

    @contextmanager
    def naming(self, doing: str) -> Iterator[None]:
        """Turn what SQLite, the disk or a damaged record raise into one line that names the run."""
        try:
            yield
        except (sqlite3.Error, OSError, ValueError) as error:
            problem, hint = files.reason(error, f"`python -m rambo resume {self.id}`")
            raise StoreError(
                f"{doing}: {problem}", field="run", value=self.id, hint=hint
            ) from error

    def _bytes(self, name: str, suffix: str) -> bytes:
        """Return what an artifact holds."""
        try:
            return self._artifact(name, suffix).read_bytes()
        except FileNotFoundError as error:
            raise files.RefusedError(
                "it is not there yet", "wait for it or resume the run"
            ) from error

    def _artifact(self, name: str, suffix: str) -> Path:
        """Return the path of an artifact, which is always below the run."""
        if not _NAME.fullmatch(name):
            raise files.RefusedError("the name may hold a-z, 0-9, _, - and / between parts only")
        return paths.artifact(self.folder, name, suffix)
