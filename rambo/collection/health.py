"""The health report: what a person should know of a collection before anything starts."""

from collections.abc import Iterable, Sequence

import numpy as np

from rambo.collection import splits
from rambo.collection.records import (
    LABELED,
    POOL,
    ROLE_NAMES,
    TEST,
    UNKNOWN,
    VALIDATION,
    HealthLine,
    Numbers,
    Snapshot,
)

_NAMED = 100  # files that one line names
_SMALL = 0.25  # of the usual longest side
_DARK, _FLAT = 12.0, 2.0  # grey levels
_NAMED_CLASSES = 12  # classes named in one sentence


def report(now: Snapshot) -> tuple[HealthLine, ...]:
    """Return the report of a snapshot: errors first, then warnings, then the rest."""
    lines = [
        *_counts(now),
        *_classes(now),
        *_contradictions(now),
        *_unreadable(now),
        *_copies(now),
        *_near(now),
        *_crossings(now),
        *_odd(now),
        *_advice(now),
        *(HealthLine("import", "info", f"{remark}.") for remark in now.remarks),
    ]
    rank = {"error": 0, "warning": 1, "info": 2}
    head, rest = lines[:1], lines[1:]
    return (*head, *sorted(rest, key=lambda line: rank[line.severity]))


def to_text(lines: Iterable[HealthLine]) -> str:
    """Return the report as lines for a terminal; what needs a person is marked."""
    marks = {"error": "STOP", "warning": "look", "info": "    "}
    return "\n".join(
        f"{marks[line.severity]}  {line.sentence}{f' {line.way_out}' if line.way_out else ''}"
        for line in lines
    )


def _counts(now: Snapshot) -> Iterable[HealthLine]:
    """Say how many images there are of each role and class."""
    roles = [
        f"{len(now.rows(role)):,} {ROLE_NAMES[role]}" for role in (LABELED, VALIDATION, TEST, POOL)
    ]
    groups = f", in {len(now.group_names):,} groups" if now.group_names else ""
    yield HealthLine(
        "counts",
        "info",
        f"{len(now):,} images{groups}: {', '.join(roles)}. Working size: {now.frame.sentence()}.",
        count=len(now),
    )
    labeled = now.labels != UNKNOWN
    if labeled.any():
        counts = np.bincount(now.labels[labeled], minlength=len(now.classes))
        lines = [f"{name} {count:,}" for name, count in zip(now.classes, counts, strict=True)]
        more = f" and {len(lines) - _NAMED_CLASSES:,} more" if len(lines) > _NAMED_CLASSES else ""
        yield HealthLine(
            "classes",
            "info",
            f"{len(now.classes):,} classes: {', '.join(lines[:_NAMED_CLASSES])}{more}.",
            count=len(now.classes),
        )


def _classes(now: Snapshot) -> Iterable[HealthLine]:
    """Say which classes have too few labels, and when there are too few or too many classes."""
    if len(now.classes) < 2:
        yield HealthLine(
            "classes",
            "error",
            f"{len(now.classes)} class is known; a classifier needs two or more."
            if len(now.classes)
            else "No class is known: no image has a label.",
            "Label a few images of each class: put them into folders named after their class, or give a "
            "table with file name and label.",
        )
    if len(now.classes) > 1000:
        yield HealthLine(
            "classes",
            "error",
            f"{len(now.classes):,} classes; RAMBO reads up to 1,000.",
            "Join classes, or check that the label column is not a name or a number of each image.",
            count=len(now.classes),
        )
    taught = (now.roles == LABELED) | (now.roles == VALIDATION)
    counts = np.bincount(now.labels[taught & (now.labels != UNKNOWN)], minlength=len(now.classes))
    few = [name for name, count in zip(now.classes, counts, strict=True) if count < 2]
    if few and now.classes:
        yield HealthLine(
            "classes",
            "warning",
            f"{len(few):,} of {len(now.classes):,} classes have fewer than two labels: {_list(few)}.",
            "Label one or two more of each; until then they have no validation image.",
            count=len(few),
        )


def _contradictions(now: Snapshot) -> Iterable[HealthLine]:
    """Name images whose answers disagree."""
    if not now.contradictions:
        return
    rows = np.searchsorted(now.numbers, now.contradictions)
    answers: dict[int, list[str]] = {}
    torn = set(now.contradictions)
    for entry in now.entries:
        if entry.image in torn and entry.label is not None:
            answers.setdefault(entry.image, []).append(entry.label)
    first = now.contradictions[0]
    labels = " and ".join(dict.fromkeys(answers.get(first, [])))
    yield HealthLine(
        "contradictions",
        "warning",
        f"{_counted(len(rows), 'image has', 'images have')} labels that contradict each other, such as "
        f"{now.files[rows[0]]}: {labels}.",
        "Where they came together the label counts as unknown, else the older one stands; look at "
        f"{'it' if len(rows) == 1 else 'them'} and give the right label.",
        _names(now, rows),
        len(rows),
    )


