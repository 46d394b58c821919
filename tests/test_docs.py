"""The pages in `docs/` say what is so: their made parts are current, and every field that is printed is explained."""

import json
import re
import sqlite3
import zipfile
from pathlib import Path

import pytest

from docs import refresh
from rambo import __version__
from rambo.__main__ import main
from rambo.runs import record
from rambo.runs.environment import Environment

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
FORMAT = (ROOT / "docs" / "run-format.md").read_text()
EXPLAINED = set(re.findall(r"`([a-z_]+)`", FORMAT))


@pytest.fixture
def answer_of_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> dict[str, object]:
    """What `show --json` prints of the finished run among the fixtures."""
    with zipfile.ZipFile(ROOT / "tests" / "fixtures" / "v0.1" / "workspace.zip") as archive:
        archive.extractall(tmp_path)
    monkeypatch.setenv("RAMBO_HOME", str(tmp_path / "runs"))
    assert main(["list", "--json"]) == 0
    (name,) = [run["run"] for run in json.loads(capsys.readouterr().out) if run["status"] == "done"]
    assert main(["show", name, "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def test_made_parts_are_current() -> None:
    stale = [path.name for path, text in refresh.refreshed().items() if path.read_text() != text]
    assert stale == [], "run python docs/refresh.py"


def test_the_picture_has_every_room_once() -> None:
    rooms = re.findall(r"\w+/?", refresh.picture().replace("```text", ""))
    names = [room.rstrip("/") for room in rooms if not room.isdigit()]
    assert sorted(names) == sorted(name for floor in refresh.floors() for name in floor)


def test_every_field_that_show_prints_is_explained(answer_of_show: dict[str, object]) -> None:
    assert answer_of_show["format"] == 1
    (first, *_) = answer_of_show["results"]  # type: ignore[misc]
    fields = {*answer_of_show, *first, *answer_of_show["ranking"]}  # type: ignore[misc]
    assert len(fields) > 20
    assert fields - EXPLAINED == set()


def test_every_column_and_fact_of_the_record_is_explained(tmp_path: Path) -> None:
    assert f"**format {record.VERSION}** (`PRAGMA user_version`" in FORMAT
    record.create(tmp_path / "run.sqlite", {}, Environment())
    with sqlite3.connect(tmp_path / "run.sqlite") as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE sql > ''")]
        names = {name for (name,) in db.execute("SELECT name FROM facts")}
        for table in tables:
            names |= {table} | {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
    assert {"facts", "events", "results", "tally", "seq", "crc"} <= names
    assert names - EXPLAINED == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_and_named_file_is_there(page: Path) -> None:
    text = page.read_text()
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
    links = [link for link in links if "://" not in link]
    files = re.findall(
        r"`((?:rambo|tests|docs|pages|benchmarks)/[\w./-]+\.(?:py|md|js|json|toml))`", text
    )
    missing = [link for link in links if not (page.parent / link).exists()]
    missing += [name for name in files if not (ROOT / name).exists()]
    assert missing == []


def test_the_version_is_the_newest_in_the_list_of_changes() -> None:
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first is not None
    assert first[1] == __version__
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {__version__}\n" in citation
