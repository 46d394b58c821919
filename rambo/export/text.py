r"""Rows as CSV, JSON lines and JSON: `\n` after each line, UTF-8.

JSON is exact; CSV guards text that a spreadsheet would run as a formula with a leading apostrophe.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from rambo.export.evidence import COLUMNS, ChosenImage

# After a separator too: a spreadsheet of another language splits at `;` or a tab, quotes or not.
# The last four are the full-width signs, which spreadsheets read as the plain ones.
# A bare negative number is none: a class called "-1" reads alike in CSV and JSON.
_FORMULA = re.compile("(^|[,;|\t\r\n])(?=[-=+@\t\r\n\0\uff1d\uff0b\uff0d\uff20])")

_NEGATIVE = re.compile(r"-[0-9]+(\.[0-9]+)?")


def to_csv(rows: Sequence[ChosenImage]) -> bytes:
    r"""Return rows as UTF-8 CSV: a header, `\n` after each line, RFC 4180 quoting, None empty."""
    records = [row.record() for row in rows]
    return to_lines([records[0] if records else COLUMNS, *(row.values() for row in records)])


def to_lines(lines: Iterable[Iterable[Any]]) -> bytes:
    """Return lines of cells as CSV."""
    text = "".join(",".join(map(_cell, line)) + "\n" for line in lines)
    return text.encode("utf-8", "backslashreplace")  # a file name may hold what is no character


def _cell(value: Any) -> str:
    """Return one CSV cell: numbers as they are, text guarded, quoted where it must be."""
    if value is None:
        return ""
    if isinstance(value, tuple):  # tags: no comma stands in one
        value = ", ".join(value)
    if not isinstance(value, str):
        return repr(value)
    text = value if _NEGATIVE.fullmatch(value) else _FORMULA.sub(r"\1'", value)
    quoted = re.search(r'[",;\t\r\n\0]|^\s|\s$', text)
    return '"' + text.replace('"', '""') + '"' if quoted else text


def to_jsonl(rows: Sequence[ChosenImage]) -> bytes:
    """Return rows as JSON lines."""
    return "".join(json.dumps(row.record(), allow_nan=False) + "\n" for row in rows).encode()


def to_json(value: Any) -> bytes:
    """Return a value as indented JSON."""
    return (json.dumps(value, allow_nan=False, indent=1) + "\n").encode()
