"""What a finished run has to say, and how little that may be worth: pure, from `store.summary`."""

import statistics
from collections.abc import Mapping, Sequence

from rambo.config import Config
from rambo.events import RankingAudited
from rambo.figures import rivals
from rambo.figures.theme import strategy_word
from rambo.runs.results import Summary
from rambo.text import count

_ENOUGH_TRIALS = 5  # as `report.compare`


def chosen(config: Config, unlabeled: int | None) -> str:
    """Return how many images were chosen of how many, by whom."""
    names = config.strategies
    budget, batch = config.budget, config.acquisition.batch_size
    pool = f" of {unlabeled:,}" if unlabeled else ""
    trials = f", in each of {config.trials} trials" if config.trials > 1 else ""
    if "rambo" in names:
        steps = count(-(-budget // batch), "step")
        return f"RAMBO chose {budget:,}{pool} images in {steps}{trials}."
    who = strategy_word(names[0]) if len(names) == 1 else "Each strategy"
    return f"{who} chose {budget:,}{pool} images{trials}."


def verdict(summary: Summary) -> list[str]:
    """Return honest sentences: who was ahead, whether that means anything, and what u_hat added."""
    accuracies = rivals.evaluated(summary.results)
    if "rambo" not in accuracies or len(accuracies) < 2:
        return []
    means = {name: statistics.fmean(accuracy.values) for name, accuracy in accuracies.items()}
    gaps = {name: 100 * (means["rambo"] - mean) for name, mean in means.items() if name != "rambo"}
    ahead = {name: gap for name, gap in gaps.items() if gap >= 0.05}
    behind = {name: -gap for name, gap in gaps.items() if gap <= -0.05}
    level = [name for name in gaps if name not in ahead and name not in behind]
    parts = []
    if behind:
        parts.append(f"behind {_list(behind)}")
    if ahead:
        parts.append(f"ahead of {_list(ahead)}")
    if level:
        parts.append(f"level with {' and '.join(map(strategy_word, level))}")
    trials = accuracies["rambo"].trials
    lines = [f"In test accuracy RAMBO is {', '.join(parts)}."]
    if trials < _ENOUGH_TRIALS:
        lines.append(
            f"{count(trials, 'trial')} cannot tell such differences from chance; run five or more to know."
        )
    if sentence := rivals.verdict(summary.results):
        phrase = "What u_hat itself added, RAMBO minus Filter only"
        lines.append(sentence.replace("rambo minus filter-only", phrase) + ".")
    return lines


def rounds(audits: Sequence[tuple[RankingAudited, RankingAudited]]) -> str:
    """Return what the rounds on interpolated utilities made of u_hat; empty where no held-out pair tells.

    Args:
        audits: of each trial, after the warm start and after the last round.
    """
    if not audits:
        return ""
    before, after = (statistics.fmean(pair[i].accuracy or 0.0 for pair in audits) for i in (0, 1))
    pairs = sum(last.pairs for _, last in audits)
    return (
        f"After its warm start u_hat put {100 * before:.0f} % of the held-out pairs in true order, after the rounds on "
        f"interpolated utilities {100 * after:.0f} % ({count(pairs, 'pair')} in {count(len(audits), 'trial')}; "
        "a coin 50 %)."
    )


def _list(gaps: Mapping[str, float]) -> str:
    """Return `Random by 3.8 and Margin by 1.4 points`."""
    parts = [f"{strategy_word(name)} by {gap:.1f}" for name, gap in gaps.items()]
    joined = " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]
    return f"{joined} points"
