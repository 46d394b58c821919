"""What a study will cost, before it is started, and the button that starts it."""

import time

import streamlit as st

from rambo import config as configs
from rambo.config import Config, Settings
from rambo.datasets.prepared import Prepared
from rambo.estimate import costs
from rambo.estimate.costs import Costs
from rambo.estimate.work import DataSizes
from rambo.runs import jobs
from rambo.runs.workspace import Run
from rambo.studies import study
from rambo.text import count, duration, literal
from rambo.ui import allowed, controls, frame, pace, state, visitor
from rambo.ui.configure import cost_card as configure_card
from rambo.ui.studies import costing, records
from rambo.ui.studies.setup import Choices, StudyCheck


def show(now: Choices, checked: StudyCheck, data: Prepared | None, run: Run | None) -> None:
    """Draw the card.

    Args:
        now: what the form holds.
        checked: the same, checked.
        data: the dataset, where it is prepared.
        run: of the address, which stays there.
    """
    with st.container(border=True, key="studies-cost"):
        st.markdown("## What it will cost")
        if checked.cells:
            _estimate(checked, data)
        pressed = st.button(
            "Start the study",
            type="primary",
            icon=":material/play_arrow:",
            key="studies-start",
            width="stretch",
            disabled=not checked.cells or data is None or not visitor.may_edit(),
        )
        if checked.complaints:
            number = count(len(checked.complaints), "thing", "things")
            st.caption(f"Start waits: {number} to put right, named above.")
        elif pressed and data is not None and checked.settings is not None:
            study = _start(now.study, checked.settings, data)
            state.go("pages/studies.py", run.id if run else None, study=study.id)


def _start(name: str, settings: Settings, data: Prepared) -> Run:
    """Return a study that is being worked on: a new one, or the one that a second click meant."""
    config = configs.build(settings)
    allowed.check(config)
    device = controls.device_name(config)
    with visitor.acting("start", more=f"study {name} of {config.dataset.name}") as called:
        run, new = jobs.start_study(
            study.described(name, settings, data),
            records.workspace(),
            lambda: study.create(name, settings, data, state.workspace(), device),
        )
        called(run.id)
    if not new:
        frame.notify("This study is being worked on already: here it is.")
    return run


def _estimate(checked: StudyCheck, data: Prepared | None) -> None:
    """Draw the numbers; as long as the rate is not known, look for it every second."""
    config = configs.build(checked.settings or {})
    sizes = DataSizes.of(config, data) if data is not None else DataSizes()
    counted = costing.whole(checked.cells, sizes)
    waits = data is not None and configure_card.planner().rate(config) is None
    fragment = st.fragment(_numbers, run_every=1.0 if waits else None)
    fragment(config, checked, counted, pace.Turns(), waits=waits, local=data is not None)


def _numbers(
    config: Config,
    checked: StudyCheck,
    counted: Costs,
    turns: pace.Turns,
    *,
    waits: bool,
    local: bool,
) -> None:
    """Draw cells, classifiers and time, and the same in a sentence."""
    with frame.guard():
        seconds, word, source = _time(config, counted, local=local)
        turns.rerun_if(waits and seconds is not None)
        grid = st.grid(3, min_column_width=95)
        grid.metric("Cells", f"{len(checked.cells):,}", help="Each is an ordinary run.")
        grid.metric("To train, at most", f"{counted.total:,}", help="Classifiers, for all cells.")
        grid.metric("Time", word, help="As this machine goes now.")
        st.markdown(costing.sentence(checked.cells, counted, seconds, local=local))
        st.caption(source)


def _time(config: Config, counted: Costs, *, local: bool) -> tuple[float | None, str, str]:
    """Return the expected seconds, the same as a word, and where they come from."""
    planner, now = configure_card.planner(), time.monotonic()
    measured = planner.rate(config)
    if measured is not None:
        rate, at_once = measured
        reason = f", {at_once} at once" if at_once > 1 else ""
        seconds = costs.seconds(counted, rate, at_once)
        source = f"Rate {literal(rate.source)}{reason}. Others at work make it longer."
        return seconds, f"~ {duration(seconds)}", source
    if not local:
        return None, "unknown", "The time is unknown until the dataset is here."
    one = configs.build(configs.describe(config) | {"trials": 1})
    answer = planner.want(one, now)
    if answer is None and planner.tick(now):
        answer = planner.want(one, now)
    if answer is None or answer.plan is not None:
        return None, "…", "Measuring how fast this machine is …"
    reason = literal(answer.complaint, 200)
    return None, "unknown", f"The time is unknown until something was trained here: {reason}."
