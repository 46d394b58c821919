"""`RESULTS.md` from result files: the goals of every machine first, then a section a measure."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.measure import Goal, Measure
from benchmarks.results import FOLDER, Entry, Results, read
from benchmarks.timing import WALL, figure, gemm_rate, machine, spread

TARGET = Path(__file__).with_name("RESULTS.md")
GOALS_HEAD = ("goal", "wanted", "aim", "measured", "met")
_UNKNOWN = float("nan")
# What only a GPU can show. A goal leaves the list once the results of a machine with a GPU hold one of its name.
GPU_GOALS = (
    Goal("MnistNets side by side on one GPU", _UNKNOWN, 10, 25),
    Goal("ResNet-18s side by side on one GPU", _UNKNOWN, 3, 8),
    Goal("slot refill", _UNKNOWN, 1.2, 1.4),
    Goal("Spearman of utilities with TF32 and without", _UNKNOWN, 0.99),
    Goal("seconds of the whole protocol, FashionMNIST, one GPU", _UNKNOWN, 180, 45, at_most=True),
    Goal("seconds of the whole protocol, CIFAR10, one GPU", _UNKNOWN, 3600, 900, at_most=True),
)
_HEAD = """# Speed, measured

Written by `python -m benchmarks` from the files in [`results/`](results), which hold every round; do not edit it.
`python -m benchmarks render` writes it again without measuring, `python -m benchmarks compare OLD.json NEW.json` sets
two files side by side. How well RAMBO chooses is in [`ACCURACY.md`](ACCURACY.md).

In every round all contenders of a measure ran one after the other, so a busy machine slows them alike. A figure is the
median of the rounds, with their range; a speed-up is the ratio of the medians to the first contender, with the range of
the rounds' own ratios. *Of the limit* is the arithmetic that the work itself needs, divided by what a float32 matrix
product does in the same seconds on the same device, at the best of the rates that were seen in the rounds.
"""


def render(machines: Sequence[Results]) -> str:
    """Return the Markdown of all machines."""
    parts = [_HEAD]
    if waiting := _waiting(machines):
        parts.append(
            "## Goals that wait for a GPU\n\nNo result from a GPU holds them yet.\n\n"
            + table(GOALS_HEAD, [_goal_row(goal.name, goal) for goal in waiting])
        )
    parts += [_machine(results) for results in machines]
    return "\n".join(parts)


def render_folder() -> None:
    """Write `RESULTS.md` from all files in `results/`."""
    machines = [read(path) for path in sorted(FOLDER.glob("*.json"))]
    TARGET.write_text(render(machines), encoding="utf-8")


def section(measure: Measure, rates: Mapping[str, float]) -> str:
    """Return one measure: what it is, its contenders, its note.

    Args:
        measure: what was found.
        rates: clock -> FLOP a second of a matrix product, for the percent of the limit.
    """
    per_second = f"{measure.unit} per {measure.clock.removesuffix('s')}"
    head = ["contender", per_second if measure.work else measure.clock]
    counts = {len(seconds) for seconds in measure.seconds.values()}
    several = (
        len(measure.seconds) > 1 and len(counts) == 1
    )  # else these are no rounds of contenders
    limited = bool(measure.flops)
    head += ["times as fast"] * several + ["of the limit"] * limited
    rows = []
    for number, (name, seconds) in enumerate(measure.seconds.items()):
        values = [measure.work / s for s in seconds] if measure.work else seconds
        row = [name, spread(values)]
        if several:
            row.append(_speedup(measure, name) if number else "1")
        if limited:
            row.append(percent(measure.share(name, rates)))
        rows.append(row)
    rounds = len(seconds)
    told = f"Median of {rounds} rounds (range)." if rounds > 1 else "One round."
    if len(counts) > 1:
        told = "Medians (ranges)."
    note = f"\n{measure.note}\n" if measure.note else ""
    return f"#### {measure.name}\n\n{measure.what} {told}\n\n{table(head, rows)}{note}"


def show(measures: Sequence[Measure]) -> None:
    """Print measures and their goals, as a benchmark does that is run by itself."""
    clocks = {measure.clock for measure in measures if measure.flops} - {WALL}
    rates = {clock: gemm_rate(clock) for clock in clocks}
    print(f"{machine()}\n")
    for measure in measures:
        print(section(measure, rates))
        if measure.goals:
            print(table(GOALS_HEAD, [_goal_row(goal.name, goal) for goal in measure.goals]))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def percent(share: float | None) -> str:
    """Return a share in percent, nothing where there is none."""
    return "" if share is None else f"{figure(100 * share)} %"


def _waiting(machines: Sequence[Results]) -> list[Goal]:
    """Return the goals for a GPU that no machine with one has measured."""
    measured = {
        goal.name
        for results in machines
        if results.machine["gpu"]
        for entry in results.entries.values()
        for measure in entry.measures
        for goal in measure.goals
    }
    return [goal for goal in GPU_GOALS if goal.name not in measured]


def _machine(results: Results) -> str:
    """Return the goals and the measures of one machine."""
    pairs = [
        (measure, goal)
        for entry in results.entries.values()
        for measure in entry.measures
        for goal in measure.goals
    ]
    met = sum(goal.met for _, goal in pairs)
    parts = [
        f"## {results.title}\n\n{results.machine['cpu']}, {results.machine['platform']}. "
        f"{met} of {len(pairs)} goals are met.\n",
        table(
            GOALS_HEAD, [_goal_row(f"{measure.name}: {goal.name}", goal) for measure, goal in pairs]
        ),
    ]
    for name, entry in results.entries.items():
        parts.append(_origin(name, entry))
        parts += [section(measure, entry.rates) for measure in entry.measures]
    return "\n".join(parts)


def _origin(name: str, entry: Entry) -> str:
    """Return which command found it, when, with what and under which load."""
    versions = ", ".join(f"{what} {version}" for what, version in entry.versions.items())
    rates = ", ".join(
        f"{rate / 1e9:,.0f} GFLOP a {clock.removesuffix('s')}"
        for clock, rate in entry.rates.items()
    )
    before, after = entry.load
    return (
        f"### `python -m benchmarks {name}`\n\n{entry.date[:10]}; {versions}; load {before} before and {after} after; "
        f"matrix product {rates}.\n"
    )


def _goal_row(name: str, goal: Goal) -> list[str]:
    """Return the row of a goal."""
    bound = "at most" if goal.at_most else "at least"
    aim = "" if goal.aim is None else figure(goal.aim)
    known = goal.value == goal.value  # not NaN
    measured, met = (
        (figure(goal.value), "yes" if goal.met else "no") if known else ("not yet measured", "")
    )
    return [name, f"{bound} {figure(goal.wanted)}", aim, measured, met]


def _speedup(measure: Measure, contender: str) -> str:
    """Return the ratio of the medians with the range of the rounds' ratios."""
    rounds = measure.speedups(contender)
    return f"{figure(measure.speedup(contender))} ({figure(min(rounds))} to {figure(max(rounds))})"
