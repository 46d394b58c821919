"""What we would take is what was measured: every figure of the advice stands in the page of evidence."""

from pathlib import Path

from rambo import lineup
from rambo.estimate import recommendation

EVIDENCE = (Path(__file__).parents[2] / "benchmarks" / "ACCURACY.md").read_text()


def section(name: str) -> str:
    return EVIDENCE.split(f"## {name}", 1)[1].split("\n## ", 1)[0]


def rows(text: str, name: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(f"| {name} |")]


def test_the_figures_of_clean_pools_are_those_of_the_evidence() -> None:
    measured = section("All strategies").split("\nMNIST", 1)[0]
    for name, figure in recommendation.CLEAN.items():
        (row,) = rows(measured, name)
        assert row.startswith(f"| {name} | {figure.mean} +- {figure.error} |")
        assert f"| {recommendation.CLEAN_TRIALS} |" in row
    best = max(recommendation.CLEAN, key=lambda name: recommendation.CLEAN[name].mean)
    assert best == recommendation.STRATEGY


def test_the_figures_of_dirty_pools_are_those_of_the_evidence() -> None:
    (row,) = rows(section("Dirty pools"), recommendation.STRATEGY)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    for wasted, test, gate in ((cells[1], cells[2], "off"), (cells[3], cells[4], "on")):
        numbers = sorted(map(int, wasted.split(", ")))
        assert len(numbers) == recommendation.DIRTY_TRIALS
        assert recommendation.WASTED[gate] == f"{numbers[0]} to {numbers[-1]}"
        figure = recommendation.DIRTY[gate]
        assert test == f"{figure.mean} +- {figure.error}"


def test_the_words_name_the_strategy_and_its_figures() -> None:
    word = lineup.of(recommendation.STRATEGY).word
    for text in (recommendation.short(), " ".join(recommendation.whole())):
        assert word in text
        assert "83.0\u00a0±\u00a00.3\u00a0%" in text
        assert "gate on" in text
