"""The app under a real browser while a run trains: `python -m benchmarks.app`.

Starts a server on a scratch workspace with a finished demo run and a second one in training, and opens pages in
headless Chromium (software WebGL). Needs Chromium and `requirements-dev.txt`; takes about ten minutes on two cores.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.measure import CannotMeasureError, Goal, Measure
from benchmarks.report import show
from benchmarks.screenshots import FLAGS as EMULATED
from benchmarks.screenshots import server
from benchmarks.timing import CPU, WALL, timed
from rambo import config
from rambo.config import presets
from rambo.datasets import catalog
from rambo.runs import jobs
from rambo.runs.workspace import Run, Workspace
from rambo.worker import run_worker

# Only WebGL is emulated, and all else painted as Chromium itself does where there is no graphics card: an emulated one
# takes up to ten times the CPU time for a frame, and the server's answer waits in the page meanwhile.
FLAGS = [*EMULATED, "--disable-gpu-rasterization", "--disable-gpu-compositing"]
ROUNDS = 5
WATCHED_SECONDS = 10
IDLE, BUSY = "no run at work", "a run training on all cores"
MENU = ("Data", "Configure", "Train", "Batch", "Compare", "Studies", "Learn", "Home")
MOVES = {  # steps of Learn that begin with a slider
    "RankNet": "ranknet",
    "bilevel": "bilevel",
    "interpolated utilities": "interpolation",
    "from margin to u_hat": "filter",
}
_GALLERY = """
import numpy as np, streamlit as st
from rambo.ui.components import gallery, make_sprites
st.title("Thumbnails")
count = int(st.query_params.get("count", 0))
if count:
    images = np.random.default_rng(0).integers(0, 255, (count, 1, 28, 28), dtype=np.uint8)
    gallery(make_sprites(images, range(count)), range(count), key="g")
