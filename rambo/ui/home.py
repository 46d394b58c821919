"""Home: what RAMBO is in a few words and one picture, the demo, and every run of the workspace."""

import re
from typing import Any

import streamlit as st

from rambo import line
from rambo.store import Run
from rambo.ui import controls, frame, readers, state, theme
from rambo.ui.text import count, literal, moment, percent

Record = dict[str, Any]

_LIVE = ("running", "queued")
_PAGE = 10  # runs on one page of the list
_NEXT = {  # status -> where a run is opened, and what the link says
    "running": ("pages/train.py", "Watch it learn"),
    "queued": ("pages/train.py", "Open"),
    "done": ("pages/batch.py", "See what it chose"),
    "failed": ("pages/train.py", "See how far it came"),
    "stopped": ("pages/train.py", "See how far it came"),
    "interrupted": ("pages/train.py", "See how far it came"),
}


def show_welcome() -> None:
    """Say what RAMBO is, and offer the demo."""
    words, picture = st.columns([5, 6], gap="large", vertical_alignment="center")
    with words:
        st.title("Which images are worth a label?")
        st.markdown(
            "Labels cost money, and often you can ask for them only once.\n\n"
            "RAMBO learns from the few labels you have which *set* of images teaches a classifier most.\n\n"
            "Then it picks all the images to label at once, and shows you how it chose."
        )
        with frame.guard():
            if st.button("Start the demo", type="primary", icon=":material/play_arrow:"):
                with st.spinner("Making the images ready"):
                    run = controls.start_demo()
                state.go("pages/train.py", run.id)
        st.caption(
            "Picks 200 of 7,800 pictures of clothes: about two minutes on a laptop, no internet needed."
        )
    with picture:
        st.html(_picture())


def show_runs() -> None:
    """List all runs: first those at work, kept up to date, then the rest."""
    records = readers.runs()
    st.subheader("Runs", divider="gray")
    _show_live(_standing(records))
    ended = [record for record in records if record["status"] not in _LIVE]
    if not records:
        st.info(
            "No runs yet. Start the demo above, or set up a run of your own.",
            icon=":material/start:",
        )
        with st.container(horizontal=True):
            state.link("pages/configure.py", None, "Set up a run")
            state.link("pages/data.py", None, "Look at the images first")
    elif ended:
        _show_ended(ended)


@st.fragment(run_every=2)
def _show_live(shown: tuple[tuple[str, str], ...]) -> None:
    """Show the runs at work; when a run came, went or changed its state, draw the whole page again.

    Args:
        shown: what the page shows, as `_standing` gives it.
    """
    with frame.guard():
        records = readers.runs()
        if _standing(records) != shown:
            st.rerun()
        live = [record for record in records if record["status"] in _LIVE]
        lines = line.standing(state.workspace().root) if live else {}
        ahead = {run: place for ids in lines.values() for place, run in enumerate(ids)}
        # The one that works first, then the line in its order.
        live.sort(key=lambda record: (record["status"] == "queued", ahead.get(record["run"], 1e9)))
        for record in live[:_PAGE]:
            _live_row(record, ahead.get(record["run"]))
        if len(live) > _PAGE:
            st.caption(f"and {count(len(live) - _PAGE, 'more run')} in line")


def _standing(records: list[Record]) -> tuple[tuple[str, str], ...]:
    """Return which runs there are and in which state: the page is drawn again only when this changes."""
    return tuple((record["run"], record["status"]) for record in records)


def _live_row(record: Record, ahead: int | None) -> None:
    """Draw one run that works or waits."""
    run = Run(state.workspace().root / record["run"])
    with st.container(border=True, key=f"live-{record['run']}"):
        badge, what, doing, links = st.columns([1.6, 4.2, 3, 2.6], vertical_alignment="center")
        with badge:
            frame.badge(record["status"])
        with what:
            _name(record)
        with doing:
            if record["status"] == "queued":
                st.caption(_place(record, ahead))
            else:
                _progress(run)
        with links:
            _open_link(record)
            controls.run_controls(run, key=f"live-{record['run']}")


def _place(record: Record, ahead: int | None) -> str:
    """Return where a queued run stands."""
    if ahead:
        return f"Place {ahead + 1:,} in line: {count(ahead, 'run')} ahead"
    return literal(record["message"], 120) or "Starting"


