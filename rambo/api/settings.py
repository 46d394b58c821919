"""From what is typed in Python to a config: a preset, then the budget and the strategies, then every setting given."""

from collections.abc import Mapping, Sequence
from typing import Any

from rambo import config as configs
from rambo import lineup
from rambo.api import door
from rambo.config import Config, Settings
from rambo.config.presets import PRESETS
from rambo.errors import ConfigError
from rambo.text import perhaps

BUDGET = 500
_ELSEWHERE = {  # fields of the config that are no settings here, and where they belong
    "strategies": "choose takes one, strategy=NAME; several go through rambo.compare",
    "strategy": "name two or more as strategies",
    "known": "every label has to be known here; rambo.choose and rambo.rehearse take it",
    "validation": "a rehearsal draws its own",
    "test": "a rehearsal draws its own",
    "fresh": "the same rehearsal is never done twice",
}
_ARGUMENTS = tuple(
    [
        "labels",
        "strategy",
        "known",
        "validation",
        "classes",
        "preset",
        "workspace",
        "progress",
        "fresh",
    ]
)


_LETTERS = {
    "B": "budget",
    "M": "acquisition__filter_size",
    "b": "acquisition__batch_size",
    "n": "rambo__pairs_per_iteration",
    "k_1": "rambo__initial_size",
    "lambda_OT": "rambo__utility_model__ot_weight",
}


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
    if preset is not None and (not isinstance(preset, str) or preset not in PRESETS):
        raise ConfigError(
            "unknown", field="preset", value=preset, hint=f"choose one of: {', '.join(PRESETS)}"
        )
    tree: Settings = PRESETS[preset](None) if preset else {}
    spend = tree.get("budget", BUDGET)
    if budget is not None:
        spend = door.whole_number("budget", budget, "use a whole number of images")
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
    tree["dataset"] = {**tree["dataset"], "name": dataset}
    return configs.build(tree | {"budget": spend, "strategies": list(strategies)})


def names_of(strategies: object, argument: str = "strategy") -> list[str]:
    """Return the names of strategies: a text, a decorated function, several of these, or `all` of ours.

    Raises:
        ConfigError: this is something else.
    """
    if isinstance(strategies, str) and strategies == "all":
        return list(lineup.OURS)
    several = strategies if isinstance(strategies, list | tuple) else [strategies]
    names: list[str] = []
    for one in several:
        name = getattr(one, "rambo_strategy", one)
        if not isinstance(name, str):
            raise ConfigError(
                field=argument,
                value=getattr(one, "__name__", one),
                hint='name one, or write @rambo.strategy("its-name") above your function',
            )
        names.append(name)
    try:
        configs.check_names(names)
    except ConfigError as error:
        error.field = argument
        raise
    return names


def check_arguments(settings: Mapping[str, Any]) -> None:
    """Refuse settings that an argument of the call sets, and those that do not exist.

    Raises:
        ConfigError: there is one; the error names it.
    """
    dataset = settings.get("dataset", {})
    named = isinstance(dataset, Mapping) and "name" in dataset
    if named or not isinstance(dataset, Mapping) or "dataset__name" in settings:
        raise ConfigError(
            "is what images says", field="dataset.name", hint="give the name of a dataset as images"
        )
    for name, hint in _ELSEWHERE.items():
        if name in settings:
            raise ConfigError("is no argument of this call", field=name, hint=hint)
    tree: Settings = {}
    for name, value in settings.items():  # a name that is wrong is told before images are read
        _put(tree, name, value)


def _ends() -> dict[str, str]:
    """Return what is meant by the last part of a setting's name, which several may share, and by a letter."""
    ends: dict[str, str] = {}
    for path in _paths(Config):
        end = path.rpartition("__")[2]
        ends[end] = f"{ends[end]} or {path}" if end in ends else path
    return ends | _LETTERS


def _paths(node: Any, above: str = "") -> list[str]:
    """Return the names of all settings as a call spells them: `rambo__offline__pairs`."""
    fields = getattr(node, "model_fields", None)
    if not fields:
        return [above]
    nodes = ((f"{above}__{name}" if above else name, field) for name, field in fields.items())
    return [path for name, field in nodes for path in _paths(field.annotation, name)]


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
        ends = _ends()
        close = perhaps(path.rpartition(".")[2], [*ends, *_ARGUMENTS], ends)
        hint = close.removesuffix("; ") or error.hint
        raise ConfigError(error.problem, field=name, value=value, hint=hint) from None
