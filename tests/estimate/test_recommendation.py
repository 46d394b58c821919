"""What we would take is what was measured: every figure of the advice stands in the page of evidence."""

import json
import statistics
from pathlib import Path

import pytest

from rambo import lineup
from rambo.estimate import recommendation
from rambo.runs import report

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
EVIDENCE = (BENCHMARKS / "ACCURACY.md").read_text()
STORED = {"MNIST": "mnist", "FashionMNIST": "fashion-mnist"}


def section(name: str) -> str:
    return EVIDENCE.split(f"## {name}", 1)[1].split("\n## ", 1)[0]


def rows(text: str, name: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(f"| {name} |")]


@pytest.mark.parametrize("dataset", list(STORED))
def test_the_figures_of_clean_pools_are_those_measured_seed_by_seed(dataset: str) -> None:
    stored = json.loads((BENCHMARKS / "clean_pool.json").read_text())
    start = f"{STORED[dataset]}, k = 200, B = 500"
    (measured,) = [rows for sizes, rows in stored.items() if sizes.startswith(start)]
    pool = recommendation.CLEAN[dataset]
    ours = measured[recommendation.STRATEGY]
    assert len(ours) == pool.trials
    for name, figure in pool.accuracies.items():
        tests = [100 * test for _, test in measured[name].values()]
        assert len(tests) == pool.trials
        assert round(statistics.fmean(tests), 1) == figure.mean
        assert round(report.standard_error(tests), 1) == figure.error
    others = [name for name in measured if name != recommendation.STRATEGY]
    assert len(others) == recommendation.DIFFERENCES
    gaps = [[100 * (ours[seed][1] - measured[name][seed][1]) for seed in ours] for name in others]
    alone = [difference for own in gaps if (difference := report.difference(own))]
    beaten = [
        name
        for name, difference in zip(others, report.holm(alone), strict=True)
        if difference.finding == "more" and name in pool.accuracies
    ]
    assert sorted(pool.beaten) == sorted(beaten)
    means = [statistics.fmean(own) for own in gaps]
    assert min(means) > -0.05, "nothing was ahead of it"


@pytest.mark.parametrize(("dataset", "ahead"), [("cifar10", ["rambo"]), ("SVHN", [])])
def test_on_frozen_features_those_ahead_of_random_choice_are_the_ones_it_names(
    dataset: str, ahead: list[str]
) -> None:
    stored = json.loads((BENCHMARKS / "clean_pool.json").read_text())
    (measured,) = [rows for sizes, rows in stored.items() if sizes.startswith(dataset)]
    luck = measured.pop("random")
    assert len(luck) == 10
    gaps = {
        name: [100 * (own[seed][1] - luck[seed][1]) for seed in luck]
        for name, own in measured.items()
    }
    pairs = [difference for own in gaps.values() if (difference := report.difference(own))]
    verdicts = dict(zip(gaps, report.holm(pairs), strict=True))
    assert [name for name, one in verdicts.items() if one.finding == "more"] == ahead
    for name in ahead:
        mean, error = statistics.fmean(gaps[name]), report.standard_error(gaps[name])
        assert f"{mean:.1f} ± {error:.1f}" == recommendation.FROZEN
    assert recommendation.FROZEN in recommendation.whole()[-1]


def test_the_figures_of_dirty_pools_are_those_measured_seed_by_seed() -> None:
    stored = json.loads((BENCHMARKS / "dirty_pool.json").read_text())
    (measured,) = stored.values()
    # With the gate there are more trials; accuracies are of those that have both.
    alike = sorted(measured[f"{recommendation.STRATEGY}, no gate"])
    assert len(alike) == recommendation.DIRTY_TRIALS
    assert len(measured[f"{recommendation.STRATEGY}, gate"]) == recommendation.GATED_TRIALS
    for gate, word in (("off", "no gate"), ("on", "gate")):
        own = measured[f"{recommendation.STRATEGY}, {word}"]
        wasted = sorted(row[2] for row in own.values())
        assert recommendation.WASTED[gate] == f"{wasted[0]} to {wasted[-1]}"
        tests = [100 * own[seed][1] for seed in alike]
        figure = recommendation.DIRTY[gate]
        assert round(statistics.fmean(tests), 1) == figure.mean
        assert round(report.standard_error(tests), 1) == figure.error
        assert str(figure) in recommendation.whole()[1]


def test_the_evidence_has_the_figures_of_its_rows() -> None:
    (measured,) = json.loads((BENCHMARKS / "dirty_pool.json").read_text()).values()
    for name in ("margin", "badge", "filter-only", "random"):
        row = rows(section("Dirty pools"), name)[0]
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        for wasted, test, word in ((1, 2, "no gate"), (3, 4, "gate")):
            own = [measured[f"{name}, {word}"][str(seed)] for seed in range(10)]
            assert cells[wasted] == ", ".join(str(row[2]) for row in own)
            tests = [100 * row[1] for row in own]
            assert (
                cells[test]
                == f"{statistics.fmean(tests):.1f} +- {report.standard_error(tests):.1f}"
            )


@pytest.mark.parametrize(("dataset", "first"), [("mnist", 2), ("fashion-mnist", 6)])
def test_the_rows_of_other_settings_are_those_measured(dataset: str, first: int) -> None:
    stored = json.loads((BENCHMARKS / "plus_settings.json").read_text())
    (measured,) = [own for sizes, own in stored.items() if sizes.startswith(f"{dataset}, ")]
    text = section("Clean pools").split("**Other settings of RAMBO+**")[1].split("\n\n")[1]
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]
    ]
    assert len(lines) == 9
    for cells in lines:
        tests = [100 * test for _, test in measured[cells[1].strip("`")].values()]
        assert cells[first] == str(len(tests))
        error = f" +- {report.standard_error(tests):.1f}" if len(tests) > 1 else ""
        assert cells[first + 1] == f"{statistics.fmean(tests):.1f}{error}"


def test_the_words_name_the_strategy_its_figures_and_whom_it_is_shown_to_beat() -> None:
    word = lineup.of(recommendation.STRATEGY).word
    for text in (recommendation.short(), " ".join(recommendation.whole())):
        assert word in text
        assert str(recommendation.CLEAN["MNIST"].accuracies["badge"]) in text
        assert "gate on" in text
    assert (
        "shown over RAMBO and Random, not over Filter only and Margin" in recommendation.whole()[0]
    )
