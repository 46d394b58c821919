"""The paper's numbers, to stand beside ours: accuracies in percent with their standard error, runtimes in minutes."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Reported:
    """A figure of the paper: mean and standard error, and where it stands."""

    mean: float
    error: float
    source: str


# Validation accuracy, %: (bilevel, OT, RankNet) -> mean, standard error; the last line of each table is random choice.
_SWITCHES = [(b, o, r) for b in (1, 0) for o in (1, 0) for r in (1, 0)]
_ABLATIONS: Mapping[str, tuple[str, int, int]] = {  # dataset -> table, k, B
    "cifar10": ("Table 1", 3500, 5000),
    "fashion-mnist": ("Table 3", 200, 500),
    "mnist": ("Table 4", 200, 500),
    "svhn": ("Table 5", 3500, 5000),
}
# fmt: off
_ROWS: Mapping[str, list[tuple[float, float]]] = {
    "cifar10": [(77.3, 0.2), (76.1, 0.3), (76.2, 0.4), (70.5, 0.3), (75.5, 0.3), (75.5, 0.3), (76.0, 0.8),
                (74.6, 0.7), (74.7, 0.3)],
    "fashion-mnist": [(83.1, 0.1), (81.9, 0.2), (81.2, 0.4), (81.8, 0.2), (81.0, 0.3), (81.7, 0.2), (80.9, 0.3),
                      (81.6, 0.1), (81.2, 0.2)],
    "mnist": [(95.3, 0.2), (94.9, 0.2), (95.0, 0.1), (94.8, 0.2), (94.6, 0.1), (94.9, 0.1), (95.0, 0.2), (94.8, 0.2),
              (93.4, 0.1)],
    "svhn": [(88.1, 0.3), (86.7, 0.2), (87.8, 0.3), (86.5, 0.3), (87.8, 0.2), (86.3, 0.1), (87.5, 0.1), (86.1, 0.2),
             (86.5, 0.3)],
}
# fmt: on

# CIFAR10, accuracy % by lambda_OT: B -> lambda -> mean, standard error (Table 6; its "10e-2" read as 0.01).
_WEIGHTS = (0, 0.01, 0.1, 1, 10, 100)
_BY_WEIGHT: Mapping[int, list[tuple[float, float]]] = {
    3000: [(71.4, 0.2), (71.8, 0.6), (72.8, 0.3), (72.1, 0.2), (72.4, 0.3), (71.8, 0.5)],
    5000: [(75.2, 0.3), (76.1, 0.4), (76.0, 0.3), (77.2, 0.2), (75.5, 0.3), (75.7, 0.4)],
    7000: [(77.1, 0.3), (77.4, 0.4), (77.9, 0.5), (77.8, 0.3), (77.9, 0.3), (78.8, 0.9)],
    10000: [(79.3, 0.3), (80.0, 0.3), (80.1, 0.4), (80.9, 0.2), (80.3, 0.2), (81.6, 0.5)],
}

# Mean utility of utility samples in percent by |S_val| (Table 2).
VALIDATION_SIZES = (50, 100, 200, 400, 600, 800, 1000)
_BY_VALIDATION: Mapping[str, list[tuple[float, float]]] = {
    "svhn": [(13.2, 1.8), (13.2, 1.2), (13.3, 1.1), (13.0, 1.0), (13.6, 0.9), (13.0, 0.9), (13.0, 0.8)],
    "mnist": [(75.8, 0.7), (75.7, 0.5), (76.3, 0.1), (76.4, 0.3), (76.0, 0.9), (77.0, 0.9), (76.4, 0.8)],
    "fashion-mnist": [(69.9, 2.3), (71.4, 1.5), (70.7, 1.1), (71.2, 0.9), (71.2, 0.9), (70.7, 0.9), (71.2, 0.9)],
    "cifar10": [(35.8, 2.0), (37.2, 1.6), (37.0, 0.7), (36.5, 0.8), (36.6, 0.5), (36.8, 0.3), (36.6, 0.3)],
}  # fmt: skip

# Minutes on two A40 (B.7): offline, pretraining, acquisition.
_MINUTES: Mapping[str, dict[str, float]] = {
    "mnist": {"offline": 50, "pretraining": 39, "acquisition": 20},
    "fashion-mnist": {"offline": 50, "pretraining": 32, "acquisition": 18},
    "cifar10": {"offline": 200, "pretraining": 50, "acquisition": 30},
    "svhn": {"offline": 100, "pretraining": 29, "acquisition": 34},
}


def ablation(dataset: str, switches: tuple[int, int, int] | None) -> Reported | None:
    """Return the validation accuracy of one row of Tables 1 and 3 to 5.

    Args:
        dataset: name in the catalog; a part of a dataset is another one.
        switches: bilevel, OT, RankNet as 0 or 1; None for the row of random choice.
    """
    if dataset not in _ABLATIONS:
        return None
    table, k, budget = _ABLATIONS[dataset]
    rows = _ROWS[dataset]
    row = rows[-1] if switches is None else rows[_SWITCHES.index(switches)]
    return Reported(*row, f"{table}: k {k:,}, B {budget:,}")


def sizes(dataset: str) -> tuple[int, int] | None:
    """Return k and B of the paper's ablation on a dataset, None where it has none."""
    return _ABLATIONS[dataset][1:] if dataset in _ABLATIONS else None


def ot_weight(dataset: str, budget: int, weight: float) -> Reported | None:
    """Return the accuracy of Table 6, which has CIFAR10 alone."""
    if dataset != "cifar10" or budget not in _BY_WEIGHT or weight not in _WEIGHTS:
        return None
    return Reported(*_BY_WEIGHT[budget][_WEIGHTS.index(weight)], "Table 6")


def mean_utility(dataset: str, size: int) -> Reported | None:
    """Return the mean utility of random subsets that a validation set of `size` measures (Table 2)."""
    rows = _BY_VALIDATION.get(dataset)
    return (
        None
        if rows is None or size not in VALIDATION_SIZES
        else Reported(*rows[VALIDATION_SIZES.index(size)], "Table 2")
    )


def minutes(dataset: str) -> Mapping[str, float] | None:
    """Return the minutes of each stage (B.7), on two NVIDIA A40; what they are for does not grow with the dataset."""
    return _MINUTES.get(dataset.removesuffix("-mini"))
