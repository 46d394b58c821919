"""What a run will do, in plain words: the text beside its costs. Imports no torch."""

from collections.abc import Mapping, Sequence

from rambo import lineup
from rambo.config import Config
from rambo.estimate.costs import Costs
from rambo.estimate.work import closest_pairs, further_pairs, pair_learners, repeated_pairs

_WAITS = (
    "Then the run ends: the batch is chosen and waits for its labels. No accuracy is measured, because nobody knows "
    "them yet."
)


def sentence(config: Config, costs: Costs) -> str:
    """Return what a run will do in a few plain sentences, from the labels it holds to the test."""
    trial = costs.per_trial
    more = (
        f"and {costs.validation:,} more to check with"
        if costs.validation
        else "and none to check with"
    )
    parts = [f"You hold {_count(config.k, 'label')}, {more}."]
    if any(lineup.of(name).pretrains for name in config.strategies):
        parts += _learning(config, trial)
    else:
        parts.append("One classifier is trained on them.")
    parts += [*_choosing(config, costs), *_rivals(config, trial), *_corruption(config)]
    parts += [*([_WAITS] if costs.waits else [_testing(config)]), *_oracle(config)]
    parts += _stand_in(config)
    if costs.trials > 1 and costs.waits:
        parts.append(f"All of this is done {costs.trials:,} times, each time with another seed.")
    elif costs.trials > 1:
        parts.append(f"All of this is done {costs.trials:,} times, each time with other labels.")
    return " ".join(parts)


def _learning(config: Config, trial: Mapping[str, int]) -> list[str]:
    """Return how the utility model is learned."""
    model, sizes = config.rambo.utility_model, f"from {config.initial_size:,} to {config.k:,}"
    aim = "which of two sets is better" if model.loss == "rank" else "how good a set is"
    repeated = (
        2 * repeated_pairs(config) if trial["repeat"] else 0
    )  # a logistic head is not repeated
    again = f"; {repeated:,} of these are trained twice, to see how much is chance"
    offline = trial["offline"] - _further(config)
    parts = [
        f"RAMBO will train {_count(offline, 'classifier')} on random parts of them to learn "
        f"{aim}{again if repeated else ''}.",
        f"Then it trains {trial['labeled']:,} more while the labels in use grow {sizes}, "
        f"and improves what it learned {_count(config.slices, 'time')}."
        if config.slices
        else "Then it trains one more on all of them.",
    ]
    if config.slices and model.bilevel.enabled:
        parts.append("It learns from small sets and is tuned on large ones (bilevel training).")
    if model.transport:
        parts.append("How near a set lies to the checking images is a hint (optimal transport).")
    return parts


def _choosing(config: Config, costs: Costs) -> list[str]:
    """Return who chooses how many images: RAMBO before the others."""
    first, *others = sorted(config.strategies, key=lambda name: name != "rambo")
    pool = f"the {costs.unlabeled:,}" if costs.unlabeled is not None else "the"
    phrase = lineup.of(first).phrase
    begin = "Then it" if first == "rambo" else f"{phrase[0].upper()}{phrase[1:]}"
    parts = [
        f"{begin} chooses {config.budget:,} of {pool} unlabeled images{_steps(config, first)}."
    ]
    if others:
        verb = "chooses" if len(others) == 1 else "each choose"
        names = _listed([lineup.of(name).phrase for name in others])
        parts.append(f"To compare, {names} {verb} {config.budget:,} too.")
    return parts


def _rivals(config: Config, trial: Mapping[str, int]) -> list[str]:
    """Return what else is trained for those who need more than f on S_0."""
    parts, further = [], _further(config)
    if {"lowest", "rambo"} <= set(config.strategies):
        parts.append("The lowest u_hat is RAMBO's own: the same batches, ranked from below.")
    if "rambo-plus" in pair_learners(config):
        parts.append(
            "RAMBO+ learns from the same trainings."
            if "rambo" in config.strategies
            else f"RAMBO+ trains {_count(trial['offline'] - further, 'classifier')} on random parts of the labels "
            "to learn what tells which of two sets is better."
        )
        if closest := closest_pairs(config):
            parts.append(
                f"The {_count(closest, 'pair')} whose sets lie closest are trained {config.plus.repeats} times, "
                "because one training there is half chance."
            )
    if trial["guesses"]:
        parts.append(
            "For RAMBO+ two more each learn half of the checking images too, and guess labels that nobody has bought."
        )
    if {"dulo", "rambo"} <= set(config.strategies):
        more = f" and from {further:,} more of its own" if further else ""
        parts.append(f"DULO learns from the same trainings{more}.")
    elif "dulo" in config.strategies:
        trained = _count(trial["offline"], "classifier")
        parts.append(
            f"DULO trains {trained} on random parts of the labels to learn how good a set is."
        )
    if "llal" in config.strategies:
        parts.append("LLAL trains one more, together with a network that predicts its losses.")
    return parts


def _corruption(config: Config) -> list[str]:
    """Return what is wrong with the data."""
    wrong, parts = config.dataset.corruption, []
    if wrong.imbalance != "none":
        percent = {"paper": 80, "glister": 10}[wrong.imbalance]
        parts.append(f"Some classes are rare: 3 of 10 keep {percent} % of their images.")
    if wrong.label_noise:
        classes, share = len(wrong.noisy_classes), f"{100 * wrong.label_noise:.3g} %"
        of = f" of {classes} class{'es' if classes > 1 else ''}" if classes else ""
        parts.append(f"Of the labels{of} you hold or buy, {share} are wrong.")
    return parts


def _oracle(config: Config) -> list[str]:
    """Return what the oracle tries, to show what there is to gain."""
    if not config.oracle_draws:
        return []
    sets, repeats = _count(config.oracle_draws, "random set"), config.evaluation.repeats
    best = f", the best with {repeats}" if repeats > 1 else ""
    return [
        f"An oracle that knows all labels tries {sets} of {config.budget:,} too, each with a classifier "
        f"of its own{best}, to show how much there is to gain."
    ]


def _stand_in(config: Config) -> list[str]:
    """Return what is trained in place of a network."""
    if config.classifier.name == "logistic":
        return [
            "The classifier is a logistic head on frozen features: a stand-in that a CPU can train."
        ]
    if config.rambo.offline.proxy and pair_learners(config):
        return [
            "On the random parts the classifiers are logistic heads on frozen features: stand-ins that a CPU "
            "can train."
        ]
    return []


def _testing(config: Config) -> str:
    """Return how the choices are judged."""
    each = (
        "" if len(config.strategies) == 1 else f" for each of the {len(config.strategies)} choices"
    )
    total, repeats = f"{config.k + config.budget:,}", config.evaluation.repeats
    trained = "a classifier is" if repeats == 1 else f"{repeats} classifiers are"
    means = "" if repeats == 1 else "; their mean counts, because one alone is half chance"
    return f"Last, the new labels are shown, and{each} {trained} trained on {total} labels and tested{means}."


def _steps(config: Config, name: str) -> str:
    """Return how a strategy spends the budget, in words."""
    batch, steps = config.acquisition.batch_size, config.greedy_steps
    if not lineup.of(name).greedy or steps == 1:
        return " at once"
    rest = config.budget - (steps - 1) * batch
    last = f" (the last of {rest:,})" if rest < batch else ""
    return f" in {steps:,} steps of {batch:,}{last}"


def _count(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it needs one."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _listed(names: Sequence[str]) -> str:
    """Return `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _further(config: Config) -> int:
    """Return how many trainings DULO has beside those that RAMBO has too."""
    return 2 * further_pairs(config) if "dulo" in config.strategies else 0
