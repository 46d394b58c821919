"""What every page has in common: its title, the menu, the run picker, the device line, and calm errors.

A page may be opened first and alone, so it relies on nothing but this.
"""

import contextlib
import functools
import re
import secrets
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import streamlit as st

from rambo.errors import RamboError, RunNotFoundError, shorten
from rambo.figures import theme
from rambo.runs import jobs, line
from rambo.runs.run import Description
from rambo.runs.workspace import Run
from rambo.storage import files
from rambo.text import count, literal, moment
from rambo.ui import finished, pace, readers, state, terms, visitor

_ICON = str(Path(__file__).with_name("icon.png"))
_NOTICES = "notices"
_PICKED = 200  # runs the picker offers
_POOLS = ("S_0", "U_0", "S_val", "k", "B")
PAPER = "https://openreview.net/forum?id=o5Iw3kN9Eg"
_NEXT = {  # script -> where one goes from there, and to do what
    "pages/data.py": ("pages/configure.py", "Next: set up a run"),
    "pages/batch.py": ("pages/configure.py", "Next: set up another run"),
    "pages/compare.py": ("pages/configure.py", "Next: set up a run of your own"),
    "pages/studies.py": ("pages/learn.py", "Next: see how the method works"),
    "pages/learn.py": ("pages/configure.py", "Next: set up a run"),
}
_SYMBOLS = {  # script -> what stands at its foot
    "app.py": (*_POOLS, "f", "u_hat"),
    "pages/data.py": _POOLS,
    "pages/configure.py": (
        *_POOLS,
        "b",
        "M",
        "k_1",
        "n",
        "tau_1",
        "tau_2",
        "f",
        "u_hat",
        "lambda_OT",
        "lambda",
    ),
    "pages/train.py": (
        *_POOLS,
        "f",
        "u",
        "u_hat",
        "acc_i",
        "L_Rank",
        "L_OT",
        "lambda_OT",
        "lambda",
        "tau_1",
        "tau_2",
    ),
    "pages/batch.py": (*_POOLS, "b", "M", "margin", "u_hat", "f", "OT"),
    "pages/label.py": ("U_0", "S_val", "B", "f"),
    "pages/compare.py": (*_POOLS, "b", "M", "u_hat", "f", "lambda_OT"),
    "pages/studies.py": (*_POOLS, "u_hat", "f", "lambda_OT"),
}


@contextlib.contextmanager
def page(script: str, *, pick: bool = True, example: bool = False) -> Iterator[Run | None]:
    """Draw the frame and give the run of the address, or the newest one, to the block.

    Whatever goes wrong in the block becomes a message; a trace goes to the log and never to the browser.

    Args:
        script: a key of `state.PAGES`.
        pick: without a run in the address take the newest; False for pages that are not about one run.
        example: where there is no run at all, take the finished one that comes with rambo.
    """
    label = state.PAGES[script][0]
    st.set_page_config(page_title=f"{label} - RAMBO", page_icon=_ICON, layout="wide")
    presenting = state.presenting()
    st.html(_style(script, presenting))
    terms.explain()
    run, complete = None, False
    if not visitor.show_gate():
        st.stop()
    with guard():
        run, complaint = _chosen(pick, example)
        if not presenting:
            with st.sidebar:
                _sidebar(run)
        if complaint:
            st.title(label)
            st.error(literal(complaint, 200), icon=":material/search_off:")
            if state.requested() == finished.shipped():
                finished.offer_finished(stay=True)
            state.link("app.py", None, "See all runs")
        complete = not complaint
    if not complete:
        st.stop()
    with guard():
        yield run
        if not presenting:
            _words(script, run)


@contextlib.contextmanager
def guard() -> Iterator[None]:
    """Turn an error inside the block into a message; use it in fragments too, which run on their own."""
    for words, icon in st.session_state.pop(_NOTICES, []):
        st.toast(words, icon=icon)
    try:
        yield
    except RamboError as error:
        st.error(literal(jobs.without_folders(str(error)), 500), icon=":material/error:")
    except Exception as error:
        name = _log(error)
        st.error(
            f"This part of the page could not be drawn. Reload it; if that does not help, look for "
            f"**{name}** in `errors.log` of the workspace, which has the details.",
            icon=":material/error:",
        )


@contextlib.contextmanager
def calmly() -> Iterator[None]:
    """Turn an error in a callback, where it would reach the browser as a trace, into a short notice."""
    try:
        yield
    except RamboError as error:
        notify(literal(error, 300), icon=":material/error:")


def warn(text: object, icon: str | None = None) -> None:
    """Draw a warning of text that is not ours, as it is."""
    st.warning(literal(text, 200), icon=icon)


def notify(words: str, icon: str | None = None) -> None:
    """Show a short notice beside what is drawn next.

    A callback may draw nothing itself: in a fragment its elements replace those at the top of the page.
    """
    st.session_state.setdefault(_NOTICES, []).append((words, icon))


def _words(script: str, run: Run | None) -> None:
    """Draw the foot of a page: its symbols, which explain themselves, the glossary, the paper, and where to go next."""
    name = run.id if run else None
    with st.container(horizontal=True, vertical_alignment="center", key="words-of-page"):
        if script in _SYMBOLS:
            terms.strip(*_SYMBOLS[script])
            state.link("pages/learn.py", name, "All terms", step="terms")
        st.page_link(
            PAPER,
            label="The paper",
            icon=":material/article:",
            help="Learning to Rank for Active Learning via Multi-Task Bilevel Optimization, UAI 2024",
        )
        if following := _next(script, run):
            page, label = following
            state.link(page, name, label)


