"""Which settings nobody reads while the others stand as they do: pages dim them, the command line says so."""

from collections.abc import Iterable, Mapping
from typing import Any

from rambo import config as configs
from rambo import lineup
from rambo.datasets.prepared import VALIDATION, Prepared

_PATHS = frozenset(path for path, _ in configs.flatten(configs.describe(configs.Config())))
_MODEL = "rambo.utility_model."
_TRUE_PAIRS = {"rambo.offline.pairs", "rambo.offline.held_out", "rambo.offline.proxy"}
_SHARED = _TRUE_PAIRS | {  # of RAMBO's fields, those that DULO reads too
    *(f"{_MODEL}{name}" for name in ("extractor", "pooling", "epochs", "learning_rate")),
    *(f"{_MODEL}{name}" for name in ("minibatch_pairs", "weight_decay", "dropout")),
}
_NETWORKS = {  # how a network is trained; a logistic head has its own two fields
    f"classifier.{name}"
    for name in ("learning_rate", "minibatch_size", "train_accuracy", "max_epochs", "accuracy_mode")
}


def idle_paths(values: Mapping[str, Any], data: Prepared | None) -> set[str]:
    """Return the paths that change nothing while the other values stand as they do.

    Args:
        values: settings by dotted path; a form may hold anything in them.
        data: the dataset, where it is known.
    """
    names = values.get("strategies")
    names = names if isinstance(names, list) else []
    strategies = {name for name in names if name in lineup.names()}  # whatever else a file may hold
    chosen = [lineup.of(name) for name in strategies]
    unused = {
        "acquisition.filter_size": not any(strategy.filters for strategy in chosen),
        "acquisition.per_cluster": data is not None
        and data.clusters is None
        and not values.get("dataset.corruption.copies"),
        "acquisition.per_group": data is not None and data.groups is None,
        "k": data is not None and data.partly_labeled,
        "compute.address": values.get("compute.backend") == "loky",
        "compute.precision": values.get("compute.device") in ("cpu", "mps"),
        "acquisition.gate.axes": values.get("acquisition.gate.by") == "off",
        "acquisition.gate.folds": values.get("acquisition.gate.by") != "classifier",
        "acquisition.gate.keep": values.get("acquisition.gate.by") == "off",
        "acquisition.gate.wrong": values.get("acquisition.gate.by") == "off",
        "dataset.corruption.foreign_source": not values.get("dataset.corruption.foreign"),
        "dataset.corruption.noisy_classes": not values.get("dataset.corruption.label_noise"),
        "dataset.feature_weights": values.get("dataset.features") == "efficientnet-lite0",
        "dataset.validation_size": data is not None
        and ((data.roles == VALIDATION).any() or data.partly_labeled),
        "rivals.space": not any(strategy.measures_distances for strategy in chosen),
        "plus.filter_factor": values.get("plus.candidates") == "rivals",
        "plus.repeats": not values.get("plus.weigh")
        or values.get("classifier.name") == "logistic"  # one optimum, so one training
        or bool(values.get("rambo.offline.proxy")),
        "rivals.probcover.purity": values.get("rivals.probcover.radius") is not None,
    }
    rivals = [s for s in map(lineup.of, lineup.names()) if s.node not in (None, "rambo")]
    unused |= {f"{rival.node}.": rival.name not in strategies for rival in rivals}
    prefixes = tuple(prefix for prefix, is_off in unused.items() if is_off)
    paths = {path for path in _PATHS if path.startswith(prefixes)}
    return paths | _idle_model(values, strategies) | _idle_classifier(values, strategies)


def _idle_model(values: Mapping[str, Any], strategies: set[str]) -> set[str]:
    """Return the fields of RAMBO that nobody reads."""
    if not pretrains(strategies):
        unread = {path for path in _PATHS if path.startswith("rambo.")}
        if "dulo" in strategies:
            return unread - _SHARED
        learns = "rambo-plus" in strategies and values.get("plus.weigh")
        return unread - _TRUE_PAIRS if learns else unread
    bilevel, moves = values.get(f"{_MODEL}bilevel.enabled"), values.get(f"{_MODEL}transport")
    unused = {
        f"{_MODEL}bilevel.": not bilevel,
        f"{_MODEL}ot_weight": not moves,
        f"{_MODEL}square_weight": not moves,
        f"{_MODEL}positive_weight": not moves,
        f"{_MODEL}ground_cost.": not moves,
    }
    prefixes = tuple(prefix for prefix, is_off in unused.items() if is_off)
    return {path for path in _PATHS if path.startswith(prefixes)} - {f"{_MODEL}bilevel.enabled"}


def _idle_classifier(values: Mapping[str, Any], strategies: set[str]) -> set[str]:
    """Return the fields of the classifier that nobody reads."""
    weighs = values.get("plus.weigh")
    learns = any(name != "rambo-plus" or weighs for name in lineup.learners(strategies))
    if values.get("classifier.name") != "logistic":
        by_proxy = learns and values.get("rambo.offline.proxy")
        return set() if by_proxy else {"classifier.logistic.l2", "classifier.logistic.iterations"}
    unread = _NETWORKS | {"rambo.offline.proxy"}  # utilities come from logistic heads anyway
    if "glister" in strategies and values.get("rivals.glister.learning_rate") is None:
        unread -= {"classifier.learning_rate"}  # GLISTER looks ahead by it
    return unread


def pretrains(strategies: Iterable[str]) -> bool:
    """Return whether one of the strategies goes on learning while the labeled pool grows."""
    return any(lineup.of(name).pretrains for name in strategies)


def idle_words(paths: Iterable[str], config: configs.Config) -> str | None:
    """Return a sentence about settings that somebody chose and nobody reads, or None.

    Args:
        paths: what was chosen, by dotted path.
        config: all settings.
    """
    unread = sorted(set(paths) & idle_paths(dict(configs.flatten(configs.describe(config))), None))
    if not unread:
        return None
    verb = "has" if len(unread) == 1 else "have"
    return f"{', '.join(unread)} {verb} no effect with these strategies and settings"
