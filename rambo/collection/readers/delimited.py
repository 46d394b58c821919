"""Delimited text as people and spreadsheets write it: which sign separates, and where the header is, if anywhere."""

import csv
import io
import itertools
from collections.abc import Callable, Sequence

from rambo.collection.looks import SUFFIXES
from rambo.collection.readers.items import display
from rambo.collection.readers.layout import split_of
from rambo.storage.files import RefusedError

Rows = list[list[str]]
SIGNS = ",;\t|"
_LOOKED_AT = 20  # rows by which the sign is chosen


def records(text: str, names_image: Callable[[Sequence[str]], bool]) -> list[dict[str, str]]:
    """Return the rows by column.

    Choice: the sign under which a column names the image, then the one that gives every row as many cells, then the
    one that gives most. A table without a header is understood where one column holds files and what is left over is
    one column, beside a split.

    Args:
        text: of the table.
        names_image: says of a header whether a column of it names the image.

    Raises:
        RefusedError: it is no whole table, or its columns have no names and could mean several things.
    """
    if "\0" in text:
        raise RefusedError("it holds null bytes, so it is no text table", "save it as CSV")
    text, sign = _past_preamble(text)
    sign = sign or max(SIGNS, key=lambda mark: _fitness(text, mark, names_image))
    rows = _rows(text, sign)
    if not rows:
        raise RefusedError("it is empty", "give a header and one row an image")
    header = _header(rows, names_image)
    if len(rows) > 2 and len(rows[-1]) < len(header) and not text.endswith(("\n", "\r")):
        raise RefusedError(
            f"its last row ({display(sign.join(rows[-1]))[:60]}) stops in the middle",
            "save it again",
        )
    last = text.rstrip().rpartition("\n")[2].rpartition(sign)[2].strip()
    within = last.startswith('"') and (len(last) == 1 or not last.endswith('"'))
    if text.count('"') % 2 and rows[-1] and (within or "\n" in rows[-1][-1]):
        raise RefusedError("a quote is opened and never closed", "save it again")
    if len(header) == 1 and not names_image(header):
        rows = _split_at_blanks(rows)
    if not names_image(header) and any(map(_is_file, rows[0])):
        header = _guessed_header(rows)
        rows.insert(0, header)
    return [
        dict(itertools.zip_longest(header, row[: len(header)], fillvalue="")) for row in rows[1:]
    ]


def _header(rows: Rows, names_image: Callable[[Sequence[str]], bool]) -> list[str]:
    """Return the first row, without the sign of a comment that some write before a header."""
    header = [cell.strip() for cell in rows[0]]
    bare = [header[0].lstrip("# "), *header[1:]]
    return bare if names_image(bare) else header


def _past_preamble(text: str) -> tuple[str, str]:
    """Return the text behind comments and behind the line by which Excel is told the sign, and that sign."""
    sign = ""
    while True:
        line, _, rest = text.partition("\n")
        plain = line.strip().lower()
        if plain.startswith("sep=") and len(plain.removeprefix("sep=")) <= 1:
            sign = line.strip("\r\n")[4:5] or "\t"
        elif not plain or (line.startswith("#") and _cells(line) < _cells(rest.partition("\n")[0])):
            pass
        else:
            return text, sign
        if not rest:
            return rest, sign
        text = rest


def _cells(line: str) -> int:
    """Return how many cells a line has at most."""
    return max(line.count(sign) for sign in SIGNS)


def _fitness(
    text: str, sign: str, names_image: Callable[[Sequence[str]], bool]
) -> tuple[bool, bool, int, int]:
    """Return how well a sign separates the first rows; the larger the better."""
    try:
        rows = _rows(text, sign, _LOOKED_AT)
    except RefusedError:
        return False, False, 0, 0
    header = _header(rows, names_image) if rows else []
    even = len({len(row) for row in rows}) == 1
    named = names_image(header) or any(map(_is_file, header))
    return named and len(header) > 1, even, len(header), -SIGNS.index(sign)


def _rows(text: str, sign: str, most: int | None = None) -> Rows:
    """Return the first rows that hold anything."""
    try:
        reader = csv.reader(io.StringIO(text), delimiter=sign)
        return [row for row in itertools.islice(reader, most) if any(row)]
    except csv.Error as error:
        raise RefusedError(f"it is no whole CSV ({error})", "save it again") from None


def _is_file(cell: str) -> bool:
    """Return whether a cell names an image file."""
    return cell.strip().lower().endswith(SUFFIXES)


def _split_at_blanks(rows: Rows) -> Rows:
    """Return rows of one cell cut before their last word, where what stands before it is a file."""
    pairs = [row[0].strip().rsplit(None, 1) for row in rows]
    fits = all(len(pair) == 2 and _is_file(pair[0]) for pair in pairs)
    return pairs if fits else rows


def _guessed_header(rows: Rows) -> list[str]:
    """Return names for columns that have none."""
    width = len(rows[0])
    files = [column for column in range(width) if _is_file(rows[0][column])]
    rest = [column for column in range(width) if column not in files]
    splits = [
        column
        for column in rest
        if len(rest) > 1 and all(split_of(row[column]) for row in rows if len(row) > column)
    ]
    labels = [column for column in rest if column not in splits]
    if len(files) != 1 or len(splits) > 1 or len(labels) > 1:
        raise RefusedError(
            f"its columns have no names (the first row is {display(', '.join(rows[0]))[:80]})",
            "put a line such as file,label above it",
        )
    names = {files[0]: "file", **dict.fromkeys(splits, "split"), **dict.fromkeys(labels, "label")}
    return [names[column] for column in range(width)]
