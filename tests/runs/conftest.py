"""A workspace as version 0.1 left it."""

import zipfile
from pathlib import Path

import pytest

from rambo.runs.workspace import Workspace

FIXTURE = Path(__file__).parents[1] / "fixtures" / "v0.1"


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A finished run of version 0.1 and a stopped one; the current folder holds the images they were made from."""
    with zipfile.ZipFile(FIXTURE / "workspace.zip") as archive:
        archive.extractall(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAMBO_HOME", str(tmp_path / "runs"))
    return Workspace(tmp_path / "runs")
