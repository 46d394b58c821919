"""The Train page's body: one fragment that ticks each second while a run is worked on, and rests when it is not."""

import functools
import time

import streamlit as st

from rambo.config import Config
from rambo.errors import RamboError
from rambo.figures import curves, rivals, theme
from rambo.figures.charts import CHARTS, Chart
from rambo.runs import jobs, line, paths
from rambo.runs.run import Worker
from rambo.runs.workspace import Run
from rambo.storage import pulse
from rambo.text import count, literal, percent
from rambo.ui import controls, downloads, frame, pace, readers, state, takeaway, terms, visitor
from rambo.ui.batch import batch_data, images_view
from rambo.ui.components import plot
from rambo.ui.train import outcome, stepper
from rambo.ui.train.feed import Feed, Glance, feed
from rambo.ui.train.sentences import ago, remaining

_SILENT = 120.0  # seconds without an event after which a person should look
_QUIET = 3.0  # seconds after which it is said how far a classifier is inside
_HEIGHT = 320
_ENDINGS = {
    "stopped": "Stopped on request. Everything that was finished is kept; Resume goes on from there.",
    "interrupted": "Stopped unexpectedly: the worker process is gone, killed or switched off. Everything that was "
    "finished is kept; Resume goes on from there.",
}


def show(run: Run) -> None:
    """Draw the run, and keep it up to date while it is worked on."""
    live = readers.status(run)[0] in jobs.LIVE
    st.fragment(_body, run_every=pace.every(1) if live else None)(run, live)
    if not live:
        pace.await_news(lambda: readers.status(run))


def _body(run: Run, live: bool) -> None:
    """Draw everything that changes; the page is drawn anew once when a run ends or begins."""
    with frame.guard():
        status, message = readers.status(run)
        if (status in jobs.LIVE) != live:
            st.rerun()
        # Places that never move: a chart below them would be drawn anew.
        top, steps, grid, foot = (st.container() for _ in range(4))
        if status == "unreadable":
            with top:
                st.error(literal(message, 500), icon=":material/broken_image:")
                controls.run_controls(run)
            return
        events = feed(run)
        view = events.look(status, time.time())
        with top:
            _show_state(run, status, message, view, events)
        with steps:
            trial = _pick_trial(run, view)
            st.html(stepper.table(events.cells(trial), live=status == "running"))
            for notice in view.notices[-3:]:
                st.caption(f":material/info: {literal(notice, 300)}")
        with grid:
            if pick_depth():
                _show_charts(run, events, trial)
            else:
                _show_plain(run, events, trial)
        with foot:
            controls.show_log(run, status)


def _show_state(run: Run, status: str, message: str, view: Glance, events: Feed) -> None:
    """Say how the run stands, in words, and offer what can be done."""
    with st.container(horizontal=True, vertical_alignment="center"):
        frame.badge(status)
        with st.container(horizontal=True, horizontal_alignment="right"):
            if _is_new(run, status):
                st.button(
                    "Start",
                    type="primary",
                    on_click=_start,
                    args=(run,),
                    key="start-new",
                    disabled=not visitor.may_edit(),
                )
            controls.run_buttons(run)
    match status:
        case "queued":
            st.markdown(_waiting(run))
            st.progress(view.progress)
        case "running":
            _show_progress(run, view)
        case "done":
            _show_outcome(run, events)
        case _:
            text = literal(message, 500) if status == "failed" else _ENDINGS[status]
            box = st.error if status in ("failed", "interrupted") else st.info
            box(text)
            st.progress(view.progress, f"{percent(view.progress, 0)} was done")


_WAITS = (
    "**Batch chosen, waiting for labels.** Nobody knows the labels of these images yet, so no accuracy is measured. "
    "Take the batch from the page Batch, have it labeled, and bring the labels back."
)


_STOPPING = "**Stopping:** the unit in flight is finished first, at most ten seconds."


