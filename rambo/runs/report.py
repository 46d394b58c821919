"""A run's results as a table for people: every accuracy with its number of trials and standard error."""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rambo import lineup
from rambo.datasets import rehearsal
from rambo.runs.results import Ranking, Result, Summary, by_strategy, perfect_shares

FEWEST = 5  # trials that can be evidence
_LEVEL = 0.05
_METRICS = ("validation_accuracy", "test_accuracy")


def table(summary: Summary, test_images: int | None = None) -> str:
    """Return the results of a run as lines of text.

    Args:
        summary: of the run.
        test_images: how many images judge a rehearsal; few are mentioned.
    """
    groups = by_strategy(summary.results)
    header = (
        f"{'strategy':<16} {'validation %':>15} {'test %':>15} {'balanced test %':>16} {'trials':>7} {'trained':>8} "
        f"{'cached':>7}"
    )
    lines = [f"run {summary.run} on {summary.dataset}", header]
    for name, own in groups.items():
        cells = " ".join(f"{percent([getattr(r, m) for r in own]):>15}" for m in _METRICS)
        done = sum(r.test_accuracy is not None for r in own)
        trained, cached = sum(r.trainings for r in own), sum(r.cached_trainings for r in own)
        balanced = percent([result.balanced_test_accuracy for result in own])
        lines.append(f"{name:<16} {cells} {balanced:>16} {done:>7} {trained:>8} {cached:>7}")
    lines += ranking_lines(summary.ranking)
    lines += [f"{name}: {words}" for name, words in figure_words(summary.results).items()]
    if comparison := compare(groups.get("rambo", []), groups.get("filter-only", [])):
        lines.append(comparison)
    if summary.dataset.startswith(rehearsal.PREFIX) and (
        verdict := rehearsal_verdict(summary.results, test_images)
    ):
        lines.append(verdict)
    if summary.waits:
        lines.append(
            f"batch chosen, waiting for labels: `python -m rambo export {summary.run} --format zip --out FILE` "
            "hands it over"
        )
    if words := proxy_words(summary.config):
        lines.append(words)
    return "\n".join(lines)


def proxy_words(config: Mapping[str, Any]) -> str | None:
    """Return what to say where logistic heads stand in for networks, or None where they do not.

    Args:
        config: of a run, as nested JSON types.
    """
    if config.get("classifier", {}).get("name") == "logistic":
        return "proxy: f is a logistic head on frozen features, so these are not a network's accuracies"
    learns = lineup.learners(config.get("strategies", ()))
    if learns and config.get("rambo", {}).get("offline", {}).get("proxy"):
        return "proxy: true utilities are those of logistic heads on frozen features, not of f"
    return None


def figure_words(results: Sequence[Result]) -> dict[str, str]:
    """Return in words what strategies report of their choices beside the accuracy: means over the trials.

    Words that differ between trials are left out.
    """
    lines = {}
    for strategy, own in by_strategy(results).items():
        values: dict[str, list[float | int | str]] = {}
        for result in own:
            for name, value in result.figures.items():
                values.setdefault(name, []).append(value)
        parts = []
        for name, figures in values.items():
            numbers = [value for value in figures if not isinstance(value, str)]
            if len(numbers) == len(figures):
                mean = statistics.fmean(numbers)
                parts.append(f"{name} {mean:,.0f}" if abs(mean) >= 100 else f"{name} {mean:.3g}")
            elif len(set(figures)) == 1:
                parts.append(f"{name} {figures[0]}")
        if parts:
            lines[strategy] = "; ".join(parts)
    return lines


def percent(values: Sequence[float | None]) -> str:
    """Return the mean of fractions in percent with its standard error, `-` where there is none."""
    numbers = [100 * value for value in values if value is not None]
    if not numbers:
        return "-"
    mean = f"{statistics.fmean(numbers):.1f}"
    return mean if len(numbers) == 1 else f"{mean} +- {standard_error(numbers):.1f}"


