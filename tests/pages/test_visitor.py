"""A shared app: who holds no token sees nothing, viewers look, editors act, and acts stand in the log."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from page_helpers import assert_calm, make_queued, open_page, unescaped, words

from rambo.collection import collection
from rambo.collection.importing import ImportOptions, import_images
from rambo.errors import RamboError
from rambo.runs import audit, jobs, notes
from rambo.runs.notes import ImageNote
from rambo.runs.workspace import Run
from rambo.ui import controls, state, visitor
from rambo.ui.batch import batch_data, map_view, tagging

EDITOR, VIEWER = "e" * 24, "v" * 24
ACTS = ("start", "stop", "delete", "import", "label", "edit", "note", "prepare")


class Visit:
    """A visitor, as Streamlit tells of one."""

    def __init__(self, token: str) -> None:
        self.cookies = {"rambo-access": token} if token else {}
        self.ip_address = "10.0.0.7"


@pytest.fixture
def come(monkeypatch: pytest.MonkeyPatch):
    """`come(token)` makes everyone who looks a visitor with this token."""
    monkeypatch.setenv("RAMBO_SHARE", "lan")
    monkeypatch.setenv("RAMBO_EDITOR_TOKEN", EDITOR)
    monkeypatch.setenv("RAMBO_VIEWER_TOKEN", VIEWER)
    monkeypatch.setattr(visitor, "login", lambda: False)
    return lambda token: monkeypatch.setattr(visitor.st, "context", Visit(token))


@pytest.mark.parametrize("page", ["app.py", "pages/data.py", "pages/batch.py", "pages/learn.py"])
@pytest.mark.parametrize("token", ["", "guessed", EDITOR[:-1]])
def test_without_a_token_no_page_shows_anything(done: Run, come, page: str, token: str) -> None:
    come(token)
    app = open_page(page, done.id)
    assert_calm(app)
    text = words(app)
    assert "opens with a link that holds a token" in text
    assert done.id not in text
    assert not app.button
    assert not app.sidebar.children


def test_a_viewer_sees_all_and_has_no_button_that_changes_anything(done: Run, come) -> None:
    come(VIEWER)
    app = open_page("app.py")
    assert_calm(app)
    assert done.id in unescaped(words(app))
    assert "You may look, not change anything." in words(app)
    enabled = {button.label for button in app.button if not button.disabled}
    assert not enabled & {"Start the demo", "Delete", "Resume", "Stop"}
    app = open_page("pages/configure.py", done.id)
    assert app.button(key="configure-start").disabled


@pytest.mark.parametrize("what", ACTS)
def test_a_viewers_act_is_refused_and_not_done(home: Path, come, what: str) -> None:
    come(VIEWER)
    with pytest.raises(RamboError, match="You may look, but not"), visitor.acting(what, "run-1"):
        pytest.fail("done")
    assert audit.read(home) == ([], [])


def test_an_editors_acts_stand_in_the_log_with_name_and_place(
    home: Path, come, monkeypatch: pytest.MonkeyPatch
) -> None:
    come(EDITOR)
    run = make_queued(home)
    run.set_status("stopped")
    monkeypatch.setattr(jobs, "resume", lambda run: None)
    app = open_page("pages/train.py", run.id)
    app.button(key="controls-resume").click().run()
    assert_calm(app)
    monkeypatch.setattr(
        controls.st, "dialog", lambda title: lambda function: lambda words, delete, *rest: delete()
    )
    controls.confirm_deletion(
        "run", "", lambda: state.workspace().delete(run), lambda: None, subject=run.id
    )
    acts, wrong = audit.read(home)
    assert wrong == []
    assert [(act.what, act.subject) for act in acts] == [("start", run.id), ("delete", run.id)]
    assert {act.who for act in acts} == {"editor from 10.0.0.7"}


def test_the_validation_images_are_drawn_anew_by_editors_alone_and_in_the_log(
    home: Path, tmp_path: Path, come
) -> None:
    np.savez(
        tmp_path / "own.npz",
        images=np.random.default_rng(0).integers(0, 255, (24, 8, 8), dtype=np.uint8),
        labels=np.arange(24) % 2,
    )
    import_images(home, tmp_path / "own.npz", ImportOptions(jobs=1))
    pets = collection.find(home, "own")
    come(VIEWER)
    app = open_page("pages/data.py", collection="own")
    app.slider("collection-share-own-1").set_value(50).run()
    assert app.button("collection-redraw").disabled
    app.button("collection-redraw").proto.disabled = False  # a message need not come from the page
    app.button("collection-redraw").click().run()
    assert (len(pets.versions()), audit.read(home)) == (1, ([], []))
    come(EDITOR)
    app.run()
    app.button("collection-redraw").click().run()
    assert_calm(app)
    assert [version.kind for version in pets.versions()] == ["import", "split"]
    acts = [(act.what, act.subject, act.more) for act in audit.read(home)[0]]
    assert acts == [("label", "own", "50 % validate")]


def test_an_act_that_fails_is_not_in_the_log(home: Path) -> None:
    with contextlib.suppress(ValueError), visitor.acting("start", "run-1"):
        raise ValueError
    assert audit.read(home) == ([], [])


def test_a_viewer_reads_tags_and_notes_and_is_told_that_looking_is_all(
    done: Run, come, monkeypatch: pytest.MonkeyPatch
) -> None:
    come(VIEWER)
    batch = batch_data.load(done, 0, "rambo")
    assert batch is not None
    index = int(batch.indices[0])
    entry = ImageNote(("<b>blurry</b>",), "one\ntwo")
    monkeypatch.setattr(tagging, "load", lambda batch: {index: entry})
    app = open_page("pages/batch.py", done.id)
    app.session_state[map_view.gallery_key(batch)] = {"selected": [], "opened": index}
    app.run()
    assert_calm(app)
    text = unescaped(words(app))
    assert "Tags: **<b>blurry</b>**" in text
    assert "one\ntwo" in text
    assert "You may look, but not give tags and notes." in text
    assert not [field for field in app.text_area if field.label == "Note"]
    with pytest.raises(RamboError, match="You may look, but not give tags and notes; ask whoever"):
        tagging.save(batch, index, entry, ImageNote())
    assert notes.load(done) == {}


def test_this_machine_alone_needs_no_login(done: Run) -> None:
    assert visitor.role() == "editor"
    assert visitor.name() == f"{audit.user()} in the app"


def test_with_a_login_people_come_in_by_their_address(
    done: Run, come, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NamedUser:
        is_logged_in = False
        email = ""
        verified = True

        def to_dict(self) -> dict[str, object]:
            return {"email": self.email, "email_verified": self.verified}

    user = NamedUser()
    come("")
    monkeypatch.setenv("RAMBO_EDITORS", "anna@lab.example")
    monkeypatch.setenv("RAMBO_VIEWERS", "*@lab.example")
    monkeypatch.setattr(visitor, "login", lambda: True)
    monkeypatch.setattr(visitor.st, "user", user)
    assert "Log in" in words(open_page("app.py"))
    user.is_logged_in = True
    for email, role in (("anna@lab.example", "editor"), ("bob@lab.example", "viewer")):
        user.email = email
        assert visitor.role() == role
        assert visitor.name() == f"{role} {email} from 10.0.0.7"
    user.verified = False
    assert visitor.role() is None
    user.verified, user.email = True, "eve@evil.example"
    text = unescaped(words(open_page("app.py")))
    assert "eve@evil.example may not see this app" in text
    assert done.id not in text
