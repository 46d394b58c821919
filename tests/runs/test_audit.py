"""The audit log: every act a line, in the order of the acts, and every change of a line shows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rambo import __main__ as command_line
from rambo.errors import StoreError
from rambo.runs import audit


def fill(root: Path, number: int = 5) -> Path:
    for place in range(number):
        audit.note(root, "start", f"run-{place}", who="editor from 10.0.0.7", more="fashion-mnist")
    return root / audit.NAME


def test_acts_come_back_in_their_order(tmp_path: Path) -> None:
    log = fill(tmp_path)
    audit.note(tmp_path, "delete", "räume \N{RIGHT-TO-LEFT OVERRIDE}\n\ud800" + "x" * 999)
    acts, wrong = audit.read(tmp_path)
    assert wrong == []
    assert [act.subject for act in acts[:5]] == [f"run-{place}" for place in range(5)]
    assert acts[0].words().endswith("editor from 10.0.0.7  start  run-0  fashion-mnist")
    assert acts[-1].who == f"{audit.user()} on the command line"
    assert acts[-1].subject.startswith("räume ???")
    assert len(acts[-1].subject) == 300
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_line_that_was_changed_or_taken_out_shows(tmp_path: Path) -> None:
    log = fill(tmp_path)
    whole = log.read_bytes()
    lines = whole.splitlines(keepends=True)
    log.write_bytes(whole.replace(b"run-2", b"run-9"))
    assert audit.read(tmp_path)[1] == [3, 4]
    log.write_bytes(b"".join(lines[:1] + lines[2:]))
    assert audit.read(tmp_path)[1] == [2]
    for at in range(len(whole) - 1):
        flipped = bytearray(whole)
        flipped[at] ^= 1
        log.write_bytes(flipped)
        assert audit.read(tmp_path)[1] or at >= len(whole) - len(lines[-1])


def test_the_log_goes_on_after_a_torn_line(tmp_path: Path) -> None:
    log = fill(tmp_path, 2)
    log.write_bytes(log.read_bytes()[:-30])
    audit.note(tmp_path, "stop", "run-7")
    acts, wrong = audit.read(tmp_path)
    assert [act.subject for act in acts] == ["run-0", "run-7"]
    assert wrong == [2]


def test_a_line_cut_off_the_end_shows_also_after_the_next_act(tmp_path: Path) -> None:
    log = fill(tmp_path)
    lines = log.read_bytes().splitlines(keepends=True)
    assert (tmp_path / audit.HEAD).stat().st_mode & 0o777 == 0o600
    log.write_bytes(b"".join(lines[:4]))
    assert audit.read(tmp_path)[1] == [5]
    audit.note(tmp_path, "stop", "run-9")
    assert audit.read(tmp_path)[1] == [6]
    log.unlink()
    assert audit.read(tmp_path) == ([], [1])


@pytest.mark.parametrize("head", [b"", b"12", b"many " + b"0" * 64, b"\xff", b"9" * 99 + b" 0"])
def test_a_damaged_head_shows_and_a_missing_one_does_not(tmp_path: Path, head: bytes) -> None:
    """Workspaces of earlier versions have none; the next act gives them one."""
    fill(tmp_path, 2)
    if head:
        (tmp_path / audit.HEAD).write_bytes(head)
        assert audit.read(tmp_path)[1] == [3]
    else:
        (tmp_path / audit.HEAD).unlink()
        assert audit.read(tmp_path)[1] == []
        audit.note(tmp_path, "stop", "run-9")
        assert (tmp_path / audit.HEAD).exists()


@pytest.mark.parametrize("torn", [0, 30])
def test_a_crash_before_the_head_is_written_is_no_cut(tmp_path: Path, torn: int) -> None:
    log = fill(tmp_path, 2)
    head = (tmp_path / audit.HEAD).read_bytes()
    audit.note(tmp_path, "stop", "run-7")
    (tmp_path / audit.HEAD).write_bytes(head)
    log.write_bytes(log.read_bytes()[: -torn or None])
    assert audit.read(tmp_path)[1] == ([3] if torn else [])
    audit.note(tmp_path, "stop", "run-8")
    assert (tmp_path / audit.HEAD).read_bytes().split()[0] == str(log.stat().st_size).encode()
    assert audit.read(tmp_path)[1] == ([3] if torn else [])


def test_processes_at_once_lose_no_line(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from rambo.runs import audit\n"
    code += "for i in range(20): audit.note(Path(sys.argv[1]), 'start', sys.argv[2])"
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(name)])
        for name in range(3)
    ]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    acts, wrong = audit.read(tmp_path)
    assert wrong == []
    assert sorted(act.subject for act in acts) == sorted("012" * 20)


def test_a_disk_that_refuses_is_said(tmp_path: Path) -> None:
    (tmp_path / audit.NAME).mkdir()
    with pytest.raises(StoreError, match="cannot be noted in the audit log"):
        audit.note(tmp_path, "start", "run-1")


def test_an_act_that_could_not_be_synced_is_noted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was refused is told again by whoever tries again: the log must not have it already."""
    log = fill(tmp_path)
    whole = log.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: os.write(-1, b""))  # an OSError
        with pytest.raises(StoreError, match="cannot be noted"):
            audit.note(tmp_path, "start", "run-5")
    assert log.read_bytes() == whole
    audit.note(tmp_path, "start", "run-5")
    acts, wrong = audit.read(tmp_path)
    assert (len(acts), wrong) == (6, [])


def test_the_command_prints_the_log_and_says_what_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAMBO_HOME", str(tmp_path))
    assert command_line.main(["audit"]) == 0
    assert "nothing was done yet" in capsys.readouterr().out
    log = fill(tmp_path, 2)
    assert command_line.main(["audit"]) == 0
    assert "start  run-1" in capsys.readouterr().out
    log.write_bytes(log.read_bytes().replace(b"run-0", b"run-8"))
    assert command_line.main(["audit", "--json"]) == 1
    assert "line 1 was changed" in capsys.readouterr().err


def test_an_export_of_a_workspace_that_cannot_be_written_is_handed_over(tmp_path: Path) -> None:
    (tmp_path / audit.NAME).mkdir()  # as a read-only folder, also for root
    words = audit.note_export(tmp_path, "run-1", "csv")
    assert words.startswith("audit.jsonl: what was done cannot be noted in the audit log: ")
