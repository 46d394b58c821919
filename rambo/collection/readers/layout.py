"""What the folders above a file say: split, class, or nothing. The same for a folder and for a zip."""

import dataclasses
from collections import Counter
from collections.abc import Sequence

from rambo.collection.readers.items import class_name

_SPLITS = {
    **dict.fromkeys(("train", "training", "train_set", "training_set"), "train"),
    **dict.fromkeys(("labeled", "labelled", "annotated"), "train"),
    **dict.fromkeys(
        ("val", "valid", "validation", "dev", "val_set", "validation_set"), "validation"
    ),
    **dict.fromkeys(("test", "testing", "test_set"), "test"),
}
_UNLABELED = {
    *("unlabeled", "unlabelled", "unlabled", "pool", "unsorted", "unknown", "unannotated"),
    *("not labeled", "not_labeled", "no_label", "todo"),
}
_PLAIN = {
    "images",
    "image",
    "imgs",
    "img",
    "photos",
    "pictures",
    "pics",
    "data",
    "dataset",
    "files",
}
_JUNK = {
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "icon\r", "$recycle.bin"),
    *("system volume information", "lost+found"),
}


@dataclasses.dataclass(frozen=True)
class Placement:
    """What its folders say of a file.

    Attributes:
        label: the class, or None.
        role: `validation` or `test`, or None.
        folder: the folder it lies in, for grouping by folder.
    """

    label: str | None
    role: str | None
    folder: str


def is_junk(name: str) -> bool:
    """Return whether a file or folder is one of those that systems leave everywhere."""
    return name.startswith(".") or name.lower() in _JUNK


def split_of(name: str) -> str | None:
    """Return `train`, `validation` or `test` for a folder's or a value's name, else None."""
    return _SPLITS.get(name.strip().lower())


def place(paths: Sequence[Sequence[str]], stem: str) -> tuple[list[Placement], list[str]]:
    """Return what the folders say of each file, and remarks on files that no folder gives a class.

    Choice: a folder that wraps everything is looked through; `train`, `validation` and `test` are
    understood at the top, or right below the classes; a folder such as `unlabeled` or `pool`, and loose
    files, have no label; any other folder names a class, whatever lies deeper.

    Args:
        paths: the parts of each file's path, its own name last.
        stem: the name of the whole, which a wrapping folder may repeat.
    """
    skip = _wrappers(paths, stem)
    tops = {path[skip].lower() for path in paths if len(path) - skip > 1}
    has_splits = any(top in _SPLITS for top in tops)
    placements, bare = [], Counter[str]()
    for path in paths:
        folders = list(path[skip:-1])
        role = None
        if has_splits and folders and folders[0].lower() in _SPLITS:
            split = _SPLITS[folders.pop(0).lower()]
            role = None if split == "train" else split
            if role is not None and not folders:
                bare[path[skip]] += 1
        label = None
        if folders and folders[0].strip().lower() not in _UNLABELED:
            label = class_name(folders[0])
            if not has_splits and len(folders) > 1:
                split = _SPLITS.get(folders[1].lower(), "train")
                role = None if split == "train" else split
        placements.append(Placement(label or None, role, "/".join(path[:-1])))
    remarks = [
        f"{count:,} images of {folder}/ lie in no class folder, so their label is unknown: they count "
        "as unlabeled"
        for folder, count in bare.items()
    ]
    return placements, remarks


def twins(placements: Sequence[Placement]) -> list[str]:
    """Return a remark on each set of classes that differ in case only."""
    alike: dict[str, list[str]] = {}
    for name in sorted({p.label for p in placements if p.label is not None}):
        alike.setdefault(name.casefold(), []).append(name)
    return [
        f"classes that differ in case only are kept apart: {', '.join(names)}"
        for names in alike.values()
        if len(names) > 1
    ]


def _wrappers(paths: Sequence[Sequence[str]], stem: str) -> int:
    """Return how many folders above everything say nothing."""
    skip = 0
    while paths and all(len(path) - skip > 1 for path in paths):
        tops = {path[skip] for path in paths}
        if len(tops) > 1:
            break
        top = next(iter(tops)).strip().lower()
        deeper = any(len(path) - skip > 2 for path in paths)
        if top in _SPLITS or top in _UNLABELED:
            break
        if not deeper and top not in _PLAIN and top != stem.lower():
            break  # one folder of images: a class
        skip += 1
    return skip
