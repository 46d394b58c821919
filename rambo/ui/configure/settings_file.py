"""Settings on their way elsewhere and back: as a command line, and as a file that strangers may have made."""

import json
import shlex
from typing import Any

from rambo import config as configs
from rambo.config import Config, presets, reading
from rambo.errors import ConfigError
from rambo.ui import allowed
from rambo.ui.configure import settings
from rambo.ui.configure.settings import Values


def command(config: Config) -> str:
    """Return the command line that runs the same config, from the preset that is nearest to it."""
    values = settings.of(config)
    nearest: tuple[list[str], list[str]] | None = None
    for name in presets.PRESETS:
        try:
            base = settings.preset(name, config.dataset.name)
        except ConfigError:
            continue
        words = ["python", "-m", "rambo", "run", "--preset", name]
        if config.dataset.name != settings.preset(name)["dataset.name"]:
            words.append(f"--dataset={config.dataset.name}")
        differing = settings.changed(values, base)
        if nearest is None or len(differing) < len(nearest[1]):
            nearest = words, differing
    assert nearest is not None  # demo takes any dataset
    words, differing = nearest
    for path in differing:
        words += ["--set", f"{path}={_written(values[path])}"]
    return shlex.join(words)


def _written(value: Any) -> str:
    """Return a value as the command line reads it: as JSON, or without quotes where that would be none."""
    if isinstance(value, str):
        try:
            json.loads(value)
        except (ValueError, RecursionError):
            return value
    return json.dumps(value)


def to_file(values: Values) -> str:
    """Return the settings as the text of a file that `read_file` takes."""
    return json.dumps(settings.nest(values), indent=2) + "\n"


def read_file(content: bytes) -> Values:
    """Return the settings of an uploaded file; fields it leaves out take their defaults.

    Raises:
        ConfigError: it is no settings file; the message says why.
    """
    values_of_file = reading.read(content, "file", "download the settings here to see one")
    if problems := settings.problems(values_of_file):
        raise ConfigError.join(problems)
    values = settings.of(configs.build(values_of_file))
    if foreign := allowed.problems(values):
        raise ConfigError.join(foreign)
    return values
