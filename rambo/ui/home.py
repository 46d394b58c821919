"""Home: what RAMBO is in a few words and one picture, the demo, and every run of the workspace."""

import re

import streamlit as st

from rambo import config as configs
from rambo.config import presets
from rambo.estimate import recommendation
from rambo.figures import rivals, theme
from rambo.runs import jobs, line
from rambo.runs.run import Description
from rambo.runs.workspace import Run
from rambo.text import count, literal, moment
from rambo.ui import (
    collections,
    controls,
    finished,
    frame,
    library,
    pace,
    parcels,
    readers,
    state,
    visitor,
)
from rambo.ui.configure import cost_card

_PAGE = 10  # runs on one page of the list
_WIDTHS = [5.2, 2.9, 2.9]  # of a row: what it is about, how it goes, what to do
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
    st.title("Which images are worth a label?")
    st.html(_picture())
    with frame.guard(), st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            "Start the demo",
            type="primary",
            icon=":material/play_arrow:",
            disabled=not visitor.may_edit(),
        ):
            with st.spinner("Making the images ready"):
                run = controls.start_demo()
            state.go("pages/train.py", run.id)
        _promise()
    with st.container(horizontal=True, vertical_alignment="center"):
        finished.offer_finished()
        if st.button("Use my images", icon=":material/add_photo_alternate:"):
            state.go("pages/data.py", dataset=":new")
        st.caption("A folder of pictures, a few of them labeled. They stay on this machine.")
    with frame.guard():
        if (curve := finished.curve()) is not None:
            finished.show_curve(curve, key="home-labels", few=True)
    with st.expander("Which strategy would we take?", icon=":material/lightbulb:"):
        for words in recommendation.whole():
            st.markdown(words)


def _promise() -> None:
    """Say what the demo does, and how long it takes here; as long as nobody knows, look again every second."""
    minutes = _demo_time()
    st.fragment(_show_promise, run_every=None if minutes else 1.0)(minutes, pace.Turns())


def _show_promise(before: str | None, turns: pace.Turns) -> None:
    """Draw the promise; draw the whole page again when the time has come in."""
    with frame.guard():
        minutes = _demo_time()
        turns.rerun_if(bool(minutes and not before))
        takes = (
            f"Takes about {minutes} here" if minutes else "How long it takes here is being measured"
        )
        st.caption(f"Chooses 200 of 7,800 pictures of clothes. {takes}, no internet needed.")


def _demo_time() -> str | None:
    """Return about how long the demo takes here, as the cost card would say it; None while that is measured."""
    data = library.ensure(library.SHIPPED)
    return cost_card.promise(configs.build(presets.demo()), data) if data is not None else None


def show_collections() -> None:
    """List a person's collections, if there are any, with the way to each."""
    waiting = collections.waiting()
    cards = collections.cards()
    if not cards and not waiting:
        return
    st.header("My images")
    for slug, name in waiting.items():
        _collection_row(slug, name, "its import has made nothing yet")
    for card in cards[:_PAGE]:
        contents = (
            f"{count(card.images, 'image')}, version {card.version}: " if card.version else ""
        )
        _collection_row(card.slug, card.name, f"{contents}{card.note}")
    if len(cards) > _PAGE:
        st.caption(f"and {count(len(cards) - _PAGE, 'more collection')} on the page Data")


def _collection_row(slug: str, name: str, about: str) -> None:
    """Draw one collection."""
    with st.container(border=True, key=f"collection-{slug}"):
        what, links = st.columns([8, 3], vertical_alignment="center")
        with what, st.container(gap=None):
            st.markdown(f"**{literal(name, 60)}**")
            st.caption(literal(about, 160))
        with links:
            state.link("pages/data.py", None, "Open", collection=slug)


def show_runs() -> None:
    """List all runs: first those at work, kept up to date, then the rest."""
    records = readers.runs()
    st.header("Runs")
    _show_live(_standing(records))
    ended = [record for record in records if record.status not in jobs.LIVE]
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
    parcels.bring()


