"""The app under a real browser while a run trains: `python -m benchmarks.app`.

Starts a server on a scratch workspace with a finished demo run and a second one in training, opens pages in headless
Chromium (software WebGL), and prints a Markdown section. Needs Chromium and `requirements-dev.txt`; takes about
eight minutes on two cores.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from benchmarks.screenshots import FLAGS, server
from benchmarks.timing import machine, spread
from rambo import config, jobs, presets, worker
from rambo.datasets import catalog
from rambo.store import Run, Workspace

ROUNDS = 5
WATCHED_SECONDS = 30
MENU = ("Data", "Configure", "Train", "Batch", "Compare", "Studies", "Home")
_GALLERY = """
import numpy as np, streamlit as st
from rambo.ui.components import gallery, make_sprites
st.title("Thumbnails")
count = int(st.query_params.get("count", 0))
if count:
    images = np.random.default_rng(0).integers(0, 255, (count, 1, 28, 28), dtype=np.uint8)
    gallery(make_sprites(images, range(count)), range(count), key="g")
"""
_SETTLED = "[data-testid=stApp][data-test-script-state=notRunning]"
_CELLS = """(wanted) => [...document.querySelectorAll('*')].some(
    (node) => node.shadowRoot?.querySelectorAll('.cell').length === wanted)"""


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        workspace = Workspace(Path(folder) / "runs")
        run = worker.start(config.build(presets.demo()), workspace)
        worker.work(run)
        path = os.environ.get("RAMBO_CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        gallery = Path(folder) / "gallery.py"
        gallery.write_text(_GALLERY)
        print(f"{machine()}\n")
        with server(workspace.root, str(gallery)) as (address, _):
            _show_thumbnails(page, address)
        with server(workspace.root) as (address, pid):
            print("| what | seconds, median of 5 (range) |\n| --- | --- |")
            _show_pages(page, address, run, "no run at work")
            busy = _second_run(workspace)
            _show_pages(page, address, run, "a run training on all cores")
            _show_watching(page, address, busy, pid)
        jobs.stop(busy)
        while busy.locked():
            time.sleep(0.2)
        browser.close()


def _second_run(workspace: Workspace) -> Run:
    """Return a run that trains for some minutes."""
    settings = presets.quick() | {"seed": 1}
    data = catalog.prepare("fashion-mnist-mini", workspace.root)
    run, _ = jobs.start(config.build(settings), data, workspace, "cpu")
    while not any(event["kind"] == "ClassifierTrained" for event in run.events()):
        time.sleep(0.5)
    return run


def _show_thumbnails(page: Page, address: str) -> None:
    """Print how long an empty page takes, and one with 500 thumbnails."""
    seconds: dict[int, list[float]] = {0: [], 500: []}
    for count in (0, 500, *[0, 500] * ROUNDS):  # the first of each fills the caches
        started = time.perf_counter()
        page.goto(f"{address}/?count={count}")
        page.wait_for_selector("h1")
        if count:
            page.wait_for_function(_CELLS, arg=count)
        page.wait_for_selector(_SETTLED)
        seconds[count].append(time.perf_counter() - started)
    empty, full = (values[1:] for values in seconds.values())
    print(f"Empty page {spread(empty)} s, with 500 thumbnails {spread(full)} s: ", end="")
    print(f"{statistics.median(full) - statistics.median(empty):+.2f} s\n")


def _show_pages(page: Page, address: str, run: Run, state: str) -> None:
    """Print how long a click in the menu takes until the new page has answered."""
    page.goto(f"{address}/?run={run.id}")
    page.wait_for_selector("h1")
    page.wait_for_selector(_SETTLED)
    seconds: dict[str, list[float]] = {name: [] for name in MENU}
    for turn in range(ROUNDS + 1):
        for name in MENU:
            link = page.locator("[data-testid=stSidebar]").get_by_role("link", name=name)
            taken = _timed(lambda link=link, name=name: _click(page, link.click, name))
            if turn:  # the first round fills the caches
                seconds[name].append(taken)
            page.wait_for_timeout(700)
    for name, values in seconds.items():
        print(f"| {name}, {state} | {spread(values)} |")


def _click(page: Page, click: Callable[[], None], name: str) -> None:
    """Click and wait until the server has answered all of the new page."""
    click()
    page.wait_for_function("name => document.title.startsWith(name)", arg=name, polling=20)
    page.wait_for_selector(_SETTLED)


def _show_watching(page: Page, address: str, run: Run, pid: int) -> None:
    """Print the server's CPU time while a page watches a run at work, and while none does."""
    page.goto(f"{address}/train?run={run.id}")
    page.wait_for_selector(_SETTLED)
    page.wait_for_timeout(5000)
    shares = []
    for wait in (page.wait_for_timeout, lambda ms: time.sleep(ms / 1000)):
        began = _cpu_seconds(pid)
        wait(WATCHED_SECONDS * 1000)
        shares.append((_cpu_seconds(pid) - began) / WATCHED_SECONDS)
        page.goto("about:blank")
        page.wait_for_timeout(2000)
    cores = os.cpu_count() or 1
    print(
        f"\nA watched run costs the server {100 * shares[0]:.1f} % of one core, an unwatched one "
        f"{100 * shares[1]:.1f} %: {100 * (shares[0] - shares[1]) / cores:.1f} % of this machine."
    )


def _timed(work: Callable[[], None]) -> float:
    """Return the seconds that something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _cpu_seconds(pid: int) -> float:
    """Return the CPU seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
