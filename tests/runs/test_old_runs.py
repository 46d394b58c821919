"""Runs made by version 0.1.0 open, show, resume and export as they did then.

`tests/fixtures/v0.1/` holds a workspace with a finished and a stopped run of equal settings, and what 0.1.0 itself
showed and exported of the finished one (digests of whole files).
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from rambo.__main__ import main
from rambo.runs.run import Run
from rambo.runs.workspace import Workspace, summary
from rambo.worker import run_worker

FIXTURE = Path(__file__).parents[1] / "fixtures" / "v0.1"
EXPECTED = json.loads((FIXTURE / "expected.json").read_text())
FORMATS = sorted(EXPECTED["exports"])


NOW = {
    "noise_ceiling": "trainings_agree",
    "ceiling_pairs": "agreement_pairs",
}  # what it is called since


def of_status(workspace: Workspace, status: str) -> Run:
    (run,) = [run for run in workspace.runs() if run.status == status]
    return run


def without_times(answer: dict[str, Any]) -> dict[str, Any]:
    """Return what `show --json` prints without what differs from one attempt to the next."""
    varying = {"seconds", "trainings", "cached_trainings"}
    # What version 0.1 did not tell.
    varying |= {
        f"{name}_{kind}" for name in ("validation", "test") for kind in ("trainings", "classes")
    }
    results = [{k: v for k, v in row.items() if k not in varying} for row in answer["results"]]
    return answer | {"results": results, "run": None}


def test_a_finished_run_shows_what_it_showed(old: Workspace, capsys: Any) -> None:
    run = of_status(old, "done")
    assert main(["show", run.id, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    before = EXPECTED["show"]
    assert {name: answer[name] for name in before if name not in ("config", "results")} == {
        name: before[name] for name in before if name not in ("config", "results")
    } | {"ranking": {NOW.get(name, name): own for name, own in before["ranking"].items()}}
    for now, then in zip(answer["results"], before["results"], strict=True):
        assert {name: now[name] for name in then} == then
    assert len(answer["results"]) == 4


@pytest.mark.parametrize("kind", FORMATS)
def test_a_finished_run_exports_the_same_bytes(old: Workspace, tmp_path: Path, kind: str) -> None:
    run, out = of_status(old, "done"), tmp_path / "out"
    assert main(["export", run.id, "--format", kind, "--out", str(out)]) == 0
    assert hashlib.sha256(out.read_bytes()).hexdigest() == EXPECTED["exports"][kind]


def test_a_stopped_run_resumes_to_the_same_choice(old: Workspace) -> None:
    run = of_status(old, "stopped")
    assert [row.strategy for row in run.results()] == ["rambo"]
    assert run_worker.work(run) == "done"
    resumed, finished = summary(run).public(), summary(the_other(old, run)).public()
    assert without_times(resumed) == without_times(finished)


def the_other(workspace: Workspace, run: Run) -> Run:
    (other,) = [other for other in workspace.runs() if other.id != run.id]
    return other


def test_the_events_of_an_old_run_are_read(old: Workspace) -> None:
    events = of_status(old, "done").latest_events()
    kinds = {event.event.kind for event in events}
    assert {"StageStarted", "ClassifierTrained", "UtilityModelEpoch", "BatchChosen"} <= kinds


def test_a_run_on_ray_is_shown_and_resuming_it_says_in_one_line_what_is_absent(
    old: Workspace, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = of_status(old, "stopped")
    settings = run.config | {"compute": run.config["compute"] | {"backend": "ray"}}
    monkeypatch.setattr(Run, "config", property(lambda self: settings))
    assert main(["show", run.id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["config"]["compute"]["backend"] == "ray"
    assert main(["resume", run.id]) != 0
    (line,) = [x for x in capsys.readouterr().err.splitlines() if "ray" in x]
    assert line.endswith("compute.backend ray is no longer offered; choose loky or dask")
