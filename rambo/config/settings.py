"""Nested settings to a checked config, with everything that is wrong in words."""

from collections.abc import Mapping, Sequence
from typing import Any

import pydantic

from rambo import lineup
from rambo.config.complaints import explain
from rambo.config.node import STORED, Settings
from rambo.config.tree import Config
from rambo.errors import ConfigError, shorten
from rambo.text import perhaps

# What version 0.1 called a field -> its name.
_EARLIER = {"rambo.offline.ceiling_pairs": "rambo.offline.repeated_pairs"}


def build(settings: Mapping[str, Any]) -> Config:
    """Return the checked config of nested `settings`.

    Raises:
        ConfigError: everything that is wrong, each with the field, the value and the way out.
    """
    config, complaints, _ = review(settings)
    if complaints or config is None:
        raise ConfigError.join(complaints)
    return config


def review(settings: Any) -> tuple[Config | None, list[ConfigError], set[str]]:
    """Return the config of nested `settings` without what is wrong, everything that is wrong, and what was left out.

    What spans fields is looked at only once each field is right by itself. So the wrong ones are left out, which makes
    them their defaults, and the rest is looked at again until nothing is wrong. A complaint that speaks of a field that
    was left out is not made: with another value there it may not hold.

    Returns:
        The config, or None where leaving out does not help; the complaints; and the paths of what was left out.
    """
    complaints: list[ConfigError] = []
    rest, bad_fields = settings, set[str]()
    while True:
        try:
            return Config.model_validate(rest), complaints, bad_fields
        except pydantic.ValidationError as error:
            reasons = [explain(part) for part in error.errors(include_url=False)]
        complaints += [one for one in reasons if not one.speaks_of(bad_fields)]
        wrong = {one.field for one in reasons if one.field is not None} - bad_fields
        if rest is settings:
            rest = _copy(settings)
        if not wrong or not all([_leave_out(rest, path) for path in wrong]):
            return None, complaints, bad_fields | wrong
        bad_fields |= wrong


def _copy(settings: Any, levels: int = 5) -> Any:
    """Return settings that can be changed without changing these."""
    if not isinstance(settings, Mapping) or not levels:
        return settings
    return {name: _copy(value, levels - 1) for name, value in settings.items()}


def _leave_out(settings: Any, path: str) -> bool:
    """Take a field out of settings, in place; return whether it was there."""
    *parents, name = path.split(".")
    for parent in parents:
        settings = settings.get(parent) if isinstance(settings, dict) else None
    if not isinstance(settings, dict) or name not in settings:
        return False
    del settings[name]
    return True


def restore(settings: Mapping[str, Any]) -> Config:
    """Return the config of a run as it was stored: a strategy whose plugin is not there keeps its name.

    Raises:
        ConfigError: as `build`, of everything else.
    """
    try:
        return Config.model_validate(settings, context=STORED)
    except pydantic.ValidationError as error:
        parts = error.errors(include_url=False)
        raise ConfigError.join(explain(part) for part in parts) from None


def assign(settings: Settings, path: str, value: Any) -> None:
    """Set the field at the dotted `path` of nested `settings` to `value`, in place.

    Raises:
        ConfigError: no such field; the message lists the fields there are.
    """
    node: Any = Config
    path = _EARLIER.get(path, path)
    names = path.split(".")
    target = settings
    for depth, name in enumerate(names):
        fields = getattr(node, "model_fields", {})
        if name not in fields:
            where = ".".join(names[:depth]) or "the config"
            choices = ", ".join(fields) or "no fields of its own"
            raise ConfigError(
                f"{shorten(where)} has no field {shorten(name)!r}",
                field="--set",
                value=path,
                hint=f"choose one of: {choices}",
            )
        if not isinstance(target, dict):
            node_path = ".".join(names[:depth])
            raise ConfigError(
                f"{shorten(node_path)} was set to {shorten(target)} before",
                field="--set",
                value=path,
                hint="leave that out",
            )
        node = fields[name].annotation
        if depth < len(names) - 1:
            target = target.setdefault(name, {})
    target[names[-1]] = value


def check_names(names: Sequence[str]) -> None:
    """Refuse a strategy that does not exist, with the list of those that do.

    Raises:
        ConfigError: an unknown name.
    """
    for name in names:
        if name not in lineup.names():
            raise ConfigError(
                "unknown",
                field="strategy",
                value=name,
                hint=f"{perhaps(name, lineup.names())}choose one of: {', '.join(lineup.names())}",
            )
