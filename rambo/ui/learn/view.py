"""The page Learn: a menu of steps, and the step in the address."""

import streamlit as st

from rambo.ui import frame, terms
from rambo.ui.learn import steps, terms_view
from rambo.ui.learn.parts import Step

TERMS = "terms"


def show() -> None:
    """Draw the menu and the step."""
    titles = {step.name: f"{number}. {step.title}" for number, step in enumerate(steps.STEPS, 1)}
    titles[TERMS] = "All terms"
    names = list(titles)
    if st.session_state.get("learn-step") not in names:
        requested = st.query_params.get("step")
        st.session_state["learn-step"] = requested if requested in names else names[0]
    name = st.segmented_control(
        "Step",
        names,
        required=True,
        key="learn-step",
        format_func=lambda option: titles.get(option, option),
        label_visibility="collapsed",
    )
    assert name is not None  # required
    _write(name, first=name == names[0])
    if name == TERMS:
        st.header("All terms")
        terms_view.show()
    else:
        step = steps.STEPS[names.index(name)]
        _step(step)
    _turn(names, names.index(name))


def _step(step: Step) -> None:
    """Draw one step: what one finds out, the things to move, what to notice, where it stands."""
    st.header(step.title)
    st.markdown(step.question)
    with st.container(key=f"learn-step-{step.name}"):
        _live(step.name)
    st.info(f"**Notice:** {step.notice}", icon=":material/visibility:")
    st.caption(f"In the paper: {step.paper}. In the code: `{step.code}`.")
    terms.strip(*step.terms, lead="Symbols")


@st.fragment
def _live(name: str) -> None:
    """Draw what moves; a move reruns this part alone."""
    with frame.guard():
        next(step for step in steps.STEPS if step.name == name).show()


def _turn(names: list[str], at: int) -> None:
    """Draw the buttons to the step before and the step after."""
    with st.container(horizontal=True):
        for label, to, icon, shortcut in (
            ("Back", at - 1, ":material/arrow_back:", "Ctrl+Left"),
            ("Next", at + 1, ":material/arrow_forward:", "Ctrl+Right"),
        ):
            st.button(
                label,
                key=f"learn-{label.lower()}",
                icon=icon,
                disabled=not 0 <= to < len(names),
                on_click=_go,
                args=(names[to % len(names)],),
                shortcut=shortcut,
                help="Another step. Arrow keys move a slider by one.",
            )


def _go(name: str) -> None:
    """Open a step."""
    st.session_state["learn-step"] = name


def _write(name: str, *, first: bool) -> None:
    """Put the step into the address, and take out what belongs to another one."""
    mine = next((step.keys for step in steps.STEPS if step.name == name), ())
    for key in {key for step in steps.STEPS for key in step.keys} - set(mine):
        if key in st.query_params:
            del st.query_params[key]
    if not first:
        st.query_params["step"] = name
    elif "step" in st.query_params:
        del st.query_params["step"]
