"""The final model: train it in the background, read how good it is, take it home."""

import functools
from collections.abc import Sequence
from concurrent import futures

import numpy as np
import pandas as pd
import streamlit as st

from rambo.collection import PREFIX
from rambo.datasets import catalog
from rambo.errors import RamboError, StoreError
from rambo.events import StageAdvanced, StageStarted
from rambo.runs import jobs, line, models
from rambo.runs.models import Report
from rambo.runs.record import StoredEvent
from rambo.runs.workspace import Run, Workspace
from rambo.text import count, duration, literal, percent
from rambo.ui import controls, downloads, frame, pictures, readers, state, visitor
from rambo.ui.components import gallery
from rambo.ui.label.round_data import Round

_THUMBNAILS = 24


@st.fragment(run_every=2)
def show(current: Round) -> None:
    """Draw the newest model of the collection, and the button that trains one."""
    with frame.guard():
        runs = models.of_collection(state.workspace(), current.collection.slug)
        live = runs[0] if runs and runs[0].status in jobs.LIVE else None
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                "Train the final model",
                type="primary",
                icon=":material/model_training:",
                disabled=live is not None or not visitor.may_edit(),
                on_click=_start,
                args=(current,),
                key="model-train",
                help="On all labels but those kept aside to measure it. It goes on when the browser is closed.",
            )
            st.checkbox(
                "Then on the validation labels too",
                key="model-all-labels",
                disabled=live is not None,
                help="The validation labels judge it first; then it is trained once more on them and all others, and "
                "that model is handed over. The figures stay those of the model that had not seen them. Without a test "
                "set and with fewer than 30 validation labels, these teach it in any case, and folds judge.",
            )
            if live is not None:
                controls.run_buttons(live, key=f"model-{live.id}")
        if live is not None:
            _progress(live)
        for run in runs:
            try:
                report = models.load_report(run)
            except StoreError as error:
                st.warning(literal(str(error), 400))
                controls.repair_button(run, key=f"model-{run.id}")
                break
            if report is not None:
                _report(current, run, report)
                break
            if run is not live:
                status, message = run.status, run.describe().message
                st.warning(literal(f"{run.id} is {status}: {message}", 400))
                controls.run_buttons(run, key=f"model-{run.id}")
                break
        if not runs:
            st.caption(
                "The labels were bought for a classifier: this trains it, says honestly how good it is, and gives "
                f"you the file. On the command line: `python -m rambo train {current.collection.slug} --out FOLDER`."
            )


def _start(current: Round) -> None:
    """Start the training on the newest version."""
    with frame.calmly(), visitor.acting("start", more=current.collection.slug) as called:
        every = bool(st.session_state.get("model-all-labels"))
        begin = functools.partial(_begin, state.workspace(), current.collection.slug, every)
        # In a thread of its own: Streamlit stops a script, wherever it is, when its browser closes.
        with futures.ThreadPoolExecutor(1) as thread:
            called(thread.submit(begin).result())


def _begin(workspace: Workspace, slug: str, every: bool) -> str:
    """Prepare the newest version, which takes a while, start the training, and return the model's id."""
    devices = readers.devices(wait=5)
    device = devices.names.get(devices.auto, "cpu") if devices else "cpu"
    data = catalog.prepare(f"{PREFIX}{slug}", workspace.root)
    run = models.create(models.settings(data, all_labels=every), data, workspace, device)
    jobs.launch(run)
    return run.id


def _progress(run: Run) -> None:
    """Draw how far it is."""
    entries = run.events()  # a few dozen
    for entry in reversed(entries):
        event = entry.event
        if isinstance(event, StageStarted | StageAdvanced):
            step = event.step if isinstance(event, StageAdvanced) else 0
            progress = readers.Progress(None, event.stage, step, event.total)
            st.progress(progress.share, text=progress.words() + _rest(entries, entry, progress))
            return
    words = "The training starts."
    for device, ids in line.standing(state.workspace().root).items():
        if run.id in ids and (ahead := ids.index(run.id)):
            words = f"In line for the {literal(device.upper())}: {count(ahead, 'run')} ahead."
    st.progress(0.0, text=words)


def _rest(entries: Sequence[StoredEvent], newest: StoredEvent, progress: readers.Progress) -> str:
    """Return how long a stage takes still, by its steps so far; nothing before the first."""
    began = next(
        (
            entry.time
            for entry in reversed(entries)
            if isinstance(entry.event, StageStarted) and entry.event.stage == progress.stage
        ),
        newest.time,
    )
    if not progress.step or newest.time <= began:
        return ""
    seconds = (newest.time - began) / progress.step * (progress.total - progress.step)
    return f", about {duration(seconds)} left" if progress.step < progress.total else ""