"""
_WHERE = (
    "Browser, server and worker share the cores; only WebGL emulates a graphics card: upper bounds."
)
_SETTLED = "[data-testid=stApp][data-test-script-state=notRunning]"
# Playwright's own waits for a selector look every half second in the end.
_LOOK = 20  # milliseconds between two looks
_NAMED = """(words) => [...document.querySelectorAll('[data-testid=stMainBlockContainer] p')].some(
    (line) => line.textContent.includes(words))"""
_NUMBERS = """() => [...document.querySelectorAll('[data-testid=stMetric]')].map(
    (number) => number.innerText).join()"""
_READING = 5000  # milliseconds that a person looks at Home
_READY = 6  # seconds after which a server has read ahead
_MAP = ".rambo-plot[data-digest][aria-label^='Map of']"
_CELLS = """(wanted) => [...document.querySelectorAll('*')].some(
    (node) => node.shadowRoot?.querySelectorAll('.cell').length === wanted)"""


def measure() -> list[Measure]:
    """Return what thumbnails, a map, every page, and watching a run cost.

    Raises:
        CannotMeasureError: there is no Chromium.
    """
    chromium = os.environ.get("RAMBO_CHROMIUM", "/usr/bin/chromium")
    if not Path(chromium).exists():
        raise CannotMeasureError("there is no Chromium; RAMBO_CHROMIUM may name it")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        workspace = Workspace(Path(folder) / "runs")
        run = run_worker.start(config.build(presets.demo()), workspace)
        run_worker.work(run)
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        gallery = Path(folder) / "gallery.py"
        gallery.write_text(_GALLERY)
        with server(workspace.root, str(gallery)) as (address, _):
            found = [_thumbnails(page, address)]
        found.append(_first_map(browser, workspace, run))
        found.append(_finished(browser, Path(folder)))
        with server(workspace.root) as (address, pid):
            idle = _pages(page, address, run)
            moves = {IDLE: _moves(page, address)}
            busy_run = _second_run(workspace)
            busy = _pages(page, address, run)
            moves[BUSY] = _moves(page, address)
            found += [_page(name, idle[name], busy[name]) for name in MENU]
            found.append(_learn(moves))
            found.append(_watching(page, address, busy_run, pid))
        jobs.stop(busy_run)
        while busy_run.locked():
            time.sleep(0.2)
        browser.close()
    return found


def _second_run(workspace: Workspace) -> Run:
    """Return a run that trains for some minutes."""
    settings = presets.quick() | {"seed": 1}
    data = catalog.prepare("fashion-mnist-mini", workspace.root)
    run, _ = jobs.start(config.build(settings), data, workspace, "cpu")
    while not any(event.event.kind == "ClassifierTrained" for event in run.events()):
        time.sleep(0.5)
    return run


def _thumbnails(page: Page, address: str) -> Measure:
    """Return how long an empty page takes, and one with 500 thumbnails."""
    seconds: dict[int, list[float]] = {0: [], 500: []}

    def visit(count: int) -> None:
        page.goto(f"{address}/?count={count}")
        page.wait_for_selector("h1")
        if count:
            page.wait_for_function(_CELLS, arg=count)
        _wait_settled(page)

    for turn in range(ROUNDS + 1):
        for count, values in seconds.items():
            taken = timed(lambda count=count: visit(count), WALL)
            if turn:  # the first of each fills the caches
                values.append(taken)
    more = statistics.median(seconds[500]) - statistics.median(seconds[0])
    return Measure(
        name="Thumbnails",
        what="A page is opened, empty and with 500 thumbnails.",
        clock=WALL,
        seconds={"empty page": seconds[0], "500 thumbnails": seconds[500]},
        goals=[Goal("seconds more for 500 thumbnails", more, 1, at_most=True)],
        note=_WHERE,
    )


def _first_map(browser: Browser, workspace: Workspace, run: Run) -> Measure:
    """Return how long a click on Batch takes until the map is drawn, in a browser that has seen Home only."""
    seconds: dict[str, list[float]] = {"the server's first visitor": [], "a later visitor": []}
    for _ in range(ROUNDS):
        with server(workspace.root) as (address, _):
            time.sleep(_READY)
            for values in seconds.values():
                page = browser.new_context(viewport={"width": 1280, "height": 720}).new_page()
                page.goto(f"{address}/?run={run.id}")
                page.wait_for_selector("h1")
                page.wait_for_selector(_SETTLED)
                page.wait_for_timeout(_READING)
                link = page.locator("[data-testid=stSidebar]").get_by_role("link", name="Batch")
                values.append(timed(lambda link=link, page=page: _open_map(link.click, page), WALL))
                page.context.close()
    first = statistics.median(seconds["the server's first visitor"])
    return Measure(
        name="The map of Batch",
        what="A click on Batch in the menu of Home until the map of all images, nearly 10,000, is drawn.",
        clock=WALL,
        seconds=seconds,
        goals=[Goal("seconds of the first visitor", first, 1.5, at_most=True)],
        note=_WHERE,
    )


def _finished(browser: Browser, folder: Path) -> Measure:
    """Return how long a page takes to open on the run that comes along, which the workspace does not have yet."""
    seconds: dict[str, list[float]] = {}
    for turn in range(ROUNDS):
        for name in ("Batch", "Compare"):
            with server(folder / f"empty-{name}-{turn}") as (address, _):
                time.sleep(_READY)
                page = browser.new_context(viewport={"width": 1280, "height": 720}).new_page()
                page.goto(address)
                page.wait_for_selector("h1")
                page.wait_for_selector(_SETTLED)
                page.wait_for_timeout(_READING)
                link = page.locator("[data-testid=stSidebar]").get_by_role("link", name=name)
                began = time.perf_counter()
                link.click()
                page.wait_for_function(_NAMED, arg="The run that comes with RAMBO", polling=_LOOK)
                seconds.setdefault(f"{name}, its heading", []).append(time.perf_counter() - began)
                _wait_settled(page)
                seconds.setdefault(f"{name}, all of it", []).append(time.perf_counter() - began)
                page.context.close()
    return Measure(
        name="The run that comes along",
        what="A click in the menu of Home, in an empty workspace, until the page shows the run: it is unpacked first.",
        clock=WALL,
        seconds=seconds,
        goals=[
            Goal(f"seconds of {label}", statistics.median(values), 1, at_most=True)
            for label, values in seconds.items()
        ],
        note=_WHERE,
    )


def _wait_settled(page: Page) -> None:
    """Wait until the server has answered all of a page."""
    page.wait_for_function(
        "(state) => document.querySelector(state) !== null", arg=_SETTLED, polling=_LOOK
    )


def _open_map(click: Callable[[], None], page: Page) -> None:
    """Click and wait until the map is drawn."""
    click()
    page.wait_for_function("(map) => document.querySelector(map)", arg=_MAP, polling=_LOOK)


def _pages(page: Page, address: str, run: Run) -> dict[str, list[float]]:
    """Return how long a click in the menu takes until the new page has answered, by page."""
    page.goto(f"{address}/?run={run.id}")
    page.wait_for_selector("h1")
    page.wait_for_selector(_SETTLED)
    seconds: dict[str, list[float]] = {name: [] for name in MENU}
    for turn in range(ROUNDS + 1):
        for name in MENU:
            link = page.locator("[data-testid=stSidebar]").get_by_role("link", name=name)
            taken = timed(lambda link=link, name=name: _click(page, link.click, name), WALL)
            if turn:  # the first round fills the caches
                seconds[name].append(taken)
            page.wait_for_timeout(700)
    return seconds


def _page(name: str, idle: list[float], busy: list[float]) -> Measure:
    """Return the measure of one page."""
    return Measure(
        name=f"Page {name}",
        what="A click in the menu until the server has answered all of the new page.",
        clock=WALL,
        seconds={IDLE: idle, BUSY: busy},
        goals=[Goal("seconds while a run trains", statistics.median(busy), 1, at_most=True)],
        note=f"The rounds with a run at work came after those without. {_WHERE}",
    )


def _moves(page: Page, address: str) -> dict[str, list[float]]:
    """Return how long a move of a slider takes until the browser shows other numbers, by step of Learn."""
    seconds: dict[str, list[float]] = {}
    for title, step in MOVES.items():
        page.goto(f"{address}/learn?step={step}")
        page.wait_for_selector("h1")
        page.wait_for_selector(_SETTLED)
        seconds[title] = []
        for turn in range(ROUNDS + 1):
            before = page.evaluate(_NUMBERS)
            key = "ArrowLeft" if turn % 2 else "ArrowRight"
            taken = timed(lambda before=before, key=key: _move(page, key, before), WALL)
            if turn:  # the first fills the caches
                seconds[title].append(taken)
            page.wait_for_selector(_SETTLED)
            page.wait_for_timeout(500)
    return seconds


def _move(page: Page, key: str, before: str) -> None:
    """Move the first slider and wait until the numbers are others."""
    page.get_by_role("slider").first.press(key)
    page.wait_for_function(f"(before) => ({_NUMBERS})() !== before", arg=before)


def _learn(moves: dict[str, dict[str, list[float]]]) -> Measure:
    """Return the measure of the moves on Learn."""
    slowest = {
        state: max(map(statistics.median, seconds.values())) for state, seconds in moves.items()
    }
    return Measure(
        name="A move on Learn",
        what="A slider is moved by an arrow key, until the browser shows the new numbers.",
        clock=WALL,
        seconds={
            f"{title}, {state}": values
            for state, seconds in moves.items()
            for title, values in seconds.items()
        },
        goals=[
            Goal(f"seconds of the slowest step, {state}", value, 0.3, at_most=True)
            for state, value in slowest.items()
        ],
        note=_WHERE,
    )


def _click(page: Page, click: Callable[[], None], name: str) -> None:
    """Click and wait until the server has answered all of the new page."""
    click()
    page.wait_for_function("name => document.title.startsWith(name)", arg=name, polling=_LOOK)
    _wait_settled(page)


def _watching(page: Page, address: str, run: Run, pid: int) -> Measure:
    """Return the server's CPU time while a page watches a run at work, and while none does."""
    seconds: dict[str, list[float]] = {"unwatched": [], "watched": []}
    for _ in range(ROUNDS):
        for name, values in seconds.items():
            page.goto(f"{address}/train?run={run.id}" if name == "watched" else "about:blank")
            if name == "watched":
                page.wait_for_selector(_SETTLED)
            page.wait_for_timeout(4000)  # what opening and leaving a page costs is not watching
            began = cpu_seconds(pid)
            page.wait_for_timeout(WATCHED_SECONDS * 1000)
            values.append(cpu_seconds(pid) - began)
    cores = os.cpu_count() or 1
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    share = (medians["watched"] - medians["unwatched"]) / WATCHED_SECONDS / cores
    return Measure(
        name="Watching a run",
        what=f"The server's own CPU time in {WATCHED_SECONDS} seconds, while a page shows a run at work or none does.",
        clock=CPU,
        seconds=seconds,
        goals=[Goal("share of the machine", share, 0.02, 0.005, at_most=True)],
        note="The browser's own share is not counted.",
    )


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    show(measure())
