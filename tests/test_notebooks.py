"""The notebooks in a real kernel: at small sizes on every test run, whole and as committed with `-m slow`."""

import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel

from rambo.runs.workspace import Workspace

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
sys.path.insert(0, str(NOTEBOOKS))

import refresh  # noqa: E402 - it lies beside the notebooks

ONE = '"compute": {"device": "cpu", "jobs": 1}, "classifier": {"max_epochs": 1}'
# Of 2,000 images t-SNE places a tenth: nobody looks at the map.
MAP = "from rambo.worker import neighbour_map\nneighbour_map.PLACED = 200\n"
SMALL = {
    "tour.ipynb": f"""{MAP}trials = 2
settings = {{"k": 24, "budget": 8, "seed": 1, "dataset": {{"validation_part": 20}}, {ONE}}}
settings["acquisition"] = {{"batch_size": 4, "filter_size": 12}}
settings["rambo"] = {{
    "initial_size": 16,
    "pairs_per_iteration": 4,
    "offline": {{"pairs": 4, "held_out": 0.5, "repeated_pairs": 1}},
    "utility_model": {{"epochs": 1, "bilevel": {{"inner_steps": 2, "terms": 2}}}},
}}""",
    "your_own_strategy.ipynb": f'{MAP}settings = {{"k": 24, "budget": 8, "trials": 1, {ONE}}}',
    "class.ipynb": f'{MAP}settings = {{"k": 24, "budget": 8, {ONE}}}',
}


def read(name: str) -> Any:
    return nbformat.read(NOTEBOOKS / name, as_version=4)


def text_of(cell: Any) -> str:
    """Return what a cell printed or gave back as text."""
    parts = [out.get("text") or out.get("data", {}).get("text/plain", "") for out in cell.outputs]
    return "".join(parts).strip()


def tagged(book: Any, tag: str) -> list[str]:
    """Return what the cells with a tag say."""
    return [text_of(cell) for cell in book.cells if tag in cell.metadata.get("tags", ())]


@pytest.mark.parametrize("name", refresh.NAMES)
def test_a_notebook_runs_and_says_what_does_not_depend_on_its_size(
    name: str, tmp_path: Path
) -> None:
    book = refresh.execute(NOTEBOOKS / name, tmp_path, SMALL[name])  # an error in a cell is raised
    assert tagged(book, "fixed") == tagged(read(name), "fixed")
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    if name == "tour.ipynb":
        assert tagged(book, "table")[0].startswith("8 images, 8 of them different")
        assert (tmp_path / "runs" / "batch.csv").read_text().count("\n") == 9
    if name == "your_own_strategy.ipynb":
        (counts,) = tagged(book, "fair")
        classes, most = map(int, re.match(r"(\d+) guessed classes; (\d+) images", counts).groups())  # type: ignore[union-attr]
        assert classes > 1
        assert most < 8


def test_a_kernel_that_is_interrupted_stops_the_run_and_the_cell_goes_on_with_it(
    tmp_path: Path,
) -> None:
    cell = f"""import numpy as np, pathlib, rambo, tiny
data = tiny.write_tiny(pathlib.Path("tiny"))
settings = {{"k": 24, {ONE}, "strategies": ["random", "margin"], "trials": 6}}
rambo.compare(np.array(data.images), np.array(data.labels), budget=8, **settings)"""
    workspace = Workspace(tmp_path / "runs")
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
        "RAMBO_HOME": str(workspace.root),
    }
    manager, client = start_new_kernel(cwd=str(tmp_path), env=environment)
    try:
        # without it a kernel may abort what arrives just after an error
        first = client.execute(cell, stop_on_error=False)
        limit = time.monotonic() + 120
        while not [run for run in workspace.runs() if run.status == "running" and run.results()]:
            assert time.monotonic() < limit
            time.sleep(0.05)
        manager.interrupt_kernel()
        reply = answer(client, first)
        (stored,) = workspace.runs()
        assert (reply["status"], stored.status) == ("error", "stopped")
        (line,) = reply["traceback"]
        assert line == f"stopped; run this cell again, and run {stored.id} goes on where it is"
        assert 0 < len(stored.results()) < 12
        again = answer(client, client.execute(cell))
        assert again["status"] == "ok", again
        assert [run.id for run in workspace.runs()] == [stored.id]
        assert (stored.status, len(stored.results())) == ("done", 12)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def answer(client: Any, question: str) -> Any:
    """Return what a kernel answers to a cell."""
    while True:
        reply = client.get_shell_msg(timeout=120)
        if reply["parent_header"]["msg_id"] == question:
            return reply["content"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_tour_shows_what_is_committed(tmp_path: Path) -> None:
    """The same seed gives the same choice and the same figures on one kind of CPU, at the sizes of the notebook."""
    committed = read("tour.ipynb")
    book = refresh.execute(NOTEBOOKS / "tour.ipynb", tmp_path)
    assert tagged(book, "fixed") == tagged(committed, "fixed")
    figures = [figures_of(some) for some in (book, committed)]
    assert len(figures[0]) == 5
    kinds = [[trace["type"] for trace in figure] for figure in figures[0]]
    assert kinds == [[trace["type"] for trace in figure] for figure in figures[1]]
    assert tagged(book, "table")[0].startswith("100 images, 100 of them different")
    if committed.metadata["arithmetic"] == refresh.arithmetic():
        assert tagged(book, "table") == tagged(committed, "table")
        assert figures[0] == figures[1]


def figures_of(book: Any) -> list[Any]:
    """Return the data of every figure of plotly."""
    outputs = [out for cell in book.cells for out in cell.get("outputs", ())]
    figures = [
        out["data"][refresh.PLOTLY] for out in outputs if refresh.PLOTLY in out.get("data", {})
    ]
    return [figure["data"] for figure in figures]


@pytest.mark.parametrize("name", refresh.NAMES)
def test_a_notebook_is_committed_with_what_it_shows_and_names_no_machine(name: str) -> None:
    book = read(name)
    nbformat.validate(book)
    text = (NOTEBOOKS / name).read_text()
    assert not re.search(r"/(home|root|tmp|work|mnt)/", text)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    kinds = [out.output_type for cell in code for out in cell.outputs]
    assert "error" not in kinds
    assert len(kinds) >= 5
    for cell in code:
        for out in cell.outputs:
            data = out.get("data", {})
            assert refresh.PLOTLY not in data or data["image/png"].startswith("iVBOR")
            assert out.get("name") != "stderr"


def test_every_answer_is_hidden_and_every_figure_says_what_to_notice() -> None:
    answers = [
        cell for cell in read("class.ipynb").cells if "answer" in cell.metadata.get("tags", ())
    ]
    assert len(answers) == 7
    hidden = {"source_hidden": True, "outputs_hidden": True}
    assert all(cell.metadata["jupyter"] == hidden for cell in answers)
    cells = read("tour.ipynb").cells
    words = [cell.source for cell in cells if cell.cell_type == "markdown"]
    assert sum(source.startswith("**Notice**") for source in words) >= 9
    assert all(len(cell.source.splitlines()) <= 10 for cell in cells if cell.cell_type == "code")