def _unreadable(now: Snapshot) -> Iterable[HealthLine]:
    """Name files that gave no image, by reason."""
    by_reason: dict[str, list[str]] = {}
    for bad in now.unreadable:
        by_reason.setdefault(bad.reason, []).append(bad.file)
    for reason, names in by_reason.items():
        yield HealthLine(
            "unreadable",
            "warning",
            f"{_counted(len(names), 'file')} gave no image ({reason.partition(';')[0]}): {_list(names)}.",
            _sentence(reason.partition(";")[2].strip() or "replace them and import again"),
            tuple(names[:_NAMED]),
            len(names),
        )


def _copies(now: Snapshot) -> Iterable[HealthLine]:
    """Name files with the very bytes of another."""
    if now.copies:
        names = [name for name, _ in now.copies]
        yield HealthLine(
            "duplicates",
            "info",
            f"{_counted(len(names), 'exact copy counts', 'exact copies count')} together with the first file "
            f"of the same content: {_list(names)}.",
            "Nothing to do: nobody is asked twice for the same picture.",
            tuple(names[:_NAMED]),
            len(names),
        )


def _near(now: Snapshot) -> Iterable[HealthLine]:
    """Say how many images nearly repeat another."""
    repeats = len(now) - len(np.unique(now.clusters))
    if repeats:
        values, counts = np.unique(now.clusters, return_counts=True)
        most = int(counts.max())
        rows = np.flatnonzero(np.isin(now.clusters, values[counts > 1]))
        yield HealthLine(
            "duplicates",
            "warning" if repeats > len(now) // 10 else "info",
            f"{repeats:,} of {len(now):,} images nearly {'repeats' if repeats == 1 else 'repeat'} another one; "
            f"the largest set has {most:,}.",
            "A batch holds one of each such set unless you allow more.",
            _names(now, rows),
            repeats,
        )


def _crossings(now: Snapshot) -> Iterable[HealthLine]:
    """Name near duplicates and groups that stand on two sides of a split."""
    for topic, keys, words in (
        ("clusters", now.clusters, "nearly the same as"),
        ("groups", now.groups, "of the same group as"),
    ):
        for role, others in ((TEST, (LABELED, VALIDATION)), (VALIDATION, (LABELED,))):
            inside = now.rows(role)
            elsewhere = keys[np.isin(now.roles, others)]
            rows = inside[np.isin(keys[inside], elsewhere) & (keys[inside] >= 0)]
            if len(rows):
                sides = " or ".join(ROLE_NAMES[other] for other in others)
                which = f"{len(rows):,} {ROLE_NAMES[role]} images are {words} {sides} images, so accuracy on them"
                them = "them"
                if len(rows) == 1:
                    which = f"1 {ROLE_NAMES[role]} image is {words} one of the {sides} images, so accuracy on it"
                    them = "it"
                yield HealthLine(
                    "crossings",
                    "warning",
                    f"{which} is too good.",
                    f"Take {them} out, or name a group column, so that what belongs together stays on one side."
                    if topic == "clusters"
                    else "Draw the validation set anew, or give another one.",
                    _names(now, rows),
                    len(rows),
                )


def _odd(now: Snapshot) -> Iterable[HealthLine]:
    """Name images much smaller or darker than the rest, and empty ones."""
    if len(now) == 0:
        return
    longest = np.maximum(now.widths, now.heights)
    usual = float(np.median(longest))
    small = np.flatnonzero(longest < _SMALL * usual)
    if len(small):
        yield HealthLine(
            "odd images",
            "warning",
            f"{_counted(len(small), 'image is', 'images are')} much smaller than the usual {usual:.0f} pixels.",
            "Check that it is no thumbnail or icon."
            if len(small) == 1
            else "Check that they are no thumbnails or icons.",
            _names(now, small),
            len(small),
        )
    flat = now.contrast < _FLAT
    dark = np.flatnonzero(
        (now.brightness < _DARK) & (float(np.median(now.brightness)) > 3 * _DARK) & ~flat
    )
    if len(dark):
        yield HealthLine(
            "odd images",
            "warning",
            f"{_counted(len(dark), 'image is', 'images are')} nearly black, unlike the rest.",
            "Look at it; a label for it may be wasted."
            if len(dark) == 1
            else "Look at them; a label for one may be wasted.",
            _names(now, dark),
            len(dark),
        )
    empty = np.flatnonzero(flat)
    if len(empty):
        yield HealthLine(
            "odd images",
            "warning",
            f"{_counted(len(empty), 'image shows', 'images show')} one plain colour.",
            "Take it out; a label for it is wasted."
            if len(empty) == 1
            else "Take them out; a label for one is wasted.",
            _names(now, empty),
            len(empty),
        )


def _advice(now: Snapshot) -> Iterable[HealthLine]:
    """Say what the labels at hand allow."""
    for sentence in splits.advise(now).sentences:
        yield HealthLine("split", "warning", sentence)


def _counted(count: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def _names(now: Snapshot, rows: Numbers) -> tuple[str, ...]:
    """Return the first file names of rows."""
    return tuple(now.files[row] for row in rows[:_NAMED].tolist())


def _list(names: Sequence[str]) -> str:
    """Return a few names and how many more."""
    text = ", ".join(names[:3])
    return text if len(names) <= 3 else f"{text} and {len(names) - 3:,} more"


def _sentence(text: str) -> str:
    """Return a way out as a sentence."""
    return f"{text[:1].upper()}{text[1:]}." if text else ""
