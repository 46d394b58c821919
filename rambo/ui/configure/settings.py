"""Settings as the form holds them, by dotted path: checked and explained.

Draws nothing and keeps nothing, so that every bad value can be tried without a browser.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rambo import checks, lineup
from rambo import config as configs
from rambo.config import Config, CorruptionConfig, Settings, presets
from rambo.datasets import corruption
from rambo.datasets.prepared import VALIDATION, Prepared
from rambo.errors import ConfigError, RamboError
from rambo.estimate.idle import pretrains
from rambo.text import count, literal, percent
from rambo.ui import allowed
from rambo.ui.configure import fields

Values = Settings  # by dotted path


@dataclass(frozen=True)
class Check:
    """Values after checking: the config where they make one, and what is wrong, by path, in words."""

    config: Config | None
    complaints: dict[str, str] = field(default_factory=dict)


def flatten(node: Mapping[str, Any], prefix: str = "") -> Values:
    """Return nested settings by dotted path."""
    flat: Values = {}
    for name, value in node.items():
        path = f"{prefix}{name}"
        flat |= flatten(value, f"{path}.") if isinstance(value, Mapping) else {path: value}
    return flat


def nest(values: Mapping[str, Any]) -> Settings:
    """Return settings by dotted path as nested ones."""
    nested: Settings = {}
    for path, value in values.items():
        *parents, name = path.split(".")
        node = nested
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = value
    return nested


def preset(name: str, dataset: str | None = None) -> Values:
    """Return every value of a preset.

    Raises:
        ConfigError: the paper has no run on this dataset.
    """
    return of(configs.build(presets.PRESETS[name](dataset)))


def of(config: Config) -> Values:
    """Return every value of a config."""
    return flatten(configs.describe(config))


def changed(values: Values, base: Values) -> list[str]:
    """Return the paths whose values differ, in the order of the form."""
    order = [*fields.FIELDS, *(path for path in values if path not in fields.FIELDS)]
    return [path for path in order if values.get(path) != base.get(path)]


def check(values: Values, data: Prepared | None, devices: Mapping[str, str] | None) -> Check:
    """Return the config of some values, or everything that is wrong with them.

    Args:
        values: by path.
        data: the dataset they name, where it is prepared.
        devices: names of this machine's devices by kind, where they are known.
    """
    config, wrong, bad_fields = configs.review(nest(values))
    errors: list[RamboError] = [*wrong, *allowed.problems(values)]
    if config is not None:
        errors += [
            error for error in _misfits(config, data, devices) if not error.speaks_of(bad_fields)
        ]
    complaints: dict[str, str] = {}
    for error in errors:
        complaints.setdefault(_place(error), _words(error))
    if config is not None and data is not None and not complaints:
        config = checks.fit(config, data)  # as the run will keep it
    return Check(None if complaints else config, complaints)


def _misfits(
    config: Config, data: Prepared | None, devices: Mapping[str, str] | None
) -> list[RamboError]:
    """Return what of a config does not fit this machine or its dataset."""
    errors: list[RamboError] = []
    kind = config.compute.device
    if devices is not None and kind not in ("auto", *devices):
        errors.append(
            ConfigError(
                f"this machine has no {kind}", field="compute.device", hint="use cpu or auto"
            )
        )
    if data is not None:
        try:
            checks.check(config, data)
            checks.wants_features(config, data)
        except RamboError as error:
            errors += error.parts
    return errors


def _place(error: RamboError) -> str:
    """Return the path of the field to say it at: that of the dataset where the error names none of the form."""
    return error.field if error.field in fields.facts() else "dataset.name"


def _words(error: RamboError) -> str:
    """Return an error as the form says it: with the paper's letters, and without its field where it is alone."""
    if error.value is None:
        return "empty: type a number"
    if error.value == [] and error.hint:
        return error.hint
    names = {path: entry.symbol for path, entry in fields.FIELDS.items() if _has_letter(entry)}
    return error.words(names if error.others else names | {str(error.field): ""})


