"""Damage to run.sqlite: nothing that is not what was written passes for it."""

import os
import random
import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest
from store_helpers import CLASSES, CONFIG, advance, everything, refusal

from rambo import events
from rambo.errors import StoreError
from rambo.runs import record
from rambo.runs.environment import Environment
from rambo.runs.results import Result
from rambo.runs.run import Run
from rambo.runs.workspace import Workspace


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Workspace(tmp_path / "ru ns?#%41").create(CONFIG, Environment(classes=tuple(CLASSES)))


def flipped(data: bytes, place: int, bit: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


def damages(data: bytes) -> list[bytes]:
    """Return cuts, flips anywhere, flips where a page says how many rows it has, and noise."""
    draw = random.Random(2)
    cuts = [data[: draw.randrange(len(data))] for _ in range(60)]
    flips = [flipped(data, draw.randrange(len(data)), draw.randrange(8)) for _ in range(120)]
    head = [flipped(data, draw.randrange(100), draw.randrange(8)) for _ in range(40)]
    counts = [
        flipped(data, page + place, bit)
        for page in range(0, len(data), 4096)
        for place in (0, 4)
        for bit in range(5)
    ]
    noise = [b"", b"\0" * 5000, os.urandom(9000), data + os.urandom(5000), data[4096:]]
    return cuts + flips + head + counts + noise


def test_no_flipped_bit_or_cut_is_taken_for_a_record(run: Run) -> None:
    for step in range(60):
        run.append(events.Noticed(f"{step}" * step), trial=0, strategy="rambo")
    for trial, strategy in [(0, "rambo"), (0, "margin"), (1, "rambo")]:
        run.save_result(Result(trial=trial, strategy=strategy, seed=0, selected=list(range(50))))
    sound = everything(run)
    assert None not in sound.values()
    path = run.folder / "run.sqlite"
    damaged = damages(path.read_bytes())
    assert len(damaged) >= 300
    refused = 0
    for bad in damaged:
        for suffix in ("-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        path.write_bytes(bad)
        answers = everything(run)
        for name, answer in answers.items():
            assert answer is None or answer == sound[name], name
        refused += None in answers.values()
        assert run.describe().status in ("queued", "unreadable")
        with suppress(StoreError), run.lock():  # nor does a writer stumble
            run.begin_attempt()
            run.append(advance(1), trial=0, strategy="rambo")
            run.set_status("done")
    assert refused > len(damaged) / 3  # much of a page is free space


def test_an_event_that_is_missing_is_noticed(run: Run) -> None:
    for step in range(5):
        run.append(advance(step), trial=0, strategy="rambo")
    run.flush()
    db = sqlite3.connect(run.folder / "run.sqlite")
    db.execute("DELETE FROM events WHERE seq = 3")
    db.commit()
    db.close()
    assert "damaged" in refusal(run.events)
    assert "damaged" in refusal(run.latest_events)


def test_the_stamp_sorts_as_text() -> None:
    moments = [0.0, 0.5, 1.0, 1_700_000_000.0, 1_700_000_000.000001, 4_000_000_000.0]
    assert [record.stamp(moment) for moment in moments] == sorted(map(record.stamp, moments))
