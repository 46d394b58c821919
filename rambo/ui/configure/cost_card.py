"""What a run will cost: labels, classifiers to train, time; and the button that starts it.

The counts are arithmetic and there at once. What is kept already, and the rate, come from `rambo.ui.configure.planner`.
"""

import time
from collections.abc import Mapping
from pathlib import Path

import streamlit as st

from rambo.config import Config
from rambo.datasets.prepared import Prepared
from rambo.estimate import costs, outline
from rambo.estimate.costs import Costs
from rambo.estimate.work import DataSizes
from rambo.text import count, duration, literal
from rambo.ui import controls, frame, pace, readers, state, visitor
from rambo.ui.configure import forms, price
from rambo.ui.configure.planner import PlanAnswer, Planner, Rates, too_many

_PLANNER = "configure-planner"
_ROLES = {
    "offline": "for the offline pairs",
    "repeat": "trained twice, to see how often two trainings agree",
    "labeled": "on the labeled pool as it grows",
    "llal": "beside the network of LLAL",
    "guesses": "on half of the validation images too, whose guesses RAMBO+ takes for labels",
    "evaluation": "to judge the choices",
}


def show(config: Config | None, data: Prepared | None, complaints: Mapping[str, str]) -> None:
    """Draw the card with the button that starts the run."""
    with st.container(border=True, key="cost-card"):
        st.markdown("## What it will cost")
        if config is not None and data is not None:
            _estimate(config, data)
            price.show(config, data, _count(config, data))
        _start(config, data, complaints)
    if config is not None and data is not None:
        with st.container(key="outline-card"):
            st.markdown("## What will happen")
            st.write(outline.sentence(config, _count(config, data)))


def promise(config: Config, data: Prepared) -> str | None:
    """Return about how long a run takes here, or None while that is being measured; ask again in a second."""
    counted = _count(config, data)
    seconds = _seconds(config, counted, planner().want(config, time.monotonic()))
    if seconds is None:
        seconds = _seconds(config, counted, _moved_on(config))
    return None if seconds is None else duration(seconds)


def _seconds(config: Config, counted: Costs, answer: PlanAnswer | None) -> float | None:
    """Return the expected time: that of the plan, else from a rate that is known; one number for every page."""
    if answer is not None and answer.plan is not None:
        return answer.plan.seconds
    rate = planner().rate(config)
    return None if rate is None else costs.seconds(counted, *rate)


def planner() -> Planner:
    """Return the planner of this tab."""
    if _PLANNER not in st.session_state:
        root = str(state.workspace().root)
        st.session_state[_PLANNER] = Planner(answers=_answers(root), rates=_rates(root))
    result: Planner = st.session_state[_PLANNER]
    return result


@st.cache_resource(show_spinner=False, max_entries=8)
def _answers(root: str) -> dict[str, PlanAnswer]:
    """Return the answers that all tabs share; the folder of all runs is the key of the cache."""
    return {}


@st.cache_resource(show_spinner=False, max_entries=8)
def _rates(root: str) -> Rates:
    """Return the rates that all tabs share; the folder of all runs is the key of the cache."""
    return Rates(Path(root) / "rates.json")


def _moved_on(config: Config) -> PlanAnswer | None:
    """Return the plan of a config where it is there, after a look at what is at work."""
    now = time.monotonic()
    answer = planner().want(config, now)
    if answer is None and planner().tick(now):
        answer = planner().want(config, now)
    return answer


def _estimate(config: Config, data: Prepared) -> None:
    """Draw the numbers; as long as the plan is not there, look for it every second."""
    counted = _count(config, data)
    waits = not too_many(counted) and _moved_on(config) is None
    st.fragment(_numbers, run_every=1.0 if waits else None)(
        config, counted, pace.Turns(), waits=waits
    )


def _numbers(config: Config, counted: Costs, turns: pace.Turns, *, waits: bool) -> None:
    """Draw labels, classifiers and time; draw the whole page again once the plan that it waits for is there."""
    with frame.guard():
        answer = None if too_many(counted) else _moved_on(config)
        turns.rerun_if(waits and answer is not None)
        plan = answer.plan if answer else None
        missing = counted.total - (plan.cached if plan else 0)
        seconds, source = _time(config, counted, answer)
        grid = st.grid(2, min_column_width=95)
        grid.metric(
            "To learn from", _unit(counted.initial_labels, "label"), help="k: there at the start."
        )
        grid.metric("To buy", _unit(counted.labels_bought, "label"), help="B: all in one round.")
        grid.metric("To train", _unit(missing, "classifier"), help=_roles(counted))
        grid.metric(
            "Time",
            seconds,
            help="As this machine goes now; others at work make it longer.",
        )
        st.caption(_reuse(counted, answer))
        st.caption(source)


