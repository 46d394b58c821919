"""The hand-over of a batch: which file for whom, and figures as a page of their own."""

import dataclasses
import html
import json
import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import streamlit as st

from rambo import export
from rambo.errors import DataError
from rambo.ui import theme
from rambo.ui.batch.batch_data import Batch
from rambo.ui.components import PreparedFigure
from rambo.ui.text import count, literal


@dataclasses.dataclass(frozen=True)
class Format:
    """How a format is offered.

    Attributes:
        name: on the page.
        purpose: one sentence: what is in it, and for whom.
        images: it holds the images themselves.
        ending: of the file.
        mime: media type of the file.
    """

    name: str
    purpose: str
    images: bool = False
    ending: str = ""
    mime: str = "application/zip"


FORMATS = {
    "zip": Format(
        "Everything (zip)",
        "Images, manifest, settings and Label Studio files in one archive: for annotators.",
        True,
        ".zip",
    ),
    "csv": Format(
        "Table (csv)",
        "One row for each image: for a spreadsheet or pandas.",
        False,
        ".csv",
        "text/csv",
    ),
    "label-studio": Format(
        "Label Studio",
        "Tasks with f's guesses, the labeling interface and a README: for Label Studio.",
        True,
        "-label-studio.zip",
    ),
    "fiftyone": Format(
        "FiftyOne",
        "Images and labels.json in the layout FiftyOne imports: for curation.",
        True,
        "-fiftyone.zip",
    ),
    "distil": Format(
        "DISTIL indices",
        "Positions in the unlabeled pool as .npy: for research code.",
        False,
        "-distil.zip",
    ),
    "jsonl": Format(
        "JSON lines",
        "One object for each image: for scripts.",
        False,
        ".jsonl",
        "application/jsonl",
    ),
    "json": Format(
        "JSON", "The same as one list: for scripts.", False, ".json", "application/json"
    ),
}


def show(batch: Batch, *, oracle: bool) -> None:
    """Let a person choose a format and its options, and hand over the file."""
    offered = [name for name in FORMATS if batch.data is not None or not FORMATS[name].images]
    if batch.atlas is None or batch.data is None:
        offered.remove("distil")  # it needs pool positions
    picked = st.radio(
        "Format",
        offered,
        format_func=lambda name: FORMATS[name].name,
        captions=[FORMATS[name].purpose for name in offered],
        key="export-format",
    )
    if len(offered) < len(FORMATS):
        st.caption("More formats come back when the images and the map of this run are there.")
    image_url = export.IMAGE_URL
    if picked in ("zip", "label-studio"):
        image_url = st.text_input(
            "Label Studio finds the images at",
            export.IMAGE_URL,
            key="export-url",
            help="What stands before each file name in the tasks. The default suits Label Studio's local files.",
        )
    truth = oracle and st.checkbox(
        "Include the oracle's labels as a column", key="export-truth", value=False
    )
    name, mime = name_of(batch, picked)
    st.download_button(
        f"Download {count(batch.count, 'image')}",
        data=maker(batch, picked, truth=bool(truth), image_url=image_url),
        file_name=name,
        mime=mime,
        on_click="ignore",
        type="primary",
        icon=":material/download:",
        key="export-download",
    )
    st.caption(
        f"{literal(name, 200)} · in the order of choice · the same bytes each time. On the command line: "
        f"`python -m rambo export {batch.run.id} --format {picked} --strategy {batch.strategy} "
        f"--seed {batch.seed} --out FILE`"
    )


def name_of(batch: Batch, picked: str) -> tuple[str, str]:
    """Return name and media type of the file that `export.build` makes, without making it."""
    made = FORMATS[picked]
    return f"{batch.run.id}-{batch.strategy}-seed{batch.seed}{made.ending}", made.mime


def maker(batch: Batch, picked: str, *, truth: bool, image_url: str) -> Callable[[], bytes]:
    """Return what makes the bytes when the button is pressed, not before."""
    run, strategy, seed = batch.run, batch.strategy, batch.seed

    def make() -> bytes:
        built = export.build(run, picked, strategy, seed, truth=truth, image_url=image_url)
        return built.data

    return make


def figures_button(figures: Mapping[str, PreparedFigure], name: str, *, key: str) -> None:
    """Draw the button that saves figures as one HTML page that works without internet."""
    st.download_button(
        "Figures as HTML",
        data=lambda: figure_html(figures),
        file_name=f"{name}.html",
        mime="text/html",
        on_click="ignore",
        icon=":material/monitoring:",
        key=key,
        help="One page with the figures, to zoom and hover in any browser. A PNG is in the bar above each figure.",
    )


def figure_html(figures: Mapping[str, PreparedFigure]) -> bytes:
    """Return one page with all figures, title -> `components.prepare_figure(...)`; it needs no internet.

    Raises:
        DataError: the package plotly is not there.
    """
    parts, calls = [], []
    for number, (title, figure) in enumerate(figures.items()):
        tree = json.loads(_coloured(figure.text))
        tree["layout"] |= {"height": 560, "template": _TEMPLATE}
        # Inside a script no text may end it.
        text = json.dumps(tree).replace("<", "\\u003c").replace("\u2028", "\\u2028")
        parts.append(f'<h2>{html.escape(title)}</h2><div id="figure-{number}"></div>')
        calls.append(
            f'{{const f={text};Plotly.newPlot("figure-{number}",f.data,f.layout,'
            "{responsive:true,displaylogo:false});}"
        )
    script = _plotly_js()
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>RAMBO figures</title>'
        "<style>body{font-family:sans-serif;max-width:1100px;margin:2rem auto;color:#16203a}</style>"
        f"<script>{script}</script></head><body>{''.join(parts)}<script>{''.join(calls)}</script></body></html>"
    )
    return page.encode()


_TEMPLATE = {
    "layout": {
        "colorway": [theme.BLUE, theme.ORANGE, theme.GREEN, theme.PURPLE, theme.GREY],
        "plot_bgcolor": "#ffffff",
        "xaxis": {"gridcolor": "#e3e7ef", "automargin": True},
        "yaxis": {"gridcolor": "#e3e7ef", "automargin": True},
        "legend": {"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom"},
    }
}


def _coloured(text: str) -> str:
    """Return a figure's JSON with plain colours for those of the page's theme."""
    text = text.replace("var(--st-primary-color)", theme.BLUE)
    text = text.replace("var(--st-background-color)", "#ffffff")
    return re.sub(r"var\(--st-[\w-]+\)", theme.GREY, text)


def _plotly_js() -> str:
    """Return the script inside the plotly wheel; the package itself takes a second to import."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise DataError("figures need the package plotly; install requirements.txt")
    return (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_text("utf-8")