def _show_progress(run: Run, view: Glance) -> None:
    """Say what a working run does and how long it still takes."""
    stopping = _stopping(run)
    st.markdown(_STOPPING if stopping else f"**{literal(view.sentence, 300)}**")
    if view.remaining is None:
        rest = "the time left is named as soon as it is measured"
    elif view.remaining == 0:
        rest = "takes a little longer than expected"
    else:
        rest = remaining(view.remaining)
    news = "nothing heard yet" if view.news is None else f"last event {ago(view.news)}"
    inside = inside_words(run) if view.silent > _QUIET else ""
    st.progress(view.progress, f"{percent(view.progress, 0)} · {rest} · {news}{inside}")
    if view.silent > _SILENT and not stopping and not inside:
        st.info(
            f"No progress for {view.silent:.0f} s: one classifier takes long, or this machine is busy. The worker is "
            "alive, and nothing is lost by waiting.",
            icon=":material/hourglass_top:",
        )


def inside_words(run: Run) -> str:
    """Return how far the classifiers at work are, or an empty text where none has said anything lately."""
    beat = pulse.read(paths.pulse(run.folder))
    if beat is None or beat.age_seconds > _SILENT:
        return ""
    who = "classifier" if beat.together == 1 else f"furthest of {beat.together:,} classifiers"
    # A network may end before; a logistic head makes every iteration.
    most = "at most " if beat.unit == "epoch" else ""
    return f" · the {who} at work: {beat.unit} {beat.step:,} of {most}{beat.total:,}"


def _show_outcome(run: Run, events: Feed) -> None:
    """Say what was chosen, how good it was, and where to look next."""
    summary = readers.summary(run)
    st.success(
        outcome.chosen(readers.config(run), events.unlabeled), icon=":material/check_circle:"
    )
    accuracies = rivals.evaluated(summary.results)
    if readers.waits(run):
        st.info(_WAITS, icon=":material/new_label:")
    if sentence := readers.rehearsal_verdict(run):
        st.markdown(f"**{literal(sentence, 500)}**")
    if accuracies:
        st.caption("Test accuracy of a fresh classifier on the labels at hand and those chosen by:")
    with st.container(horizontal=True, gap="small", key="train-metrics"):
        for name, text, tooltip in stepper.metrics(accuracies):
            st.metric(name, text, help=tooltip, width="content")
    words = [*outcome.verdict(summary), outcome.rounds(events.audits())]
    st.markdown(literal(" ".join(words).strip(), 900))
    with st.container(horizontal=True):
        state.link("pages/batch.py", run.id, "See the chosen images")
        if readers.waits(run):
            state.link("pages/label.py", run.id, "Label them")
        state.link("pages/compare.py", run.id, "Compare the strategies")


def _waiting(run: Run) -> str:
    """Say where in line a queued run stands."""
    if _is_new(run, "queued"):
        return "**Nobody works on this run yet.** Start it here."
    if _stopping(run):
        return _STOPPING
    lines = line.standing(run.folder.parent)
    for device, ids in lines.items():
        if run.id in ids and (ahead := ids.index(run.id)):
            sentence = (
                f"**In line for the {literal(device.upper())}: {count(ahead, 'run')} ahead.**"
            )
            return f"{sentence} {literal(ids[0])} is being worked on."
    # A worker draws its ticket once its libraries are loaded; until then others may stand where it will.
    device = readers.environment(run).device or "cpu"
    ids = lines.get(device, [])
    if ids and run.id not in ids:
        return f"**In line:** {literal(ids[0])} is being worked on."
    return "**Starting:** a worker process loads its libraries; this takes some seconds."


def _is_new(run: Run, status: str) -> bool:
    """Return whether a queued run was never given to a worker."""
    return status == "queued" and run.worker == Worker(None, None) and not run.locked()


def _stopping(run: Run) -> bool:
    """Return whether a stop was asked for."""
    try:
        return run.stop_requested()
    except RamboError:
        return False


def _start(run: Run) -> None:
    """Give a new run to a worker."""
    with frame.calmly(), visitor.acting("start", run.id):
        jobs.resume(run)


