"""The Train page in a real browser, on a real worker process: watched, reloaded, killed, resumed."""

import contextlib
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_config, write_tiny

from rambo.runs.workspace import Run, Workspace, create_run

from .conftest import PATIENCE, ROOT, SLACK, until
from .test_components import WATCH

SETTINGS: dict[str, Any] = {
    "strategies": ["rambo", "filter-only", "random"],
    "classifier": {"max_epochs": 4},
    "rambo": {
        "offline": {"pairs": 20, "repeated_pairs": 5},
        "utility_model": {"epochs": 40, "bilevel": {"inner_steps": 10, "terms": 10}},
    },
}
CHARTS = "document.querySelectorAll('.rambo-plot[data-digest] .main-svg').length"


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """A new run in the server's workspace; its worker does not outlive the test."""
    home = tmp_path / "home"
    fresh = create_run(tiny_config(**SETTINGS), write_tiny(home), Workspace(home), "cpu")
    yield fresh
    kill(fresh)


def kill(run: Run) -> None:
    """End the worker of a run as a crash would."""
    pid = run.worker.pid
    if pid is not None and run.locked():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def count(run: Run, kind: str) -> int:
    return sum(event.event.kind == kind for event in run.latest_events())


def test_a_run_is_started_watched_killed_and_resumed(serve, page, run: Run, tmp_path: Path) -> None:
    page.goto(f"{serve(ROOT / 'app.py')}/train?run={run.id}&research=true")
    page.get_by_text("Nobody works on this run yet").wait_for()
    page.get_by_role("button", name="Start").click()

    # Charts fill in, in nodes that stay, and keep the person's zoom.
    page.wait_for_function(f"{CHARTS} >= 3", timeout=PATIENCE * 1000)
    page.evaluate(WATCH)
    page.evaluate(
        """() => { window.node = document.querySelector('.js-plotly-plot');
                   return window.Plotly.relayout(window.node, {'xaxis.range': [2, 7]}); }"""
    )
    points = "window.node.data[0].x.length"
    marks, epochs = page.evaluate(points), count(run, "UtilityModelEpoch")
    until(lambda: count(run, "UtilityModelEpoch") > epochs + 5, "u_hat goes on learning")
    page.wait_for_function(f"{points} > {marks}", timeout=PATIENCE * 1000)
    page.wait_for_timeout(3_000)
    assert page.evaluate("window.removed") == 0
    assert page.evaluate("window.firstNodes.every((node) => node.isConnected)")
    assert page.evaluate("window.node._fullLayout.xaxis.range") == [2, 7]
    page.get_by_text(re.compile(r"last event \d+ s ago")).wait_for()

    # A crash is told within five seconds, without a reload.
    assert run.status == "running"
    kill(run)
    until(lambda: run.status == "interrupted", "the worker is gone")
    page.get_by_text("the worker process is gone").wait_for(timeout=(5 + SLACK) * 1000)

    # Resume goes on and ends; the page turns to the result by itself, and so does that of a bystander.
    bystander = page.context.new_page()
    bystander.goto(page.url)
    bystander.get_by_text("the worker process is gone").wait_for()
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Stop").wait_for()
    page.reload()
    assert f"run={run.id}" in page.url
    page.get_by_text(re.compile(r"RAMBO chose 12 of 76 images in 3 steps")).wait_for(
        timeout=PATIENCE * 1000
    )
    assert run.status == "done"
    bystander.get_by_text("RAMBO chose 12 of 76 images in 3 steps").wait_for(
        timeout=PATIENCE * 1000
    )
    bystander.close()
    page.wait_for_function(f"{CHARTS} >= 7")
    assert (
        page.get_by_role("link", name="See the chosen images")
        .get_attribute("href")
        .endswith(f"run={run.id}")
    )
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download figures as HTML").click()
    target = tmp_path / "figures.html"
    waiting.value.save_as(target)
    assert waiting.value.suggested_filename == f"{run.id}-figures.html"
    opened = page.context.new_page()
    opened.goto(target.as_uri())
    opened.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length >= 7")
    assert page.off_origin == []
    # Streamlit itself asks for /train/_stcore/... before it asks for /_stcore/...
    assert [text for text in page.console_errors if "404 (Not Found)" not in text] == []
