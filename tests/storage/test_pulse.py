"""A sign of life from inside a training: seldom written, never in the way, gone with the work."""

import time
from pathlib import Path

import joblib
import pytest

from rambo.storage import pulse
from rambo.training import ensemble


@pytest.fixture(autouse=True)
def _quiet_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "_last", -10.0)
    monkeypatch.setattr(pulse, "_target", None)


def test_a_beat_is_read_once_a_second_and_gone_after_the_work(tmp_path: Path) -> None:
    path = tmp_path / "worker.pulse"
    pulse.beat(1, 9)  # nobody listens
    with pulse.into(path):
        pulse.beat(2, 9, "iteration", 5)
        pulse.beat(3, 9)  # too soon
        beat = pulse.read(path)
        assert beat is not None
        assert beat[:2] == (2, 9)
        assert beat[3:] == ("iteration", 5)
        assert beat.age_seconds < 60
    assert not path.exists()
    assert pulse.read(path) is None
    assert pulse.target() is None


def test_a_process_that_is_used_again_beats_for_the_run_at_hand(tmp_path: Path) -> None:
    for name in ("first", "second"):
        path = tmp_path / name
        with pulse.into(path):
            _beat_in_a_child()
            assert pulse.read(path) is not None, name


class _Drummer:
    """A unit that does nothing but beat."""

    def run_group(self, units: object, emit: object) -> list[object]:
        pulse._last = -10.0
        pulse.beat(3, 4)
        return []


def _beat_in_a_child() -> None:
    """Send a bundle to each process of loky, the same ones each time."""
    call = joblib.delayed(ensemble._run_bundle)([0], [_Drummer()], None, pulse.target())
    assert joblib.Parallel(2, backend="loky")([call, call]) == [[], []]


def test_a_training_that_outlives_its_run_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "worker.pulse"
    with pulse.into(path):
        pass
    pulse.aim(path)
    pulse.beat(1, 2)
    assert not path.exists()


def test_what_cannot_be_written_or_read_stops_nobody(tmp_path: Path) -> None:
    with pulse.into(tmp_path / "no folder" / "worker.pulse"):
        pulse.beat(1, 2)
    for text in ("", "[1", "[1]", '["a", 2]', "null", '[1, 2, "<b>", 3]', '[1, 2, "epoch"]'):
        (tmp_path / "torn").write_text(text)
        assert pulse.read(tmp_path / "torn") is None, text


def test_ten_thousand_beats_take_no_time(tmp_path: Path) -> None:
    with pulse.into(tmp_path / "worker.pulse"):
        before = time.process_time()
        for step in range(10_000):
            pulse.beat(step, 10_000)
        assert time.process_time() - before < 0.5
