"""What every reader gives: items, each one image with what its source says of it, and a way to its bytes."""

import dataclasses
import os
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from rambo.collection.records import Answer, Unreadable

Payload = bytes | np.ndarray  # a file's bytes, or pixels `H x W` or `H x W x 3` uint8


@dataclasses.dataclass(frozen=True)
class Item:
    """One image of a source.

    Attributes:
        key: by which the source's loader finds it.
        name: what to call it; unique in its source.
        path: its name inside the source as bytes, by which it is known again.
        stamp: changes when its content changes.
        label: its class, or None: unknown.
        origin: where the label came from, in words.
        role: `test` or `validation` where the source says so, else None.
        group: what it belongs to, or None.
        annotator: who gave the label; empty where nobody said.
        answer: what was said; only `label` gives a class.
    """

    key: Any
    name: str
    path: bytes
    stamp: str
    label: str | None = None
    origin: str = ""
    role: str | None = None
    group: str | None = None
    annotator: str = ""
    answer: Answer = "label"


class Loader(Protocol):
    """The way to the bytes of items; small enough to be sent to the process that reads them."""

    def load(self, keys: Sequence[Any]) -> list[Payload | Exception]:
        """Return what lies under each key, or why it cannot be read."""
        ...


@dataclasses.dataclass(frozen=True)
class Source:
    """What a reader found.

    Attributes:
        kind: `folder`, `zip`, `npz`, `table` or `parquet`.
        place: the absolute path of the folder (or of the file) that it is known by.
        items: its images.
        loader: the way to their bytes.
        stays: whether the originals can be found at their place later; else they are stored.
        classes: class names that the source declares, in its order; empty where it declares none.
        remarks: what was understood and what was not used, in words.
        refused: files that are not even tried, with the reason.
    """

    kind: str
    place: str
    items: tuple[Item, ...]
    loader: Loader
    stays: bool
    classes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    refused: tuple[Unreadable, ...] = ()


def display(path: bytes | str) -> str:
    """Return a file's name as one line of real characters."""
    text = os.fsdecode(path) if isinstance(path, bytes) else path
    text = text.encode("utf-8", "backslashreplace").decode()
    return "".join(
        c if c.isprintable() or unicodedata.category(c) == "Zs" else f"\\x{ord(c):02x}"
        for c in text
    )


def class_name(text: str) -> str:
    """Return a class's name in one spelling: composed characters, no blanks around, at most 80."""
    return display(unicodedata.normalize("NFC", text).strip())[:80]


def distinct(items: Iterable[Item]) -> tuple[Item, ...]:
    """Return the items with names made unique, so that two files of one name never merge."""
    counts: dict[str, int] = {}
    result = []
    for item in items:
        count = counts[item.name] = counts.get(item.name, 0) + 1
        if count > 1:
            item = dataclasses.replace(
                item, name=f"{item.name} ({count})", path=item.path + f" ({count})".encode()
            )
        result.append(item)
    return tuple(result)


def listing(names: Sequence[str], most: int = 3) -> str:
    """Return the first names and how many more there are."""
    text = ", ".join(names[:most])
    return text if len(names) <= most else f"{text} and {len(names) - most:,} more"
