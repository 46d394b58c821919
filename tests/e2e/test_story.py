"""A newcomer's way through the app, on the shipped images: set up, start, stop, resume, inspect, export."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from rambo.runs.workspace import Run, Workspace

from .conftest import PATIENCE, ROOT, SLACK, reaches, running, settled, until

SMALL = {
    "Labels you hold": 30,
    "Labels to buy": 10,
    "Images each step": 5,
    "Pretraining starts at": 20,
    "Pairs a round adds": 4,
    "Offline pairs": 4,
    "Epochs": 2,
}


def field(page, label: str):
    """Return a number's field of the form, as its label begins."""
    return page.locator(f'input[type=number][aria-label^="{label}"]').first


def fill(page, label: str, value: int) -> None:
    """Type a number into a field of the form."""
    field(page, label).fill(str(value))
    field(page, label).press("Enter")
    settled(page)


def wait_status(run: Run, expected: str, seconds: float = 2 * PATIENCE) -> None:
    reaches(lambda: run.status, expected, seconds)


def command_line(home: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "rambo", *arguments],
        cwd=ROOT,
        env={**os.environ, "RAMBO_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_from_an_empty_workspace_to_a_file_for_annotators(page, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running(ROOT / "app.py", home) as address:
        page.goto(address)
        page.get_by_role("button", name="Start the demo").wait_for()
        page.locator("[data-testid=stSidebar]").get_by_role("link", name="Configure").click()
        page.get_by_text("What it will cost").wait_for()
        settled(page)
        page.locator(".st-key-configure-all label").click()
        field(page, "Images each step").wait_for()
        settled(page)
        fill(page, "Labels to buy", 9000)
        page.get_by_text(re.compile("lower it to at most 7,?800")).first.wait_for()
        page.locator(".st-key-configure-start button:disabled").wait_for()
        for label, value in SMALL.items():
            fill(page, label, value)
        for label, value in SMALL.items():
            reaches(field(page, label).input_value, str(value))
        page.get_by_text("measured on").or_(page.get_by_text("calibrated")).first.wait_for(
            timeout=PATIENCE * 1000
        )
        page.locator(".st-key-configure-start button").dblclick()
        page.wait_for_url(re.compile(r"/train\?.*run="))
        settled(page)
        (run,) = Workspace(home).runs()
        assert parse_qs(urlsplit(page.url).query)["run"] == [run.id]
        wait_status(run, "running")
        page.get_by_role("button", name="Stop").click()
        until(run.stop_requested, "the stop is asked for")
        wait_status(run, "stopped", seconds=10 + SLACK)  # the page promises ten seconds
        page.get_by_role("button", name="Resume").click()
        wait_status(run, "running")

    # The server is gone; the worker is not, or it was done first.
    assert run.locked() or run.status == "done"
    with running(ROOT / "app.py", home) as address:
        page.goto(f"{address}/train?run={run.id}")
        settled(page)
        wait_status(run, "done")
        page.get_by_text(re.compile("RAMBO chose")).first.wait_for()
        page.locator("[data-testid=stSidebar]").get_by_role("link", name="Batch").click()
        page.wait_for_url(re.compile(r"/batch\?"))
        page.get_by_text(re.compile("RAMBO.*chose")).first.wait_for()
        settled(page)
        page.get_by_role("tab", name="Export").click()
        page.get_by_text("Table (csv)").click()
        with page.expect_download() as download:
            page.get_by_role("button", name="Download 10 images as csv").click()
        text = Path(download.value.path()).read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    answer = json.loads(command_line(home, "show", run.id, "--json"))
    (rambo,) = [row for row in answer["results"] if row["strategy"] == "rambo"]
    assert [int(row["dataset_index"]) for row in rows] == rambo["selected"]
    assert len(rows) == 10
    assert [int(row["step"]) for row in rows] == rambo["steps"]
    assert {row["run_id"] for row in rows} == {run.id}
    assert page.off_origin == []
