"""The form of the page Configure: a widget for each field of the config, with what is wrong or follows beside it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal, TypedDict

import streamlit as st

from rambo import lineup
from rambo.config import Config
from rambo.datasets.prepared import LABELED, VALIDATION, Prepared
from rambo.errors import shorten
from rambo.estimate import recommendation
from rambo.estimate.idle import idle_paths
from rambo.figures import theme
from rambo.text import literal
from rambo.ui import allowed, collections, library, readers
from rambo.ui.configure import fields, settings
from rambo.ui.configure.draft import FormDraft, key_of
from rambo.ui.configure.fields import Field, FieldFacts


class WidgetOptions(TypedDict):
    """Keyword arguments that all widgets of Streamlit take."""

    label: str
    key: str
    disabled: bool
    help: str


Width = Literal["stretch", "content"]

_NARROW = 160  # pixels a field needs


@dataclass(frozen=True)
class FieldContext:
    """What the fields show beside their values: by path, in words."""

    draft: FormDraft
    complaints: Mapping[str, str]
    notes: Mapping[str, str]
    automatic: Mapping[str, str]
    idle: set[str]
    changed: set[str]
    devices: Mapping[str, str]
    classes: Sequence[str] = ()
    fixed: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, draft: FormDraft, checked: settings.Check, data: Prepared | None) -> "FieldContext":
        """Return how the fields look for a draft that was checked."""
        config, devices = checked.config, readers.devices()
        return cls(
            draft,
            checked.complaints,
            settings.notes(config, data) if config else {},
            _automatic(config, devices.cores if devices else None),
            idle_paths(draft.values, data),
            set(draft.changed),
            devices.names if devices else {},
            data.classes if data else (),
            _fixed(data) if data else {},
        )


def _fixed(data: Prepared) -> dict[str, int]:
    """Return the sizes that a partly labeled dataset decides, whatever was typed."""
    if not data.partly_labeled:
        return {}
    parts = {"k": LABELED, "dataset.validation_size": VALIDATION}
    return {path: int((data.roles == role).sum()) for path, role in parts.items()}


def pick_depth() -> bool:
    """Return whether all settings are shown, or just the budget."""
    return st.toggle(
        "All settings",
        key="configure-all",
        help="Off: which images, how many labels, who chooses; the preset decides the rest. On: everything.",
    )


def show_few(look: FieldContext, below: Mapping[str, Callable[[], None]]) -> None:
    """Draw just the budget, and whatever else is wrong; as `show` for the rest."""
    for name, entries in groupby(fields.TABLE, key=lambda entry: entry.group):
        few = [e for e in entries if e.path in fields.JUST_THE_BUDGET or e.path in look.complaints]
        if few:
            with st.container(key=f"group-{name.replace(' ', '-').lower()}"):
                st.markdown(f"## {name}")
                _fields(few, look)
                if name in below:
                    below[name]()


def show(look: FieldContext, below: Mapping[str, Callable[[], None]]) -> None:
    """Draw all groups of fields.

    Args:
        look: what to show beside the values.
        below: what else to draw at the end of a group's first fields, by the group's name.
    """
    for name, entries in groupby(fields.TABLE, key=lambda entry: entry.group):
        parts = list(entries)
        with st.container(key=f"group-{name.replace(' ', '-').lower()}"):
            st.markdown(f"## {name}")
            st.caption(fields.GROUPS[name])
            _fields([entry for entry in parts if not entry.section], look)
            if name in below:
                below[name]()
            advanced = [entry for entry in parts if entry.section]
            for section, inside in groupby(advanced, key=lambda entry: entry.section):
                _section(section, list(inside), look)


def complaint_line(path: str, words: str) -> str:
    """Return a complaint with the name and place of its field, as Markdown."""
    entry = fields.FIELDS.get(path)
    if entry is None:
        return literal(words, 300)
    place = ", ".join(filter(None, (entry.group, entry.section)))
    return f"**{entry.title}** ({place}): {literal(words, 300)}"


def say(path: str, value: object, plainly: Callable[..., str] = literal) -> str:
    """Return a value in words: as Markdown, or as plain text where `plainly` is `shorten`."""
    entry = fields.FIELDS.get(path)
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        words = [plainly(theme.strategy_word(v) if isinstance(v, str) else v) for v in value]
        return ", ".join(words) or ("none" if path == "strategies" else "all")
    if value is None:
        return "automatic" if fields.is_optional(path) else "empty"
    if isinstance(value, int | float):
        return f"{value:,.10g}"
    return plainly(entry.names.get(str(value), value) if entry else value, 40)


def _automatic(config: Config | None, cores: int | None) -> dict[str, str]:
    """Return what an empty field stands for."""
    stands: dict[str, float | None] = {"compute.jobs": cores}
    if config is not None:
        stands["rivals.glister.learning_rate"] = config.classifier.learning_rate
        stands["acquisition.filter_size"] = config.acquisition.filtered
        stands["rambo.initial_size"] = config.initial_size
    return {path: f"auto: {value:,.10g}" for path, value in stands.items() if value is not None}


def _section(name: str, entries: list[Field], look: FieldContext) -> None:
    """Draw an expander of fields; its label says when something inside is wrong or changed.

    A closed one draws nothing: thirty fields that nobody looks at would double the time of the page.
    """
    wrong = sum(entry.path in look.complaints for entry in entries)
    mark = f" · {wrong} to correct" if wrong else ""
    dot = " · changed" if any(entry.path in look.changed for entry in entries) else ""
    key = f"section-{entries[0].path}"
    if (
        key in st.session_state
    ):  # a label that changes makes another expander of it, and that one would be shut
        st.session_state[key] = st.session_state[key]
    with st.expander(f"{name}{dot}{mark}", key=key, on_change="rerun") as section:
        if section.open:
            _fields(entries, look)


def _fields(entries: Iterable[Field], look: FieldContext) -> None:
    """Draw fields in as many columns as fit: before them a row of switches and choices of many, after them lists."""
    all_facts = fields.facts()
    kinds = [(entry, _shape(all_facts[entry.path])) for entry in entries]
    if switches := [entry for entry, kind in kinds if kind == "boolean"]:
        with st.container(horizontal=True, gap="medium"):
            for entry in switches:
                _field(entry, look, width="content")
    for entry in (entry for entry, kind in kinds if kind == "choices"):
        _field(entry, look)
    if rest := [entry for entry, kind in kinds if kind not in ("boolean", "choices", "numbers")]:
        with st.grid(min_column_width=_NARROW):
            for entry in rest:
                _field(entry, look)
    for entry in (entry for entry, kind in kinds if kind == "numbers"):
        _field(entry, look)


def _shape(facts: FieldFacts) -> str:
    """Return the JSON type of a field; of an array what it holds: `choices` or `numbers`."""
    if facts.kind == "array":
        return "choices" if facts.choices else "numbers"
    return facts.kind


def _field(entry: Field, look: FieldContext, *, width: Width = "stretch") -> None:
    """Draw the widget of a field, and under it what is wrong, or else what follows: one cell of a grid or a row."""
    path, facts = entry.path, fields.facts()[entry.path]
    key = key_of(path)
    if key not in st.session_state:
        st.session_state[key] = look.draft.values[path]
    complaint = look.complaints.get(path)
    shared: WidgetOptions = {
        "label": f"{entry.title} · changed" if path in look.changed else entry.title,
        "key": key,
        "disabled": path in look.idle and complaint is None,
        "help": f"{entry.help} ({facts.limits})" if facts.limits else entry.help,
    }
    with st.container(gap="xxsmall", width=width):
        if path in look.fixed and shared["disabled"]:
            _fixed_widget(path, look, shared)
        else:
            _widget(entry, facts, look, shared)
        if complaint is not None:
            st.markdown(f":small[:red[:material/error: {literal(complaint, 300)}]]")
        elif path in look.notes:
            st.caption(look.notes[path])


def _fixed_widget(path: str, look: FieldContext, shared: WidgetOptions) -> None:
    """Draw the number that the dataset decides; what was typed before comes back with another dataset."""
    value = look.fixed[path]
    shared["key"] = f"fixed-{path}-{value}"
    st.number_input(value=value, format="%d", **shared)
    if path not in look.notes:  # these wait for a config that is right
        st.caption("Fixed: as many as this dataset has.")


def _widget(entry: Field, facts: FieldFacts, look: FieldContext, shared: WidgetOptions) -> None:
    """Draw the widget that fits the type of a field."""
    if facts.kind == "boolean":
        st.toggle(**shared)
    elif _shape(facts) == "choices":
        _strategies(facts, look, shared)
    elif _shape(facts) == "numbers":
        _classes(entry, look, shared)
    elif facts.choices:
        choices = facts.choices
        if (
            entry.path == "compute.backend"
        ):  # one that is not open here stays to be seen, and mended
            now = look.draft.values[entry.path]
            choices = tuple(dict.fromkeys([*allowed.backends(choices), now]))
        st.selectbox(options=choices, format_func=_namer(entry, look), **shared)
    elif facts.kind == "string" and facts.optional:
        st.text_input(value=None, placeholder="none", **shared)
    elif facts.kind == "string":
        now, options = look.draft.values[entry.path], library.names()
        more = [now] if now and now not in options else []
        st.selectbox(
            options=options + more,
            format_func=collections.label,
            accept_new_options=True,
            on_change=_note_typed,
            args=(shared["key"],),
            **shared,
        )
    else:
        # Limits are checked by the config and told in our words: a widget that refuses a number by itself goes on
        # showing it while the run would take the one before.
        whole = facts.kind == "integer"
        st.number_input(
            value=None,
            step=1 if whole else entry.step,
            format="%d" if whole else "%g",
            placeholder=look.automatic.get(entry.path, "auto") if facts.optional else "empty",
            **shared,
        )


def _note_typed(key: str) -> None:
    """Note that a dataset was typed or picked here, and does not only stand in an address."""
    if name := st.session_state[key]:
        allowed.ask_for(name)


def _strategies(facts: FieldFacts, look: FieldContext, shared: WidgetOptions) -> None:
    """Draw the strategies; of those that run it is said what they do, of all of them in the tooltip."""
    chosen = look.draft.values["strategies"]
    # A strategy that has gone since it was chosen stays to be seen, and to be left out.
    names = (*facts.choices, *(name for name in chosen if name not in facts.choices))
    lines = {
        strategy.name: f"**{literal(strategy.word)}**: {literal(strategy.help, 300)}"
        for strategy in map(lineup.of, names)
    }
    shared["help"] = "  \n".join([shared["help"], *lines.values()])
    st.pills(options=names, selection_mode="multi", format_func=theme.strategy_word, **shared)
    st.caption("  \n".join(line for name, line in lines.items() if name in chosen))
    st.caption(f":material/lightbulb: {recommendation.short()}")


def _classes(entry: Field, look: FieldContext, shared: WidgetOptions) -> None:
    """Draw numbers of classes, with their names where the dataset is there."""
    others = [n for n in look.draft.values[entry.path] if n >= len(look.classes)]
    numbers = list(range(len(look.classes) or 10))

    def name(number: int) -> str:
        """Return the number and the name of a class."""
        has_name = number < len(look.classes)
        return f"{number}: {shorten(look.classes[number], 40)}" if has_name else str(number)

    options = sorted({*numbers, *others})
    st.multiselect(options=options, format_func=name, placeholder="all classes", **shared)


def _namer(entry: Field, look: FieldContext) -> Callable[[str], str]:
    """Return the function that names the choices of a field."""

    def name(choice: str) -> str:
        """Return what to call a choice."""
        word = entry.names.get(choice, choice)
        if entry.path != "compute.device" or choice == "auto" or not look.devices:
            return word
        return look.devices.get(choice, f"{word}: not on this machine")

    return name
