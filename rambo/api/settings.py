"""From what is typed in Python to a config: a preset, then the budget and the strategies, then every setting given."""

from collections.abc import Mapping, Sequence
from typing import Any

from rambo import config as configs
from rambo.config import Config, Settings
from rambo.config.presets import PRESETS
from rambo.errors import ConfigError

BUDGET = 500
_WORDS = {"dataset.name": "images", "strategies": "strategy"}  # field -> the argument that sets it


def build(
    dataset: str,
    budget: int | None,
    strategies: Sequence[str],
    preset: str | None,
    settings: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> Config:
    """Return the config of a call.

    Choice: without a preset, 60 offline pairs in place of the paper's 500, which would take half an hour; steps of a
    tenth of the budget, the paper's 50 of 500; and a pretraining of at most three slices, as the paper's.

    Args:
        dataset: its name.
        budget: B; of the preset where not given, else 500.
        strategies: their names.
        preset: `demo`, `quick` or `paper`.
        settings: by field, `k=50`, `rambo={"offline": {"pairs": 20}}` or `rambo__offline__pairs=20`.
        defaults: fields by dotted path, for what nobody sets.

    Raises:
        ConfigError: a setting is unknown or wrong.
    """
    if preset is not None and preset not in PRESETS:
        raise ConfigError(
            "unknown", field="preset", value=preset, hint=f"choose one of: {', '.join(PRESETS)}"
        )
    if budget is not None and (isinstance(budget, bool) or not hasattr(budget, "__index__")):
        raise ConfigError(field="budget", value=budget, hint="use a whole number of images")
    tree: Settings = PRESETS[preset](None) if preset else {}
    spend = tree.get("budget", BUDGET) if budget is None else int(budget)
    if preset is None:
        step = max(1, -(-spend // 10))
        k = settings.get("k", defaults.get("k", 200))
        start = max(k // 4, k - 3 * step, 2) if isinstance(k, int) else None
        tree = {
            "acquisition": {"batch_size": step},
            "rambo": {"initial_size": start, "offline": {"pairs": 60}},
        }
    for path, value in defaults.items():
        configs.assign(tree, path, value)
    for name, value in settings.items():
        _put(tree, name, value)
    tree.setdefault("dataset", {})
    if not isinstance(tree["dataset"], Mapping):
        raise ConfigError(field="dataset", value=tree["dataset"], hint="give its name as images")
    tree["dataset"] = {**tree["dataset"], "name": dataset}
    return configs.build(tree | {"budget": spend, "strategies": list(strategies)})


def names_of(strategies: object) -> list[str]:
    """Return the names of strategies: a text, a decorated function, or several of these.

    Raises:
        ConfigError: this is something else.
    """
    several = strategies if isinstance(strategies, list | tuple) else [strategies]
    names: list[str] = []
    for one in several:
        name = getattr(one, "rambo_strategy", one)
        if not isinstance(name, str):
            raise ConfigError(
                field="strategy",
                value=getattr(one, "__name__", one),
                hint='name one, or write @rambo.strategy("its-name") above your function',
            )
        names.append(name)
    configs.check_names(names)
    return names


def _put(tree: Settings, name: str, value: Any) -> None:
    """Set one field; of a group given as a dict, only what it names."""
    path = name.replace("__", ".")
    if isinstance(value, Mapping):
        for part, inner in value.items():
            _put(tree, f"{path}.{part}", inner)
        return
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()  # a number of numpy
    try:
        configs.assign(tree, path, value)
    except ConfigError as error:
        raise ConfigError(error.problem, field=name, value=value, hint=error.hint) from None