def standard_error(values: Sequence[float]) -> float:
    """Return the standard error of the mean of at least two values."""
    return statistics.stdev(values) / math.sqrt(len(values))


def ranking_lines(ranking: Ranking) -> list[str]:
    """Return what is known of u_hat's ranking, beside how often two trainings agree."""
    held_out, agreement, tau = ranking.held_out, ranking.trainings_agree, ranking.kendall_tau
    lines = []
    if held_out is not None and ranking.held_out_pairs:
        tail = "" if tau is None else f" (Kendall tau {tau:.2f} over their sets)"
        pairs = ranking.held_out_pairs
        lines.append(
            f"u_hat orders {100 * held_out:.0f} % of {pairs} held-out pairs as their true utilities do{tail}"
        )
    if agreement is not None:
        low, high = (f"{100 * share:.0f}" for share in perfect_shares(agreement))
        lines.append(
            f"two trainings agree on {100 * agreement:.0f} % of {ranking.agreement_pairs} pairs; "
            f"a perfect model would be right in {low} to {high} %"
        )
    return lines


ACCURACY = "points of test accuracy"


@dataclasses.dataclass(frozen=True)
class Difference:
    """A paired difference, in points of accuracy where nothing else is said.

    Attributes:
        mean: over the trials.
        error: its standard error; None in a single trial.
        low: lower end of the 95 % interval of Student's t; None in a single trial.
        high: its upper end.
        trials: how many pairs.
        p: of Student's t test against no difference, two-sided; None in a single trial.
        family: how many differences were asked about together, this one among them.
        adjusted: p as Holm adjusts it for these; None where it stands alone.
        unit: what the difference counts.
    """

    mean: float
    error: float | None
    low: float | None
    high: float | None
    trials: int
    p: float | None = None
    family: int = 1
    adjusted: float | None = None
    unit: str = ACCURACY

    @property
    def finding(self) -> str:
        """One of `more`, `less`, `nothing` and `too few`.

        Choice: evidence is an interval without 0, and among several differences an adjusted p below 5 %; below five
        trials nothing counts.
        """
        if self.trials < FEWEST or self.low is None or self.high is None:
            return "too few"
        if self.adjusted is not None and self.adjusted >= _LEVEL:
            return "nothing"
        return "more" if self.low > 0 else "less" if self.high < 0 else "nothing"

    @property
    def family_words(self) -> str:
        """Return `; p 0.030, by Holm 0.12 of 4 differences`; empty where it stands alone or is too few trials."""
        if self.p is None or self.adjusted is None:
            return ""
        return f"; p {self.p:.2g}, {self.adjusted:.2g} by Holm among {self.family} differences"

    def words(self) -> str:
        """Return `+0.2 +- 0.3 points of test accuracy over 10 paired trials`."""
        if self.error is None:
            return f"{self.mean:+.1f} {self.unit} in one trial"
        error = f"{self.mean:+.1f} +- {self.error:.1f} {self.unit}"
        return f"{error} over {self.trials} paired trials"


def difference(gaps: Sequence[float], among: int = 1, unit: str = ACCURACY) -> Difference | None:
    """Return what paired gaps say; None of none.

    Args:
        gaps: one a trial.
        among: how many differences were looked at before this one was picked (Bonferroni).
        unit: what they count.
    """
    if not gaps:
        return None
    mean = statistics.fmean(gaps)
    if len(gaps) == 1:
        return Difference(mean, None, None, None, 1, unit=unit)
    from scipy.special import stdtr, stdtrit  # half a second, which a list of runs does not need

    error, freedom = standard_error(gaps), len(gaps) - 1
    reach = float(stdtrit(freedom, 1 - _LEVEL / 2 / among)) * error
    p = 2 * float(stdtr(freedom, -abs(mean) / error)) if error else float(mean == 0)
    return Difference(mean, error, mean - reach, mean + reach, len(gaps), p, unit=unit)


