"""The stage stepper and other small pieces of HTML of the Train page; every text in them is escaped."""

import html
from collections.abc import Iterator, Mapping

from rambo import lineup
from rambo.figures.rivals import TrialAccuracies
from rambo.figures.theme import GREEN, STAGE_WORDS, STAGES, strategy_word
from rambo.runs import report
from rambo.text import count, unbroken
from rambo.ui.train.stages import StageCell

_SIGNS = {
    "done": ("✓", GREEN),
    "now": ("▶", "currentColor"),
    "waiting": ("○", "currentColor"),
    "none": ("·", "currentColor"),
}
_STATUS_WORDS = {
    "done": "done",
    "now": "going on",
    "waiting": "waiting",
    "none": "not part of this",
}


def table(cells: Mapping[str, Mapping[str, StageCell]], *, live: bool) -> str:
    """Return the stepper: a row a strategy, a column a stage.

    Args:
        cells: strategy -> stage -> cell.
        live: whether work goes on; else the stage in flight is where it ended.
    """
    heads = "".join(f'<th scope="col">{_text(STAGE_WORDS[stage])}</th>' for stage in STAGES)
    rows = "".join(
        f'<tr><th scope="row">{_text(strategy_word(name))}</th>'
        + "".join(_cell(row[stage], live) for stage in STAGES)
        + "</tr>"
        for name, row in cells.items()
    )
    return f'<table class="rambo-stages"><tr><td class="none"></td>{heads}</tr>{rows}</table>'


def empty(text: str, height: int) -> str:
    """Return a box that says why a chart is not there yet."""
    style = (
        f"height: {height}px; display: flex; align-items: center; justify-content: center; text-align: center; "
        "padding: 0 12%; border-radius: 8px; opacity: 0.75; "
        "border: 1px dashed color-mix(in srgb, currentColor 35%, transparent);"
    )
    return f'<div style="{style}">{_text(text)}</div>'


def metrics(accuracies: Mapping[str, TrialAccuracies]) -> Iterator[tuple[str, str, str]]:
    """Yield name, test accuracy with its standard error, and a help text of each strategy."""
    for name, accuracy in accuracies.items():
        words = f"{lineup.of(name).help} Mean over {count(accuracy.trials, 'trial')}."
        mean = unbroken(report.percent(accuracy.values))
        yield strategy_word(name), f"{mean} %", words


def _cell(cell: StageCell, live: bool) -> str:
    """Return one cell: a sign, the state for screen readers, and a few words."""
    sign, colour = _SIGNS[cell.state]
    status, words = _STATUS_WORDS[cell.state], cell.words
    if cell.state == "now" and not live:
        sign, status, words = "◼", "ended here", f"ended at {cell.words}"
    return (
        f'<td class="{cell.state}"><span class="sign" style="color: {colour}" aria-hidden="true">{sign}</span>'
        f'<span class="spoken">{status}: </span>{_text(words)}</td>'
    )


def _text(text: str) -> str:
    """Return text as HTML."""
    return html.escape(text)
