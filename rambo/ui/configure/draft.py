"""The settings one tab is working on: they stay while the page is left, and nothing is thrown away unasked."""

from dataclasses import dataclass
from typing import Any

import streamlit as st

from rambo import lineup
from rambo.config import presets
from rambo.errors import ConfigError, shorten
from rambo.runs.workspace import Run
from rambo.ui import readers
from rambo.ui.configure import fields, settings
from rambo.ui.configure.settings import Values

FIRST = "demo"
_KEY, _WIDGET, _ADDRESS = "configure-draft", "configure:", "configure-seen"
_CLASSES = "dataset.corruption.noisy_classes"


@dataclass
class FormDraft:
    """Values in work.

    Attributes:
        values: by dotted path, as the form shows them.
        base: what the form was filled from.
        source: the preset's name, or the run or file in words.
        before: the draft that the last filling replaced, for undoing it.
    """

    values: Values
    base: Values
    source: str
    before: "FormDraft | None" = None

    @property
    def changed(self) -> list[str]:
        """The paths that differ from what the form was filled from."""
        return settings.changed(self.values, self.base)


def key_of(path: str) -> str:
    """Return the key of the widget of a field."""
    return f"{_WIDGET}{path}"


def current() -> FormDraft:
    """Return this tab's draft with what its widgets hold now; the demo's at first."""
    if _KEY not in st.session_state:
        values = settings.preset(FIRST)
        st.session_state[_KEY] = FormDraft(values, dict(values), FIRST)
    draft: FormDraft = st.session_state[_KEY]
    for path in draft.values:
        if key_of(path) in st.session_state:
            draft.values[path] = _tidy(path, st.session_state[key_of(path)])
    if draft.source in presets.PRESETS:
        draft.base = _base(draft.source, draft.values["dataset.name"]) or draft.base
    return draft


def fill(values: Values, source: str) -> None:
    """Put other values into the form. Call it before the widgets are drawn, or from a callback."""
    _show(FormDraft(values, dict(values), source, before=_copy(current())))


def pick_preset(name: str) -> str:
    """Fill the form from a preset for the dataset in work; return a complaint where there is none for it.

    Where the work is done is no part of a preset and stays.
    """
    draft = current()
    try:
        values = settings.preset(name, draft.values["dataset.name"])
    except ConfigError as error:
        return str(error)
    fill(values, name)
    here = {path: v for path, v in draft.values.items() if path.startswith("compute.")}
    st.session_state[_KEY].values.update(here)
    _show(st.session_state[_KEY])
    return ""


def reset() -> None:
    """Take back all changes since the form was filled."""
    draft = current()
    _show(FormDraft(dict(draft.base), dict(draft.base), draft.source, _copy(draft)))


def undo() -> None:
    """Bring back what the last filling replaced."""
    before = current().before
    if before is not None:
        _show(before)


def take_address() -> str:
    """Take what the address asks for once, `?dataset=NAME`; return a complaint where it cannot be."""
    name = st.query_params.get("dataset")
    if name is None or st.session_state.get(_ADDRESS) == name:
        return ""
    st.session_state[_ADDRESS] = name
    if len(name) > 1000 or not name.isprintable() or not name:
        return f"dataset {shorten(name)}: no name of a dataset"
    draft = current()
    draft.values["dataset.name"] = name
    _show(draft)
    return ""


def take(changes: Values) -> None:
    """Put some values into the form, from another page; the others stay."""
    draft = current()
    draft.values |= changes
    _show(draft)


def take_run(run: Run) -> None:
    """Fill the form with the settings of a run.

    Raises:
        RamboError: its record cannot be read.
    """
    fill(settings.of(readers.config(run)), f"run {run.id}")


def _show(draft: FormDraft) -> None:
    """Make a draft the current one, in its widgets too."""
    st.session_state[_KEY] = draft
    for path, value in draft.values.items():
        if key_of(path) in st.session_state:
            st.session_state[key_of(path)] = value


def _copy(draft: FormDraft) -> FormDraft:
    """Return a draft that does not change with this one and remembers none before it."""
    return FormDraft(dict(draft.values), dict(draft.base), draft.source)


def _base(source: str, dataset: str) -> Values | None:
    """Return what a preset holds for a dataset, or None where the paper has no run on it."""
    try:
        return settings.preset(source, dataset)
    except ConfigError:
        return None


def _tidy(path: str, value: Any) -> Any:
    """Return what a widget holds as the config means it: lists in one order, however clicked, and no empty text."""
    if isinstance(value, list | tuple):
        if path == _CLASSES:
            return sorted(value)
        names = lineup.names()
        return [n for n in names if n in value] + [n for n in value if n not in names]
    if isinstance(value, str) and fields.is_optional(path):
        return value.strip() or None
    return value
