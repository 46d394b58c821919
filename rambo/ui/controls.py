"""Start, stop, resume and delete runs from a page. Every button does the same twice as once."""

from collections.abc import Callable

import streamlit as st

from rambo import config as configs
from rambo.config import Config, presets
from rambo.datasets import rehearsal
from rambo.datasets.prepared import Prepared
from rambo.errors import ConfigError, RamboError
from rambo.runs import jobs, report
from rambo.runs.workspace import Run
from rambo.text import count, literal
from rambo.ui import allowed, frame, library, readers, state, visitor

RESUMABLE = ("stopped", "failed", "interrupted")


def start(config: Config, data: Prepared) -> Run:
    """Return a run of `config` that is being worked on: a new one, or the one that a second click meant.

    Raises:
        RamboError: the config does not fit the dataset, or nothing can be written.
    """
    allowed.check(config)
    name = device_name(config)
    with visitor.acting("start", more=config.dataset.name) as called:
        run, new = jobs.start(config, data, state.workspace(), name)
        called(run.id)
    if not new:
        frame.notify("These settings are being worked on already: here is that run.")
    return run


def rehearse(config: Config, data: Prepared) -> Run:
    """Return a run that plays the same budget inside the labeled part, with as many trials as evidence needs.

    Raises:
        RamboError: too few labels, or nothing can be written.
    """
    visitor.require("start")
    played = rehearsal.derive(data, state.workspace().root, config.dataset.name)
    real = config.model_copy(update={"trials": max(config.trials, report.FEWEST)})
    return start(rehearsal.scaled(real, data, played), played)


def device_name(config: Config) -> str:
    """Return what to call the device of a config in the record.

    Raises:
        ConfigError: this machine has none of its kind.
    """
    # A server asks once, when it starts; a click that is faster waits, or the record would name the wrong device.
    devices = readers.devices(wait=10)
    kind: str = config.compute.device
    if kind == "auto":
        kind = devices.auto if devices else "cpu"
    elif devices and kind not in devices.names:
        raise ConfigError(
            "this machine has none", field="compute.device", value=kind, hint="use cpu or auto"
        )
    return devices.names[kind] if devices and kind != "cpu" else kind


def start_demo() -> Run:
    """Return the demo's run, started now or going on.

    Raises:
        RamboError: the shipped images cannot be prepared, or nothing can be written.
    """
    data = library.ensure(library.SHIPPED)
    if data is None:
        raise ConfigError(
            "could not be prepared", field="the shipped images", hint="see the page Data"
        )
    return start(configs.build(presets.demo()), data)


def run_controls(run: Run, *, key: str = "controls") -> None:
    """Draw the buttons that fit the state of a run, in a row of their own: stop, resume, delete."""
    with st.container(horizontal=True):
        run_buttons(run, key=key)


def run_buttons(run: Run, *, key: str = "controls") -> None:
    """Draw the buttons that fit the state of a run into the row at hand."""
    status, _ = readers.status(run)
    stop_button(run, status, key=key)
    resume_button(run, status, key=key)
    if status == "done":
        repair_button(run, key=key)
    if status not in jobs.LIVE:
        delete_button(run, key=key)


def stop_button(run: Run, status: str, *, key: str) -> None:
    """Draw the button that ends the work on a run."""
    if status in jobs.LIVE and visitor.may_edit():
        st.button(
            "Stop",
            icon=":material/stop:",
            key=f"{key}-stop",
            on_click=_stop,
            args=(run,),
            help="Ends at the next safe point, within ten seconds. Nothing finished is lost.",
        )


def resume_button(run: Run, status: str, *, key: str) -> None:
    """Draw the button that goes on with a run, where it ended before its time."""
    if status in RESUMABLE and visitor.may_edit():
        st.button(
            "Resume",
            icon=":material/play_arrow:",
            type="primary",
            key=f"{key}-resume",
            on_click=_resume,
            args=(run,),
            help="Goes on where it ended; nothing that was finished is done again.",
        )


def repair_button(run: Run, *, key: str) -> None:
    """Draw the button that makes lost or damaged files of a done run again, where there are any."""
    if visitor.may_edit() and (damaged := readers.broken(run)):
        st.button(
            f"Resume: make {count(len(damaged), 'file')} again",
            icon=":material/build:",
            type="primary",
            key=f"{key}-repair",
            on_click=_resume,
            args=(run,),
            help="Lost or damaged files of this run are made again. Its choice and its results stay as they are.",
        )


def delete_button(run: Run, *, key: str) -> None:
    """Draw the button that asks before it deletes."""
    if visitor.may_edit() and st.button("Delete", icon=":material/delete:", key=f"{key}-delete"):
        confirm_deletion(
            "run",
            f"**{literal(run.id)}** with its choice, its model and its log will be gone for good. "
            "Trained classifiers that other runs share stay.",
            lambda: state.workspace().delete(run),
            lambda: state.go("app.py"),
            subject=run.id,
        )


def confirm_deletion(
    kind: str,
    words: str,
    delete: Callable[[], None],
    leave: Callable[[], None],
    *,
    subject: str,
    key: str = "delete",
) -> None:
    """Ask once more, in a dialog, before something is deleted for good.

    Args:
        kind: what it is, in a word.
        words: what will be gone and what stays, as Markdown.
        delete: does it.
        leave: goes where a person should be afterwards.
        subject: its name, for the audit log.
        key: of the buttons.
    """

    def noted() -> None:
        """Delete it, and say so in the log."""
        with visitor.acting("delete", subject):
            delete()

    st.dialog(f"Delete this {kind}?")(_confirm)(words, noted, leave, key)


def _confirm(words: str, delete: Callable[[], None], leave: Callable[[], None], key: str) -> None:
    """Draw what the dialog holds."""
    st.write(words)
    with st.container(horizontal=True):
        if st.button("Delete for good", type="primary", key=f"{key}-confirmed"):
            try:
                delete()
            except RamboError as error:
                st.error(literal(error, 300))
                return
            leave()
        if st.button("Keep it", key=f"{key}-kept"):
            st.rerun()


def show_log(run: Run, status: str, kind: str = "run") -> None:
    """Show the end of the log of the workers of a run or, by its `kind`, of a study."""
    lines = jobs.log_tail(run)
    with st.expander("Worker log", expanded=status == "failed", icon=":material/terminal:"):
        if lines:
            st.code("\n".join(lines), language=None, wrap_lines=True)
        else:
            st.caption(f"There is no log: no worker of this app has written one for this {kind}.")


def _stop(run: Run) -> None:
    """Ask the worker to stop."""
    with frame.calmly(), visitor.acting("stop", run.id):
        jobs.stop(run)
        frame.notify("Stopping: the unit in flight is finished first.")


def _resume(run: Run) -> None:
    """Start a worker again."""
    with frame.calmly(), visitor.acting("start", run.id, "resumed"):
        jobs.resume(run)
        frame.notify("Resumed.")
