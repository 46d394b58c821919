"""The installed package: what the wheel holds, and that it works in any folder without the checkout."""

import os
import re
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
import zipfile
from pathlib import Path

import pytest

from rambo import __main__ as command_line
from rambo import __version__
from rambo.storage import places

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
QUICK = "--preset demo --strategy random --k 24 --budget 5 --set classifier.max_epochs=1"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    built = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(built, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (file,) = folder.glob("*.whl")
    return zipfile.ZipFile(file)


@pytest.fixture(scope="module")
def installed(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the wheel's rambo is imported, and the checkout's is not."""
    folder = tmp_path_factory.mktemp("site")
    wheel.extractall(folder)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("RAMBO_")
    }
    return {**environment, "PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}


def needed(lines: list[str]) -> dict[str, str]:
    """Return the range of each package: `{"numpy": ">=2.1,<3"}`."""
    parts = (re.match(r"([A-Za-z0-9_-]+)([^#]*)", line) for line in lines)
    return {part[1]: part[2].strip() for part in parts if part}


def listed(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    return needed([line for line in lines if line[:1].isalpha()])


def test_the_package_needs_what_the_lock_pins_and_torch_from_there_on() -> None:
    locked = listed("requirements.txt")
    for name in ("torch", "torchvision"):
        pinned = locked.pop(name).removeprefix("==")
        ours = needed(PROJECT["dependencies"])[name]
        assert ours.startswith(f">={pinned},<"), name
    rest = needed(PROJECT["dependencies"])
    assert locked == {name: rest[name] for name in rest if name not in ("torch", "torchvision")}


def test_the_tools_for_developers_are_the_same_in_both_lists() -> None:
    assert needed(PROJECT["optional-dependencies"]["dev"]) == listed("requirements-dev.txt")


def test_the_wheel_holds_the_app_the_images_and_every_module(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    ours = [path for path in (ROOT / "rambo").rglob("*") if path.is_file()]
    assert len(ours) > 100
    code = {str(path.relative_to(ROOT)) for path in ours if "__pycache__" not in path.parts}
    pages = {f"rambo/_app/pages/{path.name}" for path in (ROOT / "pages").glob("*.py")}
    images = {f"rambo/_data/{path.relative_to(ROOT / 'data')}" for path in shipped()}
    assert len(pages) > 5
    assert len(images) == 4
    others = {"rambo/_app/app.py", "rambo/_app/.streamlit/config.toml", "rambo/py.typed"}
    assert code | pages | images | others <= names
    assert {name.split("/")[0] for name in names} == {"rambo", f"rambo-{__version__}.dist-info"}


def shipped() -> list[Path]:
    return list((ROOT / "data" / "fashion-mnist").iterdir())


def test_an_installed_rambo_runs_on_the_shipped_images_from_any_folder(
    installed: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rambo", "run", *QUICK.split()],
        cwd=tmp_path,
        env=installed,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^random( +\d+\.\d){3} +1 ", done.stdout, re.MULTILINE), done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    assert len(list(tmp_path.glob("runs/fashion-mnist-mini-*/run.sqlite"))) == 1


def test_an_installed_app_opens_from_any_folder_and_for_this_machine_only(
    installed: dict[str, str], tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"--server.headless true --server.port {port}".split()
    with (tmp_path / "log").open("w+b") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "rambo", "app", *options],
            cwd=tmp_path,
            env=installed,
            stdout=log,
            stderr=log,
        )
        try:
            assert answer(f"http://127.0.0.1:{port}/_stcore/health") == "ok"
            assert "streamlit" in answer(f"http://127.0.0.1:{port}/train").lower()
        finally:
            server.terminate()
            server.wait(30)
        log.seek(0)
        text = log.read().decode()
    assert f"http://127.0.0.1:{port}" in text  # our settings: no network address is offered
    assert "External URL" not in text


def answer(url: str) -> str:
    """Return what a server that is starting says at last."""
    limit = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as page:
                return str(page.read().decode())
        except OSError:
            if time.monotonic() > limit:
                raise
            time.sleep(0.1)


def test_app_hands_its_options_to_streamlit(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []

    def become(program: str, command: list[str]) -> None:
        assert program == sys.executable
        calls.append(command[1:])
        raise KeyboardInterrupt  # a real one never comes back

    monkeypatch.setattr(os, "execv", become)
    assert command_line.main(["app", "--server.port", "8600", "--theme.base=dark"]) == 130
    streamlit = ["-P", "-m", "streamlit", "run", str(ROOT / "app.py")]
    assert calls == [[*streamlit, "--server.port", "8600", "--theme.base=dark"]]


def test_no_other_command_takes_options_that_are_not_ours(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stop:
        command_line.main(["list", "--server.port", "8600"])
    assert stop.value.code == 2
    assert "--server.port 8600" in capsys.readouterr().err


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        command_line.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"rambo {__version__}\n"


def test_a_checkout_keeps_downloads_and_an_installed_rambo_uses_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAMBO_DATA", raising=False)
    assert places.downloads() == ROOT / "data" / "downloads"
    assert places.app() == ROOT / "app.py"
    monkeypatch.setattr(places, "_INSTALLED_APP", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert places.downloads() == tmp_path / "cache" / "rambo"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert places.downloads() == tmp_path / "me" / ".cache" / "rambo"
    monkeypatch.setenv("RAMBO_DATA", "elsewhere")
    assert places.downloads() == Path("elsewhere")


@pytest.mark.parametrize("name", ["rambo.__main__", "app"])
def test_a_system_without_posix_locks_is_refused_in_one_line(name: str) -> None:
    code = "import argparse, json, signal, streamlit, subprocess, sys, traceback; sys.platform = 'win32'"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; import {name}"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("rambo: needs Linux or macOS")
    assert "Traceback" not in done.stderr
