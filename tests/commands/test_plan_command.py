"""`python -m rambo plan`: settings in, JSON out, one line and exit 2 for everything else."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import FORECAST_KEYS

from rambo import config as configs
from rambo.commands.line import main
from rambo.config import presets
from rambo.estimate import costs

ROOT = Path(__file__).resolve().parents[2]


def plan(stdin: str | bytes, home: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "rambo", "plan", *options],
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        cwd=ROOT,
        env=os.environ | {"RAMBO_HOME": str(home)},
        timeout=300,
    )


def test_the_plan_of_the_demo_is_json_and_makes_no_run(tmp_path: Path) -> None:
    home = tmp_path / "runs"
    settings = configs.describe(configs.build(presets.demo() | {"compute": {"device": "cpu"}}))
    done = plan(json.dumps(settings), home)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert set(answer) == FORECAST_KEYS
    assert (answer["initial_labels"], answer["labels_bought"]) == (200, 200)
    assert (answer["unlabeled"], answer["validation"]) == (7800, 1000)
    assert answer["trainings"] == costs.count(configs.build(settings)).total == 46
    assert (answer["lookups"], answer["cached"], answer["device"]) == (34, 0, "cpu")
    assert answer["seconds"] == pytest.approx(sum(answer["stages"].values()))
    assert answer["seconds"] > 1
    assert answer["rate"]["seconds_per_image"] > 0
    assert not [path for path in home.iterdir() if path.name.startswith("fashion")]


@pytest.mark.parametrize(
    ("stdin", "words"),
    [
        ("", "settings is not JSON"),
        ("{", "settings is not JSON"),
        ("[" * 50_000, "settings is not JSON"),
        (b"\xff", "settings is not JSON"),
        ('{"k": ' + "9" * 5000 + "}", "settings is not JSON"),
        ("[1]", "settings holds no group of settings"),
        ("null", "settings holds no group of settings"),
        (" " * 64_001, "settings has over 64,000 bytes"),
        ('{"k": 1}', "k 1 is too small; use at least 2"),
        ('{"what": 1}', "what 1: there is no such field"),
        ('{"k": NaN}', "k nan: "),
        ('{"k": 9000}', "k 9000 leaves nothing to choose from"),
        ('{"budget": 9000}', "budget 9000 exceeds the 7800 unlabeled images"),
        ('{"dataset": {"name": "nothing.npz"}}', "dataset nothing.npz: no such file"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_and_exit_2(
    stdin: str | bytes,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    content = stdin.encode() if isinstance(stdin, str) else stdin
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    monkeypatch.setenv("RAMBO_HOME", str(tmp_path / "runs"))
    assert main(["plan"]) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"rambo: {words}")


def test_an_error_is_json_where_json_is_asked_for(tmp_path: Path) -> None:
    done = plan('{"k": 1, "budget": 0}', tmp_path / "runs", "--json")
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert error["kind"] == "ConfigError"
    assert [(part["field"], part["value"], part["limit"]) for part in error["parts"]] == [
        ("k", 1, 2),
        ("budget", 0, 1),
    ]
    assert done.stderr.decode().splitlines() == [f"rambo: {p['text']}" for p in error["parts"]]
