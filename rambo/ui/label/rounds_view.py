"""The ledger: what each round asked for, what came back, what it cost, and what the labels brought."""

import pandas as pd
import streamlit as st

from rambo.collection import PREFIX
from rambo.collection.answers import Answers
from rambo.export import ledger
from rambo.export.ledger import Ledger, LedgerRound, Milestone
from rambo.figures.prepared import Figure
from rambo.figures.strokes import axes, figure
from rambo.figures.theme import BLUE, strategy_word
from rambo.text import duration, literal, moment, percent
from rambo.ui import frame, state, visitor
from rambo.ui.components import plot
from rambo.ui.configure import draft
from rambo.ui.label import round_data
from rambo.ui.label.round_data import Round

_JUDGES = {
    "test": "test images",
    "validation": "validation images",
    "cross-validation": "labels, in folds",
}


def show(current: Round) -> None:
    """Draw the ledger and the button of the next round."""
    with frame.guard():
        if st.session_state.pop("label-go", False):
            state.go("pages/configure.py", None)
        st.button(
            "Choose the next batch",
            type="primary",
            icon=":material/restart_alt:",
            on_click=_prepare,
            args=(current,),
            key="next-round",
            help="Opens Configure with the settings of this run on the newest version of the collection.",
        )
        book = ledger.read(
            state.workspace(),
            current.collection,
            lambda version: round_data.snapshot_at(current.collection, version),
        )
        for notice in book.notices:
            st.warning(literal(notice, 400))
        st.markdown("**Rounds**")
        st.dataframe(pd.DataFrame([_line(entry, book) for entry in book.rounds]), hide_index=True)
        _pick_price(current, book)
        st.markdown("**Labels against accuracy**")
        _show_milestones(book)
        st.caption(
            f"On the command line: `python -m rambo ledger {current.collection.slug}` prints this, and "
            f"`python -m rambo next {current.run.id}` chooses the next batch."
        )


def _prepare(current: Round) -> None:
    """Fill the form of Configure; the answers so far become labels first."""
    with frame.calmly():
        answers = Answers(current.collection, current.run.id)
        if visitor.may_edit() and answers.waiting():
            with visitor.acting("label", current.collection.slug) as called:
                called(f"{current.collection.slug}@{answers.take()}")
        draft.take_run(current.run)
        draft.take({"dataset.name": f"{PREFIX}{current.collection.slug}"})
        st.session_state["label-go"] = True


def _line(entry: LedgerRound, book: Ledger) -> dict[str, int | str]:
    """Return a round as a line of the table."""
    return {
        "round": entry.number,
        "when": moment(entry.created),
        "chosen by": strategy_word(entry.strategy),
        "settings": entry.settings,
        "asked": len(entry.images),
        "labels back": entry.labels,
        "skipped, unsure": entry.others,
        "cost": _money(entry.cost, book.currency),
        "time at the keyboard": "-" if entry.seconds is None else duration(entry.seconds),
        "run": entry.run,
    }


def _pick_price(current: Round, book: Ledger) -> None:
    """Let a person say what a label costs in this round."""
    price = next((entry.price for entry in book.rounds if entry.run == current.run.id), None)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.number_input(
            "Price of one label in this round",
            min_value=0.0,
            value=price,
            step=0.01,
            format="%.4g",
            placeholder="not known",
            key=f"price-{current.run.id}",
            disabled=not visitor.may_edit(),
            on_change=_set_price,
            args=(current,),
            width=260,
            help="For the ledger. Other rounds without a price of their own count with that of the round before.",
        )
        st.text_input(
            "Currency",
            value=book.currency,
            max_chars=8,
            key=f"currency-{current.run.id}",
            disabled=not visitor.may_edit(),
            on_change=_set_price,
            args=(current,),
            width=120,
        )


def _set_price(current: Round) -> None:
    """Note the price."""
    with frame.calmly():
        price = st.session_state[f"price-{current.run.id}"]
        if price is not None:
            currency = st.session_state[f"currency-{current.run.id}"]
            more = f"{price:g} {currency} a label in {current.run.id}"
            with visitor.acting("edit", current.collection.slug, more):
                current.collection.set_price(current.run.id, float(price), currency)


def _show_milestones(book: Ledger) -> None:
    """Draw what the labels brought."""
    if not book.milestones:
        st.caption(
            "Train the final model before the first and after each round, and this says what the labels brought."
        )
        return
    scored = [entry for entry in book.milestones if entry.accuracy is not None]
    if len(scored) > 1:
        plot(
            _curve(scored),
            key="ledger-curve",
            alt="Accuracy of the final model against the number of labels that taught it.",
            height=260,
        )
    lines = [_milestone_line(entry, book) for entry in book.milestones]
    st.dataframe(pd.DataFrame(lines), hide_index=True)
    st.caption(
        "± is one standard error. Two models judged by few images differ by chance: a gain says something where it is "
        "about twice its standard error or more."
    )


def _milestone_line(entry: Milestone, book: Ledger) -> dict[str, int | str]:
    """Return a final model as a line of the table."""
    score, gain = "-", "-"
    if entry.accuracy is not None:
        score = f"{percent(entry.accuracy)} ± {100 * (entry.error or 0.0):.1f}"
    if entry.gain is not None and entry.gain_error is not None:
        gain = f"{100 * entry.gain:+.1f} ± {100 * entry.gain_error:.1f} points"
    judge = _JUDGES.get(entry.judged, "nothing")
    return {
        "version": entry.version,
        "labels": entry.labels,
        "of these bought": entry.bought,
        "cost so far": _money(entry.cost, book.currency),
        "accuracy": score,
        "judged by": f"{entry.judges:,} {judge}" if entry.judges else judge,
        "gain": gain,
        "trained": moment(entry.created),
    }


def _curve(scored: list[Milestone]) -> Figure:
    """Return accuracy against labels, with standard errors, a line for each kind of judge."""
    traces: list[Figure] = []
    for judge in dict.fromkeys(entry.judged for entry in scored):
        entries = [entry for entry in scored if entry.judged == judge]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": f"by {_JUDGES[judge]}",
                "x": [entry.labels for entry in entries],
                "y": [100 * (entry.accuracy or 0.0) for entry in entries],
                "error_y": {"array": [100 * (entry.error or 0.0) for entry in entries]},
                "marker": {"size": 8},
                "line": {"color": BLUE, "dash": "solid" if not traces else "dash"},
                "text": [f"version {entry.version}" for entry in entries],
                "hovertemplate": "%{text}: %{x} labels, %{y:.1f} %<extra></extra>",
            }
        )
    return figure(traces, axes("labels that taught f", "accuracy in percent"))


def _money(amount: float | None, currency: str) -> str:
    """Return an amount in words."""
    if amount is None:
        return "-"
    return f"{amount:,.2f} {currency}".strip()
