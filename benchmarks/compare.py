"""Two result files side by side: what got faster or slower, and by how much."""

import dataclasses
import statistics
from collections.abc import Iterator, Sequence

from benchmarks.measure import Measure
from benchmarks.report import percent, table
from benchmarks.results import Entry, Results, same_machine
from benchmarks.timing import figure

_HEAD = ("measure", "contender", "figure", "old", "new", "change", "of the limit", "verdict")


@dataclasses.dataclass(frozen=True)
class Change:
    """One contender of one measure in two files.

    Attributes:
        measure: its name.
        contender: its name.
        figure: what is compared: the speed-up over the first contender, or seconds where there is only one.
        old: the figure.
        new: the figure.
        faster: gain in speed, a fraction; negative for slower.
        overlap: whether the ranges of the rounds overlap: then nothing was shown.
        shares: of the arithmetic limit, old and new, where known.
    """

    measure: str
    contender: str
    figure: str
    old: float
    new: float
    faster: float
    overlap: bool
    shares: tuple[float | None, float | None]

    @property
    def verdict(self) -> str:
        """What may be said of it."""
        if self.overlap:
            return "within the spread"
        return "faster" if self.faster > 0 else "slower"


def changes(old: Results, new: Results) -> list[Change]:
    """Return the changes of every measure that both have.

    Seconds are compared on one kind of machine only, and only where there is no ratio.
    """
    before, after = _measures(old), _measures(new)
    alike = same_machine(old, new)
    return [
        change
        for name in before
        if name in after
        for change in _of_measure(before[name], after[name], alike)
    ]


def show(old: Results, new: Results, fail_below: float | None) -> int:
    """Print the comparison; return 1 if something got slower by more than `fail_below` percent, else 0."""
    if not same_machine(old, new):
        print(f"Two machines: {old.title}, and {new.title}.")
        print("Only ratios and percent of the limit can be compared, no seconds.\n")
    found = changes(old, new)
    print(table(_HEAD, [_row(change) for change in found]))
    before, after = _measures(old), _measures(new)
    for place, names in (
        ("old", before.keys() - after.keys()),
        ("new", after.keys() - before.keys()),
    ):
        if names:
            print(f"Only in the {place} file: {', '.join(sorted(names))}.")
    limit = float("inf") if fail_below is None else fail_below / 100
    lost = [c for c in found if c.verdict == "slower" and -c.faster > limit]
    for change in lost:
        print(f"FAILED: {change.measure}, {change.contender}: {_signed(change.faster)}")
    return int(bool(lost))


def _measures(results: Results) -> dict[str, tuple[Measure, Entry]]:
    """Return all measures by name, with the entry each is from."""
    return {m.name: (m, entry) for entry in results.entries.values() for m in entry.measures}


def _of_measure(
    before: tuple[Measure, Entry], after: tuple[Measure, Entry], alike: bool
) -> Iterator[Change]:
    """Yield the changes of one measure."""
    (old, old_entry), (new, new_entry) = before, after
    first, *others = new.seconds
    for name in others or [first]:
        if name not in old.seconds:
            continue
        shares = old.share(name, old_entry.rates), new.share(name, new_entry.rates)
        if others and next(iter(old.seconds)) == first:
            was, now = old.speedup(name), new.speedup(name)
            overlap = _overlap(old.speedups(name), new.speedups(name))
            yield Change(new.name, name, "times as fast", was, now, now / was - 1, overlap, shares)
        elif not others and alike:
            was, now = statistics.median(old.seconds[name]), statistics.median(new.seconds[name])
            overlap = _overlap(old.seconds[name], new.seconds[name])
            yield Change(new.name, name, new.clock, was, now, was / now - 1, overlap, shares)


def _overlap(a: Sequence[float], b: Sequence[float]) -> bool:
    """Return whether two ranges overlap."""
    return min(a) <= max(b) and min(b) <= max(a)


def _row(change: Change) -> list[str]:
    """Return the row of a change."""
    shares = [percent(share) for share in change.shares]
    limit = " to ".join(shares) if all(shares) else ""
    told = [change.measure, change.contender, change.figure, figure(change.old), figure(change.new)]
    return [*told, _signed(change.faster), limit, change.verdict]


def _signed(faster: float) -> str:
    """Return a gain in percent with its sign."""
    return f"{100 * faster:+.1f} %"
