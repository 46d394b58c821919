"""What is known at one version, read out of the rows."""

import itertools
import re
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from rambo.collection import rows
from rambo.collection.drafts import as_arrays
from rambo.collection.records import (
    LABELED,
    POOL,
    TEST,
    UNKNOWN,
    VALIDATION,
    Frame,
    LabelEntry,
    Numbers,
    Snapshot,
    Unreadable,
    Version,
)
from rambo.errors import DataError
from rambo.storage import database

_PRECEDENCE = {"test": 3, "validation": 2}  # a picture that is given twice: no test image leaks
Changes = Mapping[int, int]  # change -> the version it became


def versions_of(db: sqlite3.Connection) -> list[Version]:
    """Return all versions, the oldest first."""
    database.check_structure(db, "versions")
    return [
        Version(number, kind, note, time, undoes)
        for number, _, kind, note, time, undoes in rows.select(db, "versions")
    ]


def live_changes(db: sqlite3.Connection, version: int) -> dict[int, int]:
    """Return the changes that count at a version, each with the version it became.

    An undo may be undone; so the newest is looked at first.
    """
    versions = [row for row in rows.select(db, "versions") if row[0] <= version]
    undone: set[int] = set()
    for number, _, _, _, _, undoes in reversed(versions):
        if undoes is not None and number not in undone:
            undone.add(undoes)
    return {change: number for number, change, *_ in versions if number not in undone}


def read(db: sqlite3.Connection, slug: str, version: int) -> Snapshot:
    """Return the snapshot of a version.

    Raises:
        DataError: there is no such version.
        RefusedError: a row is damaged.
    """
    database.check_structure(db)
    numbers = {row[0] for row in rows.select(db, "versions")}
    if version not in numbers:
        last = max(numbers, default=0)
        raise DataError(
            f"no version {version}",
            field="collection",
            value=slug,
            limit=last,
            hint=f"it has versions 1 to {last}",
        )
    live = live_changes(db, version)
    files, copies, unreadable = _files(db, live)
    images = [row for row in rows.select(db, "images") if row[0] in files]
    order = {row[0]: place for place, row in enumerate(images)}
    entries = tuple(label_entries(db, live, order))
    answers, contradictions = resolve(entries)
    remarks = [row for row in rows.select(db, "remarks") if row[3] in live]
    declared = dict.fromkeys(row[2] for row in remarks if row[1] == "class")
    classes = _class_order(declared, {label for label in answers.values() if label is not None})
    index = {name: place for place, name in enumerate(classes)}
    labels = np.full(len(images), UNKNOWN, dtype=np.int64)
    for image, label in answers.items():
        if label is not None:
            labels[order[image]] = index[label]
    traits = trait_values(db, live, order)
    groups, group_names = _groups(traits, len(images))
    return Snapshot(
        slug=slug,
        version=version,
        frame=Frame(**rows.fact(db, "frame")),
        numbers=np.array([row[0] for row in images], dtype=np.int64),
        ids=tuple(row[1] for row in images),
        files=tuple(files[row[0]] for row in images),
        copies=tuple(copies),
        widths=np.array([row[2] for row in images], dtype=np.int64),
        heights=np.array([row[3] for row in images], dtype=np.int64),
        modes=tuple(row[4] for row in images),
        grey=np.array([row[5] for row in images], dtype=bool),
        brightness=np.array([row[6] for row in images], dtype=np.float64),
        contrast=np.array([row[7] for row in images], dtype=np.float64),
        classes=classes,
        labels=labels,
        roles=_roles(traits, labels),
        groups=groups,
        group_names=group_names,
        clusters=_clusters(db, live, images),
        entries=entries,
        contradictions=contradictions,
        unreadable=tuple(unreadable),
        remarks=tuple(row[2] for row in remarks if row[1] == "remark"),
    )


def resolve(entries: Iterable[LabelEntry]) -> tuple[dict[int, str | None], tuple[int, ...]]:
    """Return the label of each answered image, and the images whose answers disagree.

    Choice: of the taken answers those of the newest version count. Where these disagree among
    themselves, nobody knows; a contested answer changes nothing, but is a contradiction too.

    Args:
        entries: oldest first.
    """
    entries = list(entries)
    newest = newest_answers(entries)
    contested: dict[int, set[str | None]] = {}
    for entry in entries:
        if entry.answer == "label" and entry.standing == "contested":
            contested.setdefault(entry.image, set()).add(entry.label)
    answers = {
        image: next(iter(labels)) if len(labels) == 1 else None for image, labels in newest.items()
    }
    torn = {image for image, labels in newest.items() if len(labels) > 1}
    torn |= {image for image, labels in contested.items() if labels - {answers.get(image)}}
    return answers, tuple(sorted(torn))


def newest_answers(entries: Iterable[LabelEntry]) -> dict[int, set[str | None]]:
    """Return what the newest version that spoke of an image says of it, for each image.

    Args:
        entries: oldest first; those that are contested or give no class do not count.
    """
    newest: dict[int, tuple[int, set[str | None]]] = {}
    for entry in entries:
        if entry.answer == "label" and entry.standing == "taken":
            version, labels = newest.get(entry.image, (0, set()))
            same = version == entry.version
            newest[entry.image] = (entry.version, labels | {entry.label} if same else {entry.label})
    return {image: labels for image, (_, labels) in newest.items()}


