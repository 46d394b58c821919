"""The README's snippet and options are true."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from rambo import lineup, plugins, strategies
from rambo.commands import line as command_line
from rambo.config.presets import PRESETS
from rambo.strategies import others

README = Path(__file__).parents[1] / "README.md"


def test_the_snippet_runs_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, snippet = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAMBO_HOME", raising=False)
    exec(compile(snippet, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert 0.2 < float(lines[0].split()[-1]) < 1
    assert [line.split()[1] for line in lines[2:4]] == ["Margin", "Random"]
    assert lines[-1].startswith("Margin cannot be told apart yet from Random: ")


def test_the_strategy_of_ones_own_chooses_as_its_help_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _ = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    file = tmp_path / "first.py"
    file.write_text(code)
    monkeypatch.setattr(lineup, "_registered", {})
    monkeypatch.setattr(others, "_functions", {})
    with plugins.using([file]):
        record = lineup.of("first")
        select = strategies.find("first")
    assert (record.word, record.help) == ("First", "The first images of the pool.")
    call = SimpleNamespace(problem=SimpleNamespace(unlabeled=torch.arange(50, 90)), budget=7)
    selection = select(call)
    assert selection.indices.tolist() == [50, 51, 52, 53, 54, 55, 56]
    assert selection.steps.tolist() == [0] * 7


def test_every_preset_is_explained_and_every_command_exists() -> None:
    text = README.read_text()
    assert all(f"| `{name}` |" in text for name in PRESETS)
    named = set(re.findall(r"python -m rambo (\w+)", text))
    assert named <= set(command_line._COMMANDS)
    assert {"run", "resume", "list", "show", "export"} <= named


def test_the_test_command_is_where_ci_looks_for_it() -> None:
    lines = README.read_text().splitlines()
    command = lines[lines.index("<!-- test-command -->") + 2]
    install, _, test = command.rpartition(" && ")
    assert install.endswith("pip install -r requirements-dev.txt")
    assert test == "python -m pytest -n 4 --dist worksteal"


def test_every_picture_is_there_in_light_and_dark() -> None:
    named = re.findall(r'(?:src|srcset)="([^"]+)"', README.read_text())
    assert {name.rpartition("-")[2] for name in named} == {"light.png", "dark.png"}
    assert len(named) == 18
    for name in named:
        assert (README.parent / name).read_bytes().startswith(b"\x89PNG"), name
