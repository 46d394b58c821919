"""The paper's numbers: every table is whole, and spot checks against the tables as they are printed."""

import itertools
import statistics

import pytest

from rambo.config import presets
from rambo.studies import paper
from rambo.studies.paper import Reported

SWITCHES = list(itertools.product((1, 0), repeat=3))
DATASETS = ("cifar10", "fashion-mnist", "mnist", "svhn")


@pytest.mark.parametrize(
    ("dataset", "switches", "mean", "error", "source"),
    [
        ("cifar10", (1, 1, 1), 77.3, 0.2, "Table 1: k 3,500, B 5,000"),
        ("cifar10", (1, 0, 0), 70.5, 0.3, "Table 1: k 3,500, B 5,000"),
        ("cifar10", (0, 0, 1), 76.0, 0.8, "Table 1: k 3,500, B 5,000"),
        ("cifar10", None, 74.7, 0.3, "Table 1: k 3,500, B 5,000"),
        ("fashion-mnist", (1, 1, 1), 83.1, 0.1, "Table 3: k 200, B 500"),
        ("fashion-mnist", (1, 1, 0), 81.9, 0.2, "Table 3: k 200, B 500"),
        ("fashion-mnist", (0, 0, 0), 81.6, 0.1, "Table 3: k 200, B 500"),
        ("fashion-mnist", None, 81.2, 0.2, "Table 3: k 200, B 500"),
        ("mnist", (1, 0, 1), 95.0, 0.1, "Table 4: k 200, B 500"),
        ("mnist", None, 93.4, 0.1, "Table 4: k 200, B 500"),
        ("svhn", (0, 1, 0), 86.3, 0.1, "Table 5: k 3,500, B 5,000"),
        ("svhn", None, 86.5, 0.3, "Table 5: k 3,500, B 5,000"),
    ],
)
def test_rows_of_the_ablations(
    dataset: str, switches: tuple[int, int, int] | None, mean: float, error: float, source: str
) -> None:
    assert paper.ablation(dataset, switches) == Reported(mean, error, source)


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_ablation_is_whole(dataset: str) -> None:
    rows = [paper.ablation(dataset, switches) for switches in [*SWITCHES, None]]
    assert all(row is not None and 70 < row.mean < 96 and 0 < row.error < 1 for row in rows)
    assert len(paper._ROWS[dataset]) == 9
    assert max(rows, key=lambda row: row.mean if row else 0) == rows[0], "the full model is best"


# Mean of the four "on" cells less that of the four "off" cells, worked out from the printed tables.
@pytest.mark.parametrize(
    ("dataset", "bilevel", "transport", "rank"),
    [
        ("cifar10", -0.375, 1.775, 2.075),
        ("fashion-mnist", 0.70, 0.55, -0.20),
        ("mnist", 0.175, 0.025, 0.125),
        ("svhn", 0.35, 0.25, 1.40),
    ],
)
def test_main_effects_of_the_tables(
    dataset: str, bilevel: float, transport: float, rank: float
) -> None:
    """A sum over all rows: one that stands in a wrong place would change it."""
    means = {}
    for switches in SWITCHES:
        row = paper.ablation(dataset, switches)
        assert row is not None
        means[switches] = row.mean
    effects = [
        statistics.fmean(m for s, m in means.items() if s[part])
        - statistics.fmean(m for s, m in means.items() if not s[part])
        for part in range(3)
    ]
    assert effects == pytest.approx([bilevel, transport, rank])


@pytest.mark.parametrize(
    ("budget", "weight", "mean", "error"),
    [
        (3000, 0, 71.4, 0.2),
        (3000, 0.01, 71.8, 0.6),
        (5000, 1, 77.2, 0.2),
        (7000, 100, 78.8, 0.9),
        (10_000, 0.1, 80.1, 0.4),
        (10_000, 10, 80.3, 0.2),
    ],
)
def test_weights_of_optimal_transport(
    budget: int, weight: float, mean: float, error: float
) -> None:
    assert paper.ot_weight("cifar10", budget, weight) == Reported(mean, error, "Table 6")


def test_the_table_of_weights_is_whole_and_of_one_dataset() -> None:
    for budget in (3000, 5000, 7000, 10_000):
        for weight in (0, 0.01, 0.1, 1, 10, 100):
            assert paper.ot_weight("cifar10", budget, weight) is not None
    assert paper.ot_weight("cifar10", 4000, 1) is None
    assert paper.ot_weight("cifar10", 5000, 2) is None
    assert paper.ot_weight("svhn", 5000, 1) is None


@pytest.mark.parametrize(
    ("dataset", "size", "mean", "error"),
    [
        ("svhn", 50, 13.2, 1.8),
        ("svhn", 600, 13.6, 0.9),
        ("mnist", 200, 76.3, 0.1),
        ("fashion-mnist", 100, 71.4, 1.5),
        ("cifar10", 1000, 36.6, 0.3),
    ],
)
def test_mean_utilities(dataset: str, size: int, mean: float, error: float) -> None:
    assert paper.mean_utility(dataset, size) == Reported(mean, error, "Table 2")


def test_the_table_of_validation_sizes_is_whole() -> None:
    for dataset in DATASETS:
        for size in (50, 100, 200, 400, 600, 800, 1000):
            assert paper.mean_utility(dataset, size) is not None
        assert paper.mean_utility(dataset, 300) is None
    assert paper.mean_utility("my.npz", 100) is None


def test_minutes_of_every_stage() -> None:
    for dataset in DATASETS:
        assert set(paper.minutes(dataset) or {}) == {"offline", "pretraining", "acquisition"}
    assert paper.minutes("fashion-mnist") == {"offline": 50, "pretraining": 32, "acquisition": 18}
    assert paper.minutes("svhn") == {"offline": 100, "pretraining": 29, "acquisition": 34}
    assert paper.minutes("fashion-mnist-mini") == paper.minutes("fashion-mnist")
    assert paper.minutes("my.npz") is None


def test_a_dataset_the_paper_does_not_have_has_no_figures() -> None:
    assert paper.ablation("my.npz", (1, 1, 1)) is None
    assert paper.ablation("fashion-mnist-mini", None) is None


def test_presets_and_tables_know_the_same_datasets() -> None:
    for dataset in DATASETS:
        presets.paper(dataset)
