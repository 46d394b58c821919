"""The ledger of a collection: what each round asked, what came back, what it cost, and what the labels brought."""

import contextlib
import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from rambo.collection import POOL, PREFIX, Collection, Snapshot, find
from rambo.collection.answers import Answers
from rambo.errors import RamboError, StoreError
from rambo.export import returns
from rambo.runs import models
from rambo.runs.models import Report
from rambo.runs.workspace import Run, Workspace

BREAK = 300  # seconds without an answer that are no work


@dataclasses.dataclass(frozen=True)
class LedgerRound:
    """One batch that was asked for.

    Attributes:
        number: from 1, by time.
        run: that chose.
        created: when, ISO 8601 in UTC.
        strategy: that chose the batch; of several, or of several trials, the one whose batch has most labels.
        settings: of the run, in a few words.
        images: numbers of the images, in the order of choice.
        labels: how many of them have a label now.
        others: how many were skipped, unsure, or of none of the classes.
        seconds: of work on the page Label; None where nobody labeled there.
        price: of one label; None where nobody said.
    """

    number: int
    run: str
    created: str
    strategy: str
    settings: str
    images: tuple[int, ...]
    labels: int
    others: int
    seconds: float | None
    price: float | None

    @property
    def cost(self) -> float | None:
        """What its labels cost so far."""
        return None if self.price is None else self.labels * self.price


@dataclasses.dataclass(frozen=True)
class Milestone:
    """A final model, and what the labels since the one before brought.

    Attributes:
        model: its id.
        created: when, ISO 8601 in UTC.
        version: of the collection.
        labels: that taught it.
        bought: labels of the rounds that were there by then.
        cost: of these; None where a round has no price.
        judged: `test`, `validation` or `cross-validation`: what judged it.
        accuracy: by that, in [0, 1]; None where nobody knows.
        error: its standard error.
        judges: how many images judged.
        gain: accuracy less that of the milestone before; None where they were not judged alike.
        gain_error: its standard error.
    """

    model: str
    created: str
    version: int
    labels: int
    bought: int
    cost: float | None
    judged: str
    accuracy: float | None
    error: float | None
    judges: int
    gain: float | None = None
    gain_error: float | None = None


@dataclasses.dataclass(frozen=True)
class Ledger:
    """All rounds of a collection and all its final models, the oldest first.

    Attributes:
        rounds: one entry a run that chose from it.
        milestones: one entry a version on which a model was trained, the newest model of each.
        currency: of the prices; may be empty.
        notices: what could not be read.
    """

    rounds: tuple[LedgerRound, ...]
    milestones: tuple[Milestone, ...]
    currency: str
    notices: tuple[str, ...]


def read(
    workspace: Workspace,
    collection: Collection,
    snapshot: Callable[[int], Snapshot] | None = None,
) -> Ledger:
    """Return the ledger of a collection.

    Args:
        workspace: of its runs and models.
        collection: whose ledger.
        snapshot: version -> what was known at it, where somebody has it at hand.

    Raises:
        StoreError: the collection is damaged.
    """
    at = snapshot or collection.snapshot
    now = at(collection.latest())
    notices: list[str] = []
    prices = collection.prices()
    rounds: list[LedgerRound] = []
    for run in runs_of(workspace, collection, notices):
        entry = _round(run, collection, now, len(rounds) + 1)
        if entry is not None:
            rounds.append(dataclasses.replace(entry, price=prices.each.get(run.id)))
    priced = tuple(_with_prices(rounds))
    return Ledger(
        priced,
        tuple(_milestones(workspace, collection, priced, at, notices)),
        prices.currency,
        tuple(notices),
    )


def runs_of(workspace: Workspace, collection: Collection, notices: list[str]) -> list[Run]:
    """Return the runs that chose from a collection, the oldest first; says which cannot be read."""
    chosen = []
    for run in workspace.runs():
        try:
            name = str(run.config["dataset"]["name"])
        except (RamboError, KeyError, TypeError):
            continue  # of a damaged run nobody knows what it chose from
        if name == f"{PREFIX}{collection.slug}" or name.startswith(f"{PREFIX}{collection.slug}@"):
            try:
                created = run.created()
                returns.collection_of(run)
            except StoreError as error:
                notices.append(f"Run {run.id} is not in the ledger: {error.words({'run': None})}.")
                continue
            chosen.append((created, run.id, run))
    return [run for *_, run in sorted(chosen, key=lambda entry: entry[:2])]


