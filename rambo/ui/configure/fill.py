"""What fills the form, and what carries it elsewhere: presets, another run, a settings file, a command line."""

import functools
from collections.abc import Callable

import streamlit as st

from rambo.config import Config, presets, reading
from rambo.errors import RamboError
from rambo.runs.workspace import Run
from rambo.text import count, literal
from rambo.ui import downloads
from rambo.ui.configure import draft as drafts
from rambo.ui.configure import fields, forms, settings_file
from rambo.ui.configure.draft import FormDraft

_PRESET, _UPLOAD, _COMPLAINT = "configure-preset", "configure-upload", "configure-told"
_MOST_PROBLEMS = 8  # of a file, that are named
_LISTED = 6  # changes that are named
_PRESET_HELP = {
    "demo": "A first look: 200 labels to buy, two to three minutes on a laptop.",
    "quick": "A real comparison: the paper's sizes with 60 offline pairs instead of 500.",
    "paper": "The paper's constants for the dataset, 500 offline pairs, 10 trials: hours.",
    "paper-ablation": "Those of the paper's ablation, Tables 1 and 3 to 5: for colour images k is 3,500.",
}


def pick_start(draft: FormDraft, run: Run | None) -> None:
    """Draw what fills the form: a preset, or the run in the address; and what was changed since."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.session_state[_PRESET] = draft.source if draft.source in presets.PRESETS else None
        st.segmented_control(
            "Start from a preset",
            list(presets.PRESETS),
            key=_PRESET,
            required=True,
            format_func=str.capitalize,
            on_change=_pick_preset,
            help="  \n".join(f"**{name}**: {_PRESET_HELP[name]}" for name in presets.PRESETS),
        )
        if run is not None and draft.source != f"run {run.id}":
            st.button(
                "Use this run's settings",
                icon=":material/history:",
                key="configure-use-run",
                on_click=_take_run,
                args=(run,),
                help=f"Fills the form with the settings of {literal(run.id)}.",
            )
    if complaint := st.session_state.get(_COMPLAINT):  # until something else fills the form
        st.error(literal(complaint, 1500), icon=":material/error:")
    _changes(draft)


def transfer(draft: FormDraft, config: Config | None) -> None:
    """Draw a section with the command line and the settings file; a closed one draws nothing."""
    with st.expander(
        "Command line and settings file",
        key="configure-transfer",
        on_change="rerun",
        icon=":material/terminal:",
    ) as section:
        if section.open:
            _transfer(draft, config)


def _transfer(draft: FormDraft, config: Config | None) -> None:
    """Draw the command line and the settings file."""
    if config is None:
        st.caption("The command line appears when nothing is left to correct.")
    else:
        st.caption("The same run without this page:")
        st.code(settings_file.command(config), language="bash", wrap_lines=True)
    downloads.button(
        "Download the settings",
        functools.partial(settings_file.to_file, dict(draft.values)),
        "rambo-settings.json",
        "application/json",
        icon=":material/download:",
        key="configure-download",
    )
    st.file_uploader(
        "Fill the form from a settings file",
        type="json",
        key=_UPLOAD,
        on_change=_take_file,
        max_upload_size=1,
    )


def _changes(draft: FormDraft) -> None:
    """Say what differs from where the form was filled from, with the ways back."""
    changed, before = draft.changed, draft.before
    undoable = before is not None and bool(before.changed)
    if not changed and not undoable and draft.source in presets.PRESETS:
        return
    source = literal(draft.source)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if changed:
            named = ", ".join(_change(draft, path) for path in changed[:_LISTED])
            rest = len(changed) - _LISTED
            more = f" and {count(rest, 'more', 'more')}" if rest > 0 else ""
            st.caption(f"Changed from **{source}**: {named}{more}", width="content")
            _way_back("Reset", "configure-reset", drafts.reset)
        else:
            st.caption(f"Filled from **{source}**.", width="content")
        if undoable:
            _way_back("Bring my changes back", "configure-undo", drafts.undo)


def _way_back(label: str, key: str, action: Callable[[], None]) -> None:
    """Draw a quiet button that changes the form back."""
    st.button(label, icon=":material/undo:", type="tertiary", key=key, on_click=action)


def _change(draft: FormDraft, path: str) -> str:
    """Return one change in words."""
    entry = fields.FIELDS.get(path)
    name = literal(path)
    if entry is not None:  # in sections letters repeat: every rival has its own lambda
        name = f"${entry.symbol}$" if entry.symbol and not entry.section else entry.label
    before, now = forms.say(path, draft.base.get(path)), forms.say(path, draft.values[path])
    return f"{name} {before} → {now}"


def _pick_preset() -> None:
    """Fill the form from the preset that was clicked."""
    name = st.session_state[_PRESET]
    if name in presets.PRESETS:
        st.session_state[_COMPLAINT] = drafts.pick_preset(name)


def _take_run(run: Run) -> None:
    """Fill the form from a run."""
    st.session_state[_COMPLAINT] = ""
    try:
        drafts.take_run(run)
    except RamboError as error:
        st.session_state[_COMPLAINT] = f"the settings of this run cannot be used: {error}"


def _take_file() -> None:
    """Fill the form from an uploaded file, or say why not; then nothing has changed."""
    st.session_state[_COMPLAINT] = ""
    file = st.session_state.get(_UPLOAD)
    if file is None:
        return
    try:
        drafts.fill(settings_file.read_file(file.read(reading.LARGEST + 1)), f"file {file.name}")
    except RamboError as error:
        st.session_state[_COMPLAINT] = f"the file was not taken: {in_a_line(error)}"


def in_a_line(error: RamboError) -> str:
    """Return the first things that are wrong, as one line, and how many more there are."""
    rest = len(error.parts) - _MOST_PROBLEMS
    lines = [str(part) for part in error.parts[:_MOST_PROBLEMS]]
    return "; ".join(lines + ([f"and {count(rest, 'more', 'more')}"] if rest > 0 else []))
