"""Every page without barriers that axe can find, in light and in dark: WCAG 2.2 AA, and headings in order."""

import importlib.resources
import re
from collections.abc import Iterator

import page_helpers
import pytest

from rambo.runs.workspace import Run

from .conftest import ROOT, running, settled

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PAGES = {  # address -> what has to be there before axe looks
    "": "text=Start the demo",
    "data?dataset=fashion-mnist-mini": "text=How it is cut",
    "data?dataset=:new": "text=Use my images",
    "configure": "text=What will happen",
    "train?run={run}": "text=Show the research charts",
    "train?run={run}&research=true": "text=Download figures as HTML",
    "batch?run={run}": ".box[data-digest] .cell",
    "batch?run={run}&view=Steps": ".box[data-digest] .row",
    "batch?run={run}&view=What+if": ".box[data-digest] .cell",
    "batch?run={run}&view=Balance": "text=How unsure is f?",
    "batch?run={run}&view=Export": "text=Download 24 images as zip",
    "batch?run={run}&present=1": ".box[data-digest] .cell",
    "label?run={run}": "h1",
    "compare?run={run}": "text=Class balance",
    "studies": "text=Which question",
    "learn": ".rambo-plot[data-digest], .box[data-digest]",
    "learn?step=interpolation": ".rambo-plot[data-digest], .box[data-digest]",
}
AXE = """async (tags) => {
  const found = await axe.run(document, { runOnly: { type: "tag", values: tags } });
  return found.violations.flatMap((one) => one.nodes.map((node) =>
    `${one.id}: ${node.html.slice(0, 120)} (${node.failureSummary.slice(0, 200)})`));
}"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("e2e-access") / "runs"
    return page_helpers.make_done(
        root, budget=24, acquisition={"batch_size": 4, "filter_size": 20}, trials=2
    )


@pytest.fixture(scope="module")
def address(finished: Run) -> Iterator[str]:
    with running(ROOT / "app.py", finished.folder.parent) as url:
        yield url


@pytest.fixture(scope="module")
def script() -> str:
    package = pytest.importorskip("axe_playwright_python", reason="requirements-dev.txt has it")
    return (importlib.resources.files(package) / "axe.min.js").read_text("utf-8")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_axe_finds_no_barrier_on_any_page(
    new_page, address: str, finished: Run, script: str, scheme: str, width: int
) -> None:
    page = new_page(color_scheme=scheme, viewport={"width": width, "height": 720})
    barriers = {}
    for path, landmark in PAGES.items():
        page.goto(f"{address}/{path.format(run=finished.id)}")
        page.locator(landmark).first.wait_for(state="attached")
        if "present" not in path:  # which has no menu
            page.locator("[data-testid=stSidebar] a").last.wait_for(state="attached")
        settled(page)
        page.evaluate(script)
        if lines := page.evaluate(AXE, TAGS):
            barriers[path or "home"] = lines
    assert barriers == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_barrier_in_the_drawer_of_an_image(
    new_page, address: str, finished: Run, script: str, scheme: str
) -> None:
    page = new_page(color_scheme=scheme, viewport={"width": 1280, "height": 720})
    page.goto(f"{address}/batch?run={finished.id}")
    page.locator(".box[data-digest] .cell").first.focus()
    page.keyboard.press("Enter")
    page.get_by_role("dialog").get_by_role("combobox", name="Tags").wait_for()
    settled(page)
    page.evaluate(script)
    assert page.evaluate(AXE, TAGS) == []


def test_names_of_fields_are_words_and_no_markup(new_page, address: str, finished: Run) -> None:
    page = new_page()
    for path in ("configure", "studies", f"batch?run={finished.id}"):
        page.goto(f"{address}/{path}")
        settled(page)
        names = page.evaluate(
            "[...document.querySelectorAll('[aria-label]')].map((node) => node.ariaLabel)"
        )
        assert names
        assert [name for name in names if re.search(r"\$.*\$|:\w+\[", name)] == []


def test_the_keyboard_ring_is_not_the_mark_of_the_current_page(new_page, address: str) -> None:
    page = new_page()
    page.goto(f"{address}/configure")
    settled(page)
    page.locator("[data-testid=stSidebar] a").last.wait_for(state="attached")
    look = """() => {
      const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
      return document.activeElement.closest("[data-testid=stSidebar] a") && [outlineStyle, outlineWidth];
    }"""
    for _ in range(12):  # the first link is somewhere behind the buttons of the frame
        page.keyboard.press("Tab")
        if ring := page.evaluate(look):
            break
    assert ring == ["solid", "3px"]
