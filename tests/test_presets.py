"""Presets build for every dataset they claim, with the paper's numbers, and share nothing between calls."""

from typing import Any

import pytest

from rambo import config as configs
from rambo.config import presets
from rambo.datasets.catalog import CATALOG
from rambo.errors import ConfigError

# B.7 of the paper: k, B, k1, b, tau1, tau2, n, epochs, offline pairs.
PAPER = {
    "mnist": (200, 500, 50, 50, 3, 10, 50, 20, 500),
    "fashion-mnist": (200, 500, 50, 50, 3, 10, 50, 20, 500),
    "cifar10": (2500, 5000, 500, 1000, 2, 5, 30, 20, 500),
    "svhn": (2500, 5000, 500, 1000, 2, 5, 30, 20, 500),
}


@pytest.mark.parametrize("dataset", CATALOG)
@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_preset_builds_for_every_dataset(name: str, dataset: str) -> None:
    config = configs.build(presets.PRESETS[name](dataset))
    assert config.dataset.name == dataset
    assert config.strategies == ("rambo", "filter-only", "margin", "random")
    assert config.slices >= 1
    assert config.acquisition.batch_size * config.greedy_steps == config.budget


@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_preset_names_its_own_dataset(name: str) -> None:
    assert configs.build(presets.PRESETS[name]()).dataset.name in CATALOG


@pytest.mark.parametrize(("dataset", "numbers"), PAPER.items())
def test_the_paper_preset_has_the_papers_numbers(dataset: str, numbers: tuple[int, ...]) -> None:
    config = configs.build(presets.paper(dataset))
    assert numbers == (
        config.k,
        config.budget,
        config.initial_size,
        config.acquisition.batch_size,
        config.slices,
        config.greedy_steps,
        config.rambo.pairs_per_iteration,
        config.rambo.utility_model.epochs,
        config.rambo.offline.pairs,
    )
    assert config.trials == 10
    assert config.dataset.validation_size == 1000


def test_the_quick_preset_differs_from_the_paper_in_pairs_trials_and_repeats_only() -> None:
    quick = configs.describe(configs.build(presets.quick("fashion-mnist")))
    paper = configs.describe(configs.build(presets.paper("fashion-mnist")))

    def differing(a: Any, b: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
        if not isinstance(a, dict):
            return {} if a == b else {path: (a, b)}
        parts = [differing(a[name], b[name], f"{path}.{name}".lstrip(".")) for name in a]
        return {key: value for part in parts for key, value in part.items()}

    assert differing(quick, paper) == {
        "trials": (1, 10),
        "rambo.offline.pairs": (60, 500),
        "evaluation.repeats": (3, 1),
    }
    tables = configs.describe(configs.build(presets.paper_ablation("fashion-mnist")))
    assert differing(tables, paper) == {}, "for clothes and digits the ablation has the same sizes"


def test_the_demo_buys_200_labels() -> None:
    config = configs.build(presets.demo())
    assert config.budget == 200
    assert config.dataset.name == "fashion-mnist-mini"


@pytest.mark.parametrize("dataset", ["imagenet", "digits.npz", "MNIST", "x\ny"])
def test_the_paper_preset_refuses_a_dataset_the_paper_has_not(dataset: str) -> None:
    with pytest.raises(ConfigError) as caught:
        presets.paper(dataset)
    message = str(caught.value)
    assert message.isprintable()
    for name in PAPER:
        assert name in message


@pytest.mark.parametrize("name", presets.PRESETS)
def test_a_changed_preset_does_not_reach_the_next_caller(name: str) -> None:
    first = presets.PRESETS[name]()
    untouched = configs.build(presets.PRESETS[name]())
    for node in (first, first["acquisition"], first["rambo"], first["dataset"]):
        node.clear()
    assert configs.build(presets.PRESETS[name]()) == untouched
