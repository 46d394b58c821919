"""Run the notebooks in a fresh kernel and keep what they show: `python notebooks/refresh.py [NAME.ipynb ...]`.

Figures are kept as plotly's JSON and as a picture, so that they are seen where no script runs; what a bar wrote while
it ran is left out. Needs requirements-dev.txt and Chromium.
"""

import base64
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
NAMES = ("tour.ipynb", "your_own_strategy.ipynb", "class.ipynb")
PLOTLY = "application/vnd.plotly.v1+json"
WIDTH = 760  # pixels of a picture


def execute(path: Path, folder: Path, parameters: str = "") -> Any:
    """Return a notebook run from top to bottom in a fresh kernel; any error in a cell is raised.

    Args:
        path: the notebook.
        folder: the kernel's current one, where its runs lie.
        parameters: code that stands in for the cell that is tagged so.
    """
    book = nbformat.read(path, as_version=4)
    for cell in book.cells:
        if parameters and "parameters" in cell.metadata.get("tags", ()):
            cell.source = parameters
    paths = [str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    kept = {name: value for name, value in os.environ.items() if name != "RAMBO_HOME"}
    environment = kept | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    (folder / "runs").mkdir(exist_ok=True)
    client = NotebookClient(book, timeout=1800, resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)
    return book


def arithmetic() -> str:
    """Return what of this machine decides the last bits of a sum, and so which batch is chosen: maker and vectors."""
    import torch

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    makers = [line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")]
    maker = makers[0] if makers else platform.machine()
    return f"{maker}, {torch.backends.cpu.get_cpu_capability()}"


def tidy(book: Any, draw: Callable[[Any], bytes]) -> None:
    """Leave of each output what a reader wants, in place, and note on which arithmetic it came."""
    book.metadata["arithmetic"] = arithmetic()
    for cell in book.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
        for out in cell.outputs:
            data = out.get("data", {})
            if PLOTLY in data:
                picture = base64.b64encode(draw(data[PLOTLY])).decode("ascii")
                data.pop("text/html", None)
                data |= {"image/png": picture, "text/plain": "a figure of plotly"}


@contextmanager
def drawing() -> Iterator[Callable[[Any], bytes]]:
    """Draw figures with plotly.js in Chromium."""
    import plotly
    from playwright.sync_api import sync_playwright

    script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium)
        page = browser.new_page(viewport={"width": WIDTH, "height": 900})
        page.set_content("<!doctype html><div id='figure'></div>")
        page.add_script_tag(path=str(script))

        def draw(figure: Any) -> bytes:
            figure["layout"].pop("width", None)
            size = {"width": WIDTH, "height": figure["layout"].get("height", 400)}
            page.locator("#figure").evaluate(
                "(box, height) => { box.style.height = height + 'px' }", size["height"]
            )
            page.evaluate(
                "([figure, size]) => Plotly.newPlot('figure', figure.data, {...figure.layout, ...size},"
                " {displayModeBar: false, staticPlot: true})",
                [figure, size],
            )
            return page.locator("#figure").screenshot()

        yield draw
        browser.close()


if __name__ == "__main__":
    with drawing() as draw:
        for name in sys.argv[1:] or NAMES:
            with tempfile.TemporaryDirectory() as folder:
                book = execute(HERE / name, Path(folder))
            tidy(book, draw)
            nbformat.write(book, HERE / name)
            sys.stderr.write(f"{name}\n")
