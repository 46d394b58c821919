"""Two plain files beside the database: pictures at the working size, and originals that have no other home.

Both only grow. The database says what of them counts, so what a dead import wrote past that point is
written over by the next one.
"""

import io
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rambo.collection.records import Frame

Pixels = npt.NDArray[np.uint8]


class PixelPack:
    """The pictures in the frame, image number by image number."""

    def __init__(self, folder: Path, frame: Frame) -> None:
        """Use the pack in `folder`; it is made with the first picture."""
        self.path = folder / "pictures.bin"
        self.shape = (3, frame.height, frame.width)
        self.record = 3 * frame.height * frame.width

    def write(self, first: int, pictures: Iterable[Pixels]) -> None:
        """Store pictures from image number `first` on, on disk on return."""
        _write_at(self.path, first * self.record, (picture.tobytes() for picture in pictures))

    def read(self, numbers: Iterable[int]) -> Iterator[Pixels]:
        """Yield one picture after another as `3 x height x width`; all zero where the file ends, or is lost."""
        absent = not self.path.exists()
        with io.BytesIO() if absent else self.path.open("rb") as file:
            for number in numbers:
                file.seek(number * self.record)
                data = file.read(self.record).ljust(self.record, b"\0")
                yield np.frombuffer(data, dtype=np.uint8).reshape(self.shape)


class OriginalPack:
    """Files that came inside a zip, a table or an upload, one after another."""

    def __init__(self, folder: Path) -> None:
        """Use the pack in `folder`; it is made with the first file."""
        self.path = folder / "originals.bin"

    def write(self, at: int, files: Iterable[bytes]) -> None:
        """Store files from byte `at` on, on disk on return."""
        _write_at(self.path, at, files)

    def read(self, at: int, size: int) -> bytes:
        """Return the bytes of one file, fewer where the pack ends before; nobody has looked at them yet.

        Raises:
            FileNotFoundError: the pack is lost.
        """
        with self.path.open("rb") as file:
            file.seek(at)
            return file.read(size)


def picture_crc(picture: Pixels) -> int:
    """Return the CRC-32 by which a damaged picture is found out."""
    return zlib.crc32(picture.tobytes())


def _write_at(path: Path, at: int, parts: Iterable[bytes]) -> None:
    """Write parts one after another and let them reach the disk."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with open(descriptor, "r+b") as file:  # noqa: PTH123 - a descriptor, so that the file may be new
        file.seek(at)
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
