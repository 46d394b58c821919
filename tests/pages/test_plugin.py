"""A strategy of ten lines that RAMBO has never heard of: it runs, is planned, exported, and breaks no page."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from page_helpers import assert_calm, make_queued, open_page, page_config, unescaped, words
from tiny import write_tiny

from rambo import export, lineup, plugins
from rambo.config import describe
from rambo.datasets.prepared import Prepared
from rambo.errors import ConfigError
from rambo.runs.workspace import Run, Workspace, summary
from rambo.strategies import others
from rambo.studies import study
from rambo.worker import plan, run_worker

PAGES = ("app.py", *(f"pages/{name}.py" for name in ("data", "configure", "train", "batch")))
PAGES += ("pages/compare.py", "pages/studies.py")

ZIGZAG = """
import torch
from rambo.method.pools import Selection
from rambo.strategies import strategy

@strategy("zigzag")
def zigzag(call):
    pool = call.problem.unlabeled
    chosen = torch.cat([pool[::2], pool[1::2]])[: call.budget]
    return Selection(chosen, torch.zeros_like(chosen))
"""


@pytest.fixture(autouse=True)
def _nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin as a new process does: no plugin has run, and none was given."""
    monkeypatch.setattr(lineup, "_registered", {})
    monkeypatch.setattr(others, "_functions", {})
    monkeypatch.delenv(plugins.VARIABLE, raising=False)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("plugin") / "zigzag.py"
    path.write_text(ZIGZAG)
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, file: Path) -> Run:
    """A finished run, made where the file was given, and worked on where it was not."""
    with plugins.using([file]):
        run = make_queued(
            tmp_path_factory.mktemp("zigzag") / "runs", strategies=["zigzag", "random"]
        )
    before = dict(lineup._registered), dict(others._functions)
    assert run_worker.work(run) == "done"
    assert (set(lineup._registered), set(others._functions)) == ({"zigzag"}, {"zigzag"})
    lineup._registered.clear()
    others._functions.clear()
    assert before == ({}, {})
    return run


@pytest.fixture
def plugged(file: Path) -> Iterator[None]:
    """The file is given to this process, as `--plugin` does."""
    with plugins.using([file]):
        yield