def _has_letter(entry: fields.Field) -> bool:
    """Return whether a field is called by its letter: in other groups letters repeat."""
    return entry.group == fields.BUDGETS and bool(entry.symbol)


def problems(settings: Mapping[str, Any]) -> list[ConfigError]:
    """Return everything that is wrong with nested settings; fields may be missing.

    An unknown field is told with the name that is most like it.
    """
    return [_of_stranger(error) for error in configs.review(settings)[1]]


def _of_stranger(error: ConfigError) -> ConfigError:
    """Return one thing that is wrong with settings of someone else."""
    path = error.field or ""
    groups = {path.rpartition(".")[0] for path in fields.facts()}
    if path in fields.facts() or path in groups:
        return error
    return ConfigError(error.problem, field=path, hint=_nearest(path.split(".")))


def _nearest(names: list[str]) -> str:
    """Return what an unknown field may have meant, or else the way out."""
    last = {path.rpartition(".")[2]: path for path in reversed(fields.facts())}
    typed = names[-1].lower()[:100]
    like = difflib.get_close_matches(".".join(names).lower()[:200], list(fields.facts()), 1, 0.75)
    like = like or [last[name] for name in difflib.get_close_matches(typed, list(last), 1, 0.7)]
    return f"did you mean {like[0]}?" if like else "leave it out"


def notes(config: Config, data: Prepared | None) -> dict[str, str]:
    """Return what follows from the values by rule, by the path it belongs to, as Markdown of our own."""
    acquisition, model = config.acquisition, config.rambo.utility_model
    b, m, learns = acquisition.batch_size, acquisition.filtered, pretrains(config.strategies)
    lines: dict[str, str] = {}
    steps = _split(config.budget, config.greedy_steps, b, "greedy step", r"\tau_2")
    if learns and config.slices:
        grown = config.k - config.initial_size
        slices = _split(grown, config.slices, b, "pretraining slice", r"\tau_1")
        steps = f"{steps}; {slices}"
    lines["acquisition.batch_size"] = f"{steps}."
    if filtered := _filter_note(config, data, m, b):
        lines["acquisition.filter_size"] = filtered
    if learns and config.initial_size == config.k:
        lines["rambo.initial_size"] = (
            "k_1 = k: no pretraining; u_hat stays as the offline pairs left it."
        )
    if not learns:
        lines["strategies"] = (
            "Without RAMBO there is no pretraining; DULO learns a utility model of its own."
            if "dulo" in config.strategies
            else "Without RAMBO there is no pretraining; RAMBO+ learns three weights from true pairs."
            if "rambo-plus" in config.strategies and config.plus.weigh
            else "Without RAMBO nothing is learned: the utility model is not used."
        )
    if config.classifier.name == "logistic":
        lines["classifier.name"] = (
            "A stand-in for the networks of the paper: fast, and not what its numbers were made with."
        )
    lines |= _corruption_notes(config.dataset.corruption, data)
    if config.acquisition.gate.by == "off":
        lines["acquisition.gate.by"] = (
            "Off: if the pool may hold images of another kind, switch it on; each one bought is a label wasted."
        )
    elif config.acquisition.gate.keep:
        images = count(len(config.acquisition.gate.keep), "image")
        lines["acquisition.gate.keep"] = f"{images} can be chosen whatever the gate says."
    if model.transport and model.ot_weight == 0:
        lines["rambo.utility_model.ot_weight"] = "0: the OT distance is shown but teaches nothing."
    if data is not None:
        lines |= _data_notes(config, data)
    return lines


def _split(whole: int, parts: int, size: int, noun: str, symbol: str) -> str:
    """Return how a number falls into parts, with the last one where it is smaller."""
    last = whole - (parts - 1) * size
    smaller = f", the last of only {last:,}" if last < size and parts > 1 else ""
    return f"{count(parts, noun)} (${symbol}${smaller})"


