"""Labels that come back: which image each answer of a file speaks of, what it would change, and then the change.

Rows are matched by content hash, by the row of the dataset that a run named, or by file name, and never by
their order. `preview` changes nothing; `take` stores exactly what the preview showed.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rambo.collection import snapshots
from rambo.collection.collection import Collection
from rambo.collection.drafts import Draft
from rambo.collection.readers import tables
from rambo.collection.readers.items import class_name, display, listing
from rambo.collection.readers.tables import AnswerRow, Matches, Table
from rambo.collection.records import UNKNOWN, Answer, LabelEntry, Snapshot, Validity
from rambo.errors import DataError

_KINDS: dict[str, Answer] = {  # as people write what the page Label has keys for
    **dict.fromkeys(("skipped", "skip"), "skipped"),
    **dict.fromkeys(("not sure", "unsure", "not_sure"), "unsure"),
    **dict.fromkeys(("none of these", "none_of_these"), "none of these"),
}
_EXPORTED = re.compile(
    r"(?:[0-9a-f]{8}-)?([0-9]{6,11})\.(?:png|jpg|webp|gif|bmp)"
)  # as our exports call an image


@dataclasses.dataclass(frozen=True)
class BatchRequest:
    """What a run asked to be labeled.

    Attributes:
        run: its id.
        numbers: of the images, in the order of choice.
        by_index: the image's number for each row of the dataset that the run saw.
        classes: the names its exports show, each with the class it means, where the two differ.
    """

    run: str
    numbers: tuple[int, ...]
    by_index: tuple[int, ...]
    classes: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Contradiction:
    """An answer that disagrees with the label its image has."""

    file: str
    current: str
    answer: str


@dataclasses.dataclass(frozen=True)
class Preview:
    """What a file of answers would change; nothing is changed yet.

    Attributes:
        source: what to call the file.
        version: of the collection, at which this holds.
        entries: what would be stored.
        batch: images that the run asked for; None without a run.
        labels: images that the file gives a class, of those asked for where a run asked.
        same: of these, images that have this label already.
        skipped: images that were skipped, without a class.
        unsure: images of which the annotator was not sure.
        nothing: images that show none of the classes.
        empty: images in the file without any answer.
        missing: images asked for of which the file does not speak, by file name.
        new_classes: classes that the collection does not know, each with its number of images.
        accepted: whether these are taken.
        contradictions: answers that disagree with a label the image has.
        overwritten: whether these are taken instead of it.
        torn: images about which the answers of this file disagree, by file name.
        foreign: rows that name no image here.
        ambiguous: rows that could mean several images.
        outside: images labeled though the run did not ask for them.
        remarks: what was understood and what was not used.
    """

    source: str
    version: int
    entries: tuple[LabelEntry, ...]
    batch: int | None
    labels: int
    same: int
    skipped: int
    unsure: int
    nothing: int
    empty: int
    missing: tuple[str, ...]
    new_classes: tuple[tuple[str, int], ...]
    accepted: bool
    contradictions: tuple[Contradiction, ...]
    overwritten: bool
    torn: tuple[str, ...]
    foreign: tuple[str, ...]
    ambiguous: tuple[str, ...]
    outside: int
    remarks: tuple[str, ...]

    def sentence(self) -> str:
        """Return the counts on one line, such as `17 of 20 labels, 1 skipped, 2 missing`."""
        of = "" if self.batch is None else f" of {self.batch:,}"
        parts = [f"{self.labels:,}{of} {'label' if self.labels == 1 and not of else 'labels'}"]
        strange = sum(count for _, count in self.new_classes)
        for count, words in (
            (self.skipped, "skipped"),
            (self.unsure, "not sure"),
            (self.nothing, "none of these"),
            (len(self.missing), "missing"),
            (self.empty, "without an answer"),
            (strange, "of a new class" if self.accepted else "of an unknown class"),
            (
                len(self.contradictions),
                "replaces a label" if self.overwritten else "contradicts a label",
            ),
            (len(self.torn), "with answers that disagree"),
            (len(self.foreign), "of no image here"),
            (len(self.ambiguous), "that could mean several images"),
            (self.outside, "not asked for"),
            (self.same, "there already"),
        ):
            if count:
                parts.append(f"{count:,} {_plural(words, count)}")
        return ", ".join(parts)

    def details(self) -> list[str]:
        """Return what to do about each count that needs a person, in words."""
        lines = list(self.remarks)
        if self.new_classes:
            names = listing([f"{name} ({count:,})" for name, count in self.new_classes], 6)
            lines.append(
                f"new classes are taken: {names}"
                if self.accepted
                else f"classes that the collection does not know: {names}; these answers are left out "
                "unless you accept new classes"
            )
        if self.contradictions:
            conflicts = listing(
                [f"{c.file}: {c.current}, now {c.answer}" for c in self.contradictions]
            )
            lines.append(
                f"labels that are replaced: {conflicts}"
                if self.overwritten
                else f"answers against a label that is there: {conflicts}; the label stays unless you overwrite it"
            )
        for which, words in (
            (self.torn, "answers that disagree with each other, so nobody knows the label yet"),
            (self.foreign, "no such image in this collection"),
            (self.ambiguous, "several images have this name; write their folders too"),
            (self.missing, "no answer yet; a later file may bring it"),
        ):
            if which:
                lines.append(f"{words}: {listing(which)}")
        return lines


def preview(
    collection: Collection,
    table: Table,
    *,
    request: BatchRequest | None = None,
    accept_new_classes: bool = False,
    overwrite: bool = False,
) -> Preview:
    """Return what the answers of a table would change.

    Choice: an answer equal to the label that is there adds nothing, so the same file twice adds nothing. One
    that disagrees with it is kept as contested and changes nothing, unless `overwrite`. Answers of one file
    that disagree with each other are all stored, and the image counts as unlabeled until another answer
    comes. A class known to nobody is left out unless accepted; where no class is known at all, all are new.

    Args:
        collection: whose images.
        table: as `tables.parse` gives it.
        request: what a run asked for; rows may then name images as its exports do.
        accept_new_classes: let answers name classes that the collection does not know.
        overwrite: let answers replace labels.

    Raises:
        DataError: the table has no column of labels, or needs a run to be understood.
    """
    now = collection.snapshot()
    if not table.has_labels:
        raise DataError(
            "no column of labels",
            field="file",
            value=table.name,
            hint="name the column with the classes `label`",
        )
    matches, foreign, ambiguous = _match(now, table, request)
    reader = _AnswerReader(now, request, accept_new_classes or not now.classes, overwrite)
    for row in sorted(matches):
        reader.read(row, matches[row])
    batch = None if request is None else set(request.numbers)
    covered = {int(now.numbers[row]) for row in matches}
    files = dict(zip(now.numbers.tolist(), now.files, strict=True))
    missing = [] if request is None else [n for n in request.numbers if n not in covered]
    return Preview(
        source=table.name,
        version=now.version,
        entries=tuple(reader.entries),
        batch=None if batch is None else len(batch),
        labels=len(reader.labeled if batch is None else reader.labeled & batch),
        same=reader.same,
        skipped=reader.counts["skipped"],
        unsure=reader.counts["unsure"],
        nothing=reader.counts["none of these"],
        empty=reader.counts["empty"],
        missing=tuple(files.get(number, str(number)) for number in missing),
        new_classes=tuple(sorted(reader.new.items())),
        accepted=reader.accept,
        contradictions=tuple(reader.contradictions),
        overwritten=overwrite,
        torn=tuple(reader.torn),
        foreign=foreign,
        ambiguous=ambiguous,
        outside=0 if batch is None else len(reader.labeled - batch),
        remarks=table.remarks,
    )


def take(collection: Collection, preview: Preview) -> int | None:
    """Store what a preview showed, and return the new version; None where it adds nothing.

    Raises:
        DataError: the collection changed since the preview.
        RunLockedError: an import is at work on it.
    """
    if not preview.entries:
        return None

    def write(draft: Draft) -> None:
        if snapshots.versions_of(draft.db)[-1].number != preview.version:
            raise DataError(
                "changed since this was shown",
                field="collection",
                value=collection.slug,
                hint="look at the file again, then take it",
            )
        draft.add_labels(preview.entries)

    return collection.change("labels", f"{preview.source}: {preview.sentence()}", write)


def undo(collection: Collection, version: int | None = None) -> int:
    """Take labels back, those of the newest version that brought some by default; return the new version.

    Raises:
        DataError: there are none to take back, or that version brought none.
    """
    versions = collection.versions()
    undone = {v.undoes for v in versions if v.kind == "undo"}
    labels = [v.number for v in versions if v.kind == "labels" and v.number not in undone]
    if version is None and not labels:
        raise DataError(
            "no labels to take back",
            field="collection",
            value=collection.slug,
            hint="store some first",
        )
    if version is not None and version not in labels:
        there = ", ".join(map(str, labels)) or "none"
        raise DataError(
            "brought no labels, or is undone already",
            field="version",
            value=version,
            hint=f"choose one of: {there}",
        )
    return collection.undo(labels[-1] if version is None else version)


class _AnswerReader:
    """Goes through the answers of one image after the other."""

    def __init__(
        self, now: Snapshot, request: BatchRequest | None, accept: bool, overwrite: bool
    ) -> None:
        """Know what is known."""
        self.now, self.request, self.accept, self.overwrite = now, request, accept, overwrite
        self.existing = {(e.image, e.label, e.answer, e.annotator, e.standing) for e in now.entries}
        self.newest = snapshots.newest_answers(now.entries)
        self.spelling = _spellings(now.classes)
        self.entries: list[LabelEntry] = []
        self.labeled: set[int] = set()
        self.new: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.same = 0
        self.contradictions: list[Contradiction] = []
        self.torn: list[str] = []

    def read(self, row: int, answers: Sequence[AnswerRow]) -> None:
        """Take down what a file says of the image in a row of the snapshot."""
        now, image = self.now, int(self.now.numbers[row])
        answers = [self._as_kind(answer) for answer in answers]
        classes = [(self._class(answer.label), answer) for answer in answers if answer.label]
        if not classes:
            self._read_rest(image, answers)
            return
        self.labeled.add(image)
        names = {name for name, _ in classes}
        strange = names - set(now.classes)
        self.new.update(strange)
        if not self.accept:
            classes = [(name, answer) for name, answer in classes if name not in strange]
            names -= strange
        label = int(now.labels[row])
        current = None if label == UNKNOWN else now.classes[label]
        if current is None and len(names) > 1:
            self.torn.append(now.files[row])
        if not names or names == self.newest.get(image, set()):
            self.same += bool(names)
            return
        if current is not None and not self.overwrite:
            classes = [(name, answer) for name, answer in classes if name != current]
        for name, answer in classes:
            against = current is not None and name != current
            standing: Validity = "contested" if against and not self.overwrite else "taken"
            if against:
                self.contradictions.append(Contradiction(now.files[row], current or "", name))
            self._add(image, name, "label", answer, standing)

    def _as_kind(self, answer: AnswerRow) -> AnswerRow:
        """Return an answer that says in words that there is none, and names no class here, as what it says."""
        kind = _KINDS.get((answer.label or "").casefold())
        if kind is None or self._class(answer.label) in self.now.classes:
            return answer
        return dataclasses.replace(answer, label=None, answer=kind)

    def _read_rest(self, image: int, answers: Sequence[AnswerRow]) -> None:
        """Take down that an image was skipped, or the like."""
        kinds = [answer for answer in answers if answer.answer != "label"]
        self.counts[kinds[0].answer if kinds else "empty"] += 1
        for answer in kinds:
            self._add(image, None, answer.answer, answer, "taken")

    def _add(
        self, image: int, label: str | None, kind: Answer, answer: AnswerRow, standing: Validity
    ) -> None:
        """Add an entry; one that changes nothing only where it is not there already."""
        key = (image, label, kind, answer.annotator, standing)
        if key in self.existing and (label is None or standing == "contested"):
            return
        self.existing.add(key)
        run = self.request.run if self.request is not None else answer.run
        entry = LabelEntry(image, label, answer.origin, kind, run=run, annotator=answer.annotator)
        self.entries.append(dataclasses.replace(entry, standing=standing))

    def _class(self, text: str | None) -> str:
        """Return the class that an answer means: as it is spelled here, or as it was exported."""
        name = class_name(text or "")
        if name in self.now.classes:
            return name
        spellings = self.request.classes if self.request is not None else {}
        bare = name.removeprefix("'")  # our CSV guards text that a spreadsheet would run
        return spellings.get(name) or self.spelling.get(bare.casefold(), name)


def _spellings(classes: Iterable[str]) -> dict[str, str]:
    """Return each class by its name without case, where no other differs in case only."""
    alike: dict[str, list[str]] = {}
    for name in classes:
        alike.setdefault(name.casefold(), []).append(name)
    return {plain: names[0] for plain, names in alike.items() if len(names) == 1}


def _match(
    now: Snapshot, table: Table, request: BatchRequest | None
) -> tuple[dict[int, list[AnswerRow]], tuple[str, ...], tuple[str, ...]]:
    """Return the answers of each row of the snapshot, and the names that fit none or several."""
    by_number = {number: row for row, number in enumerate(now.numbers.tolist())}
    by_hash = {digest: row for row, digest in enumerate(now.ids)}
    exported = request is not None and _speaks_of_exports(table, request)
    by_row: dict[int, list[AnswerRow]] = {}
    foreign: list[str] = []
    rest: list[AnswerRow] = []
    for answer in table.rows:
        place: int | None = None
        if answer.digest:
            place = by_hash.get(answer.digest)
        elif request is not None and answer.run not in ("", request.run):
            place = None  # the rows of another run count otherwise
        elif request is not None and (exported or answer.file is None):
            index = index_of(answer)
            if index is not None and index < len(request.by_index):
                place = by_number.get(request.by_index[index])
        else:
            rest.append(answer)
            continue
        if place is None:
            foreign.append(display(answer.file or answer.digest or str(answer.index))[:60])
        else:
            by_row.setdefault(place, []).append(answer)
    if request is None and any(row.file is None for row in rest):
        raise DataError(
            "its rows name images by their place in a run's dataset",
            field="file",
            value=table.name,
            hint="say which run asked for them (--run)",
        )
    names = [*now.files, *(name for name, _ in now.copies)]
    rows = [*range(len(now)), *(by_number[image] for _, image in now.copies)]
    matches = Matches(
        dataclasses.replace(table, rows=tuple(rest)),
        [tables.split_path(name) or [name] for name in names],
    )
    for place, answer in matches.pairs():
        by_row.setdefault(rows[place], []).append(answer)
    return by_row, tuple(foreign + matches.missing), tuple(matches.ambiguous)


def _speaks_of_exports(table: Table, request: BatchRequest) -> bool:
    """Return whether the names in a table are those our exports give, and not the collection's own.

    They are where a row says which run asked, or where every name looks so and was asked for.
    """
    if any(row.run == request.run for row in table.rows):
        return True
    batch = set(request.numbers)
    indices = [index_of(row) for row in table.rows if row.file is not None]
    return bool(indices) and all(
        index is not None and index < len(request.by_index) and request.by_index[index] in batch
        for index in indices
    )


def index_of(row: AnswerRow) -> int | None:
    """Return the row of a run's dataset that an answer names, by number or by the name of our exports; or None."""
    if row.file is None:
        return row.index
    match = _EXPORTED.fullmatch(tables.split_path(row.file)[-1] if row.file.strip("/\\.") else "")
    return int(match[1]) if match else row.index


def _plural(words: str, count: int) -> str:
    """Return the words for one or for several."""
    if count == 1:
        return words
    return {
        "replaces a label": "replace a label",
        "contradicts a label": "contradict a label",
    }.get(words, words)