@pytest.fixture(params=["given", "absent"])
def either(request: pytest.FixtureRequest, finished: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The finished run, in a server that was given the file and in one that was not."""
    monkeypatch.setenv("RAMBO_HOME", str(finished.folder.parent))
    if request.param == "given":
        request.getfixturevalue("plugged")
    return finished


def test_it_chose_what_its_ten_lines_say(finished: Run) -> None:
    result = summary(finished).results[0]
    assert (result.strategy, len(result.selected)) == ("zigzag", 12)
    assert result.selected == sorted(result.selected)
    assert 0 < result.test_accuracy <= 1


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_with_it_whether_its_file_is_there_or_not(either: Run, page: str) -> None:
    app = open_page(page, either.id)
    assert_calm(app)
    named = {"app.py", "pages/train.py", "pages/batch.py", "pages/compare.py"}
    assert ("zigzag" in unescaped(words(app))) or page not in named
    assert others._functions == {}, "a page ran a plugin"


def test_configure_offers_it_where_its_file_was_given_chosen_or_not(
    plugged: None, finished: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAMBO_HOME", str(finished.folder.parent))
    app = open_page("pages/configure.py")
    (pills,) = [group for group in app.button_group if "zigzag" in group.options]
    assert pills.options[0] == "RAMBO"
    pills.set_value([*pills.value, "zigzag"]).run()
    assert_calm(app)
    assert "**zigzag**" in unescaped(words(app))


def test_it_has_a_word_and_a_neutral_colour(plugged: None) -> None:
    record = lineup.of("zigzag")
    assert record.word == "zigzag"
    assert record.colour == lineup.of("nobody").colour
    assert lineup.names() == (*lineup.OURS, "zigzag")


def test_it_is_planned(
    plugged: None, finished: Run, tiny: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = page_config(strategies=["zigzag", "random"])
    monkeypatch.setattr(plan.foreign, "prepare", lambda *args, **options: tiny)
    forecast = plan.plan(config, Workspace(finished.folder.parent))
    assert forecast.per_trial["evaluation"] == 2
    assert forecast.sentence.startswith("You hold 24 labels")
    assert "Zigzag chooses 12 of the" in forecast.sentence


def test_it_is_exported(finished: Run, tmp_path: Path) -> None:
    written = export.build(finished, "json", "zigzag", 0).write(tmp_path / "batch.json")
    text = json.dumps(json.loads((tmp_path / "batch.json").read_text()))
    assert written.count == 12
    assert "zigzag" in text
    assert str(tmp_path.parent) not in text, "an export tells nothing of this machine's folders"


def test_a_resumed_run_says_which_file_is_missing(finished: Run, tmp_path: Path) -> None:
    file = tmp_path / "gone.py"
    file.write_text(ZIGZAG)
    with plugins.using([file]):
        run = make_queued(tmp_path / "runs", strategies=["zigzag"])
    file.unlink()
    with pytest.raises(ConfigError, match=r"zigzag: it came from gone\.py, which is gone; put it"):
        run_worker.work(run)
    assert (run.status, run.results()) == ("failed", [])
    assert "--plugin FILE.py" in run.describe().message
    elsewhere = tmp_path / "elsewhere.py"
    elsewhere.write_text(ZIGZAG)
    with plugins.using([elsewhere]):
        assert run_worker.work(run) == "done"
    assert summary(run).results[0].selected == summary(finished).results[0].selected


def test_compare_says_that_a_new_run_goes_without_it_where_its_file_is_absent(
    finished: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAMBO_HOME", str(finished.folder.parent))
    sentence = "It goes without zigzag, whose plugin is not here."
    assert sentence in unescaped(words(open_page("pages/compare.py", finished.id)))
    with plugins.using([file]):
        assert sentence not in unescaped(words(open_page("pages/compare.py", finished.id)))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            "pool[:11], pool[:11]",
            "chose 11 images where 12 are asked for; let it return a Selection of 12",
        ),
        ("pool[:12], pool[:11]", "chose 12 images where 12 are asked for, with the steps of 11"),
        ("pool[[0] * 12], pool[:12]", "chose an image twice"),
        ("call.problem.labeled[:12], pool[:12]", "which is not unlabeled"),
    ],
)
def test_a_choice_that_breaks_the_contract_fails_the_run_in_a_line(
    tmp_path: Path, answer: str, words: str
) -> None:
    before, _, _ = ZIGZAG.partition("    chosen")
    file = tmp_path / "wrong.py"
    file.write_text(f"{before}    return Selection({answer})\n")
    with plugins.using([file]):
        run = make_queued(tmp_path / "runs", strategies=["zigzag"])
        with pytest.raises(ConfigError, match="strategies zigzag: "):
            run_worker.work(run)
    assert words in run.describe().message


def test_a_study_with_it_opens_whether_its_file_is_there_or_not(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "runs"
    monkeypatch.setenv("RAMBO_HOME", str(root))
    with plugins.using([file]):
        settings = describe(page_config(strategies=["zigzag", "random"]))
        study_run = study.create("noisy-oracle", settings, write_tiny(root), Workspace(root), "cpu")
    assert study_run.environment.plugins == (str(file),)
    assert_calm(open_page("pages/studies.py", study=study_run.id))
    with plugins.using([file]):
        assert_calm(open_page("pages/studies.py", study=study_run.id))


def test_configure_takes_over_such_a_run_and_says_what_is_wrong(
    finished: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAMBO_HOME", str(finished.folder.parent))
    app = open_page("pages/configure.py", finished.id)
    (button,) = [button for button in app.button if button.key == "configure-use-run"]
    button.click().run()
    assert_calm(app)
    assert "zigzag: choose one of: rambo, filter-only" in unescaped(words(app))
    (pills,) = [group for group in app.button_group if "zigzag" in group.options]
    pills.set_value(["random"]).run()
    assert "zigzag: choose one of" not in unescaped(words(app))
