"""The line at a device: first come, first served; a dead worker holds up nobody."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rambo.runs.line import standing, wait_in_line

HOLDER = """
import sys, time
from pathlib import Path
from rambo.runs.line import wait_in_line
with wait_in_line(Path(sys.argv[1]), "cpu", sys.argv[2], lambda ahead: print("waits", ahead, flush=True)):
    print("works", flush=True)
    time.sleep(60)
"""


def never(ahead: int) -> None:
    raise AssertionError(f"nobody is ahead, not {ahead}")


def hold(root: Path, run_id: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(root), run_id], stdout=subprocess.PIPE, text=True
    )


def line_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_who_comes_alone_works_at_once(tmp_path: Path) -> None:
    assert standing(tmp_path) == {}
    with wait_in_line(tmp_path, "cpu", "a-run", never):
        assert standing(tmp_path) == {"cpu": ["a-run"]}
    assert standing(tmp_path) == {}


def test_each_device_has_its_own_line(tmp_path: Path) -> None:
    with (
        wait_in_line(tmp_path, "cpu", "one", never),
        wait_in_line(tmp_path, "cuda", "two", never),
    ):
        assert standing(tmp_path) == {"cpu": ["one"], "cuda": ["two"]}


def test_the_others_wait_in_the_order_they_came(tmp_path: Path) -> None:
    order: list[str] = []
    gates = {name: threading.Event() for name in ("first", "second", "third")}
    threads = []

    def work(name: str) -> None:
        with wait_in_line(tmp_path, "cpu", name, lambda ahead: None):
            order.append(name)
            gates[name].wait(30)

    for place, name in enumerate(gates):
        threads.append(threading.Thread(target=work, args=(name,)))
        threads[-1].start()
        while len(standing(tmp_path).get("cpu", [])) <= place:
            time.sleep(0.01)
    assert standing(tmp_path) == {"cpu": ["first", "second", "third"]}
    for number, name in enumerate(gates, 1):
        while len(order) < number:
            time.sleep(0.01)
        assert order == list(gates)[:number]
        gates[name].set()
    for thread in threads:
        thread.join(30)
    assert order == list(gates)
    assert standing(tmp_path) == {}


def test_a_killed_worker_makes_room(tmp_path: Path) -> None:
    first = hold(tmp_path, "first")
    assert line_of(first) == "works"
    second = hold(tmp_path, "second")
    try:
        assert line_of(second) == "waits 1"
        assert standing(tmp_path) == {"cpu": ["first", "second"]}
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        while (line := line_of(second)).startswith("waits"):
            pass
        assert line == "works"
        assert standing(tmp_path) == {"cpu": ["second"]}
    finally:
        for process in (first, second):
            process.kill()
            process.wait()
    assert standing(tmp_path) == {}
    with wait_in_line(tmp_path, "cpu", "third", never):
        names = [path.name for path in (tmp_path / "line" / "cpu").iterdir()]
        assert [name for name in names if name.endswith(("first", "second"))] == []


def test_leaving_the_line_early_takes_the_ticket_along(tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def refuse(ahead: int) -> None:
        raise StopError

    with wait_in_line(tmp_path, "cpu", "first", never):
        with pytest.raises(StopError), wait_in_line(tmp_path, "cpu", "second", refuse):
            raise AssertionError("it never gets here")
        assert standing(tmp_path) == {"cpu": ["first"]}


def test_foreign_files_are_no_tickets(tmp_path: Path) -> None:
    folder = tmp_path / "line" / "cpu"
    folder.mkdir(parents=True)
    (folder / "000000000001-dead").write_text("")
    (folder / "notes.txt").write_text("hello")
    assert standing(tmp_path) == {}
    with wait_in_line(tmp_path, "cpu", "live", never):
        assert standing(tmp_path) == {"cpu": ["live"]}
    assert (folder / "notes.txt").read_text() == "hello"
