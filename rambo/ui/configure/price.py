"""The price of a run in labels: all that it needs, what they cost if a person says so, and what to do with fewer."""

import numpy as np
import streamlit as st

from rambo import lineup
from rambo.config import Config
from rambo.datasets.prepared import TEST, Prepared
from rambo.estimate.costs import Costs
from rambo.figures.theme import strategy_word
from rambo.text import count, duration, literal

_UNIT, _PACE = "price-unit", "price-seconds"
_FRUGAL = 4  # strategies that are named


def show(config: Config, data: Prepared, costs: Costs) -> None:
    """Draw which labels are held beside those to buy, and their price."""
    test = int(np.sum(data.roles == TEST))
    st.caption(label_words(costs, test))
    with st.popover("Price and fewer labels", icon=":material/payments:", width="stretch"):
        left, right = st.columns(2)
        unit = left.number_input("Price of a label", 0.0, None, None, key=_UNIT, placeholder="none")
        pace = right.number_input("Seconds a label", 0.0, None, None, key=_PACE, placeholder="none")
        for line in price_lines(costs, test, unit, pace):
            st.markdown(line)
        st.caption(frugal_words(config, costs, test))


def label_words(costs: Costs, test: int) -> str:
    """Return which labels have to be there beside those to buy."""
    parts = [f"{costs.initial_labels:,} to learn from"]
    parts += [f"{costs.validation:,} to check with"] if costs.validation else []
    parts += [f"{test:,} to test with"] if test else []
    total = costs.initial_labels + costs.validation + test
    return f"Labels that have to be there: {total:,} = {', '.join(parts)}."


def price_lines(costs: Costs, test: int, unit: float | None, pace: float | None) -> list[str]:
    """Return what the labels cost in money and in an annotator's time, as far as either is given.

    Args:
        costs: of the run.
        test: labeled test images.
        unit: price of one label, in any currency.
        pace: seconds that one label takes an annotator.
    """
    bought = costs.labels_bought
    total = bought + costs.initial_labels + costs.validation + test
    lines = []
    for words, number in (("To buy", bought), ("If none were there yet", total)):
        sums = [f"**{number * unit:,.2f}**"] if unit else []
        sums += [f"**{duration(number * pace)}** of an annotator's time"] if pace else []
        if sums:
            lines.append(f"{words}: {count(number, 'label')}, {' and '.join(sums)}.")
    return lines or ["Type what a label costs, or how long one takes, to see the sum."]


def frugal_words(config: Config, costs: Costs, test: int) -> str:
    """Return what to do where fewer labels are there than a run asks for."""
    words = []
    if costs.validation:
        frugal = [name for name in lineup.names() if not lineup.of(name).reads_validation]
        names = ", ".join(literal(strategy_word(name)) for name in frugal[:_FRUGAL])
        readers = [name for name in config.strategies if name not in frugal]
        if readers:
            words.append(
                f"Fewer than {costs.validation:,} to check with? Set fewer aside: sets are then compared less sharply. "
                f"With none, choose by {names}, which need none."
            )
    if test:
        words.append(
            f"The {test:,} test labels only judge the result: with your own images a run needs none of them."
        )
    words.append("Fewer to learn from? Rehearse on them first: it says which strategy pays.")
    return " ".join(words)
