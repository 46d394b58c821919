"""Who may do what, by token or by name, and how a shared server is started."""

import json
import os
from pathlib import Path

import pytest

from rambo import __main__ as command_line
from rambo.errors import ConfigError
from rambo.runs import access

EDITOR, VIEWER = "e" * 24, "v" * 24


def test_a_token_is_worth_its_role_and_a_short_one_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAMBO_EDITOR_TOKEN", EDITOR)
    monkeypatch.setenv("RAMBO_VIEWER_TOKEN", "short")
    policy = access.Access.from_environment()
    assert policy.role_of_token(EDITOR) == "editor"
    for wrong in ("", "short", EDITOR[:-1], "\ud800"):
        assert policy.role_of_token(wrong) is None


def test_a_server_with_a_name_beyond_this_machine_is_shared_said_or_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAMBO_SHARE", raising=False)
    rules = access.Access.from_environment()
    assert not rules.behind(["localhost", "127.0.0.1"]).shared
    for host in ("lab-pc", "*", "localhost.example"):
        assert rules.behind(["localhost", host]).shared


def test_people_are_known_by_their_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAMBO_EDITORS", "anna@lab.example, *@STAFF.lab.example")
    monkeypatch.setenv("RAMBO_VIEWERS", "*@lab.example")
    policy = access.Access.from_environment()
    assert policy.role_of_person("Anna@lab.example") == "editor"
    assert policy.role_of_person("bob@staff.lab.example") == "editor"
    assert policy.role_of_person("bob@lab.example") == "viewer"
    assert policy.role_of_person("bob@lab.example.evil") is None
    assert policy.role_of_person("") is None


def test_tokens_stay_until_new_ones_are_asked_for(tmp_path: Path) -> None:
    first = access.tokens(tmp_path)
    assert access.tokens(tmp_path) == first
    assert len({*first.values()}) == 2
    assert (tmp_path / "access.json").stat().st_mode & 0o777 == 0o600
    assert not {*access.tokens(tmp_path, renew=True).values()} & {*first.values()}
    (tmp_path / "access.json").write_text(json.dumps([1]))
    assert len(access.tokens(tmp_path)["editor"]) >= 16


def test_a_short_token_in_the_environment_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAMBO_EDITOR_TOKEN", "secret")
    with pytest.raises(ConfigError, match="fewer than 16 characters"):
        access.tokens(tmp_path)


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (["--share", "world"], "--share"),
        (["--share", "proxy"], "--host"),
        (["--share", "lan", "--host", "http://lab:8501"], "--host"),
        (["--share", "lan", "--host", "*"], "--host"),
        (["--share", "lan", "--port", "0"], "--port"),
        (["--share", "lan", "--port", "a"], "--port"),
        (["--share", "proxy", "--host", "a.example", "--base-path", "../x"], "--base-path"),
        (["--host", "a.example"], "--host"),
    ],
)
def test_what_cannot_be_shared_is_refused(
    words: list[str],
    field: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RAMBO_HOME", str(tmp_path))
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("started"))
    assert command_line.main(["app", *words]) == 2
    assert capsys.readouterr().err.startswith(f"rambo: {field}")


def test_a_shared_app_prints_its_links_and_starts_with_what_they_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAMBO_HOME", str(tmp_path))
    for name in ("RAMBO_SHARE", "RAMBO_EDITOR_TOKEN", "RAMBO_VIEWER_TOKEN"):
        monkeypatch.setenv(name, "")  # what is set here is taken back after the test
    begun: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, command: begun.append(command))
    words = ["app", "--share", "proxy", "--host", "lab.example", "--base-path", "/rambo/"]
    command_line.main([*words, "--port", "9000"])
    (command,) = begun
    for option in (
        "--server.address=127.0.0.1",
        "--server.port=9000",
        "--server.allowedHosts=localhost",
        "--server.allowedHosts=lab.example",
        "--server.corsAllowedOrigins=https://lab.example",
        "--server.baseUrlPath=rambo",
    ):
        assert option in command
    lines = capsys.readouterr().err.splitlines()
    token = os.environ["RAMBO_EDITOR_TOKEN"]
    assert lines[0] == f"editor  https://lab.example/rambo/?token={token}"
    assert access.tokens(tmp_path)["viewer"] in lines[1]
    assert os.environ["RAMBO_SHARE"] == "proxy"
    command_line.main(["app", "--share", "lan", "--host", "lab-pc"])
    assert "--server.address=0.0.0.0" in begun[1]


def test_where_people_log_in_no_token_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAMBO_HOME", str(tmp_path / "runs"))
    for name in ("RAMBO_SHARE", "RAMBO_EDITOR_TOKEN", "RAMBO_VIEWER_TOKEN"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(os, "execv", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    secrets = tmp_path / ".streamlit" / "secrets.toml"
    secrets.parent.mkdir()
    secrets.write_text("[auth]\nclient_id = 'x'\n")
    command_line.main(["app", "--share", "proxy", "--host", "lab.example"])
    errors = capsys.readouterr().err
    assert errors.startswith("https://lab.example/\npeople log in; RAMBO_EDITORS")
    assert "token" not in errors
    assert not (tmp_path / "runs" / "access.json").exists()
