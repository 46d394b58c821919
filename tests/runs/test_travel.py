"""A run travels: packed here, unpacked there, and nothing that a stranger puts into the file gets through."""

import hashlib
import io
import json
import resource
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rambo.__main__ import main
from rambo.collection import limited
from rambo.errors import DataError, RunLockedError
from rambo.runs import notes, repair, travel
from rambo.runs.notes import ImageNote
from rambo.runs.run import Run
from rambo.runs.workspace import Workspace
from rambo.storage import files

ROOT = Path(__file__).parents[2]
FIXTURE = ROOT / "tests/fixtures/v0.1"


@pytest.fixture
def done(old: Workspace) -> Run:
    (run,) = [run for run in old.runs() if run.status == "done"]
    return run


@pytest.fixture
def parcel(old: Workspace, done: Run, tmp_path: Path) -> Path:
    file = tmp_path / "run.zip"
    travel.pack(done, old, file)
    return file


def answer_of(capsys: pytest.CaptureFixture[str], run: str) -> Any:
    capsys.readouterr()
    assert main(["show", run, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def repacked(parcel: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """Write the parcel again with members changed, and with the hashes that fit them."""
    with zipfile.ZipFile(parcel) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    before = dict(members)
    change(members)
    described = json.loads(members["run.json"])
    for name, data in members.items():
        if name != "run.json" and data != before.get(name):
            described["sha256"][name] = hashlib.sha256(data).hexdigest()
    members["run.json"] = json.dumps(described).encode()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return target


def test_a_run_is_shown_and_exported_elsewhere_as_at_home(
    done: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert main(["pack", done.id, "--out", str(tmp_path / "run.zip")]) == 0
    before = answer_of(capsys, done.id)
    assert main(["export", done.id, "--format", "csv", "--out", str(tmp_path / "here.csv")]) == 0
    monkeypatch.setenv("RAMBO_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.chdir(tmp_path.parent)
    assert main(["unpack", str(tmp_path / "run.zip")]) == 0
    assert capsys.readouterr().out.split()[-1] == done.id
    after = answer_of(capsys, done.id)
    after["config"]["dataset"]["name"] = before["config"]["dataset"]["name"]
    after["dataset"] = before["dataset"]
    assert after == before
    assert main(["export", done.id, "--format", "csv", "--out", str(tmp_path / "there.csv")]) == 0
    assert (tmp_path / "there.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()
    other = Workspace(tmp_path / "elsewhere").find(done.id)
    assert [entry.event for entry in other.events()] == [entry.event for entry in done.events()]
    assert [entry.time for entry in other.events()] == [entry.time for entry in done.events()]
    for name in done.artifacts():
        assert other.is_whole(name)


def test_tags_and_notes_travel_and_a_damaged_file_stays_behind(
    old: Workspace, done: Run, tmp_path: Path
) -> None:
    index = done.results()[0].selected[0]
    entry = notes.save(done, index, ImageNote(), ImageNote(("blurry",), "ask Ana"))
    travel.pack(done, old, tmp_path / "run.zip")
    there = Workspace(tmp_path / "there")
    assert notes.load(there.find(travel.unpack(tmp_path / "run.zip", there).run)) == {index: entry}
    (done.folder / "notes.json").write_bytes(b"{}")
    parcel = travel.pack(done, old, tmp_path / "other.zip")
    assert "The file of tags and notes is damaged and stays behind." in parcel.notices
    third = Workspace(tmp_path / "third")
    assert notes.load(third.find(travel.unpack(tmp_path / "other.zip", third).run)) == {}


@pytest.mark.parametrize(
    "images", [{1: ImageNote(("a\0b",))}, {1: ImageNote(note="x" * 3000)}, {-1: ImageNote()}]
)
def test_notes_that_nobody_could_type_are_refused(
    images: dict[int, ImageNote], parcel: Path, tmp_path: Path
) -> None:
    def change(members: dict[str, bytes]) -> None:
        members["notes.json"] = notes.pack(images)

    there = Workspace(tmp_path / "there")
    with pytest.raises(DataError, match="file"):
        travel.unpack(repacked(parcel, tmp_path / "hostile.zip", change), there)
    assert there.ids() == []


def test_no_path_of_a_machine_travels(old: Workspace, done: Run, tmp_path: Path) -> None:
    travel.pack(done, old, tmp_path / "run.zip")
    with zipfile.ZipFile(tmp_path / "run.zip") as archive:
        text = b"".join(archive.read(name) for name in archive.namelist())
    assert str(tmp_path).encode() not in text


def test_a_second_copy_gets_an_id_of_its_own(old: Workspace, done: Run, parcel: Path) -> None:
    second = travel.unpack(parcel, old)
    assert second.run != done.id
    assert old.find(second.run).results() == done.results()


def test_a_run_at_work_is_not_packed(old: Workspace, done: Run, tmp_path: Path) -> None:
    with done.lock(), pytest.raises(RunLockedError, match="pack it when it has ended"):
        travel.pack(done, old, tmp_path / "run.zip")
    assert not (tmp_path / "run.zip").exists()


def test_what_is_damaged_stays_behind_and_is_said(
    old: Workspace, done: Run, tmp_path: Path
) -> None:
    victim = next(iter(sorted((done.folder / "artifacts").glob("**/*.safetensors"))))
    victim.write_bytes(victim.read_bytes()[:-1] + b"\0\0")
    parcel = travel.pack(done, old, tmp_path / "run.zip")
    assert any("Lost or damaged" in notice and victim.stem in notice for notice in parcel.notices)
    assert travel.unpack(tmp_path / "run.zip", Workspace(tmp_path / "there")).run == done.id


def test_a_small_file_leaves_maps_out_and_nothing_is_called_lost(
    old: Workspace, done: Run, tmp_path: Path
) -> None:
    travel.pack(done, old, tmp_path / "whole.zip")
    travel.pack(done, old, tmp_path / "small.zip", maps_of=0)
    assert (tmp_path / "small.zip").stat().st_size < (tmp_path / "whole.zip").stat().st_size
    there = Workspace(tmp_path / "there")
    run = there.find(travel.unpack(tmp_path / "small.zip", there).run)
    assert not run.has_artifact("trial-0/atlas")
    assert repair.broken(run) == []
    travel.pack(run, there, tmp_path / "again.zip")
    again = Workspace(tmp_path / "third")
    assert repair.broken(again.find(travel.unpack(tmp_path / "again.zip", again).run)) == []


def test_images_may_stay_at_home(old: Workspace, done: Run, tmp_path: Path) -> None:
    parcel = travel.pack(done, old, tmp_path / "run.zip", pictures=False)
    assert any("images stay" in notice for notice in parcel.notices)
    there = travel.unpack(tmp_path / "run.zip", Workspace(tmp_path / "there"))
    assert any("did not come along" in notice for notice in there.notices)


def _settings(members: dict[str, bytes], change: Callable[[dict[str, Any]], None]) -> None:
    described = json.loads(members["run.json"])
    change(described)
    members["run.json"] = json.dumps(described).encode()


def escape(members: dict[str, bytes]) -> None:
    members["../outside.json"] = b"{}"


def stranger(members: dict[str, bytes]) -> None:
    members["artifacts/run.sqlite"] = b"SQLite format 3\0"


def pickled(members: dict[str, bytes]) -> None:
    members["dataset/labels.npy"] = b"\x93NUMPY\x01\x00" + b"\x80\x04cos\nsystem\n" * 20


def other_images(members: dict[str, bytes]) -> None:
    data = bytearray(members["dataset/images.npy"])
    data[-1] ^= 255
    members["dataset/images.npy"] = bytes(data)


def bad_event(members: dict[str, bytes]) -> None:
    def change(run: dict[str, Any]) -> None:
        entry = next(entry for entry in run["events"] if "total" in entry["data"])
        entry["data"]["total"] = "many"

    _settings(members, change)


def bad_result(members: dict[str, bytes]) -> None:
    _settings(members, lambda run: run["results"][0]["fields"].update(selected="all of them"))


def bad_path(members: dict[str, bytes]) -> None:
    _settings(members, lambda run: run["environment"]["dataset"].update(fingerprint="../../etc"))


def bad_environment(members: dict[str, bytes]) -> None:
    _settings(members, lambda run: run["environment"].update(cores={"many": 1}))


def bad_config(members: dict[str, bytes]) -> None:
    _settings(members, lambda run: run["config"].update(k="many"))


def newer(members: dict[str, bytes]) -> None:
    _settings(members, lambda run: run.update(format=99))


def deep(members: dict[str, bytes]) -> None:
    members["run.json"] = members["run.json"]
    _settings(members, lambda run: run.update(message=[[[[]]]]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (escape, "leads out of the archive"),
        (stranger, "does not belong to a run"),
        (pickled, "allow_pickle|damaged|header|magic|Invalid"),
        (other_images, "not those that the run chose from"),
        (bad_event, "a record of Stage.* is damaged"),
        (bad_result, "a record of Result is damaged"),
        (bad_path, "fingerprint"),
        (bad_environment, "a record of Environment is damaged"),
        (bad_config, "its settings: k"),
        (newer, "from a newer RAMBO"),
        (deep, "run.json is damaged"),
    ],
)
def test_a_hostile_file_is_refused_and_leaves_nothing(
    parcel: Path, tmp_path: Path, change: Callable[[dict[str, bytes]], None], words: str
) -> None:
    there = Workspace(tmp_path / "there")
    file = repacked(parcel, tmp_path / "bad.zip", change)
    with pytest.raises(DataError, match=words):
        travel.unpack(file, there)
    assert there.runs() == []
    assert not (tmp_path / "outside.json").exists()
    assert [path.name for path in there.root.iterdir() if path.name.startswith(".scratch")] == []


_GROWTH = """
import sys
from pathlib import Path
from rambo.errors import DataError
from rambo.runs import travel
from rambo.runs.workspace import Workspace

def megabytes():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024

before = megabytes()
try:
    answer = travel.unpack(Path(sys.argv[1]), Workspace(Path(sys.argv[2]))).run
except DataError as error:
    answer = error.problem
print(answer)
print(megabytes() - before)
"""


@pytest.mark.parametrize(("megabytes", "answer"), [(200, ""), (301, "has 301 MB")])
def test_a_file_with_a_large_array_leaves_the_process_that_asks_small(
    parcel: Path, done: Run, tmp_path: Path, megabytes: int, answer: str
) -> None:

    def change(members: dict[str, bytes]) -> None:
        data = files.pack_arrays({"zeros": np.zeros(megabytes * 10**6, np.uint8)})
        name = next(name for name in members if name.endswith(".safetensors"))
        members[name] = data

    hostile = repacked(parcel, tmp_path / "large.zip", change)
    task = [sys.executable, "-c", _GROWTH, str(hostile), str(tmp_path / "there")]
    result = subprocess.run(task, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    words, growth = result.stdout.splitlines()
    assert words.endswith(answer or done.id)
    assert float(growth) < 100


def test_what_is_refused_in_the_child_leaves_the_words_and_the_field(tmp_path: Path) -> None:
    (tmp_path / "no.zip").write_bytes(b"no zip at all")
    with pytest.raises(DataError, match="it is no zip file, or its end is missing") as refusal:
        travel.unpack(tmp_path / "no.zip", Workspace(tmp_path / "there"))
    assert (refusal.value.field, refusal.value.hint) == ("file", "copy it again")


class Panic(BaseException):
    """As Rust's panics, such as those of safetensors without memory: no `Exception`."""


def panic() -> None:
    raise Panic("a pointer is null")


def test_a_panic_in_the_child_is_a_refusal_there_and_no_end_of_the_one_that_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Here, not in a child: with the child's limit of processor time this process would end some tests later.
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: None)
    assert limited._answer(panic, (), 5, str(Path.cwd())) == ("other", "a pointer is null")


def test_every_flipped_byte_is_refused_or_harmless(parcel: Path, tmp_path: Path) -> None:
    good = parcel.read_bytes()
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        names = {name: archive.read(name) for name in archive.namelist()}
    for place in range(200, len(good), max(1, len(good) // 60)):
        bad = bytearray(good)
        bad[place] ^= 16
        (tmp_path / "bad.zip").write_bytes(bad)
        there = Workspace(tmp_path / "there")
        try:
            run = there.find(travel.unpack(tmp_path / "bad.zip", there).run)
        except DataError:
            continue
        described = json.loads(names["run.json"])
        assert len(run.events()) == len(described["events"])
        assert all(run.is_whole(name) for name in run.artifacts())
        shutil.rmtree(there.root)


def test_no_cluster_and_no_file_of_this_machine_is_reached_for(
    parcel: Path, tmp_path: Path
) -> None:
    def change(members: dict[str, bytes]) -> None:
        def config(run: dict[str, Any]) -> None:
            run["config"]["compute"].update(backend="dask", address="tcp://evil:1")
            run["config"]["dataset"].update(name="/etc/passwd.npz", feature_weights="/etc/passwd")

        _settings(members, config)

    there = Workspace(tmp_path / "there")
    arrived = travel.unpack(repacked(parcel, tmp_path / "bad.zip", change), there)
    config = there.find(arrived.run).config
    assert config["compute"]["backend"] == "loky"
    assert config["compute"]["address"] is None
    assert config["dataset"]["name"] == "passwd.npz"
    assert config["dataset"]["feature_weights"] is None
    assert len(arrived.notices) >= 3
