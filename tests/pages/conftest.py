"""Workspaces for the page tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import page_helpers
import pytest
import streamlit as st

from rambo.runs import jobs
from rambo.runs.workspace import Run


@pytest.fixture(autouse=True)
def _fixed_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer for the process that imports torch to look for devices: it would be started by every test."""
    devices = jobs.Devices("cpu", {"cpu": "CPU, 2 cores"}, 2)
    monkeypatch.setattr(jobs, "probe_devices", lambda timeout=60: devices)


@pytest.fixture(autouse=True)
def _fresh_caches() -> Iterator[None]:
    """Give every test its own caches: they are shared by all sessions of a server."""
    st.cache_resource.clear()
    st.cache_data.clear()
    yield
    st.cache_resource.clear()
    st.cache_data.clear()


@pytest.fixture(scope="session")
def done_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of four strategies and two trials; look at it, do not change it."""
    return page_helpers.make_done(tmp_path_factory.mktemp("done") / "runs", trials=2)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty workspace that the pages use."""
    root = tmp_path / "runs"
    monkeypatch.setenv("RAMBO_HOME", str(root))
    monkeypatch.setenv("RAMBO_FOLDERS", os.pathsep.join((str(tmp_path), str(Path.cwd()))))
    return root


@pytest.fixture
def done(done_run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The finished run, in the workspace that the pages use."""
    monkeypatch.setenv("RAMBO_HOME", str(done_run.folder.parent))
    return done_run
