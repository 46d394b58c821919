"""The health report of a collection: each line with its way out, and the images it speaks of."""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
import streamlit as st

from rambo.collection.records import HealthLine, Severity, Snapshot
from rambo.text import count, literal
from rambo.ui import frame
from rambo.ui.collections import OpenCollection
from rambo.ui.data import own_images

_ICONS: dict[Severity, str] = {
    "error": ":red[:material/error:]",
    "warning": ":orange[:material/warning:]",
    "info": ":material/check:",
}
_WORDS: dict[Severity, str] = {
    "error": "**Stops a run.** ",
    "warning": "**Look at this.** ",
    "info": "",
}
_HEAD = ("counts",)  # the page says it elsewhere


def show_health(opened: OpenCollection) -> None:
    """Draw the report."""
    lines = [line for line in opened.health if line.topic not in _HEAD]
    errors, warnings = (
        sum(line.severity == severity for line in lines) for severity in ("error", "warning")
    )
    st.header("Health report")
    st.caption(_summary(errors, warnings))
    with st.container(border=True, key="health", gap="small"):
        for place, line in enumerate(lines):
            _show_line(opened, line, place)


def _summary(errors: int, warnings: int) -> str:
    """Return what the report comes to."""
    if errors:
        return f"{count(errors, 'thing stops', 'things stop')} a run; put that right first."
    if warnings:
        return f"Nothing stops a run; {count(warnings, 'thing is', 'things are')} worth a look."
    return "Nothing stands in the way of a run."


def _show_line(opened: OpenCollection, line: HealthLine, place: int) -> None:
    """Draw one line, and a closed section with what it speaks of; a closed one reads nothing."""
    with st.container(gap=None, key=f"health-{place}"):
        st.markdown(f"{_ICONS[line.severity]} {_WORDS[line.severity]}{literal(line.sentence, 600)}")
        if line.way_out:
            st.caption(literal(line.way_out, 400))
        if not line.files:
            return
        with st.expander(
            f"Show {'them' if line.count != 1 else 'it'}",
            key=f"health-open-{opened.now.version}-{place}",
            on_change="rerun",
        ) as section:
            if section.open:
                with frame.guard():
                    _show_files(opened, line, place)


def _show_files(opened: OpenCollection, line: HealthLine, place: int) -> None:
    """Draw the images of a line, or the names of files that gave none."""
    now = opened.now
    rows = list(rows_of(now, line))
    if not rows:
        reasons = {bad.file: bad.reason for bad in now.unreadable}
        table = [(name, reasons.get(name, "")) for name in line.files]
        st.dataframe(pd.DataFrame(table, columns=["file", "why"]), hide_index=True)
    else:
        answers = _answers(now) if line.topic == "contradictions" else {}
        own_images.show_gallery(
            opened, rows, key=f"health-images-{place}", more=answers, opens=f"health-{place}"
        )
    if line.count > len(line.files):
        st.caption(f"The first {len(line.files):,} of {line.count:,}.")


def rows_of(now: Snapshot, line: HealthLine) -> Iterable[int]:
    """Return the rows of the images that a line speaks of; of duplicates those that are alike side by side."""
    files = set(line.files)
    rows = {row for row, name in enumerate(now.files) if name in files}
    numbers = {number for name, number in now.copies if name in files}
    if line.topic == "duplicates" and numbers:
        rows = set(np.flatnonzero(np.isin(now.numbers, list(numbers))).tolist())
    if line.topic in ("duplicates", "crossings"):
        return sorted(rows, key=lambda row: (int(now.clusters[row]), row))
    return sorted(rows)


def _answers(now: Snapshot) -> dict[int, str]:
    """Return what was said of each image whose answers disagree, by row."""
    rows = {number: row for row, number in enumerate(now.numbers.tolist())}
    by_row: dict[int, list[str]] = {}
    for row, words in _label_words(now, rows):
        by_row.setdefault(row, []).append(words)
    return {row: " · ".join(dict.fromkeys(words)) for row, words in by_row.items()}


def _label_words(now: Snapshot, rows: dict[int, int]) -> Iterator[tuple[int, str]]:
    """Yield row and answer with its origin, for images whose answers disagree."""
    torn = set(now.contradictions)
    for entry in now.entries:
        if entry.image in torn and entry.label is not None:
            yield rows[entry.image], f"{entry.label} ({entry.origin})"
