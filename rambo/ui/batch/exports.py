"""The hand-over of a batch: which file for whom, and its figures as a page of their own."""

import dataclasses
import shlex
from collections.abc import Callable, Mapping

import streamlit as st

from rambo import export
from rambo.errors import RamboError
from rambo.export import evidence, originals
from rambo.export.originals import Pictures
from rambo.figures.theme import strategy_word
from rambo.text import count, literal
from rambo.ui import downloads, parcels, readers, state, takeaway, visitor
from rambo.ui.batch import edited
from rambo.ui.batch.batch_data import Batch
from rambo.ui.components import PreparedFigure


@dataclasses.dataclass(frozen=True)
class Format:
    """How a format is offered.

    Attributes:
        name: on the page.
        purpose: one sentence: what is in it, and for whom.
        words: on the button, after the images.
        images: it holds the images themselves.
    """

    name: str
    purpose: str
    words: str
    images: bool = False


FORMATS = {
    "zip": Format(
        "Everything (zip)",
        "Images, manifest, settings and Label Studio files in one archive: for annotators.",
        "as zip",
        images=True,
    ),
    "csv": Format("Table (csv)", "One row for each image: for a spreadsheet or pandas.", "as csv"),
    "label-studio": Format(
        "Label Studio",
        "Tasks, the labeling interface and a README: for Label Studio.",
        "for Label Studio",
        images=True,
    ),
    "fiftyone": Format(
        "FiftyOne",
        "Images and labels.json in the layout FiftyOne imports: for curation.",
        "for FiftyOne",
        images=True,
    ),
    "cvat": Format(
        "CVAT",
        "Images, labels as tags and a README with the steps: for CVAT.",
        "for CVAT",
        images=True,
    ),
    "distil": Format(
        "DISTIL indices",
        "Positions in the unlabeled pool as .npy: for research code.",
        "as DISTIL indices",
    ),
    "jsonl": Format("JSON lines", "One object for each image: for scripts.", "as JSON lines"),
    "json": Format("JSON", "The same as one list: for scripts.", "as JSON"),
}


def show(batch: Batch, *, oracle: bool) -> None:
    """Let a person choose a format and its options, and hand over the file."""
    offered = [name for name in FORMATS if batch.data is not None or not FORMATS[name].images]
    if batch.atlas is None or batch.data is None:
        offered.remove("distil")  # it needs pool positions
    if batch.data is not None and batch.data.collection:
        state.link(
            "pages/label.py",
            batch.run.id,
            "Label these images here",
            strategy=batch.strategy,
            trial=batch.trial or None,
        )
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
    if picked in export.WITH_TASKS:
        image_url = st.text_input(
            "Label Studio finds the images at",
            export.IMAGE_URL,
            key="export-url",
            help="What stands before each file name in the tasks. The default suits Label Studio's local files.",
        )
    guesses = picked in export.WITH_TASKS and st.checkbox(
        "Let Label Studio tick the class that f guesses",
        key="export-guesses",
        help="Faster, but people tend to follow it; without it they judge for themselves.",
    )
    pictures = _pick_pictures(batch, picked)
    own = edited.size(batch)
    original = own is not None and (
        st.radio(
            "Which batch",
            ["yours", "original"],
            format_func=lambda which: (
                f"Yours ({count(own, 'image')})"
                if which == "yours"
                else f"As {strategy_word(batch.strategy)} chose it ({count(batch.count, 'image')})"
            ),
            horizontal=True,
            key="export-which",
        )
        == "original"
    )
    images = batch.count if own is None or original else own
    truth = (
        oracle
        and picked not in export.WITHOUT_LABELS
        and st.checkbox("Include the oracle's labels as a column", key="export-truth")
    )
    name, mime = export.name_of(batch.run, picked, batch.strategy, batch.seed)
    whose = "your " if own is not None and not original else ""
    downloads.button(
        # It names what it hands over: a press that overtakes the page's rerun is a press on what it says.
        f"Download {whose}{count(images, 'image')} {FORMATS[picked].words}"
        f"{', with the true labels' if truth else ''}",
        maker(
            batch,
            picked,
            truth=truth,
            image_url=image_url,
            guesses=guesses,
            original=original,
            pictures=pictures,
        ),
        name,
        mime,
        type="primary",
        icon=":material/download:",
        key="export-download",
    )
    options = " --oracle" if truth else ""
    if pictures == "working":
        options += " --pictures working"
    if image_url != export.IMAGE_URL:
        options += f" --image-url {shlex.quote(image_url)}"
    st.caption(
        f"{literal(name, 200)} · in the order of choice · the same bytes each time. On the command line:"
    )
    st.code(
        f"python -m rambo export {batch.run.id} --format {picked} --strategy {batch.strategy} "
        f"--seed {batch.seed}{' --original' * original}{' --guesses' * guesses}{options} --out FILE",
        language="bash",
        wrap_lines=True,
    )
    parcels.take(batch.run)


def _pick_pictures(batch: Batch, picked: str) -> Pictures:
    """Return which pictures are handed over; of a collection a person may have the own files back."""
    if batch.data is None or not batch.data.collection or picked not in export.WITH_IMAGES:
        return "originals"
    own = st.checkbox(
        "Your original files",
        value=True,
        key="export-originals",
        help="As they are, with what the camera wrote in them, such as time and place. Else: PNG of the size that "
        "RAMBO works with, which is also taken where an original is gone.",
    )
    if not own:
        return "working"
    for notice in _missing_originals(str(batch.run.folder), batch.strategy, batch.seed):
        st.warning(literal(notice, 500), icon=":material/image_not_supported:")
    return "originals"


@st.cache_data(show_spinner=False, ttl=20, max_entries=16)
def _missing_originals(folder: str, strategy: str, seed: int) -> tuple[str, ...]:
    """Return what is to be said of originals that are not found at a first look."""
    run = readers.run_in(folder)
    try:
        batch_originals = originals.look(run, evidence.rows(run, strategy, seed), whole=False)
    except RamboError:
        return ()  # the download says it
    return () if batch_originals is None else batch_originals.notices


def maker(
    batch: Batch,
    picked: str,
    *,
    truth: bool,
    image_url: str,
    guesses: bool = False,
    original: bool = False,
    pictures: Pictures = "originals",
) -> Callable[[], bytes]:
    """Return what makes the bytes when the button is pressed, not before."""
    run, strategy, seed = batch.run, batch.strategy, batch.seed

    def make() -> bytes:
        """Make them."""
        result = export.build(
            run,
            picked,
            strategy,
            seed,
            truth=truth,
            image_url=image_url,
            guesses=guesses,
            original=original,
            pictures=pictures,
        )
        return result.data

    return visitor.noting(make, run.id, f"{picked} of {strategy}")


def figures_button(figures: Mapping[str, PreparedFigure], name: str) -> None:
    """Draw the button that saves figures, by title, as one HTML page that works without internet."""
    sections = [(title, "", figure) for title, figure in figures.items()]
    downloads.button(
        "Figures as HTML",
        lambda: takeaway.page("RAMBO figures", sections, height=560),
        f"{name}.html",
        "text/html",
        icon=":material/monitoring:",
        key="figures",
        help="One page with the figures, to zoom and hover in any browser. A PNG is in the bar above each figure.",
    )
