"""What a study found: verdicts, the figure, the tables beside the paper's, and the downloads."""

import dataclasses
import functools

import streamlit as st

from rambo.figures import study_chart, study_tables
from rambo.runs.workspace import Run
from rambo.studies.table import StudyTable, Verdict, to_csv, to_markdown
from rambo.text import count, literal
from rambo.ui import downloads, takeaway, visitor
from rambo.ui.components import plot
from rambo.ui.studies import records

_FIRST = 5  # verdicts in sight; the rest is folded away
_WHOLE, _HEIGHT = 20, 600  # rows of a table without a scroll bar, and pixels of a longer one
_COLOURS = {"more": "green", "less": "red", "nothing": "gray", "too few": "gray"}
_COLUMNS = {
    "test": "test accuracy",
    "validation": "validation accuracy",
    "where": "where in the paper",
}


def show(study: Run) -> None:
    """Draw all that is known so far."""
    table = records.table(study)
    if not table.rows:
        st.info(
            "No results yet. Verdicts, the figure and the table appear here as the cells are judged.",
            icon=":material/hourglass_top:",
        )
        return
    _show_verdicts(table)
    _show_figure(study, table)
    _show_table(table)
    if table.name == "validation-size":
        _show_utilities(study)
    if table.name == "runtime":
        _show_runtimes(table)
    _show_downloads(study, table)


def _show_verdicts(table: StudyTable) -> None:
    """Say first what the figures say."""
    st.header("What it says")
    verdicts = table.verdicts
    if not verdicts:
        st.caption("Nothing can be compared yet: a verdict needs two choices of the same trial.")
    with st.container(gap="xsmall"):
        for verdict in verdicts[:_FIRST]:
            _verdict(verdict)
    if rest := verdicts[_FIRST:]:
        with st.expander(count(len(rest), "more difference")):
            for verdict in rest:
                _verdict(verdict)


def _verdict(verdict: Verdict) -> None:
    """Draw one verdict: a sign, and the sentence."""
    finding = verdict.difference.finding
    sign, colour = study_tables.SIGNS[finding], _COLOURS[finding]
    st.markdown(f":{colour}-badge[{sign}] {literal(study_tables.verdict_words(verdict), 300)}")


def _show_figure(study: Run, table: StudyTable) -> None:
    """Draw the figure of the accuracy that is switched on."""
    st.header("The figure")
    words = study_tables.reported_words(table)
    with st.container(horizontal=True, vertical_alignment="center"):
        metric = st.segmented_control(
            "Accuracy",
            list(study_tables.METRICS),
            default="test",
            required=True,
            format_func=lambda name: study_tables.METRICS[name],
            key=f"study-metric-{study.id}",
            label_visibility="collapsed",
            help="The paper reports validation accuracy. Test images serve this figure alone.",
        )
        if words and not st.toggle(
            "The paper's figures",
            value=study_tables.same_sizes(table),
            key=f"study-paper-{study.id}",
            help="Off at first where the paper had other numbers of labels: accuracies then lie far apart.",
        ):
            table, words = study_tables.without_paper(table), ""
    plot(
        study_chart.figure(table, metric or "test"),
        key=f"study-figure-{study.id}",
        height=study_chart.height(table),
        alt=f"{study_tables.METRICS[metric or 'test']} of every strategy in each cell, with its standard error.",
        file_name=f"rambo-{table.name}",
    )
    hollow = " Hollow marks are the paper's validation accuracies." if words else ""
    st.caption(literal(f"Means over the trials, with bars of one standard error.{hollow}", 500))


def _show_table(table: StudyTable) -> None:
    """Draw our figures beside the paper's."""
    st.header("The table")
    rows = study_tables.results(table)
    st.dataframe(
        rows,
        hide_index=True,
        width="stretch",
        height="content" if len(rows) <= _WHOLE else _HEIGHT,
        column_config=dict(_COLUMNS),
    )
    if words := study_tables.reported_words(table):
        st.caption(literal(words, 500))


def _show_utilities(study: Run) -> None:
    """Draw Table 2 beside ours."""
    means = records.mean_utilities(study)
    if not means:
        return
    st.header("Mean utility by the size of the validation set")
    st.dataframe(study_tables.utilities(means), hide_index=True, width="stretch")
    st.caption(
        "The mean accuracy of classifiers trained on random sets, as nested parts of one validation set see it: the "
        "same trainings, judged by ever more images. One standard error over the trials; the paper's figures are "
        "those of Table 2, whose errors may be over other things."
    )


def _show_runtimes(table: StudyTable) -> None:
    """Draw where the time went, beside the paper's minutes."""
    st.header("Time by stage")
    st.dataframe(study_tables.runtimes(table), hide_index=True, width="stretch")
    st.caption(
        "Seconds of one trial, on average. Trainings that were found again cost nothing, so a strategy that reused "
        "much looks faster than it is. The paper's minutes (B.7) were measured on two NVIDIA A40 with 500 offline "
        "pairs: another machine and other sizes, so the shares compare, the times do not."
    )


def _show_downloads(study: Run, table: StudyTable) -> None:
    """Draw the downloads: data, text, and the figures in one file."""
    name = f"rambo-{table.name}-{study.id[-4:]}"
    shared = dataclasses.replace(table, dataset=dataset_word(table.dataset))
    files = (
        ("CSV", functools.partial(to_csv, shared), f"{name}.csv", "text/csv"),
        ("Markdown", functools.partial(to_markdown, shared), f"{name}.md", "text/markdown"),
        ("Figures as HTML", functools.partial(_page, shared), f"{name}.html", "text/html"),
    )
    with st.container(horizontal=True):
        for label, data, file_name, mime in files:
            downloads.button(
                label,
                visitor.noting(data, study.id, label),
                file_name,
                mime,
                icon=":material/download:",
                key=f"study-download-{mime.rpartition('/')[2]}",
            )
    st.caption("The figure as PNG: the camera above it.")


def _page(table: StudyTable) -> bytes:
    """Return the figures of both accuracies as one HTML file."""
    title = f"{table.title} ({table.source}) on {table.dataset}"
    words = study_tables.reported_words(table)
    sections = [
        (word, words, study_chart.figure(table, name))
        for name, word in study_tables.METRICS.items()
    ]
    return takeaway.page(title, sections, height=study_chart.height(table))


def dataset_word(name: str) -> str:
    """Return what to call a dataset; of a path only the last part, the rest is private."""
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2]
