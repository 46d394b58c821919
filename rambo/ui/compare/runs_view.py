"""Several runs side by side: what differs in their settings, how good they are, how much their choices share."""

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from rambo import config as configs
from rambo.config import Config
from rambo.errors import shorten
from rambo.figures import rivals, theme
from rambo.runs import jobs
from rambo.runs.atlas import Indices
from rambo.runs.run import Description
from rambo.runs.workspace import Run
from rambo.text import count, literal, moment
from rambo.ui import frame, pace, readers, state
from rambo.ui.batch import batch_data
from rambo.ui.components import plot
from rambo.ui.configure import forms
from rambo.ui.configure.fields import FIELDS

MOST = 4  # runs beside the one of the page
_FIELDS = 12  # choices in one overlap
_MISSING = "-"


def show(run: Run) -> None:
    """Let a person pick other runs, and lay them beside the one of the page."""
    records = {record.run: record for record in readers.runs() if record.status != "unreadable"}
    others = [name for name in records if name != run.id]
    st.header("Beside other runs")
    if not others:
        st.caption(
            "There is no other run yet: duplicate this one with one setting changed, on Configure."
        )
        return
    key = f"compare-runs-{run.id}"
    if key not in st.session_state:
        typed = st.query_params.get("with", "").split(",")
        st.session_state[key] = [name for name in typed if name in others][:MOST]
    picked = st.multiselect(
        "Other runs",
        others,
        key=key,
        max_selections=MOST,
        format_func=lambda name: _long_name(records[name]),
        placeholder="Choose up to four",
        help="Any runs: settings that differ, accuracies, and the overlap of what was chosen from the same images.",
    )
    _to_address(picked)
    if picked:
        live = any(
            records[name].status in jobs.LIVE for name in (run.id, *picked) if name in records
        )
        st.fragment(_show_runs, run_every=3 if live else None)([run.id, *picked])
        if not live:
            pace.await_news(
                lambda: [r.status for r in readers.runs() if r.run in (run.id, *picked)]
            )


def _to_address(picked: Sequence[str]) -> None:
    """Put the picked runs into the address, so that a link shows them."""
    if picked:
        st.query_params["with"] = ",".join(picked)
    elif "with" in st.query_params:
        del st.query_params["with"]


def _show_runs(ids: Sequence[str]) -> None:
    """Draw the runs; while one of them is at work this is a race."""
    with frame.guard():
        runs = [state.find_run(name) for name in ids]
        names = {run.id: f"Run {number}" for number, run in enumerate(runs, 1)}
        for run in runs:
            _show_name(names[run.id], run)
        settings = settings_diff({names[run.id]: readers.config(run) for run in runs})
        if settings.empty:
            st.caption("Their settings are the same.")
        else:
            st.markdown("**Settings that differ**")
            st.dataframe(settings, hide_index=True, width="stretch", height="content")
        table = pd.concat([_accuracies(names[run.id], run) for run in runs])
        if not table.empty:
            st.markdown("**Test accuracies**")
            st.dataframe(table, hide_index=True, width="stretch", height="content")
        _show_overlap(names, runs)


def _show_name(name: str, run: Run) -> None:
    """Say which run stands behind a number, and how far it is."""
    with st.container(horizontal=True, vertical_alignment="center"):
        config = readers.config(run)
        st.markdown(
            f"**{name}**: {literal(shorten(run.id, 80))}, {count(config.trials, 'trial')}",
            width="content",
        )
        status = readers.status(run)[0]
        frame.badge(status)
        now = readers.progress(run) if status in jobs.LIVE else None
        if now is not None:
            st.progress(now.share, text=now.words())


def settings_diff(by_name: Mapping[str, Config]) -> pd.DataFrame:
    """Return the settings in which configs differ, a row a field and a column a config; no row where all agree."""
    flat = {name: dict(configs.flatten(configs.describe(one))) for name, one in by_name.items()}
    fields = dict.fromkeys(field for own in flat.values() for field in own)
    rows = []
    for field in fields:
        values = {name: own.get(field, _MISSING) for name, own in flat.items()}
        if len(set(map(str, values.values()))) > 1:
            title = FIELDS[field].title if field in FIELDS else field
            words = {name: forms.say(field, value, shorten) for name, value in values.items()}
            rows.append({"setting": title} | words)
    return pd.DataFrame(rows)


def _accuracies(name: str, run: Run) -> pd.DataFrame:
    """Return the test accuracy of every strategy of a run in words; empty before the first."""
    by_strategy = rivals.evaluated(readers.summary(run).results)
    rows = [
        {"run": name, "strategy": theme.strategy_word(strategy)}
        | {"test accuracy": accuracy.words(), "trials": accuracy.trials}
        for strategy, accuracy in by_strategy.items()
    ]
    return pd.DataFrame(rows)


def _show_overlap(names: Mapping[str, str], runs: Sequence[Run]) -> None:
    """Draw how much the choices of the first trials share, where all runs chose from the same images."""
    images = {readers.environment(run).dataset.fingerprint for run in runs}
    if len(images) > 1:
        st.caption("They chose from different images, so no choice can be in both.")
        return
    choices: dict[str, Indices] = {}
    for run in runs:
        for strategy in batch_data.ready(run, 0):
            ids = readers.selection(run, 0, strategy)["dataset_index"].to_numpy()
            choices[f"{theme.strategy_word(strategy)}, {names[run.id]}"] = ids
    if len(choices) < 2:
        st.caption("The overlap comes when two of them have chosen.")
        return
    listed = list(choices)
    picked = st.pills(
        "Choices of the first trial",
        listed,
        default=_first_of_each(listed),
        selection_mode="multi",
        key=f"compare-choices-{hash(tuple(names))}",
    )
    visible = {name: choices[name] for name in listed if name in picked}
    if len(visible) < 2:
        return
    plot(
        rivals.overlap_figure(visible),
        key=f"compare-runs-overlap-{len(visible)}",
        height=120 + 44 * len(visible),
        alt=f"Jaccard index between {len(visible)} choices of the first trial.",
        file_name="rambo-overlap",
    )
    if len({readers.config(run).seed for run in runs}) > 1:
        st.caption(
            "Their seeds differ, so they began with other labels: even one strategy then chooses otherwise."
        )


def _first_of_each(names: Sequence[str]) -> list[str]:
    """Return as many choices as one figure holds, every run's first ones."""
    runs = list(dict.fromkeys(name.rpartition(", ")[2] for name in names))
    each = max(1, _FIELDS // 2 // len(runs))
    own = [[name for name in names if name.endswith(f", {run}")][:each] for run in runs]
    return [name for group in own for name in group]


def _long_name(record: Description) -> str:
    """Return what to call a run in the picker."""
    dataset = shorten(record.dataset or "", 40).rpartition("/")[2]
    size = f"k {record.k}, B {record.budget}"
    return f"{moment(record.created, year=False)} · {record.run[-4:]} · {dataset} · {size}"