def _filter_note(config: Config, data: Prepared | None, m: int, b: int) -> str:
    """Return what the margin filter comes to."""
    if not any(lineup.of(name).filters for name in config.strategies):
        return "Not used: only RAMBO and filter only look through it."
    if m == b:
        return "M = b: one candidate a step, the smallest margins: margin sampling."
    if m < 2 * b:
        return f"M < 2 b: one candidate a step, {b} of the {m} smallest margins at random."
    if data is not None and m >= (unlabeled := _pool(config, data) - config.k):
        return f"M covers all {unlabeled:,} unlabeled images: the margins filter nothing."
    remainder = f"; {m % b} are left over" if m % b else ""
    return f"{m // b} candidate batches a step{remainder}."


def _data_notes(config: Config, data: Prepared) -> dict[str, str]:
    """Return what the dataset decides."""
    lines = {}
    if data.partly_labeled:
        lines["k"] = f"Fixed: {config.k:,} images of this dataset have a label to learn from."
    if config.acquisition.per_cluster is not None and data.clusters is not None:
        lines["acquisition.per_cluster"] = _repeats_note(data)
    if own := _own(data):
        lines["dataset.validation_size"] = f"Fixed: the dataset brings {own:,} of its own."
    if config.budget == _pool(config, data) - config.k:
        lines["budget"] = "All unlabeled images: there is nothing to choose."
    name = checks.resolve_classifier(config.classifier, data.images.shape[1:]).name
    if config.classifier.name == "auto":
        lines["classifier.name"] = (
            f"{fields.FIELDS['classifier.name'].names[name]} for these images."
        )
    if config.dataset.corruption.imbalance != "none":
        rest = f"{_pool(config, data):,} images or more are left to hold or to choose from."
        lines["dataset.corruption.imbalance"] = f"{_rare_words(config.dataset.corruption)} {rest}"
    return lines


def _repeats_note(data: Prepared) -> str:
    """Return how many images repeat another one."""
    repeats = len(data.labels) - len(np.unique(np.asarray(data.clusters)))
    return f"{repeats:,} of {len(data.labels):,} images repeat another one, or nearly."


def _corruption_notes(settings: CorruptionConfig, data: Prepared | None) -> dict[str, str]:
    """Return what is wrong with the data, in words."""
    lines, path = {}, "dataset.corruption."
    if settings.label_noise:
        classes = settings.noisy_classes
        names = data.classes if data else ()
        listed = ", ".join(literal(names[n] if n < len(names) else n, 30) for n in classes[:10])
        more = " and others" if len(classes) > 10 else ""
        about = f" of {listed}{more}" if classes else ""
        lines[f"{path}label_noise"] = (
            f"Of the labels{about} that you hold or buy, the oracle gets "
            f"{wrong_words(settings.label_noise)} wrong; the checking and test images are clean."
        )
    if settings.imbalance != "none":
        lines[f"{path}imbalance"] = _rare_words(settings)
    return lines


def wrong_words(share: float) -> str:
    """Return a share above 0 as people say it: `1 in 5`, `35 %`."""
    if abs(1 / share - round(1 / share)) < 1e-6:
        return f"1 in {round(1 / share):,}"
    return percent(share, 0 if round(100 * share, 6).is_integer() else 1)


def _rare_words(settings: CorruptionConfig) -> str:
    """Return what imbalance does."""
    percent = "80" if settings.imbalance == "paper" else "10"
    return f"Each trial draws 3 of 10 classes that keep {percent} % of their images."


def _pool(config: Config, data: Prepared) -> int:
    """Return how many images S_0 and U_0 have together, under imbalance at least."""
    return corruption.pool_size(config.dataset, data)


def _own(data: Prepared) -> int:
    """Return how many validation images a dataset brings itself."""
    return int((data.roles == VALIDATION).sum())