def _next(script: str, run: Run | None) -> tuple[str, str] | None:
    """Return the page to go to from one that has been looked at, and what one does there; others say it themselves."""
    if script == "pages/batch.py" and run is not None:
        with contextlib.suppress(RamboError):  # of a damaged run the page has said it
            if readers.waits(run):
                return "pages/label.py", "Next: label these images"
            if len(readers.config(run).strategies) > 1:
                return "pages/compare.py", "Next: compare with its rivals"
    return _NEXT.get(script)


def header(run: Run, presents: str = "", **filters: object) -> None:
    """Draw the name of the run and what it is about.

    Args:
        run: the run.
        presents: the script of the page where it has a mode for projectors.
        filters: of the address that opens it there.
    """
    config = readers.config(run)
    name = "The run that comes with RAMBO" if run.id == finished.shipped() else f"Run {run.id}"
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"
    ):
        terms.caption(
            f"{name} · {shorten(readers.environment(run).dataset.name)} · "
            f"{{k}} = {config.k}, {{B}} = {config.budget}, "
            f"{{b}} = {config.acquisition.batch_size}, seed {config.seed}"
        )
        if presents:
            st.page_link(
                presents,
                label="Present",
                icon=":material/present_to_all:",
                help="One figure at a time in large type, for a projector: arrow keys turn, Esc leaves, and the "
                "address opens it.",
                query_params=state.address(run.id, **filters, present=1),
            )


def badge(status: str) -> None:
    """Draw a state as a badge: a word and an icon, not a colour alone."""
    word, colour, icon = theme.STATES[status]
    st.badge(word, icon=icon, color=colour)  # type: ignore[arg-type]


def no_run(what: str) -> None:
    """Say what to do next on a page that needs a run when there is none."""
    st.info(f"{what} Start the demo on Home, or set up a run of your own.", icon=":material/start:")
    with st.container(horizontal=True, vertical_alignment="center"):
        finished.offer_finished(key="no-run-finished")
        state.link("app.py", None, "Start the demo on Home")
        state.link("pages/configure.py", None, "Set up a run")


def _chosen(pick: bool, example: bool) -> tuple[Run | None, str]:
    """Return the run this page is about and a complaint, if the address names no run."""
    typed = state.requested()
    if typed is not None:
        try:
            return state.find_run(typed), ""
        except RunNotFoundError as error:
            return None, str(error)
    runs = readers.runs() if pick else []
    newest = runs[0].run if runs else finished.bring() if example else None
    if newest is None:
        return None, ""
    st.query_params["run"] = newest  # a link copied from here names it
    return state.find_run(newest), ""


def _sidebar(run: Run | None) -> None:
    """Draw the menu, the picker and the device line."""
    st.markdown("## RAMBO")
    st.caption("Which images are worth a label?")
    for target in state.PAGES:
        state.link(target, run.id if run else None)
    names = {record.run: _short_name(record) for record in readers.runs()[:_PICKED]}
    ids = list(names)
    if run is not None and run.id not in ids:
        ids.append(run.id)
    if ids:
        st.divider()
        key = f"picker-{run.id if run else ''}"
        st.selectbox(
            "Run",
            ids,
            index=ids.index(run.id) if run else None,
            format_func=lambda name: names.get(name, name),
            key=key,
            on_change=_pick,
            args=(key,),
            placeholder="Choose a run",
            help="All pages show this run. The newest stands first.",
        )
    st.fragment(_device_line, run_every=pace.every(2))(run.id if run else None)
    visitor.show_role()


def _short_name(record: Description) -> str:
    """Return what tells runs apart within the width of the sidebar: when, the end of the id, the dataset."""
    when, dataset = (
        moment(record.created, year=False),
        shorten(record.dataset or "unreadable", 40),
    )
    return f"{when} · {record.run[-4:]} · {dataset.rpartition('/')[2]}"


def _pick(key: str) -> None:
    """Put the picked run into the address; filters of the run before belong to that one, a study to none."""
    if st.session_state[key]:
        study = st.query_params.get("study")
        st.query_params.from_dict(state.address(st.session_state[key], study=study))


def _device_line(run_id: str | None) -> None:
    """Show the run's state, and who works at each device."""
    pace.note()
    with guard():
        if run_id is not None:
            badge(readers.status(state.find_run(run_id))[0])
        devices = readers.devices()
        names = devices.names if devices else {}
        lines = line.standing(state.workspace().root)
        for device in dict.fromkeys([*lines, *([devices.auto] if devices else ["cpu"])]):
            name = literal(names.get(device, device.upper()))
            busy = lines.get(device, [])
            if not busy:
                st.caption(f":material/memory: {name}: free")
                continue
            waiting = f", {count(len(busy) - 1, 'waiting', 'waiting')}" if len(busy) > 1 else ""
            st.caption(f":material/memory: {name}: busy with {literal(busy[0])}{waiting}")


def _log(error: Exception) -> str:
    """Write the trace to the workspace's log and return the id under which it stands there."""
    name = secrets.token_hex(4)
    with contextlib.suppress(OSError):
        root = state.workspace().root
        files.make_folder(root)
        trace = "".join(traceback.format_exception(error))
        with files.appending(root / "errors.log") as log:
            words = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {name}\n{trace}"
            log.write(words.encode("utf-8", "backslashreplace"))
    return name


@functools.cache
def _style(script: str, presenting: bool) -> str:
    """Return the style sheet of a page: what `style.css` has for all pages, for this one, and for presenting."""
    shared, *sections = _PAGE.split((Path(__file__).parent / "style.css").read_text("utf-8"))
    parts = dict(zip(sections[::2], sections[1::2], strict=True))
    own = parts.get(script, "") + (parts["present"] if presenting else "")
    return f"<style>:root {{ --rambo-blue: {theme.BLUE}; }}\n{shared}{own}</style>"


_PAGE = re.compile(r"/\* @page (\S+) \*/")
