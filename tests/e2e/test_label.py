"""The page Label as a person uses it: by keyboard, with an undo, a skip and a reload half way; in two tabs."""

import statistics
import sys
from pathlib import Path

import numpy as np
import pytest

from rambo.collection.answers import Answers

from .conftest import ROOT, reaches, running, until

sys.path.append(str(Path(__file__).resolve().parents[1] / "collection"))
from collection_helpers import bring, chosen_run

WAITING = 5000
ALLOWED = "404"  # Streamlit asks /label/_stcore/... first on a page of its own


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A server with a run that asked for 5,000 labels; 24 images have one."""
    home = tmp_path_factory.mktemp("e2e-label") / "runs"
    images = np.random.default_rng(0).integers(0, 256, (WAITING + 24, 16, 16), dtype=np.uint8)
    labels = np.array([*[0, 1, 2] * 8, *[-1] * WAITING])
    path = home.parent / "many.npz"
    np.savez(path, images=images, labels=labels, classes=["cat", "dog", "owl"])
    collection = bring(home, path).collection
    run = chosen_run(home, collection, range(24, 24 + WAITING))
    with running(ROOT / "app.py", home) as url:
        yield f"{url}/label?run={run.id}", Answers(collection, run.id), collection


def box(page, name):
    """Return what the labeler says of itself."""
    return page.evaluate(
        """(name) => {
          for (const node of document.querySelectorAll('*')) {
            const box = node.shadowRoot?.querySelector('.box .stage')?.parentElement;
            if (box) return box.dataset[name];
          }
        }""",
        name,
    )


def open_desk(page, address):
    page.goto(address)
    until(lambda: box(page, "shown") is not None, "the first picture")


def test_a_person_labels_by_keyboard_with_undo_skip_and_reload(page, desk):
    address, answers, collection = desk
    open_desk(page, address)
    first = int(box(page, "shown"))
    page.keyboard.press("1")
    reaches(lambda: int(box(page, "shown")), first + 1)
    page.keyboard.press("2")
    page.keyboard.press("u")
    reaches(lambda: int(box(page, "shown")), first + 1)
    page.keyboard.press("3")
    page.keyboard.press("s")
    page.keyboard.press("n")
    page.keyboard.press("x")
    reaches(lambda: box(page, "done"), "5")
    reaches(lambda: box(page, "pending"), "0")
    words_by_image = {n: (one.kind, one.label) for n, one in answers.current().items()}
    assert words_by_image == {
        first: ("label", "cat"),
        first + 1: ("label", "owl"),
        first + 2: ("skipped", None),
        first + 3: ("unsure", None),
        first + 4: ("none of these", None),
    }
    page.reload()
    until(lambda: box(page, "shown") is not None, "the next picture after a reload")
    assert (int(box(page, "shown")), box(page, "done")) == (first + 5, "5")

    times = []
    for press in range(40):
        page.keyboard.press("123"[press % 3])
        reaches(lambda expected=first + 6 + press: int(box(page, "shown")), first + 6 + press)
        until(lambda: box(page, "ms") is not None, "the picture is painted")
        times.append(float(box(page, "ms")))
    reaches(lambda: box(page, "pending"), "0")
    print(f"next picture: median {statistics.median(times):.1f} ms, longest {max(times):.1f} ms")
    assert statistics.median(times) < 100
    assert len(answers.current()) == 45
    log = answers.log()
    assert len(log) == len({one.token for one in log}) == 7 + 40

    page.get_by_role("button", name="Use 42 labels").click()
    until(lambda: collection.latest() == 2, "a new version")
    now = collection.snapshot()
    assert int((now.labels >= 0).sum()) == 24 + 42
    assert page.off_origin == []
    assert [text for text in page.console_errors if ALLOWED not in text] == []


def test_two_tabs_on_one_batch_lose_nothing(new_page, desk):
    address, answers, _ = desk
    before = len(answers.log())
    tabs = [new_page(), new_page()]
    for tab in tabs:
        open_desk(tab, address)
    for press in range(10):
        for tab in tabs:
            tab.keyboard.press("12"[press % 2])
    for tab in tabs:
        reaches(lambda tab=tab: box(tab, "pending"), "0")
    log = answers.log()
    assert len(log) == before + 20
    assert len({one.token for one in log}) == len(log)