def _unit(number: int, noun: str) -> str:
    """Return a number with its unit in small letters."""
    return f"{number:,} :small[{noun}{'' if number == 1 else 's'}]"


def _time(config: Config, counted: Costs, answer: PlanAnswer | None) -> tuple[str, str]:
    """Return the expected time and where it comes from, in words."""
    seconds = _seconds(config, counted, answer)
    if answer is not None and answer.plan is not None:
        plan = answer.plan
        at_once = f", {plan.jobs} at once" if plan.jobs > 1 else ""
        source = literal(plan.rate.source)
        where = f"On {_device(plan.device)}{at_once}"
        return duration(seconds), f"{_stages(plan.stages)}{where}; rate {source}."
    measured = planner().rate(config)
    if measured is not None:
        rate, _ = measured
        text = f"About, from what was measured before ({literal(rate.source)}); being looked up …"
        if too_many(counted) or answer is not None:
            text = f"About, from what was measured before ({literal(rate.source)})."
        return f"~ {duration(seconds)}", text
    if too_many(counted):
        return (
            "unknown",
            "So many trainings are not looked up; take fewer pairs or trials for an estimate.",
        )
    if answer is not None:
        return "unknown", f"The time could not be measured: {literal(answer.complaint, 200)}."
    return "…", "Measuring how fast this machine is …"


def _reuse(counted: Costs, answer: PlanAnswer | None) -> str:
    """Return how many of the trainings are there already."""
    if answer is not None and answer.plan is not None:
        cached = answer.plan.cached
        if cached:
            return f"Of {count(counted.total, 'classifier')}, **{cached:,} are trained already** and are used again."
        return "None of them is trained already."
    if answer is not None or too_many(counted):
        return "What was trained before was not looked up."
    return "Looking up what is trained already …"


def _stages(stages: Mapping[str, float]) -> str:
    """Return the seconds of the stages in words."""
    named = [f"{name} {duration(seconds)}" for name, seconds in stages.items() if seconds >= 1]
    return f"{', '.join(named).capitalize()}. " if named else ""


def _roles(counted: Costs) -> str:
    """Return what the classifiers are for."""
    parts = [
        f"{role.count:,} {_ROLES[name]}" for name, role in counted.trainings.items() if role.count
    ]
    return "  \n".join(parts)


def _device(kind: str) -> str:
    """Return what people call a device."""
    devices = readers.devices()
    return literal(devices.names.get(kind, kind) if devices else kind.upper())


def _count(config: Config, data: Prepared) -> Costs:
    """Return what a run takes."""
    return costs.count(config, DataSizes.of(config, data))


def _start(config: Config | None, data: Prepared | None, complaints: Mapping[str, str]) -> None:
    """Draw the button, and why it cannot be pressed."""
    for path, words in complaints.items():
        st.markdown(f":red[:material/error:] {forms.complaint_line(path, words)}")
    pressed = st.button(
        "Start",
        type="primary",
        icon=":material/play_arrow:",
        key="configure-start",
        shortcut="Ctrl+Enter",
        wrap=False,
        width="stretch",
        disabled=config is None or data is None or not visitor.may_edit(),
    )
    if config is None or data is None:
        number = len(complaints)
        st.caption(f"Start waits: {count(number, 'thing', 'things')} to put right, named above.")
        return
    rehearsed = data.partly_labeled and st.button(
        "Rehearse on my labels first",
        icon=":material/theater_comedy:",
        key="configure-rehearse",
        width="stretch",
        help="Plays the same budget, made smaller, inside the images you labeled, with their labels hidden: so you "
        "see on your own images which strategy wins, before you pay.",
    )
    if pressed or rehearsed:
        run = controls.rehearse(config, data) if rehearsed else controls.start(config, data)
        planner().forget()
        state.go("pages/train.py", run.id)