def _predictions(run: Run) -> bytes:
    """Return what a model says of every image, as CSV."""
    return run.load_table(models.PREDICTIONS).to_csv(index=False).encode()


def _report(current: Round, run: Run, report: Report) -> None:
    """Draw how good a model is, and what can be taken home."""
    st.markdown(f"**{literal(report.dataset)}**: {literal(report.words, 300)}.")
    with st.container(horizontal=True):
        st.metric("Labels that taught it", f"{report.labeled:,}")
        for name, score in (
            ("Validation accuracy", report.validation),
            ("Test accuracy", report.test),
            (f"{report.folds}-fold accuracy", report.cross_validation),
        ):
            if score is not None:
                st.metric(
                    name,
                    percent(score.accuracy),
                    f"± {100 * score.standard_error:.1f} points, {score.correct:,} of {score.count:,}",
                    delta_color="off",
                    delta_arrow="off",
                )
    st.caption(literal(f"{report.taught()}.", 300))
    if not report.judged:
        st.info("No labeled image was kept aside, so nobody knows how good it is.")
    for notice in report.notices:
        st.caption(literal(notice, 300))
    with st.container(horizontal=True):
        downloads.button(
            "Model (zip)",
            visitor.noting(lambda: models.load_zip(run), run.id, "the model"),
            f"{run.id}-model.zip",
            "application/zip",
            type="primary",
            key="model-zip",
            help="model.safetensors, model.json, and classify.py, which classifies a folder of images anywhere: it "
            "needs torch, safetensors and Pillow, and nothing of RAMBO.",
        )
        downloads.button(
            "Predictions for every image (csv)",
            visitor.noting(lambda: _predictions(run), run.id, "predictions"),
            f"{run.id}-predictions.csv",
            "text/csv",
            key="model-csv",
        )
    if report.onnx:
        inside = report.onnx == "model.onnx"
        st.caption("The zip holds model.onnx too." if inside else f"ONNX was {report.onnx}.")
    if not report.judged:
        return
    left, right = st.columns(2)
    with left:
        where = (
            f"on the {report.judged} images"
            if not report.folds
            else "each label by a model that has not learned from it"
        )
        st.markdown(f"**Each class**, {where}")
        st.dataframe(
            pd.DataFrame(
                {
                    "class": [c.name for c in report.classes],
                    "labels": [c.labeled for c in report.classes],
                    "judged": [c.judged for c in report.classes],
                    "precision": [percent(c.precision) for c in report.classes],
                    "recall": [percent(c.recall) for c in report.classes],
                }
            ),
            hide_index=True,
        )
    with right:
        st.markdown("**Confusion**: a row is the true class, a column what f says")
        names = [c.name for c in report.classes]
        st.dataframe(pd.DataFrame(report.confusion, index=names, columns=names))
    _mistakes(run, report)


def _mistakes(run: Run, report: Report) -> None:
    """Draw what f was most sure of and wrong about."""
    worst = report.mistakes[:_THUMBNAILS]
    if not worst:
        st.success("No mistake on the images that judged.", icon=":material/verified:")
        return
    st.markdown(
        f"**The most confident mistakes** ({count(len(report.mistakes), 'listed', 'listed')})"
    )
    try:
        data = readers.open_dataset(run.environment.dataset.fingerprint)
    except RamboError:
        data = None
    rows = [one.row for one in worst]
    gallery(
        pictures.sheet(data, np.array(rows)),
        rows,
        key="model-mistakes",
        readonly=True,
        size=96,
        badges={one.row: str(place) for place, one in enumerate(worst, 1)},
        captions={
            one.row: f"{one.file}: {one.label}, f says {one.guess} ({percent(one.probability, 0)})"
            for one in worst
        },
        label="Most confident mistakes",
    )
    lines = pd.DataFrame(
        {
            "picture": range(1, len(worst) + 1),
            "file": [one.file for one in worst],
            "label": [one.label for one in worst],
            "f says": [one.guess for one in worst],
            "with": [percent(one.probability, 0) for one in worst],
        }
    )
    st.dataframe(lines, hide_index=True, height="auto" if len(worst) < 10 else 320)
    st.caption("A confident mistake may be a wrong label: look at the picture first.")