@st.fragment(run_every=2)
def _show_live(standings: tuple[tuple[str, str], ...]) -> None:
    """Show the runs at work; when a run came, went or changed its state, draw the whole page again.

    Args:
        standings: what the page shows, as `_standing` gives it.
    """
    with frame.guard():
        records = readers.runs()
        if _standing(records) != standings:
            st.rerun()
        live = [record for record in records if record.status in jobs.LIVE]
        lines = line.standing(state.workspace().root) if live else {}
        ahead = {run: place for ids in lines.values() for place, run in enumerate(ids)}
        # The one that works first, then the line in its order.
        live.sort(key=lambda record: (record.status == "queued", ahead.get(record.run, 1e9)))
        for record in live[:_PAGE]:
            _live_row(record, ahead.get(record.run))
        if len(live) > _PAGE:
            st.caption(f"and {count(len(live) - _PAGE, 'more run')} in line")


def _standing(records: list[Description]) -> tuple[tuple[str, str], ...]:
    """Return which runs there are and in which state: the page is drawn again only when this changes."""
    return tuple((record.run, record.status) for record in records)


def _live_row(record: Description, ahead: int | None) -> None:
    """Draw one run that works or waits."""
    run = Run(state.workspace().root / record.run)
    with st.container(border=True, key=f"live-{record.run}"):
        what, doing, links = st.columns(_WIDTHS, vertical_alignment="center")
        with what, st.container(gap=None):
            _name(run, record)
        with doing:
            if record.status == "queued":
                st.caption(_place(record, ahead))
            else:
                _progress(run)
        with links, st.container(horizontal=True, vertical_alignment="center"):
            _open_link(record)
            controls.run_controls(run, key=f"live-{record.run}")


def _place(record: Description, ahead: int | None) -> str:
    """Return where a queued run stands."""
    if ahead:
        return f"Place {ahead + 1:,} in line: {count(ahead, 'run')} ahead"
    return literal(record.message, 120) or "Starting"


def _progress(run: Run) -> None:
    """Draw how far the stage at work has come."""
    now = readers.progress(run)
    if now is None:
        st.caption("Starting")
    else:
        st.progress(now.share, text=now.words())


def _show_ended(records: list[Description]) -> None:
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


def _matching(records: list[Description], typed: str) -> list[Description]:
    """Return the records that have every typed word in their name, dataset, state or strategies."""
    terms = typed.casefold().split()
    return [record for record in records if all(word in _searched(record) for word in terms)]


def _searched(record: Description) -> str:
    """Return the text of a record in which words are looked for."""
    strategies = [theme.strategy_word(name) for name in record.strategies]
    parts = [record.run, _dataset(record), theme.STATES[record.status][0], *strategies]
    return " ".join(map(str, parts)).casefold()


def _ended_row(record: Description) -> None:
    """Draw one run that is not at work."""
    run = Run(state.workspace().root / record.run)
    with st.container(border=True, key=f"row-{record.run}"):
        what, came, links = st.columns(_WIDTHS, vertical_alignment="center")
        with what, st.container(gap=None):
            _name(run, record)
        with came, st.container(gap=None):
            _outcome(run, record)
        with links, st.container(horizontal=True, vertical_alignment="center"):
            _open_link(record)
            controls.resume_button(run, record.status, key=f"row-{record.run}")
            with st.popover("More", type="tertiary", key=f"more-{record.run}"):
                controls.delete_button(run, key=f"row-{record.run}")


def _name(run: Run, record: Description) -> None:
    """Draw what a run is about, and its state."""
    readable = record.k is not None
    title = f"**{literal(collections.label(_dataset(record)), 60) if readable else literal(record.run)}**"
    about = moment(record.created)
    if readable:
        trials = record.trials or 1
        title += f" &nbsp; k = {record.k:,}, B = {record.budget:,}"
        title += f", {trials:,} trials" if trials > 1 else ""
        names = [literal(theme.strategy_word(name)) for name in record.strategies]
        seed = readers.config(run).seed  # tells runs of the same settings apart
        about += f" · seed {seed:,} · {', '.join(names)}  \n{literal(record.run)}"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(title, width="content")
        frame.badge(record.status)
    st.caption(about)


