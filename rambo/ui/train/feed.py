"""What the Train page knows of a run: fed with new events only, shared by all its viewers, safe between threads."""

import dataclasses
import os
import threading
from collections.abc import Callable

import streamlit as st

from rambo import config as configs
from rambo.errors import RamboError
from rambo.estimate.work import DataSizes
from rambo.estimate.workload import Where, plan
from rambo.events import Noticed, RankingAudited
from rambo.figures.charts import Chart
from rambo.figures.curves import Kinds, spans_widely
from rambo.figures.prepared import Figure
from rambo.runs import paths
from rambo.runs.record import StoredEvent
from rambo.runs.workspace import Run
from rambo.storage.unchanged import Unchanged
from rambo.ui import readers
from rambo.ui.components import PreparedFigure, prepare_figure
from rambo.ui.train.sentences import doing
from rambo.ui.train.stages import StageCell, Tracker


@dataclasses.dataclass(frozen=True)
class Glance:
    """Where a run stands.

    Attributes:
        trials: of the run.
        trial: that is worked on, from 0.
        progress: share of all work.
        remaining: seconds, or None while too little was measured.
        silent: seconds without an event since the run began to work.
        news: seconds since the newest event, or None before the first.
        sentence: what it does.
        notices: rules that were applied and that a person should know of.
    """

    trials: int
    trial: int
    progress: float
    remaining: float | None
    silent: float
    news: float | None
    sentence: str
    notices: tuple[str, ...]


class _Part:
    """The events of one strategy on one trial, of its newest attempt."""

    def __init__(self, attempt: int) -> None:
        """Begin before the first event."""
        self.attempt = attempt
        self.kinds = Kinds()
        self.figures: dict[str, tuple[tuple[int, ...], PreparedFigure | None]] = {}


class Feed:
    """Everything the events of a run say, kept up to date at the price of the new ones."""

    def __init__(self, run: Run) -> None:
        """Begin before the first event."""
        self._run = run
        self._guard = threading.RLock()
        self._parts: dict[Where, _Part] = {}
        self._seq = 0
        self._gate = Unchanged[None](1)
        config = readers.config(run)
        on_cpu = readers.environment(run).device in (None, "cpu")
        jobs = config.compute.jobs or os.cpu_count() or 1
        sizes = _sizes(run, config)
        self.unlabeled = sizes.pool - config.k if sizes.pool else None
        self._tracker = Tracker(plan(config, sizes, jobs if on_cpu else 1))
        self._notices: list[str] = []
        self._status, self._since = "", 0.0

    def refresh(self) -> None:
        """Read what is new, where anything may be."""
        with self._guard:
            self._gate.get(paths.record_files(self._run.folder), self._read)

    def _read(self) -> None:
        """Read what is new."""
        fresh = self._run.events(self._seq)
        for entry in fresh:
            self._take(entry)
        self._tracker.feed(fresh)
        if fresh:
            self._seq = fresh[-1].seq

    def look(self, status: str, now: float) -> Glance:
        """Return where the run stands.

        Args:
            status: of the run; silence counts from when it began to work.
            now: seconds since 1970.
        """
        with self._guard:
            if status != self._status:
                self._status, self._since = status, now
            tracker = self._tracker
            news = tracker.last_time
            return Glance(
                trials=tracker.plan.trials,
                trial=tracker.where[0] or 0,
                progress=tracker.progress,
                remaining=tracker.remaining(now),
                silent=max(now - max(news or 0.0, self._since), 0.0),
                news=None if news is None else max(now - news, 0.0),
                sentence=doing(tracker),
                notices=tuple(self._notices),
            )

    def cells(self, trial: int) -> dict[str, dict[str, StageCell]]:
        """Return the stepper of a trial: strategy -> stage -> cell."""
        with self._guard:
            return self._tracker.cells(trial)

    def figure(
        self, chart: Chart, trial: int, draw: Callable[[Kinds], Figure | None], variant: str = ""
    ) -> PreparedFigure | None:
        """Return a chart of `rambo` on a trial; made again only when one of its events came.

        Args:
            chart: which.
            trial: from 0.
            draw: `chart.draw`, or the same with other options.
            variant: tells these options apart.
        """
        with self._guard:
            part = self._parts.get((trial, "rambo"))
            if part is None:
                return None
            stamp = tuple(len(part.kinds.of(kind)) for kind in chart.reads)
            name = f"{chart.name}{variant}"
            before = part.figures.get(name)
            if before is None or before[0] != stamp:
                figure = draw(part.kinds)
                before = stamp, prepare_figure(figure) if figure else None
                part.figures[name] = before
            return before[1]

    def audits(self) -> list[tuple[RankingAudited, RankingAudited]]:
        """Return what held-out pairs said of u_hat after its warm start and after the last round, a trial each."""
        with self._guard:
            series = [
                part.kinds.of(RankingAudited)
                for (_, name), part in self._parts.items()
                if name == "rambo"
            ]
        judged = [[audit for audit in own if audit.accuracy is not None] for own in series]
        return [(own[0], own[-1]) for own in judged if len(own) > 1]

    def spans_widely(self, trial: int) -> bool:
        """Return whether the losses of a trial ask for a logarithmic axis."""
        with self._guard:
            part = self._parts.get((trial, "rambo"))
            return part is not None and spans_widely(part.kinds)

    def _take(self, entry: StoredEvent) -> None:
        """File one event; a newer attempt takes the place of an older one."""
        part = self._parts.get(entry.place)
        if part is None or part.attempt < entry.attempt:
            part = self._parts[entry.place] = _Part(entry.attempt)
        part.kinds.add(entry.event)
        if isinstance(entry.event, Noticed) and entry.event.message not in self._notices:
            self._notices.append(entry.event.message)


def feed(run: Run) -> Feed:
    """Return the feed of a run, up to date.

    Raises:
        RamboError: the run is damaged, or of a version that is not understood.
    """
    result = _feed(str(run.folder), run.created())
    result.refresh()
    return result


@st.cache_resource(show_spinner=False, max_entries=32)
def _feed(folder: str, created: str) -> Feed:
    """Return the feed; the arguments are the key of the cache."""
    return Feed(readers.run_in(folder))


def _sizes(run: Run, config: configs.Config) -> DataSizes:
    """Return the sizes of the run's dataset, as far as they can be had."""
    try:
        return DataSizes.of(config, readers.dataset(run))
    except RamboError:
        return DataSizes(classes=len(readers.environment(run).classes) or 10)
