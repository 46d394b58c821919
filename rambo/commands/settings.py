"""Settings from the command line: options, `--set`, and JSON on standard input."""

import argparse
import json
from collections.abc import Sequence
from typing import Any

from rambo import config as configs
from rambo.config import presets
from rambo.errors import ConfigError
from rambo.studies import grid

FIELDS = {  # command-line option -> dotted path in the config
    "dataset": "dataset.name",
    "k": "k",
    "budget": "budget",
    "batch_size": "acquisition.batch_size",
    "filter_size": "acquisition.filter_size",
    "initial_size": "rambo.initial_size",
    "pairs": "rambo.pairs_per_iteration",
    "offline_pairs": "rambo.offline.pairs",
    "ot_weight": "rambo.utility_model.ot_weight",
    "loss": "rambo.utility_model.loss",
    "classifier": "classifier.name",
    "device": "compute.device",
    "jobs": "compute.jobs",
    "backend": "compute.backend",
    "address": "compute.address",
    "seed": "seed",
    "trials": "trials",
    "strategy": "strategies",
}
SWITCHES = {
    "no_bilevel": "rambo.utility_model.bilevel.enabled",
    "no_ot": "rambo.utility_model.transport",
}
HELP = {
    "dataset": "a catalog name, collection:NAME (import makes one), or the path of an .npz file",
    "k": "k: labels in the pool S_0 at the start",
    "budget": "B: labels to buy, all in one round",
    "batch_size": "b: images a greedy step takes",
    "filter_size": "M: smallest margins a greedy step looks at (default 10 b)",
    "initial_size": "k_1: labels the pretraining starts from (default k / 4)",
    "pairs": "n: pairs of utility samples an iteration adds",
    "offline_pairs": "pairs trained for their true utility",
    "ot_weight": "lambda_OT",
    "loss": "rank (RankNet) or regression",
    "classifier": "auto, mnistnet, resnet18 or logistic (a proxy on frozen features)",
    "device": "auto, cpu, cuda or mps",
    "jobs": "worker processes on a CPU (default: one per core)",
    "backend": "loky (default), or dask for a cluster",
    "address": "of the cluster's scheduler (default: one is started here)",
    "seed": "seed of the first trial; trial t runs with seed + t",
    "trials": "number of trials",
    "no_bilevel": "train u_hat without the bilevel scheme",
    "no_ot": "train u_hat without the OT loss",
}


def add_settings(parser: argparse.ArgumentParser, without: Sequence[str] = ()) -> None:
    """Give a command the options that make a config, but for those it has another way to know."""
    parser.add_argument("--preset", default="quick", help="demo, quick (default) or paper")
    for name in [name for name in FIELDS if name not in without]:
        if name == "strategy":
            parser.add_argument(
                "--strategy",
                nargs="+",
                action="extend",
                metavar="NAME",
                help="strategies to compare, or all",
            )
        else:
            parser.add_argument(f"--{name.replace('_', '-')}", help=HELP[name])
    for name in SWITCHES:
        parser.add_argument(f"--{name.replace('_', '-')}", action="store_true", help=HELP[name])
    parser.add_argument(
        "--set", action="append", default=[], metavar="PATH=VALUE", help="any config field"
    )


def settings_from(arguments: argparse.Namespace) -> configs.Settings:
    """Return the nested settings of a `run` call: preset, then options, then `--set`.

    Raises:
        ConfigError: an unknown preset, strategy or field.
    """
    if arguments.preset not in presets.PRESETS:
        names = ", ".join(presets.PRESETS)
        raise ConfigError(
            "unknown", field="preset", value=arguments.preset, hint=f"choose one of: {names}"
        )
    settings = presets.PRESETS[arguments.preset](arguments.dataset)
    if getattr(arguments, "k", None) is not None:
        settings["rambo"].pop("initial_size", None)  # it belongs to the preset's k
    if arguments.strategy is not None:
        arguments.strategy = grid.strategies(arguments.strategy)
        configs.check_names(arguments.strategy)
    for name, path in FIELDS.items():
        if (value := getattr(arguments, name, None)) is not None:
            configs.assign(settings, path, value)
    for name, path in SWITCHES.items():
        if getattr(arguments, name):
            configs.assign(settings, path, False)
    for assignment in arguments.set:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError("no value", field="--set", value=assignment, hint="write PATH=VALUE")
        configs.assign(settings, path, _value(text))
    return settings


def explicit_paths(arguments: argparse.Namespace) -> list[str]:
    """Return the dotted paths of the settings that were typed, as against those of the preset."""
    options = [path for name, path in FIELDS.items() if getattr(arguments, name, None) is not None]
    switches = [path for name, path in SWITCHES.items() if getattr(arguments, name)]
    return options + switches + [assignment.partition("=")[0] for assignment in arguments.set]


def _value(text: str) -> Any:
    """Return the JSON value of a `--set`, or the text itself where it is none."""
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError, ValueError):
        return text


def number(text: str, option: str) -> float:
    """Return an option's number."""
    try:
        return float(text)
    except ValueError:
        raise ConfigError(field=f"--{option}", value=text, hint="use a number") from None
