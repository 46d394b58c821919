"""The frame around every page: menu, picker, state badge, device line, calm errors."""

import os
import re
from pathlib import Path

import pytest
from page_helpers import (
    assert_calm,
    make_damaged,
    make_failed,
    make_interrupted,
    make_queued,
    open_page,
    unescaped,
    words,
)

from rambo.runs.workspace import Run
from rambo.text import literal
from rambo.ui import frame, state

PAGES = list(state.PAGES)
RUN_PAGES = ["pages/train.py", "pages/batch.py", "pages/compare.py"]


@pytest.mark.parametrize("script", PAGES)
def test_a_page_opened_first_without_any_run_says_what_to_do(script: str, home: Path) -> None:
    app = open_page(script)
    assert_calm(app)
    assert app.title
    assert len(app.get("page_link")) >= len(PAGES)


@pytest.mark.parametrize("script", PAGES)
def test_the_foot_of_a_page_leads_to_the_paper_the_glossary_and_the_next_step(
    script: str, done: Run
) -> None:
    app = open_page(script, done.id)
    links = {link.proto.label: link.proto for link in app.main.get("page_link")}
    assert links["The paper"].page == frame.PAPER
    if script != "pages/learn.py":
        assert "step=terms" in links["All terms"].query_string
    following = [label for label in links if label.startswith("Next: ")]
    expected = {
        "pages/data.py": ["Next: set up a run"],
        "pages/batch.py": ["Next: compare with its rivals"],
        "pages/compare.py": ["Next: set up a run of your own"],
        "pages/studies.py": ["Next: see how the method works"],
        "pages/learn.py": ["Next: set up a run"],
    }
    assert following == expected.get(script, [])


@pytest.mark.parametrize("script", PAGES)
def test_the_menu_keeps_the_run(script: str, done: Run) -> None:
    app = open_page(script, done.id)
    assert_calm(app)
    menu = app.sidebar.get("page_link")
    assert len(menu) == len(PAGES)
    assert all(f"run={done.id}" in link.proto.query_string for link in menu)


@pytest.mark.parametrize("script", RUN_PAGES)
def test_without_an_address_the_newest_run_is_taken(script: str, done: Run) -> None:
    app = open_page(script)
    assert_calm(app)
    assert app.query_params["run"] in (done.id, [done.id])


@pytest.mark.parametrize("script", PAGES)
@pytest.mark.parametrize(
    "typed",
    [
        "nope",
        "../../etc/passwd",
        "%2e%2e%2f",
        "a" * 10_000,
        "\x00\x01\ud7ff",
        "<script>alert(1)</script>",
        "![x](http://evil.example/x.png)",
        "\uff1b\uff1b",
    ],
)
def test_an_unknown_run_is_no_such_run(script: str, typed: str, done: Run) -> None:
    app = open_page(script, typed)
    assert_calm(app)
    assert "there is no such run" in unescaped(app.error[0].value)
    assert app.title
    assert "http://" not in app.error[0].value


@pytest.mark.parametrize("script", RUN_PAGES)
def test_a_damaged_run_is_told_calmly_and_hides_no_other(
    script: str, home: Path, tmp_path: Path
) -> None:
    damaged, failed = make_damaged(home), make_failed(home)
    app = open_page(script, damaged.id)
    assert_calm(app)
    assert app.error
    picker = app.sidebar.selectbox[0]
    endings = {option.split(" · ")[1] for option in picker.options}
    assert {damaged.id[-4:], failed.id[-4:]} <= endings


@pytest.mark.parametrize("script", RUN_PAGES)
def test_every_state_is_shown_without_alarm(script: str, home: Path) -> None:
    for run in (make_queued(home), make_failed(home), make_interrupted(home)):
        app = open_page(script, run.id)
        assert_calm(app)


def test_the_badge_says_the_state_in_words(home: Path) -> None:
    titles = {}
    for run in (make_queued(home), make_failed(home), make_interrupted(home)):
        titles[run.status] = " ".join(
            m.value for m in open_page("pages/train.py", run.id).sidebar.markdown
        )
    assert "in line" in titles["queued"]
    assert "failed" in titles["failed"]
    assert "stopped unexpectedly" in titles["interrupted"]


def test_picking_another_run_changes_the_address(home: Path) -> None:
    first, second = make_queued(home), make_failed(home)
    app = open_page("pages/train.py", first.id, step="3")
    app.sidebar.selectbox[0].select(second.id).run()
    assert_calm(app)
    assert second.id in str(app.query_params["run"])
    assert "step" not in app.query_params


def test_an_unforeseen_error_is_an_id_here_and_a_trace_in_the_log(
    done: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rambo.ui import readers

    def broken(run: Run) -> dict[str, object]:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr(readers, "config", broken)
    app = open_page("pages/train.py", done.id)
    assert not app.exception
    text = words(app)
    assert "errors.log" in text
    assert "secret" not in text
    name = app.error[0].value.split("**")[1]
    log = (done.folder.parent / "errors.log").read_text()
    assert name in log
    assert "ZeroDivisionError: a secret detail" in log
    (done.folder.parent / "errors.log").unlink()


@pytest.mark.parametrize("script", PAGES)
def test_an_error_in_the_frame_itself_is_calm_too(
    script: str, done: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rambo.ui import frame

    def broken(pick: bool) -> tuple[None, str]:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr(frame, "_chosen", broken)
    app = open_page(script, done.id)
    assert not app.exception
    assert "errors.log" in words(app)
    assert "secret" not in words(app)
    (done.folder.parent / "errors.log").unlink()


def test_a_message_keeps_the_folders_of_this_machine_to_itself(
    done: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rambo.errors import DataError
    from rambo.ui import readers

    def refused(run: Run) -> dict[str, object]:
        raise DataError("file /srv/private/me/cats.npz: it is damaged; save it again")

    monkeypatch.setattr(readers, "config", refused)
    text = unescaped(open_page("pages/train.py", done.id).error[0].value)
    assert text == "file cats.npz: it is damaged; save it again"


@pytest.mark.parametrize(
    "name",
    [
        "![](http://evil.example/p.png)",
        "[click](javascript:alert(1))",
        "<img src=x onerror=alert(1)>",
        "**bold** _it_ `code` $x^2$ :red[x] :smile:",
        "https://evil.example",
        "www.evil.example",
        "me@evil.example",
        "# heading",
        "a|b~~c~~",
    ],
)
def test_literal_text_has_nothing_markdown_could_read(name: str) -> None:
    text = literal(name)
    assert unescaped(text) == name
    bare = os.linesep.join(part for part in text.split("\\")[:1])
    assert not any(sign in bare for sign in "[]()<>*_`$:#|~!")
    assert "://" not in text
    assert "\\@" not in text.replace("\u2060\\@", "")


def test_a_page_gets_the_shared_style_and_its_own_alone() -> None:
    sheet = (Path(frame.__file__).parent / "style.css").read_text("utf-8")
    sections = re.findall(r"@page (\S+) \*/", sheet)
    assert len(sections) > 4
    assert set(sections) <= {*state.PAGES, "present"}
    train = frame._style("pages/train.py", presenting=False)
    learn = frame._style("pages/learn.py", presenting=False)
    for style in (train, learn):
        assert style.startswith("<style>")
        assert style.endswith("</style>")
        assert ".rambo-term:focus" in style
    assert ".rambo-stages" in train
    assert ".rambo-stages" not in learn
    assert "st-key-learn-step" in learn
    assert "st-key-learn-step" not in train
