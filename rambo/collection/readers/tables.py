"""Tables with file name and label: CSV, JSON in many forms, and the exports of Label Studio, CVAT and COCO.

Columns are matched by what they mean, rows to images by name and never by order.
"""

import dataclasses
import functools
import itertools
import re
import unicodedata
import urllib.parse
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rambo.collection.looks import SUFFIXES
from rambo.collection.readers import coco, cvat, delimited, json_forms
from rambo.collection.readers import columns as columns_of
from rambo.collection.readers.items import Item, class_name, display, listing
from rambo.collection.readers.json_forms import Columns
from rambo.collection.readers.layout import split_of
from rambo.collection.records import Answer
from rambo.storage.files import RefusedError
from rambo.text import count

MOST_ROWS = 2_000_000
_FILE = (
    *("file_name", "filename", "file", "filepath", "file_path", "image_path", "image_file", "path"),
    *(
        "image",
        "img",
        "image_name",
        "img_name",
        "img_path",
        "image_id",
        "image_url",
        "url",
        "name",
        "id",
        *("dateiname", "datei", "bild"),
    ),
)
_LABEL = (
    *("label", "labels", "class", "class_name", "classname", "category", "target", "label_name"),
    *("choice", "answer", "tag", "species", "diagnosis", "y", "class_label", "ground_truth"),
    *("true_label", "category_name", "annotation", "klasse", "etikett"),
    *("class_id", "label_id", "category_id", "class_index", "class_idx"),
)
_SPLIT = ("split", "subset", "partition", "set", "role")
_ANNOTATOR = ("annotator", "labeler", "labeller", "user", "worker", "completed_by")
_INDEX = ("dataset_index", "index", "row")
_HASH = ("image_hash", "content_hash", "sha256", "hash")
_RUN = ("run_id",)
_UNKNOWN = {
    *("", "nan", "none", "null", "n/a", "na", "<na>", "-1", "-1.0", "?", "-", "--", "todo", "tbd"),
    *("unknown", "unlabeled", "unlabelled", "unannotated", "no label", "no_label"),
    *("not labeled", "not_labeled", "not labelled", "not_labelled"),
}
_WORDS = {"none", "na", "unknown", "todo", "-"}  # of these, what a person might take for a class
_BINARY = {
    b"PK\x03\x04": "an Excel file, or another archive,",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"PAR1": "parquet",
}
_MARKS = {  # the longer ones first
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_UPLOAD = re.compile(r"^[0-9a-f]{8}-(?=.)")  # Label Studio puts it before the name of an upload


@dataclasses.dataclass(frozen=True)
class AnswerRow:
    """One answer of a table.

    Attributes:
        file: name or path as written; None where the table goes by index.
        index: place in the source, or None.
        label: the class, or None: unknown.
        origin: table and row, in words.
        role: `test` or `validation`, or None.
        group: the value of the group column, or None.
        annotator: who answered, or empty.
        answer: what was said.
        digest: SHA-256 of the image's file, or empty.
        run: the run that asked, as our exports write it, or empty.
    """

    file: str | None
    index: int | None
    label: str | None
    origin: str
    role: str | None = None
    group: str | None = None
    annotator: str = ""
    answer: Answer = "label"
    digest: str = ""
    run: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table that was understood.

    Attributes:
        name: what to call it.
        rows: its answers, in its order.
        has_labels: whether it has a column of labels.
        classes: class names that it declares.
        remarks: what was understood and what was not used.
    """

    name: str
    rows: tuple[AnswerRow, ...]
    has_labels: bool
    classes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def below(self, folder: str) -> "Table":
        """Return the table with its file names seen from further up."""
        if not folder:
            return self
        moved = tuple(
            dataclasses.replace(row, file=f"{folder}/{row.file}") if row.file else row
            for row in self.rows
        )
        return dataclasses.replace(self, rows=moved)


def joined(tables: Sequence[Table]) -> Table:
    """Return several tables as one."""
    return Table(
        name=tables[0].name if len(tables) == 1 else f"{len(tables)} tables",
        rows=tuple(itertools.chain.from_iterable(table.rows for table in tables)),
        has_labels=any(table.has_labels for table in tables),
        classes=tuple(dict.fromkeys(name for table in tables for name in table.classes)),
        remarks=tuple(itertools.chain.from_iterable(table.remarks for table in tables)),
    )


def parse(data: bytes, name: str, group_column: str | None = None) -> Table:
    """Return what a table says.

    Args:
        data: its bytes: CSV with any usual separator, JSON lines, JSON, or an export of Label Studio, CVAT or COCO.
        name: what to call it.
        group_column: a column whose values name groups, such as `patient`.

    Raises:
        RefusedError: it cannot be understood; says what was seen and how to mend it.
    """
    for head, kind in _BINARY.items():
        if data.startswith(head):
            raise RefusedError(f"it is {kind} and no text", "save it as CSV, in UTF-8")
    text = decode(data)
    start = text.lstrip()[:1]
    if start == "[":
        records = json_forms.of_list(json_forms.whole(text))
        if _is_label_studio(records):
            return _label_studio(records, name)
    elif start == "<":
        return _tagged("CVAT", cvat.images(text), name)
    elif start == "{":
        value = json_forms.one_object(text)
        if value is not None and coco.is_coco(value):
            images, classes = coco.images(value)
            return _tagged("COCO", images, name, classes)
        records = (
            json_forms.lines(text) if value is None else json_forms.of_object(value, _names_image)
        )
    else:
        records = delimited.records(text, _names_image)
    return _table(records, name, group_column)


def decode(data: bytes) -> str:
    """Return the text of a table in UTF-8, UTF-16, UTF-32 with its mark, or a Western code page.

    Raises:
        RefusedError: it ends within a letter.
    """
    wide = next((name for mark, name in _MARKS.items() if data.startswith(mark)), _unmarked(data))
    if wide:
        try:
            return data.decode(wide)
        except UnicodeDecodeError:
            raise RefusedError("it stops in the middle of a letter", "save it again") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _unmarked(data: bytes) -> str:
    """Return which UTF-16 text is in that begins without a mark; empty where it is in none.

    Choice: every second byte of what is mostly ASCII is zero there, and in no other text.
    """
    head = data[:200]
    for name, zeros in (("utf-16-le", head[1::2]), ("utf-16-be", head[::2])):
        if len(head) > 3 and zeros.count(0) > 0.8 * len(zeros) and head.count(0) < len(head) * 0.55:
            return name
    return ""


def is_unknown(text: str) -> bool:
    """Return whether a label's text says that nobody knows."""
    return text.strip().lower() in _UNKNOWN


def _column(columns: Sequence[str], meanings: Sequence[str]) -> str | None:
    """Return the column with the first of these meanings, or None."""
    spelled = _spellings(tuple(columns))
    return next((spelled[meaning] for meaning in meanings if meaning in spelled), None)


@functools.lru_cache(maxsize=4)
def _spellings(columns: tuple[str, ...]) -> dict[str, str]:
    """Return each column by how meanings spell it; the first of two alike."""
    spelled: dict[str, str] = {}
    for column in columns:
        spelled.setdefault(columns_of.plain(column.lower()), column)
        spelled.setdefault(columns_of.plain(column), column)
    return spelled


def _names_image(columns: Sequence[str]) -> bool:
    """Return whether one of the columns says which image a row is of."""
    return any(_column(columns, meanings) for meanings in (_FILE, _INDEX, _HASH))


def _table(records: list[Columns], name: str, group_column: str | None) -> Table:
    """Return records as rows, columns found by meaning."""
    if len(records) > MOST_ROWS:
        raise RefusedError(f"{len(records):,} rows", f"use at most {MOST_ROWS:,}", MOST_ROWS)
    columns = list(dict.fromkeys(str(key) for record in records[:100] for key in record))
    file, index = _column(columns, _FILE), _column(columns, _INDEX)
    label, split = _column(columns, _LABEL), _column(columns, _SPLIT)
    annotator = _column(columns, _ANNOTATOR)
    digest, run = _column(columns, _HASH), _column(columns, _RUN)
    if label == file:
        label = None
    if file is None and index is None and digest is None:
        raise RefusedError(
            "no column names the image",
            f"the columns are {listing([display(c) for c in columns], 8)}: rename the "
            "one with the file names to file, and the one with the classes to label",
        )
    if group_column is not None and group_column not in columns:
        raise RefusedError(
            f"no column {display(group_column)} for groups",
            f"the columns are {listing([display(c) for c in columns], 8)}",
        )
    naming = (file or index, digest, run)
    used = [column for column in (*naming, label, split, annotator, group_column) if column]
    free = [column for column in columns if column not in used]
    marks = [] if label else columns_of.one_hot(records, free)
    labels, several = _labels(records, label, marks)
    words = Counter(text for text in labels if text.strip().lower() in _WORDS)
    rows = []
    for number, (record, text) in enumerate(zip(records, labels, strict=True), 2):
        role = split_of(_text(record, split)) if split else None
        group = _text(record, group_column) if group_column else ""
        rows.append(
            AnswerRow(
                file=columns_of.file_of(record.get(file)) if file else None,
                index=_whole(_text(record, index)) if index and not file else None,
                label=None if is_unknown(text) else class_name(text) or None,
                origin=f"{name}, row {number}",
                role=None if role == "train" else role,
                group=group or None,
                annotator=display(_text(record, annotator))[:80] if annotator else "",
                digest=_text(record, digest).lower(),
                run=_text(record, run),
            )
        )
    unused = [display(column) or "one without a name" for column in free if column not in marks]
    remarks = [f"{name}: {', '.join(map(display, used))} {'is' if len(used) == 1 else 'are'} used"]
    if marks:
        remarks[0] += f"; one-hot columns were read as classes: {listing(marks, 6)}"
    if unused:
        remarks[0] += f"; {listing(unused, 6)} {'is' if len(unused) == 1 else 'are'} not"
        remarks[0] += columns_of.group_hint(unused)
    remarks += [
        f"{name}: {display(word)[:40]} is no class: {count(times, 'image')} called so count as unlabeled"
        for word, times in words.items()
    ]
    if not (label or marks):
        remarks[0] += "; no column is called label or class"
    if several:
        remarks.append(
            f"{name}: {several:,} rows name several classes, or none in plain words, and count as unlabeled"
        )
    return Table(name, tuple(rows), bool(label or marks), (), tuple(remarks))


def _labels(records: list[Columns], label: str | None, marks: list[str]) -> tuple[list[str], int]:
    """Return what each record calls its image, empty for nothing, and how many name no one class."""
    if marks:
        names = [[mark for mark in marks if columns_of.is_one(record, mark)] for record in records]
        return [own[0] if own else "" for own in names], 0
    values = [columns_of.label_of(record.get(label)) if label else "" for record in records]
    labels = [value or "" for value in values]
    return columns_of.whole_numbers(labels, [is_unknown(text) for text in labels]), values.count(
        None
    )


def _text(record: Mapping[str, Any], column: str | None) -> str:
    """Return a field as text."""
    return columns_of.text_of(record.get(column)) if column is not None else ""


def _whole(text: str) -> int | None:
    """Return a whole number, or None."""
    return int(text) if text.isdecimal() and len(text) < 12 else None


def _is_label_studio(records: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether these are tasks of Label Studio."""
    return bool(records) and all(
        isinstance(record.get("data"), dict)
        and isinstance(record.get("annotations", record.get("completions", [])), list)
        for record in records
    )


def _label_studio(tasks: Sequence[Mapping[str, Any]], name: str) -> Table:
    """Return the answers of Label Studio's JSON export.

    Choice: an annotation that was cancelled is `skipped`; one without a choice says nothing; the
    ground truth comes alone where there is one; several annotations are several answers.
    """
    rows: list[AnswerRow] = []
    skipped = empty = several = 0
    for number, task in enumerate(tasks, 1):
        file, index = _picture(task["data"]), task["data"].get("dataset_index")
        where = f"{name}, task {task.get('id', number)}"
        index = index if isinstance(index, int) else None
        role = split_of(_text(task["data"], "split"))
        role = None if role == "train" else role
        digest, run = (_text(task["data"], _column(list(task["data"]), c)) for c in (_HASH, _RUN))
        answers, before = [], several
        notes = task.get("annotations", task.get("completions", []))
        truths = [note for note in notes if isinstance(note, dict) and note.get("ground_truth")]
        for note in truths or notes:
            if not isinstance(note, dict):
                continue
            who = note.get("completed_by")
            who = who.get("email", who.get("id", "")) if isinstance(who, dict) else who
            person = "" if who is None else display(str(who))[:80]
            if note.get("was_cancelled"):
                skipped += 1
                answers.append(AnswerRow(file, index, None, where, role, None, person, "skipped"))
                continue
            choices = _choices(note)
            if len(choices) > 1:
                several += 1
            elif choices:
                answers.append(AnswerRow(file, index, choices[0], where, role, None, person))
        if not answers:
            empty += before == several
            answers.append(AnswerRow(file, index, None, where, role))
        rows += [dataclasses.replace(row, digest=digest.lower(), run=run) for row in answers]
    remark = f"{name}: Label Studio's export of {count(len(tasks), 'task')}"
    for number, one, many in (
        (skipped, "annotation was skipped", "annotations were skipped"),
        (empty, "task has no answer", "tasks have no answer"),
        (
            *(several, "annotation names several classes and was not used"),
            "annotations name several classes and were not used",
        ),
    ):
        if number:
            remark += f"; {count(number, one, many)}"
    return Table(name, tuple(rows), True, (), (remark,))


def _tagged(
    who: str, images: Iterable[tuple[str, list[str]]], name: str, declared: tuple[str, ...] = ()
) -> Table:
    """Return the classes that an export of CVAT or in COCO's form gives each image; of several none is used."""
    rows: list[AnswerRow] = []
    empty = several = 0
    for number, (file, classes) in enumerate(images, 1):
        label = classes[0] if len(classes) == 1 and not is_unknown(classes[0]) else None
        several += len(classes) > 1
        empty += not classes
        rows.append(AnswerRow(file, None, label, f"{name}, image {number}"))
    remark = f"{name}: {who}'s export of {count(len(rows), 'image')}"
    if empty:
        remark += f"; {count(empty, 'image has', 'images have')} no tag"
    if several:
        remark += f"; {count(several, 'image has', 'images have')} several tags, which are not used"
    return Table(name, tuple(rows), True, declared, (remark,))


def _choices(note: Mapping[str, Any]) -> list[str]:
    """Return the classes that an annotation chose."""
    chosen: list[str] = []
    for result in note.get("result") or []:
        if isinstance(result, dict) and isinstance(result.get("value"), dict):
            value = result["value"].get("choices")
            if isinstance(value, list):
                chosen += [class_name(str(choice)) for choice in value]
    return [choice for choice in dict.fromkeys(chosen) if not is_unknown(choice)]


def _picture(data: Mapping[str, Any]) -> str | None:
    """Return the file that a task speaks of: a plain name if there is one, else its address."""
    column = _column([str(key) for key in data], _FILE)
    named = [data[column]] if column is not None else []
    values = [value for value in (*named, *data.values()) if isinstance(value, str)]
    for value in values:
        path = urllib.parse.urlsplit(value).path if "://" in value[:12] else value
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(value).query) if "?d=" in value else {}
        if value.startswith("data:image/"):
            return value
        if "d" in query:
            return query["d"][0]
        if path.lower().endswith(SUFFIXES):
            return urllib.parse.unquote(path) if path != value else value
    return values[0] if values else None


class Matches:
    """The rows of a table, each with the image it speaks of."""

    def __init__(self, table: Table, paths: Sequence[Sequence[str]]) -> None:
        """Match by as many parts of the path as both have, then by the name without its suffix.

        Args:
            table: whose rows.
            paths: the parts of each image's path.
        """
        self.table = table
        self._by_name: dict[str, list[int]] = {}
        self._by_stem: dict[str, list[int]] = {}
        self._by_fold: dict[str, list[int]] = {}  # as systems that know no case spell it
        self._paths = [[plain(part) for part in path] for path in paths]
        for place, path in enumerate(self._paths):
            self._by_name.setdefault(path[-1], []).append(place)
            self._by_stem.setdefault(path[-1].rpartition(".")[0], []).append(place)
            self._by_fold.setdefault(path[-1].casefold(), []).append(place)
        self._rows: dict[int, list[AnswerRow]] = {}
        self.missing: list[str] = []
        self.ambiguous: list[str] = []
        for row in table.rows:
            match = self._find(row)
            if match is not None:
                self._rows.setdefault(match, []).append(row)

    def pairs(self) -> list[tuple[int, AnswerRow]]:
        """Return every row that has an image, with the image's place."""
        return [(place, row) for place, rows in self._rows.items() for row in rows]

    def apply(self, place: int, item: Item) -> Item:
        """Return the item with what the table says of it."""
        rows = self._rows.get(place)
        if not rows:
            return item
        row = rows[0]
        group = row.group if row.group is not None else item.group
        item = dataclasses.replace(item, role=row.role or item.role, group=group)
        if not self.table.has_labels:
            return item
        return dataclasses.replace(
            item,
            label=row.label,
            origin=row.origin if row.label or row.answer != "label" else "",
            annotator=row.annotator,
            answer=row.answer,
        )

    def further(self, place: int) -> Iterator[AnswerRow]:
        """Yield every answer for an image after the first."""
        if self.table.has_labels:
            yield from (
                row
                for row in self._rows.get(place, [])[1:]
                if row.label is not None or row.answer != "label"
            )

    def remarks(self) -> list[str]:
        """Return what the table says of itself, and rows without an image."""
        lines = list(self.table.remarks)
        if self.missing:
            lines.append(
                f"{len(self.missing):,} rows of {self.table.name} name no image here: {listing(self.missing)}"
            )
        if self.ambiguous:
            lines.append(
                f"{len(self.ambiguous):,} rows of {self.table.name} could mean several images "
                f"({listing(self.ambiguous)}); write their folders too"
            )
        return lines

    def _find(self, row: AnswerRow) -> int | None:
        """Return the place of the image that a row speaks of, or None."""
        if row.file is None:
            if row.index is not None and row.index < len(self._paths):
                return row.index
            self.missing.append(str(row.index))
            return None
        parts = split_path(row.file)
        if not parts:
            self.missing.append(display(row.file)[:60])
            return None
        names = [parts[-1], _UPLOAD.sub("", parts[-1])]
        candidates = next((self._by_name[name] for name in names if name in self._by_name), None)
        if candidates is None:
            candidates = self._by_stem.get(parts[-1]) or self._by_fold.get(parts[-1].casefold(), [])
        best: list[int] = []
        depth = 0
        for place in candidates:
            shared = _shared(self._paths[place], parts)
            if shared > depth or not best:
                best, depth = [place], shared
            elif shared == depth:
                best.append(place)
        if len(best) == 1:
            return best[0]
        exact = [place for place in best if self._paths[place] == parts]
        if len(exact) == 1:
            return exact[0]
        (self.ambiguous if best else self.missing).append(display(row.file)[:60])
        return None


def plain(name: str) -> str:
    """Return a name in composed characters, as both a disk and a table may spell it."""
    return unicodedata.normalize("NFC", name)


def split_path(text: str) -> list[str]:
    """Return the parts of a path as a table writes it."""
    return [plain(part) for part in text.replace("\\", "/").split("/") if part not in ("", ".")]


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many last parts two paths share."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
