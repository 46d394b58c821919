"""Named starting points: `demo` for a first look, `quick` for a real comparison, `paper` for the paper's constants.

A preset is nested settings, not a config, so that what a person types wins over it field by field.
"""

from rambo.config import Settings
from rambo.errors import ConfigError

# Section 5.1 and B.7. k, B, k_1, b, n per dataset family; 500 offline pairs, 20 epochs and 10 trials for all.
_GREY = {"k": 200, "budget": 500, "initial_size": 50, "batch_size": 50, "pairs": 50}
_COLOUR = {"k": 2500, "budget": 5000, "initial_size": 500, "batch_size": 1000, "pairs": 30}
_PAPER = {
    "mnist": _GREY,
    "fashion-mnist": _GREY,
    "fashion-mnist-mini": _GREY,
    "cifar10": _COLOUR,
    "svhn": _COLOUR,
}


def demo(dataset: str | None = None) -> Settings:
    """Return settings that choose 200 images within about two minutes on two CPU cores."""
    return {
        "dataset": {"name": dataset or "fashion-mnist-mini"},
        "k": 200,
        "budget": 200,
        "acquisition": {"batch_size": 20},
        "rambo": {
            "initial_size": 140,
            "pairs_per_iteration": 20,
            "offline": {"pairs": 10, "ceiling_pairs": 5},
            "utility_model": {"epochs": 10},
        },
    }


def quick(dataset: str | None = None) -> Settings:
    """Return the paper's sizes with 60 offline pairs instead of 500: minutes instead of an hour a trial."""
    return {
        "dataset": {"name": dataset or "fashion-mnist-mini"},
        "k": 200,
        "budget": 500,
        "acquisition": {"batch_size": 50},
        "rambo": {"initial_size": 50, "offline": {"pairs": 60}},
    }


def paper(dataset: str | None = None) -> Settings:
    """Return the constants of the paper's runs for `dataset` (Section 5.1, B.7).

    Raises:
        ConfigError: the paper has no run on this dataset.
    """
    name = dataset or "fashion-mnist"
    if name not in _PAPER:
        raise ConfigError(
            f"the paper has no run on {name!r}",
            field="preset",
            value="paper",
            hint=f"choose one of: {', '.join(_PAPER)}",
        )
    numbers = _PAPER[name]
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


PRESETS = {"demo": demo, "quick": quick, "paper": paper}
