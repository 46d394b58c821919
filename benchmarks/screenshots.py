"""Take the pictures of the README: every page, light and dark, in a real browser on a real run.

    python -m benchmarks.screenshots [RUN]

Needs Chromium and `requirements-dev.txt`. Without RUN it takes the newest finished run of the workspace
(`RAMBO_HOME`, default `runs`), and makes the demo's first where there is none.
"""

import contextlib
import io
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from rambo import config
from rambo.collection import importing
from rambo.config import presets
from rambo.datasets import catalog
from rambo.runs import workspace as workspaces
from rambo.runs.workspace import Run
from rambo.studies import study
from rambo.worker import run_worker

PROJECT = Path(__file__).resolve().parents[1]
TARGET = Path(__file__).with_name("screenshots")
PAGES = {"home": 900, "data": 900, "configure": 1000, "train": 1420, "batch": 1150, "compare": 1150}
PAGES |= {"studies": 1250, "learn": 1000, "label": 1000}
VIEWS = {"learn": "step=transport"}  # what the address says beside the run
MINE, LABELED, IMAGES, BUDGET = "my-clothes", 60, 600, 40  # the collection of the page Label
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
REST = 2500  # milliseconds for a component to begin
UNFINISHED = "being measured|Measuring how fast|Looking up what"  # a page still waits for an answer
COLOURS = 256  # a palette keeps a picture below 200 kB


def main() -> None:
    """Take all pictures."""
    workspace = workspaces.Workspace.from_environment()
    run = _run(workspace, sys.argv[1] if len(sys.argv) > 1 else None)
    asked = _asked(workspace)
    TARGET.mkdir(exist_ok=True)
    with server(workspace.root) as (address, _), sync_playwright() as playwright:
        path = os.environ.get("RAMBO_CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        for scheme in ("light", "dark"):
            for name, height in PAGES.items():
                page = browser.new_page(
                    viewport={"width": 1360, "height": height}, color_scheme=scheme
                )
                place = "" if name == "home" else name
                shown = asked if name == "label" else run
                page.goto(f"{address}/{place}?run={shown.id}{_view(workspace, name)}")
                _settle(page)
                _save(page.screenshot(), TARGET / f"{name}-{scheme}.png")
                page.close()
        browser.close()


def _run(workspace: workspaces.Workspace, wanted: str | None) -> Run:
    """Return the run to show."""
    if wanted is not None:
        return workspace.find(wanted)
    for run in workspace.runs():
        if run.status == "done" and {"rambo", "filter-only"} <= set(run.config["strategies"]):
            return run
    run = run_worker.start(config.build(presets.demo()), workspace)
    run_worker.work(run)
    return run


def _asked(workspace: workspaces.Workspace) -> Run:
    """Return a run that waits for labels: a choice from a collection of which a tenth is labeled."""
    name = f"collection:{MINE}"
    for run in workspace.runs():
        if run.config["dataset"]["name"].startswith(name) and run.status == "done":
            return run
    data = catalog.prepare("fashion-mnist-mini", workspace.root)
    labels = np.where(np.arange(IMAGES) < LABELED, data.labels[:IMAGES], -1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{MINE}.npz"
        np.savez(path, images=data.images[:IMAGES, 0], labels=labels, classes=list(data.classes))
        importing.import_images(workspace.root, path)
    settings = {"dataset": {"name": name}, "k": LABELED, "budget": BUDGET}
    more = {"strategies": ["margin"], "acquisition": {"batch_size": BUDGET}}
    run = run_worker.start(config.build(settings | more), workspace)
    run_worker.work(run)
    return run


def _view(workspace: workspaces.Workspace, page: str) -> str:
    """Return what the address of a page says beside the run: of Studies the newest finished study, if there is one."""
    studies = study.workspace_of(workspace).runs() if page == "studies" else []
    done = [f"study={told.id}" for told in studies if told.status == "done"]
    parts = [VIEWS[page]] if page in VIEWS else done[:1]
    return "".join(f"&{part}" for part in parts)


def _settle(page: Page) -> None:
    """Wait until a page and its charts stand still: nothing runs and every chart is drawn, twice in a row."""
    page.wait_for_selector("h1", timeout=120_000)
    for _ in range(2):
        page.wait_for_timeout(REST)
        page.wait_for_function(
            "!document.querySelector('[data-testid=stApp][data-test-script-state=running]')"
            " && !document.querySelector('.rambo-plot:not([data-digest])')"
            f" && !/{UNFINISHED}/.test(document.body.innerText)",
            timeout=180_000,
        )


def _save(picture: bytes, target: Path) -> None:
    """Write a picture with a palette: half are its commonest colours, so white stays white, half cover thin lines."""
    true = Image.open(io.BytesIO(picture)).convert("RGB")
    pixels = np.asarray(true).astype(np.int32)
    packed = pixels @ np.array([1 << 16, 1 << 8, 1], np.int32)
    numbers, places, counts = np.unique(packed, return_inverse=True, return_counts=True)
    colours = np.stack([numbers >> 16, numbers >> 8 & 255, numbers & 255], 1)
    rare = true.quantize(COLOURS // 2, Image.Quantize.MAXCOVERAGE).getpalette() or []
    common = colours[np.argsort(-counts, kind="stable")[: COLOURS // 2]]
    kept = np.concatenate([common, np.array(rare, np.int32).reshape(-1, 3)])[:COLOURS]
    nearest = np.array([np.square(kept - colour).sum(1).argmin() for colour in colours], np.uint8)
    image = Image.fromarray(nearest[places].reshape(packed.shape))
    image.putpalette(kept.astype(np.uint8).tobytes())
    image.save(target, optimize=True)


@contextlib.contextmanager
def server(root: Path, script: str = "app.py") -> Iterator[tuple[str, int]]:
    """Run an app on a free port until the block ends; give its address and process id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", script, "--server.headless=true"]
    process = subprocess.Popen(
        [*command, f"--server.port={port}"],
        cwd=PROJECT,
        env={**os.environ, "RAMBO_HOME": str(root), "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/_stcore/health"):
                break
            time.sleep(0.2)
        yield address, process.pid
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
