"""The form of a new study. It keeps what was typed while other pages are looked at."""

import streamlit as st

from rambo import lineup
from rambo.config import Settings
from rambo.errors import ConfigError
from rambo.figures import theme
from rambo.runs.report import FEWEST
from rambo.studies.grid import STUDIES
from rambo.text import literal
from rambo.ui import collections, library
from rambo.ui.configure import dataset_line, draft, fields
from rambo.ui.configure.dataset_line import OpenDataset
from rambo.ui.studies import setup
from rambo.ui.studies.setup import Choices, StudyCheck

_CHOICES = "studies-choices"
_FIRST_SOURCE = "quick"
_SOURCE_WORDS = {setup.CONFIGURE: "As in Configure"}
_SOURCE_HELP = {
    "demo": "A first look: 200 labels to buy.",
    "quick": "The paper's sizes with 60 offline pairs instead of 500.",
    "paper": "The paper's constants for the dataset, 500 offline pairs, 10 trials: hours or days.",
    "paper-ablation": "Those of the paper's ablation, Tables 1 and 3 to 5: for colour images k is 3,500.",
    setup.CONFIGURE: "All settings as they stand on the page Configure.",
}
_LABELS = {
    "trials": "Trials",
    "k": "Labels you hold (k)",
    "budget": "Labels to buy (B)",
    "seed": "Seed",
}
_HELP = {
    "trials": f"Fewer than {FEWEST} cannot be evidence. All cells share their seeds, so they are compared in pairs.",
    "k": fields.FIELDS["k"].help,
    "budget": fields.FIELDS["budget"].help,
    "seed": fields.FIELDS["seed"].help,
}


def choices() -> Choices:
    """Return what this tab's form holds now."""
    values = _values()
    for name in values:
        if _key(name) in st.session_state:
            values[name] = st.session_state[_key(name)]
    strategies = tuple(name for name in lineup.names() if name in values["strategies"])
    return Choices(**values | {"strategies": strategies})


def show_questions() -> None:
    """Draw the studies to choose from."""
    st.radio(
        "Question",
        list(STUDIES),
        format_func=lambda name: (
            f"**{literal(STUDIES[name].title)}** · {literal(STUDIES[name].source)}"
        ),
        captions=[literal(kind.question, 300) for kind in STUDIES.values()],
        label_visibility="collapsed",
        **_bound("study"),
    )


def show_settings(now: Choices, opened: OpenDataset, checked: StudyCheck) -> None:
    """Draw dataset, preset and numbers, each with what is wrong with it."""
    _dataset(now)
    dataset_line.show(now.dataset, opened)
    _complaint(checked, "dataset.name")
    st.segmented_control(
        "Start from",
        setup.SOURCES,
        required=True,
        format_func=lambda name: _SOURCE_WORDS.get(name, name.capitalize()),
        on_change=_fill,
        help="  \n".join(f"**{name}**: {words}" for name, words in _SOURCE_HELP.items()),
        **_bound("source"),
    )
    _complaint(checked, "source")
    numbers = st.grid(2, min_column_width=140)
    for name in setup.NUMBERS:
        with numbers.cell(), st.container(gap="xxsmall"):
            st.number_input(
                _LABELS[name],
                value=None,
                step=1,
                format="%d",
                placeholder="empty",
                help=_HELP[name],
                **_bound(name),
            )
            _complaint(checked, name)
    _strategies(now, checked)
    _rest(checked)


def _dataset(now: Choices) -> None:
    """Draw the choice of the dataset."""
    options = library.names()
    more = [now.dataset] if now.dataset and now.dataset not in options else []
    st.selectbox(
        "Dataset",
        options + more,
        format_func=collections.label,
        accept_new_options=True,
        on_change=_fill_for_dataset,
        help=fields.FIELDS["dataset.name"].help,
        **_bound("dataset"),
    )


def _strategies(now: Choices, checked: StudyCheck) -> None:
    """Draw the strategies, for studies that leave them open."""
    if setup.names_strategies(now.study):
        st.caption("Who chooses is part of this question: there is nothing to pick.")
        return
    words = "  \n".join(
        f"**{literal(strategy.word)}**: {literal(strategy.help, 300)}"
        for strategy in map(lineup.of, lineup.names())
    )
    st.pills(
        "Strategies",
        lineup.names(),
        selection_mode="multi",
        format_func=theme.strategy_word,
        help=words,
        **_bound("strategies"),
    )
    _complaint(checked, "strategies")


def _rest(checked: StudyCheck) -> None:
    """Say what is wrong in fields that this form does not show."""
    visible = {"dataset.name", "source", "strategies", *setup.NUMBERS}
    for path, words in checked.complaints.items():
        if path not in visible:
            where = "" if path == "study" else f"{path}, set on Configure: "
            _red(f"{where}{words}")


def _complaint(checked: StudyCheck, name: str) -> None:
    """Say under a field what is wrong with it."""
    if name in checked.complaints:
        _red(checked.complaints[name])


def _red(words: str) -> None:
    """Draw a complaint."""
    st.markdown(f":small[:red[:material/error: {literal(words, 400)}]]")


def _values() -> Settings:
    """Return what the form remembers; at first the quick comparison on the shipped images."""
    if _CHOICES not in st.session_state:
        first: Settings = {
            "study": next(iter(STUDIES)),
            "source": _FIRST_SOURCE,
            "dataset": library.SHIPPED,
        }
        first["strategies"] = ["rambo", *lineup.CONTROLS]
        st.session_state[_CHOICES] = first | _numbers(_FIRST_SOURCE, library.SHIPPED)
    values: Settings = st.session_state[_CHOICES]
    return values


def _numbers(source: str, dataset: str) -> Settings:
    """Return the numbers of a source."""
    values = setup.base(source, dataset, draft.current().values)
    return {name: values[name] for name in setup.NUMBERS}


def _fill() -> None:
    """Put the numbers of the source that was clicked into the form."""
    now = choices()
    try:
        changes: Settings = _numbers(now.source, now.dataset)
    except ConfigError:
        return  # the form says why
    if now.source == setup.CONFIGURE:
        values = draft.current().values
        chosen = [name for name in lineup.names() if name in values["strategies"]]
        changes |= {"strategies": chosen, "dataset": values["dataset.name"]}
    else:
        changes.pop("seed")  # a preset has no opinion on it
    _put(changes)


def _fill_for_dataset() -> None:
    """Put the paper's numbers for another dataset into the form; other sources have the same for all."""
    if choices().source == "paper":
        _fill()


def _put(changes: Settings) -> None:
    """Show other values; from a callback only."""
    _values().update(changes)
    for name, value in changes.items():
        st.session_state[_key(name)] = value


def _bound(name: str) -> Settings:
    """Return the key of a field's widget, which holds what the form remembers."""
    if _key(name) not in st.session_state:
        st.session_state[_key(name)] = _values()[name]
    return {"key": _key(name)}


def _key(name: str) -> str:
    """Return the key of the widget of a field."""
    return f"studies:{name}"
