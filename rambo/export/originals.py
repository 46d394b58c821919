"""The originals of chosen images: a person's own files as they are, under names that are safe.

A format that browsers and labeling tools do not show comes as PNG, upright and at full size.
"""

import dataclasses
import io
from collections.abc import Mapping
from typing import Literal

from PIL import ImageOps

from rambo.collection import Collection, find
from rambo.collection.images import opened
from rambo.collection.looks import sniff_suffix
from rambo.datasets.disk import refusing
from rambo.errors import DataError, RunNotFoundError, StoreError
from rambo.export import evidence
from rambo.export.evidence import ChosenImage
from rambo.runs.workspace import Run
from rambo.text import count

Pictures = Literal["originals", "working"]
PICTURES: tuple[Pictures, ...] = ("originals", "working")

_BROWSER_FORMATS = (".png", ".jpg", ".webp", ".gif", ".bmp")
_MOST = 1_000_000_000  # bytes of originals in one archive, which is made in memory
_NAMED = 3  # files that a notice names


@dataclasses.dataclass(frozen=True)
class Originals:
    """What is there of the originals of a batch.

    Attributes:
        collection: whose images; None where it is gone.
        numbers: the image number of each row of the dataset that has an original to hand over.
        suffixes: the suffix under which each is handed over, by row of the dataset.
        notices: what is missing, and what stands in its place.
    """

    collection: Collection | None
    numbers: Mapping[int, int]
    suffixes: Mapping[int, str]
    notices: tuple[str, ...] = ()

    def named(self, rows: list[ChosenImage]) -> list[ChosenImage]:
        """Return rows whose `file` is what the image is called in an archive."""
        return [
            dataclasses.replace(
                row, file=f"{row.dataset_index:06d}{self.suffixes[row.dataset_index]}"
            )
            if row.dataset_index in self.suffixes
            else row
            for row in rows
        ]

    def read(self, index: int) -> bytes | None:
        """Return the picture of a row of the dataset as it is handed over, or None where it has none.

        Raises:
            DataError: the file was changed between the look and now, or is no image that may be opened.
        """
        if self.collection is None or index not in self.suffixes:
            return None
        data = self.collection.original(self.numbers[index])[1]
        if sniff_suffix(data) in _BROWSER_FORMATS:
            return data
        with refusing("original", f"image {index}", "hand over the pictures of the working size"):
            return _as_png(data)


def look(run: Run, rows: list[ChosenImage], *, whole: bool) -> Originals | None:
    """Return what is there of the originals of some rows; None where the run chose from no collection.

    Args:
        run: the run.
        rows: of `evidence.rows`.
        whole: compare each file with its hash; else only its first bytes are read.

    Raises:
        StoreError: the run's prepared images are missing or damaged.
    """
    data = evidence.open_dataset(run)
    names, slug = data.names(), data.collection.partition("@")[0]
    if names is None or not slug:
        return None
    try:
        collection = find(run.folder.parent, slug)
    except RunNotFoundError:
        notice = (
            f"The collection {slug} is gone, and the originals with it: the pictures are those of the working size, "
            "as PNG."
        )
        return Originals(None, {}, {}, (notice,))
    numbers = {row.dataset_index: names.numbers[row.dataset_index] for row in rows}
    suffixes: dict[int, str] = {}
    missing: list[str] = []
    size = 0
    for index, number in numbers.items():
        try:
            kind, length = collection.original_kind(number, whole=whole)
        except (DataError, StoreError):
            missing.append(names.files[index])
            continue
        size += length
        suffixes[index] = kind if kind in _BROWSER_FORMATS else ".png"
    if size > _MOST:
        notice = (
            f"The originals are {size / 1e9:.1f} GB, over {_MOST / 1e9:.0f} GB for one archive: the pictures are those "
            "of the working size, as PNG. The column original_file names the originals."
        )
        return Originals(collection, numbers, {}, (notice,))
    return Originals(collection, numbers, suffixes, _missing(missing))


def _missing(files: list[str]) -> tuple[str, ...]:
    """Return the notice about originals that are gone."""
    if not files:
        return ()
    listed = ", ".join(files[:_NAMED]) + (" and others" if len(files) > _NAMED else "")
    return (
        f"{count(len(files), 'original is', 'originals are')} gone or changed since the import ({listed}): the picture "
        "of the working size stands in, as PNG.",
    )


def _as_png(data: bytes) -> bytes:
    """Return a picture that browsers do not show as PNG, upright, at full size."""
    with opened(data) as image:
        upright = ImageOps.exif_transpose(image)
        plain = upright if upright.mode in ("1", "L", "LA", "RGB", "RGBA", "I;16") else None
        buffer = io.BytesIO()
        (plain or upright.convert("RGB")).save(buffer, "PNG")
    return buffer.getvalue()