def _dataset(record: Description) -> str:
    """Return what to call the dataset; of a path only the last part, the rest is private."""
    return re.split(r"[/\\]", (record.dataset or "").rstrip("/\\"))[-1]


def _outcome(run: Run, record: Description) -> None:
    """Draw what came of a run: the test accuracy, or why there is none."""
    if record.status != "done":
        st.caption(literal(record.message, 160) or "Resume it to go on.")
        return
    if readers.waits(run):
        st.markdown("**Batch chosen**, waiting for labels")
        return
    if sentence := readers.rehearsal_verdict(run):
        st.caption(literal(sentence, 300))
    by_strategy = rivals.accuracies(readers.summary(run).results, "test_accuracy")
    named = [
        (literal(theme.strategy_word(name)), accuracy) for name, accuracy in by_strategy.items()
    ]
    for name, accuracy in named[:1]:
        trials = count(accuracy.trials, "trial")
        st.markdown(f"**{accuracy.words()}** test accuracy of {name}, {trials}")
    if rest := ", ".join(f"{name} {accuracy.words()}" for name, accuracy in named[1:]):
        st.caption(rest)


def _open_link(record: Description) -> None:
    """Draw the link to the page that fits the state; an unreadable run has none."""
    if record.status in _NEXT:
        page, label = _NEXT[record.status]
        state.link(page, record.run, label)


# The picture, drawn with plain boxes: it takes its colours from the theme, and a screen reader its words.

_LABELED = {3: "a", 8: "b", 16: "c", 21: "a", 29: "b", 34: "c"}
_CHOSEN = (1, 6, 10, 14, 18, 23, 25, 32, 37)
_STEPS = (
    "You have many images and few labels. Labels cost money, and often you can ask for them only once.",
    "RAMBO learns from those few labels which <em>set</em> of images teaches a classifier most.",
    "Then it chooses all the images to label in one go, and shows you how it chose.",
)
_ALT_TEXTS = (  # for screen readers
    "Forty images, six of them with a label.",
    "A set with labels of every kind teaches more than a set with one kind.",
    "Nine of the forty images, spread over all of them, are chosen.",
)


def _picture() -> str:
    """Return the three steps in words and boxes, as HTML."""
    few = _tiles([_LABELED.get(place, "") for place in range(40)])
    sets = "".join(
        f'<div class="set"><div class="four">{_tiles(list(marks))}</div>{words}</div>{sign}'
        for marks, words, sign in (
            ("abcabcab", "teaches more", "<b>&gt;</b>"),
            ("aaaabaaa", "teaches less", ""),
        )
    )
    chosen = _tiles(["★" if place in _CHOSEN else _LABELED.get(place, "") for place in range(40)])
    drawings = (
        f'<div class="ten">{few}</div>',
        f'<div class="pair">{sets}</div>',
        f'<div class="ten">{chosen}</div>',
    )
    steps = "".join(
        f'<div class="step"><div class="head"><b>{number}</b><span>{words}</span></div>'
        f'<div class="drawn" role="img" aria-label="{alt_text}">{drawing}</div></div>'
        for number, (words, alt_text, drawing) in enumerate(
            zip(_STEPS, _ALT_TEXTS, drawings, strict=True), 1
        )
    )
    return f'<div class="rambo-steps"><div class="row">{steps}</div></div>'


def _tiles(marks: list[str]) -> str:
    """Return one box for each mark: a letter is a label, a star is chosen, nothing is an unlabeled image."""
    kinds = {"": "u", "★": "s"}
    return "".join(f'<i class="{kinds.get(mark, "l")}">{mark}</i>' for mark in marks)
