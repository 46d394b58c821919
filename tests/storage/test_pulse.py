"""A sign of life from inside a training: seldom written, never in the way, gone with the work."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rambo.storage import pulse


@pytest.fixture(autouse=True)
def _quiet_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "_last", -10.0)
    monkeypatch.delenv("RAMBO_PULSE", raising=False)


def test_a_beat_is_read_once_a_second_and_gone_after_the_work(tmp_path: Path) -> None:
    path = tmp_path / "worker.pulse"
    pulse.beat(1, 9)  # nobody listens
    with pulse.into(path):
        pulse.beat(2, 9)
        pulse.beat(3, 9)  # too soon
        beat = pulse.read(path)
        assert beat is not None
        assert beat[:2] == (2, 9)
        assert beat.age_seconds < 60
    assert not path.exists()
    assert pulse.read(path) is None
    assert "RAMBO_PULSE" not in os.environ


def test_processes_that_are_started_inside_beat_there_too(tmp_path: Path) -> None:
    path = tmp_path / "worker.pulse"
    code = "from rambo.storage import pulse; pulse.beat(7, 8)"
    with pulse.into(path):
        subprocess.run([sys.executable, "-c", code], check=True)
        beat = pulse.read(path)
    assert beat is not None
    assert beat[:2] == (7, 8)


def test_what_cannot_be_written_or_read_stops_nobody(tmp_path: Path) -> None:
    with pulse.into(tmp_path / "no folder" / "worker.pulse"):
        pulse.beat(1, 2)
    for text in ("", "[1", "[1]", '["a", 2]', "null"):
        (tmp_path / "torn").write_text(text)
        assert pulse.read(tmp_path / "torn") is None, text


def test_ten_thousand_beats_take_no_time(tmp_path: Path) -> None:
    with pulse.into(tmp_path / "worker.pulse"):
        before = time.process_time()
        for step in range(10_000):
            pulse.beat(step, 10_000)
        assert time.process_time() - before < 0.5
