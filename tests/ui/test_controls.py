"""Starting a run from a page: its record names the device that will do the work."""

import threading
from pathlib import Path

import pytest
import streamlit as st
from tiny import tiny_config, write_tiny

from rambo.errors import ConfigError
from rambo.runs import jobs
from rambo.ui import controls


def test_a_click_before_the_devices_are_known_waits_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAMBO_HOME", str(tmp_path))
    monkeypatch.setattr(jobs, "launch", lambda run: None)
    event = threading.Event()

    def probe(timeout: float = 60) -> jobs.Devices:
        event.wait(30)
        return jobs.Devices("cuda", {"cpu": "CPU", "cuda": "A card"}, 2)

    monkeypatch.setattr(jobs, "probe_devices", probe)
    st.cache_resource.clear()
    threading.Timer(0.3, event.set).start()
    data = write_tiny(tmp_path)
    assert (
        controls.start(tiny_config(compute={"device": "auto"}), data).environment.device == "A card"
    )
    with pytest.raises(ConfigError, match=r"compute\.device mps"):
        controls.start(tiny_config(compute={"device": "mps"}), data)
    st.cache_resource.clear()
