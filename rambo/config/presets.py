"""Named starting points: `demo` for a first look, `quick` for a real comparison, `paper` for the paper's constants.

`paper-ablation` has those of its Tables 1 and 3 to 5. A preset is nested settings, not a config, so that what a person
types wins over it field by field.
"""

from collections.abc import Mapping

from rambo.config import Settings
from rambo.errors import ConfigError

# Section 5.1 and B.7. k, B, k_1, b, n per dataset family; 500 offline pairs, 20 epochs and 10 trials for all.
_GREY = {"k": 200, "budget": 500, "initial_size": 50, "batch_size": 50, "pairs": 50}
_COLOUR = {"k": 2500, "budget": 5000, "initial_size": 500, "batch_size": 1000, "pairs": 30}
# Tables 1 and 5: k = 3,500. Choice: k_1 as in B.7, so tau_1 = 3.
_COLOUR_ABLATION = _COLOUR | {"k": 3500}
_PAPER = {
    "mnist": _GREY,
    "fashion-mnist": _GREY,
    "fashion-mnist-mini": _GREY,
    "cifar10": _COLOUR,
    "svhn": _COLOUR,
}


def demo(dataset: str | None = None) -> Settings:
    """Return settings that choose 200 images within about three minutes on two CPU cores."""
    return {
        "dataset": {"name": dataset or "fashion-mnist-mini"},
        "k": 200,
        "budget": 200,
        "acquisition": {"batch_size": 20},
        "rambo": {
            "initial_size": 140,
            "pairs_per_iteration": 20,
            "offline": {"pairs": 10, "repeated_pairs": 5},
            "utility_model": {"epochs": 10},
        },
        "evaluation": {"repeats": 3},
    }


def quick(dataset: str | None = None) -> Settings:
    """Return the paper's sizes with 60 offline pairs instead of 500: minutes instead of an hour a trial."""
    return {
        "dataset": {"name": dataset or "fashion-mnist-mini"},
        "k": 200,
        "budget": 500,
        "acquisition": {"batch_size": 50},
        "rambo": {"initial_size": 50, "offline": {"pairs": 60}},
        "evaluation": {"repeats": 3},
    }


def paper(dataset: str | None = None) -> Settings:
    """Return the constants of the paper's runs for `dataset` (Section 5.1, B.7).

    Raises:
        ConfigError: the paper has no run on this dataset.
    """
    return _constants("paper", dataset or "fashion-mnist", _PAPER)


def paper_ablation(dataset: str | None = None) -> Settings:
    """Return the constants of the paper's ablation on `dataset` (Tables 1, 3, 4, 5): k is 3,500 for colour images.

    Raises:
        ConfigError: the paper has no ablation on this dataset.
    """
    tables = {name: _GREY if own is _GREY else _COLOUR_ABLATION for name, own in _PAPER.items()}
    return _constants("paper-ablation", dataset or "fashion-mnist", tables)


def _constants(preset: str, name: str, tables: Mapping[str, Mapping[str, int]]) -> Settings:
    """Return the settings of one column of constants."""
    if name not in tables:
        raise ConfigError(
            f"the paper has no run on {name!r}",
            field="preset",
            value=preset,
            hint=f"choose one of: {', '.join(tables)}",
        )
    numbers = tables[name]
    return {
        "dataset": {"name": name},
        "k": numbers["k"],
        "budget": numbers["budget"],
        "trials": 10,
        "acquisition": {"batch_size": numbers["batch_size"]},
        "rambo": {
            "initial_size": numbers["initial_size"],
            "pairs_per_iteration": numbers["pairs"],
            "offline": {"pairs": 500},
        },
    }


PRESETS = {"demo": demo, "quick": quick, "paper": paper, "paper-ablation": paper_ablation}
