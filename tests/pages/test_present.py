"""Present mode without a browser: one figure at a time, the place in the address, and no settings."""

import re

import pytest
from page_helpers import assert_calm, make_queued, open_page, words
from streamlit.testing.v1 import AppTest

from rambo.datasets.prepared import TEST
from rambo.figures.charts import CHARTS
from rambo.runs.workspace import Run
from rambo.ui import readers

PAGES = ("pages/train.py", "pages/batch.py", "pages/compare.py")
SETTINGS = (
    "slider",
    "selectbox",
    "multiselect",
    "toggle",
    "checkbox",
    "text_input",
    "number_input",
)


def keys(app: AppTest) -> list[str]:
    """The keys of the charts and galleries that are drawn."""
    ids = [part.proto.id for part in app.get("bidi_component")]
    return [name.rpartition("present-")[2] for name in ids if "present-" in name]


def turn(app: AppTest, key: str) -> AppTest:
    return app.button(key=f"present-{key}").click().run()


@pytest.mark.parametrize("page", PAGES)
def test_a_slide_has_a_title_a_figure_and_no_settings(page: str, done: Run) -> None:
    app = open_page(page, done.id, present="1")
    assert_calm(app)
    assert len(app.title) == 1
    assert len(keys(app)) == 1
    assert [kind for kind in SETTINGS if app.get(kind)] == []
    assert not app.sidebar.children


@pytest.mark.parametrize("page", PAGES)
def test_every_slide_is_another_one_and_the_address_follows(page: str, done: Run) -> None:
    app = open_page(page, done.id, present="1")
    count = int(next(text.value for text in app.markdown if " of " in text.value).split(" of ")[1])
    assert count >= 4
    titles = [app.title[0].value]
    for number in range(2, count + 1):
        turn(app, "next")
        assert_calm(app)
        assert app.query_params["present"] in (str(number), [str(number)])
        titles.append(app.title[0].value)
    assert len(set(titles)) == count
    assert app.button(key="present-next").disabled
    assert turn(app, "back").title[0].value == titles[-2]
    assert turn(app, "Home").title[0].value == titles[0]


def test_train_presents_its_charts_in_their_order(done: Run) -> None:
    app = open_page("pages/train.py", done.id, present="2", trial="0")
    assert app.title[0].value == CHARTS[1].title
    assert keys(app)[0].startswith(CHARTS[1].name)


def test_batch_presents_the_choice_of_the_address(done: Run) -> None:
    app = open_page("pages/batch.py", done.id, present="1", strategy="margin", trial="1")
    assert "Margin" in app.title[0].value


def test_compare_lays_the_two_of_the_address_side_by_side(done: Run) -> None:
    app = open_page("pages/compare.py", done.id, present="4", a="margin", b="random")
    assert app.title[0].value == "Margin and Random"
    caption = "".join(part.proto.body for part in app.get("html"))
    assert re.search(r"Only Margin chose \d+ images?, both \d+, only Random \d+\.", caption)


def test_leaving_shows_the_page_and_the_page_shows_the_way_in(done: Run) -> None:
    app = open_page("pages/train.py", done.id, present="3")
    turn(app, "leave")
    assert "present" not in app.query_params
    app.run()
    assert app.title[0].value == "Train"
    link = next(part.proto for part in app.get("page_link") if part.proto.label == "Present")
    assert f"run={done.id}" in link.query_string
    assert "present=1" in link.query_string


@pytest.mark.parametrize("place", ["0", "99", "-1", "second", "", "²"])
def test_a_place_that_is_none_is_the_nearest(place: str, done: Run) -> None:
    app = open_page("pages/train.py", done.id, present=place)
    assert_calm(app)
    assert app.title[0].value == CHARTS[-1 if place == "99" else 0].title


@pytest.mark.parametrize("page", PAGES)
def test_a_new_run_says_that_there_is_nothing_yet(page: str, home) -> None:
    run = make_queued(home)
    app = open_page(page, run.id, present="2")
    assert_calm(app)
    assert "Appears when" in words(app) or "Nothing to present yet" in words(app)


def test_the_accuracies_say_on_how_many_test_images_they_stand(done: Run) -> None:
    app = open_page("pages/compare.py", done.id, present="1")
    images = int((readers.dataset(done).roles == TEST).sum())
    text = " ".join(part.proto.body for part in app.get("html"))
    assert f"; pale: what chance does on {images} test images." in text
