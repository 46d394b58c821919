"""The lineup: one record a strategy, whole and distinct, and true of the code, the config and the README."""

import inspect
import re
from pathlib import Path

import pytest
from plotly.graph_objects import scatter

from rambo import lineup
from rambo.config import Config
from rambo.strategies import STRATEGIES

README = Path(__file__).resolve().parents[1] / "README.md"
RECORDS = [lineup.of(name) for name in lineup.OURS]


@pytest.mark.parametrize("attribute", ["word", "help", "phrase"])
def test_no_two_strategies_are_told_alike(attribute: str) -> None:
    words = [getattr(record, attribute) for record in (*RECORDS, lineup.ORACLE)]
    assert len(set(words)) == len(words)
    assert all(word and word == word.strip() for word in words)


def test_no_two_strategies_look_alike() -> None:
    looks = [(record.colour, record.symbol) for record in (*RECORDS, lineup.ORACLE)]
    assert len({symbol for _, symbol in looks}) == len(looks)
    assert len({colour for colour, _ in looks}) == len(looks)


def contrast(colour: str, ground: str) -> float:
    """Return the WCAG contrast of two colours."""

    def luminance(hexes: str) -> float:
        parts = [int(hexes[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(colour), luminance(ground)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("ground", ["#ffffff", "#0e1117"])
def test_colours_stand_out_on_white_and_on_the_dark_background(ground: str) -> None:
    for record in (*RECORDS, lineup.ORACLE, lineup.of("nobody")):
        assert contrast(record.colour, ground) > 2.9, record.name


def test_a_node_is_a_place_in_the_config() -> None:
    for record in RECORDS:
        node = Config()
        for part in (record.node or "").split(".") if record.node else ():
            node = getattr(node, part)
    nodes = {record.node for record in RECORDS if record.node}
    rivals = {f"rivals.{name}" for name in Config().rivals.model_dump() if name != "space"}
    assert nodes == rivals | {"rambo", "plus"}


def test_a_learner_of_utilities_takes_steps_and_only_rambo_and_its_control_pretrain() -> None:
    learners = [record.name for record in RECORDS if record.learns == "utility"]
    assert (
        lineup.learners(reversed(lineup.OURS))
        == learners
        == ["rambo", "lowest", "rambo-plus", "dulo"]
    )
    assert [record.name for record in RECORDS if record.pretrains] == ["rambo", "lowest"]
    assert all(lineup.of(name).greedy for name in learners)


@pytest.mark.parametrize("name", [name for name in lineup.OURS if name != "lowest"])  # RAMBO's code
def test_what_the_lineup_says_of_a_strategy_its_module_does(name: str) -> None:
    """Read from the code: who asks for the space of distances, for the filter, for f."""
    record, module = lineup.of(name), inspect.getmodule(STRATEGIES[name])
    code = inspect.getsource(module)
    assert record.measures_distances == ("unit_vectors(" in code)
    asks = ("predictions", "ensemble", "picking")
    assert record.reads_classifier == any(word in code for word in asks)
    assert record.filters == ("filtered" in code)


def test_a_stranger_has_a_word_and_a_neutral_look() -> None:
    record = lineup.of("nobody-knows")
    assert (record.word, record.phrase) == ("nobody-knows", "nobody-knows")
    assert (record.learns, record.greedy, record.node) == ("", False, None)
    assert record.symbol not in {other.symbol for other in (*RECORDS, lineup.ORACLE)}
    assert "nobody-knows" not in lineup.names()


def test_the_oracle_is_no_strategy_and_has_a_word() -> None:
    assert lineup.ORACLE.name not in lineup.names()
    assert lineup.of(lineup.ORACLE.name).word == "Best of random (oracle)"


def test_the_readme_names_every_strategy_and_no_other() -> None:
    table = re.search(r"\| strategy \| chooses.*?\n\n", README.read_text(), re.DOTALL)
    assert table is not None
    rows = table.group().strip().splitlines()[2:]
    named = [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert sorted(named) == sorted(lineup.OURS)


def test_every_symbol_that_is_offered_is_one_of_plotly_and_ours_are_among_them() -> None:
    for symbol in (*lineup.SYMBOLS, *(f"{symbol}-open" for symbol in lineup.SYMBOLS)):
        assert scatter.Marker(symbol=symbol).symbol == symbol  # plotly refuses what it cannot draw
        assert lineup.check(lineup.Strategy("mine", symbol=symbol)).symbol == symbol
    assert {record.symbol for record in (*RECORDS, lineup.ORACLE)} <= set(lineup.SYMBOLS)
