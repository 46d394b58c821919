"""The ledger: what each round asked for, what came back, what it cost in time, and what the labels brought."""

import itertools

import pandas as pd
import streamlit as st

from rambo.collection import LABELED, PREFIX, TEST, VALIDATION
from rambo.collection.answers import Answers
from rambo.errors import RamboError
from rambo.runs import models
from rambo.runs.workspace import Run
from rambo.text import duration, moment, percent
from rambo.ui import frame, readers, state
from rambo.ui.configure import draft
from rambo.ui.label import round_data
from rambo.ui.label.round_data import Round

_BREAK = 300  # seconds without an answer that are no work


def show(current: Round) -> None:
    """Draw the ledger and the button of the next round."""
    with frame.guard():
        st.button(
            "Choose the next batch",
            type="primary",
            icon=":material/restart_alt:",
            on_click=_prepare,
            args=(current,),
            key="next-round",
            help="Opens Configure with the settings of this run on the newest version of the collection.",
        )
        if st.session_state.pop("label-go", False):
            state.go("pages/configure.py", None)
        st.markdown("**Rounds**")
        rounds = _rounds(current)
        st.dataframe(pd.DataFrame(rounds), hide_index=True)
        st.markdown("**Labels against accuracy**")
        trained = _trained(current)
        if trained:
            st.dataframe(pd.DataFrame(trained), hide_index=True)
        else:
            st.caption(
                "Train the final model after each round, and this says what the labels brought."
            )


def _prepare(current: Round) -> None:
    """Fill the form of Configure; the answers so far become labels first."""
    with frame.calmly():
        Answers(current.collection, current.run.id).take()
        draft.take_run(current.run)
        draft.take({"dataset.name": f"{PREFIX}{current.collection.slug}"})
        st.session_state["label-go"] = True


def _rounds(current: Round) -> list[dict[str, int | str]]:
    """Return one row a run on this collection, the oldest first."""
    now = round_data.snapshot(current.collection)
    labeled = {
        int(number)
        for number, role in zip(now.numbers, now.roles, strict=True)
        if role in (LABELED, VALIDATION, TEST)
    }
    rows: list[dict[str, int | str]] = []
    for record in reversed(readers.runs()):
        if not str(record.dataset or "").startswith(f"{PREFIX}{current.collection.slug}"):
            continue
        run = state.find_run(record.run)
        try:
            earlier = round_data.load(run)
        except RamboError:
            continue
        if earlier is None or earlier.collection.slug != current.collection.slug:
            continue
        numbers = earlier.request.numbers
        times = sorted(one.time for one in Answers(earlier.collection, run.id).log())
        spent = sum(b - a for a, b in itertools.pairwise(times) if b - a < _BREAK)
        rows.append(
            {
                "round": len(rows) + 1,
                "run": run.id,
                "when": moment(record.created),
                "chosen by": earlier.strategy,
                "asked": len(numbers),
                "labels back": sum(number in labeled for number in numbers),
                "time at the keyboard": duration(spent) if len(times) > 1 else "-",
            }
        )
    return rows


def _trained(current: Round) -> list[dict[str, int | str]]:
    """Return one row a final model, the oldest first."""
    rows: list[dict[str, int | str]] = []
    for run in reversed(models.of_collection(state.workspace(), current.collection.slug)):
        report = _report_of(run)
        if report is not None:
            rows.append(
                {
                    "version": report.dataset.partition("@")[2],
                    "labels": report.labeled,
                    "validation accuracy": _score(report.validation),
                    "test accuracy": _score(report.test),
                    "trained": moment(run.created()),
                }
            )
    return rows


def _report_of(run: Run) -> models.Report | None:
    """Return a model's report, or None where there is none that can be read."""
    try:
        return models.load_report(run)
    except RamboError:
        return None


def _score(score: models.Score | None) -> str:
    """Return an accuracy with its standard error."""
    if score is None:
        return "-"
    return f"{percent(score.accuracy)} ± {100 * score.standard_error:.1f}"