def holm(differences: Sequence[Difference]) -> list[Difference]:
    """Return differences that were asked about together, each with its p as Holm adjusts it.

    Source: Holm 1979: of m in order of p the i-th is multiplied by m - i + 1, and none is below one before it. So the
    chance of even one false finding among all is 5 % at most. Choice: those of fewer than five trials, which find
    nothing anyway, do not count.
    """
    counted = [i for i, one in enumerate(differences) if one.trials >= FEWEST and one.p is not None]
    adjusted, worst = list(differences), 0.0
    if len(counted) < 2:
        return adjusted
    for rank, i in enumerate(sorted(counted, key=lambda i: differences[i].p or 0.0)):
        worst = max(worst, min(1.0, (len(counted) - rank) * (differences[i].p or 0.0)))
        adjusted[i] = dataclasses.replace(differences[i], family=len(counted), adjusted=worst)
    return adjusted


def paired(
    ours: Sequence[Result],
    theirs: Sequence[Result],
    metric: str = "test_accuracy",
) -> list[float]:
    """Return the gaps in points between results of the same seed, where both were evaluated."""
    other = {result.seed: getattr(result, metric) for result in theirs}
    pairs = [(getattr(result, metric), other.get(result.seed)) for result in ours]
    return [100 * (a - b) for a, b in pairs if a is not None and b is not None]


def rehearsal_verdict(results: Sequence[Result], test_images: int | None = None) -> str | None:
    """Return in a sentence which strategy won on a person's own images; None before anything is evaluated.

    Choice: the best mean test accuracy against that of random choice, or of the next best where random is the best or
    was not asked. The interval allows for the best having been picked among all (Bonferroni).

    Args:
        results: of the run.
        test_images: how many images judged; few are mentioned.
    """
    groups = {
        name: own
        for name, own in by_strategy(results).items()
        if name != lineup.ORACLE.name and all(result.test_accuracy is not None for result in own)
    }
    if not groups:
        return None
    means = {
        name: statistics.fmean(result.test_accuracy or 0.0 for result in own)
        for name, own in groups.items()
    }
    order = sorted(means, key=lambda name: -means[name])
    best, words = order[0], lineup.of(order[0]).phrase
    few = (
        f" Only {test_images} images judged, so look twice."
        if test_images and test_images < 100
        else ""
    )
    if len(order) == 1:
        return f"On your own images, {words} came to {100 * means[best]:.1f} % of test accuracy; nothing else ran.{few}"
    rival = "random" if "random" in order[1:] else order[1]
    contrast = difference(paired(groups[best], groups[rival]), among=len(order) - 1)
    if contrast is None:
        return None
    interval = interval_words(contrast, len(order) - 1)
    gap = f"{contrast.words()}{interval} against {lineup.of(rival).phrase}"
    if contrast.finding == "more":
        return f"On your own images, {words} won: {gap}.{few}"
    why = "too few trials to say" if contrast.finding == "too few" else "this may be chance"
    return f"On your own images, no strategy is clearly ahead; {words} did best with {gap}: {why}.{few}"


def interval_words(difference: Difference, comparisons: int) -> str:
    """Return the interval that decided, where it is wider than one comparison would need; empty for one."""
    if comparisons < 2 or difference.low is None or difference.high is None:
        return ""
    interval = f"{difference.low:+.1f} to {difference.high:+.1f}"
    return f" (95 %: {interval}, wide enough for all {comparisons} comparisons)"


VERDICTS = {
    "more": "u_hat helps here",
    "less": "u_hat hurts here",
    "nothing": "no evidence that u_hat helps here",
    "too few": "too few to say",
}


def compare(ours: Sequence[Result], control: Sequence[Result]) -> str | None:
    """Return the verdict on u_hat: paired test accuracy of rambo less the filter-only control."""
    contrast = difference(paired(ours, control))
    if contrast is None:
        return None
    return f"rambo minus filter-only: {contrast.words()}: {VERDICTS[contrast.finding]}"
