"""The shared memory: many writers at once, damage that costs time only."""

import hashlib
import math
import random
import shutil
import sqlite3
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from store_helpers import child, names, refusal

from rambo.errors import StoreError
from rambo.storage.memo import Memo


def key(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


@pytest.fixture
def memo(tmp_path: Path) -> Memo:
    return Memo(tmp_path / "ru ns?#")


def test_a_result_comes_back_in_another_process_too(memo: Memo, tmp_path: Path) -> None:
    assert memo.get(key(1)) is None
    arrays = {"probabilities": np.random.default_rng(0).random((5, 3), np.float32)}
    memo.put(key(1), {"accuracy": 0.8125, "epochs": 3}, arrays)
    memo.put(key(2), {"accuracy": 1 / 3})
    for reader in (memo, Memo(tmp_path / "ru ns?#")):
        record, read = reader.get(key(1))
        assert record == {"accuracy": 0.8125, "epochs": 3}
        np.testing.assert_array_equal(read["probabilities"], arrays["probabilities"], strict=True)
        assert reader.get(key(2)) == ({"accuracy": 1 / 3}, {})
        assert reader.get(key(3)) is None
        assert reader.notices == []
    assert names(tmp_path / "ru ns?#" / "predictions") == [f"{key(1)}.safetensors"]


def test_the_first_writer_wins(memo: Memo) -> None:
    memo.put(key(1), {"accuracy": 0.5}, {"w": np.ones(2)})
    memo.put(key(1), {"accuracy": 0.25}, {"w": np.zeros(2)})
    memo.put(key(1), {"accuracy": 0.125})
    record, arrays = memo.get(key(1))
    assert record == {"accuracy": 0.5}
    np.testing.assert_array_equal(arrays["w"], np.ones(2))


@pytest.mark.parametrize("damage", ["missing", "cut", "flipped", "pickle", "other"])
def test_damaged_arrays_are_computed_again(memo: Memo, tmp_path: Path, damage: str) -> None:
    memo.put(key(1), {"accuracy": 0.5}, {"w": np.ones(20)})
    memo.put(key(2), {"accuracy": 0.5}, {"w": np.zeros(20)})
    file = tmp_path / "ru ns?#" / "predictions" / f"{key(1)}.safetensors"
    data = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        bad = {
            "cut": data[:-1],
            "flipped": data[:-1] + bytes([data[-1] ^ 1]),
            "pickle": b"cposix\nsystem\n(S'false'\ntR.",
            "other": file.with_name(f"{key(2)}.safetensors").read_bytes(),
        }
        file.write_bytes(bad[damage])
    assert memo.get(key(1)) is None
    assert memo.get(key(2)) is not None
    memo.put(key(1), {"accuracy": 0.75}, {"w": np.full(20, 2.0)})
    record, arrays = memo.get(key(1))
    assert record == {"accuracy": 0.75}
    np.testing.assert_array_equal(arrays["w"], np.full(20, 2.0))


def test_a_forged_row_is_computed_again(memo: Memo, tmp_path: Path) -> None:
    memo.put(key(1), {"accuracy": 0.5})
    db = sqlite3.connect(tmp_path / "ru ns?#" / "utilities.sqlite")
    db.execute("UPDATE utilities SET record = '{\"accuracy\":0.9}'")
    db.commit()
    db.close()
    assert memo.get(key(1)) is None
    memo.put(key(1), {"accuracy": 0.5})
    assert memo.get(key(1)) == ({"accuracy": 0.5}, {})


@pytest.mark.parametrize(
    "bad", ["", "a" * 63, "A" * 64, "../" + "a" * 61, "a" * 64 + "\n", "g" * 64]
)
def test_a_key_that_is_none_is_refused(memo: Memo, bad: str) -> None:
    assert "64 hexadecimal digits" in refusal(lambda: memo.get(bad))
    assert "64 hexadecimal digits" in refusal(lambda: memo.put(bad, {}))


def test_numbers_that_are_not_finite_are_refused(memo: Memo) -> None:
    message = refusal(lambda: memo.put(key(1), {"accuracy": math.nan}))
    assert (
        message
        == f"utility {key(1)[:8]}: its record: field accuracy is nan; only finite numbers are stored"
    )
    assert "array w holds" in refusal(lambda: memo.put(key(1), {}, {"w": np.array([math.inf])}))
    assert memo.get(key(1)) is None


WRITER = """
import hashlib, random, sys
from pathlib import Path
import numpy as np
from rambo.storage.memo import Memo
memo, me = Memo(Path(sys.argv[1])), int(sys.argv[2])
keys = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(40)]
random.Random(me).shuffle(keys)
sys.stdin.readline()  # all start together
for place, key in enumerate(keys):
    memo.put(key, {"by": me}, {"by": np.array([me])} if place % 2 else None)
    found = memo.get(key)
    assert found is not None or sys.argv[3] == "damaged"
print(len(memo.notices))
"""


def test_four_processes_write_at_once(memo: Memo, tmp_path: Path) -> None:
    root = tmp_path / "ru ns?#"
    writers = [child(WRITER, root, me, "sound") for me in range(4)]
    for writer in writers:
        writer.stdin.write(b"\n")
        writer.stdin.flush()
    assert [writer.communicate()[0].strip() for writer in writers] == [b"0"] * 4
    assert [writer.returncode for writer in writers] == [0] * 4
    for number in range(40):
        record, arrays = memo.get(key(number))
        assert record["by"] in range(4)
        # Row and file are of one writer.
        assert all(array == [record["by"]] for array in arrays.values())
    db = sqlite3.connect(root / "utilities.sqlite")
    assert db.execute("SELECT count(*) FROM utilities").fetchone() == (40,)
    db.close()


def test_writers_go_on_when_the_file_is_damaged_under_them(memo: Memo, tmp_path: Path) -> None:
    root = tmp_path / "ru ns?#"
    memo.put(key(0), {"by": 9})
    writers = [child(WRITER, root, me, "damaged") for me in range(3)]
    for writer in writers:
        writer.stdin.write(b"\n")
        writer.stdin.flush()
    while len(list((root / "predictions").glob("*"))) < 4:
        time.sleep(0.005)
    (root / "utilities.sqlite").write_bytes(b"garbage" * 3000)
    counts = [int(writer.communicate()[0] or -1) for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 3
    assert sum(counts) == len(list(root.glob("*.damaged-*")))  # each file was put aside by one
    for number in range(40):
        memo.put(key(number), {"by": 9})
        record, arrays = memo.get(key(number))
        assert all(array == [record["by"]] for array in arrays.values())


def test_a_damaged_file_is_put_aside_and_a_new_one_begun(memo: Memo, tmp_path: Path) -> None:
    root = tmp_path / "ru ns?#"
    memo.put(key(1), {"accuracy": 0.5})
    for damage in (b"garbage" * 3000, b"", (root / "utilities.sqlite").read_bytes()[:500]):
        (root / "utilities.sqlite").write_bytes(damage)
        memo.notices.clear()
        assert memo.get(key(1)) is None
        assert len(memo.notices) == 1
        aside = [name for name in names(root) if name.startswith("utilities.sqlite.damaged-")]
        assert memo.notices[0].split(" as ")[1].split(" ")[0] in aside
        memo.put(key(1), {"accuracy": 0.5})
        assert memo.get(key(1)) == ({"accuracy": 0.5}, {})
        assert len(memo.notices) == 1
    copies = [path.read_bytes() for path in root.glob("utilities.sqlite.damaged-*")]
    assert len(copies) == 3
    assert b"garbage" * 3000 in copies


def test_many_threads_put_a_damaged_file_aside_once(memo: Memo, tmp_path: Path) -> None:
    memo.put(key(1), {"accuracy": 0.5})
    (tmp_path / "ru ns?#" / "utilities.sqlite").write_bytes(b"garbage" * 3000)
    threads = [threading.Thread(target=memo.put, args=(key(n), {"n": n})) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(memo.notices) == 1
    assert [memo.get(key(n)) for n in range(8)] == [({"n": n}, {}) for n in range(8)]


def test_a_wal_left_behind_is_not_replayed_into_a_new_file(memo: Memo, tmp_path: Path) -> None:
    root = tmp_path / "ru ns?#"
    memo.put(key(1), {"accuracy": 0.5})
    db = sqlite3.connect(root / "utilities.sqlite")
    db.execute("UPDATE utilities SET crc = crc + 1")
    db.commit()
    wal = (root / "utilities.sqlite-wal").read_bytes()
    db.close()
    (root / "utilities.sqlite").unlink()
    (root / "utilities.sqlite-wal").write_bytes(wal)
    assert memo.get(key(1)) is None
    memo.put(key(1), {"accuracy": 0.5})
    assert memo.get(key(1)) == ({"accuracy": 0.5}, {})
    assert memo.notices == []


def test_a_newer_file_is_refused_by_number_and_left_alone(memo: Memo, tmp_path: Path) -> None:
    memo.put(key(1), {"accuracy": 0.5})
    path = tmp_path / "ru ns?#" / "utilities.sqlite"
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version=9")
    db.execute("CREATE TABLE newer (key TEXT)")
    db.close()
    before = path.read_bytes()
    assert "format 9" in refusal(lambda: memo.get(key(1)))
    assert "format 9" in refusal(lambda: memo.put(key(1), {}))
    assert path.read_bytes() == before


@pytest.mark.parametrize("place", [18, 19, 60, 61, 62, 63])  # read-only, and the format's number
def test_a_flipped_bit_in_the_header_that_sqlite_believes_is_put_aside(
    place: int, memo: Memo, tmp_path: Path
) -> None:
    root = tmp_path / "ru ns?#"
    memo.put(key(1), {"accuracy": 0.5})
    path = root / "utilities.sqlite"
    data = path.read_bytes()
    for bit in range(8):
        for file in root.glob("utilities.sqlite?*"):
            file.unlink()
        damaged = bytearray(data)
        damaged[place] ^= 1 << bit
        path.write_bytes(damaged)
        memo.notices.clear()
        match = memo.get(key(1))
        memo.put(key(2), {"accuracy": 0.25})
        assert memo.get(key(2)) == ({"accuracy": 0.25}, {})
        aside = [f for f in root.glob("*.damaged-*") if not f.name.endswith(("-wal", "-shm"))]
        assert match in (None, ({"accuracy": 0.5}, {}))
        assert len(memo.notices) == len(aside) <= 1
        if aside:
            assert aside[0].name in memo.notices[0]
            assert aside[0].stat().st_size == len(data)
        else:
            assert match is not None


def test_a_high_bit_anywhere_in_the_schema_is_put_aside(memo: Memo, tmp_path: Path) -> None:
    """SQLite names what it cannot read, in bytes that are no UTF-8 then."""
    memo.put(key(1), {"accuracy": 0.5})
    path = tmp_path / "ru ns?#" / "utilities.sqlite"
    data = path.read_bytes()
    start = data.index(b"CREATE TABLE")
    for place in range(start, data.index(b"WITHOUT ROWID", start)):
        damaged = bytearray(data)
        damaged[place] |= 0x80
        path.write_bytes(damaged)
        match = memo.get(key(1))
        memo.put(key(2), {"accuracy": 0.25})
        assert memo.get(key(2)) == ({"accuracy": 0.25}, {})
        assert match in (None, ({"accuracy": 0.5}, {}))
        for file in path.parent.glob("utilities.sqlite*"):
            file.unlink()
    assert len(memo.notices) > 40


def test_no_flipped_bit_or_cut_gives_another_number(memo: Memo, tmp_path: Path) -> None:
    root = tmp_path / "ru ns?#"
    for number in range(60):
        memo.put(key(number), {"accuracy": number / 64, "note": "x" * number})
    path = root / "utilities.sqlite"
    data = path.read_bytes()
    draw = random.Random(4)
    failures = 0
    for trial in range(150):
        for file in root.glob("utilities.sqlite?*"):
            file.unlink()
        place = draw.randrange(len(data))
        bad = data[:place] + bytes([data[place] ^ 1 << draw.randrange(8)]) + data[place + 1 :]
        path.write_bytes(bad if trial % 3 else data[:place])
        for number in draw.sample(range(60), 5):
            if (match := memo.get(key(number))) is None:
                failures += 1
                memo.put(key(number), {"accuracy": number / 64, "note": "x" * number})
                match = memo.get(key(number))
            assert match == ({"accuracy": number / 64, "note": "x" * number}, {})
    assert failures > 100


KILLED = """
import hashlib, itertools, os, sys
from pathlib import Path
import numpy as np
from rambo.storage.memo import Memo
memo = Memo(Path(sys.argv[1]))
for number in itertools.count(int(sys.argv[2])):
    key = hashlib.sha256(str(number).encode()).hexdigest()
    memo.put(key, {"number": number}, {"number": np.array([number])})
    os.write(1, b"%d\\n" % number)
"""


def test_kill_9_loses_nothing_that_was_put(memo: Memo, tmp_path: Path) -> None:
    draw = random.Random(5)
    for start in (0, 1000, 2000):
        writer = child(KILLED, tmp_path / "ru ns?#", start)
        first = writer.stdout.readline()
        time.sleep(draw.uniform(0, 0.2))
        writer.kill()
        lines = (first + writer.communicate()[0]).splitlines(keepends=True)
        last = int([line for line in lines if line.endswith(b"\n")][-1])
        for number in range(start, last + 1):
            record, arrays = memo.get(key(number))
            assert record == {"number": number}
            assert arrays["number"] == [number]
    assert memo.notices == []


# Questions about many at once.


def test_stored_keys_are_those_that_were_put(memo: Memo, tmp_path: Path) -> None:
    root = tmp_path / "ru ns?#"
    assert memo.stored_keys([key(1)]) == set()
    assert not root.exists()  # a question makes nothing
    for number in range(0, 60, 3):
        memo.put(key(number), {"number": number})
    keys = [key(number) for number in range(40_000)]  # more than SQLite takes as parameters
    assert Memo(root).stored_keys(keys) == set(keys[:60:3])
    assert Memo(root).stored_keys(iter(keys[:4])) == {keys[0], keys[3]}
    assert memo.stored_keys([]) == set()
    assert "64 hexadecimal digits" in refusal(lambda: memo.stored_keys([key(1), "../x"]))


def test_a_sample_holds_the_facts_asked_for(memo: Memo, tmp_path: Path) -> None:
    assert memo.sample({"device": "cpu"}, 9) == []
    assert not (tmp_path / "ru ns?#").exists()
    for number in range(20):
        memo.put(key(number), {"number": number, "device": "cpu" if number % 2 else "cuda"})
    memo.put(key(20), {"value": 0.5}, {"w": np.ones(2)})
    memo.put(key(21), {"device": "cpu", "name": 'it\'s "quoted"'})
    match = memo.sample({"device": "cpu"}, 100)
    assert sorted(record.get("number", 99) for record in match) == [*range(1, 20, 2), 99]
    assert len(memo.sample({"device": "cpu"}, 3)) == 3
    assert memo.sample({"device": "cpu", "name": 'it\'s "quoted"'}, 9) == [memo.get(key(21))[0]]
    assert memo.sample({"device": "cpu", "name": "other"}, 9) == []
    assert len(memo.sample({}, 100)) == 22


def test_a_damaged_row_is_left_out_of_a_sample_and_condemns_nothing(
    memo: Memo, tmp_path: Path
) -> None:
    for number in range(4):
        memo.put(key(number), {"number": number, "device": "cpu"})
    db = sqlite3.connect(tmp_path / "ru ns?#" / "utilities.sqlite")
    db.execute("UPDATE utilities SET record = '{\"device' WHERE key = ?", (key(0),))
    forged = '{"number":7,"device":"cpu"}'
    db.execute("UPDATE utilities SET record = ? WHERE key = ?", (forged, key(1)))
    db.commit()
    db.close()
    assert sorted(r["number"] for r in memo.sample({"device": "cpu"}, 9)) == [2, 3]
    assert memo.notices == []
    assert memo.get(key(2)) is not None


def test_a_question_to_a_damaged_file_begins_a_new_one(memo: Memo, tmp_path: Path) -> None:
    memo.put(key(1), {"number": 1})
    for file in (tmp_path / "ru ns?#").glob("utilities.sqlite?*"):
        file.unlink()
    (tmp_path / "ru ns?#" / "utilities.sqlite").write_bytes(b"no database" * 1000)
    assert memo.stored_keys([key(1)]) == set()
    assert "damaged" in memo.notices[0]


def test_a_workspace_that_is_absent_is_not_made_again(tmp_path):
    memo = Memo(tmp_path / "runs")
    memo.put("0" * 64, {"a": 1})
    shutil.rmtree(tmp_path / "runs")
    for action in (lambda: memo.get("0" * 64), lambda: memo.put("1" * 64, {"a": 1})):
        with pytest.raises(StoreError, match="a file is missing"):
            action()
    assert list(tmp_path.iterdir()) == []


def test_what_we_make_is_private(tmp_path):
    Memo(tmp_path / "a" / "runs").put("0" * 64, {"a": 1}, {"w": np.ones(1)})
    folders = [path for path in tmp_path.rglob("*") if path.is_dir()]
    assert len(folders) == 3
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}
