"""What we would take is what was measured: every figure of the advice stands in the page of evidence."""

import json
import statistics
from pathlib import Path

from rambo import lineup
from rambo.estimate import recommendation
from rambo.runs import report

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
EVIDENCE = (BENCHMARKS / "ACCURACY.md").read_text()


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


def test_the_leads_are_those_of_the_accuracies_seed_by_seed() -> None:
    stored = json.loads((BENCHMARKS / "clean_pool.json").read_text())
    (measured,) = [
        rows for sizes, rows in stored.items() if sizes.startswith("mnist, k = 200, B = 500")
    ]
    ours = measured[recommendation.STRATEGY]
    for name, figure in recommendation.LEADS.items():
        gaps = [100 * (test - measured[name][seed][1]) for seed, (_, test) in ours.items()]
        assert len(gaps) == recommendation.LEADS_TRIALS
        assert round(statistics.fmean(gaps), 1) == figure.mean
        assert round(report.standard_error(gaps), 1) == figure.error
        assert figure.mean > 2 * figure.error, "no lead to speak of"


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