def _pick_trial(run: Run, view: Glance) -> int:
    """Return the trial to show: the one that is worked on, or a person's choice."""
    if view.trials == 1:
        return 0
    choices = ["newest", *range(view.trials)]
    chosen = st.selectbox(
        "Trial",
        choices,
        format_func=lambda t: f"newest ({view.trial + 1})" if t == "newest" else f"{t + 1}",
        key=f"trial-{run.id}",
        width=200,
    )
    return view.trial if chosen == "newest" else int(chosen)


def trial_of(run: Run) -> int | None:
    """Return the trial that a person picked, from 0, or None."""
    chosen = st.session_state.get(f"trial-{run.id}")
    return chosen if isinstance(chosen, int) else None


def pick_depth() -> bool:
    """Return whether the charts for researchers are shown, or the plain picture; it stands in the address."""
    return st.toggle(
        "Show the research charts",
        key="research",
        bind="query-params",
        help="Every curve of the training: losses, penalties, transport, each pair of sets.",
    )


def _show_plain(run: Run, events: Feed, trial: int) -> None:
    """Draw one chart over the whole width, and what was chosen so far as pictures."""
    config = readers.config(run)
    strategies = config.strategies
    if "rambo" in strategies:
        _show_chart(run.id, config, events, CHARTS[0], trial)
    strategy = "rambo" if "rambo" in strategies else strategies[0]
    batch = batch_data.load(run, trial, strategy)
    if batch is None or not batch.count:
        st.caption("The chosen images appear here as soon as there are some.")
        return
    budget = config.budget
    st.markdown(
        f"**Chosen by {theme.strategy_word(strategy)}:** {batch.count:,} of {budget:,} images"
    )
    images_view.show_plain(batch)


def _show_charts(run: Run, events: Feed, trial: int) -> None:
    """Draw the charts in two columns, the last over the whole width."""
    config = readers.config(run)
    if "rambo" not in config.strategies:
        st.info(
            "The strategies of this run learn nothing, so there are no curves. Add RAMBO on Configure to see some.",
            icon=":material/show_chart:",
        )
        return
    *pairs, wide = CHARTS
    with st.container(key="train-charts"):
        for start in range(0, len(pairs), 2):
            for column, chart in zip(st.columns(2), pairs[start : start + 2], strict=False):
                with column:
                    _show_chart(run.id, config, events, chart, trial)
    _show_chart(run.id, config, events, wide, trial)
    downloads.button(
        "Download figures as HTML",
        functools.partial(figures_page, events, config, run.id),
        f"{run.id}-figures.html",
        "text/html",
        icon=":material/download:",
        key="figures-html",
        help="All charts of all trials in one file that opens in any browser. One chart as PNG: the camera above it.",
    )


def _show_chart(run_id: str, config: Config, events: Feed, chart: Chart, trial: int) -> None:
    """Draw one chart with its words, or say when it will be there."""
    with st.container(border=True, height="stretch"):
        st.markdown(f"**{literal(chart.title)}**")
        missing = chart.missing(config)
        draw, variant = chart.draw, ""
        linear = chart.name == "losses" and not st.session_state.get("log-losses", True)
        if linear:
            draw, variant = functools.partial(curves.losses, logarithmic=False), "-linear"
        figure = None if missing else events.figure(chart, trial, draw, variant)
        if figure is None:
            st.html(stepper.empty(missing or chart.waits, _HEIGHT))
        else:
            name = f"{run_id}-{chart.name}"
            plot(figure, key=f"chart-{chart.name}", alt=chart.alt, height=_HEIGHT, file_name=name)
        terms.caption(chart.caption)
        if figure is not None and chart.name == "losses" and events.spans_widely(trial):
            st.toggle("Logarithmic scale", value=True, key="log-losses")


def figures_page(events: Feed, config: Config, run_id: str) -> bytes:
    """Return all charts of all trials as one HTML file."""
    sections = []
    for trial in range(config.trials):
        for chart in CHARTS:
            figure = events.figure(chart, trial, chart.draw)
            if figure is not None and not chart.missing(config):
                prefix = f"Trial {trial + 1}. " if config.trials > 1 else ""
                sections.append((prefix + chart.title, chart.caption, figure))
    return takeaway.page(f"RAMBO, run {run_id}", sections)
