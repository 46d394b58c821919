"""What a finished run has to say, and how little that may be worth: pure, from `store.summary`."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rambo import report
from rambo.ui.text import count
from rambo.ui.theme import STRATEGY_WORDS

_ENOUGH_TRIALS = 5  # as `report.compare`


def chosen(summary: Mapping[str, Any], unlabeled: int | None) -> str:
    """Return how many images were chosen of how many, by whom."""
    config = summary["config"]
    names = config["strategies"]
    budget, batch = config["budget"], config["acquisition"]["batch_size"]
    pool = f" of {unlabeled:,}" if unlabeled else ""
    trials = f", in each of {config['trials']} trials" if config["trials"] > 1 else ""
    if "rambo" in names:
        steps = count(-(-budget // batch), "step")
        return f"RAMBO chose {budget:,}{pool} images in {steps}{trials}."
    who = STRATEGY_WORDS[names[0]] if len(names) == 1 else "Each strategy"
    return f"{who} chose {budget:,}{pool} images{trials}."


def accuracies(summary: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return the test accuracies of each evaluated strategy, a number a trial, in the config's order."""
    found: dict[str, list[float]] = {name: [] for name in summary["config"]["strategies"]}
    for result in summary["results"]:
        if result["test_accuracy"] is not None:
            found[result["strategy"]].append(result["test_accuracy"])
    return {name: values for name, values in found.items() if values}


def verdict(summary: Mapping[str, Any]) -> list[str]:
    """Return honest sentences: who was ahead, whether that means anything, and what u_hat added."""
    found = accuracies(summary)
    if "rambo" not in found or len(found) < 2:
        return []
    ours = statistics.fmean(found["rambo"])
    gaps = {n: 100 * (ours - statistics.fmean(v)) for n, v in found.items() if n != "rambo"}
    ahead = {name: gap for name, gap in gaps.items() if gap >= 0.05}
    behind = {name: -gap for name, gap in gaps.items() if gap <= -0.05}
    level = [name for name in gaps if name not in ahead and name not in behind]
    told = []
    if behind:
        told.append(f"behind {_list(behind)}")
    if ahead:
        told.append(f"ahead of {_list(ahead)}")
    if level:
        told.append(f"level with {' and '.join(STRATEGY_WORDS[name] for name in level)}")
    trials = len(found["rambo"])
    lines = [f"In test accuracy RAMBO is {', '.join(told)}."]
    if trials < _ENOUGH_TRIALS:
        lines.append(
            f"{count(trials, 'trial')} cannot tell such differences from chance; run five or more to know."
        )
    if compared := report.compare(_of(summary, "rambo"), _of(summary, "filter-only")):
        told_of = "What u_hat itself added, RAMBO minus Filter only"
        lines.append(compared.replace("rambo minus filter-only", told_of).replace("+-", "±") + ".")
    return lines


def _list(gaps: Mapping[str, float]) -> str:
    """Return `Random by 3.8 and Margin by 1.4 points`."""
    parts = [f"{STRATEGY_WORDS[name]} by {gap:.1f}" for name, gap in gaps.items()]
    joined = " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]
    return f"{joined} points"


def _of(summary: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    """Return the results of one strategy."""
    return [result for result in summary["results"] if result["strategy"] == name]