def _files(
    db: sqlite3.Connection, live: Changes
) -> tuple[dict[int, str], list[tuple[str, int]], list[Unreadable]]:
    """Return the first file of each image, further files of it, and files that gave none."""
    current: dict[tuple[int, str], tuple[int | None, str, str | None]] = {}
    for _, source, name, _, _, image, reason, change in rows.select(db, "files"):
        if change in live:
            current[source, name] = (image, name, reason)
    first: dict[int, str] = {}
    copies, unreadable = [], []
    for image, name, reason in current.values():
        if image is None:
            unreadable.append(Unreadable(name, reason or ""))
        elif image in first:
            copies.append((name, image))
        else:
            first[image] = name
    return first, copies, unreadable


def label_entries(
    db: sqlite3.Connection, live: Changes, order: Mapping[int, int]
) -> Iterable[LabelEntry]:
    """Yield the label entries that count, by version and then as they came."""
    entries = [row for row in rows.select(db, "labels") if row[9] in live and row[1] in order]
    entries.sort(key=lambda row: live[row[9]])  # stable
    for _, image, label, origin, answer, time, run, annotator, standing, change in entries:
        yield LabelEntry(image, label, origin, answer, time, run, annotator, standing, live[change])


def trait_values(
    db: sqlite3.Connection, live: Changes, order: Mapping[int, int]
) -> dict[str, dict[int, str]]:
    """Return role, split and group of the images' rows."""
    newest: dict[tuple[str, int], tuple[tuple[int, int], str]] = {}
    for _, image, trait, value, change in rows.select(db, "traits"):
        if change not in live or image not in order:
            continue
        rank = (live[change], _PRECEDENCE.get(value, 0) if trait == "role" else 0)
        current = newest.get((trait, image))
        if current is None or rank >= current[0]:
            newest[trait, image] = (rank, value)
    traits: dict[str, dict[int, str]] = {"role": {}, "split": {}, "group": {}}
    for (trait, image), (_, value) in newest.items():
        traits.setdefault(trait, {})[order[image]] = value
    return traits


def _roles(traits: Mapping[str, Mapping[int, str]], labels: Numbers) -> np.ndarray:
    """Return the role of each row: given first, then by the split; without a label it is unlabeled."""
    roles = np.where(labels == UNKNOWN, POOL, LABELED).astype(np.uint8)
    for trait, value, role in (
        ("split", "validation", VALIDATION),
        ("role", "validation", VALIDATION),
        ("role", "test", TEST),
    ):
        for row, current in traits[trait].items():
            if current == value and labels[row] != UNKNOWN:
                roles[row] = role
    return roles


def _groups(traits: Mapping[str, Mapping[int, str]], count: int) -> tuple[Numbers, tuple[str, ...]]:
    """Return the group of each row, and the groups' names."""
    named = {row: name for row, name in traits["group"].items() if name}
    names = tuple(sorted(set(named.values()), key=natural))
    index = {name: place for place, name in enumerate(names)}
    groups = np.full(count, -1, dtype=np.int64)
    for row, name in named.items():
        groups[row] = index[name]
    return groups, names


def _clusters(db: sqlite3.Connection, live: Changes, images: list[tuple[Any, ...]]) -> Numbers:
    """Return the cluster of each row as of the last change that computed them, else one each."""
    own = np.array([row[0] for row in images], dtype=np.int64)
    stored = {change: (data, crc) for change, data, crc in db.execute("SELECT * FROM clusters")}
    whole = {c: data for c, (data, crc) in stored.items() if database.seal("", c, data) == crc}
    imports = {change for _, change, kind, *_ in rows.select(db, "versions") if kind == "import"}
    change = max(imports & live.keys(), default=None)
    if change is None or not stored:  # nobody has ever looked for repeated pictures
        return own
    intact = whole.get(change)
    numbers = _clusters_anew(db, change) if intact is None else np.frombuffer(intact, dtype="<i8")
    there = own < len(numbers)
    return np.where(there, numbers[np.where(there, own, 0)], own)


def _clusters_anew(db: sqlite3.Connection, change: int) -> Numbers:
    """Return the clusters by image number as of a change, from the small pictures."""
    from rambo.collection import duplicates  # SciPy: only where they are damaged

    numbers, pictures = as_arrays(rows.smalls(db, change))
    return by_number(numbers, duplicates.clusters(pictures))


def by_number(numbers: Numbers, leaders: Numbers) -> Numbers:
    """Return the cluster of every image number; `leaders` are rows of `numbers`, which rise."""
    clusters = np.arange(int(numbers[-1]) + 1, dtype=np.int64)
    clusters[numbers] = numbers[leaders]
    return clusters


def _class_order(declared: Iterable[str], used: set[str]) -> tuple[str, ...]:
    """Return declared classes as they were declared, then the others in natural order."""
    listed = list(declared)
    return tuple(listed + sorted(used - set(listed), key=natural))


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key by which `9` comes before `10` and `img2` before `img10`."""
    parts = re.findall(r"\d+|\D+", text)
    key = [
        (0, int(part), "") if part.isdecimal() and len(part) < 19 else (1, 0, part.casefold())
        for part in itertools.islice(parts, 40)
    ]
    return (*key, (2, 0, text))
