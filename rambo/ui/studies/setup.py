"""What a new study is made of, checked: the choices of the form, the settings they stand for, and what is wrong.

Draws nothing.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

from rambo import checks, lineup
from rambo import config as configs
from rambo.config import Config, Settings, presets
from rambo.datasets.prepared import Prepared
from rambo.errors import ConfigError, RamboError
from rambo.runs.report import FEWEST
from rambo.studies import grid
from rambo.studies.grid import Cell
from rambo.ui.configure import settings
from rambo.ui.configure.settings import Values

CONFIGURE = "configure"  # the source of settings beside the presets
SOURCES = (*presets.PRESETS, CONFIGURE)
NUMBERS = ("trials", "k", "budget", "seed")
_FIXED = ["rambo"]  # whatever a study that names its own strategies replaces


@dataclass(frozen=True)
class Choices:
    """What a person chose.

    Attributes:
        study: its name.
        source: a preset, or `configure`.
        dataset: name in the catalog, or a path.
        trials: None where the field is empty, as the others.
        k: labels held.
        budget: labels bought.
        seed: of the first trial.
        strategies: of a study that does not name its own.
    """

    study: str
    source: str
    dataset: str
    trials: int | None
    k: int | None
    budget: int | None
    seed: int | None
    strategies: tuple[str, ...]


@dataclass(frozen=True)
class StudyCheck:
    """Choices after checking: the cells where they make a study, and what is wrong, by field, in words."""

    settings: Settings | None = None
    cells: list[tuple[Cell, Config]] = field(default_factory=list)
    complaints: dict[str, str] = field(default_factory=dict)


@functools.cache
def names_strategies(name: str) -> bool:
    """Return whether a study names its own strategies, so that there is nothing to choose."""
    return any("strategies" in cell.changes for cell in grid.STUDIES[name].cells(configs.build({})))


def base(source: str, dataset: str, configured: Values) -> Values:
    """Return every value that a study begins from, by path.

    Args:
        source: one of `SOURCES`.
        dataset: name or path.
        configured: the values on the page Configure.

    Raises:
        ConfigError: the paper has no run on this dataset.
    """
    if source == CONFIGURE:
        return configured | {"dataset.name": dataset}
    chosen = {"trials": FEWEST} | presets.PRESETS[source](dataset)
    return settings.of(configs.build(chosen)) | {"strategies": ["rambo", *lineup.CONTROLS]}


def values(choices: Choices, configured: Values) -> Values:
    """Return every value of a study, by path.

    Raises:
        ConfigError: as `base`.
    """
    settings = base(choices.source, choices.dataset, configured)
    if choices.k != settings["k"]:
        settings["rambo.initial_size"] = None  # it belongs to the other k
    settings |= {name: getattr(choices, name) for name in NUMBERS}
    fixed = names_strategies(choices.study)
    return settings | {"strategies": _FIXED if fixed else list(choices.strategies)}


def check(
    choices: Choices,
    configured: Values,
    data: Prepared | None,
    devices: Mapping[str, str] | None = None,
) -> StudyCheck:
    """Return the cells of a study, or everything that is wrong with the choices.

    Args:
        choices: of the form.
        configured: the values on the page Configure.
        data: the dataset, where it is prepared.
        devices: names of this machine's devices by kind, where they are known.
    """
    try:
        flat = values(choices, configured)
    except ConfigError as error:
        return StudyCheck(complaints={"source": str(error)})
    alone = settings.check(flat, data, devices)
    if alone.config is None:
        return StudyCheck(complaints=alone.complaints)
    sized = alone.config if data is None else checks.with_own_validation(alone.config, data)
    nested = configs.describe(sized)
    try:
        cells = grid.plan_cells(choices.study, nested)
    except ConfigError as error:
        return StudyCheck(complaints={"study": str(error)})
    try:
        for cell, config in cells:
            label = cell.label
            if data is not None:
                checks.check(config, data)
                checks.check_judged(config, data)
                checks.wants_features(config, data)
    except RamboError as error:
        return StudyCheck(complaints={"study": f"{label}: {error}"})
    return StudyCheck(nested, cells)
