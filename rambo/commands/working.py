"""Work on a run, a study or a model in this process, and print what came of it."""

import json
import sys

from rambo.commands import sharing
from rambo.errors import RunNotFoundError
from rambo.events import Emit
from rambo.runs import models, repair, report
from rambo.runs import workspace as workspaces
from rambo.studies import study
from rambo.studies.table import to_markdown

_SHOW_FORMAT = 1  # of the JSON of `show`; docs/run-format.md says what it promises


def find(name: str) -> workspaces.Run:
    """Return the model, the study, or else the run, of that name."""
    workspace = workspaces.Workspace.from_environment()
    try:
        return models.workspace_of(workspace).find(name)
    except RunNotFoundError:
        return study.find(name, workspace)


def work(run: workspaces.Run, as_json: bool) -> int:
    """Work on a run or a study in this process and print its results."""
    from rambo.worker import progress

    kind = "model" if models.is_model(run) else "study" if study.is_study(run) else "run"
    print(f"{kind} {run.id}", file=sys.stderr)
    sharing.note("start", run.id, kind)
    bars = progress.ProgressBars()
    try:
        status = work_on(run, bars)
    finally:
        bars.close()
    if status == "stopped":
        sharing.note("stop", run.id)
        print(f"stopped; `python -m rambo resume {run.id}` goes on", file=sys.stderr)
        return 130
    print_summary(run, as_json)
    return 1 if status == "failed" else 0


def work_on(run: workspaces.Run, listener: Emit, *, launch: float | None = None) -> str:
    """Work on a run, a study or a model, and return how it ended; see `run_worker.work`."""
    if models.is_model(run):
        from rambo.worker import model_worker

        return model_worker.work(run, listener, launch=launch)
    from rambo.worker import run_worker, study_worker

    worker = study_worker if study.is_study(run) else run_worker
    return worker.work(run, listener, launch=launch)


def print_summary(run: workspaces.Run, as_json: bool) -> None:
    """Print the results of a run, a study or a model."""
    if models.is_model(run):
        _print_model(run, as_json)
        return
    if study.is_study(run):
        table = study.table(run)
        public, text = table.public(), to_markdown(table)
    else:
        summary = workspaces.summary(run)
        public, text = summary.public(), report.table(summary, workspaces.judges(run))
    print(json.dumps({"format": _SHOW_FORMAT, **public}) if as_json else text)


def _print_model(run: workspaces.Run, as_json: bool) -> None:
    """Print how good a model is."""
    measured = models.load_report(run)
    if as_json:
        public = (
            None if measured is None else measured.model_dump() | {"sentence": measured.sentence()}
        )
        print(json.dumps({"format": _SHOW_FORMAT, "model": run.id, "report": public}))
    elif measured is None:
        print(f"{run.id} is {run.status}")
    else:
        print(
            "\n".join([measured.words, measured.sentence(), *measured.notices, *measured.table()])
        )
    if run.status == "done" and (broken := repair.broken(run)):
        names = ", ".join(broken)
        way_out = f"`python -m rambo resume {run.id}` makes it again"
        print(f"lost or damaged: {names}; {way_out}", file=sys.stderr)