def _progress(run: Run) -> None:
    """Draw how far the stage at work has come."""
    for event in reversed(readers.events(run)):
        if event["kind"] in ("StageStarted", "StageAdvanced"):
            step, total = event.get("step", 0), max(1, event["total"])
            stage = theme.STAGE_WORDS.get(event["stage"]) or literal(event["stage"])
            st.progress(min(1.0, step / total), text=f"{stage}, {step:,} of {total:,}")
            return
    st.caption("Starting")


def _show_ended(records: list[Record]) -> None:
    """List the runs that are not at work, ten to a page, with a search when there are many."""
    if len(records) > _PAGE:
        typed = st.text_input(
            "Find a run",
            key="home-search",
            placeholder="name, dataset, state or strategy",
            icon=":material/search:",
            max_chars=80,
        )
        records = _matching(records, typed or "")
        if not records:
            st.caption("No run has all these words in it.")
            return
    pages = -(-len(records) // _PAGE)
    if "home-page" in st.session_state:  # fewer pages than before: the last one there is
        st.session_state["home-page"] = min(st.session_state["home-page"], pages)
    first = (st.session_state.get("home-page", 1) - 1) * _PAGE
    for record in records[first : first + _PAGE]:
        with frame.guard():
            _ended_row(record)
    if pages > 1:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.pagination(pages, key="home-page")
            st.caption(f"{count(len(records), 'run')}, the newest first")


def _matching(records: list[Record], typed: str) -> list[Record]:
    """Return the records that have every typed word in their name, dataset, state or strategies."""
    wanted = typed.casefold().split()
    return [record for record in records if all(word in _searched(record) for word in wanted)]


def _searched(record: Record) -> str:
    """Return the text of a record in which words are looked for."""
    strategies = [theme.STRATEGY_WORDS.get(name, name) for name in record["strategies"]]
    parts = [record["run"], _dataset(record), theme.STATES[record["status"]][0], *strategies]
    return " ".join(map(str, parts)).casefold()


def _ended_row(record: Record) -> None:
    """Draw one run that is not at work."""
    run = Run(state.workspace().root / record["run"])
    with st.container(border=True, key=f"row-{record['run']}"):
        badge, what, came, links = st.columns([1.6, 4.2, 3, 2.6], vertical_alignment="center")
        with badge:
            frame.badge(record["status"])
        with what:
            _name(record)
        with came:
            _outcome(run, record)
        with links, st.container(horizontal=True, vertical_alignment="center"):
            _open_link(record)
            with st.popover("More", type="tertiary", key=f"more-{record['run']}"):
                controls.run_controls(run, key=f"row-{record['run']}")


def _name(record: Record) -> None:
    """Draw what a run is about."""
    if record["k"] is None:  # its record cannot be read
        st.markdown(f"**{literal(record['run'])}**")
        st.caption(moment(record["created"]))
        return
    trials = record["trials"] or 1
    st.markdown(
        f"**{literal(_dataset(record), 60)}** &nbsp; k = {record['k']:,}, B = {record['budget']:,}"
        + (f", {trials:,} trials" if trials > 1 else "")
    )
    words = [theme.STRATEGY_WORDS.get(name) or literal(name) for name in record["strategies"]]
    st.caption(f"{moment(record['created'])} · {', '.join(words)}  \n{literal(record['run'])}")


def _dataset(record: Record) -> str:
    """Return what to call the dataset; of a path only the last part, the rest is private."""
    return re.split(r"[/\\]", (record["dataset"] or "").rstrip("/\\"))[-1]


def _outcome(run: Run, record: Record) -> None:
    """Draw what came of a run: the test accuracy, or why there is none."""
    if record["status"] != "done":
        st.caption(literal(record["message"], 160) or "Resume it to go on.")
        return
    results = readers.summary(run)["results"]
    first = "rambo" if "rambo" in record["strategies"] else record["strategies"][0]
    found = [row["test_accuracy"] for row in results if row["strategy"] == first]
    known = [accuracy for accuracy in found if accuracy is not None]
    mean = sum(known) / len(known) if known else None
    st.markdown(f"**{percent(mean)}** test accuracy")
    word = theme.STRATEGY_WORDS.get(first) or literal(first)
    st.caption(f"of {word}" + (f", mean of {len(known)} trials" if len(known) > 1 else ""))


def _open_link(record: Record) -> None:
    """Draw the link to the page that fits the state; an unreadable run has none."""
    if record["status"] in _NEXT:
        page, label = _NEXT[record["status"]]
        state.link(page, record["run"], label)


# The picture, drawn with plain boxes: it takes its colours from the theme, and a screen reader its words.

_LABELED = {3: "a", 9: "b", 13: "c", 22: "a", 26: "b", 36: "c"}
_CHOSEN = (1, 6, 12, 16, 19, 24, 31, 35, 38)
_TOLD = (
    "Three steps. One: many images, a few of them with labels. Two: RAMBO learns which of two sets of images "
    "teaches a classifier more. Three: it chooses all the images to label at once."
)


def _picture() -> str:
    """Return the three steps as HTML."""
    few = _tiles([_LABELED.get(place, "") for place in range(40)])
    better, worse = _tiles(list("abcabcab")), _tiles(list("aaaabaaa"))
    chosen = ["★" if place in _CHOSEN else _LABELED.get(place, "") for place in range(40)]
    sets = (
        f'<div class="set"><div class="four">{better}</div>teaches more</div><b>&gt;</b>'
        f'<div class="set"><div class="four">{worse}</div>teaches less</div>'
    )
    steps = (
        ("1", "Many images, few labels", f'<div class="eight">{few}</div>'),
        ("2", "Learn what makes a good set", f'<div class="pair">{sets}</div>'),
        ("3", "Choose the whole set at once", f'<div class="eight">{_tiles(chosen)}</div>'),
    )
    drawn = "".join(
        f'<div class="step"><div class="head"><b>{number}</b> {words}</div>{body}</div>'
        for number, words, body in steps
    )
    return f'{_STYLE}<div class="rambo-steps" role="img" aria-label="{_TOLD}">{drawn}</div>'


def _tiles(marks: list[str]) -> str:
    """Return one box for each mark: a letter is a label, a star is chosen, nothing is an unlabeled image."""
    kinds = {"": "u", "★": "s"}
    return "".join(f'<i class="{kinds.get(mark, "l")}">{mark}</i>' for mark in marks)


_STYLE = f"""
<style>
.rambo-steps {{ display: flex; flex-wrap: wrap; gap: 0.75rem; }}
.rambo-steps .step {{ flex: 1 1 11rem; display: flex; flex-direction: column; gap: 0.8rem; padding: 0.9rem;
  border: 1px solid color-mix(in srgb, currentColor 18%, transparent); border-radius: 0.6rem; }}
.rambo-steps .head {{ font-size: 0.95rem; line-height: 1.3; min-height: 2.6em; }}
.rambo-steps .head b {{ display: inline-block; width: 1.5em; height: 1.5em; margin-right: 0.2em; border-radius: 50%;
  text-align: center; line-height: 1.5em; background: color-mix(in srgb, currentColor 12%, transparent); }}
.rambo-steps .eight {{ display: grid; grid-template-columns: repeat(8, 1fr); gap: 3px; }}
.rambo-steps .four {{ display: grid; grid-template-columns: repeat(4, 1fr); gap: 3px; margin-bottom: 0.4rem; }}
.rambo-steps .pair {{ display: flex; align-items: center; gap: 0.5rem; margin: auto 0; }}
.rambo-steps .pair > b {{ font-size: 1.5rem; padding-bottom: 1.4rem; }}
.rambo-steps .set {{ flex: 1; text-align: center; font-size: 0.8rem; }}
.rambo-steps i {{ display: grid; place-items: center; aspect-ratio: 1; border-radius: 3px; font-style: normal;
  font-size: 0.75rem; line-height: 1; font-weight: 650; color: #fff; }}
.rambo-steps i.u {{ background: color-mix(in srgb, currentColor 0%, #aab4c3 55%); }}
.rambo-steps i.l {{ background: {theme.GREEN}; }}
.rambo-steps i.s {{ background: {theme.BLUE}; }}
</style>
"""
