"""Strategies of other people are read from the text of files and packages, and no line of theirs runs."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rambo import __main__ as command_line
from rambo import config as configs
from rambo import lineup, plugins
from rambo.errors import ConfigError
from rambo.strategies import STRATEGIES, find, others, strategy

FULL = """
raise SystemExit("this file ran")
from rambo import strategies

@strategies.strategy("far-out", word="Far out", help="The farthest.", colour="#123abc", symbol="star",
                     greedy=True, learns="utility", word2=3)
def far_out(call): ...

@strategies.strategy(name="near", colour="red")
def wrong_colour(call): ...

@strategies.strategy("rambo", word="Impostor")
def impostor(call): ...

@strategies.strategy("../up")
def wrong_name(call): ...

@strategies.strategy(compute_a_name())
def unreadable(call): ...

@some.other_decorator("not-one")
def other(call): ...
"""


@pytest.fixture(autouse=True)
def _nothing_registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin as a new process does."""
    monkeypatch.setattr(lineup, "_registered", {})
    monkeypatch.setattr(others, "_functions", {})
    monkeypatch.delenv(plugins.VARIABLE, raising=False)
    plugins.offers.cache_clear()
    yield
    plugins.offers.cache_clear()


def write(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_file_is_read_and_not_run(tmp_path: Path) -> None:
    with plugins.using([write(tmp_path, FULL)]):
        assert lineup.names() == (*lineup.OURS, "far-out")
        record = lineup.of("far-out")
    assert (record.word, record.help, record.colour, record.symbol) == (
        "Far out",
        "The farthest.",
        "#123abc",
        "star",
    )
    assert (record.greedy, record.learns) == (True, ""), "what ours train is counted by us alone"
    assert lineup.names() == lineup.OURS


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path, '@strategy("one")\ndef f(call): ...\n')
    with plugins.using([path]):
        assert lineup.names()[-1] == "one"
        path.write_text('@strategy("another")\ndef f(call): ...\n')
        assert lineup.names()[-1] == "another"
        path.write_text("def broken(:\n")
        assert lineup.names() == lineup.OURS
        path.unlink()
        assert lineup.names() == lineup.OURS


def test_files_are_handed_on_to_processes_started_in_the_block(tmp_path: Path) -> None:
    first, second = tmp_path / "a.py", tmp_path / "b.py"
    with plugins.using([first]), plugins.using([second, first]):
        assert os.environ[plugins.VARIABLE] == f"{first}{os.pathsep}{second}"
        assert plugins.files() == (first, second)
    assert plugins.VARIABLE not in os.environ


def test_a_config_takes_its_name_and_only_while_it_is_there(tmp_path: Path) -> None:
    settings = {"strategies": ["far-out"]}
    with plugins.using([write(tmp_path, FULL)]):
        assert configs.build(settings).strategies == ("far-out",)
    with pytest.raises(
        ConfigError, match=r"^strategies far-out: choose one of: rambo, filter-only"
    ):
        configs.build(settings)
    assert configs.restore(settings).strategies == ("far-out",)
    with pytest.raises(ConfigError, match=r"^k 1 is too small; use at least 2"):
        configs.restore({"k": 1, "strategies": ["far-out"]})


def offer(folder: Path, name: str, value: str, text: str) -> None:
    """Lay an installed package into a folder of the module path."""
    (folder / "farpkg" / "inner").mkdir(parents=True)
    write(folder / "farpkg", 'raise SystemExit("the package ran")\n', "__init__.py")
    write(folder / "farpkg" / "inner", "", "__init__.py")
    write(folder / "farpkg" / "inner", text, "mod.py")
    about = folder / "farpkg-1.0.dist-info"
    about.mkdir()
    write(about, "Metadata-Version: 2.1\nName: farpkg\nVersion: 1.0\n", "METADATA")
    write(about, f"[rambo.strategies]\n{name} = {value}\n", "entry_points.txt")


def test_a_package_offers_a_strategy_and_is_not_imported_to_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = 'from rambo.strategies import strategy\n@strategy("offered", word="Offered")\ndef f(call): ...\n'
    offer(tmp_path, "anything", "farpkg.inner.mod", text)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert lineup.names()[-1] == "offered"
    assert lineup.of("offered").word == "Offered"
    assert not {name for name in sys.modules if name.startswith("farpkg")}
    write(tmp_path / "farpkg", "", "__init__.py")
    for name in ("farpkg", "farpkg.inner", "farpkg.inner.mod"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    find("offered")
    assert "farpkg.inner.mod" in sys.modules
    for name in ("farpkg", "farpkg.inner", "farpkg.inner.mod"):
        sys.modules.pop(name, None)


def test_what_the_decorator_refuses() -> None:
    for name, words in (
        ("rambo", "RAMBO has one of that name"),
        (lineup.ORACLE.name, "RAMBO has one of that name"),
        ("Not A Name", "small letters, digits and hyphens"),
        ("x" * 41, "up to 40"),
    ):
        with pytest.raises(ConfigError, match=words):
            strategy(name)(lambda call: None)
    with pytest.raises(ConfigError, match="#rrggbb"):
        strategy("fine", colour="red")(lambda call: None)
    for symbol in ("blob", "circle ", "Circle", "-open", "asterisk"):
        with pytest.raises(ConfigError, match=r"^strategy fine has the symbol .*; use one of cir"):
            strategy("fine", symbol=symbol)(lambda call: None)
    with pytest.raises(
        ConfigError, match=r"^strategy all is the word for all of RAMBO's own; choose"
    ):
        strategy("all")(lambda call: None)
    assert lineup.names() == lineup.OURS


def test_a_cell_of_a_notebook_may_declare_one_and_declare_it_again() -> None:
    first = strategy("cell")(lambda call: "first")
    second = strategy("cell", word="Cell")(lambda call: "second")
    assert first(None) == "first"
    assert (find("cell"), lineup.of("cell").word, lineup.names()[-1]) == (second, "Cell", "cell")


def test_ours_are_found_by_name_and_nobody_is_made_up() -> None:
    assert all(find(name) is select for name, select in STRATEGIES.items())
    with pytest.raises(ConfigError, match="strategies nobody: nobody here brings it; put it back"):
        find("nobody")


def test_code_that_fails_is_told_in_a_line(tmp_path: Path) -> None:
    text = '@strategy("early")\ndef f(call): ...\n'  # the decorator was never imported
    with (
        plugins.using([write(tmp_path, text)]),
        pytest.raises(ConfigError, match=r"^plugin mine\.py: NameError: name 'strategy' is not"),
    ):
        find("early")


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "there is no such file"), ("x = 1\n", "declares no strategy; write @strategy")],
)
def test_the_command_line_refuses_a_plugin_that_brings_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, words: str
) -> None:
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text)
    assert command_line.main(["run", "--plugin", str(path), "--strategy", "mine"]) == 2
    assert words in capsys.readouterr().err


def test_the_command_line_knows_the_names_a_plugin_brings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, FULL)
    arguments = ["run", "--plugin", str(path), "--strategy", "far-out", "--k", "1"]
    assert command_line.main(arguments) == 2
    assert "k 1 is too small; use at least 2" in capsys.readouterr().err, (
        "the name itself is no complaint"
    )
    assert plugins.VARIABLE not in os.environ