def _round(run: Run, collection: Collection, now: Snapshot, number: int) -> LedgerRound | None:
    """Return the entry of a run, without its price; None before it has chosen."""
    labeled = _labeled(now)
    batches: dict[tuple[str, int], tuple[int, ...]] = {}
    config = run.config
    for trial, name in itertools.product(range(config["trials"]), config["strategies"]):
        with contextlib.suppress(RamboError):
            seed = config["seed"] + trial
            batches[name, trial] = returns.request_of(run, collection, name, seed).numbers
    if not batches:
        return None
    strategy, trial = max(batches, key=lambda choice: len(labeled & set(batches[choice])))
    images = batches[strategy, trial]
    passed = {entry.image for entry in now.entries if entry.answer != "label"}
    times = sorted(answer.time for answer in Answers(collection, run.id).log())
    spent = sum(b - a for a, b in itertools.pairwise(times) if b - a < BREAK)
    return LedgerRound(
        number=number,
        run=run.id,
        created=run.created(),
        strategy=strategy,
        settings=_settings(run),
        images=images,
        labels=len(labeled & set(images)),
        others=len((passed & set(images)) - labeled),
        seconds=spent if len(times) > 1 else None,
        price=None,
    )


def _settings(run: Run) -> str:
    """Return what a run was told, in a few words."""
    config = run.config
    return (
        f"k {config['k']}, B {config['budget']}, b {config['acquisition']['batch_size']}, "
        f"{config['classifier']['name']}"
    )


def _labeled(snapshot: Snapshot) -> set[int]:
    """Return the images that have a label, by number."""
    return set(snapshot.numbers[(snapshot.roles != POOL) & (snapshot.labels >= 0)].tolist())


def _with_prices(rounds: Sequence[LedgerRound]) -> Iterator[LedgerRound]:
    """Yield rounds; one without a price has that of the round before, or of the first that has one."""
    price = next((entry.price for entry in rounds if entry.price is not None), None)
    for entry in rounds:
        price = price if entry.price is None else entry.price
        yield dataclasses.replace(entry, price=price)


def _milestones(
    workspace: Workspace,
    collection: Collection,
    rounds: Sequence[LedgerRound],
    at: Callable[[int], Snapshot],
    notices: list[str],
) -> Iterator[Milestone]:
    """Yield the final models, each compared with the last that was judged alike; says which cannot be read."""
    newest: dict[int, tuple[Run, Report]] = {}
    for run in reversed(models.of_collection(workspace, collection.slug)):
        report = None
        try:
            report = models.load_report(run)
        except RamboError as error:
            notices.append(f"Model {run.id} is not in the ledger: {error.words({'run': None})}.")
        if report is not None:
            newest[int(report.dataset.partition("@")[2] or 0)] = (run, report)
    last: dict[str, Milestone] = {}
    for version, (run, report) in sorted(newest.items()):
        labeled: set[int] = set()
        with contextlib.suppress(RamboError):
            labeled = _labeled(at(version))
        counts = [len(labeled & set(entry.images)) for entry in rounds]
        prices = [entry.price for entry in rounds]
        cost: float | None = None
        if rounds and None not in prices:
            cost = float(np.dot(counts, np.array(prices, dtype=float)))
        score = report.judge()
        entry = Milestone(
            model=run.id,
            created=run.created(),
            version=version,
            labels=report.labeled,
            bought=sum(counts),
            cost=cost,
            judged=report.judged,
            accuracy=None if score is None else score.accuracy,
            error=None if score is None else score.standard_error,
            judges=0 if score is None else score.count,
        )
        entry = _compared(entry, last.get(entry.judged))
        last[entry.judged] = entry
        yield entry


def _compared(entry: Milestone, before: Milestone | None) -> Milestone:
    """Return a milestone with what it gained.

    Choice: the standard error is that of two accuracies counted apart. They share most of the images that judge, so
    the real one is rather smaller.
    """
    if before is None or before.accuracy is None or entry.accuracy is None:
        return entry
    error = math.hypot(entry.error or 0.0, before.error or 0.0)
    return dataclasses.replace(entry, gain=entry.accuracy - before.accuracy, gain_error=error)


def of(workspace: Workspace, slug: str) -> Ledger:
    """Return the ledger of the collection of that name.

    Raises:
        RunNotFoundError: there is none.
    """
    return read(workspace, find(workspace.root, slug))
